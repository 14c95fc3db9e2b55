"""What `explain` writes: the heatmaps of a class's clips, and what is the same about a concept in all of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from earmark.errors import EarmarkError
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout

TOP = 3
"""Clips on a card."""


def relevances(heatmaps: Tensor) -> Tensor:
    """Sum the relevance of every concept: heatmaps ``[n, K, 1, F, T]`` to ``[n, K]``."""
    return heatmaps.sum(dim=(2, 3, 4))


def strongest(relevance: Tensor, count: int = TOP) -> Tensor:
    """List the clips in which each concept weighs most.

    Parameters
    ----------
    relevance : Tensor [n, K]
        Of n clips.
    count : int
        How many clips; all if there are fewer.

    Returns
    -------
    Tensor [K, m]
        Places among the n clips, the most relevant first; of equal ones the earlier.
    """
    return relevance.argsort(dim=0, descending=True, stable=True)[:count].T


def profiles(heatmaps: Tensor) -> Tensor:
    """Average positive relevance over n clips: ``[n, K, 1, F, T]`` to ``[K, F, T]``."""
    return heatmaps[:, :, 0].clamp_min(0).mean(dim=0)


def scored(path: Path) -> tuple[list[int], Tensor, Tensor]:
    """Read the scored clips of a ``heatmaps.safetensors``.

    Returns
    -------
    clips : list of int
        n rows of the clip index.
    heatmaps : Tensor [n, K, 1, F, T]
        Their heatmaps.
    logits : Tensor [n]
        Their logits of the explained class.
    """
    tensors, _ = artifacts.read_tensors(path)
    chosen = tensors["scored"].bool()
    return tensors["clips"][chosen].tolist(), tensors["heatmaps"][chosen], tensors["logits"][chosen]


def standard_maps(layout: Layout, split: str, cls: str, clips: list[int]) -> Tensor:
    """Read the standard heatmaps [n, 1, 1, F, T] of the given clips.

    Raises
    ------
    EarmarkError
        If one of the clips has no standard heatmap.
    """
    path = layout.concept(split, INPUT_LAYER, "standard", 1, cls) / "heatmaps.safetensors"
    tensors, _ = artifacts.read_tensors(path)
    row_of = {clip: row for row, clip in enumerate(tensors["clips"].tolist())}
    missing = [clip for clip in clips if clip not in row_of]
    if missing:
        raise EarmarkError(f"{path} lacks clip {missing[0]}: it is older than the heatmaps to be scored; explain again")
    return tensors["heatmaps"][[row_of[clip] for clip in clips]]
