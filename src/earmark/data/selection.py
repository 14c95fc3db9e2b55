"""Choose clips spread over classes, and over their recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def evenly(available: Sequence[int], total: int | None) -> list[int]:
    """Share a number out as evenly as can be.

    Parameters
    ----------
    available : sequence of int
        Most that each can get.
    total : int or None
        What is shared out; None: each gets all that it can.

    Returns
    -------
    list of int
        What each gets: no one two more than another who could have more. The first ones get what is left over.
    """
    turns = sorted((turn, number) for number, most in enumerate(available) for turn in range(most))
    counts = Counter(number for _, number in turns[:total])
    return [counts[number] for number in range(len(available))]


def spread(recordings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose clips at random, spread evenly over their recordings.

    Parameters
    ----------
    recordings : numpy.ndarray
        Recording of every candidate, ``[N]``.
    count : int
        How many to choose; all candidates if there are fewer.
    seed : int
        Of the choice.

    Returns
    -------
    numpy.ndarray
        Ascending positions among the candidates; no recording gives two clips more than another one
        that has as many.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(recordings))
    _, first, member = np.unique(recordings[shuffled], return_index=True, return_inverse=True)
    turn = np.empty(len(recordings), np.int64)  # a clip's place among those of its recording
    for recording in range(len(first)):
        rows = np.flatnonzero(member == recording)
        turn[rows] = np.arange(len(rows))
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:count]])
