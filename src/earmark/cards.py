"""Concept cards: what is the same about a concept in all clips of a class.

A concept is told by the clips in which it weighs most, by where in time and frequency it lies on average, and by its
share of the relevance. All that is said of the scored clips, and concept `n` is the same subspace in each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from earmark.statistics import Clusters, Interval, percentiles, resampled_counts

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


def shares(relevance: ArrayLike, groups: ArrayLike, draws: int, seed: int, level: float = 0.95) -> list[Interval]:
    """Share the relevance of all clips out among the concepts.

    Parameters
    ----------
    relevance : array [n, K]
        Per clip and concept, of either sign.
    groups : array [n]
        Group of each clip; whole groups are resampled.
    draws, seed : int
        Of the resampling.
    level : float
        Coverage of the intervals.

    Returns
    -------
    list of Interval
        K parts of 1: relevance of a concept, summed over clips, over that of all concepts. Sums are divided, not
        clips, whose own sum may be close to 0. Bounds are NaN where fewer than two groups speak.
    """
    clusters = Clusters.of(groups)
    sums = clusters.sums(relevance)[:, 0]  # [G, K]
    total = sums.sum(axis=0)
    estimates = total / total.sum()
    if len(sums) < 2:
        return [Interval(float(estimate), np.nan, np.nan) for estimate in estimates]
    resampled = resampled_counts(clusters, draws, seed) @ sums  # [draws, K]
    low, high = percentiles(resampled / resampled.sum(axis=1, keepdims=True), level)
    return [Interval(*map(float, bounds)) for bounds in zip(estimates, low, high, strict=True)]
