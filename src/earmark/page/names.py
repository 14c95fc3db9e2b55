"""Names of concepts, given by measurement, with the number behind each."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from earmark.metrics.descriptors import described
from earmark.tables import recovery

CLOSE = 0.75
"""A second object is named whose part in a concept is at least this much of the first one's."""

MOST = 0.5
"""A concept that holds less than this part of an object is some of it."""


class Name(NamedTuple):
    """What a concept is called, and why."""

    name: str
    evidence: str


def by_objects(rows: pd.DataFrame, k: int) -> list[Name] | None:
    """Name concepts by the sound objects whose relevance they hold.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of the table ``recovery``, of one place and class.
    k : int
        Number of concepts.

    Returns
    -------
    list of Name or None
        None where the objects are not known.
    """
    if not len(rows):
        return None
    objects, parts = recovery.matrix(rows)  # parts [K, O]
    return [_by_parts(dict(zip(objects, map(float, parts[concept]), strict=True))) for concept in range(k)]


def _by_parts(parts: dict[str, float]) -> Name:
    """Name a concept by the part of each object's relevance that it holds."""
    held = sorted((-part, name) for name, part in parts.items() if math.isfinite(part) and part > 0)
    if not held:
        return Name("nothing", "it holds no relevance of any sound object")
    named = [(name, -part) for part, name in held if part <= CLOSE * held[0][0]][:2]
    told = " and ".join(f"{100 * part:.0f} % of the relevance of {name}" for name, part in named)
    some = "" if named[0][1] >= MOST else "some "
    return Name(some + " and ".join(name for name, _ in named), f"it holds {told}")


def by_sounds(sounds: Tensor, sample_rate: int) -> Name:
    """Name a concept by what its sounds ``[n, S]`` are like; silence is named so."""
    found = described(sounds, sample_rate)
    return Name("silence", "nothing of it is heard") if found is None else Name(found.words, found.numbers)


def by_rows(profile: Tensor, frequencies: Tensor | None) -> Name:
    """Name a concept that cannot be heard by the rows on which its relevance ``[F, T]`` lies."""
    amounts = profile.sum(dim=1)
    if frequencies is None or not float(amounts.sum()):
        return Name("", "")
    middle = float(frequencies[int(torch.searchsorted(amounts.cumsum(dim=0), amounts.sum() / 2))])
    return Name(f"around {middle:.0f} Hz", "half of its relevance lies below, half above")
