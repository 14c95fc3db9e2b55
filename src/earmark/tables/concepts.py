"""Table ``concepts``: each concept's share of a class's relevance, and how many concepts are really there.

For every method of the grid. Beside the shares stand the cosines between concepts, their structural similarity, and the
effective number of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from earmark.explainers import explanation
from earmark.metrics.overlap import EMPTY, TWINS, Apart, cosines, effective_number, pooled, similarities
from earmark.statistics import ALL, Clusters, Interval, bootstrap_sums, percentiles
from earmark.tables import markdown, summary
from earmark.tables.labels import At
from earmark.tables.markdown import bounded
from earmark.tables.study import Study
from earmark.tables.summary import Row, number
from earmark.tables.written import BAR, Tables, numbers

COLUMNS = (*summary.COLUMNS, "concept", "other")

Pairs = dict[tuple[int, int], Interval]
"""What is known of two concepts, counted from 1."""

UNKNOWN = Interval(math.nan, math.nan, math.nan)

METRICS = NUMBER, SHARE, COSINE, SSIM = "effective_number", "share", "cosine", "ssim"


@dataclass(frozen=True)
class Concepts:
    """What is known of the K concepts of a class.

    Attributes
    ----------
    shares : list of Interval
        K parts of the relevance.
    cosines, similarities : dict of (int, int) to Interval
        Between the positive relevance of two concepts, and its structural similarity.
    number : Interval
        Effective number of concepts.
    n, left_out : int
        Clips that it is of, and that are not recognised.
    """

    shares: list[Interval]
    cosines: Pairs
    similarities: Pairs
    number: Interval
    n: int
    left_out: int

    @property
    def apart(self) -> Apart:
        """Which concepts are empty, and which are twins."""
        table = np.eye(len(self.shares))
        for (one, other), found in self.cosines.items():
            table[one - 1, other - 1] = table[other - 1, one - 1] = found.estimate
        return Apart.of(self.number.estimate, [share.estimate for share in self.shares], table)


def measure(study: Study) -> dict[tuple[At, str], Concepts | None]:
    """Read the heatmaps of every place, the seeds of a method apart, and class; None where they are missing."""
    return {
        (place, cls): _measured(study, place, cls)
        for at in study.grid
        for place in (at._replace(method=name) for name in study.folders(at))
        for cls in study.slugs
    }


def numbers_of(study: Study) -> Callable[[At, str], str]:
    """Return what other tables say of a place and class: the effective number, as this table was written.

    The seeds of a method are averaged; a dash where it is not known.
    """
    folder = study.layout.tables
    known = Tables(folder).bars("concepts") if study.has(folder / "concepts.csv") else {}

    def written(at: At, cls: str) -> str:
        found = [known.get((at.layer, name, at.k, cls, NUMBER), (math.nan,))[0] for name in study.folders(at)]
        mean = float(np.mean(found))
        return markdown.MISSING if math.isnan(mean) else f"{mean:.1f}"

    return written


def _measured(study: Study, at: At, cls: str) -> Concepts | None:
    path = study.heatmaps(at, cls)
    if not study.has(path):
        return None
    found = explanation.read(path)
    found = found.only(found.scored)
    clips = found.clips.numpy()
    if not len(clips):
        return None
    groups = study.source.clips["group"].to_numpy(str)[clips]
    between = np.stack([cosines(found.heatmaps).numpy(), similarities(found.heatmaps).numpy()], axis=1)
    measured = summarise(found.relevance.double().numpy(), between, groups, study.draws, study.seed)
    return Concepts(*measured, len(clips), found.left_out)


def summarise(
    relevance: ArrayLike, between: ArrayLike, groups: ArrayLike, draws: int, seed: int
) -> tuple[list[Interval], Pairs, Pairs, Interval]:
    """Share the relevance of all clips out among the concepts, and compare these.

    Parameters
    ----------
    relevance : array [n, K]
        Per clip and concept, of either sign.
    between : array [n, 2, K, K]
        Of :func:`earmark.metrics.overlap.cosines` and :func:`earmark.metrics.overlap.similarities`.
    groups : array [n]
        Group of each clip; whole groups are resampled.
    draws, seed : int
        Of the resampling.

    Returns
    -------
    shares : list of Interval
        K parts of 1: relevance of a concept, summed over clips, over that of all concepts. Sums are divided, not
        clips, whose own sum may be close to 0. NaN where the sum of all may be 0 itself, or below: nothing is a part
        of that.
    cosines, similarities : dict of (int, int) to Interval
        Of every pair, over all clips.
    number : Interval
        Effective number. All bounds are NaN where fewer than two groups speak.
    """
    parts, tables = np.asarray(relevance, dtype=float), np.asarray(between, dtype=float)
    n_clips, size = parts.shape

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        relevance, between, count = np.split(sums, [size, size + 2 * size**2], axis=-1)
        whole = relevance.sum(axis=-1, keepdims=True)
        pairs = between.reshape(*sums.shape[:-1], 2, size, size)
        alike = pooled(pairs[..., 0, :, :])
        similar = pairs[..., 1, :, :] / np.where(count > 0, count, np.nan)[..., None]
        flat = [one.reshape(*sums.shape[:-1], -1) for one in (alike, similar)]
        return np.concatenate([relevance / whole, *flat, effective_number(alike, relevance)[..., None], whole], axis=-1)

    clusters = Clusters.of(groups)
    (estimates,), resampled = bootstrap_sums(
        np.concatenate([parts, tables.reshape(n_clips, -1), np.ones((n_clips, 1))], axis=1),
        clusters,
        statistic,
        draws,
        seed,
    )
    bounds = percentiles(resampled[:, 0]) if clusters.n_groups > 1 else np.full((2, len(estimates)), math.nan)
    *found, whole = (Interval(*map(float, values)) for values in zip(estimates, *bounds, strict=True))
    shares = found[:size] if (whole.low if clusters.n_groups > 1 else whole.estimate) > 0 else size * [UNKNOWN]

    def pairs_from(first: int) -> Pairs:
        pairs = combinations(range(size), 2)
        return {(one + 1, other + 1): found[first + one * size + other] for one, other in pairs}

    return shares, pairs_from(size), pairs_from(size + size**2), found[-1]


def rows(study: Study, measured: dict[tuple[At, str], Concepts | None]) -> Iterator[Row]:
    """Yield the mean number of concepts per place; per place and class their number, a row per concept and per pair.

    What is missing is empty.
    """
    for at in dict.fromkeys(at for at, _ in measured):
        known = [found for (place, _), found in measured.items() if place == at and found]
        mean = float(np.mean([found.number.estimate for found in known])) if known else math.nan
        yield (*at, ALL, NUMBER, number(mean), "", "", "", sum(found.n for found in known), "", "", "")
    for (at, cls), found in measured.items():
        count, left_out = (found.n, found.left_out) if found else (0, "")

        def row(metric: str, values: Interval, *concepts: int | str) -> Row:
            return (*at, cls, metric, *map(number, values), "", count, left_out, *concepts)  # noqa: B023

        yield row(NUMBER, found.number if found else UNKNOWN, "", "")
        for concept in range(1, at.k + 1):
            yield row(SHARE, found.shares[concept - 1] if found else UNKNOWN, concept, "")
        for one, other in combinations(range(1, at.k + 1), 2):
            yield row(COSINE, found.cosines[one, other] if found else UNKNOWN, one, other)
            yield row(SSIM, found.similarities[one, other] if found else UNKNOWN, one, other)


def read(frame: pd.DataFrame, k: int) -> Concepts | None:
    """Read the rows of a place and class as they were written; None where they are empty."""
    found: dict[tuple[str, str, str], Interval] = {
        (metric, one, other): Interval(*values)
        for metric, one, other, values in zip(
            frame["metric"], frame["concept"], frame["other"], numbers(frame, BAR), strict=True
        )
        if math.isfinite(values[0])
    }
    if (NUMBER, "", "") not in found:
        return None
    about = frame.iloc[0]

    def pairs(metric: str) -> Pairs:
        numbered = combinations(range(1, k + 1), 2)
        return {(one, other): found[metric, str(one), str(other)] for one, other in numbered}

    return Concepts(
        [found.get((SHARE, str(concept), ""), UNKNOWN) for concept in range(1, k + 1)],
        pairs(COSINE),
        pairs(SSIM),
        found[NUMBER, "", ""],
        int(about["n"]),
        int(about["left_out"]),
    )


def report(study: Study, measured: dict[tuple[At, str], Concepts | None]) -> str:
    """Write for people how many concepts there are, and which are empty or double."""
    lines = [
        f"# Concepts of {study.name}: how many are really there",
        "",
        "Effective number of concepts over the scored clips, with its 95 % interval over groups. A concept with less",
        f"than {100 * EMPTY:.0f} % of the relevance is *empty*; two with a cosine above {TWINS} are *twins*: they",
        "point to the same cells. `concepts.csv` holds every share, cosine and structural similarity; no shares where",
        "the relevance of all concepts may sum to 0, or less: nothing is a part of that.",
        "",
        markdown.notes(METRICS),
        "",
        *markdown.too_few(study.fitted),
        *markdown.absent(study.split, study.without),
    ]
    for cls in study.slugs:
        lines += [f"## {cls}", ""]
        body = []
        for (at, name), found in measured.items():
            if name == cls:
                about = ["–", ""] if found is None else [bounded(found.number), "; ".join(found.apart.remarks())]
                body.append([at.layer, str(at.k), f"`{at.method}`", *about])
        lines += markdown.table(["layer", "K", "method", "effective number", "empty and twin concepts"], body)
    return "\n".join(lines)
