"""Small ImageNet models of Flow++ by the authors' own code, with random weights: files in the format of the released
ones, and what that code computes from them in float64.

    git clone https://github.com/hojonathanho/localbitsback
    python tests/golden/authors/imagenet.py localbitsback

Needs torch, numpy, safetensors. Written: flowpp_imagenet{32,64}_small.{npz,f64.safetensors}, beside this program.

The authors' classes fix the size of the images and of the context, and their loaders the number of blocks. Their text is
run with smaller numbers in these places and is otherwise unchanged. Names and layouts are those that their loader asks
for, and each file is read back by it, bit for bit. Weights have 8 significant bits, so that they pack well.
"""

import importlib
import pathlib
import sys
import types

import numpy as np
import torch
from safetensors.numpy import save_file

REPOSITORY = pathlib.Path(sys.argv[1]).resolve()
HERE = pathlib.Path(__file__).resolve().parent
SEED = 20261201

# What the authors' code imports to compress and to load images, which nothing here does.
silent = types.SimpleNamespace(update=lambda: None, close=lambda: None)
sys.modules["fast_ans"] = types.SimpleNamespace(Discretization=None, ANS=None)
sys.modules["tqdm"] = types.SimpleNamespace(tqdm=lambda *_, **__: silent)
sys.modules["torchvision"] = types.SimpleNamespace(datasets=types.SimpleNamespace(CIFAR10=object), transforms=None)
sys.path.insert(0, str(REPOSITORY))
# The same sum for tensors that newer versions of torch leave in another order.
utils = importlib.import_module("compression.utils")
utils.sumflat = lambda x: x.reshape(x.shape[0], -1).sum(1)
importlib.import_module("compression.coupling")

FILTERS, COMPONENTS, HEADS, CONTEXT = 4, 2, 2, 8
BLOCKS, NOISE_BLOCKS = 1, 2

SIZES = {
    32: [
        ("(3, 32, 16)", "(3, 8, 4)"), ("(6, 16, 16)", "(6, 4, 4)"), ("(12, 16, 8)", "(12, 4, 2)"),
        ("height = width = 32", "height = width = 8"), ("(3, 32, 32)", "(3, 8, 8)"), ("(12, 16, 16)", "(12, 4, 4)"),
        ("range(8)", f"range({NOISE_BLOCKS})"), (", 8, True)", f", {NOISE_BLOCKS}, True)"), (", 20, False)", f", {BLOCKS}, False)"),
    ],
    64: [
        ("(3, 64, 32)", "(3, 16, 8)"), ("(12, 32, 16)", "(12, 8, 4)"), ("(24, 16, 16)", "(24, 4, 4)"),
        ("(48, 16, 8)", "(48, 4, 2)"), ("(96, 8, 8)", "(96, 2, 2)"), ("(192, 8, 4)", "(192, 2, 1)"),
        ("(3, 64, 64)", "(3, 16, 16)"), ("(192, 8, 8)", "(192, 2, 2)"),
        ("range(5)", f"range({NOISE_BLOCKS})"), (", 5, True,", f", {NOISE_BLOCKS}, True,"), (", 16, False,", f", {BLOCKS}, False,"),
    ],
}
CONTEXT_SIZES = [
    ("hdim2 = 32", f"hdim2 = {CONTEXT}"), ("out_channels=32", f"out_channels={CONTEXT}"),
    ("aux_channels=32", f"aux_channels={CONTEXT}"),
]
READ = "tensor = torch.from_numpy(tf_params[tf_name])"


def module(size, read=READ):
    """The authors' module of a model, with small numbers, and `read` where it reads an array."""
    name = f"load_flowpp_imagenet{size}"
    text = (REPOSITORY / "compression" / "models" / f"{name}.py").read_text()
    for old, new in SIZES[size] + CONTEXT_SIZES:
        assert old in text, (name, old)
        text = text.replace(old, new)
    assert READ in text
    text = text.replace(READ, read)
    made = types.ModuleType(f"compression.models.{name}")
    made.__package__ = "compression.models"
    exec(compile(text, name, "exec"), made.__dict__)
    return made


def model(size, read=READ):
    made = module(size, read)
    kind = getattr(made, f"Imagenet{size}Model")
    sizes = dict(hdim=FILTERS, blocks=BLOCKS, dequant_blocks=NOISE_BLOCKS, mix_components=COMPONENTS, attn_heads=HEADS)
    return made, kind(force_float32_cond=False, **sizes)


def coarse(x):
    """float32 with 8 significant bits."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


class Names:
    """Stands for a file: it notes the names that the loader asks for."""

    def __init__(self, wanted):
        self.wanted = wanted

    def keys(self):
        return [f"unknown {i}" for i in range(self.wanted)]


def asked(size):
    """The array of each parameter: pairs of the authors' two names."""
    found = []
    made, small = model(size, "found.append((torch_name, tf_name)); return")
    made.found = found
    made.np = types.SimpleNamespace(load=lambda _: Names(len(list(small.parameters()))))
    try:
        small.load_from_tf("")
    except AssertionError:
        pass  # the names that it was told are not those it asked for
    assert len(found) == len(list(small.parameters())), size
    return found


BACK = {4: (2, 3, 1, 0), 3: (1, 2, 0), 2: (1, 0), 1: (0,)}


def weights(generator, name, shape):
    """Random values that reach all parts of the model, among them the bound of the log-scales."""
    normal = lambda scale: generator.standard_normal(shape) * scale
    leaf = name.split(".")[-1]
    if ".normalize." in name:
        return np.exp(normal(0.2)) if leaf == "g" else normal(0.3)
    if ".layernorm." in name:
        return 1 + normal(0.2) if leaf == "weight" else normal(0.2)
    if leaf == "pos_emb":
        return normal(0.5)
    if leaf == "g":
        return np.exp(normal(0.2)) * (0.1 if ".proj_out." in name else 1.0)
    if leaf == "b":
        values = normal(0.2)
        if ".proj_out." in name:
            # Log-scales near 0.5, and that of every third channel's second component below the bound: the first one
            # is wide, since their distribution function rounds to 1 at 37 scales.
            params = 2 + 3 * COMPONENTS
            for component in range(COMPONENTS):
                values[params - 1 - component::params] += 0.5
            values[params - 1::3 * params] = -9.0
        return values
    return normal(1 / np.sqrt(np.prod(shape[1:])) * (0.1 if ".proj_out." in name else 1.0))


def write(size):
    generator = np.random.default_rng(SEED + size)
    _, small = model(size)
    shapes = {name: tuple(p.shape) for name, p in small.named_parameters()}
    arrays = {}
    for torch_name, tf_name in asked(size):
        values = coarse(weights(generator, torch_name, shapes[torch_name]))
        arrays[tf_name] = np.ascontiguousarray(values.transpose(BACK[values.ndim]))
    path = HERE / f"flowpp_imagenet{size}_small.npz"
    np.savez_compressed(path, **arrays)

    made, small = model(size)
    small.load_from_tf(path)
    own = dict(small.named_parameters())
    for torch_name, tf_name in asked(size):
        values = arrays[tf_name]
        back = np.transpose(values, np.argsort(BACK[values.ndim]))
        assert (own[torch_name].detach().numpy() == back).all(), torch_name

    small = small.double().eval()
    side = 8 if size == 32 else 16
    x = torch.from_numpy(generator.integers(0, 256, (3, 3, side, side)))
    eps = torch.from_numpy(generator.standard_normal((3, 3, side, side)))
    with torch.no_grad():
        u, dequant_logd = small.dequant_flow(eps=eps, aux=x.double(), inverse=False)
        normal = -0.5 * (eps ** 2 + np.log(2 * np.pi))
        dequant_logd = dequant_logd - normal.flatten(1).sum(1)
        z, main_logd = small.main_flow(x.double() + u, aux=None, inverse=False)
        z_logp = (-0.5 * (z ** 2 + np.log(2 * np.pi))).flatten(1).sum(1)
    values = dict(x=x, eps=eps, u=u, dequant_logd=dequant_logd, z=z, main_logd=main_logd,
                  total_logd=dequant_logd + main_logd + z_logp)
    save_file({name: value.contiguous().numpy() for name, value in values.items()},
              HERE / f"flowpp_imagenet{size}_small.f64.safetensors")
    count = sum(a.size for a in arrays.values())
    print(size, len(arrays), "arrays", count, "numbers", path.stat().st_size, "bytes", "log-density", values["total_logd"].tolist())
    print("  largest |z|", float(z.abs().max()))


for size in (32, 64):
    write(size)
