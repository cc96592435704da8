"""The targets of `--example boltzmann` by normflows: as many updates and samples, the losses that it has.

    v/bin/pip install torch normflows numpy
    cargo run --release --example boltzmann -- --target mixture40 --out out/mixture40
    v/bin/python benches/peers/sampler_normflows.py --report out/mixture40/report.json --loss alpha2

reads target, updates, batch, samples and (for the mixture) the means of the modes from the report, trains a flow of coupled rational-quadratic
splines (normflows.flows.CoupledRationalQuadraticSpline), and prints one line of JSON: ln Z with its standard error, effective share, seconds.
--loss kl: reverse KL; path: its path gradient (score_fn=False); alpha2: reverse_alpha_div with alpha 2 and the path gradient (dreg).
The temperature falls as in the example where --hottest is given: normflows takes 1/T as `beta` for the reverse KL alone."""
import argparse, json, math, time, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch, normflows as nf


class Well:
    def log_prob(self, x):
        a = x[:, 0]
        return -(a ** 4 / 4 - 3 * a ** 2 + a + x[:, 1] ** 2 / 2)


class Mixture:
    def __init__(self, means):
        self.means, self.variance = torch.tensor(means), math.log1p(math.e) ** 2

    def log_prob(self, x):
        squares = ((x[:, None] - self.means) ** 2).sum(2)
        return torch.logsumexp(-squares / (2 * self.variance), 1) - math.log(len(self.means)) - math.log(2 * math.pi * self.variance)


class Funnel:
    def log_prob(self, x):
        a, rest = x[:, 0], x[:, 1:]
        n = rest.shape[1]
        return -a ** 2 / 18 - math.log(3) - (rest ** 2).sum(1) * torch.exp(-a) / 2 - n * a / 2 - (n + 1) / 2 * math.log(2 * math.pi)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--report", required=True)
    p.add_argument("--loss", choices=["kl", "path", "alpha2"], default="kl")
    p.add_argument("--hottest", type=float, default=1.0)
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    torch.manual_seed(args.seed), torch.set_num_threads(args.threads)
    with open(args.report) as file:
        report = json.load(file)
    name = report["target"]
    target, dims, scale, layers, bins, width = {
        "double-well": lambda: (Well(), 2, 1.0, 4, 12, 32),
        "mixture40": lambda: (Mixture(report["means"]), 2, 14.0, 4, 24, 64),
        "funnel": lambda: (Funnel(), 10, 3.0, 4, 12, 64),
    }[name]()
    flows = []
    for _ in range(layers):
        flows += [nf.flows.CoupledRationalQuadraticSpline(dims, 2, width, num_bins=bins, tail_bound=4), nf.flows.LULinearPermute(dims)]
    flows.append(nf.flows.AffineConstFlow((dims,), shift=False))
    with torch.no_grad():
        flows[-1].s.fill_(math.log(scale))
    model = nf.NormalizingFlow(nf.distributions.base.DiagGaussian(dims, trainable=False), flows, target)
    steps, n = report["steps"], report["batch"]
    optimizer = torch.optim.Adam(model.parameters(), lr=args.rate)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start = time.time()
    for step in range(steps):
        beta = 1 / args.hottest ** max(0.0, 1 - 1.5 * step / steps)
        if args.loss == "alpha2":
            loss = model.reverse_alpha_div(n, alpha=2, dreg=True)
        else:
            loss = model.reverse_kld(n, beta=beta, score_fn=args.loss == "kl")
        optimizer.zero_grad()
        if torch.isfinite(loss):
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        fall.step()
    seconds = time.time() - start
    with torch.no_grad():
        log_w = []
        while sum(map(len, log_w)) < report["samples"]:
            x, log_q = model.sample(5000)
            log_w.append((target.log_prob(x) - log_q).double().numpy())
    log_w = np.concatenate(log_w)[:report["samples"]]
    w = np.exp(log_w - log_w.max())
    relative = w / w.mean()
    print(json.dumps(dict(target=name, library="normflows", loss=args.loss, hottest=args.hottest, steps=steps, batch=n,
                          log_z=log_w.max() + math.log(w.mean()), log_z_standard_error=relative.std(ddof=1) / math.sqrt(len(w)),
                          exact_log_z=report["exact_log_z"], effective_share=1 / (relative ** 2).mean(), seconds=seconds,
                          parameters=sum(q.numel() for q in model.parameters()))))


if __name__ == "__main__":
    main()
