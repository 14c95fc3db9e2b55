"""Test clips by what the model answers, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.predictions import Predictions
from earmark.data.selection import spread
from earmark.errors import EarmarkError
from earmark.seeds import derive

RIGHT, WRONG = "right", "wrong"


def drawn(
    source: DataSet, predictions: Predictions, split: str, classes: Sequence[ClassInfo], count: int, seed: int
) -> Iterator[tuple[ClassInfo, NDArray[np.int64]]]:
    """Draw test clips of every answer, right ones and again wrong ones, spread over their groups.

    Parameters
    ----------
    source, predictions, split
        The clips, and what the model of a split answers to them.
    classes : sequence of ClassInfo
        The answers.
    count : int
        Most clips of an answer, where it is right and again where it is wrong.
    seed : int
        Of the choice.

    Yields
    ------
    cls : ClassInfo
        What the model answers.
    clips : array of int [n]
        Rows of the clip index, ascending.

    Raises
    ------
    EarmarkError
        If the model answers several classes at once, or nobody knows which answers are right.
    """
    if predictions.multi_label or not source.labelled:
        raise EarmarkError(
            f"{source.layout.dataset}: listeners guess one answer, right or wrong: its model must answer one class "
            "(model.task: single), and its clips must have one (labels other than predictions)"
        )
    test = source.split(split).test
    answers, truth = predictions.answers(test), source.targets(test).numpy()
    for cls in classes:
        parts = []
        for which, fits in ((RIGHT, truth == cls.index), (WRONG, truth != cls.index)):
            clips = test[(answers == cls.index) & fits]
            groups = source.clips["group"].to_numpy(str)[clips]
            parts.append(clips[spread(groups, count, derive(seed, cls.slug, which))])
        yield cls, np.sort(np.concatenate(parts))
