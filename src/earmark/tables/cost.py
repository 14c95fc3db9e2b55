"""Table ``cost``: what an explanation asks of the model, and how long it takes, per clip."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from earmark.explainers.explanation import CHECKED
from earmark.plan.methods import learner_of, named
from earmark.statistics import ALL
from earmark.tables import markdown
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import Row, number

SPENT = *_, SECONDS = ("passes", "forward", "backward", "seconds")

TRAINING = "training"
"""Seconds that a method was trained for, before; of others there is no such row."""

METRICS = (*SPENT, TRAINING, *CHECKED)

COUNTED = ("clips", "forward", "backward")

Spent = dict[tuple[At, str], dict[str, float]]
"""By place and class, or ``all``: the number of ``clips`` and, per clip, the metrics."""


def measure(study: Study) -> Spent:
    """Read what explanations that the model hears cost, and their trainings; the seeds of a method are averaged."""
    types = {**dict.fromkeys(COUNTED, int), **dict.fromkeys((SECONDS, *CHECKED), float)}
    spent: Spent = {}
    for at in study.masked:
        names = study.spelled(at, study.config["evaluate"]["masking"])
        files = [study.read_csv(study.method(at._replace(method=name)) / "cost.csv", types) for name in names]
        known = [frame for frame in files if frame is not None]
        if known and len(known) == len(files):
            whole = pd.concat(known)
            for cls in (ALL, *study.slugs):
                part = whole if cls == ALL else whole[whole["cls"] == cls]
                found = _per_clip(part[[*COUNTED, SECONDS]].sum(), len(names))
                if found:
                    spent[at, cls] = found | part[[*CHECKED]].max().dropna().to_dict()
        if named(at.method).is_trained:
            path = study.layout.trained(study.split, learner_of(at.method)) / "cost.csv"
            training = study.read_csv(path, {SECONDS: float})
            if training is not None and (at, ALL) in spent:
                spent[at, ALL][TRAINING] = float(training[SECONDS].iloc[0])
    return spent


def _per_clip(total: pd.Series, seeds: int) -> dict[str, float]:
    """Divide what was spent on all clips, each explained once per seed, by their number; nothing of none."""
    clips = total["clips"]
    if not clips:
        return {}
    found = {name: float(total[name] / clips) for name in SPENT if name in total}
    return {"clips": clips / seeds, "passes": found["forward"] + found["backward"], **found}


def rows(study: Study, spent: Spent) -> Iterator[Row]:
    """Yield a row per place, class and metric."""
    for at in study.masked:
        for cls in (ALL, *study.slugs):
            found = spent.get((at, cls), {})
            for metric in SPENT:
                value = number(found[metric]) if found else ""
                yield (*at, cls, metric, value, "", "", "", int(found.get("clips", 0)), "")
            for metric in (name for name in CHECKED if name in found):
                yield (*at, cls, metric, number(found[metric]), "", "", "", int(found["clips"]), "")
        if named(at.method).is_trained:
            value = number(spent.get((at, ALL), {}).get(TRAINING, math.nan))
            yield (*at, ALL, TRAINING, value, "", "", "", "", "")


def report(study: Study, spent: Spent) -> str:
    """Write the table for people, the cheapest first (Markdown)."""
    lines = [f"# What explanations cost: {study.name}", ""]
    if not study.masked:
        return "\n".join([*lines, "None was asked for (key `evaluate.masking`).", ""])
    told = {name for (_, cls), found in spent.items() if cls == ALL for name in found}
    metrics = [name for name in METRICS if name in told.union(SPENT)]
    lines += [NOTES, markdown.notes(metrics), ""]
    known = sorted((at for at in study.masked if (at, ALL) in spent), key=lambda at: spent[at, ALL][SECONDS])
    body = [
        [
            *(at.layer, at.method, str(at.k), f"{found['clips']:g}"),
            *(f"{found[metric]:.4g}" if metric in found else markdown.MISSING for metric in metrics),
        ]
        for at in known
        for found in [spent[at, ALL]]
    ]
    unknown = [at for at in study.masked if at not in known]
    body += [[at.layer, at.method, str(at.k), "0", *(markdown.MISSING for _ in metrics)] for at in unknown]
    lines += markdown.table(["layer", "method", "K", "clips", *metrics], body)
    return "\n".join(lines).rstrip() + "\n"


NOTES = """Per clip, over all clips that a method explained, those of the gallery among them; of methods with seeds
the mean. What a method was fitted or trained by before is not in that.
"""
