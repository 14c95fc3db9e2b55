"""What share of the relevance each concept has."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from earmark.statistics import Clusters, Interval, percentiles, resampled_counts


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
