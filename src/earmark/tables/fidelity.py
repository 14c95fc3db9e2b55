"""Table ``fidelity``: whether methods that answer by parts of their own answer as the network does, and by what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from earmark import statistics
from earmark.metrics.imitation import DRAWS, THRESHOLDS
from earmark.statistics import ALL
from earmark.store.layout import INPUT_LAYER
from earmark.tables import markdown, summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import Clips, Row, Summaries, Values, clips_of, groups_of, summarise

COLUMNS = ("threshold", *summary.COLUMNS)

ANSWERED = {
    "fidelity": "top1",
    "fidelity_top5": "top5",
    "fidelity_chance": "chance",
    "imitation_accuracy": "right",
    "imitated_accuracy": "right_network",
    "model_accuracy": "right_model",
}
"""What is told of answers, and the column of ``imitated.csv`` that it is the mean of."""

FF, LOST = "removed_ff", "removed_logodds"

REMOVED = {FF: ("ff", "random_ff"), LOST: ("lost", "random_lost"), "removed_energy": ("energy", "random_energy")}
"""What is told of components that were taken out, and the columns of ``removed.csv`` of it and of as many others."""

MEDIAN, COUNT, OTHERS = "removed_ff_median", "removed_components", "others"

METRICS = (*ANSWERED, *REMOVED, MEDIAN, COUNT)


@dataclass(frozen=True)
class Imitated:
    """The test clips that were answered, by method, and what is known of them."""

    clips: dict[At, Clips]
    found: Summaries

    def rows(self, at: At) -> Iterator[Row]:
        """Yield the rows of a method."""
        for threshold, label in labels_of(at):
            for row in summary.rows([label], self.found, self.clips[at]):
                yield (threshold, *row[:4], label._replace(clips="").text, *row[5:])


def measure(study: Study) -> Imitated:
    """Read what the stage `imitate` wrote of every method that was asked for."""
    clips: dict[At, Clips] = {}
    found: Summaries = {}
    for at in (At(INPUT_LAYER, name, 1) for name in study.config["evaluate"]["fidelity"]):
        folder = study.layout.trained(study.split, at.method)
        answered = study.read_csv(folder / "imitated.csv", {"clip": int})
        removed = study.read_csv(folder / "removed.csv", {"clip": int, "threshold": float})
        if answered is None or removed is None:
            continue
        answered = answered.set_index(["cls", "clip"])
        groups = groups_of([answered["group"]])
        values = {Label(at, name): _numbers(answered[column], groups.index) for name, column in ANSWERED.items()}
        for threshold, part in removed.groupby("threshold"):
            values |= _without(at, part.set_index(["cls", "clip"]), f"{threshold:g}", groups.index)
        clips[at] = clips_of(groups, dict.fromkeys(study.model_classes, 0))
        medians = {label: values.pop(label) for label in list(values) if label.metric == MEDIAN}
        found |= summarise(values, clips[at], study.draws, study.seed)
        found |= summarise(medians, clips[at], study.draws, study.seed, interval=statistics.bootstrap_median)
    return Imitated(clips, found)


def _without(at: At, frame: pd.DataFrame, threshold: str, index: pd.Index) -> dict[Label, Values]:
    """Take apart what was lost above a threshold, and less what was lost without others."""
    found = {Label(at, COUNT, clips=threshold): _numbers(frame["components"], index)}
    for metric, columns in REMOVED.items():
        own, random = (_numbers(frame[column], index) for column in columns)
        label = Label(at, metric, clips=threshold)
        found |= {label: own, label._replace(part=OTHERS): random, label.less(OTHERS): own - random}
    found[Label(at, MEDIAN, clips=threshold)] = found[Label(at, FF, clips=threshold)]
    return found


def _numbers(column: pd.Series, index: pd.Index) -> Values:
    return pd.to_numeric(column).reindex(index).to_numpy(float)


def labels_of(at: At) -> Iterator[tuple[str, Label]]:
    """Yield what is known of a method, with the threshold that it is of, if any."""
    for name in ANSWERED:
        yield "", Label(at, name)
    for threshold in (f"{one:g}" for one in THRESHOLDS):
        yield threshold, Label(at, COUNT, clips=threshold)
        yield threshold, Label(at, MEDIAN, clips=threshold)
        for metric in REMOVED:
            label = Label(at, metric, clips=threshold)
            for one in (label, label._replace(part=OTHERS), label.less(OTHERS)):
                yield threshold, one


def rows(study: Study, imitated: Imitated) -> Iterator[Row]:
    """Yield a row per method, threshold, quantity and class."""
    for at in imitated.clips:
        yield from imitated.rows(at)


def report(study: Study, imitated: Imitated) -> str:
    """Write the table for people (Markdown)."""
    lines = [f"# Answers by parts of their own: {study.name}", ""]
    if not study.config["evaluate"]["fidelity"]:
        return "\n".join([*lines, "None was asked for (key `evaluate.fidelity`).", ""])
    lines += [NOTES, "## Answers", ""]
    body = [[at.method, *(_cell(imitated, Label(at, name)) for name in ANSWERED)] for at in imitated.clips]
    lines += markdown.table(["method", *ANSWERED], body)
    for metric in (FF, LOST):
        lines += [f"## {metric}", ""]
        body = []
        for at in imitated.clips:
            for threshold in (f"{one:g}" for one in THRESHOLDS):
                label, energy = (Label(at, one, clips=threshold) for one in (metric, "removed_energy"))
                told = [label, label._replace(part=OTHERS), label.less(OTHERS)]
                told += [Label(at, COUNT, clips=threshold), energy, energy._replace(part=OTHERS)]
                body.append([at.method, threshold, *(_cell(imitated, one) for one in told)])
        head = ["method", "threshold", metric, "of others", "difference", "components", "energy", "energy of others"]
        lines += markdown.table(head, body)
    return "\n".join(lines).rstrip() + "\n"


def _cell(imitated: Imitated, label: Label) -> str:
    return markdown.cell(imitated.found, label, ALL)


NOTES = f"""All test clips, recognised or not. Means over clips of each class, then
over classes, with 95 % intervals (groups of clips resampled). `others`: as many components from outside, of the nearest
energy among {DRAWS} sets that were drawn; clips where fewer are outside have no number. A dash: not known.

{markdown.notes(METRICS)}
"""
