"""What listeners' ratings of explanations come to: means and differences over listeners, and what a panel can find.

A listener rates every sound of a clip from 0 to 100, once for each question. Listeners are what is drawn at random:
every number is a mean over the clips by listener, then over listeners, with Student's interval, which few listeners
widen. (A bootstrap of five listeners is too narrow, and of their 32 patterns of signs none is rarer than 1 in 16.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from earmark.statistics import Interval, holm, students

REFERENCE, REST = "reference", "rest"
"""The clip among the sounds that are rated, by the name that webMUSHRA gives it, and what the standard explanation
leaves of it."""


@dataclass(frozen=True)
class Question:
    """What is asked of every sound.

    Attributes
    ----------
    title, asks : str
        In words; ``{answer}`` stands for what the model answers.
    low, high : str
        What the ends of the scale mean.
    """

    title: str
    asks: str
    low: str
    high: str


CLASS, QUALITY = "class", "quality"

QUESTIONS = {
    CLASS: Question(
        "Does it carry the class?",
        "The model takes the reference for: {answer}. How far is each sound the part of the reference that makes it "
        "{answer}?",
        "nothing of it",
        "exactly that part",
    ),
    QUALITY: Question(
        "How good does it sound?",
        "Whatever it is taken for: how good is the sound of each, compared with the reference?",
        "spoilt",
        "as good as the reference",
    ),
}
"""As in the user studies of L2I (Parekh et al. 2024, V-A): the first; of LMAC-TD (Mancini et al. 2025, III): both."""

GOOD, OFTEN = 90, 0.15
"""Whoever rates the hidden reference below the one in more than the other of the trials is to be screened
(ITU-R BS.1534-3, 4.1.2)."""

PANELS, SIZES = (5, 10, 20), (5, 10, 20)
"""Listeners, and true differences in points, that the power is told of."""

LEVEL = 0.05


@dataclass(frozen=True)
class Spread:
    """What ratings differ by in a pair of conditions; what a listener, or a clip, adds to all conditions cancels.

    Attributes
    ----------
    leaning : float
        Standard deviation of what a listener adds to a condition in all clips, points.
    single : float
        That of what is left of a single rating, points.
    """

    leaning: float
    single: float


ASSUMED = Spread(8.0, 15.0)
"""Before anybody listened: an assumption, of untrained listeners and sounds far from each other."""


def paired(ratings: pd.DataFrame) -> pd.DataFrame:
    """Lay ratings of one question out, a row per listener and clip, a column per condition; NaN where none is.

    Parameters
    ----------
    ratings : pandas.DataFrame
        Columns ``listener``, ``clip``, ``condition`` and ``score``, a row per rating.
    """
    return ratings.pivot(index=["listener", "clip"], columns="condition", values="score")


def of_listeners(values: pd.Series) -> NDArray[np.float64]:
    """Average what is known of a column of :func:`paired`, or of a difference of two, over clips: ``[n]`` listeners."""
    return values.dropna().groupby("listener").mean().to_numpy(float)


def interval(means: ArrayLike) -> Interval:
    """Put Student's interval around the mean over listeners ``[n]``; NaN where nobody listened."""
    known = np.asarray(means, dtype=float)
    return students(known) if len(known) else Interval(math.nan, math.nan, math.nan)


def p_values(differences: ArrayLike) -> NDArray[np.float64]:
    """Test by Student's t whether differences are 0 in the mean over listeners.

    Parameters
    ----------
    differences : array [..., n]
        Of n listeners.

    Returns
    -------
    array [...]
        Two-sided; NaN of fewer than two listeners, and where nobody sees any difference.
    """
    values = np.asarray(differences, dtype=float)
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], math.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = values.mean(axis=-1) / (values.std(axis=-1, ddof=1) / math.sqrt(n))
    return 2 * stdtr(n - 1, -np.abs(t))


def pairs(methods: Sequence[str], standard: str, lot: str) -> Iterator[tuple[str, str]]:
    """Yield which conditions are compared with which: methods with both anchors, and the standard with the lot."""
    yield from product(methods, (lot, standard))
    yield standard, lot


def compared(table: pd.DataFrame, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[Interval, float]]:
    """Compare conditions, clip by clip of every listener.

    Parameters
    ----------
    table : pandas.DataFrame
        As of :func:`paired`.
    asked : sequence of (str, str)
        Pairs of conditions: the first less the second.

    Returns
    -------
    dict of (str, str) to (Interval, float)
        The mean difference, and its p-value after Holm over all that is asked.
    """
    found = [of_listeners(table[one] - table[other]) for one, other in asked]
    adjusted = holm([p_values(values) for values in found])
    return {pair: (interval(values), float(p)) for pair, values, p in zip(asked, found, adjusted, strict=True)}


def screened(quality: pd.DataFrame) -> list[str]:
    """List the listeners who too often rate the hidden reference low (ITU-R BS.1534-3).

    Parameters
    ----------
    quality : pandas.DataFrame
        As of :func:`paired`, of the question for the quality: by the other one the reference, which holds more than
        the class, may well be rated low.
    """
    if REFERENCE not in quality:
        return []
    low = (quality[REFERENCE].dropna() < GOOD).groupby("listener").mean()
    return low.index[low > OFTEN].tolist()


def spread_of(table: pd.DataFrame) -> Spread | None:
    """Estimate the spread of one question's ratings, of the listeners who rated all; None where too few did.

    Parameters
    ----------
    table : pandas.DataFrame
        As of :func:`paired`.

    Notes
    -----
    By mean squares: in a balanced table listener x condition has the expected value ``single^2 + C leaning^2`` over C
    clips, and listener x clip x condition ``single^2``.
    """
    whole = table.dropna().unstack("clip").dropna()  # a row per listener
    conditions = table.shape[1]
    values = whole.to_numpy(float).reshape(len(whole), conditions, -1)  # [L, K, C]
    listeners, _, clips = values.shape
    if min(listeners, conditions, clips) < 2:
        return None
    left = values - values.mean(axis=0)
    left = left - left.mean(axis=1, keepdims=True)
    leaning = left.mean(axis=2)  # [L, K]
    free = (listeners - 1) * (conditions - 1)
    single = float(((left - leaning[..., None]) ** 2).sum() / (free * (clips - 1)))
    between = float((leaning**2).sum() / free) - single / clips
    return Spread(math.sqrt(max(between, 0.0)), math.sqrt(single))


def power(
    spread: Spread, listeners: int, clips: int, methods: int, size: float, draws: int = 2000, seed: int = 0
) -> float:
    """Simulate how often a true difference is found.

    Of the methods and the two anchors one is `size` points above all others, which are alike.

    Parameters
    ----------
    spread : Spread
        Of the ratings.
    listeners, clips, methods : int
        How many listen, to how many clips, and how many methods are compared; with none the standard explanation is.
    size : float
        The true difference, points.
    draws : int
        Panels that are simulated.
    seed : int
        Of the simulation.

    Returns
    -------
    float
        The share of panels in which the best condition's difference to an anchor has a p-value below .05 after Holm
        over all that is compared.
    """
    names = [str(number) for number in range(methods)]
    asked = list(pairs(names, "standard", "lot"))
    place = {name: number for number, name in enumerate([*names, "standard", "lot"])}
    sd = math.sqrt(spread.leaning**2 + spread.single**2 / clips)
    means = np.random.default_rng(seed).normal(0.0, sd, (draws, len(place), listeners))
    means[:, 0] += size
    first, second = ([place[pair[side]] for pair in asked] for side in (0, 1))
    p = p_values(means[:, first] - means[:, second])  # [draws, pairs]
    return float(np.mean(first_found(p)))


def first_found(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell of many tables of p-values ``[n, m]`` at once whether the first one is below .05 after Holm."""
    order = p.argsort(axis=1)
    below = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1) < LEVEL
    rank = (order == 0).argmax(axis=1)
    return np.logical_and.accumulate(below, axis=1)[np.arange(len(p)), rank]
