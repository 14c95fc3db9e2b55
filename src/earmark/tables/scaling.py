"""Table ``scaling``: what the model answers to clips whose frequency axis is scaled, beside controls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from earmark.metrics.scaling import CONDITIONS, factors_of, margins
from earmark.statistics import ALL, Bar
from earmark.tables import markdown, summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import Clips, Row, Summaries, Values, clips_of, groups_of, number, summarise
from earmark.tables.written import BAR, numbers

COLUMNS = ("condition", "factor", *summary.COLUMNS)

METRICS = ACCURACY, TURNED, MARGIN = "scaled_accuracy", "turned", "margin"

NUMBERS = ("logit", "answered")
"""Columns of ``scaled.csv`` that are numbers, beside the clip."""

CLS = summary.COLUMNS.index("cls")

NOWHERE = At("", "", 0)
"""Answers are of no layer, no method and no number of concepts."""


@dataclass(frozen=True)
class Scaled:
    """The test clips that were scaled, what is known of them, and by which factor, by class."""

    clips: Clips
    found: Summaries
    factors: dict[str, float]


def measure(study: Study) -> Scaled:
    """Read ``scaled.csv``, if any class was to be scaled."""
    factors = {cls.slug: factor for cls, factor in factors_of(study.config["evaluate"]["scaling"], study.source)}
    path, types = study.layout.split(study.split) / "scaled.csv", {"clip": int, **dict.fromkeys(NUMBERS, float)}
    frame = study.read_csv(path, types) if factors else None
    values: dict[Label, Values] = {}
    groups = groups_of([])
    if frame is not None:
        frame = frame.set_index(["cls", "clip"])
        groups = groups_of([frame["group"]])
        for condition, part in frame.groupby("condition"):
            values |= _of_condition(part, groups.index, str(condition), [cls.slug for cls in study.source.classes])
    clips = clips_of(groups, dict.fromkeys(factors, 0))
    return Scaled(clips, summarise(values, clips, study.draws, study.seed), factors)


def _of_condition(frame: pd.DataFrame, index: pd.Index, condition: str, classes: list[str]) -> dict[Label, Values]:
    """Take apart what was answered in a condition: an array [n] per quantity; NaN where a clip has none."""
    by_answer = {str(answer): part.reindex(index) for answer, part in frame.groupby("answer")}
    logits, answered = (np.stack([by_answer[cls][column] for cls in classes], axis=1) for column in NUMBERS)  # [n, C]
    own = np.array([classes.index(cls) for cls in index.get_level_values("cls")])  # [n]
    found = {
        Label(NOWHERE, ACCURACY, clips=condition): answered[np.arange(len(own)), own],
        Label(NOWHERE, MARGIN, clips=condition): margins(logits, own),
    }
    for place, cls in enumerate(classes):
        others = np.where(own == place, math.nan, answered[:, place])
        found[Label(NOWHERE, TURNED, part=cls, clips=condition)] = others
    return found


def rows(study: Study, scaled: Scaled) -> Iterator[Row]:
    """Yield a row per condition, quantity and class."""
    for condition in CONDITIONS if scaled.factors else ():
        for label in labels_of(study, condition):
            for row in summary.rows([label], scaled.found, scaled.clips):
                cls = row[CLS]
                if cls != label.part:  # who is answered as what it is was not turned
                    factor = number(scaled.factors[cls]) if cls in scaled.factors else ""
                    yield (condition, factor, "", "", "", cls, label._replace(clips="").text, *row[CLS + 2 :])


def labels_of(study: Study, condition: str) -> list[Label]:
    """List what is known of a condition."""
    turned = [Label(NOWHERE, TURNED, part=cls.slug, clips=condition) for cls in study.source.classes]
    return [Label(NOWHERE, ACCURACY, clips=condition), *turned, Label(NOWHERE, MARGIN, clips=condition)]


def answers(frame: pd.DataFrame) -> dict[str, dict[str, dict[str, Bar]]]:
    """Read which part of the clips of each class is answered as which, by class, answer and condition."""
    found: dict[str, dict[str, dict[str, Bar]]] = {}
    known = frame[(frame["estimate"] != "") & (frame["cls"] != ALL) & (frame["metric"] != MARGIN)]
    told = zip(known["cls"], known["metric"], known["condition"], numbers(known, BAR), strict=True)
    for cls, metric, condition, (estimate, low, high) in told:
        answer = cls if metric == ACCURACY else metric.removeprefix(f"{TURNED} ")
        found.setdefault(cls, {}).setdefault(answer, {})[condition] = estimate, low, high
    return found


def report(study: Study, scaled: Scaled) -> str:
    """Write the table for people, class by class (Markdown)."""
    lines = [f"# Clips whose frequency axis is scaled: {study.name}", ""]
    if not scaled.factors:
        return "\n".join([*lines, "None was asked for (key `evaluate.scaling`).", ""])
    lines += [NOTES]
    for cls, factor in scaled.factors.items():
        inside = scaled.clips.of(cls)
        lines += [f"## {cls}: frequencies times {factor:g}", ""]
        lines += [f"{inside.sum()} test clips in {len(set(scaled.clips.group[inside]))} groups.", ""]
        others = [other.slug for other in study.source.classes if other.slug != cls]
        body = []
        for condition in CONDITIONS:
            labels = [label for label in labels_of(study, condition) if label.part != cls]
            body.append([condition, *(markdown.cell(scaled.found, label, cls) for label in labels)])
        lines += markdown.table(["condition", ACCURACY, *(f"{TURNED} {other}" for other in others), MARGIN], body)
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""Test clips, recognised or not, as the model hears them with all frequencies multiplied and their duration
kept. `there and back`: multiplied, and divided again by the same steps: what these cost. `scaled away`: divided, where
a class keeps its name if frequencies alone decide. Brackets hold 95 % intervals (groups of clips resampled); where all
clips are answered alike they have no width, however few the groups are. All this is of one network: another training
may listen to something else. A dash: not known.

{markdown.notes(METRICS)}
"""
