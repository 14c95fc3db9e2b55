"""The scores of patch flipping, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from earmark.metrics.flipping import matched_budget, patch_flipping
from earmark.metrics.overlap import overlap
from earmark.seeds import derive

SCORES = ("thesis", "fair_zero", "fair_floor", "overlap", "matched_budget")

CLIPS = 64
"""Clips scored at once; bounds memory and decides nothing else but the order of ties."""


def score(
    network: nn.Module, inputs: Tensor, targets: Tensor, heatmaps: Tensor, standard: Tensor, config: Mapping[str, Any]
) -> Tensor:
    """Compute every score of a batch of clips.

    Parameters
    ----------
    network : nn.Module
        The explained model.
    inputs : Tensor [B, 1, F, T]
        Log-mel spectrograms.
    targets : Tensor [B]
        Explained classes.
    heatmaps : Tensor [B, K, 1, F, T]
        Of the concepts.
    standard : Tensor [B, 1, 1, F, T]
        Standard heatmaps of the same clips.
    config : mapping
        ``evaluate`` and ``seed``.

    Returns
    -------
    Tensor [B, 5]
        Columns in the order of ``SCORES``.
    """
    patch, seed = config["evaluate"]["patch"], ties_seed(config)
    zero = patch_flipping(network, inputs, targets, heatmaps, patch, "zero", seed)
    floor = patch_flipping(network, inputs, targets, heatmaps, patch, "floor", seed)
    control = matched_budget(network, inputs, targets, standard, zero.union_counts, patch, seed)
    return torch.stack([zero.thesis, zero.fair, floor.fair, overlap(heatmaps), control], dim=1)


def ties_seed(config: Mapping[str, Any]) -> int:
    """Return the seed that orders equally relevant patches, the same in every stage that flips patches."""
    return derive(config["seed"], "flipping")


def batches(n_clips: int) -> Iterator[slice]:
    """Cut n clips into slices of at most ``CLIPS``, the same in every stage that flips patches."""
    for start in range(0, n_clips, CLIPS):
        yield slice(start, min(start + CLIPS, n_clips))
