#!/usr/bin/env python3
"""Flows of nflows and zuko with random weights: state dicts and what the libraries compute from them, for `tests/peers_in.rs`.

    python3 tests/golden/peers_in.py       writes the folder peers_in beside this file
                                           (torch 2.15.0, nflows 0.14, zuko 1.6.0, safetensors 0.8)

Each NAME.safetensors is the `state_dict()` of one flow, in float64, and `zuko_maf_context.pt` is one of them as `torch.save` writes it.
`truth.f64.safetensors` has for each NAME: points `NAME.x`, a condition `NAME.context` if there is one, the log-density `NAME.log_prob`, latents
`NAME.u` and the sample `NAME.sample` that they become.
"""
import pathlib

import numpy as np
import torch
import zuko
from nflows import transforms as T
from nflows.distributions.normal import StandardNormal
from nflows.flows import Flow, MaskedAutoregressiveFlow, SimpleRealNVP
from nflows.nn.nets import ResidualNet
from nflows.utils import create_alternating_binary_mask
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
folder = pathlib.Path(__file__).with_name("peers_in")
folder.mkdir(exist_ok=True)
truth = {}


def randomise(flow, rng):
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            size = 0.8 / parameter.shape[1] ** 0.5 if parameter.dim() == 2 else 0.3
            size *= 0.3 if "final_layer" in name else 1.0
            shift = 0.54 if name.endswith("unconstrained_weight") else 0.0  # a weight of about 1
            parameter.copy_(torch.tensor(rng.normal(size=parameter.shape) * size + shift))
        for name, buffer in flow.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.tensor(rng.normal(size=buffer.shape) * 0.3))
            if name.endswith("running_var"):
                buffer.copy_(torch.tensor(rng.uniform(0.5, 2, size=buffer.shape)))


def write(name, flow, features, context, log_prob, inverse):
    rng = np.random.default_rng(sum(name.encode()))
    randomise(flow, rng)
    flow.eval()
    x = torch.tensor(rng.normal(size=(8, features)) * 2)
    u = torch.tensor(rng.normal(size=(8, features)))
    c = torch.tensor(rng.normal(size=(8, context))) if context else None
    with torch.no_grad():
        back, again = log_prob(flow, inverse(flow, u, c), c), inverse(flow, u, c)
        assert torch.isfinite(back).all() and again.abs().max() < 100, (name, again.abs().max())
        found = {"x": x, "u": u, "log_prob": log_prob(flow, x, c), "sample": inverse(flow, u, c)}
    if context:
        found["context"] = c
    truth.update({f"{name}.{key}": value.contiguous() for key, value in found.items()})
    state = {key: value.contiguous() for key, value in flow.state_dict().items()}
    save_file(state, folder / f"{name}.safetensors")
    return state


def nflows(name, flow, features, context=0):
    return write(name, flow, features, context, lambda flow, x, c: flow.log_prob(x, context=c),
                 lambda flow, u, c: flow._transform.inverse(u, context=c)[0])


def stack(transforms, features):
    return Flow(T.CompositeTransform(transforms), StandardNormal([features]))


def net(context=None, activation=torch.nn.functional.relu):
    return lambda inputs, outputs: ResidualNet(inputs, outputs, hidden_features=6, context_features=context, num_blocks=2, activation=activation)


def linear(features):
    return T.CompositeTransform([T.RandomPermutation(features), T.LULinear(features, identity_init=False)])


torch.manual_seed(0)
nflows("maf", MaskedAutoregressiveFlow(4, 8, 3, 2), 4)
nflows("maf_norms", MaskedAutoregressiveFlow(3, 8, 3, 1, use_random_permutations=True, activation=torch.tanh, batch_norm_between_layers=True), 3)
nflows("maf_feedforward", MaskedAutoregressiveFlow(4, 10, 2, 2, use_residual_blocks=False, use_random_masks=True), 4)
nflows("maf_context", stack([T.ReversePermutation(3), T.MaskedAffineAutoregressiveTransform(3, 8, context_features=2)] * 1
                            + [T.MaskedAffineAutoregressiveTransform(3, 8, context_features=2)], 3), 3, 2)
nflows("real_nvp", SimpleRealNVP(5, 8, 4, 2, batch_norm_between_layers=True), 5)
nflows("real_nvp_additive", SimpleRealNVP(4, 6, 3, 1, use_volume_preserving=True), 4)

# As in the experiments of the paper (Durkan et al. 2019): couplings with splines of the other half, a matrix after the last.
layers = []
for step in range(3):
    mask = create_alternating_binary_mask(5, even=step % 2 == 0)
    layers += [linear(5), T.PiecewiseRationalQuadraticCouplingTransform(mask, net(2), 4, "linear", 3.0, apply_unconditional_transform=True)]
nflows("nsf_coupling", stack(layers + [linear(5)], 5), 5, 2)
layers = []
for step in range(2):
    layers += [linear(3), T.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(3, 7, 2, 5, "linear", 3.0, num_blocks=2)]
nflows("nsf_autoregressive", stack(layers + [linear(3)], 3), 3, 2)

# As simulation-based inference builds them: standardised data, then couplings, each before a matrix.
layers = [T.PointwiseAffineTransform(shift=torch.tensor([0.3, -0.2, 0.1, 0.0]), scale=torch.tensor([0.5, 2.0, 1.5, 0.7]))]
for step in range(2):
    mask = create_alternating_binary_mask(4, even=step % 2 == 0)
    layers.append(T.PiecewiseRationalQuadraticCouplingTransform(mask, net(activation=torch.tanh), 5, "linear", 3.0))
    layers.append(T.LULinear(4, identity_init=False))
layers += [T.ActNorm(4), T.PiecewiseRationalQuadraticCDF(4, 4, "linear", 3.0)]
nflows("nsf_standardised", stack(layers, 4), 4)


def zukos(name, flow, features, context=0):
    given = lambda flow, c: flow(c) if context else flow()
    return write(name, flow, features, context, lambda flow, x, c: given(flow, c).log_prob(x), lambda flow, u, c: given(flow, c).transform.inv(u))


small = {"hidden_features": (8, 10), "transforms": 3}
zukos("zuko_nsf", zuko.flows.NSF(4, 0, bins=5, **small), 4)
zukos("zuko_nsf_context", zuko.flows.NSF(3, 2, bins=8, transforms=2, hidden_features=(9,), activation=torch.nn.ELU), 3, 2)
zukos("zuko_nsf_groups", zuko.flows.NSF(5, 0, bins=4, passes=2, **small), 5)
zukos("zuko_nsf_one", zuko.flows.NSF(1, 0, bins=6, transforms=2), 1)
zukos("zuko_maf", zuko.flows.MAF(4, 0, **small), 4)
state = zukos("zuko_maf_context", zuko.flows.MAF(3, 2, randperm=True, **small), 3, 2)
torch.save(state, folder / "zuko_maf_context.pt")
zukos("zuko_maf_one", zuko.flows.MAF(1, 2, transforms=2, hidden_features=(5, 6)), 1, 2)
save_file(truth, folder / "truth.f64.safetensors")
