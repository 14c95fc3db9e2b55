"""Table ``beside``: which concepts networks of other data sets find too, in the same recordings.

What the stage `relate` measured on clips that both networks recognise; and, where the sound objects are known to both
data sets, whose concepts tell them apart better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.data import dataset
from earmark.data.dataset import TEST
from earmark.data.shared import shared_clips
from earmark.metrics.correlation import TERMS, pearson
from earmark.plan.methods import in_common
from earmark.statistics import ALL, Clusters, Interval, bootstrap_sums, percentiles
from earmark.store.layout import Layout
from earmark.tables import ground_truth, markdown, summary
from earmark.tables.ground_truth import NMI, Measured, pooled_interval
from earmark.tables.labels import At
from earmark.tables.markdown import bounded
from earmark.tables.study import Study
from earmark.tables.summary import Row, Values, number

COLUMNS = (*summary.COLUMNS, "other", "other_layer", "concept", "random")

METRICS = CORRELATION, THERE, NMI_OTHER = "correlation", "found_there", "nmi_other"

FOUND, RANDOM = ([f"{kind}_{term}" for term in TERMS] for kind in ("found", "random"))

TYPES = {"k": int, "concept": int, "clips": int, **dict.fromkeys(("level", "cells", *FOUND, *RANDOM), float)}


class Key(NamedTuple):
    """What is compared: concepts of a place and class with those that another data set has at one of its layers."""

    at: At
    other: str
    layer: str
    cls: str


@dataclass(frozen=True)
class Related:
    """How far another network finds K concepts too.

    Attributes
    ----------
    correlation, gain : Interval
        Mean over concepts, and what it is above random subspaces of the other network.
    random : float
        What these come to.
    of_concepts : list of float
        The correlation of each concept.
    there : list of float
        Whether each is found there, 1 or 0; of a method of several seeds the part of them.
    clips : int
        That both networks recognise.
    """

    correlation: Interval
    gain: Interval
    random: float
    of_concepts: list[float]
    there: list[float]
    clips: int


@dataclass(frozen=True)
class Told:
    """How well concepts of two networks tell the same sound objects apart, on n clips that are measured in both."""

    own: Interval
    other: Interval
    difference: Interval
    clips: int


@dataclass(frozen=True)
class Beside:
    """What is known beside other data sets."""

    related: dict[Key, Related]
    told: dict[Key, Told]


def measure(study: Study) -> Beside:
    """Read ``beside.csv``, and what is known of sound objects here and there; nothing where no other is named."""
    found = Beside({}, {})
    for name in study.config["evaluate"]["beside"]:
        own, other = sides(study, name)
        found.told.update(_told(own, other))
        frame = study.read_csv(study.layout.beside(study.split), TYPES)
        if frame is not None:
            found.related.update(_related(own, frame[frame["other"] == name], name))
    return found


def sides(study: Study, name: str) -> tuple[Study, Study]:
    """Open another data set of the same results; of both, methods and K that their grids have in common."""
    layout, block = Layout(study.layout.results, name), study.config["others"][name]
    methods, ks = in_common(study.config["grid"], block["grid"])
    own, other = (
        {**study.config, **sections, "grid": {**sections["grid"], "methods": methods, "k": ks}}
        for sections in (study.config, block)
    )
    return replace(study, config=own), replace(study, layout=layout, source=dataset.open_dataset(layout), config=other)


def _related(study: Study, frame: pd.DataFrame, name: str) -> Iterator[tuple[Key, Related]]:
    """Compare every place and class, and the mean over classes."""
    for at in study.grid:
        here = frame[(frame["layer"] == at.layer) & (frame["k"] == at.k) & frame["method"].isin(study.folders(at))]
        for layer, pair in here.groupby("other_layer", sort=False):
            for cls in (ALL, *pair["cls"].unique()):
                seeds = [
                    part if cls == ALL else part[part["cls"] == cls] for _, part in pair.groupby("method", sort=False)
                ]
                yield Key(at, name, str(layer), cls), _mean_of(seeds, study.draws, study.seed)


def _mean_of(seeds: Sequence[pd.DataFrame], draws: int, seed: int) -> Related:
    """Average over a method's seeds what is known of each."""
    known = [correlated(part, draws, seed) for part in seeds]
    estimates = np.mean([each.estimates for each in known], axis=0)  # [3]
    resampled = np.mean([each.resampled for each in known], axis=0)  # [draws, 3]
    correlation, _, gain = (
        _interval(estimate, drawn, known[0].bounded) for estimate, drawn in zip(estimates, resampled.T, strict=True)
    )
    return Related(
        correlation,
        gain,
        float(estimates[1]),
        np.mean([each.of_concepts for each in known], axis=0).tolist(),
        np.mean([each.there for each in known], axis=0).tolist(),
        known[0].clips,
    )


class Correlated(NamedTuple):
    """Correlations of one method: with the counterparts, with random subspaces, and the difference.

    Attributes
    ----------
    estimates : array [3]
        Means over concepts, then over classes.
    resampled : array [draws, 3]
        Of resampled groups.
    bounded : bool
        Whether every class has two groups at least, which an interval needs.
    of_concepts, there : array [K]
        Each concept's correlation, and whether it is above its level; means over classes.
    clips : int
        How many there are.
    """

    estimates: Values
    resampled: Values
    bounded: bool
    of_concepts: Values
    there: Values
    clips: int


def correlated(frame: pd.DataFrame, draws: int, seed: int) -> Correlated:
    """Correlate concepts by the sums of all groups, and of resampled ones; pairs stay as they are.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows of ``beside.csv`` of one method, pair of layers and K, of one class or more.
    draws, seed
        Of the resampling.
    """
    ordered = frame.sort_values(["cls", "group", "concept"])
    count = int(ordered["concept"].max())
    first = ordered[ordered["concept"] == 1]
    clusters = Clusters.of(first["group"].to_numpy(str), first["cls"].to_numpy(str))
    sums = ordered[["cells", *FOUND, *RANDOM]].to_numpy(float).reshape(len(first), count, -1)  # [n, K, 11]

    def values(pooled: NDArray[np.float64]) -> NDArray[np.float64]:
        cells, own = pooled[..., 0], len(TERMS) + 1
        found, random = pearson(cells, pooled[..., 1:own]), pearson(cells, pooled[..., own:])
        return np.stack([found, random, found - random], axis=-1)  # [..., C, K, 3]

    whole, resampled = bootstrap_sums(sums, clusters, values, draws, seed)
    level = first_levels(ordered, count)  # [C, K]
    return Correlated(
        whole.mean(axis=(0, 1)),
        np.nanmean(resampled.mean(axis=2), axis=1),
        bool(clusters.shared.sum(axis=0).min() > 1),
        whole[..., 0].mean(axis=0),
        (whole[..., 0] > level).mean(axis=0),
        int(first["clips"].sum()),
    )


def first_levels(frame: pd.DataFrame, count: int) -> Values:
    """Return the level of every class's concepts, ``[C, K]``, which all its groups share."""
    return frame.groupby(["cls", "concept"])["level"].first().to_numpy(float).reshape(-1, count)


def _told(study: Study, other: Study) -> Iterator[tuple[Key, Told]]:
    """Compare how well both tell the same sound objects apart, on test clips that are measured in both."""
    own, theirs = (ground_truth.read_all(one, one.grid) for one in (study, other))
    if not (own and theirs):
        return
    names = [[one.source.object_names(cls) for cls in one.asked] for one in (study, other)]
    if {tuple(each) for each in names[0]} != {tuple(each) for each in names[1]}:
        return
    there = dict(shared_clips(study.source, other.source).tolist())
    for at, seeds in own.items():
        for place, others in theirs.items():
            if (place.method, place.k) == (at.method, at.k):
                measured = _both([each[TEST] for each in seeds], [each[TEST] for each in others], there)
                for cls in dict.fromkeys([ALL, *measured[0][0].cls.tolist()]) if len(measured[0][0].index) else ():
                    told = informed(*measured, cls, study.draws, study.seed)
                    yield Key(at, other.layout.dataset, place.layer, cls), told


def _both(
    own: Sequence[Measured], theirs: Sequence[Measured], there: Mapping[int, int]
) -> tuple[list[Measured], list[Measured]]:
    """Keep the clips that are measured in both, in one order and in the groups of the first."""
    index = own[0].index
    clips = [there.get(clip, -1) for clip in index.get_level_values("clip")]
    places = theirs[0].index.get_indexer(pd.MultiIndex.from_arrays([index.get_level_values("cls"), clips]))
    kept = [_rows(each, np.flatnonzero(places >= 0)) for each in own]
    places = places[places >= 0]
    return kept, [replace(_rows(each, places), index=kept[0].index, group=kept[0].group) for each in theirs]


def _rows(measured: Measured, rows: NDArray[np.int64]) -> Measured:
    parts: dict[str, Any] = {
        name: getattr(measured, name)[rows] for name in ("index", "group", "relevance", "accuracy", "ratios")
    }
    return Measured(**parts)


def informed(own: Sequence[Measured], theirs: Sequence[Measured], cls: str, draws: int, seed: int) -> Told:
    """Estimate the information of both on the same clips of a class, or of all, and the difference."""
    rows = np.full(len(own[0].index), True) if cls == ALL else own[0].cls == cls
    clusters = Clusters.of(own[0].group[rows], own[0].cls[rows])
    estimates: list[float] = []
    resampled: list[Values] = []
    bounded = True
    for seeds in (own, theirs):
        pooled = [pooled_interval(each.relevance[rows][:, :, 1:], clusters, draws, seed) for each in seeds]
        estimates.append(float(np.mean([interval.estimate for interval, _ in pooled])))
        resampled.append(np.mean([drawn for _, drawn in pooled], axis=0))
        bounded = bounded and math.isfinite(pooled[0][0].low)
    ours, others = (_interval(value, drawn, bounded) for value, drawn in zip(estimates, resampled, strict=True))
    return Told(
        ours,
        others,
        _interval(estimates[0] - estimates[1], resampled[0] - resampled[1], bounded),
        int(rows.sum()),
    )


def _interval(estimate: float, resampled: Values, bounded: bool) -> Interval:
    low, high = percentiles(resampled) if bounded else (math.nan, math.nan)
    return Interval(float(estimate), float(low), float(high))


def rows(study: Study, known: Beside) -> Iterator[Row]:
    """Yield a row per pair of layers, class and quantity, and per concept; an empty concept stands for all."""
    for key, found in known.related.items():
        about = key.other, key.layer
        for name, interval, random in (
            (CORRELATION, found.correlation, number(found.random)),
            (f"{CORRELATION} - random", found.gain, ""),
        ):
            yield (*key.at, key.cls, name, *map(number, interval), "", found.clips, "", *about, "", random)
        for name, each in ((THERE, found.there), (CORRELATION, found.of_concepts)):
            if name == THERE:
                part = number(float(np.mean(each)))
                yield (*key.at, key.cls, name, part, "", "", "", found.clips, "", *about, "", "")
            for concept, value in enumerate(each, start=1) if key.cls != ALL else ():
                yield (*key.at, key.cls, name, number(value), "", "", "", found.clips, "", *about, concept, "")
    for key, told in known.told.items():
        for name, interval in (
            (NMI, told.own),
            (NMI_OTHER, told.other),
            (f"{NMI} - {NMI_OTHER}", told.difference),
        ):
            yield (*key.at, key.cls, name, *map(number, interval), "", told.clips, "", key.other, key.layer, "", "")


def report(study: Study, known: Beside) -> str:
    """Write the table for people (Markdown)."""
    title = f"# Concepts of other networks on the same recordings: {study.name}"
    names = study.config["evaluate"]["beside"]
    if not names:
        return f"{title}\n\nNone was asked for (key `evaluate.beside`).\n"
    lines = [title, NOTES, markdown.of_one(study.networks), "", *markdown.too_few(study.fitted)]
    for name in names:
        lines += [f"## {name}", ""]
        body = [
            [
                *_place(key),
                bounded(found.correlation),
                f"{found.random:.3f}",
                bounded(found.gain),
                f"{sum(found.there):.1f} of {key.at.k}",
                str(found.clips),
            ]
            for key, found in known.related.items()
            if (key.other, key.cls) == (name, ALL)
        ]
        head = ["layer", "layer there", "K", "method", "correlation", "random", "difference", "found there", "clips"]
        lines += (
            markdown.table(head, body) if body else ["No clip is recognised by both networks, or none is compared.", ""]
        )
        told = [
            [*_place(key), *map(bounded, (one.own, one.other, one.difference)), str(one.clips)]
            for key, one in known.told.items()
            if (key.other, key.cls) == (name, ALL)
        ]
        if told:
            lines += [f"### Sound objects, here and in {name}", ""]
            lines += markdown.table(
                ["layer", "layer there", "K", "method", NMI, NMI_OTHER, "difference", "clips"], told
            )
    return "\n".join(lines).rstrip() + "\n"


def _place(key: Key) -> list[str]:
    return [key.at.layer, key.layer, str(key.at.k), f"`{key.at.method}`"]


NOTES = f"""
Networks of different data sets have nothing in common but the recordings. Heatmaps of the same clips are laid on one
grid, the coarser rows and the coarser columns of the two front ends: a cell reaches half-way to its neighbours, and
what it holds is shared out by area. Concepts of one class, method and K are paired over all clips that both networks
recognise and explain. The random level is what the same concepts reach with random subspaces of the other network.
Means over concepts, then over classes; brackets hold 95 % intervals (groups of clips resampled; pairs stay as they
are). Class by class, and concept by concept, `beside.csv` says it.

{markdown.notes((CORRELATION, THERE, NMI, NMI_OTHER))}
"""
