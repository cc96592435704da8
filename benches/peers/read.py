#!/usr/bin/env python3
"""Flows that flowkit saved, as plain PyTorch modules: RealNVP, MAF, NSF and Glow. `docs/files.md` explains names and layouts.

    python3 benches/peers/read.py FOLDER            reads real_nvp, maf, nsf and glow.safetensors of a folder, computes the log-densities of
                                                    the rows beside them and compares them with those that flowkit computed: within 1e-5
    python3 benches/peers/read.py FOLDER --truth    also writes truth.f64.safetensors, the same in float64

A folder of such files is written by
    FLOWKIT_SAVED=FOLDER cargo test --release --test saved_files

The program needs torch and safetensors; `affine` at the end does without torch. Each class is one layer: it takes the arrays whose names begin
with its prefix, and `forward` returns the latents and the log-determinant.
"""
import json
import sys
from math import log, pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn


class File:
    """Arrays of a saved flow, and its architecture: by path, the type of each layer and the value of each field that is no parameter."""

    def __init__(self, path, dtype):
        self.arrays = {name: a.to(dtype) if a.is_floating_point() else a for name, a in load_file(path).items()}
        with safe_open(path, "pt") as file:
            sections = json.loads(file.metadata()["flowkit.sections"])
        self.architecture = sections["flow"]["module"]["architecture"]
        self.unused = set(self.arrays)

    def take(self, name):
        self.unused.discard(f"flow.{name}")
        return self.arrays[f"flow.{name}"]

    def has(self, prefix):
        return any(name.startswith(f"flow.{prefix}.") for name in self.arrays)

    def count(self, prefix):
        n = 0
        while self.has(f"{prefix}.{n}"):
            n += 1
        return n

    def field(self, path):
        # What the variant `Coupling` holds is number 0 of it in the architecture.
        text = self.architecture[path.replace(".Coupling.", ".0.")]
        try:
            return float(text)
        except ValueError:
            return text


def chain(layers, x):
    total = x.new_zeros(len(x))
    for layer in layers:
        x, log_det = layer(x)
        total = total + log_det
    return x, total


class Chain(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return chain(self.layers, x)


class ActNorm(nn.Module):
    """z = (x + b) exp(f l), one scale for each channel."""

    def __init__(self, file, path):
        super().__init__()
        self.bias, self.log_scale = nn.Parameter(file.take(f"{path}.bias")), nn.Parameter(file.take(f"{path}.log_scale"))
        self.factor = file.field(f"{path}.log_scale_factor")

    def forward(self, x):
        s = self.factor * self.log_scale
        return (x + self.bias) * s.exp(), (s.sum() * x[0, 0].numel()).expand(len(x))


def mixed(weight, x):
    return torch.einsum("ij,bj...->bi...", weight, x)


class Conv1x1(nn.Module):
    """W = P L (U + D): row i of W is row P[i] of the product. L has a diagonal of ones, U one of zeros."""

    def __init__(self, file, path):
        super().__init__()
        for name in ("lower", "upper", "log_scale"):
            setattr(self, name, nn.Parameter(file.take(f"{path}.{name}")))
        self.register_buffer("sign", file.take(f"{path}.sign"))
        self.register_buffer("permutation", file.take(f"{path}.permutation"))

    def forward(self, x):
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), dtype=x.dtype)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())
        return mixed((lower @ upper)[self.permutation], x), (self.log_scale.sum() * x[0, 0].numel()).expand(len(x))


class ChannelMatrix(nn.Module):
    """One matrix for each group of channels; here there is one group."""

    def __init__(self, file, path):
        super().__init__()
        self.matrices = nn.Parameter(file.take(f"{path}.matrices"))

    def forward(self, x):
        (weight,) = self.matrices
        return mixed(weight, x), (torch.linalg.slogdet(weight)[1] * x[0, 0].numel()).expand(len(x))


class Swap(nn.Module):
    def forward(self, x):
        first = (x.shape[1] + 1) // 2
        return torch.cat([x[:, first:], x[:, :first]], 1), x.new_zeros(len(x))


class Linear(nn.Linear):
    """The file has weights [in, out], PyTorch [out, in]."""

    def __init__(self, file, path):
        weight = file.take(f"{path}.weight")
        super().__init__(*weight.shape, dtype=weight.dtype)
        self.weight, self.bias = nn.Parameter(weight.T.contiguous()), nn.Parameter(file.take(f"{path}.bias"))


class MaskedLinear(Linear):
    """An input of degree i reaches a hidden unit of degree j if i <= j, and an output if i < j."""

    def __init__(self, file, path, last):
        super().__init__(file, f"{path}.linear")
        inputs, outputs = file.take(f"{path}.inputs"), file.take(f"{path}.outputs")
        self.register_buffer("mask", inputs < outputs[:, None] if last else inputs <= outputs[:, None])

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


ACTIVATIONS = {"Relu": F.relu, "Tanh": torch.tanh, "Silu": F.silu, "Elu": F.elu}


class Network(nn.Module):
    """Dense layers (Mlp, Made). The outputs are ordered by parameter, then by element."""

    def __init__(self, file, path, masked=False):
        super().__init__()
        linear = lambda path, last: MaskedLinear(file, path, last) if masked else Linear(file, path)
        self.hidden = nn.ModuleList(linear(f"{path}.hidden.{i}", False) for i in range(file.count(f"{path}.hidden")))
        self.output = linear(f"{path}.output", True)
        self.activation = ACTIVATIONS[file.field(f"{path}.activation")]
        if masked:
            file.take(f"{path}.order")  # which element is first: only the inverse needs it

    def forward(self, x):
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.output(x)


class ResNet(nn.Module):
    """Residual blocks of two dense layers, each after its activation."""

    def __init__(self, file, path):
        super().__init__()
        self.input, self.output = Linear(file, f"{path}.input"), Linear(file, f"{path}.output")
        blocks = [f"{path}.blocks.{i}" for i in range(file.count(f"{path}.blocks"))]
        self.blocks = nn.ModuleList(nn.ModuleList([Linear(file, f"{block}.first"), Linear(file, f"{block}.second")]) for block in blocks)
        self.activation = ACTIVATIONS[file.field(f"{path}.activation")]

    def forward(self, x):
        h = self.input(x)
        for first, second in self.blocks:
            h = h + second(self.activation(first(self.activation(h))))
        return self.output(h)


def bordered(x):
    """A channel that is 1 around the image and 0 inside, after the others, which are 0 around it."""
    return torch.cat([F.pad(x, (1, 1, 1, 1)), F.pad(torch.zeros_like(x[:, :1]), (1, 1, 1, 1), value=1.0)], 1)


class NormedConv(nn.Module):
    """Convolution without a bias, norm, ReLU."""

    def __init__(self, file, path):
        super().__init__()
        self.weight, self.norm = nn.Parameter(file.take(f"{path}.weight")), ActNorm(file, f"{path}.norm")

    def forward(self, x):
        x = bordered(x) if self.weight.shape[-1] == 3 else x
        return F.relu(self.norm(F.conv2d(x, self.weight))[0])


class ZeroConv(nn.Module):
    """Convolution with a bias, times exp(3 l)."""

    def __init__(self, file, path):
        super().__init__()
        for name in ("weight", "bias", "log_scale"):
            setattr(self, name, nn.Parameter(file.take(f"{path}.{name}")))

    def forward(self, x):
        return F.conv2d(bordered(x), self.weight, self.bias) * (3 * self.log_scale).exp()[:, None, None]


class GlowNet(nn.Module):
    def __init__(self, file, path):
        super().__init__()
        self.input, self.inner, self.output = NormedConv(file, f"{path}.input"), NormedConv(file, f"{path}.inner"), ZeroConv(file, f"{path}.output")

    def forward(self, x):
        return self.output(self.inner(self.input(x)))


class Affine(nn.Module):
    """theta = (s, t), each [batch, elements]."""

    def __init__(self, file, path):
        super().__init__()
        self.form = file.field(f"{path}.form")

    def forward(self, x, theta):
        s, t = theta.unflatten(1, (2, x.shape[1])).unbind(1)
        if self.form == "Exponential":
            return x * s.tanh().exp() + t, s.tanh()
        if self.form == "Sigmoid":
            return (x + t) * torch.sigmoid(s + 2), F.logsigmoid(s + 2)
        if self.form == "Normal":
            return (x - t) * (-s).exp(), -s
        raise ValueError(f"no such form here: {self.form}")


class Spline(nn.Module):
    """theta = K logits of widths, K of heights, K - 1 parameters of slopes, each [batch, elements]."""

    def __init__(self, file, path):
        super().__init__()
        names = ("n_bins", "bound", "min_width", "min_height", "min_slope")
        self.bins, self.bound, self.least_width, self.least_height, self.least_slope = (file.field(f"{path}.{name}") for name in names)
        self.bins = int(self.bins)

    def forward(self, x, theta):
        theta = theta.unflatten(1, (3 * self.bins - 1, x.shape[1])).transpose(1, 2)
        widths, heights, slopes = theta.split([self.bins, self.bins, self.bins - 1], -1)
        share = lambda logits, least: least + (1 - self.bins * least) * logits.softmax(-1)
        knots = lambda shares: F.pad(2 * self.bound * shares.cumsum(-1), (1, 0)) - self.bound
        widths, heights = share(widths, self.least_width), share(heights, self.least_height)
        # The offset makes the slope 1 where the parameter is 0.
        slopes = self.least_slope + F.softplus(slopes + np.log(np.expm1(1 - self.least_slope)))
        slopes = F.pad(slopes, (1, 1), value=1.0)
        left, low = knots(widths), knots(heights)
        inside = x.abs() < self.bound
        at = torch.where(inside, x, 0)
        k = (torch.searchsorted(left.contiguous(), at[..., None], right=True) - 1).clamp(0, self.bins - 1)
        of = lambda values: values.gather(-1, k)[..., 0]
        w, h, d, e = 2 * self.bound * of(widths), 2 * self.bound * of(heights), of(slopes), of(slopes[..., 1:])
        s, p = h / w, (at - of(left)) / w
        q = s * (p**2 + (1 - p) ** 2) + (d + e) * p * (1 - p)
        z = of(low) + h * (s * p**2 + d * p * (1 - p)) / q
        log_slope = 2 * s.log() + (e * p**2 + 2 * s * p * (1 - p) + d * (1 - p) ** 2).log() - 2 * q.log()
        return torch.where(inside, z, x), torch.where(inside, log_slope, 0)


class Coupling(nn.Module):
    """One half of the channels passes unchanged; a network of it computes the parameters of the other half. The first half is the longer one."""

    def __init__(self, file, path, law, net):
        super().__init__()
        self.law, self.net, self.identity = law, net, file.field(f"{path}.identity")

    def forward(self, x):
        first = (x.shape[1] + 1) // 2
        halves = [x[:, :first], x[:, first:]]
        kept, changed = (0, 1) if self.identity == "First" else (1, 0)
        theta = self.net(halves[kept])
        shape = halves[changed].shape
        z, log_slope = self.law(halves[changed].flatten(1), theta.flatten(1))
        halves[changed] = z.reshape(shape)
        return torch.cat(halves, 1), log_slope.sum(1)


class Autoregressive(nn.Module):
    def __init__(self, law, net):
        super().__init__()
        self.law, self.net = law, net

    def forward(self, x):
        z, log_slope = self.law(x, self.net(x))
        return z, log_slope.sum(1)


class OwnSplines(nn.Module):
    """Splines of the elements of one half, whose parameters are not those of a network."""

    def __init__(self, file, path, identity):
        super().__init__()
        self.theta, self.law, self.identity = nn.Parameter(file.take(f"{path}.layers.0.theta")), Spline(file, f"{path}.layers.0.law"), identity

    def forward(self, x):
        first = (x.shape[1] + 1) // 2
        halves = [x[:, :first], x[:, first:]]
        own = 0 if self.identity == "First" else 1
        halves[own], log_slope = self.law(halves[own], self.theta.flatten(1).expand(len(x), -1))
        return torch.cat(halves, 1), log_slope.sum(1)


class Squeeze(nn.Module):
    """Every 2x2 block becomes channels 4c + 2 row + column, as in `pixel_unshuffle`."""

    def forward(self, x):
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))


class TopPrior(nn.Module):
    """z = (x - m) exp(-s), where a convolution of zeros gives m and s at each position."""

    def __init__(self, file, path):
        super().__init__()
        self.conv = ZeroConv(file, f"{path}.conv")

    def forward(self, x):
        mean, log_deviation = self.conv(torch.cat([x, x], 1)[:1] * 0).chunk(2, 1)
        return (x - mean) * (-log_deviation).exp(), (-log_deviation.sum()).expand(len(x))


def linear(file, path):
    """The layers before a coupling: a norm, a matrix, both or none."""
    return [layer(file, f"{path}.{i}") for i, layer in enumerate((ActNorm, Conv1x1)) if file.has(f"{path}.{i}")]


class RealNvp(Chain):
    def __init__(self, file):
        layers = []
        for i in range(file.count("bijector")):
            path = f"bijector.{i}.1"
            coupling = Coupling(file, path, Affine(file, f"{path}.law.0"), Network(file, f"{path}.conditioner.net"))
            layers += [*linear(file, f"bijector.{i}.0"), coupling, Swap()]
        super().__init__(*layers)


class Maf(Chain):
    def __init__(self, file):
        layers = []
        for i in range(file.count("bijector")):
            path = f"bijector.{i}.1"
            layer = Autoregressive(Affine(file, f"{path}.law.0"), Network(file, f"{path}.conditioner.net", masked=True))
            layers += [*linear(file, f"bijector.{i}.0"), layer]
        super().__init__(*layers)


class Nsf(Chain):
    def __init__(self, file):
        layers = []
        for i in range(file.count("bijector.0")):
            path = f"bijector.0.{i}.1.Coupling"
            coupling = Coupling(file, f"{path}.0", Spline(file, f"{path}.0.law"), ResNet(file, f"{path}.0.conditioner.net"))
            layers += [*linear(file, f"bijector.0.{i}.0"), coupling, OwnSplines(file, f"{path}.1", coupling.identity)]
        super().__init__(*layers, *linear(file, "bijector.1"))


class Glow(nn.Module):
    """Levels of pixels and noise in [0, 1) to latents. The order of the latents does not matter to their density."""

    def __init__(self, file):
        super().__init__()
        self.levels, self.factors_out = nn.ModuleList(), nn.ModuleList()
        n = file.count("bijector.1.levels")
        for level in range(n):
            path = f"bijector.1.levels.{level}"
            steps = []
            for i in range(file.count(f"{path}.1")):
                step = f"{path}.1.{i}"
                net = GlowNet(file, f"{step}.2.conditioner.net")
                steps += [ActNorm(file, f"{step}.0"), ChannelMatrix(file, f"{step}.1.Matrix"), Coupling(file, f"{step}.2", Affine(file, f"{step}.2.law"), net)]
            if level + 1 < n:
                steps.append(Coupling(file, f"{path}.2", Affine(file, f"{path}.2.law"), ZeroConv(file, f"{path}.2.conditioner.net")))
            else:
                steps.append(TopPrior(file, f"{path}.3"))
            self.levels.append(Chain(Squeeze(), *steps))
        self.n_levels = file.field("surjection.n_levels")

    def forward(self, x, noise):
        h, latents = (x + noise) / self.n_levels - 0.5, []
        total = x.new_full((len(x),), -x[0].numel() * log(self.n_levels))
        for i, level in enumerate(self.levels):
            h, log_det = level(h)
            total = total + log_det
            if i + 1 < len(self.levels):
                h, out = h.chunk(2, 1)
                latents.append(out.flatten(1))
        return torch.cat([*latents, h.flatten(1)], 1), total


FLOWS = {"real_nvp": RealNvp, "maf": Maf, "nsf": Nsf, "glow": Glow}


def log_density(folder, name, dtype):
    """The rows of a folder, and their log-densities: all parameters from the file, the prior a standard normal."""
    file = File(folder / f"{name}.safetensors", dtype)
    flow = FLOWS[name](file)
    assert not file.unused, f"{name}: {sorted(file.unused)} are left over"
    rows = load_file(folder / f"{name}.rows.safetensors")
    inputs = [rows[key].to(dtype) for key in ("x", "noise") if key in rows]
    with torch.no_grad():
        z, log_det = flow(*inputs)
        return rows["log_density"], log_det - 0.5 * (z**2 + log(2 * pi)).sum(1)


def affine(path, x):
    """RealNVP once more, in NumPy alone; in JAX, `jax.numpy` in place of `np`."""
    from safetensors.numpy import load_file as load

    a = {name.removeprefix("flow.bijector."): value for name, value in load(path).items()}
    total, first, i = 0.0, (x.shape[1] + 1) // 2, 0
    while f"{i}.0.0.bias" in a:
        bias, log_scale = a[f"{i}.0.0.bias"], a[f"{i}.0.0.log_scale"]
        x, total = (x + bias) * np.exp(log_scale), total + log_scale.sum()
        h, net, j = x[:, :first], f"{i}.1.conditioner.net", 0
        while f"{net}.hidden.{j}.weight" in a:
            h = h @ a[f"{net}.hidden.{j}.weight"] + a[f"{net}.hidden.{j}.bias"]
            h, j = h / (1 + np.exp(-h)), j + 1
        s, t = np.split(h @ a[f"{net}.output.weight"] + a[f"{net}.output.bias"], 2, 1)
        changed, total = x[:, first:] * np.exp(np.tanh(s)) + t, total + np.tanh(s).sum(1)
        x, i = np.concatenate([changed, x[:, :first]], 1), i + 1
    return total - 0.5 * (x**2 + np.log(2 * np.pi)).sum(1)


def main():
    folder, *flags = sys.argv[1:]
    folder, truth, worst = Path(folder), {}, 0.0
    for name in FLOWS:
        theirs, ours = log_density(folder, name, torch.float32)
        scale = max(1.0, theirs.abs().max().item())
        error = (theirs - ours).abs().max().item() / scale
        worst = max(worst, error)
        print(f"{name:9} flowkit {theirs[0]:.6f} ..., PyTorch {ours[0]:.6f} ..., largest error {error:.1e}")
        truth[name] = log_density(folder, name, torch.float64)[1]
    rows = load_file(folder / "real_nvp.rows.safetensors")
    theirs = rows["log_density"].numpy()
    error = np.abs(affine(folder / "real_nvp.safetensors", rows["x"].numpy()) - theirs).max() / max(1.0, np.abs(theirs).max())
    print(f"real_nvp  in NumPy, largest error {error:.1e}")
    if "--truth" in flags:
        save_file(truth, folder / "truth.f64.safetensors")
    sys.exit(0 if max(worst, error) <= 1e-5 else "a log-density differs by more than 1e-5")


main()
