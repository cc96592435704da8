#!/usr/bin/env python3
"""Glow by the formulas of its released code (openai/glow at 91b2c57: model.py, tfops.py), with random weights:
files with that code's names and layouts, and what the formulas give from them in float64.

    python3 tests/golden/glow_official.py      writes glow_official_{affine,shuffle,reverse,lu,classes}.npz and
                                               glow_official.f64.safetensors beside this file
                                               (numpy 2, torch 2.15, safetensors 0.8)

Images are [batch, height, width, channels] and weights [height, width, in, out], as in TensorFlow. A convolution is a sum over its nine places,
so nothing here depends on how PyTorch lays out its own. Weights are stored in float32, as the released code does, and computed with in float64.
The released code computes in float32, and the matrix of the LU form alone in float64.

For each CASE: levels `CASE.x`, noise `CASE.u` in [0, 1), class `CASE.y` (one-hot) where there is one; latents `CASE.z0`, `CASE.z1`, ... of the
scales (the `eps` of the released code), `CASE.objective` = ln p of the levels for this noise, in nats; fresh latents `CASE.eps0`, ... and the
image `CASE.image` that they decode to, before it is rounded; logits `CASE.logits` of the classifier. Images and latents are NHWC.
"""
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).resolve().parent
random = np.random.default_rng(20261201)
BATCH, SIDE = 2, 8
truth = {}


class Variables(dict):
    """The arrays of a checkpoint."""

    def normal(self, name, shape, deviation):
        self.put(name, deviation * random.standard_normal(shape))

    def put(self, name, values):
        """In float32 with 12 significant bits, which pack well."""
        mantissa, exponent = np.frexp(values)
        self[name] = np.ldexp(np.round(mantissa * 4096) / 4096, exponent).astype(np.float32)

    def of(self, name):
        return torch.from_numpy(self[name].astype(np.float64))


def create_norm(w, scope, channels):
    w.normal(f"{scope}/actnorm_center/b", (1, 1, 1, channels), 0.2)
    w.normal(f"{scope}/actnorm_scale/logs", (1, 1, 1, channels), 0.08)


def create_zero_conv(w, scope, inputs, outputs, deviation):
    w.normal(f"{scope}/W", (3, 3, inputs + 1, outputs), deviation)
    w.normal(f"{scope}/b", (1, 1, 1, outputs), 0.1)
    w.normal(f"{scope}/logs", (1, outputs), 0.1)


def create_zero_linear(w, scope, inputs, outputs):
    w.normal(f"{scope}/W", (inputs, outputs), 0.2)
    w.normal(f"{scope}/b", (1, outputs), 0.1)
    w.normal(f"{scope}/logs", (1, outputs), 0.1)


def create(case):
    w, channels = Variables(), 12
    for i in range(case["n_levels"]):
        for j in range(case["depth"]):
            scope = f"model/{i}/{j}"
            create_norm(w, scope, channels)
            if case["permutation"] == "shuffle":
                order = random.permutation(channels).astype(np.int32)
                w[f"{scope}/shuffle/indices"] = order
                w[f"{scope}/shuffle/indices_inverse"] = np.argsort(order).astype(np.int32)
            elif case["permutation"] == "invconv":
                orthogonal = np.linalg.qr(random.standard_normal((channels, channels)))[0]
                w.put(f"{scope}/invconv/W", orthogonal + 0.05 * random.standard_normal((channels, channels)))
            elif case["permutation"] == "lu":
                w[f"{scope}/invconv/P"] = np.eye(channels, dtype=np.float32)[random.permutation(channels)]
                w.normal(f"{scope}/invconv/L", (channels, channels), 0.3)
                w.normal(f"{scope}/invconv/U", (channels, channels), 0.3)
                w[f"{scope}/invconv/sign_S"] = random.choice([-1.0, 1.0], channels).astype(np.float32)
                w.normal(f"{scope}/invconv/log_S", (channels,), 0.2)
            width, half = case["width"], channels // 2
            w.normal(f"{scope}/f1/l_1/W", (3, 3, half + 1, width), 0.15)
            create_norm(w, f"{scope}/f1/l_1", width)
            w.normal(f"{scope}/f1/l_2/W", (1, 1, width, width), 0.4)
            create_norm(w, f"{scope}/f1/l_2", width)
            create_zero_conv(w, f"{scope}/f1/l_last", width, channels if case["coupling"] == "affine" else half, 0.1)
        if i + 1 < case["n_levels"]:
            create_zero_conv(w, f"model/pool{i}/conv", channels // 2, channels, 0.05)
            channels *= 2
    if case["learntop"]:
        create_zero_conv(w, "model/prior/p", 2 * channels, 2 * channels, 0.2)
        # Only the border channel is ever multiplied by more than zero. The others pack better as one number.
        w["model/prior/p/W"][:, :, :-1] = 0.125
    if case["classes"]:
        create_zero_linear(w, "model/prior/y_emb", case["classes"], 2 * channels)
        create_zero_linear(w, "model/classifier", channels, case["classes"])
    return w


# The formulas. The border is a channel of ones around the image.
def convolution(x, weight):
    height, width = weight.shape[:2]
    if (height, width) == (1, 1):
        return x @ weight[0, 0]
    a, b = height // 2, width // 2
    rows, columns = x.shape[1:3]
    padded = x.new_zeros(x.shape[0], rows + 2 * a, columns + 2 * b, x.shape[3] + 1)
    padded[:, :, :, -1] = 1.0
    padded[:, a:-a, b:-b, -1] = 0.0
    padded[:, a:-a, b:-b, :-1] = x
    return sum(padded[:, i:i + rows, j:j + columns] @ weight[i, j] for i in range(height) for j in range(width))


def norm(w, scope, x, reverse=False):
    b, logs = w.of(f"{scope}/actnorm_center/b"), 3 * w.of(f"{scope}/actnorm_scale/logs")
    y = x * torch.exp(-logs) - b if reverse else (x + b) * torch.exp(logs)
    return y, logs.sum() * x.shape[1] * x.shape[2]


def zero_conv(w, scope, x):
    return (convolution(x, w.of(f"{scope}/W")) + w.of(f"{scope}/b")) * torch.exp(3 * w.of(f"{scope}/logs"))


def zero_linear(w, scope, x):
    return (x @ w.of(f"{scope}/W") + w.of(f"{scope}/b")) * torch.exp(3 * w.of(f"{scope}/logs"))


def network(w, scope, x):
    h = torch.relu(norm(w, f"{scope}/l_1", convolution(x, w.of(f"{scope}/l_1/W")))[0])
    h = torch.relu(norm(w, f"{scope}/l_2", convolution(h, w.of(f"{scope}/l_2/W")))[0])
    return zero_conv(w, f"{scope}/l_last", h)


def matrix(w, scope, channels):
    if f"{scope}/W" in w:
        return w.of(f"{scope}/W")
    mask = torch.tril(torch.ones(channels, channels), -1)
    lower = w.of(f"{scope}/L") * mask + torch.eye(channels)
    upper = w.of(f"{scope}/U") * mask.T + torch.diag(w.of(f"{scope}/sign_S") * torch.exp(w.of(f"{scope}/log_S")))
    return w.of(f"{scope}/P") @ lower @ upper


def mix(case, w, scope, x, reverse=False):
    """The channel mixing and its log-determinant."""
    channels = x.shape[3]
    if case["permutation"] == "reverse":
        return x.flip(3), 0.0
    if case["permutation"] == "shuffle":
        name = "indices_inverse" if reverse else "indices"
        return x[..., torch.from_numpy(w[f"{scope}/shuffle/{name}"]).long()], 0.0
    m = matrix(w, f"{scope}/invconv", channels)
    return x @ (torch.linalg.inv(m) if reverse else m), torch.linalg.slogdet(m)[1] * x.shape[1] * x.shape[2]


def step(case, w, scope, x):
    x, total = norm(w, scope, x)
    x, log_det = mix(case, w, scope, x)
    total = total + log_det
    x1, x2 = x.chunk(2, 3)
    h = network(w, f"{scope}/f1", x1)
    if case["coupling"] == "additive":
        x2 = x2 + h
    else:
        scale = torch.sigmoid(h[..., 1::2] + 2.0)
        x2 = (x2 + h[..., 0::2]) * scale
        total = total + torch.log(scale).sum((1, 2, 3))
    return torch.cat([x1, x2], 3), total


def step_back(case, w, scope, x):
    x1, x2 = x.chunk(2, 3)
    h = network(w, f"{scope}/f1", x1)
    x2 = x2 - h if case["coupling"] == "additive" else x2 / torch.sigmoid(h[..., 1::2] + 2.0) - h[..., 0::2]
    x, _ = mix(case, w, scope, torch.cat([x1, x2], 3), True)
    return norm(w, scope, x, True)[0]


def squeeze(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, 4 * c)


def unsqueeze(x):
    n, h, w, c = x.shape
    return x.reshape(n, h, w, c // 4, 2, 2).permute(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c // 4)


def half_prior(w, scope, x1):
    h = zero_conv(w, f"{scope}/conv", x1)
    return h[..., 0::2], h[..., 1::2]


def top_prior(case, w, shape, y):
    n, height, width, channels = shape
    h = torch.zeros(n, height, width, 2 * channels)
    if case["learntop"]:
        h = zero_conv(w, "model/prior/p", h)
    if case["classes"]:
        h = h + zero_linear(w, "model/prior/y_emb", y)[:, None, None]
    return h[..., :channels], h[..., channels:]


def log_normal(x, mean, logsd):
    density = -0.5 * (np.log(2 * np.pi) + 2 * logsd + (x - mean) ** 2 / torch.exp(2 * logsd))
    return density.sum((1, 2, 3))


def encode(case, w, x, u, y):
    levels = 2.0 ** case["bits"]
    z = x / levels - 0.5 + u / levels
    objective = torch.full((len(x),), -np.log(levels) * x[0].numel())
    latents = []
    z = squeeze(z)
    for i in range(case["n_levels"]):
        for j in range(case["depth"]):
            z, log_det = step(case, w, f"model/{i}/{j}", z)
            objective = objective + log_det
        if i + 1 < case["n_levels"]:
            z, z2 = z.chunk(2, 3)
            mean, logs = half_prior(w, f"model/pool{i}", z)
            objective = objective + log_normal(z2, mean, logs)
            latents.append((z2 - mean) / torch.exp(logs))
            z = squeeze(z)
    mean, logs = top_prior(case, w, z.shape, y)
    latents.append((z - mean) / torch.exp(logs))
    return latents, objective + log_normal(z, mean, logs), z


def decode(case, w, latents, y):
    mean, logs = top_prior(case, w, latents[-1].shape, y)
    z = mean + torch.exp(logs) * latents[-1]
    for i in reversed(range(case["n_levels"])):
        if i + 1 < case["n_levels"]:
            z = unsqueeze(z)
            mean, logs = half_prior(w, f"model/pool{i}", z)
            z = torch.cat([z, mean + torch.exp(logs) * latents[i]], 3)
        for j in reversed(range(case["depth"])):
            z = step_back(case, w, f"model/{i}/{j}", z)
    return unsqueeze(z)


def write(name, **settings):
    case = {"bits": 8, "n_levels": 2, "depth": 1, "width": 4, "learntop": True, "classes": 0, **settings}
    w = create(case)
    np.savez_compressed(HERE / f"glow_official_{name}.npz", **w)
    x = torch.from_numpy(random.integers(0, 2 ** case["bits"], (BATCH, SIDE, SIDE, 3)).astype(np.float64))
    # Noise of a few bits, so that levels and noise pack well and their sum is exact in float32.
    u = torch.from_numpy(random.integers(0, 16, x.shape) / 16.0)
    y = torch.eye(case["classes"])[[3, 1]] if case["classes"] else None
    latents, objective, top = encode(case, w, x, u, y)
    levels = 2.0 ** case["bits"]
    image = (x + u) / levels - 0.5
    assert (decode(case, w, latents, y) - image).abs().max() < 1e-11
    fresh = [torch.from_numpy(random.integers(-16, 17, z.shape) / 16.0) for z in latents]
    stored = {"x": x, "u": u, "objective": objective, "image": decode(case, w, fresh, y)}
    for i, (z, eps) in enumerate(zip(latents, fresh)):
        stored |= {f"z{i}": z, f"eps{i}": eps}
    if case["classes"]:
        stored |= {"y": y, "logits": zero_linear(w, "model/classifier", top.mean((1, 2)))}
    # One example is enough where there is no class.
    kept = BATCH if case["classes"] else 1
    truth.update({f"{name}.{key}": np.ascontiguousarray(value[:kept].numpy()) for key, value in stored.items()})
    deviation = [round(float(z.std()), 2) for z in latents]
    print(f"{name}: {sum(v.size for v in w.values())} numbers, ln p {objective.numpy().round(1)}, latents {deviation}")


write("affine", permutation="invconv", coupling="affine", depth=2, width=6)
write("shuffle", permutation="shuffle", coupling="additive", depth=2)
write("reverse", permutation="reverse", coupling="additive", n_levels=3, width=3, learntop=False)
write("lu", permutation="lu", coupling="affine")
write("classes", permutation="invconv", coupling="additive", bits=5, classes=4)
save_file(truth, HERE / "glow_official.f64.safetensors")
