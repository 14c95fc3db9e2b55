"""Divide recordings into folds: stratified by class, groups whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from earmark.errors import EarmarkError

TRIES = 50
"""Shuffles that are tried until every fold holds every class."""


def assign(classes: Sequence[str], groups: Sequence[str], n_folds: int, seed: int) -> np.ndarray:
    """Give every recording a fold.

    Parameters
    ----------
    classes, groups : sequence of str
        Class and group of every recording, ``[N]``. A group may hold several classes.
    n_folds : int
        At most the number of groups of the class that has fewest.
    seed : int
        Decides the shuffle of the groups.

    Returns
    -------
    numpy.ndarray
        int64 ``[N]``, 0 to `n_folds` - 1. No group lies in two folds; every class is in
        every fold, in nearly equal numbers as far as the groups allow.

    Raises
    ------
    EarmarkError
        If no shuffle puts every class into every fold: groups that hold several classes can
        make that impossible.
    """
    for shuffle in np.random.SeedSequence(seed).generate_state(TRIES):
        folds = np.empty(len(classes), np.int64)
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=int(shuffle))
        for fold, (_, held) in enumerate(splitter.split(np.empty(len(classes)), classes, groups)):
            folds[held] = fold
        if _complete(np.asarray(classes), folds, n_folds):
            return folds
    raise EarmarkError(
        f"The {len(set(groups))} groups cannot be divided into {n_folds} folds that hold every class: "
        "some groups are too large or hold too many classes at once."
    )


def _complete(classes: np.ndarray, folds: np.ndarray, n_folds: int) -> bool:
    return all(len(np.unique(folds[classes == name])) == n_folds for name in np.unique(classes))
