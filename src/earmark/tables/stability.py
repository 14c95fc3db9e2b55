"""What helps to choose K and the layer: how stable concepts are, and what they are worth on held-out clips.

What the stage `stability` measured, read into tables, words and the panels of a figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from earmark.data.dataset import read_table
from earmark.explainers.subspaces.refits import KINDS
from earmark.figures.scores import Panel
from earmark.statistics import ALL, Interval
from earmark.tables import summary
from earmark.tables.summary import At, Row

COLUMNS = (*summary.COLUMNS, "concept", "random", "unstable")

MARGIN = 0.25
"""How far above random subspaces a concept must be found again, as a fraction of the way from there to 1."""

ROUNDING = 1e-6
"""Of a basis in single precision: K = 1 has affinity 1 up to this."""

LEVEL = 0.95

OBJECTIVES = ("objective_training", "objective_held_out")

AFFINITIES = {kind: f"affinity_{kind}" for kind in KINDS}

DRAWS = {"seed": "seeds", "bootstrap": "resampled clips", "split": "splits"}
"""The kinds in the words of figures."""

METRICS = (*OBJECTIVES, *AFFINITIES.values())


class Key(NamedTuple):
    """What was measured where; `concept` is empty for the mean over concepts."""

    at: At
    cls: str
    metric: str
    concept: str = ""


@dataclass(frozen=True)
class Measured:
    """A mean over n draws, or clips, and what it is for random subspaces (NaN where that is not asked)."""

    interval: Interval
    n: int
    random: float = math.nan

    @property
    def unstable(self) -> bool | None:
        """Whether the interval does not lie clearly above random subspaces; None where that cannot be said."""
        if not (math.isfinite(self.random) and math.isfinite(self.interval.low)):
            return None
        return self.interval.low < self.random + MARGIN * (1 - self.random) - ROUNDING


Measures = dict[Key, Measured]


def read(folders: Mapping[At, Path]) -> Measures:
    """Read ``stability.csv`` and ``held_out.csv`` of some method folders, as far as they exist."""
    found: Measures = {}
    for at, folder in folders.items():
        for name, reader in (("held_out.csv", _objectives), ("stability.csv", _affinities)):
            if (folder / name).exists():
                frame = read_table(folder / name)
                found |= {Key(at, *key): measured for key, measured in reader(frame)}
    return found


def mean_interval(values: ArrayLike) -> Interval:
    """Mean of independent affinities [n] with Student's interval, which few draws widen; no bounds for one draw."""
    draws = np.asarray(values, dtype=float)
    mean = float(draws.mean())
    if len(draws) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(student.ppf((1 + LEVEL) / 2, len(draws) - 1) * draws.std(ddof=1) / math.sqrt(len(draws)))
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def _objectives(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str], Measured]]:
    numbers = frame.drop(columns="cls").replace("", "nan").astype(float)
    for cls, row in zip(frame["cls"], numbers.to_dict("records"), strict=True):
        n = int(row["clips"])
        yield (cls, OBJECTIVES[0]), Measured(Interval(row["training"], math.nan, math.nan), n)
        yield (cls, OBJECTIVES[1]), Measured(Interval(row["held_out"], row["low"], row["high"]), n)


def _affinities(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], Measured]]:
    frame = frame.astype({"affinity": float, "random": float})
    for kind, of_kind in frame.groupby("kind", sort=False):
        for (cls, concept), part in [
            *of_kind.groupby(["cls", "concept"], sort=False),
            *(((cls, ""), part) for cls, part in of_kind.groupby("cls", sort=False)),
            ((ALL, ""), of_kind),
        ]:
            draws = part.groupby("draw", sort=False)["affinity"].mean()
            measured = Measured(mean_interval(draws), len(draws), float(part["random"].iloc[0]))
            yield (cls, AFFINITIES[str(kind)], concept), measured


def rows(asked: Iterable[At], classes: Sequence[str], measures: Measures) -> Iterator[Row]:
    """Yield the table's rows in the order of ``COLUMNS``; what was asked for and is missing is empty."""
    for at in asked:
        for metric in METRICS:
            for cls in (ALL, *classes):
                for concept in ("", *map(str, range(1, at.k + 1))):
                    key = Key(at, cls, metric, concept)
                    if concept == "" or key in measures:
                        yield (
                            *at,
                            cls,
                            metric,
                            *_cells(measures.get(key)),
                            concept,
                            *_flag(measures.get(key), concept),
                        )


def _cells(measured: Measured | None) -> Row:
    if measured is None:
        return ("", "", "", "", 0, "")
    return (*map(summary.number, measured.interval), "", measured.n, "")


def _flag(measured: Measured | None, concept: str) -> Row:
    """Write the level of random subspaces, and yes or no for a concept."""
    if measured is None:
        return ("", "")
    unstable = measured.unstable if concept else None
    return (summary.number(measured.random), "" if unstable is None else "yes" if unstable else "no")


def unstable(measures: Measures) -> dict[At, list[Key]]:
    """List the unstable concepts by place, without those of random subspaces: they are the control."""
    found: dict[At, list[Key]] = {}
    for key, measured in measures.items():
        if key.concept and measured.unstable and not key.at.method.startswith(f"{summary.RANDOM}~"):
            found.setdefault(key.at, []).append(key)
    return found


def report(title: str, asked: Sequence[At], classes: Sequence[str], measures: Measures) -> str:
    """Write the table for people, the warnings first.

    Parameters
    ----------
    title : str
        Heading.
    asked : sequence of At
        What the configuration asks for.
    classes : sequence of str
        Slugs.
    measures : Measures
        What exists of it.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"# {title}", ""]
    if not asked:
        return "\n".join([*lines, "Not computed: `stability.methods` in the configuration names no method.", ""])
    lines += [*_warnings(asked, measures), NOTES]
    for at in asked:
        lines += [f"## {at.method} at {at.layer}, K = {at.k}", ""]
        kinds = [kind for kind, metric in AFFINITIES.items() if Key(at, ALL, metric) in measures]
        if not any(key.at == at for key in measures):
            lines += ["Not computed.", ""]
            continue
        lines += summary.markdown(["class", "concept", *kinds, "random"], list(_concepts(at, classes, kinds, measures)))
        lines += summary.markdown(
            ["class", "objective, training pairs", "objective, validation pairs"],
            [[cls, *(_text(measures.get(Key(at, cls, metric))) for metric in OBJECTIVES)] for cls in (ALL, *classes)],
        )
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""
A concept is a subspace of a layer's channels. Is it found again when something changes that should not matter?
Affinity is 1 for the same subspace and 0 for one at right angles to it; each concept is compared with its counterpart,
in the pairing that suits all best. Random subspaces have the affinity in the last column: the level of no stability.

- `seed`: the search for the subspaces starts elsewhere. Low: the objective has several maxima that are about as good.
- `bootstrap`: groups of training clips are drawn anew, with replacement. Low: other recordings would have given others.
- `split`: another network, trained on other folds, its channels rotated so that its activations on validation clips,
  which neither network is tested on, come nearest to this one's. Low: the concept is of this network, not of the task,
  or no rotation joins the two.

Brackets hold 95 % intervals of the mean over draws (Student's). A concept is **unstable** where this interval does
not lie above the random level by {MARGIN:.0%} of the way from there to 1: do not give it a name. Where there is only
one draw, nothing is said. A column is missing where the change cannot affect the method, as clips cannot `random`, nor
seeds `pca`. Of `random` subspaces, the control, all should be unstable; the warning leaves them out.

The objective (eq. 2.19, on normalised pairs) is what the search maximises. Validation clips were not fitted: how much
lower it is there is what the fit owes to chance. Its brackets resample groups of clips. It falls as K grows whatever
the concepts: compare the two columns, or methods of equal K.
"""


def _warnings(asked: Sequence[At], measures: Measures) -> Iterator[str]:
    found = unstable(measures)
    if not found:
        return
    yield "**Warning: unstable concepts.** They may not be there in another run; see below what that means."
    yield ""
    for at in asked:
        of_class: dict[str, dict[str, list[str]]] = {}
        for key in found.get(at, []):
            kind = key.metric.removeprefix("affinity_")
            of_class.setdefault(key.cls, {}).setdefault(kind, []).append(key.concept)
        for cls, kinds in of_class.items():
            listed = "; ".join(f"{kind} {', '.join(concepts)}" for kind, concepts in kinds.items())
            yield f"- {at.method} at {at.layer}, K = {at.k}, {cls}: {listed}"


def _concepts(at: At, classes: Sequence[str], kinds: Sequence[str], measures: Measures) -> Iterator[list[str]]:
    for cls in (ALL, *classes):
        for concept in ("", *map(str, range(1, at.k + 1))):
            cells = [measures.get(Key(at, cls, AFFINITIES[kind], concept)) for kind in kinds]
            known = [cell for cell in cells if cell is not None]
            if known:
                marks = (" **unstable**" if concept and cell and cell.unstable else "" for cell in cells)
                texts = [f"{_text(cell)}{mark}" for cell, mark in zip(cells, marks, strict=True)]
                yield [cls, concept or "mean", *texts, f"{known[0].random:.3f}"]


def _text(measured: Measured | None) -> str:
    if measured is None or not math.isfinite(measured.interval.estimate):
        return "–"
    estimate, low, high = measured.interval
    return f"{estimate:.3f}" + (f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) else "")


def card_text(at: At, cls: str, concept: int, share: Interval, measures: Measures) -> str:
    """Say what share of the relevance a concept has, and how stable it is, where that is known."""
    lines = [f"concept {concept}", f"share of relevance {_percent(share)}"]
    keys = {kind: Key(at, cls, metric, str(concept)) for kind, metric in AFFINITIES.items()}
    known = {kind: measures[key] for kind, key in keys.items() if key in measures}
    for kind, found in known.items():
        estimate, low, high = found.interval
        bounds = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) else ""
        mark = ", unstable" if found.unstable else ""
        lines += ["", f"affinity over {DRAWS[kind]}", f"{estimate:.2f}{bounds}{mark}"]
    levels = {f"{found.random:.2f}" for found in known.values()}
    return "\n".join([*lines, *(line for level in levels for line in ("", f"of random subspaces {level}"))])


def _percent(share: Interval) -> str:
    bounds = f" [{100 * share.low:.0f}, {100 * share.high:.0f}]" if math.isfinite(share.low) else ""
    return f"{100 * share.estimate:.0f} %{bounds}"


Found = TypeVar("Found")


def panels(
    grid: Sequence[At], measures: Measures, fair: Mapping[At, Interval], nmi: Mapping[At, Interval]
) -> list[Panel]:
    """Collect what the choice of K and layer is made by, and the score on test clips, which must not decide it.

    Parameters
    ----------
    grid : sequence of At
        One method's.
    measures : Measures
        From :func:`read`.
    fair, nmi : mapping of At to Interval
        The fair score, and the information on the true objects.
    """

    def over_grid(value: Callable[[At], Found | None]) -> dict[int, dict[str, Found]]:
        known = {at: found for at in grid if (found := value(at)) is not None}
        return {k: {at.layer: found for at, found in known.items() if at.k == k} for k in {at.k: 0 for at in known}}

    def measured(metric: str) -> Callable[[At], Interval | None]:
        return lambda at: found.interval if (found := measures.get(Key(at, ALL, metric))) else None

    def random(metric: str) -> Callable[[At], float | None]:
        return lambda at: found.random if (found := measures.get(Key(at, ALL, metric))) else None

    def training(at: At) -> float | None:
        found = measures.get(Key(at, ALL, OBJECTIVES[0]))
        return found.interval.estimate if found else None

    return [
        Panel(
            "objective on validation pairs\ndotted: on training pairs",
            over_grid(measured(OBJECTIVES[1])),
            over_grid(training),
        ),
        Panel("fair score, test clips (not to choose by)\nlower: joint order faithful", over_grid(fair.get), {}),
        Panel("information on objects, validation clips\nhigher: concepts are objects", over_grid(nmi.get), {}),
        *(
            Panel(
                f"affinity over {name}\ndotted: random subspaces",
                over_grid(measured(AFFINITIES[kind])),
                over_grid(random(AFFINITIES[kind])),
            )
            for kind, name in DRAWS.items()
        ),
    ]
