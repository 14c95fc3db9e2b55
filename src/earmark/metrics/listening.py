"""What someone who hears, or sees, a clip's explanation knows of the model's answer.

A listener gets a stimulus made of a clip and guesses what the model answered to the clip, right or wrong. Whoever
guesses well from an explanation was told by it what the model heard (user study of Becker et al. 2018). The listener
may be a person, or a network that stands for one: the measures are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.metrics.masking import first_cells, ranks
from earmark.sound.base import Frontend, silence
from earmark.sound.masks import apply_masks, masks
from earmark.sound.module import shares
from earmark.sound.spectrogram import Spectrogram

SIGNAL, PICTURE, MASKED, RELEVANCE, SEEN = "signal", "picture", "masked", "relevance", "seen"
CELLS, SILENCE = "cells", "silence"

STIMULI = {
    SIGNAL: "the clip as it is",
    PICTURE: "the clip's picture",
    MASKED: "the clip through the mask of its explanation",
    RELEVANCE: "relu(R) x, the samples weighed by their positive relevance",
    SEEN: "the clip's picture, its brightness weighed by the same mask",
    CELLS: "cells by lot that hold as much energy as the mask lets pass",
    SILENCE: "nothing",
}
"""What a listener gets of a clip, in words."""

RIVALS = {
    SIGNAL: (PICTURE,),
    MASKED: (SIGNAL, CELLS, SEEN),
    RELEVANCE: (SIGNAL, CELLS, SEEN),
    SEEN: (SIGNAL, PICTURE, CELLS),
}
"""What stimuli are compared with: explanations with the clip and with as much of it by lot, what is heard with what is
seen."""

CONTROLS = (CELLS, SILENCE)
"""Stimuli that explain nothing."""


def sounds(
    frontend: Frontend,
    clip: Tensor,
    mask: Tensor,
    samples: Tensor | None,
    seed: int,
    inverse: str,
) -> dict[str, Tensor]:
    """Make what is heard of a clip.

    Parameters
    ----------
    frontend : Frontend
        The explained model's.
    clip : Tensor
        ``[S]``, on the CPU.
    mask : Tensor
        Of its explanation for the model's answer, ``[F, T]``; see :func:`mask_of`.
    samples : Tensor or None
        Relevance of its samples, ``[S]``; None unless the model hears waveforms.
    seed : int
        Of the cells by lot.
    inverse : {"additive", "mel-nnls"}
        How the mask becomes sound; see :func:`earmark.sound.masks.render`.

    Returns
    -------
    dict of str to Tensor
        By stimulus ``[S]``, without ``seen``; ``relevance`` is of no particular level, the others at the clip's.

    Notes
    -----
    Sounds of concepts add nothing: together they are the explanation's.
    """
    spectrum = frontend.stft(clip.unsqueeze(0))[0]  # [n_bins, T]
    power = spectrum.abs().square()
    passed = (frontend.lift(mask.unsqueeze(0))[0].square() * power).sum()
    share = float(passed / power.sum().clamp_min(torch.finfo(power.dtype).tiny))
    lot = first_cells(frontend, spectrum, ranks(torch.zeros_like(mask), seed), [share])  # [1, F, T]
    made = {SIGNAL: clip, MASKED: apply_masks(frontend, clip, mask.unsqueeze(0), inverse)[0]}
    if samples is not None:
        made[RELEVANCE] = samples.clamp_min(0) * clip
    return made | {CELLS: apply_masks(frontend, clip, lot)[0], SILENCE: torch.zeros_like(clip)}


PEAK = 0.99
"""Of the most spiked of sounds that are equally loud."""

FULL_SCALE = 32767
"""Largest of 16-bit samples, which every player knows."""


def equally_loud(sounds: Sequence[Tensor]) -> list[Tensor]:
    """Scale sounds ``[S]`` to one root mean square, the largest at which none is clipped; silence stays silent."""
    levels = [(float(sound.square().mean().sqrt()), float(sound.abs().max())) for sound in sounds]
    wanted = min((PEAK * level / peak for level, peak in levels if peak > 0), default=0.0)
    return [sound * (wanted / level) if level > 0 else sound for sound, (level, _) in zip(sounds, levels, strict=True)]


def sixteen_bit(sound: Tensor) -> NDArray[np.int16]:
    """Round a sound ``[S]`` in [-1, 1] to 16 bits."""
    return (FULL_SCALE * sound).round().short().numpy()


def mask_of(cells: Tensor, percentile: float) -> Tensor:
    """Make the mask ``[F, T]``, 0 to 1, by which a standard heatmap ``[F, T]`` is heard, and seen."""
    return masks(cells, cells.unsqueeze(0), percentile)[0]


def fitted(waveforms: Tensor, samples: int) -> Tensor:
    """Make sounds ``[N, S]`` as long as someone's clips, by silence after them or by cutting their ends off."""
    kept = waveforms[:, :samples]
    return torch.nn.functional.pad(kept, (0, samples - kept.shape[1]))


def seen(frontend: Spectrogram, clip: Tensor, mask: Tensor) -> Tensor:
    """Make what a listener that looks at spectrograms sees of a clip: its picture, times the mask.

    What is black in it is what silence looks like, and what the mask halves is half as bright.

    Parameters
    ----------
    frontend : Spectrogram
        The listener's.
    clip : Tensor
        ``[S]``.
    mask : Tensor
        On its own grid, ``[F, T]``; see :func:`relaid`.

    Returns
    -------
    Tensor
        An input ``[*I]``.
    """
    picture, dark = frontend(clip.unsqueeze(0))[0], silence(frontend).to(clip)
    return dark + frontend.gathered(mask.unsqueeze(0)) * (picture - dark)


def relaid(mask: Tensor, given: Frontend, wanted: Frontend) -> Tensor:
    """Interpolate what lies on the cells of one front end, ``[F, T]``, to those of another, linearly.

    Both must say where their cells lie; beyond the outermost cells the values are those of the nearest.
    """
    weights = []
    for centres, places in ((given.frequencies, wanted.frequencies), (given.times, wanted.times)):
        assert centres is not None and places is not None  # whoever makes sounds of maps says it
        weights.append(shares(centres, places).to(mask))
    rows, columns = weights  # [F', F], [T', T]
    return rows @ mask @ columns.T


def pictures(frontend: Frontend, clip: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Make what people see of a clip: its picture, and that times the mask, as :func:`seen` does.

    Parameters
    ----------
    frontend : Frontend
        The explained model's.
    clip : Tensor
        ``[S]``.
    mask : Tensor
        Of its explanation, ``[F, T]``.

    Returns
    -------
    dict of str to Tensor
        Brightness ``[F, T]`` by stimulus, from 0, what silence looks like, to 1, the clip's loudest cell.
    """
    drawn, dark = frontend.picture(torch.stack([frontend(clip.unsqueeze(0))[0], silence(frontend).to(clip)]))
    light = (drawn - dark).clamp_min(0)
    light = light / light.max().clamp_min(torch.finfo(light.dtype).tiny)
    return {PICTURE: light, SEEN: light * mask}


def contingency(answers: Sequence[str], guesses: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """Write down guesses one by one.

    Parameters
    ----------
    answers, guesses : sequence of str [n]
        What the model answered, and what the listener took it for.
    classes : sequence of str [C]
        All that there are.

    Returns
    -------
    array [n, C, C]
        1 at the answer's row and the guess's column, else 0. Sums over stimuli are contingency tables.
    """
    place = {cls: number for number, cls in enumerate(classes)}
    found = np.zeros((len(answers), len(classes), len(classes)))
    found[np.arange(len(answers)), [place[one] for one in answers], [place[one] for one in guesses]] = 1
    return found


def informedness(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how much a guess knows of each answer: ``TP / P - FP / N``, one class against the rest (Powers 2011).

    Parameters
    ----------
    counts : array [..., C, C]
        Contingency tables: rows what the model answered, columns what was guessed.

    Returns
    -------
    array [..., C]
        1 for whoever always knows, 0 for whoever guesses without having heard, below 0 for the contrary; NaN of a class
        that the model never answered, or always.
    """
    hits, answered, guessed, total = _margins(counts)
    return _ratio(hits, answered) - _ratio(guessed - hits, total - answered)


def markedness(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how far each guess can be relied on: ``TP / (TP + FP) - FN / (TN + FN)`` (Powers 2011).

    Parameters
    ----------
    counts : array [..., C, C]
        As of :func:`informedness`.

    Returns
    -------
    array [..., C]
        NaN of a class that was never guessed, or always.
    """
    hits, answered, guessed, total = _margins(counts)
    return _ratio(hits, guessed) - _ratio(answered - hits, total - guessed)


def mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the classes whose value is defined: ``[..., C]`` to ``[...]``; NaN where none is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def _margins(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Take hits, what was answered, what was guessed, ``[..., C]`` each, and the total, ``[..., 1]``."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return hits, counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))[..., None]


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(np.shape(part), math.nan), where=whole > 0)
