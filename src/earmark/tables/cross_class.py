"""Table ``cross_class``: own against other classes' subspaces, row by row of the cross-class matrices (eq. 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.data.chosen import SCORED
from earmark.plan.methods import method_of
from earmark.tables import summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import Clips, Row, Summaries, Values, clips_of, groups_of, subtract, summarise


def advantage(at: At) -> Label:
    """Label how much more a clip gains by its own class's subspaces than by those of the others."""
    return Label(at, "own").less("others")


def own_class_labels(at: At) -> tuple[Label, Label, Label]:
    """List Delta-AUPC with a clip's own class's subspaces, with those of the other classes, and the difference."""
    return Label(at, "own"), Label(at, "others"), advantage(at)


@dataclass(frozen=True)
class Crossed:
    """The clips of the matrices, and what they come to."""

    clips: Clips
    found: Summaries


def measure(study: Study) -> Crossed:
    """Read every ``cross_class_clips.csv`` that exists, and compare."""
    read = {at: part for at in study.crossed if (part := _clips(study, at)) is not None}
    groups = groups_of([groups for _, groups in read.values()])
    clips = clips_of(groups, study.left_out(SCORED))
    slugs = np.array(study.slugs)
    deltas = {at: frame.reindex(groups.index)[slugs].to_numpy(float) for at, (frame, _) in read.items()}
    values = own_class(deltas, slugs, clips.cls)
    tested = {advantage(at): values[advantage(at)] for at in deltas}
    tested |= subtract(control_comparisons(study.crossed), values)
    found = summarise(values, clips, study.draws, study.seed)
    return Crossed(clips, found | summarise(tested, clips, study.draws, study.seed, test=True))


def rows(study: Study, crossed: Crossed) -> list[Row]:
    """Write a row per quantity and class."""
    labels = [label for at in study.crossed for label in own_class_labels(at)]
    return summary.rows([*labels, *control_comparisons(study.crossed)], crossed.found, crossed.clips)


def control_comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List how much more the diagonal stands out than with random subspaces of equal layer and K."""
    controls = [at for at in grid if method_of(at.method).control]
    return {
        advantage(at).less(control.method): (advantage(at), advantage(control))
        for at in grid
        for control in controls
        if at not in controls and (at.layer, at.k) == (control.layer, control.k)
    }


def own_class(deltas: Mapping[At, Values], classes: NDArray[Any], attributed: Iterable[str]) -> dict[Label, Values]:
    """Compare each clip's own class's subspaces with those of the others (eq. 4.5).

    Parameters
    ----------
    deltas : mapping of At to array [n, C]
        Delta-AUPC of n clips; columns are the classes of the subspaces.
    classes : array of str [C]
        Those.
    attributed : array of str [n]
        The clips' own classes.

    Returns
    -------
    dict
        The quantities of :func:`own_class_labels`: on the diagonal, mean of the rest of the row, the diagonal's
        advantage.
    """
    own = np.asarray(attributed)[:, None] == classes[None]  # [n, C]
    n_others = (~own).sum(axis=1)
    found: dict[Label, Values] = {}
    for at, of_clips in deltas.items():
        diagonal = np.where(own, of_clips, 0.0).sum(axis=1)
        others = np.where(own, 0.0, of_clips).sum(axis=1) / np.where(n_others > 0, n_others, np.nan)
        found |= dict(zip(own_class_labels(at), (diagonal, others, diagonal - others), strict=True))
    return found


def _clips(study: Study, at: At) -> tuple[pd.DataFrame, pd.Series] | None:
    """Read one ``cross_class_clips.csv``: Delta-AUPC by (class, clip) and class of the subspaces, and the groups."""
    frame = study.read_csv(study.method(at) / "cross_class_clips.csv", {"clip": int, "delta": float})
    if frame is None:
        return None
    frame = frame.rename(columns={"attributed": "cls"})
    deltas = frame.pivot(index=["cls", "clip"], columns="subspaces", values="delta")
    groups = frame.drop_duplicates(["cls", "clip"]).set_index(["cls", "clip"])["group"]
    return deltas, groups  # apart: a class may be called "group"
