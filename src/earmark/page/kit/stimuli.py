"""What is rated of clips: sounds that are equally loud, under names that tell nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.dataset import ClassInfo
from earmark.metrics.listening import equally_loud, sixteen_bit
from earmark.metrics.ratings import REFERENCE
from earmark.page.kit.webmushra import RATES, Trial


class Stimulus(NamedTuple):
    """A sound ``[S]`` that is rated, at its true level: of which clip, and how it was made of it."""

    trial: str
    cls: ClassInfo
    clip: int
    condition: str
    sound: Tensor


def played(sounds: Sequence[Tensor], rate: int) -> tuple[int, list[NDArray[np.int16]]]:
    """Make sounds equally loud, at a rate that every player knows: the rate, and the samples of each."""
    wanted = min((known for known in RATES if known >= rate), default=RATES[-1])
    resampled = [torch.from_numpy(soxr.resample(sound.numpy(), rate, wanted)) for sound in sounds]
    return wanted, [sixteen_bit(sound) for sound in equally_loud(resampled)]


def names_of(count: int, seed: int) -> list[str]:
    """Name sounds by lot: ``s01``, ``s02``, ..."""
    lot = np.random.default_rng(seed).permutation(count).tolist()
    return [f"s{number + 1:0{len(str(count))}d}" for number in lot]


def trials(stimuli: Sequence[Stimulus], names: Sequence[str]) -> list[Trial]:
    """List the clips with the names of what is heard of them, in the order of the names, which tells nothing."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for one, name in zip(stimuli, names, strict=True):
        found.setdefault(one.trial, (one.cls.name, {}))[1][one.condition] = name
    return [
        Trial(trial, answer, own[REFERENCE], tuple(sorted(name for how, name in own.items() if how != REFERENCE)))
        for trial, (answer, own) in found.items()
    ]
