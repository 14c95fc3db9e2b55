"""Whether PyTorch can compute on a GPU of this machine."""

from __future__ import annotations

import warnings

import torch


def fault() -> str | None:
    """Say why PyTorch cannot compute on a GPU here: a clause without a stop, None if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what PyTorch warns of is why it fails
        if not torch.cuda.is_available():
            return "PyTorch finds none that it can use (no driver, one that is too old, or no CUDA in the container)"
        try:
            torch.ones(1, device="cuda").add(1).item()
        except RuntimeError as error:  # such as a card that is too old for this build, or taken by somebody else
            return f"PyTorch cannot use this one: {str(error).splitlines()[0]}"
    return None
