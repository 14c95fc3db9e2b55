"""Tables and figures of how well concepts recover the known sound objects.

Clips hold known objects; concepts were not told. Everything is read from `objects.csv` and `ablation.csv`, where a row
is a clip, concept and object. Which concept stands for which object is decided on validation clips; what is reported
is of test clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from earmark.data.chosen import TEST, VALIDATION, truth
from earmark.figures import matrices
from earmark.figures.scores import scores_over_layers
from earmark.metrics.objects import captured, match, pooled_interval
from earmark.plan.methods import ORACLE
from earmark.statistics import ALL, Clusters, Interval, percentiles
from earmark.store.layout import INPUT_LAYER
from earmark.tables import summary
from earmark.tables.study import Study
from earmark.tables.summary import (
    RANDOM,
    At,
    Clips,
    Label,
    Row,
    Summaries,
    Summary,
    Values,
    cell,
    counted,
    markdown,
    number,
    rivals,
    subtract,
    summarise,
)

COLUMNS = (*summary.COLUMNS, "nmi")

NMI, RATIO = "nmi", "nmi / best"

CHOSEN_BY = "nmi, validation"
"""The information on the validation clips: what layers, K and settings may be chosen by."""

MATCHED = ("capture", "rank_accuracy", "si_sdr")
"""Measured between every object and its own concept."""

SILENT_DB = -60.0
"""SI-SDR that a silent sound counts as, and any below."""

STANDARD = At(INPUT_LAYER, "standard", 1)

PANELS = {
    NMI: "mutual information / log O\nconcepts tell objects apart?",
    "capture": "matched capture\nobjects in their own concept?",
    "rank_accuracy": "rank accuracy\nconcepts on the object's cells?",
    "si_sdr": "SI-SDR [dB]\nconcepts sound like the object?",
}


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


def read(path: Path, which: str) -> Measured | None:
    """Read a set of clips of an ``objects.csv``; None where it does not exist."""
    if not path.exists():
        return None
    frame = pd.read_csv(path, dtype={"cls": str, "group": str, "path": str}, keep_default_na=False, na_values=[""])
    frame = frame[frame["set"] == which]
    groups = frame.drop_duplicates(["cls", "clip"]).set_index(["cls", "clip"])["group"].sort_index()
    n_concepts, n_objects = frame["concept"].max(), frame["object"].max()
    rows = groups.index.get_indexer(pd.MultiIndex.from_frame(frame[["cls", "clip"]]))

    def filled(column: str) -> Values:
        values = np.full((len(groups), n_concepts, 1 + n_objects), np.nan)
        values[rows, frame["concept"] - 1, frame["object"]] = frame[column].astype(float)
        return values

    return Measured(
        pd.MultiIndex(groups.index.levels, groups.index.codes, names=groups.index.names),
        groups.to_numpy(str),
        filled("relevance"),
        filled("rank_accuracy")[:, :, 1:],
        filled("si_sdr")[:, :, 1:],
    )


def matched_values(chosen_on: Measured, reported: Measured) -> dict[str, Values]:
    """Measure each object in its own concept.

    Parameters
    ----------
    chosen_on : Measured
        On which clips the concepts are assigned to the objects, class by class.
    reported : Measured
        On which they are measured.

    Returns
    -------
    dict
        ``capture``, ``rank_accuracy`` and ``si_sdr`` of every clip ``[n]``, mean over its objects, and of every
        object by itself (``capture object 1`` ...).
    """
    n_objects = reported.accuracy.shape[2]
    found = {name: np.full((len(reported.index), n_objects), np.nan) for name in MATCHED}
    for cls in np.unique(reported.cls):
        rows = reported.cls == cls
        own = match(np.nansum(chosen_on.relevance[chosen_on.cls == cls], axis=0)[:, 1:])  # [O]
        found["capture"][rows] = captured(reported.relevance[rows][:, :, 1:], own)
        for place, concept in enumerate(own):
            if concept >= 0:
                found["rank_accuracy"][rows, place] = reported.accuracy[rows, concept, place]
                found["si_sdr"][rows, place] = reported.ratios[rows, concept, place].clip(min=SILENT_DB)
    values = {name: _mean_known(table) for name, table in found.items()}
    for name, table in found.items():
        values |= {f"{name} object {place + 1}": table[:, place] for place in range(n_objects)}
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
    shares : dict
        Per method folder and class the part of each object's relevance in every concept ``[K, O]``.
    names : dict of str to list of str
        The sound objects of each class.
    """

    clips: Clips
    summaries: Summaries
    shares: dict[tuple[At, str], Values]
    names: dict[str, list[str]]


def measure(study: Study) -> Recovery | None:
    """Read and summarise what the stages `objects` and `ablate` measured; None where the objects are not known."""
    path = study.layout.split(study.split) / "ablation.csv"
    if not path.exists():
        return None
    ats = [STANDARD, *study.grid]
    read_of = {at: [_both(study, at, name) for name in study.folders(at)] for at in ats}
    parts = {at: [pair for pair in found if pair] for at, found in read_of.items() if all(found)}
    ablation = pd.read_csv(path, dtype={"cls": str, "group": str, "path": str}, keep_default_na=False)
    ablation = ablation[ablation["set"] == TEST]
    groups = ablation.drop_duplicates(["cls", "clip"]).set_index(["cls", "clip"])["group"].sort_index()
    cls = groups.index.get_level_values("cls").to_numpy(str)
    slugs = [info.slug for info in study.source.classes]
    clips = Clips(cls, groups.to_numpy(str), study.left_out(truth(TEST)))

    values = _ablated(ablation, groups.index)
    if STANDARD in parts:
        measured = parts[STANDARD][0][1]
        values |= {Label(STANDARD, name): measured.of(groups.index, value) for name, value in _shares(measured).items()}
    for at, found in parts.items():
        if at != STANDARD:
            by_seed = [(test, matched_values(validation, test)) for validation, test in found]
            for name in by_seed[0][1]:
                seeds = [test.of(groups.index, each[name]) for test, each in by_seed]
                values[Label(at, name)] = np.mean(seeds, axis=0)
    pairs = comparisons(study.grid)
    summaries = summarise(values, clips, study.draws, study.seed)
    summaries |= summarise(subtract(pairs, values), clips, study.draws, study.seed, test=True)
    summaries |= _information({at: [pair[1] for pair in found] for at, found in parts.items()}, clips, study)
    summaries |= _validated({at: [pair[0] for pair in found] for at, found in parts.items()}, clips, study)
    shares = {
        (at, slug): _pooled_shares(found[0][1], slug) for at, found in parts.items() if at != STANDARD for slug in slugs
    }
    return Recovery(
        clips, summaries, shares, {info.slug: study.source.object_names(info) for info in study.source.classes}
    )


def _both(study: Study, at: At, method: str) -> tuple[Measured, Measured] | None:
    path = study.layout.method(study.split, at.layer, method, at.k) / "objects.csv"
    validation, test = read(path, VALIDATION), read(path, TEST)
    return None if validation is None or test is None else (validation, test)


def _ablated(ablation: pd.DataFrame, index: pd.Index) -> dict[Label, Values]:
    """How much of the logit is lost without each object, clip by clip ``[n]``."""
    by_clip = ablation.set_index(["cls", "clip", "object"])[["logit", "without"]].astype(float)
    lost = (by_clip["logit"] - by_clip["without"]).unstack("object").reindex(index)
    whole = by_clip["logit"].groupby(["cls", "clip"]).first().reindex(index)
    return {Label(STANDARD, "logit"): whole.to_numpy(float)} | {
        Label(STANDARD, f"logit lost without object {number}"): lost[number].to_numpy(float) for number in lost.columns
    }


def _shares(standard: Measured) -> dict[str, Values]:
    """Share of the standard heatmap's positive relevance on every object and on the background ``[n]``."""
    whole = standard.relevance[:, 0]  # [n, 1 + O]
    parts = whole / np.nansum(whole, axis=1, keepdims=True)
    names = ["background", *(f"object {number}" for number in range(1, whole.shape[1]))]
    return {f"share {name}": parts[:, place] for place, name in enumerate(names)}


def _pooled_shares(measured: Measured, cls: str) -> Values:
    """Part of each object's relevance that lies in every concept, pooled over the clips of a class ``[K, O]``."""
    table = np.nansum(measured.relevance[measured.cls == cls], axis=0)[:, 1:]
    totals = table.sum(axis=0)
    return np.divide(table, totals, out=np.full_like(table, np.nan), where=totals > 0)


def _information(parts: Mapping[At, Sequence[Measured]], clips: Clips, study: Study) -> Summaries:
    """Summarise the pooled information, its differences between methods, and its ratio to the best basis seen."""
    found: Summaries = {}
    for cls in clips.names:
        draws = _draws(parts, cls, study)
        n = int(clips.of(cls).sum())
        for at, (interval, resampled) in draws.items():
            found[Label(at, NMI), cls] = Summary(interval, n)
            peers = [draws[other] for other in draws if (other.layer, other.k) == (at.layer, at.k)]
            best, drawn = max(peers, key=lambda pair: pair[0].estimate)
            if At(at.layer, ORACLE, at.k) in draws and best.estimate > 0:
                ratio = _interval(interval.estimate / best.estimate, resampled / drawn, interval)
                found[Label(at, RATIO), cls] = Summary(ratio, n)
        for first, second in rivals(study.grid):
            if first in draws and second in draws:
                (ours, drawn), (theirs, others) = draws[first], draws[second]
                difference = _interval(ours.estimate - theirs.estimate, drawn - others, ours)
                found[Label(first, f"{NMI} - {second.method}"), cls] = Summary(difference, n)
    return found


def comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List the differences that are paired by clip: each method against those after it."""
    return {
        Label(first, f"{metric} - {second.method}"): (Label(first, metric), Label(second, metric))
        for first, second in rivals(grid)
        for metric in MATCHED
    }


def labels(study: Study, n_objects: int) -> list[Label]:
    """List everything that the table says of a study whose classes have so many objects."""
    numbers = [f"object {number}" for number in range(1, n_objects + 1)]
    standard = [
        "logit",
        *(f"logit lost without {name}" for name in numbers),
        *(f"share {name}" for name in ("background", *numbers)),
    ]
    of_method = [NMI, CHOSEN_BY, RATIO, *MATCHED, *(f"{metric} {name}" for metric in MATCHED for name in numbers)]
    return [
        *(Label(STANDARD, metric) for metric in standard),
        *(Label(at, metric) for at in study.grid for metric in of_method),
        *(Label(first, f"{NMI} - {second.method}") for first, second in rivals(study.grid)),
        *comparisons(study.grid),
    ]


def _validated(parts: Mapping[At, Sequence[Measured]], clips: Clips, study: Study) -> Summaries:
    """Summarise the pooled information of the validation clips."""
    return {
        (Label(at, CHOSEN_BY), cls): Summary(interval, sum(cls in (ALL, slug) for slug in parts[at][0].cls))
        for cls in clips.names
        for at, (interval, _) in _draws(parts, cls, study).items()
    }


def _draws(parts: Mapping[At, Sequence[Measured]], cls: str, study: Study) -> dict[At, tuple[Interval, Values]]:
    """Estimate the pooled information of every method, the mean over its seeds, with its resamples ``[draws]``."""
    draws: dict[At, tuple[Interval, Values]] = {}
    for at, seeds in parts.items():
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


def _interval(estimate: float, resampled: Values, like: Interval) -> Interval:
    """Bound an estimate by its resamples, where `like` has bounds."""
    if not math.isfinite(like.low):
        return Interval(float(estimate), math.nan, math.nan)
    return Interval(float(estimate), *map(float, percentiles(resampled)))


def rows(study: Study, recovery: Recovery | None) -> list[Row]:
    """Write one row per quantity and class in the order of ``COLUMNS``; what was not computed is empty."""
    if recovery is None:
        return []
    n_objects = max(map(len, recovery.names.values()))
    return [
        (*row, number(recovery.summaries[key].interval.estimate) if key in recovery.summaries else "")
        for row in summary.rows(labels(study, n_objects), recovery.summaries, recovery.clips)
        for key in [(Label(At(*row[:3]), NMI), row[3])]
    ]


def report(study: Study, recovery: Recovery | None, title: str) -> str:
    """Write the tables for people, with what each number can and cannot show (Markdown)."""
    if recovery is None:
        return f"# {title}\n\nNot computed: there is no `ablation.csv`. Only data with stems have one.\n"
    found = recovery.summaries
    spoken = "; ".join(counted(recovery.clips, slug) for slug in recovery.names)
    lines = [f"# {title}", NOTES, f"Clips, by class: {spoken}.", ""]
    for slug, names in recovery.names.items():
        lines += [f"## What the model uses: {slug}", ""]
        objects = [
            [
                f"object {number}",
                name,
                cell(found, Label(STANDARD, f"logit lost without object {number}"), slug),
                cell(found, Label(STANDARD, f"share object {number}"), slug),
            ]
            for number, name in enumerate(names, start=1)
        ]
        rest = ["background", "no object's", "", cell(found, Label(STANDARD, "share background"), slug)]
        logit = cell(found, Label(STANDARD, "logit"), slug)
        head = ["", "sound", f"logit lost without it (of {logit})", "share of the standard heatmap"]
        lines += markdown(head, [*objects, rest])
    for k in study.ks:
        for cls in recovery.clips.names:
            lines += [f"## K = {k}, {'all classes' if cls == ALL else cls}", ""]
            metrics = (NMI, RATIO, *MATCHED)
            lines += markdown(
                ["layer", "method", *metrics],
                [
                    [at.layer, at.method, *(cell(found, Label(at, metric), cls) for metric in metrics)]
                    for at in study.grid
                    if at.k == k
                ],
            )
    return "\n".join(lines).rstrip() + "\n"


NOTES = """
A cell of the spectrogram belongs to the sound object that dominates it. Compared are the cells of each object with the
positive relevance of each concept, on test clips that the model classifies correctly and that hold all objects, where
the data set has such clips. Which concept stands for which object was decided on other (validation) clips. Brackets
hold 95 % intervals (groups of clips resampled, and pooled anew); `random` is the mean over its seeds. A dash: not
computed, or not defined.

- `nmi`: mutual information of concept and object, pooled over the clips of a class, each object weighing the same,
  divided by the logarithm of the number of objects. 0: every concept responds to all objects alike; 1: each object has
  concepts of its own. It does not ask whether all of an object is found, and it grows with K where one object may have
  several concepts: compare at equal K, or with the ceiling at that K.
- `nmi / best`: the same as a part of the best basis seen at that layer and K, as a rule the `oracle`, which was
  searched for on training clips with the stems in hand. A low `nmi` at a ratio near 1 is the layer's fault, not the
  method's.
- `capture`: part of an object's relevance that lies in its own concept. For concepts of equal weight it is 1 / K by
  chance, 1 / O where K is below the number O of objects: then O - K objects have no concept and are not captured.
- `rank_accuracy`: of as many of the concept's most relevant cells as the object has, the part that are the object's.
  Like `si_sdr` it is a mean over the objects that have a concept, the best matches where K is below O.
- `si_sdr`: how much of the concept's sound is the object's stem, in dB. The mask cannot part what shares a cell, so
  that even a perfect concept stays far from the stem.
- Logit lost without an object: what the model's decision owes to it. An object that the model does not use has no
  relevance to be found, and no method can be blamed for missing it.
"""


def draw(study: Study, recovery: Recovery | None) -> Iterator[tuple[str, Figure]]:
    """Yield name and figure: which concept holds which object, and the scores over the layers."""
    if recovery is None:
        return
    for k in study.ks:
        shown = [method for method in study.methods if method in (study.methods[0], ORACLE, RANDOM)]
        for method in shown:
            held = {
                (slug, layer): (recovery.shares[at, slug], recovery.summaries.get((Label(at, NMI), slug)))
                for slug in recovery.names
                for layer in study.layers
                for at in [At(layer, method, k)]
                if (at, slug) in recovery.shares
            }
            if held:
                panels = {
                    place: (share, math.nan if summary is None else summary.interval.estimate)
                    for place, (share, summary) in held.items()
                }
                title = f"Where each object's relevance lies: {method}, K = {k}"
                yield f"recovery_{method}_K{k}", matrices.recovery(panels, recovery.names, title)
        bars = {
            text: {
                method: {
                    layer: recovery.summaries[key].interval
                    for layer in study.layers
                    for key in [(Label(At(layer, method, k), metric), ALL)]
                    if key in recovery.summaries
                }
                for method in study.methods
            }
            for metric, text in PANELS.items()
        }
        if any(by_layer for methods in bars.values() for by_layer in methods.values()):
            yield (
                f"ground_truth_K{k}",
                scores_over_layers(bars, study.layers, {}, f"Concepts and sound objects, K = {k}"),
            )
