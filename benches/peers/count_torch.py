"""Operator calls of PyTorch's programs of the small Flow++ and Glow, and their bytes: what
`cargo bench --features launches --bench launches` counts of flowkit.

    python count_torch.py [--filter REGEX]

Every call that reaches a kernel counts, forward, backward and optimizer: those below autograd
(`TorchDispatchMode`), except views, allocations and copies of numbers to the host. On a GPU, eager
PyTorch launches one kernel or more for each. The optimizer is in the form that it has there, which
takes all tensors at once (`foreach`). Bytes are the sizes of the tensors that go in (read) and come
out (written). One JSON line each.
"""
import argparse
import collections
import functools
import json
import re

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench_torch import ITEMS

NO_KERNEL = {"empty", "empty_like", "empty_strided", "new_empty", "detach", "alias", "_unsafe_view",
             "_local_scalar_dense", "new_empty_strided", "_record_function_enter_new",
             "_record_function_exit"}


def size(values):
    return sum(v.numel() * v.element_size() for v in tree_leaves(values) if torch.is_tensor(v))


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = collections.Counter()
        self.read = self.written = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if not func.is_view and name not in NO_KERNEL:
            self.calls[name] += 1
            self.read += size((args, kwargs))
            self.written += size(out)
        return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--filter", default=r"^(c\.flowpp\..*cifar|d\.glow|e\.toy2d)")
    a = ap.parse_args()
    torch.optim.Adam = functools.partial(torch.optim.Adam, foreach=True)
    for name, impl, _, setup in ITEMS:
        if impl != "own" or not re.search(a.filter, name):
            continue
        torch.manual_seed(0)
        run, notes = setup(lambda f, **_: f)
        run()
        with Count() as count:
            run()
        line = dict(item=name, impl="torch", mode=torch.__version__,
                    calls=sum(count.calls.values()), read_bytes=count.read,
                    written_bytes=count.written, kernels=dict(count.calls.most_common()), **notes)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
