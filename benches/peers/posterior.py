#!/usr/bin/env python3
"""Simulators of two tasks of the public benchmark sbibm (Lueckmann et al. 2021), and its score of posterior samples.

  posterior.py simulate two_moons|slcp N SEED OUT.csv     N rows of parameters and data, in columns parameter_* and data_*
  posterior.py c2st REFERENCE.csv[.gz] SAMPLES.csv         accuracy of a classifier that tells the two apart: 0.5 is perfect, 1 is hopeless
  posterior.py table SAMPLES_DIR TASK_DIR                  the same over observations: SAMPLES_DIR/<i>.csv against TASK_DIR/<i>/reference...

Needs numpy and scikit-learn. The score is sbibm's: five folds, two hidden layers of 10 x dimension, z-scored by the reference.
The observations and reference samples are the folders of the benchmark's own repository (sbi-benchmark/sbibm, `sbibm/tasks/TASK/files`), each as
TASK_DIR/<i>/observation.csv and TASK_DIR/<i>/reference_posterior_samples.csv.gz with i from 1 to 10.
Published means for one-shot neural posterior estimation (NPE) over ten observations: two_moons 0.606 (10^4 simulations), 0.542 (10^5);
slcp 0.901, 0.831; gaussian_mixture 0.661, 0.555.
"""
import gzip, sys
from pathlib import Path

import numpy as np


def two_moons(theta, rng):
    angle = rng.uniform(-np.pi / 2, np.pi / 2, len(theta))
    radius = rng.normal(0.1, 0.01, len(theta))
    ring = np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], 1)
    root = np.sqrt(2)
    return ring + np.stack([-np.abs(theta[:, 0] + theta[:, 1]) / root, (theta[:, 1] - theta[:, 0]) / root], 1)


def slcp(theta, rng):
    scale = theta[:, 2:4] ** 2
    rho = np.tanh(theta[:, 4])
    noise = rng.normal(size=(len(theta), 4, 2))
    first = noise[..., 0] * scale[:, :1]
    second = (rho[:, None] * noise[..., 0] + np.sqrt(1 - rho[:, None] ** 2) * noise[..., 1]) * scale[:, 1:]
    x = np.stack([theta[:, :1] + first, theta[:, 1:2] + second], -1) + rng.normal(scale=1e-3, size=(len(theta), 4, 2))
    return x.reshape(len(theta), 8)


TASKS = {"two_moons": (2, 1.0, two_moons), "slcp": (5, 3.0, slcp)}


def simulate(task, n, seed):
    dims, bound, simulator = TASKS[task]
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-bound, bound, (n, dims))
    return theta, simulator(theta, rng)


def load(path):
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as file:
        return np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2)


def c2st(reference, samples, seed=1):
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    n = min(len(reference), len(samples))
    reference, samples = reference[:n], samples[:n]
    mean, std = reference.mean(0), reference.std(0, ddof=1)
    rows = np.concatenate([(reference - mean) / std, (samples - mean) / std])
    label = np.repeat([0, 1], n)
    width = 10 * reference.shape[1]
    network = MLPClassifier((width, width), activation="relu", solver="adam", max_iter=10000, random_state=seed)
    return float(cross_val_score(network, rows, label, cv=KFold(5, shuffle=True, random_state=seed)).mean())


def main(command, *args):
    if command == "simulate":
        task, n, seed, out = args
        theta, x = simulate(task, int(n), int(seed))
        header = [f"parameter_{i + 1}" for i in range(theta.shape[1])] + [f"data_{i + 1}" for i in range(x.shape[1])]
        np.savetxt(out, np.hstack([theta, x]), delimiter=",", header=",".join(header), comments="", fmt="%.8g")
    elif command == "c2st":
        print(f"{c2st(load(args[0]), load(args[1])):.4f}")
    elif command == "table":
        scores = []
        for file in sorted(Path(args[0]).glob("*.csv"), key=lambda p: int(p.stem)):
            scores.append(c2st(load(Path(args[1]) / file.stem / "reference_posterior_samples.csv.gz"), load(file)))
            print(f"{file.stem:>4} {scores[-1]:.4f}", flush=True)
        print(f"mean {np.mean(scores):.4f}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
