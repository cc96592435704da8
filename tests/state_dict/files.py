"""Writes the files of this folder's tests with NumPy and PyTorch.

    python3 tests/state_dict/files.py

Written with NumPy 2.4.6, PyTorch 2.15.0 and safetensors 0.8.0.
"""

import collections
import pathlib
import zipfile

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

FILES = pathlib.Path(__file__).parent / "files"
NUMBERS = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


def numbers(dtype):
    """Six values: the ends of the type and what is between."""
    if dtype.kind == "f":
        ends = np.finfo(dtype)
        return np.array([[0.1, -0.0, 3.0], [ends.max, ends.smallest_subnormal, -np.inf]], dtype)
    ends = np.iinfo(dtype)
    most = min(int(ends.max), 2**63 - 1)
    return np.array([[0, 1, 2], [ends.min, most, 7]], dtype)


def arrays():
    named = {"bool": np.array([True, False, True])}
    for kind in NUMBERS:
        for order in "<>":
            dtype = np.dtype(order + kind)
            named[f"{kind}/{'little' if order == '<' else 'big'}"] = numbers(dtype)
    named["fortran"] = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    named["fortran_big"] = np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3))
    named["scalar"] = np.float64(2.5)
    named["empty"] = np.zeros((0, 3), np.float32)
    named["empty_fortran"] = np.zeros((3, 0), np.float32, order="F")
    named["Norm_3/norm0/g"] = np.full((1, 1, 2), 0.25, np.float32)
    named["größe"] = np.arange(3)
    named["weight:0"] = np.array([1.5], np.float32)
    return named


def npz():
    np.savez(FILES / "stored.npz", **arrays())
    np.savez_compressed(FILES / "deflated.npz", **arrays())
    np.savez(FILES / "none.npz")
    with zipfile.ZipFile(FILES / "versions.npz", "w") as archive:
        for major in 1, 2, 3:
            with archive.open(f"version{major}.npy", "w") as entry:
                array = np.arange(4, dtype=np.float32)
                np.lib.format.write_array(entry, array, version=(major, 0))
        archive.comment = b"a comment"
    refused = {
        "object": np.array([1, "a"], object),
        "bytes": np.array([b"ab"]),
        "text": np.array(["ab"]),
        "structured": np.zeros(2, [("a", "<f4"), ("b", "<i4")]),
        "complex": np.zeros(2, np.complex64),
        "date": np.zeros(1, "datetime64[s]"),
        "void": np.zeros(1, "V2"),
        "large": np.array([2**63], np.uint64),
    }
    for name, array in refused.items():
        np.savez(FILES / f"refused_{name}.npz", a=array)
    np.save(FILES / "refused_lone.npy", np.arange(3))
    for method in "BZIP2", "LZMA":
        path = FILES / f"refused_{method.lower()}.npz"
        with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{method}")) as archive:
            with archive.open("a.npy", "w") as entry:
                np.lib.format.write_array(entry, np.arange(4))


def safetensors_files():
    named = {name: array for name, array in arrays().items() if not name.endswith("/big")}
    # The crate takes what is in memory, in whichever order.
    named = {name: np.ascontiguousarray(array) for name, array in named.items()}
    named["scalar"] = np.array(2.5)
    named["fortran_big"] = named["fortran_big"].astype("<f8")
    safetensors.numpy.save_file(named, FILES / "numpy.safetensors", {"a": "note"})
    half = torch.tensor([1.5, -2.0, 3.0e38], dtype=torch.bfloat16)
    safetensors.torch.save_file({"bfloat16": half}, FILES / "bfloat16.safetensors")
    small = {"a": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    safetensors.torch.save_file(small, FILES / "refused_float8.safetensors")


def tensors():
    grid = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    named = {
        "grid": grid,
        "transposed": grid.t(),
        "part": grid[1:3, 2:5],
        "step": grid[:, ::2],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "bool": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(grid[0]),
        "bfloat16": torch.tensor([1.5, -2.0, 3.0e38], dtype=torch.bfloat16),
        "half": torch.tensor([0.1, 65504.0], dtype=torch.float16),
    }
    for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
        dtype = getattr(torch, kind)
        ends = torch.iinfo(dtype)
        named[kind] = torch.tensor([ends.min, min(ends.max, 2**63 - 1)], dtype=dtype)
    return named


def pytorch():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.75)
    state = model.state_dict()
    torch.save(state, FILES / "model.pt")
    torch.save(tensors(), FILES / "tensors.pt")
    torch.save(collections.OrderedDict(), FILES / "none.pt")
    small = torch.nn.Module()
    small.weight = torch.nn.Parameter(torch.arange(6, dtype=torch.float32).reshape(2, 3).t())
    small.register_buffer("part", small.weight.detach()[1:, :1])
    small.register_buffer("bits", torch.tensor([1, 2], dtype=torch.uint16))
    torch.save(small.state_dict(keep_vars=True), FILES / "small.pt")
    torch.save(state, FILES / "refused_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"state": state, "epoch": 3}, FILES / "refused_nested.pt")
    torch.save({"state": state, "rate": 0.5}, FILES / "refused_float.pt")
    torch.save(model, FILES / "refused_model.pt")
    torch.save(state, FILES / "refused_protocol.pt", pickle_protocol=4)
    torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, FILES / "refused_complex.pt")
    torch.save({"a": torch.eye(2).to_sparse()}, FILES / "refused_sparse.pt")
    torch.save({"a": torch.tensor([2**63], dtype=torch.uint64)}, FILES / "refused_large.pt")
    torch.save({"a": torch.zeros(1).expand(100_000)}, FILES / "refused_expanded.pt")
    torch.save({1: torch.zeros(1)}, FILES / "refused_key.pt")
    torch.save(torch.zeros(1), FILES / "refused_tensor.pt")
    torch.jit.save(torch.jit.script(model), FILES / "refused_script.pt")
    torch.serialization.set_crc32_options(False)
    torch.save(state, FILES / "without_checksums.pt")


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    npz()
    safetensors_files()
    pytorch()
