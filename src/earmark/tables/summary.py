"""Summary tables: values per clip in, rows with intervals and corrected p-values out.

All comparisons are paired per clip; clips of one group (track, artist, speaker) are resampled
and change sign together. Cells of the grid without results stay in the tables, empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from earmark import statistics
from earmark.metrics.scores import SCORES
from earmark.plan.config import CHANCE, CONFIGURED
from earmark.statistics import ALL, Clusters, Interval
from earmark.store.layout import INPUT_LAYER

COLUMNS = ("layer", "method", "k", "cls", "metric", "estimate", "low", "high", "p", "n", "left_out")

RANDOM = "random"
"""The seeds ``random~SEED``, averaged clip by clip."""

JOINT = ("fair_zero", "fair_floor")
"""Scores of the joint order of all concepts, which may be compared across K and with one heatmap per clip."""

FLIPPED = ("thesis", *JOINT)
"""Scores of the model's reaction to an explanation."""

RIVALRY = (*FLIPPED, "overlap")
"""Scores by which methods of equal layer and K compete."""

MEDIANS = {f"{score}_median": score for score in JOINT}
"""Medians beside the means: shares of the clip's own logit weigh heavily where that is close to 0."""

REPORTED = ("thesis", "fair_zero", "fair_zero_median", "fair_floor", "fair_floor_median", "overlap", "matched_budget")
"""Columns of the table for people."""

FLIPS_PER_TEST, FLIPS = 100, 1_000_000
"""Sign patterns drawn per test of a table, and at most: of m tests, no corrected p-value is below m / patterns."""

OWN_CLASS = ("own", "others", "own - others")
"""Delta-AUPC with a clip's own class's subspaces, with those of the other classes, and their difference."""

ADVANTAGE = OWN_CLASS[-1]

DIGITS = 6
"""Significant digits written: what lies below is rounding, and differs between machines."""

Values = NDArray[np.float64]

Row = tuple[Any, ...]


class At(NamedTuple):
    """Where a set of heatmaps lies."""

    layer: str
    method: str
    k: int


class Label(NamedTuple):
    """What a quantity per clip is."""

    at: At
    metric: str


@dataclass(frozen=True)
class Clips:
    """The n clips that values are given of.

    Attributes
    ----------
    cls, group : array of str [n]
        Class slug and group of each clip.
    left_out : dict of str to int or None
        For every class the test clips that are not recognised and hence not scored; None: unknown.
    """

    cls: NDArray[Any]
    group: NDArray[Any]
    left_out: dict[str, int | None]

    def of(self, cls: str) -> NDArray[np.bool_]:
        """Which clips [n] belong to a class, or to ``all``."""
        return np.full(len(self.cls), True) if cls == ALL else self.cls == cls

    @property
    def names(self) -> list[str]:
        """``all`` and every class."""
        return [ALL, *self.left_out]


@dataclass(frozen=True)
class Summary:
    """A mean over n clips; bounds and p-value are NaN where there are none."""

    interval: Interval
    n: int
    p: float = math.nan


Summaries = dict[tuple[Label, str], Summary]
"""Summaries by quantity and class (or ``all``)."""


def methods(names: Sequence[str]) -> list[str]:
    """List the grid's methods with the seeds of ``random`` as one, the last."""
    fitted = [name for name in names if not name.startswith(f"{RANDOM}~")]
    return fitted + [RANDOM] * (len(fitted) < len(names))


def scores(grid: Iterable[At]) -> list[Label]:
    """List the scores of a grid of heatmaps, and the medians of some."""
    return [Label(at, metric) for at in grid for metric in (*SCORES, *MEDIANS)]


def rivals(grid: Sequence[At]) -> Iterator[tuple[At, At]]:
    """Pair each method with those after it at the same layer and K."""
    for first, second in combinations(grid, 2):
        if (first.layer, first.k) == (second.layer, second.k):
            yield first, second


def comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences: each method against those after it, the standard heatmap and noise.

    Parameters
    ----------
    grid : sequence of At
        Of the concepts, methods in their order.

    Returns
    -------
    dict
        Maps a difference, such as ``thesis - random`` at the coordinates of DRSA, to its two terms.
    """
    standard, noise = At(INPUT_LAYER, "standard", 1), At(INPUT_LAYER, "noise", 1)
    found: dict[Label, tuple[Label, Label]] = {}

    def add(at: At, metric: str, other: At, name: str, other_metric: str | None = None) -> None:
        found[Label(at, f"{metric} - {name}")] = (Label(at, metric), Label(other, other_metric or metric))

    for metric in FLIPPED:
        add(standard, metric, noise, "noise")
    for first, second in rivals(grid):
        for metric in RIVALRY:
            add(first, metric, second, second.method)
    for at in grid:
        add(at, "thesis", at, "matched_budget", "matched_budget")
        for metric in FLIPPED:
            add(at, metric, standard, "standard")
        for metric in JOINT:
            add(at, metric, noise, "noise")
    return {label: found[label] for label in sorted(found, key=lambda label: _place(label, [standard, *grid]))}


def control_comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List how much more the diagonal stands out than with random subspaces of equal layer and K."""
    controls = [at for at in grid if at.method.startswith(f"{RANDOM}~")]
    return {
        Label(at, f"({ADVANTAGE}) - {control.method}"): (Label(at, ADVANTAGE), Label(control, ADVANTAGE))
        for at in grid
        for control in controls
        if at not in controls and (at.layer, at.k) == (control.layer, control.k)
    }


def candidates(names: Iterable[str]) -> list[At]:
    """List where the heatmaps of LRP rules lie: the configured ones, the candidates, and random order."""
    return [At(INPUT_LAYER, name, 1) for name in (CONFIGURED, *names, CHANCE)]


def rule_comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences of LRP rules to the configured ones.

    Parameters
    ----------
    grid : sequence of At
        The configured rules first.

    Returns
    -------
    dict
        Maps a difference, such as ``thesis - configured``, to its two terms.
    """
    return {
        Label(at, f"{metric} - {CONFIGURED}"): (Label(at, metric), Label(grid[0], metric))
        for at in grid[1:]
        for metric in FLIPPED
    }


def subtract(pairs: Mapping[Label, tuple[Label, Label]], values: Mapping[Label, Values]) -> dict[Label, Values]:
    """Compute the differences [n] whose two terms exist."""
    return {
        label: values[first] - values[second]
        for label, (first, second) in pairs.items()
        if first in values and second in values
    }


def summarise(
    values: Mapping[Label, Values],
    clips: Clips,
    draws: int,
    seed: int,
    *,
    test: bool = False,
    interval: Callable[..., list[Interval]] = statistics.bootstrap,
) -> Summaries:
    """Compute mean and interval of every quantity, per class and over all.

    Parameters
    ----------
    values : mapping of Label to array [n]
        Quantities per clip; NaN where a clip has none.
    clips : Clips
        The n clips.
    draws : int
        Resamples behind an interval.
    seed : int
        Of resampling and sign flips.
    test : bool
        Also compute p-values: is the mean 0? Corrected (Holm) over all quantities and classes.
    interval : callable
        ``statistics.bootstrap``, or ``bootstrap_median`` for medians in the place of means.

    Returns
    -------
    Summaries
        Without the quantities that a class has no clip of.
    """
    labels, matrix = _stacked(values, clips)
    blocks = [(cls, *block) for cls in clips.names for block in _blocks(matrix, clips.of(cls))]
    n_tests = sum(len(columns) for _, _, columns in blocks)
    flips = min(max(draws, FLIPS_PER_TEST * n_tests), FLIPS)
    found: Summaries = {}
    for cls, rows, columns in blocks:
        clusters = Clusters.of(clips.group[rows], clips.cls[rows])
        part = matrix[np.ix_(rows, columns)]
        intervals = interval(part, clusters, draws, seed)
        p_values = statistics.sign_flip(part, clusters, flips, seed) if test else np.full(len(columns), np.nan)
        for column, bounds, p in zip(columns, intervals, p_values, strict=True):
            found[labels[column], cls] = Summary(bounds, len(rows), float(p))
    adjusted = statistics.holm([summary.p for summary in found.values()])
    return {
        key: Summary(summary.interval, summary.n, float(p))
        for (key, summary), p in zip(found.items(), adjusted, strict=True)
    }


def summarise_scores(values: Mapping[Label, Values], clips: Clips, draws: int, seed: int) -> Summaries:
    """Compute the means of scores and, by the names in ``MEDIANS``, the medians of some; see :func:`summarise`."""
    medians = {
        Label(at, name): of_score
        for (at, metric), of_score in values.items()
        for name, score in MEDIANS.items()
        if metric == score
    }
    found = summarise(values, clips, draws, seed)
    return found | summarise(medians, clips, draws, seed, interval=statistics.bootstrap_median)


def rows(labels: Iterable[Label], summaries: Summaries, clips: Clips) -> list[Row]:
    """Write one row per quantity and class in the order of ``COLUMNS``; what is missing is empty."""
    return [
        (*label.at, cls, label.metric, *cells(summaries.get((label, cls))), _count(clips.left_out, cls))
        for label in labels
        for cls in clips.names
    ]


def cells(summary: Summary | None) -> Row:
    """Write estimate, low, high, p and n; empty where missing."""
    if summary is None:
        return ("", "", "", "", 0)
    interval = summary.interval
    return (*map(number, (interval.estimate, interval.low, interval.high, summary.p)), summary.n)


def number(value: float) -> str:
    """Write with the digits that tables hold; empty for what is not a number."""
    return f"{value:.{DIGITS}g}" if math.isfinite(value) else ""


def own_class(
    scores_by_class: Mapping[At, tuple[NDArray[Any], Values]], attributed: NDArray[Any]
) -> dict[Label, Values]:
    """Compare each clip's own class's subspaces with those of the others (eq. 4.5).

    Parameters
    ----------
    scores_by_class : mapping of At to (classes [C], Delta-AUPC [n, C])
        Columns are the classes of the subspaces.
    attributed : array of str [n]
        The clips' own classes.

    Returns
    -------
    dict
        The quantities named in ``OWN_CLASS``: on the diagonal, mean of the rest of the row, the diagonal's
        advantage.
    """
    found: dict[Label, Values] = {}
    for at, (classes, deltas) in scores_by_class.items():
        own = attributed[:, None] == classes[None]  # [n, C]
        n_others = (~own).sum(axis=1)
        diagonal = np.where(own, deltas, 0.0).sum(axis=1)
        others = np.where(own, 0.0, deltas).sum(axis=1) / np.where(n_others > 0, n_others, np.nan)
        found |= {
            Label(at, name): value for name, value in zip(OWN_CLASS, (diagonal, others, diagonal - others), strict=True)
        }
    return found


def flipping_report(
    title: str, grid: Sequence[At], levels: Sequence[At], clips: Clips, found: Summaries, compared: Summaries
) -> str:
    """Write the flipping table for people, with what each score can and cannot show.

    Parameters
    ----------
    title : str
        Heading.
    grid, levels : sequence of At
        Concept heatmaps, and heatmaps without subspaces.
    clips : Clips
        The scored clips.
    found, compared : Summaries
        Of the scores and of their differences.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"# {title}", NOTES]
    lines += ["Clips, by class: " + "; ".join(counted(clips, cls) for cls in clips.left_out) + ".", ""]
    pairs = comparisons(grid)
    for k in sorted({at.k for at in grid}):
        of_k = [at for at in grid if at.k == k]
        best = leaders(of_k, clips.names, compared)
        for cls in clips.names:
            lines += [f"## K = {k}, {'all classes' if cls == ALL else cls}", ""]
            lines += markdown(
                ["layer", "method", *REPORTED],
                [
                    [at.layer, at.method, *(_scored(found, Label(at, metric), cls, best) for metric in REPORTED)]
                    for at in [*levels, *of_k]
                ],
            )
            if cls == ALL:
                lines += _difference_tables(of_k, [label for label in pairs if label.at in of_k], compared)
    return "\n".join(lines).rstrip() + "\n"


def leaders(grid: Sequence[At], names: Iterable[str], compared: Summaries) -> set[tuple[Label, str]]:
    """Tell which scores are clearly lower than those of all rivals.

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
        Those where the interval of the paired difference to every rival that was computed lies below 0.
    """
    margins: dict[tuple[Label, str], list[float]] = {}  # upper bounds of the differences to the rivals
    for label, (first, second) in comparisons(grid).items():
        rivals = first.metric == second.metric and (first.metric in JOINT or second.at in grid)
        for cls in names if rivals else ():
            if (label, cls) in compared:
                _, low, high = compared[label, cls].interval
                margins.setdefault((first, cls), []).append(high)
                margins.setdefault((second, cls), []).append(-low)
    return {key for key, bounds in margins.items() if all(bound < 0 for bound in bounds)}


NOTES = """
Patches of the input are replaced from most to least relevant, and the logit of the clip's class is
followed. Every score is better the lower it is. Scored are test clips that the model classifies
correctly with a positive logit; means are taken over clips, then over classes. Brackets hold 95 %
intervals (groups of clips resampled), `p` is the sign-flip test over groups, corrected by Holm over
the whole of `flipping.csv`, which also holds the differences class by class. `random` is the mean
over its seeds, clip by clip. A dash: not defined.

**Bold** is the best score of a layer and K, where the interval of its paired difference to every rival
excludes 0. Rivals are the other methods there; for `fair` also `standard` and `noise`, whose own
rivals are the methods of all layers. No bold: no clear winner.

What the scores can and cannot show:

- `thesis` (eq. 4.4): each step flips the next patches of *every* concept at once, but is weighted
  as if one concept's had been flipped. It falls when concepts point to different patches that
  matter. **Compare it between methods of equal K only.** Across K, or against the standard heatmap
  (K = 1), it mostly measures how many more patches were flipped: pure noise gains from a larger K
  as well. It is in units of the logit, and it does not show that a concept means anything.
- `matched_budget`: the standard heatmap with, at each step, as many different patches flipped as
  the concepts' union held. `thesis - matched_budget` is what is left of an advantage over the
  standard heatmap once both flip equally much. It is a control, no score of the concepts.
- `fair_zero`, `fair_floor`: the concepts' rankings merged into one order, flipped in equal steps
  for every K and method, as a share of the clip's own logit; flipped cells become 0, or the clip's
  smallest value. They ask whether the joint order is faithful, and may be compared across K and
  with the standard heatmap: decomposing must not make them worse. They do not reward distinct
  concepts. A clip whose own logit is close to 0 weighs heavily in their mean: the `_median` over clips
  (of each class, then averaged over classes) hardly feels it. Where the two disagree, few clips
  make the mean; differences and p-values are of means.
- `overlap`: mean cosine between the concepts' positive relevance, 0 for concepts that share no
  cell. It knows nothing of the model: distinct concepts may still be meaningless.
- `standard` has one map per clip (K = 1); `noise` is a random map, which every explanation must
  beat.
"""


def _stacked(values: Mapping[Label, Values], clips: Clips) -> tuple[list[Label], Values]:
    """Put m quantities side by side [n, m]."""
    labels = list(values)
    return labels, np.stack([values[label] for label in labels], axis=1) if labels else np.empty((len(clips.cls), 0))


def _blocks(matrix: Values, chosen: NDArray[np.bool_]) -> Iterable[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield clips and columns that are wholly there: columns that lack the same clips go together."""
    if matrix.size == 0:
        return
    present = ~np.isnan(matrix) & chosen[:, None]  # [n, m]
    patterns, member = np.unique(present, axis=1, return_inverse=True)
    for number_of, pattern in enumerate(patterns.T):
        if pattern.any():
            yield np.flatnonzero(pattern), np.flatnonzero(member.reshape(-1) == number_of)


def _place(label: Label, grid: Sequence[At]) -> int:
    return grid.index(label.at)


def _count(left_out: Mapping[str, int | None], cls: str) -> int | str:
    counts = list(left_out.values()) if cls == ALL else [left_out[cls]]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else ""


def counted(clips: Clips, cls: str) -> str:
    """Say how many clips of a class are scored and left out."""
    inside = clips.of(cls)
    left_out = clips.left_out[cls]
    unknown = "" if left_out is None else f", {left_out} left out"
    return f"{cls} {inside.sum()} scored in {len(set(clips.group[inside]))} groups{unknown}"


def _scored(found: Summaries, label: Label, cls: str, best: set[tuple[Label, str]]) -> str:
    """Write a score, bold where it is the best."""
    written = cell(found, label, cls, _missing(label))
    return f"**{written}**" if (label, cls) in best else written


def _missing(label: Label) -> str:
    """Say why a cell is empty: one concept overlaps with none, so that nothing is missing there."""
    return "–" if label.at.k == 1 and label.metric.startswith("overlap") else "not computed"


def cell(summaries: Summaries, label: Label, cls: str, missing: str = "–") -> str:
    """Write an estimate with its interval and p-value for people; `missing` where there is none."""
    summary = summaries.get((label, cls))
    if summary is None:
        return missing
    interval = summary.interval
    bounds = f" [{interval.low:.3f}, {interval.high:.3f}]" if math.isfinite(interval.low) else ""
    p = f", p {_p(summary.p)}" if math.isfinite(summary.p) else ""
    return f"{interval.estimate:.3f}{bounds}{p}"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".")


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Write the lines of a Markdown table, and an empty one after it."""
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
        *(f"| {' | '.join(line)} |" for line in body),
        "",
    ]


def _difference_tables(grid: Sequence[At], labels: Sequence[Label], compared: Summaries) -> list[str]:
    """One table of differences per score, a column per reference."""
    lines: list[str] = []
    for metric in RIVALRY:
        of_metric = [label for label in labels if label.metric.startswith(f"{metric} - ")]
        names = list(dict.fromkeys(label.metric for label in of_metric))
        if names:
            known = set(of_metric)
            lines += markdown(
                ["layer", "method", *names],
                [
                    [
                        at.layer,
                        at.method,
                        *(
                            cell(compared, Label(at, name), ALL, _missing(Label(at, name)))
                            if Label(at, name) in known
                            else ""
                            for name in names
                        ),
                    ]
                    for at in grid
                    if any(label.at == at for label in of_metric)
                ],
            )
    return lines
