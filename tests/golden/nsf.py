#!/usr/bin/env python3
"""Neural spline flows of nflows and splines of zuko at random weights: values for `tests/nsf.rs`.

    python3 tests/golden/nsf.py            writes nsf.f64.safetensors beside this file
                                           (torch 2.15.0, nflows 0.14, zuko 1.6.0, safetensors 0.8)

All in float64. For each setting `i`: the sizes `i.sizes` = form (0 coupling, 1 autoregressive), dims, steps, hidden, blocks, bins, context;
`i.bound`; points `i.x`, a condition `i.context` if there is one, the log-density `i.log_prob`, and the weights `w.i.PATH`, where PATH is the
parameter's path in flowkit. What the two libraries write differently is converted here:
  * nflows permutes, multiplies by L U and adds b. flowkit adds to x first and multiplies by a matrix in PLU form, so b becomes (LU)^-1 b.
  * nflows transforms every other element, flowkit the second or the first half: a permutation that joins the matrices before and after.
  * nflows divides widths and heights of a coupling by the root of the hidden width, and has no offset of the slopes: both enter the last layer.
zuko computes its parameters through other functions, so its splines are compared as laws: `z.i.x`, `z.i.theta` (flowkit's), `z.i.bound`,
`z.i.z`, `z.i.log_derivative`.
"""
import pathlib

import numpy as np
import torch
import zuko
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.nn.nets import ResidualNet
from nflows.transforms import CompositeTransform, LULinear, RandomPermutation
from nflows.transforms.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressiveTransform as Autoregressive
from nflows.transforms.coupling import PiecewiseRationalQuadraticCouplingTransform as Coupling
from nflows.utils import create_alternating_binary_mask
from safetensors.numpy import save_file

torch.set_default_dtype(torch.float64)
LEAST = 1e-3
OFFSET = np.log(np.expm1(1 - LEAST))
out = {}


def numbers(tensor):
    return tensor.detach().numpy().astype(np.float64)


def factors(matrix):
    """Row i of the matrix is row rows[i] of L (U + D)."""
    n = len(matrix)
    work, order = matrix.copy(), np.arange(n)
    for k in range(n):
        pivot = k + np.argmax(np.abs(work[k:, k]))
        work[[k, pivot]], order[[k, pivot]] = work[[pivot, k]], order[[pivot, k]]
        work[k + 1:, k] /= work[k, k]
        work[k + 1:, k + 1:] -= np.outer(work[k + 1:, k], work[k, k + 1:])
    rows = np.empty(n, int)
    rows[order] = np.arange(n)
    diagonal = np.diag(work)
    lower, upper = np.tril(work, -1) + np.eye(n), np.triu(work)
    assert np.allclose((lower @ upper)[rows], matrix)
    return lower, upper, np.log(np.abs(diagonal)), np.sign(diagonal), rows


def write_linear(path, linear, before, after):
    """before: the order in which flowkit's vector holds nflows' elements here; after: the same behind the matrix."""
    permutation, lu = linear._transforms
    dims = len(before)
    matrix = numbers(lu.weight()) @ np.eye(dims)[permutation._permutation.numpy()]
    matrix = matrix[after][:, before]
    shift = np.linalg.solve(matrix, numbers(lu.bias)[after])
    lower, upper, log_scale, sign, rows = factors(matrix)
    out[f"{path}.0.bias"], out[f"{path}.0.log_scale"] = shift[None], np.zeros((1, dims))
    out[f"{path}.1.lower"], out[f"{path}.1.upper"], out[f"{path}.1.log_scale"] = lower, upper, log_scale
    out[f"{path}.1.sign"], out[f"{path}.1.permutation"] = sign, rows.astype(np.float64)


def dense(path, linear, columns=None):
    weight = numbers(linear.weight)
    if columns is not None:
        weight = weight[:, columns]
    out[f"{path}.weight"], out[f"{path}.bias"] = weight.T.copy(), numbers(linear.bias)


def last(path, linear, elements, bins, scale):
    """nflows orders outputs by element, then by parameter; flowkit by parameter, then by element."""
    params = 3 * bins - 1
    factor, offset = np.ones((params, 1)), np.zeros((params, 1))
    factor[:2 * bins], offset[2 * bins:] = scale, -OFFSET
    weight = numbers(linear.weight * linear.mask if hasattr(linear, "mask") else linear.weight)
    weight = weight.reshape(elements, params, -1).transpose(1, 0, 2) * factor[..., None]
    bias = numbers(linear.bias).reshape(elements, params).T * factor + offset
    out[f"{path}.weight"] = weight.reshape(params * elements, -1).T.copy()
    out[f"{path}.bias"] = bias.reshape(-1)


def write_coupling(path, coupling, bins):
    net, own = coupling.transform_net, coupling.unconditional_transform
    base = f"{path}.0.conditioner.net"
    dense(f"{base}.input", net.initial_layer)
    for index, block in enumerate(net.blocks):
        dense(f"{base}.blocks.{index}.first", block.linear_layers[0])
        dense(f"{base}.blocks.{index}.second", block.linear_layers[1])
        if hasattr(block, "context_layer"):
            dense(f"{base}.blocks.{index}.gate", block.context_layer)
    last(f"{base}.output", net.final_layer, coupling.num_transform_features, bins, 1 / np.sqrt(net.hidden_features))
    theta = [own.unnormalized_widths, own.unnormalized_heights, own.unnormalized_derivatives - OFFSET]
    out[f"{path}.1.layers.0.theta"] = np.concatenate([numbers(part).T for part in theta])[None]


def write_autoregressive(path, layer, dims, bins):
    net = layer.autoregressive_net
    base = f"{path}.conditioner.net"
    elements = np.arange(1.0, dims + 1)

    def masked(name, linear, inputs, outputs):
        dense(f"{base}.{name}.linear", linear)
        out[f"{base}.{name}.inputs"], out[f"{base}.{name}.outputs"] = inputs, outputs

    hidden = numbers(net.initial_layer.degrees)
    masked("input", net.initial_layer, elements, hidden)
    if hasattr(net, "context_layer"):
        dense(f"{base}.context", net.context_layer)
    for index, block in enumerate(net.blocks):
        masked(f"blocks.{index}.first", block.linear_layers[0], hidden, hidden)
        masked(f"blocks.{index}.second", block.linear_layers[1], hidden, hidden)
        if hasattr(block, "context_layer"):
            dense(f"{base}.blocks.{index}.context", block.context_layer)
    last(f"{base}.output.linear", net.final_layer, dims, bins, 1.0)
    out[f"{base}.output.inputs"], out[f"{base}.output.outputs"] = hidden, np.tile(elements, 3 * bins - 1)
    out[f"{base}.order"] = elements - 1


def setting(index, rng):
    form, dims, steps = index % 2, int(rng.integers(2, 6)), int(rng.integers(1, 4))
    hidden, blocks, bins = int(rng.integers(4, 9)), int(rng.integers(1, 3)), int(rng.integers(2, 9))
    context, bound = (int(rng.integers(1, 4)) if index % 4 >= 2 else 0), float(rng.uniform(1, 5))
    given = context or None

    def net(inputs, outputs):
        return ResidualNet(inputs, outputs, hidden_features=hidden, context_features=given, num_blocks=blocks)

    transforms, linears, layers = [], [], []
    for step in range(steps + 1):
        linears.append(CompositeTransform([RandomPermutation(dims), LULinear(dims, identity_init=False)]))
        transforms.append(linears[-1])
        if step == steps:
            break
        if form == 0:
            # The second element is transformed first: with an odd number of elements, flowkit's first half is the longer one.
            mask = create_alternating_binary_mask(dims, even=step % 2 == 1)
            layers.append(Coupling(mask, net, bins, "linear", bound, apply_unconditional_transform=True))
        else:
            layers.append(Autoregressive(dims, hidden, given, bins, "linear", bound, blocks))
        transforms.append(layers[-1])
    flow = Flow(CompositeTransform(transforms), StandardNormal([dims]))
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            size = 0.3 if "linear_layers" in name or "entries" in name else 1.0
            parameter.copy_(torch.tensor(rng.normal(size=parameter.shape) * size))
        x = torch.tensor(rng.normal(size=(8, dims)) * 2)
        condition = torch.tensor(rng.normal(size=(8, context))) if context else None
        out[f"{index}.log_prob"] = numbers(flow.log_prob(x, context=condition))
    out[f"{index}.x"], out[f"{index}.bound"] = numbers(x), np.array([bound])
    out[f"{index}.sizes"] = np.array([form, dims, steps, hidden, blocks, bins, context], float)
    if context:
        out[f"{index}.context"] = numbers(condition)
    before, path = np.arange(dims), f"w.{index}.bijector"
    for step, linear in enumerate(linears):
        after = np.arange(dims)
        if step < steps and form == 0:
            coupling = layers[step]
            own, other = coupling.identity_features.numpy(), coupling.transform_features.numpy()
            after = np.concatenate([own, other] if step % 2 == 0 else [other, own])
        write_linear(f"{path}.0.{step}.0" if step < steps else f"{path}.1", linear, before, after)
        if step < steps and form == 0:
            write_coupling(f"{path}.0.{step}.1.Coupling", layers[step], bins)
        elif step < steps:
            write_autoregressive(f"{path}.0.{step}.1.Autoregressive", layers[step], dims, bins)
        before = after


def law(index, rng):
    bins, bound, elements = int(rng.integers(2, 9)), float(rng.uniform(1, 6)), 16
    raw = [torch.tensor(rng.normal(size=(elements, n)) * 3) for n in (bins, bins, bins - 1)]
    transform = zuko.transforms.MonotonicRQSTransform(*raw, bound=bound)
    x = torch.tensor(rng.uniform(-1.2, 1.2, elements) * bound)
    z, log_derivative = transform.call_and_ladj(x)
    horizontal, vertical = numbers(transform.horizontal), numbers(transform.vertical)
    slopes = numbers(transform.derivatives)[:, 1:-1]
    # flowkit's parameters of the same knots and slopes, at a least share of 1e-5 and a least slope of 1e-6.
    shares = [np.diff(knots) / (2 * bound) for knots in (horizontal, vertical)]
    theta = [np.log((share - 1e-5) / (1 - bins * 1e-5)) for share in shares]
    softplus_inverse = lambda y: y + np.log(-np.expm1(-y))
    theta.append(softplus_inverse(slopes - 1e-6) - np.log(np.expm1(1 - 1e-6)))
    out[f"z.{index}.theta"] = np.concatenate([part.T for part in theta])[None]
    out[f"z.{index}.x"], out[f"z.{index}.bound"] = numbers(x)[None], np.array([bound])
    out[f"z.{index}.z"], out[f"z.{index}.log_derivative"] = numbers(z)[None], numbers(log_derivative)[None]


for index in range(20):
    setting(index, np.random.default_rng(index))
    law(index, np.random.default_rng(100 + index))
path = pathlib.Path(__file__).with_name("nsf.f64.safetensors")
save_file({name: np.ascontiguousarray(value, dtype=np.float64) for name, value in out.items()}, path)
