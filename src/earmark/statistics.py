"""Intervals and tests for clips that come in groups (tracks, artists, speakers).

Clips of one group are alike, so groups are what is resampled and what changes sign. Everything
is a mean over clips within a class and then over classes (as in Table 4.4 of the thesis), so
that a class with many clips left out does not weigh less; without classes it is the plain mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALL = "all"
"""Stands in the column ``cls`` of tables for the mean over classes (Table 4.4: first over clips, then over classes)."""

DRAWS = {"seed": "seeds", "bootstrap": "resampled clips"}
"""Kinds of draws that stability is measured over, in words."""

Bar = tuple[float, float, float]
"""An estimate with the lower and upper bound of its interval, as tables hold it; bounds may be NaN."""

Bars = Mapping[tuple[str, str, int, str, str], Bar]
"""Of a table, by layer, method, K, class and metric; what is missing is not there."""

CHUNK = 2**22
"""Random numbers held at once."""


@dataclass(frozen=True)
class Clusters:
    """Which group, and which class, each of n clips belongs to.

    Attributes
    ----------
    group : array of int [n]
        Group of each clip, 0 .. G - 1.
    stratum : array of int [n]
        Class of each clip, 0 .. C - 1.
    """

    group: NDArray[np.int64]
    stratum: NDArray[np.int64]

    @classmethod
    def of(cls, groups: ArrayLike, strata: ArrayLike | None = None) -> Clusters:
        """Build from labels of groups [n] and, where given, of classes [n], both of any sortable kind."""
        group = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        if strata is None:
            return cls(group, np.zeros_like(group))
        return cls(group, np.unique(np.asarray(strata), return_inverse=True)[1].astype(np.int64))

    @property
    def n_groups(self) -> int:
        """Number of groups, G."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def n_strata(self) -> int:
        """Number of classes, C."""
        return int(self.stratum.max(initial=-1)) + 1

    @property
    def shared(self) -> NDArray[np.bool_]:
        """Whether a group has clips of a class: [G, C]."""
        return self.sums(np.ones(len(self.group))) > 0

    def sums(self, values: ArrayLike) -> NDArray[np.float64]:
        """Sum values [n, ...] per group and class: [G, C, ...]."""
        values = np.asarray(values, dtype=float)
        total = np.zeros((self.n_groups, self.n_strata, *values.shape[1:]))
        np.add.at(total, (self.group, self.stratum), values)
        return total


class Interval(NamedTuple):
    """An estimate with the bounds of its interval; the bounds are NaN where fewer than two groups speak."""

    estimate: float
    low: float
    high: float


def mean(values: ArrayLike, clusters: Clusters) -> NDArray[np.float64]:
    """Mean over clips within each class, then over classes.

    Parameters
    ----------
    values : array [n] or [n, m]
        Finite values per clip.
    clusters : Clusters
        Of the n clips.

    Returns
    -------
    array [] or [m]
        NaN where there are no clips.
    """
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return np.full(values.shape[1:], np.nan)
    return (values.T * _weights(clusters)).T.sum(axis=0)


def bootstrap(
    values: ArrayLike, clusters: Clusters, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> list[Interval]:
    """Percentile interval of the mean under resampling of whole groups.

    Parameters
    ----------
    values : array [n, m]
        m quantities per clip, finite; all are resampled with the same draws.
    clusters : Clusters
        Of the n clips.
    draws : int
        Number of resamples.
    seed : int
        Of the resampling.
    level : float
        Coverage.

    Returns
    -------
    list of Interval
        One per quantity.
    """
    values = np.asarray(values, dtype=float)
    return _intervals(mean(values, clusters), _resampled_means, values, clusters, draws, seed, level)


def standard_errors(values: ArrayLike, clusters: Clusters, draws: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Return the standard errors [m] of means of values [n, m] under the resampling of :func:`bootstrap`."""
    return _resampled_means(np.asarray(values, dtype=float), clusters, draws, seed).std(axis=0)


def median(values: ArrayLike, clusters: Clusters) -> NDArray[np.float64]:
    """Median over clips within each class, then mean over classes.

    Parameters
    ----------
    values : array [n, m]
        Finite values per clip.
    clusters : Clusters
        Of the n clips.

    Returns
    -------
    array [m]
        NaN where there are no clips.
    """
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return np.full(values.shape[1:], np.nan)
    return np.mean([np.median(values[clusters.stratum == c], axis=0) for c in np.unique(clusters.stratum)], axis=0)


def bootstrap_median(
    values: ArrayLike, clusters: Clusters, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> list[Interval]:
    """Percentile interval of the median under resampling of whole groups.

    Parameters
    ----------
    values, clusters, draws, seed, level
        As in :func:`bootstrap`; the draws are the same.

    Returns
    -------
    list of Interval
        One per quantity.
    """
    values = np.asarray(values, dtype=float)
    return _intervals(median(values, clusters), _resampled_medians, values, clusters, draws, seed, level)


def bootstrap_sums(
    values: ArrayLike,
    clusters: Clusters,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    draws: int = 2000,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate what is no mean but a function of sums, of all clips and of those of resampled groups.

    Parameters
    ----------
    values : array [n, ...]
        Finite values per clip, which are summed class by class.
    clusters : Clusters
        Of the n clips, at least one.
    statistic : callable
        Maps sums ``[..., C, *S]`` to values ``[..., C, *V]``, class by class.
    draws, seed
        Resamples of whole groups; the draws are those of :func:`bootstrap`.

    Returns
    -------
    array [C, *V]
        Of all clips.
    array [draws, C, *V]
        Of every resample, paired with that of other values of the same clips, draws and seed; NaN for a class of
        which no group was drawn.
    """
    sums = clusters.sums(values)  # [G, C, *S]
    times = _resampled_counts(clusters, draws, seed)  # [draws, G]
    resampled = statistic(np.tensordot(times, sums, axes=1))
    resampled[times @ clusters.shared == 0] = np.nan
    return statistic(sums.sum(axis=0)), resampled


def students(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of independent values ``[n]`` with Student's interval, which few values widen; no bounds for one value."""
    from scipy.special import stdtrit  # here, because hundreds of jobs ask for no such interval

    known = np.asarray(values, dtype=float)
    mean = float(known.mean())
    if len(known) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(len(known) - 1, (1 + level) / 2) * known.std(ddof=1) / math.sqrt(len(known)))
    return Interval(mean, mean - half, mean + half)


def sign_flip(differences: ArrayLike, clusters: Clusters, draws: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Test paired differences: could their signs, group by group, be a coin's? Two-sided p-values.

    Parameters
    ----------
    differences : array [n, m]
        m paired differences per clip, finite.
    clusters : Clusters
        Of the n clips; all clips of a group change sign together.
    draws : int
        Number of random sign patterns, the same for all m.
    seed : int
        Of the signs.

    Returns
    -------
    array [m]
        (1 + patterns at least as extreme) / (1 + draws); NaN where there are no clips.
    """
    differences = np.asarray(differences, dtype=float)
    if len(differences) == 0:
        return np.full(differences.shape[1], np.nan)
    # A group's part in the mean; its sign is all that the flips change.
    parts = np.zeros((clusters.n_groups, differences.shape[1]))
    np.add.at(parts, clusters.group, (differences.T * _weights(clusters)).T)
    # Sums of equal terms in another order may differ in the last digits: they are ties.
    threshold = np.abs(parts.sum(axis=0)) - 1e-9 * np.abs(parts).sum(axis=0)
    rng = np.random.default_rng(seed)
    extreme = np.zeros(differences.shape[1], dtype=np.int64)
    step = max(1, CHUNK // max(parts.shape))
    for start in range(0, draws, step):
        signs = 2.0 * rng.integers(0, 2, (min(step, draws - start), len(parts)), dtype=np.int8) - 1.0
        extreme += (np.abs(signs @ parts) >= threshold).sum(axis=0)
    return (1 + extreme) / (1 + draws)


def exact_sign_flip(differences: ArrayLike) -> float:
    """Test independent differences ``[n]``, of a dozen at most, by all patterns of signs: a two-sided p-value."""
    known = np.asarray(differences, dtype=float)
    patterns = 1 - 2 * (np.arange(2 ** len(known))[:, None] >> np.arange(len(known)) & 1)  # [2^n, n]
    threshold = abs(known.sum()) - 1e-9 * np.abs(known).sum()
    return float((np.abs(patterns @ known) >= threshold).mean())


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values [m] for their number (Holm 1979); NaN stays NaN and does not count."""
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    ascending = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(ascending), 0, -1)
    adjusted[ascending] = np.minimum(np.maximum.accumulate(p_values[ascending] * factors), 1.0)
    return adjusted


def _weights(clusters: Clusters) -> NDArray[np.float64]:
    """Weight of each clip [n] in the mean over classes of the mean over clips."""
    counts = np.bincount(clusters.stratum, minlength=clusters.n_strata)
    return 1.0 / (np.count_nonzero(counts) * counts[clusters.stratum])


def _intervals(
    estimates: NDArray[np.float64],
    resample: Callable[[NDArray[np.float64], Clusters, int, int], NDArray[np.float64]],
    values: NDArray[np.float64],
    clusters: Clusters,
    draws: int,
    seed: int,
    level: float,
) -> list[Interval]:
    """Put the quantiles of resampled statistics around estimates [m]."""
    if clusters.n_groups < 2:
        return [Interval(float(estimate), np.nan, np.nan) for estimate in estimates]
    resampled = resample(values, clusters, draws, seed)  # [draws, m]
    low, high = percentiles(resampled, level)
    return [Interval(*map(float, bounds)) for bounds in zip(estimates, low, high, strict=True)]


def percentiles(resampled: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """Bounds [2, ...] that hold a share `level` of resampled statistics [draws, ...]; NaN draws do not count."""
    return np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)


def _times(clusters: Clusters, draws: int, seed: int, columns: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield how often each group is drawn [draws, G], some draws at a time."""
    n_groups = clusters.n_groups
    rng = np.random.default_rng(seed)
    even = np.full(n_groups, 1.0 / n_groups)
    step = max(1, CHUNK // max(n_groups, columns))
    for start in range(0, draws, step):
        part = slice(start, min(start + step, draws))
        yield part, rng.multinomial(n_groups, even, size=part.stop - start).astype(float)


def _resampled_counts(clusters: Clusters, draws: int, seed: int) -> NDArray[np.float64]:
    """Count how often each of the G groups is drawn in each resample: [draws, G]."""
    return np.concatenate([times for _, times in _times(clusters, draws, seed, 1)])


def _resampled_means(values: NDArray[np.float64], clusters: Clusters, draws: int, seed: int) -> NDArray[np.float64]:
    """Means [draws, m] of resampled groups."""
    n_groups, n_strata, n_values = clusters.n_groups, clusters.n_strata, values.shape[1]
    sums = clusters.sums(values).reshape(n_groups, n_strata * n_values)
    counts = clusters.sums(np.ones(len(values)))  # [G, C]
    means = np.empty((draws, n_values))
    for part, times in _times(clusters, draws, seed, n_strata * n_values):
        total = (times @ sums).reshape(-1, n_strata, n_values)
        drawn = (times @ counts)[:, :, None]  # [draws, C, 1]
        # A class of which no group was drawn has no mean; the other classes speak for this draw.
        by_class = np.divide(total, drawn, out=np.zeros_like(total), where=drawn > 0)
        means[part] = by_class.sum(axis=1) / (drawn > 0).sum(axis=1)
    return means


def _resampled_medians(values: NDArray[np.float64], clusters: Clusters, draws: int, seed: int) -> NDArray[np.float64]:
    """Medians [draws, m] of resampled groups."""
    n_values = values.shape[1]
    members = [np.flatnonzero(clusters.stratum == stratum) for stratum in range(clusters.n_strata)]
    medians = np.empty((draws, n_values))
    for part, times in _times(clusters, draws, seed, len(values)):
        for column in range(n_values):
            by_class = np.stack(
                [_weighted_medians(values[inside, column], times[:, clusters.group[inside]]) for inside in members]
            )  # [C, draws]
            medians[part, column] = np.nanmean(by_class, axis=0)
    return medians


def _weighted_medians(values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median [draws] of values [n] that each occur so many times [draws, n]; NaN where none does."""
    ascending = np.argsort(values, kind="stable")
    upto = np.cumsum(times[:, ascending], axis=1)
    total = upto[:, -1]
    middle = [(upto <= place[:, None]).sum(axis=1) for place in ((total - 1) // 2, total // 2)]
    last = len(values) - 1
    medians = values[ascending][np.minimum(middle, last)].mean(axis=0)
    return np.where(total > 0, medians, np.nan)
