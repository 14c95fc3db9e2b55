"""What people's ratings of explanations say, and what panels of some sizes can find."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from earmark.data import ratings
from earmark.data.ratings import trial_id
from earmark.errors import EarmarkError
from earmark.metrics.ratings import (
    ASSUMED,
    GOOD,
    OFTEN,
    PANELS,
    QUALITY,
    QUESTIONS,
    REFERENCE,
    REST,
    SIZES,
    Spread,
    compared,
    interval,
    of_listeners,
    paired,
    pairs,
    power,
    screened,
    spread_of,
)
from earmark.plan.methods import by_lot, method_of
from earmark.statistics import Interval
from earmark.store import artifacts
from earmark.store.layout import STANDARD, Layout
from earmark.tables import markdown

OTHERS = {REST: "the clip less the standard explanation", REFERENCE: "the clip itself, hidden among the others"}
"""What is rated beside explanations, in words."""


def of_people(layout: Layout, files: Sequence[Path]) -> str:
    """Judge ratings that came back, and say what could not be counted (Markdown).

    Parameters
    ----------
    layout : Layout
        Of the data set whose test it was.
    files : sequence of Path
        Of one session or of many.

    Raises
    ------
    EarmarkError
        If there is no key, or a file cannot be read.
    """
    if not layout.listening_key.exists():
        raise EarmarkError(f"nobody can tell what was rated: '{layout.listening_key}' is missing; ask Snakemake for it")
    key = artifacts.read_csv(layout.listening_key)
    places = {
        (trial_id(row["trial"], question), row["stimulus"]): (question, row["condition"], row["trial"], row["cls"])
        for row in key.to_dict("records")
        for question in QUESTIONS
    }
    sessions, remarks = ratings.read(files, key["test"].iloc[0], places)
    told = [(one.listener, *places[place], score) for one in sessions for place, score in one.scores.items()]
    rated = pd.DataFrame(told, columns=["listener", "question", "condition", "clip", "cls", "score"])
    alike = [one.listener for one in sessions if one.alike]
    low = screened(paired(rated[rated["question"] == QUALITY]))
    lines = [f"# Rated by people: {layout.dataset}", ""]
    lines += [f"{len(sessions)} listeners, {len(rated)} ratings of {len(places) * len(sessions)}.", ""]
    lines += [f"- {one.listener}: {remark}." for one in sessions for remark in one.remarks()]
    lines += [f"- {listener}: {LOW}." for listener in low]
    lines += [f"- {remark}." for remark in remarks]
    if not sessions:
        return "\n".join([*lines, "", "Nobody's ratings count."]).rstrip() + "\n"
    return "\n".join([*lines, "", *written(rated, sorted({*alike, *low}))]).rstrip() + "\n"


def written(rated: pd.DataFrame, doubtful: Sequence[str]) -> list[str]:
    """Write what ratings say, in lines of Markdown.

    Parameters
    ----------
    rated : pandas.DataFrame
        A row per rating: ``listener``, ``question``, ``condition``, ``clip``, ``cls``, ``score``.
    doubtful : sequence of str
        Listeners without whom the means are told once more.
    """
    conditions = in_order(rated["condition"].unique())
    lines = [NOTES, *(f"- `{name}`: {_says(name)}." for name in conditions), ""]
    for name, question in QUESTIONS.items():
        own = rated[rated["question"] == name]
        table, sure = paired(own), paired(own[~own["listener"].isin(doubtful)])
        lines += [f"## {question.title}", "", *_means(table, sure if doubtful else None)]
        lines += [*_by_class(own, conditions)]
    lines += ["## What could be found", ""]
    for name, question in QUESTIONS.items():
        table = paired(rated[rated["question"] == name])
        methods = sum(condition not in (*OTHERS, STANDARD, by_lot()) for condition in table)
        clips = table.index.unique("clip").size
        lines += [f"**{question.title}**", "", *found_by(spread_of(table), clips, methods)]
    return lines


def in_order(conditions: Sequence[str]) -> list[str]:
    """Put methods first, then what they are compared with, then what is rated beside them."""
    last = [STANDARD, by_lot(), *OTHERS]
    return [*sorted(set(conditions) - set(last)), *(one for one in last if one in conditions)]


def found_by(spread: Spread | None, clips: int, methods: int) -> list[str]:
    """Say how often panels find a true difference, in lines of Markdown.

    Parameters
    ----------
    spread : Spread or None
        Of ratings that were given; None: of none, then it is assumed.
    clips, methods : int
        How many are heard, and compared.
    """
    known = ASSUMED if spread is None else spread
    whence = "assumed" if spread is None else "as these ratings show"
    said = POWER.format(leaning=known.leaning, single=known.single, whence=whence, clips=clips)
    lines = [textwrap.fill(said, markdown.WIDTH), ""]
    body = [
        [str(listeners), *(f"{100 * power(known, listeners, clips, methods, size):.0f} %" for size in SIZES)]
        for listeners in PANELS
    ]
    return lines + markdown.table(["listeners", *(f"{size} points" for size in SIZES)], body)


def _means(table: pd.DataFrame, sure: pd.DataFrame | None) -> list[str]:
    """Write means and differences of one question, in lines; again without some listeners where there are such."""
    conditions = in_order(list(table))
    rivals = [one for one in (by_lot(), STANDARD) if one in conditions]
    methods = [one for one in conditions if one not in (*OTHERS, STANDARD, by_lot())]
    asked = [pair for pair in pairs(methods, STANDARD, by_lot()) if set(pair) <= set(conditions)]
    differences = compared(table, asked)
    head = ["condition", "listeners", "points", *(f"less `{rival}`" for rival in rivals)]
    body = [
        [
            f"`{condition}`",
            str(table[condition].dropna().index.unique("listener").size),
            _mean(table, condition),
            *(_difference(differences.get((condition, rival))) for rival in rivals),
            *([] if sure is None else [_mean(sure, condition)]),
        ]
        for condition in conditions
    ]
    return markdown.table([*head, *([] if sure is None else ["points without the doubtful"])], body)


def _by_class(own: pd.DataFrame, conditions: Sequence[str]) -> list[str]:
    """Write means class by class, in lines; none where there is one."""
    classes = sorted(own["cls"].unique())
    tables = {cls: paired(own[own["cls"] == cls]) for cls in classes}
    body = [[f"`{condition}`", *(_mean(tables[cls], condition) for cls in classes)] for condition in conditions]
    return markdown.table(["points", *classes], body) if classes[1:] else []


def _mean(table: pd.DataFrame, condition: str) -> str:
    return _bounded(interval(of_listeners(table[condition]))) if condition in table else markdown.MISSING


def _difference(found: tuple[Interval, float] | None) -> str:
    if found is None:
        return markdown.MISSING
    difference, p = found
    return _bounded(difference) + (f", p {markdown.p_value(p)}" if math.isfinite(p) else "")


def _bounded(points: Interval) -> str:
    """Write points, of which more than one digit behind the point means nothing."""
    if math.isnan(points.estimate):
        return markdown.MISSING
    bounds = f" [{points.low:.1f}, {points.high:.1f}]" if math.isfinite(points.low) else ""
    return f"{points.estimate:.1f}{bounds}"


def _says(condition: str) -> str:
    return OTHERS.get(condition) or method_of(condition).says


LOW = (
    f"the hidden reference is rated below {GOOD} in more than {100 * OFTEN:.0f} % of the trials for the quality (to be "
    "screened by ITU-R BS.1534-3)"
)

NOTES = """Points are means over the clips by listener, and then over listeners; brackets hold Student's 95 % intervals
over listeners, not corrected for their number. Differences are taken clip by clip of each listener; their p-values
are adjusted to all differences of the question (Holm). All listeners count whose ratings do; where some are doubtful,
who rate all alike or the hidden reference low, means without them stand in a column of their own. Of all clips the
model's answer is right.
"""

POWER = """A listener leans to a condition by {leaning:.1f} points, and a single rating strays by {single:.1f} (standard
deviations, {whence}). So one that really is better than all others, which are alike, by so many points is found to be
better than one that it is compared with, at 5 % after Holm, in that share of panels that hear {clips} clips:"""
