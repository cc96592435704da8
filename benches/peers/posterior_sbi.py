"""Posteriors of `--example posterior` by sbi's neural posterior estimation, from the same simulations.

    v/bin/pip install torch sbi numpy
    v/bin/python benches/peers/posterior_sbi.py --simulations SIMULATIONS.csv --observations DIR --lower -1 --upper 1 --out OUT [--density maf|nsf]

writes OUT/NAME.csv for DIR/NAME/observation.csv, and prints one line of JSON: seconds of the training, and with all samples. All settings but the
density are those of the library: batches of 200, Adam at 5e-4, a tenth of the simulations held out, the end after 20 epochs without gain.
"""
import argparse
import json
import pathlib
import time
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
from sbi.inference import NPE
from sbi.utils import BoxUniform


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--simulations", required=True)
    p.add_argument("--observations", required=True)
    p.add_argument("--lower", type=float, required=True)
    p.add_argument("--upper", type=float, required=True)
    p.add_argument("--samples", type=int, default=10_000)
    p.add_argument("--density", choices=["maf", "nsf"], default="maf")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", required=True)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    with open(args.simulations) as file:
        names = file.readline().strip().split(",")
        rows = torch.tensor(np.loadtxt(file, delimiter=","), dtype=torch.float32)
    parameters = [name.startswith("parameter_") for name in names]
    theta, x = rows[:, parameters], rows[:, [not own for own in parameters]]
    start = time.perf_counter()
    prior = BoxUniform(torch.full((theta.shape[1],), args.lower), torch.full((theta.shape[1],), args.upper))
    inference = NPE(prior, density_estimator=args.density, show_progress_bars=False)
    estimator = inference.append_simulations(theta, x).train()
    trained = time.perf_counter() - start
    posterior = inference.build_posterior(estimator)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    header = ",".join(name for name in names if name.startswith("parameter_"))
    for folder in sorted(path for path in pathlib.Path(args.observations).iterdir() if path.is_dir()):
        observed = torch.tensor(np.loadtxt(folder / "observation.csv", delimiter=",", skiprows=1), dtype=torch.float32)
        samples = posterior.sample((args.samples,), x=observed, show_progress_bars=False)
        np.savetxt(out / f"{folder.name}.csv", samples.numpy(), delimiter=",", header=header, comments="")
    print(json.dumps({
        "library": "sbi", "density": args.density, "simulations": len(rows), "epochs": inference.summary["epochs_trained"][-1],
        "training_seconds": trained, "seconds": time.perf_counter() - start,
    }))


if __name__ == "__main__":
    main()
