"""Tables for people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from earmark.metrics.scores import METRICS
from earmark.plan.methods import named
from earmark.statistics import Interval
from earmark.tables.labels import At, Label
from earmark.tables.summary import Clips, Summaries

MISSING = "–"
"""Stands for what is not defined, or not known."""

WIDTH = 120


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Write the lines of a Markdown table, and an empty one after it."""
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
        *(f"| {' | '.join(line)} |" for line in body),
        "",
    ]


def notes(names: Iterable[str]) -> str:
    """List what metrics can and cannot show, those of the same words together."""
    alike: dict[str, list[str]] = {}
    for name in names:
        source = f" ({METRICS[name].source})" if METRICS[name].source else ""
        alike.setdefault(METRICS[name].shows, []).append(f"`{name}`{source}")
    return "\n".join(
        textwrap.fill(f"- {', '.join(of_same)}: {shows}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for shows, of_same in alike.items()
    )


def averaged(grid: Iterable[At], before: str = "", after: str = "") -> str:
    """Say which methods of a grid are means over their seeds, between two texts; nothing where none is."""
    names = list(dict.fromkeys(f"`{at.method}`" for at in grid if named(at.method).variants))
    if not names:
        return ""
    said = "are means over their seeds" if names[1:] else "is the mean over its seeds"
    return f"{before}{' and '.join(names)} {said}{after}"


def of_one(networks: Sequence[str]) -> str:
    """Say that a table holds of one network, and where several are compared."""
    if networks[1:]:
        return f"All this is of one of {len(networks)} networks; `networks.md` compares the methods over them."
    return "All this is of one network: another training may give another order of methods (key `networks`)."


def too_few(fitted: Sequence[str]) -> list[str]:
    """Say of which classes the same clips are fitted and scored, in lines; none where that is of no class."""
    if not fitted:
        return []
    whose = f"The clips of {', '.join(fitted)} are too few to divide"
    return [f"{whose}: concepts were fitted to the same ones that are scored.", ""]


def verdict(sure: bool | None, testable: bool) -> str:
    """Say whether something may be claimed; `testable` tells whether there are groups enough to say so at all."""
    if sure is None:
        return MISSING
    return ("yes" if sure else "no") if testable else "too few groups"


def absent(split: str, without: Mapping[str, str]) -> list[str]:
    """Say of a model which classes a table lacks, and why, in lines; none where it lacks none."""
    if not without:
        return []
    whose = "; ".join(f"{cls} ({reason})" for cls, reason in without.items())
    return [f"Without clips in `{split}`, and in no mean: {whose}.", ""]


def counted(clips: Clips, cls: str) -> str:
    """Say how many clips of a class are scored and left out."""
    inside = clips.of(cls)
    left_out = clips.left_out[cls]
    unknown = "" if left_out is None else f", {left_out} left out"
    return f"{cls} {inside.sum()} scored in {len(set(clips.group[inside]))} groups{unknown}"


def cell(summaries: Summaries, label: Label, cls: str, missing: str = MISSING) -> str:
    """Write an estimate with its interval and p-value; `missing` where there is none."""
    summary = summaries.get((label, cls))
    if summary is None:
        return missing
    p = f", p {p_value(summary.p)}" if math.isfinite(summary.p) else ""
    return f"{bounded(summary.interval)}{p}"


def bounded(interval: Interval) -> str:
    """Write an estimate with its bounds, where it has any."""
    bounds = f" [{interval.low:.3f}, {interval.high:.3f}]" if math.isfinite(interval.low) else ""
    return f"{interval.estimate:.3f}{bounds}"


def p_value(p: float) -> str:
    """Write what stands behind `p`."""
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".")
