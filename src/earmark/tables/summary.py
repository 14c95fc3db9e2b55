"""Summary tables: values per clip in, rows with intervals and corrected p-values out.

All comparisons are paired per clip; clips of one group (track, artist, speaker) are resampled
and change sign together. Cells of the grid without results stay in the tables, empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark import statistics
from earmark.metrics.scores import MEDIANS
from earmark.statistics import ALL, Clusters, Interval
from earmark.tables.labels import Label

COLUMNS = ("layer", "method", "k", "cls", "metric", "estimate", "low", "high", "p", "n", "left_out")

FLIPS_PER_TEST, FLIPS = 100, 1_000_000
"""Sign patterns drawn per test of a table, and at most: of m tests, no corrected p-value is below m / patterns."""

SIGNIFICANT = 0.05
"""A claim's corrected p-value lies below."""

DIGITS = 6
"""Significant digits written: what lies below is rounding, and differs between machines."""

Values = NDArray[np.float64]

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Clips:
    """The n clips that values are given of.

    Attributes
    ----------
    cls, group : array of str [n]
        Class slug and group of each clip.
    left_out : dict of str to int or None
        For every class the test clips that are not recognised and hence not scored; None: unknown.
    """

    cls: NDArray[Any]
    group: NDArray[Any]
    left_out: dict[str, int | None]

    def of(self, cls: str) -> NDArray[np.bool_]:
        """Which clips [n] belong to a class, or to ``all``."""
        return np.full(len(self.cls), True) if cls == ALL else self.cls == cls

    @property
    def names(self) -> list[str]:
        """``all`` and every class."""
        return [ALL, *self.left_out]


@dataclass(frozen=True)
class Summary:
    """A mean over n clips; bounds and p-value are NaN where there are none."""

    interval: Interval
    n: int
    p: float = math.nan


Summaries = dict[tuple[Label, str], Summary]
"""Summaries by quantity and class (or ``all``)."""


def groups_of(parts: Sequence[pd.Series]) -> pd.Series:
    """Join the groups of clips, by class and clip: each once, sorted."""
    empty = pd.Series([], dtype=str, name="group", index=pd.MultiIndex.from_arrays([[], []], names=["cls", "clip"]))
    groups = pd.concat(list(parts) or [empty])
    return groups[~groups.index.duplicated()].sort_index()


def clips_of(groups: pd.Series, left_out: Mapping[str, int | None]) -> Clips:
    """Describe the clips whose groups are given by class and clip."""
    return Clips(groups.index.get_level_values("cls").to_numpy(str), groups.to_numpy(str), dict(left_out))


def subtract(pairs: Mapping[Label, tuple[Label, Label]], values: Mapping[Label, Values]) -> dict[Label, Values]:
    """Compute the differences [n] whose two terms exist."""
    return {
        label: values[first] - values[second]
        for label, (first, second) in pairs.items()
        if first in values and second in values
    }


def summarise(
    values: Mapping[Label, Values],
    clips: Clips,
    draws: int,
    seed: int,
    *,
    test: bool = False,
    interval: Callable[..., list[Interval]] = statistics.bootstrap,
) -> Summaries:
    """Compute mean and interval of every quantity, per class and over all.

    Parameters
    ----------
    values : mapping of Label to array [n]
        Quantities per clip; NaN where a clip has none.
    clips : Clips
        The n clips.
    draws : int
        Resamples behind an interval.
    seed : int
        Of resampling and sign flips.
    test : bool
        Also compute p-values: is the mean 0? Corrected (Holm) over all quantities and classes.
    interval : callable
        ``statistics.bootstrap``, or ``bootstrap_median`` for medians in the place of means.

    Returns
    -------
    Summaries
        Without the quantities that a class has no clip of.
    """
    labels, matrix = _stacked(values, clips)
    blocks = [(cls, *block) for cls in clips.names for block in _blocks(matrix, clips.of(cls))]
    n_tests = sum(len(columns) for _, _, columns in blocks)
    flips = min(max(draws, FLIPS_PER_TEST * n_tests), FLIPS)
    found: Summaries = {}
    for cls, rows, columns in blocks:
        clusters = Clusters.of(clips.group[rows], clips.cls[rows])
        part = matrix[np.ix_(rows, columns)]
        intervals = interval(part, clusters, draws, seed)
        p_values = statistics.sign_flip(part, clusters, flips, seed) if test else np.full(len(columns), np.nan)
        for column, bounds, p in zip(columns, intervals, p_values, strict=True):
            found[labels[column], cls] = Summary(bounds, len(rows), float(p))
    adjusted = statistics.holm([summary.p for summary in found.values()])
    return {
        key: Summary(summary.interval, summary.n, float(p))
        for (key, summary), p in zip(found.items(), adjusted, strict=True)
    }


def summarise_scores(values: Mapping[Label, Values], clips: Clips, draws: int, seed: int) -> Summaries:
    """Compute the means of scores and, by the names in ``MEDIANS``, the medians of some; see :func:`summarise`."""
    medians = {
        label._replace(metric=MEDIANS[label.metric]): of_score
        for label, of_score in values.items()
        if label.metric in MEDIANS
    }
    found = summarise(values, clips, draws, seed)
    return found | summarise(medians, clips, draws, seed, interval=statistics.bootstrap_median)


def testable(summaries: Summaries, clips: Clips) -> bool:
    """Tell whether any corrected p-value over all classes can lie below `SIGNIFICANT`.

    Of the sign patterns of G groups, two are as extreme as can be: no p-value is below 2^(1 - G), and Holm's correction
    of the smallest of m multiplies it by m.
    """
    tests = sum(math.isfinite(summary.p) for summary in summaries.values())
    return tests * 2.0 ** (1 - len(set(clips.group))) < SIGNIFICANT


def rows(labels: Iterable[Label], summaries: Summaries, clips: Clips) -> list[Row]:
    """Write one row per quantity and class in the order of ``COLUMNS``; what is missing is empty."""
    return [
        (*label.at, cls, label.text, *cells(summaries.get((label, cls))), _count(clips.left_out, cls))
        for label in labels
        for cls in clips.names
    ]


def cells(summary: Summary | None) -> Row:
    """Write estimate, low, high, p and n; empty where missing."""
    if summary is None:
        return ("", "", "", "", 0)
    interval = summary.interval
    return (*map(number, (interval.estimate, interval.low, interval.high, summary.p)), summary.n)


def number(value: float) -> str:
    """Write with the digits that tables hold; empty for what is not a number."""
    return f"{value:.{DIGITS}g}" if math.isfinite(value) else ""


def _stacked(values: Mapping[Label, Values], clips: Clips) -> tuple[list[Label], Values]:
    """Put m quantities side by side [n, m]."""
    labels = list(values)
    return labels, np.stack([values[label] for label in labels], axis=1) if labels else np.empty((len(clips.cls), 0))


def _blocks(matrix: Values, chosen: NDArray[np.bool_]) -> Iterable[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield clips and columns that are wholly there: columns that lack the same clips go together."""
    if matrix.size == 0:
        return
    present = ~np.isnan(matrix) & chosen[:, None]  # [n, m]
    patterns, member = np.unique(present, axis=1, return_inverse=True)
    for number_of, pattern in enumerate(patterns.T):
        if pattern.any():
            yield np.flatnonzero(pattern), np.flatnonzero(member.reshape(-1) == number_of)


def _count(left_out: Mapping[str, int | None], cls: str) -> int | str:
    counts = list(left_out.values()) if cls == ALL else [left_out[cls]]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else ""
