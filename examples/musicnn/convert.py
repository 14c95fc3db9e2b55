"""Turn the network `MTT_vgg` of musicnn into files that torch reads, without TensorFlow.

`pip install --no-deps musicnn==0.1.0` brings the checkpoint. Written are `mtt_vgg.safetensors`, the state dict of
`examples/musicnn/network.py`, and `classes.txt`, the tags in the order of its outputs.

A checkpoint of TensorFlow is two files: tensors one after another, and an index that says where each is. The index
is a table of LevelDB (its `table_format.md`) from names to messages `BundleEntryProto` (`tensor_bundle.proto`).
"""

import argparse
import ast
import importlib.util
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from earmark.errors import EarmarkError

PACKAGE = "musicnn"
CHECKPOINT = f"{PACKAGE}/MTT_vgg"
TAGS = "MTT_LABELS"
INSTALL = "pip install --no-deps musicnn==0.1.0"

FOOTER = 48
"""Bytes at a table's end: where its two indices are, padded, and `MAGIC`."""

MAGIC = bytes.fromhex("57fb808b247547db")
UNCOMPRESSED = 0
FLOAT32 = 1
"""Number of the type in `types.proto`."""

VARINT, BYTES, FIXED32 = 0, 2, 5
"""Wire types of protocol buffers that a `BundleEntryProto` has."""

DTYPE, SHAPE, OFFSET, SIZE = 1, 2, 4, 5
"""Fields of a `BundleEntryProto`; in a shape, field 2 holds the dimensions, and in a dimension, field 1 its length."""

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, the lowest first; return it and where the next thing begins."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def message(data: bytes) -> dict[int, list]:
    """Read a protocol buffer: the values of every field, in order; numbers, or bytes of what is nested."""
    fields: dict[int, list] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == VARINT:
            value, at = varint(data, at)
        elif key & 7 == BYTES:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif key & 7 == FIXED32:
            value, at = int.from_bytes(data[at : at + 4], "little"), at + 4
        else:
            raise EarmarkError(f"the index of the checkpoint is damaged: install it again with {INSTALL}")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Read where a block begins and how long it is, and where the next thing begins."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Read the keys and values of a block; a key names only where it departs from the one before it."""
    if table[offset + size] != UNCOMPRESSED:
        raise EarmarkError("the index of the checkpoint is compressed, which TensorFlow does not do to a checkpoint")
    restarts = int.from_bytes(table[offset + size - 4 : offset + size], "little")
    at, end = offset, offset + size - 4 * (restarts + 1)
    key = b""
    while at < end:
        shared, at = varint(table, at)
        fresh, at = varint(table, at)
        length, at = varint(table, at)
        key = key[:shared] + table[at : at + fresh]
        at += fresh
        yield key, table[at : at + length]
        at += length


def entries(table: bytes) -> dict[str, bytes]:
    """Read a LevelDB table: from its footer to its index, and from there to its blocks."""
    if table[-len(MAGIC) :] != MAGIC:
        raise EarmarkError(f"the index of the checkpoint is damaged: install it again with {INSTALL}")
    footer = table[-FOOTER:]
    _, at = handle(footer, 0)  # of the index of filters
    index, _ = handle(footer, at)
    return {
        key.decode(): value for _, place in block(table, *index) for key, value in block(table, *handle(place, 0)[0])
    }


def tensor(entry: bytes, data: bytes) -> np.ndarray:
    """Take the tensor out of a checkpoint's data that an entry of its index describes."""
    fields = message(entry)
    if fields[DTYPE] != [FLOAT32]:
        raise EarmarkError("the checkpoint holds other weights than float32, which musicnn 0.1.0 does not")
    shape = [message(dimension).get(1, [0])[0] for dimension in message(fields[SHAPE][0]).get(2, [])]
    (offset,), (size,) = fields.get(OFFSET, [0]), fields[SIZE]  # an offset of 0 is left out
    if offset + size > len(data):
        raise EarmarkError(f"the data of the checkpoint end too early: install it again with {INSTALL}")
    return np.frombuffer(data[offset : offset + size], dtype="<f4").reshape(shape)


def state_dict(index: bytes, data: bytes) -> dict[str, torch.Tensor]:
    """Name a checkpoint's tensors as `examples/musicnn/network.py` does, and lay them out as torch does."""
    table = entries(index)

    def weights(name: str) -> torch.Tensor:
        if name not in table:
            raise EarmarkError(f"the checkpoint holds no {name}: use musicnn 0.1.0, {INSTALL}")
        return torch.from_numpy(tensor(table[name], data).copy())

    state = {}
    for number, layer in enumerate(["input_norm", "norm1", "norm2", "norm3", "norm4", "norm5"]):
        scope = f"batch_normalization_{number}" if number else "batch_normalization"
        state |= {f"{layer}.{ours}": weights(f"{scope}/{theirs}") for ours, theirs in NORM.items()}
    for number in range(1, 6):
        kernel = weights(f"{number}CNN/kernel")  # [time, mel, in, out]
        state[f"conv{number}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        state[f"conv{number}.bias"] = weights(f"{number}CNN/bias")
    dense = weights("dense/kernel")  # [2 * 1 * channels, tags]: time, mel, channel
    channels = len(state["conv5.bias"])
    by_channel = dense.unflatten(0, (-1, channels)).transpose(0, 1).flatten(0, 1)  # torch flattens the channel first
    state["dense.weight"] = by_channel.T.contiguous()
    state["dense.bias"] = weights("dense/bias")
    return state


def tags(source: str) -> list[str]:
    """Read the tags out of the source of musicnn's `configuration.py`, which is not run."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [TAGS]:
            return [str(tag) for tag in ast.literal_eval(node.value)]
    raise EarmarkError(f"{PACKAGE}/configuration.py names no {TAGS}: use musicnn 0.1.0, {INSTALL}")


def read(wheel: Path | None, name: str) -> bytes:
    """Read a file of the package, out of a wheel or of what is installed, without importing anything."""
    if wheel:
        if not zipfile.is_zipfile(wheel):
            raise EarmarkError(f"{wheel} is no wheel: name the .whl file of musicnn 0.1.0")
        root = zipfile.Path(wheel)
    else:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise EarmarkError(f"musicnn is not installed: {INSTALL}")
        root = Path(spec.submodule_search_locations[0]).parent
    try:
        return (root / name).read_bytes()
    except (OSError, KeyError):
        raise EarmarkError(f"{name} is missing from {wheel or root}: use musicnn 0.1.0, {INSTALL}") from None


def convert(wheel: Path | None, out: Path) -> None:
    """Write `mtt_vgg.safetensors` and `classes.txt` to a folder.

    Parameters
    ----------
    wheel : Path or None
        Of musicnn; None: the package that is installed.
    out : Path
        Is made where it is missing.
    """
    names = tags(read(wheel, f"{PACKAGE}/configuration.py").decode())
    state = state_dict(read(wheel, f"{CHECKPOINT}/.index"), read(wheel, f"{CHECKPOINT}/.data-00000-of-00001"))
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, out / "mtt_vgg.safetensors")
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def main() -> None:
    """Convert what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--wheel", type=Path, help="the .whl file of musicnn; without it, the installed package is read"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    try:
        convert(arguments.wheel, arguments.out)
    except EarmarkError as error:
        sys.exit(str(error))
    print(f"{arguments.out}: mtt_vgg.safetensors, classes.txt")


if __name__ == "__main__":
    main()
