"""Splits MNIST's 10,000 test images into 9,000 for training and 1,000 that are held out, in MNIST's own format.

    python examples/runs/models/split.py FOLDER_WITH_MNIST NEW_FOLDER
"""

import gzip
import pathlib
import struct
import sys

source, target = map(pathlib.Path, sys.argv[1:])


def read(name):
    packed = source / f"{name}.gz"
    return gzip.open(packed).read() if packed.exists() else (source / name).read_bytes()


images, labels = read("t10k-images-idx3-ubyte"), read("t10k-labels-idx1-ubyte")
assert struct.unpack(">4I", images[:16]) == (2051, 10000, 28, 28)
assert struct.unpack(">2I", labels[:8]) == (2049, 10000)
target.mkdir(parents=True, exist_ok=True)
for name, first, last in [("train", 0, 9000), ("t10k", 9000, 10000)]:
    count = last - first
    pixels, classes = images[16 + first * 784:16 + last * 784], labels[8 + first:8 + last]
    (target / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + pixels)
    (target / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + classes)
