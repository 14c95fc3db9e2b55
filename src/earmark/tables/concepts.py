"""Table ``concepts``: what share of a class's relevance each concept has, for every method of the grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from earmark.explainers import explanation
from earmark.statistics import Clusters, Interval, bootstrap_sums, percentiles
from earmark.tables import summary
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.summary import Row, number

COLUMNS = (*summary.COLUMNS, "concept")

METRIC = "share"


@dataclass(frozen=True)
class Shares:
    """The K concepts' shares of the relevance of n clips, and how many clips were left out."""

    shares: list[Interval]
    n: int
    left_out: int


def measure(study: Study) -> dict[tuple[At, str], Shares | None]:
    """Read the heatmaps of every place, the seeds of a method apart, and class; None where they are missing."""
    return {
        (place, cls): _measured(study, place, cls)
        for at in study.grid
        for place in (at._replace(method=name) for name in study.folders(at))
        for cls in study.slugs
    }


def _measured(study: Study, at: At, cls: str) -> Shares | None:
    path = study.heatmaps(at, cls)
    if not study.has(path):
        return None
    found = explanation.read(path)
    found = found.only(found.scored)
    clips = found.clips.numpy()
    if not len(clips):
        return Shares([], 0, found.left_out)
    groups = study.source.clips["group"].to_numpy(str)[clips]
    return Shares(shares(found.relevance.numpy(), groups, study.draws, study.seed), len(clips), found.left_out)


def rows(study: Study, measured: dict[tuple[At, str], Shares | None]) -> Iterator[Row]:
    """Yield a row per place, class and concept; what is missing is empty."""
    for (at, cls), found in measured.items():
        for concept in range(1, at.k + 1):
            known = found is not None and found.n > 0
            values = found.shares[concept - 1] if found and known else (math.nan,) * 3
            count, left_out = (found.n, found.left_out) if found else (0, "")
            yield (*at, cls, METRIC, *map(number, values), "", count, left_out, concept)


def shares(relevance: ArrayLike, groups: ArrayLike, draws: int, seed: int) -> list[Interval]:
    """Share the relevance of all clips out among the concepts.

    Parameters
    ----------
    relevance : array [n, K]
        Per clip and concept, of either sign.
    groups : array [n]
        Group of each clip; whole groups are resampled.
    draws, seed : int
        Of the resampling.

    Returns
    -------
    list of Interval
        K parts of 1: relevance of a concept, summed over clips, over that of all concepts. Sums are divided, not
        clips, whose own sum may be close to 0. Bounds are NaN where fewer than two groups speak.
    """
    clusters = Clusters.of(groups)
    (estimates,), resampled = bootstrap_sums(
        relevance, clusters, lambda sums: sums / sums.sum(axis=-1, keepdims=True), draws, seed
    )
    bounds = percentiles(resampled[:, 0]) if clusters.n_groups > 1 else np.full((2, len(estimates)), math.nan)
    return [Interval(*map(float, values)) for values in zip(estimates, *bounds, strict=True)]
