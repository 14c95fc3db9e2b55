"""Table ``flipping``: what the scores of patch flipping say of every method, and of its lead over the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from earmark.data.chosen import SCORED
from earmark.metrics.scores import FLIPPED, MEDIANS, METRICS, SCORES, with_medians
from earmark.plan.methods import named
from earmark.statistics import ALL
from earmark.tables import concepts, markdown, summary
from earmark.tables.labels import LEVELS, STANDARD, At, Label, rivals
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import (
    Clips,
    Row,
    Summaries,
    Values,
    clips_of,
    groups_of,
    subtract,
    summarise,
    summarise_scores,
)

JOINT = tuple(name for name in FLIPPED if METRICS[name].comparable_across_k)
"""Scores of the joint order of all concepts, which may be compared across K and with one heatmap per clip."""

RIVALRY = tuple(name for name in SCORES if METRICS[name].direction != "none")
"""Scores by which methods of equal layer and K compete."""

BUDGET = "matched_budget"
"""The standard heatmap with as many patches flipped as the concepts' union holds."""

BETWEEN = "overlap", "ssim"
"""Scores of concepts against each other, which a single one does not have."""

REPORTED = ("thesis", *(name for score in JOINT for name in (score, MEDIANS[score])), *BETWEEN, BUDGET)
"""Columns of the table for people."""


@dataclass(frozen=True)
class Scored:
    """The scored clips, and what is known of scores and of their differences."""

    clips: Clips
    found: Summaries
    compared: Summaries


def measure(study: Study) -> Scored:
    """Read every ``scores.csv`` of the grid that exists, and compare."""
    clips, values = read(study)
    found = summarise_scores(values, clips, study.draws, study.seed)
    differences = subtract(comparisons(study.grid, study.levels), values)
    return Scored(clips, found, summarise(differences, clips, study.draws, study.seed, test=True))


def rows(study: Study, scored: Scored) -> list[Row]:
    """Write a row per score, or difference, and class."""
    labels = [Label(at, metric) for at in (*study.levels, *study.grid) for metric in with_medians(SCORES)]
    return [
        *summary.rows(labels, scored.found, scored.clips),
        *summary.rows(comparisons(study.grid, study.levels), scored.compared, scored.clips),
    ]


def read(study: Study) -> tuple[Clips, dict[Label, Values]]:
    """Read every ``scores.csv`` of the grid that exists.

    Returns
    -------
    clips : Clips
        The n clips that any of them scores.
    values : dict
        Per quantity an array [n]; NaN where it lacks a clip. The seeds of a method are averaged clip by clip.
    """
    files = {
        at: [_scores(study, at._replace(method=name)) for name in study.folders(at)]
        for at in [*study.levels, *study.grid]
    }
    found = {at: [part for part in parts if part is not None] for at, parts in files.items()}
    groups = groups_of([part["group"] for parts in found.values() for part in parts])
    values = {
        Label(at, metric): np.mean([part[metric].reindex(groups.index).to_numpy(float) for part in parts], axis=0)
        for at, parts in found.items()
        for metric in SCORES
        if len(parts) == len(files[at])
    }
    return clips_of(groups, study.left_out(SCORED)), values


def _scores(study: Study, at: At) -> pd.DataFrame | None:
    """Read one ``scores.csv``, indexed by class and clip."""
    frame = study.read_csv(study.method(at) / "scores.csv", {"clip": int, **dict.fromkeys(SCORES, float)})
    return None if frame is None else frame.set_index(["cls", "clip"])


def comparisons(grid: Sequence[At], levels: Sequence[At] = LEVELS) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences: each method against those after it, the standard heatmap and controls.

    Parameters
    ----------
    grid : sequence of At
        Of the concepts, methods in their order.
    levels : sequence of At
        Explanations that know no layer, the standard one among them.

    Returns
    -------
    dict
        Maps a difference, such as a method's score less a control's, to its two terms.
    """
    found: dict[Label, tuple[Label, Label]] = {}

    def add(ours: Label, theirs: Label, name: str) -> None:
        found[ours.less(name)] = (ours, theirs)

    controls = [at for at in levels if named(at.method).control]
    others = [at for at in levels if at != STANDARD and at not in controls]
    for metric in FLIPPED:
        for control in controls:
            add(Label(STANDARD, metric), Label(control, metric), control.method)
    for first, second in rivals(grid):
        for metric in RIVALRY:
            add(Label(first, metric), Label(second, metric), second.method)
    for at in (*others, *grid):
        if at in grid:
            add(Label(at, "thesis"), Label(at, BUDGET), BUDGET)
        for metric in FLIPPED:
            add(Label(at, metric), Label(STANDARD, metric), STANDARD.method)
        for metric in JOINT:
            for control in controls:
                add(Label(at, metric), Label(control, metric), control.method)
    places = {at: place for place, at in enumerate((STANDARD, *others, *grid))}
    return {label: found[label] for label in sorted(found, key=lambda label: places[label.at])}


def leaders(grid: Sequence[At], names: Iterable[str], compared: Summaries) -> set[tuple[Label, str]]:
    """Tell which scores are clearly better than those of all rivals.

    Rivals are the methods of equal layer and K; where the joint order is judged (``JOINT``), heatmaps without
    subspaces as well, whose rivals are all of the grid.

    Parameters
    ----------
    grid : sequence of At
        Concept heatmaps of one K.
    names : iterable of str
        Classes, and ``all``.
    compared : Summaries
        Of the differences listed by :func:`comparisons`.

    Returns
    -------
    set of (Label, class)
        Those where the interval of the paired difference to every rival that was computed lies on the better side
        of 0.
    """
    margins: dict[tuple[Label, str], list[float]] = {}  # upper bounds of how much worse they are than the rivals
    for label, (first, second) in comparisons(grid).items():
        rivalry = first.metric == second.metric and (first.metric in JOINT or second.at in grid)
        for cls in names if rivalry else ():
            if (label, cls) in compared:
                _, low, high = compared[label, cls].interval
                worse, better = (high, -low) if METRICS[first.metric].direction == "lower" else (-low, high)
                margins.setdefault((first, cls), []).append(worse)
                margins.setdefault((second, cls), []).append(better)
    return {key for key, bounds in margins.items() if all(bound < 0 for bound in bounds)}


def report(study: Study, scored: Scored) -> str:
    """Write the table for people, with what each score can and cannot show (Markdown)."""
    warning = [markdown.of_one(study.networks), "", *markdown.too_few(study.fitted)]
    warning += markdown.absent(study.split, study.without)
    number = concepts.numbers_of(study)
    return write(f"Patch flipping: {study.name}", study.grid, study.levels, scored, warning, number)


def write(
    title: str,
    grid: Sequence[At],
    levels: Sequence[At],
    scored: Scored,
    warning: Sequence[str] = (),
    number: Callable[[At, str], str] = lambda at, cls: markdown.MISSING,
) -> str:
    """Write the table of a grid of concept heatmaps, and of heatmaps without subspaces (`levels`).

    `number` says how many concepts a place has for a class.
    """
    clips, found, compared = scored.clips, scored.found, scored.compared
    lines = [f"# {title}", notes(grid), *warning]
    lines += ["Clips, by class: " + "; ".join(markdown.counted(clips, cls) for cls in clips.left_out) + ".", ""]
    pairs = comparisons(grid, levels)
    for k in sorted({at.k for at in grid or levels}):
        of_k = [at for at in grid if at.k == k]
        best = leaders(of_k, clips.names, compared)
        for cls in clips.names:
            lines += [f"## K = {k}, {'all classes' if cls == ALL else cls}", ""]
            lines += markdown.table(
                ["layer", "method", "concepts", *REPORTED],
                [
                    [
                        *(at.layer, at.method, number(at, cls) if at.k > 1 else markdown.MISSING),
                        *(_scored(found, Label(at, metric), cls, best) for metric in REPORTED),
                    ]
                    for at in [*levels, *of_k]
                ],
            )
            if cls == ALL:
                lines += _difference_tables(of_k, [label for label in pairs if label.at in of_k], compared)
    return "\n".join(lines).rstrip() + "\n"


def notes(grid: Iterable[At]) -> str:
    """Say what the numbers of a grid are, and what they can and cannot show."""
    levels = " and ".join(f"`{at.method}`" for at in LEVELS)
    controls = [named(at.method) for at in LEVELS if named(at.method).control]
    beaten = "".join(f"; `{one.name}` is {one.says}, which every explanation must beat" for one in controls)
    return f"""
Patches of the input are replaced from most to least relevant, and the logit of the clip's class is followed. Every
score is better the lower it is. Scored are test clips that the model classifies correctly with a positive logit; means
are taken over clips, then over classes. Brackets hold 95 % intervals (groups of clips resampled), `p` is the sign-flip
test over groups, corrected by Holm over the whole of `flipping.csv`, which also holds the differences class by class.
{markdown.averaged(grid, after=", clip by clip. ")}A dash: not defined.

**Bold** is the best score of a layer and K, where the interval of its paired difference to every rival excludes 0.
Rivals are the other methods there; for `fair` also {levels}, whose own rivals are the methods of all
layers. No bold: no clear winner.

What the scores can and cannot show:

{markdown.notes(("thesis", BUDGET, *JOINT, *BETWEEN))}
- `concepts`: how many of the K are really there, the effective number of `concepts.md`.
- `{STANDARD.method}` has one map per clip (K = 1){beaten}.
"""


def _scored(found: Summaries, label: Label, cls: str, best: set[tuple[Label, str]]) -> str:
    """Write a score, bold where it is the best."""
    written = markdown.cell(found, label, cls, _missing(label))
    return f"**{written}**" if (label, cls) in best else written


def _missing(label: Label) -> str:
    """Say why a cell is empty: one concept overlaps with none, so that nothing is missing there."""
    return "–" if label.at.k == 1 and label.metric in BETWEEN else "not computed"


def _difference_tables(grid: Sequence[At], labels: Sequence[Label], compared: Summaries) -> list[str]:
    """One table of differences per score, a column per reference."""
    lines: list[str] = []
    for metric in RIVALRY:
        known = {label for label in labels if label.metric == metric}
        references = list(dict.fromkeys(label.minus for label in labels if label in known))
        if references:
            body = [
                [
                    at.layer,
                    at.method,
                    *(
                        markdown.cell(compared, label, ALL, _missing(label)) if label in known else ""
                        for label in (Label(at, metric, minus) for minus in references)
                    ),
                ]
                for at in grid
                if any(label.at == at for label in known)
            ]
            head = [Label(STANDARD, metric, minus).text for minus in references]
            lines += markdown.table(["layer", "method", *head], body)
    return lines
