"""What clips are contaminated with, drawn for each by itself: whatever is explained beside it, and in whatever order.

Conditions and levels are those of the L-MAC papers' out-of-domain tests (Paissan et al. 2024).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.predictions import Predictions
from earmark.errors import EarmarkError
from earmark.seeds import derive

log = logging.getLogger(__name__)

CONDITIONS = CLEAN, MIXTURE, WHITE, SPEECH = "clean", "mixture", "white", "speech"
"""Nothing, a clip of another class, white noise, and a clip of another data set, such as one of speech."""

DECIBELS = {CLEAN: math.inf, MIXTURE: 5.0, WHITE: 3.0, SPEECH: 3.0}
"""By how much clips are louder than each."""


class Contaminant(NamedTuple):
    """A sound ``[S]``, and the recording that it is of; no recording where it is none."""

    path: str
    sound: Tensor


Draw = Callable[[int], Contaminant]
"""Of a clip, by its row in the clip index."""


def conditions(
    source: DataSet, answers: Predictions, split: str, cls: ClassInfo, speech: DataSet | None, seed: int
) -> dict[str, Draw]:
    """Say how clips of a class are contaminated.

    Parameters
    ----------
    source : DataSet
        Their own.
    answers : Predictions
        What the model of a split says of its clips.
    split : str
        Whose test clips are mixed in, if they are recognised as another class.
    cls : ClassInfo
        The class.
    speech : DataSet or None
        Another data set, of any sampling rate; None: there is none.
    seed : int
        Of all draws; with a clip's place in its recording it decides what that clip gets.

    Returns
    -------
    dict
        By the names in `CONDITIONS`, in their order; without those that cannot be had.

    Raises
    ------
    EarmarkError
        When a clip is drawn for, if there is no sound in the clips to draw from.
    """
    samples = source.frontend.clip_samples

    def seed_of(clip: int, condition: str) -> int:
        row = source.clips.iloc[clip]
        return derive(seed, condition, row["path"], int(row["offset"] - row["recording_offset"]))

    def nothing(clip: int) -> Contaminant:
        return Contaminant("", torch.zeros(samples))

    def noise(clip: int) -> Contaminant:
        generator = torch.Generator().manual_seed(seed_of(clip, WHITE))
        return Contaminant("", torch.randn(samples, generator=generator))

    def mixed(clip: int) -> Contaminant:
        return _drawn(source, others, seed_of(clip, MIXTURE), source)

    def spoken(clip: int) -> Contaminant:
        assert speech is not None
        return _drawn(speech, np.arange(len(speech.clips)), seed_of(clip, SPEECH), source)

    found: dict[str, Draw] = {CLEAN: nothing}
    others = of_other_classes(source, answers, split, cls)
    if len(others):
        found[MIXTURE] = mixed
    else:
        log.warning("%s: no test clip is recognised as another class, and none is mixed in", cls.name)
    found[WHITE] = noise
    if speech is not None:
        found[SPEECH] = spoken
    return found


def of_other_classes(source: DataSet, answers: Predictions, split: str, cls: ClassInfo) -> NDArray[np.int64]:
    """List the test clips that are recognised as what they are, which is not a class nor taken for it: ``[n]``."""
    others = [one for one in source.classes if one != cls]
    known = [answers.known(source, answers.split(source, split, one).test, one) for one in others]
    clips = np.unique(np.concatenate([np.empty(0, np.int64), *known]))
    return clips[~answers.taken_for(clips, cls.index)]


def _drawn(source: DataSet, clips: NDArray[np.int64], seed: int, wanted: DataSet) -> Contaminant:
    """Draw one of some clips that holds sound."""
    for clip in np.random.default_rng(seed).permutation(clips).tolist():
        rates = source.frontend.sample_rate, wanted.frontend.sample_rate
        sound = fitted(source.waveforms([clip])[0], *rates, wanted.frontend.clip_samples)
        if sound.any():
            return Contaminant(str(source.clips["path"].iloc[clip]), sound)
    raise EarmarkError(
        f"{source.layout.dataset}: there is no sound in its clips, with which those of {wanted.layout.dataset} are to "
        "be contaminated: leave out evaluate.outside, or name another data set in evaluate.outside_speech"
    )


def fitted(sound: Tensor, rate: int, wanted: int, samples: int) -> Tensor:
    """Resample a sound ``[N]`` and make it as long as clips are, by silence after it or by cutting off its end.

    Parameters
    ----------
    sound : Tensor
        float32.
    rate, wanted : int
        Its sampling rate and that of the clips, in Hz.
    samples : int
        Of a clip.

    Returns
    -------
    Tensor
        float32 ``[samples]``.
    """
    heard = torch.from_numpy(soxr.resample(sound.numpy(), rate, wanted, quality="VHQ"))[:samples]
    return torch.nn.functional.pad(heard, (0, samples - len(heard)))
