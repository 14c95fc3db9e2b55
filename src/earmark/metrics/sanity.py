"""How alike two explanations of a clip are, and what is done to clips that should change none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from earmark.metrics.objects import ranks
from earmark.sound.base import Frontend

CHECKS = NETWORK, CLASS, SEED, NOISE, SHIFT = "network", "class", "seed", "noise", "shift"
"""What is another one: the first two should change a map, the others should not."""

DECIBELS = 40.0
"""How far the noise that nobody minds lies below the clip."""


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Cosine between maps ``[B, F, T]``, float64 ``[B]``; NaN where one is 0 everywhere."""
    first, second = (maps.double().flatten(1) for maps in (one, other))
    return (first * second).sum(dim=1) / (first.norm(dim=1) * second.norm(dim=1))


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """Rank correlation of maps ``[B, F, T]``, float64 ``[B]``; equal cells share a rank; NaN where all are equal."""
    first, second = (ranks(maps.flatten(1)) for maps in (one, other))
    return cosine(first - first.mean(dim=1, keepdim=True), second - second.mean(dim=1, keepdim=True))


def noisy(waveforms: Tensor, seeds: Sequence[int], decibels: float = DECIBELS) -> Tensor:
    """Add white noise to clips.

    Parameters
    ----------
    waveforms : Tensor
        ``[B, S]``.
    seeds : sequence of int
        Of each clip's noise.
    decibels : float
        By which its power lies below the clip's.

    Returns
    -------
    Tensor
        ``[B, S]``; silence stays silent.
    """
    noise = torch.empty(waveforms.shape)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(seed))
    level = waveforms.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-decibels / 20)
    return waveforms + level * noise.to(waveforms)


def column(frontend: Frontend) -> int | None:
    """Count the samples between two columns of a heatmap; None where nobody has said where they lie."""
    times = frontend.times
    return None if times is None or len(times) < 2 else round(float(times[1] - times[0]) * frontend.sample_rate)


def later(waveforms: Tensor, samples: int) -> Tensor:
    """Let sounds ``[..., S]`` begin some samples later, after silence; what no longer fits is cut off."""
    moved = torch.zeros_like(waveforms)
    moved[..., samples:] = waveforms[..., :-samples]
    return moved
