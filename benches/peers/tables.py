"""Densities of tables: neural spline flows of nflows and zuko, on the rows that flowkit's example `table` gets.

    python tables.py split diamonds.csv DIR             writes DIR/{diamonds,breast_cancer,digits}/SEED/{train,test}.csv, seeds 0 to 4
    python tables.py fit nflows|zuko DIR/NAME/SEED      fits, prints one JSON line: test_nats, standard_error, seconds, parameters
        [--epochs 40] [--threads 2]

The columns are standardised by the training rows, and the log-density is that of the raw columns. The tenth part of the training rows that the
seed chooses is held out; the weights with the best held-out mean are tested. Adam at 2e-3, batches of 256, the norm of the gradient at most 1:
as in flowkit's `fit`. Both have five steps, eight bins and two hidden layers or blocks of 64 units.

Also needs: scikit-learn 1.9, pandas 3.0.
"""
import argparse
import json
import pathlib
import time

import numpy as np
import torch


def split(diamonds, out):
    import pandas
    from sklearn import datasets

    numeric = pandas.read_csv(diamonds)[["carat", "depth", "table", "price", "x", "y", "z"]]
    cancer = datasets.load_breast_cancer(as_frame=True).data
    cancer.columns = [name.replace(" ", "_") for name in cancer.columns]
    digits = datasets.load_digits(as_frame=True).data
    # Pixels that are 0 in nearly every image have no density.
    digits = digits.loc[:, (digits != digits.mode().iloc[0]).mean() > 0.05]
    rng = np.random.default_rng(0)
    digits = digits + rng.uniform(size=digits.shape)
    for name, frame in [("diamonds", numeric), ("breast_cancer", cancer), ("digits", digits)]:
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(len(frame))
            test = len(frame) // 5
            folder = pathlib.Path(out) / name / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            frame.iloc[order[test:]].to_csv(folder / "train.csv", index=False)
            frame.iloc[order[:test]].to_csv(folder / "test.csv", index=False)


def nflows_flow(dims):
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.nn.nets import ResidualNet
    from nflows.transforms import CompositeTransform, LULinear, RandomPermutation
    from nflows.transforms.coupling import PiecewiseRationalQuadraticCouplingTransform
    from nflows.utils import create_alternating_binary_mask

    def linear():
        return CompositeTransform([RandomPermutation(dims), LULinear(dims, identity_init=True)])

    def net(inputs, outputs):
        return ResidualNet(inputs, outputs, hidden_features=64, num_blocks=2)

    steps = []
    for step in range(5):
        mask = create_alternating_binary_mask(dims, even=step % 2 == 0)
        steps += [linear(), PiecewiseRationalQuadraticCouplingTransform(mask, net, 8, "linear", 3.0, apply_unconditional_transform=True)]
    return Flow(CompositeTransform(steps + [linear()]), StandardNormal([dims]))


def zuko_flow(dims):
    import zuko

    flow = zuko.flows.NSF(dims, transforms=5, bins=8, hidden_features=(64, 64))
    flow.log_prob = lambda x: flow().log_prob(x)
    return flow


def read(path):
    return np.loadtxt(path, delimiter=",", skiprows=1)


def fit(library, folder, epochs, threads):
    torch.set_num_threads(threads)
    folder = pathlib.Path(folder)
    seed = int(folder.name)
    torch.manual_seed(seed)
    train, test = read(folder / "train.csv"), read(folder / "test.csv")
    mean, std = train.mean(0), train.std(0)
    prepare = lambda rows: torch.tensor((rows - mean) / std, dtype=torch.float32)
    train, test = prepare(train), prepare(test)
    order = torch.randperm(len(train))
    held = order[:len(train) // 10]
    train, held = train[order[len(held):]], train[held]
    flow = {"nflows": nflows_flow, "zuko": zuko_flow}[library](train.shape[1])
    optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
    best, kept, start = -np.inf, None, time.perf_counter()
    for _ in range(epochs):
        flow.train()
        for batch in torch.randperm(len(train)).split(256):
            if len(batch) < min(256, len(train)):
                continue
            optimizer.zero_grad()
            (-flow.log_prob(train[batch]).mean()).backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
            optimizer.step()
        flow.eval()
        with torch.no_grad():
            found = torch.cat([flow.log_prob(part) for part in held.split(4096)]).mean().item()
        if found > best:
            best, kept = found, {name: value.clone() for name, value in flow.state_dict().items()}
    seconds = time.perf_counter() - start
    flow.load_state_dict(kept)
    with torch.no_grad():
        nats = torch.cat([flow.log_prob(part) for part in test.split(4096)]).double().numpy() - np.log(std).sum()
    print(json.dumps({
        "library": library, "data": folder.parent.name, "seed": seed, "epochs": epochs, "threads": threads,
        "test_nats": nats.mean(), "standard_error": nats.std() / np.sqrt(len(nats)), "seconds": seconds,
        "parameters": sum(p.numel() for p in flow.parameters()),
    }))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["split", "fit"])
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    split(a.first, a.second) if a.command == "split" else fit(a.first, a.second, a.epochs, a.threads)


if __name__ == "__main__":
    main()
