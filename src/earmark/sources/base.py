"""What the stage ``generate`` asks of a source of recordings, and gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

PEAK = 32767
"""16-bit value that neither the mixture nor a stem exceeds; eq. A.1 scales the mixture's peak to 1."""


@dataclass(frozen=True)
class Item:
    """One recording to be made.

    Attributes
    ----------
    cls : str
        Its class.
    kind : str
        ``main`` or the held-out set it belongs to.
    index : int
        Its number in class and set.
    path : str
        Its file, relative to the folder of generated recordings.
    group : str
        What must not be split.
    """

    cls: str
    kind: str
    index: int
    path: str
    group: str


@dataclass(frozen=True)
class Rendered:
    """One rendered recording on the 16-bit scale, unrounded.

    Attributes
    ----------
    mixture : numpy.ndarray
        ``[n]`` or ``[n, channels]``, of peak `PEAK`, or less where a stem has it.
    stems : numpy.ndarray
        Sound objects at their level in the mean of the mixture's channels, ``[O, n]``; 0 where absent.
    parameters : dict
        What was drawn.
    """

    mixture: np.ndarray
    stems: np.ndarray
    parameters: dict[str, Any]


def clip_samples(frontend: Mapping[str, Any]) -> int:
    """Count the samples of a clip by the section ``frontend``, as front ends do, which need torch."""
    return frontend["n_samples"] if "n_samples" in frontend else (frontend["n_frames"] - 1) * frontend["hop"]


def length_keys(frontend: Mapping[str, Any]) -> str:
    """Name the keys that make a clip so long."""
    return "`frontend.n_samples`" if "n_samples" in frontend else "`frontend.n_frames` or `frontend.hop`"


class Source(Protocol):
    """A kind of generated recordings.

    Attributes
    ----------
    objects : mapping
        The sound objects of each class, described by ``name`` and more, in the order of the stems.
    sample_rate : int
        In Hz.
    samples : int
        Of every recording that the stems cover and ingestion takes: from the first on.
    """

    objects: Mapping[str, Sequence[Mapping[str, Any]]]
    sample_rate: int
    samples: int

    def items(self) -> Iterator[Item]:
        """Yield every recording, class by class."""

    def render(self, item: Item) -> Rendered:
        """Make one recording, whatever the others are."""
