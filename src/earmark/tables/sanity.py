"""Table ``sanity``: whether maps change with what they should explain, and stay with what should not matter."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from earmark import statistics
from earmark.data.chosen import SCORED
from earmark.metrics.sanity import CHECKS
from earmark.statistics import ALL
from earmark.tables import markdown, summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import Clips, Row, Summaries, clips_of, groups_of, summarise

METRICS = COSINE, SPEARMAN = "sanity_cosine", "sanity_spearman"

WRITTEN = {COSINE: "cosine", SPEARMAN: "spearman"}
"""What they are called in ``sanity.csv``."""


@dataclass(frozen=True)
class Tried:
    """The clips whose maps were compared, and the medians over them."""

    clips: Clips
    found: Summaries


def measure(study: Study) -> Tried:
    """Read every ``sanity.csv`` that was asked for; the seeds of a method are averaged clip by clip."""
    names = study.config["evaluate"]["sanity"]
    files = {
        at: [
            study.read_csv(study.method(at._replace(method=name)) / "sanity.csv", {"clip": int})
            for name in study.spelled(at, names)
        ]
        for at in study.tried
    }
    whole = {at: pd.concat(parts) for at, parts in files.items() if all(part is not None for part in parts)}
    groups = groups_of([frame.set_index(["cls", "clip"])["group"] for frame in whole.values()])
    clips = clips_of(groups, study.left_out(SCORED))
    values = {}
    for at, frame in whole.items():
        for check, part in frame.groupby("check"):
            for metric, column in WRITTEN.items():
                known = pd.to_numeric(part[column]).groupby([part["cls"], part["clip"]]).mean()
                values[Label(at, metric, part=str(check))] = known.reindex(groups.index).to_numpy(float)
    return Tried(clips, summarise(values, clips, study.draws, study.seed, interval=statistics.bootstrap_median))


def rows(study: Study, tried: Tried) -> list[Row]:
    """Write a row per place, check, measure and class."""
    labels = [label for at in study.tried for label in labels_of(at)]
    return summary.rows(labels, tried.found, tried.clips)


def labels_of(at: At) -> list[Label]:
    """List what is known of a method's maps."""
    return [Label(at, metric, part=check) for metric in METRICS for check in CHECKS]


def report(study: Study, tried: Tried) -> str:
    """Write the table for people, with what the checks can and cannot show (Markdown)."""
    lines = [f"# What maps depend on: {study.name}", ""]
    if not study.tried:
        return "\n".join([*lines, "None was asked for (key `evaluate.sanity`).", ""])
    lines += [NOTES, markdown.of_one(study.networks), ""]
    lines += markdown.absent(study.split, study.without)
    for metric in METRICS:
        lines += [f"## {WRITTEN[metric].capitalize()}", ""]
        body = [
            [
                *(at.layer, at.method, str(at.k)),
                *(markdown.cell(tried.found, Label(at, metric, part=check), ALL) for check in CHECKS),
            ]
            for at in study.tried
        ]
        lines += markdown.table(["layer", "method", "K", *CHECKS], body)
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""Medians over clips of each class, then means over classes, with their 95 % intervals (groups of clips
resampled). A dash: not known.

{markdown.notes(METRICS)}
"""
