"""Table ``stability``: how stable concepts are, and what the fit's objective is on held-out clips.

What the stage `stability` measured; it helps to choose K and the layer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from earmark.data import dataset
from earmark.explainers.subspaces.objective import RELATIVE_EPSILON, soft_min
from earmark.plan.methods import method_of
from earmark.seeds import derive
from earmark.statistics import ALL, Clusters, Interval, bootstrap_sums, percentiles, students
from earmark.tables import markdown, summary
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.summary import Row
from earmark.tables.written import BAR, numbers

log = logging.getLogger(__name__)

COLUMNS = (*summary.COLUMNS, "concept", "random", "unstable")

MARGIN = 0.25
"""How far above random subspaces a concept must be found again, as a fraction of the way from there to 1."""

ROUNDING = 1e-6
"""Of a basis in single precision: K = 1 has affinity 1 up to this."""

TRAINING, HELD_OUT = "objective_training", "objective_held_out"

AFFINITIES = {f"affinity_{kind}": kind for kind in ("seed", "bootstrap")}
"""Which kind of draws each is over."""

METRICS = (TRAINING, HELD_OUT, *AFFINITIES)

OF_WHAT = ("cls", "set", "group", "clips")
"""Columns of ``held_out.csv`` that say what the sums in the others are of."""

TERMS = ("pairs", "activations", "contexts", "products")
"""Sums that stand before those of the concepts."""


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


def measure(study: Study) -> Measures:
    """Read what was measured where stability was asked for, and warn of unstable concepts."""
    found: Measures = {}
    for at in study.stable:
        held_out = study.read_csv(study.method(at) / "held_out.csv")
        if held_out is not None:
            seed = derive(study.config["seed"], "held out")
            of_classes = held_out[held_out["cls"].isin(study.slugs)]
            of_place = objectives(of_classes, study.slugs, study.draws, seed)
            found |= {Key(at, *key): measured for key, measured in of_place.items()}
        types = {"affinity": float, "random": float}
        affinities = study.read_csv(study.method(at) / "stability.csv", types)
        if affinities is not None:
            of_classes = affinities[affinities["cls"].isin(study.slugs)]
            found |= {Key(at, *key): measured for key, measured in _affinities(of_classes)}
    for at, keys in unstable(found).items():
        concepts = len({(key.cls, key.concept) for key in keys})
        log.warning(
            "%s at %s, K = %d: %d unstable concepts, see tables/stability.md", at.method, at.layer, at.k, concepts
        )
    return found


def mean_interval(values: ArrayLike) -> Interval:
    """Mean of independent affinities [n] with Student's interval, within 0 and 1."""
    mean, low, high = students(values)
    return Interval(mean, max(0.0, low), min(1.0, high)) if math.isfinite(low) else Interval(mean, low, high)


def objectives(frame: pd.DataFrame, classes: Sequence[str], draws: int, seed: int) -> dict[tuple[str, str], Measured]:
    """Evaluate eq. 2.19 on the training pairs and on those of validation clips, class by class and on average.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``held_out.csv`` as text: sums over the pairs of each class, set and group.
    classes : sequence of str
        C slugs.
    draws, seed : int
        Resamples of whole groups.

    Returns
    -------
    dict
        By class, or ``all``, and metric. The average is over classes with validation pairs, of both objectives.
    """
    columns = [*TERMS, *frame.columns.drop([*OF_WHAT, *TERMS])]
    frame = frame.astype({"clips": int, **dict.fromkeys(columns, float)})
    training, validation = (frame[frame["set"] == which] for which in (dataset.TRAINING, dataset.VALIDATION))
    known = [cls for cls in classes if (validation["cls"] == cls).any()]
    unknown = Interval(math.nan, math.nan, math.nan)
    found: dict[tuple[str, str], Measured] = {}
    values = {cls: float(pooled(training.loc[training["cls"] == cls, columns].sum().to_numpy())) for cls in classes}
    clips = {cls: int(validation.loc[validation["cls"] == cls, "clips"].sum()) for cls in classes}
    bounds: dict[str, Interval] = {}
    if known:
        table = validation[columns].to_numpy(float)
        places = [known.index(cls) for cls in validation["cls"]]
        bounds = dict(
            zip([*known, ALL], _bounded(table, Clusters.of(validation["group"], places), draws, seed), strict=True)
        )
    values[ALL] = float(np.mean([values[cls] for cls in known])) if known else math.nan
    clips[ALL] = sum(clips.values())
    for cls in (*classes, ALL):
        found[cls, TRAINING] = Measured(Interval(values[cls], math.nan, math.nan), clips[cls])
        found[cls, HELD_OUT] = Measured(bounds.get(cls, unknown), clips[cls])
    return found


def pooled(sums: ArrayLike) -> NDArray[np.float64]:
    """Evaluate eq. 2.19 from sums over pairs ``[..., 4 + K]``; NaN where they are sums of nothing.

    Columns: number of pairs; energies of activations and of contexts, in units of the square root of D that eq. 3.4
    scales them to, and their products, pair by pair and in units of 1; squared positive relevance of each subspace.
    """
    table = np.asarray(sums, dtype=float)
    counts = table[..., :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = table[..., 1:] / counts
        scale = means[..., :2].prod(axis=-1, keepdims=True)  # of eq. 3.4, both squared
        epsilon = RELATIVE_EPSILON * means[..., 2:3] / scale  # what the search adds inside both roots
        return soft_min(means[..., 3:] / scale, epsilon)[0]


def _bounded(table: NDArray[np.float64], clusters: Clusters, draws: int, seed: int) -> list[Interval]:
    """Bound the objective of C classes and, the last, its mean by resampling whole groups.

    Parameters
    ----------
    table : array [N, 4 + K]
        Sums as :func:`pooled` takes them.
    clusters : Clusters
        Group and class of each.
    draws, seed : int
        Of the resampling.

    Returns
    -------
    list of Interval
        C + 1; bounds are NaN where fewer than two groups speak.
    """
    estimates, values = bootstrap_sums(table, clusters, pooled, draws, seed)  # [C], [draws, C]
    values[:, clusters.shared.sum(axis=0) < 2] = np.nan
    every = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)  # [draws, C + 1]
    known = np.isfinite(every).any(axis=0)
    bounds = np.full((2, every.shape[1]), np.nan)
    bounds[:, known] = percentiles(every[:, known])
    return [Interval(*map(float, each)) for each in zip([*estimates, estimates.mean()], *bounds, strict=True)]


def _affinities(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], Measured]]:
    for kind, of_kind in frame.groupby("kind", sort=False):
        for (cls, concept), part in [
            *of_kind.groupby(["cls", "concept"], sort=False),
            *(((cls, ""), part) for cls, part in of_kind.groupby("cls", sort=False)),
            ((ALL, ""), of_kind),
        ]:
            draws = part.groupby("draw", sort=False)["affinity"].mean()
            measured = Measured(mean_interval(draws), len(draws), float(part["random"].iloc[0]))
            yield (cls, f"affinity_{kind}", concept), measured


def rows(study: Study, measures: Measures) -> Iterator[Row]:
    """Yield the table's rows; what was asked for and is missing is empty."""
    return written(study.stable, study.slugs, measures)


def written(asked: Iterable[At], classes: Sequence[str], measures: Measures) -> Iterator[Row]:
    """Yield a row per place, metric, class and concept; an empty concept stands for their mean."""
    for at in asked:
        for metric in METRICS:
            for cls in (ALL, *classes):
                for concept in ("", *map(str, range(1, at.k + 1))):
                    found = measures.get(Key(at, cls, metric, concept))
                    if concept == "" or found:
                        yield (*at, cls, metric, *_cells(found), concept, *_flag(found, concept))


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
        if key.concept and measured.unstable and not method_of(key.at.method).control:
            found.setdefault(key.at, []).append(key)
    return found


def report(study: Study, measures: Measures) -> str:
    """Write the table for people, the warnings first (Markdown)."""
    warning = [*markdown.too_few(study.fitted), *markdown.absent(study.split, study.without)]
    return write(f"Stability: {study.name}", study.stable, study.slugs, measures, warning)


def write(
    title: str, asked: Sequence[At], classes: Sequence[str], measures: Measures, warning: Sequence[str] = ()
) -> str:
    """Write the table of what was asked for."""
    lines = [f"# {title}", ""]
    if not asked:
        return "\n".join([*lines, "Not computed: `stability.methods` in the configuration names no method.", ""])
    lines += [*_warnings(asked, measures), NOTES, *warning]
    for at in asked:
        lines += [f"## {at.method} at {at.layer}, K = {at.k}", ""]
        metrics = [metric for metric in AFFINITIES if Key(at, ALL, metric) in measures]
        if not any(key.at == at for key in measures):
            lines += ["Not computed.", ""]
            continue
        head = ["class", "concept", *(AFFINITIES[metric] for metric in metrics), "random"]
        lines += markdown.table(head, _concepts(at, classes, metrics, measures))
        lines += markdown.table(
            ["class", "objective, training pairs", "objective, validation pairs"],
            [
                [cls, *(_text(measures.get(Key(at, cls, metric))) for metric in (TRAINING, HELD_OUT))]
                for cls in (ALL, *classes)
            ],
        )
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""
A concept is a subspace of a layer's channels. Is it found again when something changes that should not matter?
Affinity is 1 for the same subspace and 0 for one at right angles to it; each concept is compared with its counterpart,
in the pairing that suits all best. Random subspaces have the affinity in the last column: the level of no stability.

- `seed`: the search for the subspaces starts elsewhere. Low: the objective has several maxima that are about as good.
- `bootstrap`: groups of training clips are drawn anew, with replacement. Low: other recordings would have given others.

Brackets hold 95 % intervals of the mean over draws (Student's). A concept is **unstable** where this interval does
not lie above the random level by {MARGIN:.0%} of the way from there to 1: do not give it a name. Where there is only
one draw, nothing is said. A column is missing where the change cannot affect the method. Of a control's concepts all
should be unstable; the warning leaves them out.

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
            of_class.setdefault(key.cls, {}).setdefault(AFFINITIES[key.metric], []).append(key.concept)
        for cls, kinds in of_class.items():
            listed = "; ".join(f"{kind} {', '.join(concepts)}" for kind, concepts in kinds.items())
            yield f"- {at.method} at {at.layer}, K = {at.k}, {cls}: {listed}"


def _concepts(at: At, classes: Sequence[str], metrics: Sequence[str], measures: Measures) -> Iterator[list[str]]:
    for cls in (ALL, *classes):
        for concept in ("", *map(str, range(1, at.k + 1))):
            cells = [measures.get(Key(at, cls, metric, concept)) for metric in metrics]
            known = [cell for cell in cells if cell is not None]
            if known:
                marks = (" **unstable**" if concept and cell and cell.unstable else "" for cell in cells)
                texts = [f"{_text(cell)}{mark}" for cell, mark in zip(cells, marks, strict=True)]
                yield [cls, concept or "mean", *texts, f"{known[0].random:.3f}"]


def _text(measured: Measured | None) -> str:
    if measured is None or not math.isfinite(measured.interval.estimate):
        return "–"
    return markdown.bounded(measured.interval)


def affinities(table: pd.DataFrame) -> dict[str, dict[str, tuple[Interval, float, bool]]]:
    """Read the rows of a place and class: how stable its concepts are, by concept and kind of draws.

    Returns
    -------
    dict of dict of tuple
        The affinity, that of random subspaces, and whether the concept is unstable.
    """
    rows = table[(table["concept"] != "") & table["metric"].isin(AFFINITIES) & (table["estimate"] != "")]
    found: dict[str, dict[str, tuple[Interval, float, bool]]] = {}
    for row, bar in zip(rows.itertuples(index=False), numbers(rows, BAR), strict=True):
        of_concept = found.setdefault(row.concept, {})
        of_concept[AFFINITIES[row.metric]] = Interval(*bar), float(row.random), row.unstable == "yes"
    return found
