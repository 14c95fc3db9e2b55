"""Table ``ground_truth``: how well concepts recover the known sound objects.

Clips hold known objects; concepts were not told. Everything is read from `objects.csv` and `ablation.csv`, where a row
is a clip, concept and object. Which concept stands for which object is decided on validation clips; what is reported
is of test clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from earmark.data.chosen import SETS, truth
from earmark.data.dataset import TEST, VALIDATION
from earmark.metrics.objects import captured, information, match
from earmark.plan.methods import named
from earmark.statistics import ALL, Clusters, Interval, bootstrap_sums, percentiles
from earmark.tables import concepts, markdown, summary
from earmark.tables.labels import STANDARD, At, Label, rivals
from earmark.tables.markdown import cell
from earmark.tables.study import Study
from earmark.tables.summary import Clips, Row, Summaries, Summary, Values, number, subtract, summarise

COLUMNS = (*summary.COLUMNS, "nmi")

NMI, RATIO, SHARE, LOST = "nmi", "nmi / best", "share", "logit lost without"

MATCHED = ("capture", "rank_accuracy", "si_sdr")
"""Measured between every object and its own concept."""

SILENT_DB = -60.0
"""SI-SDR that a silent sound counts as, and any below."""

REST = "background"
"""What tables call the cells that belong to no object."""


def numbered(place: int) -> str:
    """Name the object at a place of an array."""
    return f"object {place + 1}"


def chosen_by(at: At) -> Label:
    """Label the information on the validation clips: what layers, K and settings may be chosen by."""
    return Label(at, NMI, clips=VALIDATION)


@dataclass(frozen=True)
class Measured:
    """What one set of concepts has to do with the objects, clip by clip.

    Attributes
    ----------
    index : pandas.MultiIndex [n]
        Class and clip.
    group : array of str [n]
        Group of each clip.
    relevance : array [n, K, 1 + O]
        Positive relevance on the background and on every object; NaN for an object that is silent.
    accuracy, ratios : array [n, K, O]
        Relevance rank accuracy, and SI-SDR in dB.
    """

    index: pd.MultiIndex
    group: NDArray[Any]
    relevance: Values
    accuracy: Values
    ratios: Values

    @property
    def cls(self) -> NDArray[Any]:
        """Class of each clip [n]."""
        return self.index.get_level_values("cls").to_numpy(str)

    def of(self, clips: pd.Index, values: Values) -> Values:
        """Arrange values ``[n]`` by class and clip as in another index; NaN for a clip that is not measured here."""
        return pd.Series(values, self.index).reindex(clips).to_numpy(float)


def read(study: Study, at: At) -> dict[str, Measured] | None:
    """Read an ``objects.csv``, by each of `SETS`; None where it does not exist."""
    types = {"clip": int, "concept": int, "object": int}
    types |= dict.fromkeys(("relevance", "rank_accuracy", "si_sdr"), float)  # type: ignore[arg-type]
    frame = study.read_csv(study.method(at) / "objects.csv", types)
    if frame is None:
        return None
    n_concepts, n_objects = (max(frame[column], default=0) for column in ("concept", "object"))
    return {which: arrays(frame[frame["set"] == which], n_concepts, n_objects) for which in SETS}


def arrays(frame: pd.DataFrame, n_concepts: int, n_objects: int) -> Measured:
    """Arrange rows of clips, concepts and objects as arrays."""
    groups = frame.drop_duplicates(["cls", "clip"]).set_index(["cls", "clip"])["group"].sort_index()
    rows = groups.index.get_indexer(pd.MultiIndex.from_frame(frame[["cls", "clip"]]))

    def filled(column: str) -> Values:
        values = np.full((len(groups), n_concepts, 1 + n_objects), np.nan)
        values[rows, frame["concept"] - 1, frame["object"]] = frame[column]
        return values

    return Measured(
        pd.MultiIndex(groups.index.levels, groups.index.codes, names=groups.index.names),
        groups.to_numpy(str),
        filled("relevance"),
        filled("rank_accuracy")[:, :, 1:],
        filled("si_sdr")[:, :, 1:],
    )


def matched_values(at: At, chosen_on: Measured, reported: Measured) -> dict[Label, Values]:
    """Measure each object in its own concept.

    Parameters
    ----------
    at : At
        Where the concepts lie.
    chosen_on : Measured
        On which clips the concepts are assigned to the objects, class by class.
    reported : Measured
        On which they are measured.

    Returns
    -------
    dict
        ``capture``, ``rank_accuracy`` and ``si_sdr`` of every clip ``[n]``, mean over its objects, and of every
        object by itself; NaN for a class that has no clips to assign its concepts on.
    """
    n_objects = reported.accuracy.shape[2]
    found = {name: np.full((len(reported.index), n_objects), np.nan) for name in MATCHED}
    for cls in np.intersect1d(reported.cls, chosen_on.cls):
        rows = reported.cls == cls
        own = match(np.nansum(chosen_on.relevance[chosen_on.cls == cls], axis=0)[:, 1:])  # [O]
        found["capture"][rows] = captured(reported.relevance[rows][:, :, 1:], own)
        for place, concept in enumerate(own):
            if concept >= 0:
                found["rank_accuracy"][rows, place] = reported.accuracy[rows, concept, place]
                found["si_sdr"][rows, place] = reported.ratios[rows, concept, place].clip(min=SILENT_DB)
    values = {Label(at, name): _mean_known(table) for name, table in found.items()}
    for name, table in found.items():
        values |= {Label(at, name, part=numbered(place)): table[:, place] for place in range(n_objects)}
    return values


def _mean_known(table: Values) -> Values:
    """Mean over what is known of each row ``[n, m]``; NaN where nothing is."""
    known = ~np.isnan(table)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, table, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


@dataclass(frozen=True)
class Recovery:
    """Everything that is reported on ground truth.

    Attributes
    ----------
    clips : Clips
        The measured test clips.
    summaries : dict
        By quantity and class; the information is pooled over clips, everything else is a mean of clips.
    names : dict of str to list of str
        The sound objects of each class.
    """

    clips: Clips
    summaries: Summaries
    names: dict[str, list[str]]


@dataclass(frozen=True)
class Gathered:
    """What the stages `objects` and `ablate` measured.

    Attributes
    ----------
    clips : Clips
        The n measured test clips.
    values : dict
        Per quantity an array [n]; the seeds of a method are averaged clip by clip.
    parts : dict
        By place, what was measured of every seed of the method, set by set.
    """

    clips: Clips
    values: dict[Label, Values]
    parts: dict[At, list[dict[str, Measured]]]

    def of(self, which: str) -> dict[At, list[Measured]]:
        """Take one set of clips of every place."""
        return {at: [each[which] for each in seeds] for at, seeds in self.parts.items()}


def gather(study: Study) -> Gathered | None:
    """Read what was measured; None where no objects are known, or none in a clip that is recognised."""
    types = {"clip": int, "object": int, "logit": float, "without": float}
    ablation = study.read_csv(study.layout.split(study.split) / "ablation.csv", types)
    if ablation is None or not (ablation["set"] == TEST).any():
        return None
    parts = read_all(study, [STANDARD, *study.judged])
    ablation = ablation[ablation["set"] == TEST]
    groups = ablation.drop_duplicates(["cls", "clip"]).set_index(["cls", "clip"])["group"].sort_index()
    cls = groups.index.get_level_values("cls").to_numpy(str)
    clips = Clips(cls, groups.to_numpy(str), study.left_out(truth(TEST)))

    values = _ablated(ablation, groups.index)
    for at, seeds in parts.items():
        if at == STANDARD:
            by_seed = [(each[TEST], _shares(each[TEST])) for each in seeds]
        else:
            by_seed = [(each[TEST], matched_values(at, each[VALIDATION], each[TEST])) for each in seeds]
        for label in by_seed[0][1]:
            values[label] = np.mean([test.of(groups.index, found[label]) for test, found in by_seed], axis=0)
    return Gathered(clips, values, parts)


def estimates(study: Study, gathered: Gathered) -> Summaries:
    """Summarise every quantity by itself."""
    found = summarise(gathered.values, gathered.clips, study.draws, study.seed)
    return found | _information(gathered.of(TEST), gathered.clips, study)


def measure(study: Study) -> Recovery | None:
    """Read and summarise what the stages `objects` and `ablate` measured; None where the objects are not known."""
    gathered = gather(study)
    if gathered is None:
        return None
    differences = subtract(comparisons(study.judged), gathered.values)
    summaries = estimates(study, gathered)
    summaries |= summarise(differences, gathered.clips, study.draws, study.seed, test=True)
    summaries |= _validated(gathered.of(VALIDATION), gathered.clips, study)
    names = {cls.slug: study.source.object_names(cls) for cls in study.classes}
    return Recovery(gathered.clips, summaries, names)


def read_all(study: Study, places: Sequence[At]) -> dict[At, list[dict[str, Measured]]]:
    """Read what every place stands for, the seeds of a method one by one; without places that lack any of it."""
    read_of = {at: [read(study, at._replace(method=name)) for name in study.folders(at)] for at in places}
    return {
        at: [each for each in found if each is not None] for at, found in read_of.items() if found and None not in found
    }


def _ablated(ablation: pd.DataFrame, index: pd.Index) -> dict[Label, Values]:
    """How much of the logit is lost without each object, clip by clip ``[n]``."""
    by_clip = ablation.set_index(["cls", "clip", "object"])[["logit", "without"]]
    lost = (by_clip["logit"] - by_clip["without"]).unstack("object").reindex(index)
    whole = by_clip["logit"].groupby(["cls", "clip"]).first().reindex(index)
    return {Label(STANDARD, "logit"): whole.to_numpy(float)} | {
        Label(STANDARD, LOST, part=numbered(number - 1)): lost[number].to_numpy(float) for number in lost.columns
    }


def _shares(standard: Measured) -> dict[Label, Values]:
    """Share of the standard heatmap's positive relevance on every object and on the background ``[n]``."""
    whole = standard.relevance[:, 0]  # [n, 1 + O]
    parts = whole / np.nansum(whole, axis=1, keepdims=True)
    names = [REST, *(numbered(place) for place in range(whole.shape[1] - 1))]
    return {Label(STANDARD, SHARE, part=name): parts[:, place] for place, name in enumerate(names)}


def _information(parts: Mapping[At, Sequence[Measured]], clips: Clips, study: Study) -> Summaries:
    """Summarise the pooled information, its differences between methods, and its ratio to the best basis seen."""
    found: Summaries = {}
    for cls in clips.names:
        draws = _draws(parts, cls, study)
        n = int(clips.of(cls).sum())
        for at, (interval, resampled) in draws.items():
            found[Label(at, NMI), cls] = Summary(interval, n)
            peers = [other for other in draws if (other.layer, other.k) == (at.layer, at.k)]
            best, drawn = max((draws[other] for other in peers), key=lambda pair: pair[0].estimate)
            if any(named(other.method).fitted_to == "stems" for other in peers) and best.estimate > 0:
                ratio = _interval(interval.estimate / best.estimate, resampled / drawn, interval)
                found[Label(at, RATIO), cls] = Summary(ratio, n)
        for first, second in rivals(study.judged):
            if first in draws and second in draws:
                (ours, drawn), (theirs, others) = draws[first], draws[second]
                difference = _interval(ours.estimate - theirs.estimate, drawn - others, ours)
                found[Label(first, NMI).less(second.method), cls] = Summary(difference, n)
    return found


def comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List the differences that are paired by clip: each method against those after it."""
    return {
        Label(first, metric).less(second.method): (Label(first, metric), Label(second, metric))
        for first, second in rivals(grid)
        for metric in MATCHED
    }


def labels(grid: Sequence[At], n_objects: int) -> list[Label]:
    """List everything that the table says of a grid and classes of so many objects."""
    names = [numbered(place) for place in range(n_objects)]
    return [
        Label(STANDARD, "logit"),
        *(Label(STANDARD, LOST, part=name) for name in names),
        *(Label(STANDARD, SHARE, part=name) for name in (REST, *names)),
        *(label for at in grid for label in _of_method(at, names)),
        *(Label(first, NMI).less(second.method) for first, second in rivals(grid)),
        *comparisons(grid),
    ]


def _of_method(at: At, names: Sequence[str]) -> list[Label]:
    plain = [Label(at, NMI), chosen_by(at), *(Label(at, metric) for metric in (RATIO, *MATCHED))]
    return [*plain, *(Label(at, metric, part=name) for metric in MATCHED for name in names)]


def _validated(parts: Mapping[At, Sequence[Measured]], clips: Clips, study: Study) -> Summaries:
    """Summarise the pooled information of the validation clips."""
    return {
        (chosen_by(at), cls): Summary(interval, sum(cls in (ALL, slug) for slug in parts[at][0].cls))
        for cls in clips.names
        for at, (interval, _) in _draws(parts, cls, study).items()
    }


def _draws(parts: Mapping[At, Sequence[Measured]], cls: str, study: Study) -> dict[At, tuple[Interval, Values]]:
    """Estimate the pooled information of every method, the mean over its seeds, with its resamples ``[draws]``."""
    draws: dict[At, tuple[Interval, Values]] = {}
    for at, seeds in parts.items():
        if not any(cls in (ALL, slug) for slug in seeds[0].cls):
            continue
        pooled = [_pooled(measured, cls, study) for measured in seeds]
        estimate = float(np.mean([interval.estimate for interval, _ in pooled]))
        resampled = np.mean([drawn for _, drawn in pooled], axis=0)
        if math.isfinite(estimate):
            draws[at] = _interval(estimate, resampled, pooled[0][0]), resampled
    return draws


def _pooled(measured: Measured, cls: str, study: Study) -> tuple[Interval, Values]:
    rows = np.full(len(measured.index), True) if cls == ALL else measured.cls == cls
    clusters = Clusters.of(measured.group[rows], measured.cls[rows])
    return pooled_interval(measured.relevance[rows][:, :, 1:], clusters, study.draws, study.seed)


def pooled_interval(per_clip: ArrayLike, clusters: Clusters, draws: int, seed: int) -> tuple[Interval, Values]:
    """Estimate the information of relevance pooled over the clips of each class, averaged over classes.

    Parameters
    ----------
    per_clip : array [n, K, O]
        Positive relevance of concepts on objects, clip by clip; NaN for an object that is silent.
    clusters : Clusters
        Of the n clips, at least one.
    draws, seed
        Resamples of whole groups, pooled anew each time.

    Returns
    -------
    Interval
        Bounds are NaN where a class has fewer than two groups.
    array [draws]
        Its value in every resample, paired with that of other tables of the same clips, draws and seed; a class of
        which no group was drawn does not count.
    """
    table = np.asarray(per_clip, dtype=float)
    present = [(~np.isnan(table[clusters.stratum == stratum])).any(axis=(0, 1)) for stratum in range(clusters.n_strata)]

    def by_class(pooled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Information ``[..., C]`` of tables ``[..., C, K, O]``, each class on its own objects."""
        found = [
            information(torch.from_numpy(pooled[..., cls, :, :][..., objects])) for cls, objects in enumerate(present)
        ]
        return np.asarray(torch.stack(found, dim=-1))

    estimates, resampled = bootstrap_sums(np.nan_to_num(table), clusters, by_class, draws, seed)
    known = ~np.isnan(resampled)  # [draws, C]
    means = np.where(known, resampled, 0.0).sum(axis=1) / known.sum(axis=1)  # every draw has a group
    several = bool((clusters.shared.sum(axis=0) > 1).all())
    low, high = percentiles(means) if several else (math.nan, math.nan)
    return Interval(float(estimates.mean()), float(low), float(high)), means


def _interval(estimate: float, resampled: Values, like: Interval) -> Interval:
    """Bound an estimate by its resamples, where `like` has bounds."""
    if not math.isfinite(like.low):
        return Interval(float(estimate), math.nan, math.nan)
    return Interval(float(estimate), *map(float, percentiles(resampled)))


def rows(study: Study, recovery: Recovery | None) -> list[Row]:
    """Write a row per quantity and class; the last column repeats the information of its place and class."""
    if recovery is None:
        return []
    found, clips = recovery.summaries, recovery.clips
    n_objects = max(map(len, recovery.names.values()))
    written = []
    for label in labels(study.judged, n_objects):
        for cls, row in zip(clips.names, summary.rows([label], found, clips), strict=True):
            pooled = found.get((Label(label.at, NMI), cls))
            written.append((*row, "" if pooled is None else number(pooled.interval.estimate)))
    return written


def report(study: Study, recovery: Recovery | None) -> str:
    """Write the tables for people, with what each number can and cannot show (Markdown)."""
    title = f"Concepts and known sound objects: {study.name}"
    if recovery is None:
        return f"# {title}\n\nNot computed: of no recognised test clip the objects are known (data with stems).\n"
    found = recovery.summaries
    spoken = "; ".join(markdown.counted(recovery.clips, slug) for slug in recovery.names)
    lines = [
        f"# {title}",
        notes(study.judged),
        markdown.of_one(study.networks),
        "",
        *markdown.too_few(study.fitted),
        *markdown.absent(study.split, study.without),
        f"Clips, by class: {spoken}.",
        "",
    ]
    for slug, names in recovery.names.items():
        lines += [f"## What the model uses: {slug}", ""]
        objects = [
            [
                numbered(place),
                name,
                cell(found, Label(STANDARD, LOST, part=numbered(place)), slug),
                cell(found, Label(STANDARD, SHARE, part=numbered(place)), slug),
            ]
            for place, name in enumerate(names)
        ]
        rest = [REST, "no object's", "", cell(found, Label(STANDARD, SHARE, part=REST), slug)]
        logit = cell(found, Label(STANDARD, "logit"), slug)
        head = ["", "sound", f"logit lost without it (of {logit})", "share of the standard heatmap"]
        lines += markdown.table(head, [*objects, rest])
    there = concepts.numbers_of(study)
    for k in dict.fromkeys(at.k for at in study.judged):
        for cls in recovery.clips.names:
            lines += [f"## K = {k}, {'all classes' if cls == ALL else cls}", ""]
            metrics = (NMI, RATIO, *MATCHED)
            lines += markdown.table(
                ["layer", "method", "concepts", *metrics],
                [
                    [
                        *(at.layer, at.method, there(at, cls) if at.k > 1 else markdown.MISSING),
                        *(cell(found, Label(at, metric), cls) for metric in metrics),
                    ]
                    for at in study.judged
                    if at.k == k
                ],
            )
    return "\n".join(lines).rstrip() + "\n"


def notes(grid: Sequence[At]) -> str:
    """Say what the numbers of a grid are, and what they can and cannot show."""
    return f"""
A cell of the spectrogram belongs to the sound object that dominates it. Compared are the cells of each object with the
positive relevance of each concept, on test clips that the model classifies correctly and that hold all objects, where
the data set has such clips. Which concept stands for which object was decided on other (validation) clips. Brackets
hold 95 % intervals (groups of clips resampled, and pooled anew){markdown.averaged(grid, before="; ")}. A dash: not
computed, or not defined.

{markdown.notes((NMI, RATIO, *MATCHED))}
- `concepts`: how many of the K are really there, the effective number of `concepts.md`.
- Logit lost without an object: what the model's decision owes to it. An object that the model does not use has no
  relevance to be found, and no method can be blamed for missing it.
"""
