"""Divide recordings into folds: stratified by class, groups whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from earmark.errors import EarmarkError
from earmark.plan.folder import FEWEST_FOLDS

log = logging.getLogger(__name__)

TRIES = 50
"""Shuffles that are tried until every fold holds every class."""

MOVES = 10
"""Moves of groups, times their number, by which a shuffle is mended in which a fold lacks a class."""


def assign(
    classes: Sequence[str], groups: Sequence[str], n_folds: int, seed: int, fewest: int = FEWEST_FOLDS
) -> np.ndarray:
    """Give every recording a fold.

    Parameters
    ----------
    classes, groups : sequence of str
        Class and group of every recording, ``[N]``. A group may hold several classes.
    n_folds : int
        At most the number of groups of the class that has fewest.
    seed : int
        Decides the shuffle of the groups.
    fewest : int
        Where groups hold several classes, `n_folds` may be impossible: so many will do, the more the better.

    Returns
    -------
    numpy.ndarray
        int64 ``[N]``, 0 to the number of folds - 1. No group lies in two folds; every class is in
        every fold, in nearly equal numbers as far as the groups allow.

    Raises
    ------
    EarmarkError
        If no division was found that puts every class into every one of `fewest` folds.
    """
    for count in range(n_folds, fewest - 1, -1):
        found = _divided(classes, groups, count, seed)
        if found is not None:
            if count < n_folds:
                log.warning(
                    "%d folds, not %d: no division of the %d groups into more was found that has every class in every "
                    "fold, because groups hold several classes",
                    *(count, n_folds, len(set(groups))),
                )
            return found
    raise EarmarkError(
        f"The {len(set(groups))} groups cannot be divided into {fewest} folds that hold every class: "
        "some groups are too large or hold too many classes at once"
        f"{', and fewer `folds` may be possible' if fewest > FEWEST_FOLDS else ''}."
    )


def _divided(classes: Sequence[str], groups: Sequence[str], n_folds: int, seed: int) -> np.ndarray | None:
    """Divide recordings ``[N]`` into folds; None where no way was found."""
    group_of, class_of = (np.unique(labels, return_inverse=True)[1] for labels in (groups, classes))
    counts = np.zeros((group_of.max() + 1, class_of.max() + 1), np.int64)  # [G, C]
    np.add.at(counts, (group_of, class_of), 1)
    incomplete = []
    for folds in _shuffled(classes, groups, n_folds, seed):
        of_group = np.empty(len(counts), np.int64)
        of_group[group_of] = folds
        if _held(counts, of_group, n_folds).all():
            return folds
        incomplete.append(of_group)
    for number, of_group in enumerate(incomplete):
        if _mended(counts, of_group, n_folds, np.random.default_rng([seed, n_folds, number])):
            return of_group[group_of]
    return None


def _shuffled(classes: Sequence[str], groups: Sequence[str], n_folds: int, seed: int) -> Iterator[np.ndarray]:
    """Yield divisions of recordings ``[N]`` that spread classes evenly, whether or not they reach every fold."""
    for shuffle in np.random.SeedSequence(seed).generate_state(TRIES):
        folds = np.empty(len(classes), np.int64)
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=int(shuffle))
        for fold, (_, held) in enumerate(splitter.split(np.empty(len(classes)), classes, groups)):
            folds[held] = fold
        yield folds


def _held(counts: np.ndarray, of_group: np.ndarray, n_folds: int) -> np.ndarray:
    """Count the groups of every class in every fold: ``[F, C]``."""
    held = np.zeros((n_folds, counts.shape[1]), np.int64)
    np.add.at(held, of_group, (counts > 0).astype(np.int64))
    return held


def _mended(counts: np.ndarray, of_group: np.ndarray, n_folds: int, generator: np.random.Generator) -> bool:
    """Move groups until no fold lacks a class; say whether that came about.

    A random class that a random fold lacks gets the group there whose move leaves fewest classes lacking (local search
    by least conflicts, as for satisfiability), and of those the one that leaves the classes most evenly spread. A group
    that was moved rests for a while, so that the search does not go round in circles.
    """
    held = _held(counts, of_group, n_folds)
    present = counts > 0  # [G, C]
    shares = counts / counts.sum(axis=0)
    spread = np.zeros((n_folds, counts.shape[1]))  # [F, C]
    np.add.at(spread, of_group, shares)
    rests_until = np.zeros(len(counts), np.int64)
    for move in range(MOVES * len(counts)):
        lacking = np.argwhere(held == 0)
        if len(lacking) == 0:
            return True
        fold, cls = lacking[generator.integers(len(lacking))]
        groups = np.flatnonzero(present[:, cls])
        old = of_group[groups]
        lost = (present[groups] & (held[old] == 1)).sum(axis=1)
        won = (present[groups] & (held[fold] == 0)).sum(axis=1)
        uneven = (shares[groups] * (spread[fold] - spread[old] + shares[groups])).sum(axis=1)
        cost = lost - won + len(counts) * (rests_until[groups] > move)
        chosen = groups[np.lexsort((generator.random(len(groups)), uneven, cost))[0]]
        for table, moved in ((held, present[chosen].astype(np.int64)), (spread, shares[chosen])):
            table[of_group[chosen]] -= moved
            table[fold] += moved
        of_group[chosen] = fold
        rests_until[chosen] = move + 1 + generator.integers(1 + len(groups) // 2)
    return not (held == 0).any()
