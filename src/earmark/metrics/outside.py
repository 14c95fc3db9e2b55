"""Clips that are contaminated by another sound, and how well an explanation tells the two apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from earmark.metrics.masking import USED, heard, log_odds
from earmark.metrics.objects import auc, average_precision, object_cells
from earmark.metrics.sound import si_sdr
from earmark.metrics.truth import ACTIVE
from earmark.models.base import Model
from earmark.sound.base import Frontend

FRAME = 0.02
"""Seconds within which a sound is there or not."""

MOST = 60.0
"""dB beyond which nobody hears that sounds differ; what is closer, or further away, counts as that."""


def loudness(sounds: Tensor, sample_rate: int) -> Tensor:
    """Mean power of sounds while they are there, so that silence around them does not count.

    A frame is there if its power is above 1 % of the loudest frame's, as in :mod:`earmark.metrics.truth`. Each sound
    is measured over its own frames: over those of either, a short clip would be the louder in noise the more silence it
    was padded with.

    Parameters
    ----------
    sounds : Tensor
        ``[B, S]``.
    sample_rate : int
        In Hz.

    Returns
    -------
    Tensor
        float64 ``[B]``; 0 for silence.
    """
    length = max(round(FRAME * sample_rate), 1)
    power = sounds.double().square()  # [B, S]
    frames = torch.nn.functional.pad(power, (0, -power.shape[1] % length)).unflatten(1, (-1, length)).mean(dim=2)
    there = frames > ACTIVE * frames.amax(dim=1, keepdim=True)  # [B, T]
    kept = there.repeat_interleave(length, dim=1)[:, : power.shape[1]]  # [B, S]
    return (power * kept).sum(dim=1) / kept.sum(dim=1).clamp_min(1)


def contaminated(clips: Tensor, contaminants: Tensor, decibels: float, sample_rate: int) -> Tensor:
    """Add sounds to clips at a signal-to-noise ratio, at a peak of 1.

    Parameters
    ----------
    clips, contaminants : Tensor
        ``[B, S]``.
    decibels : float
        By which a clip's :func:`loudness` is above that of what is added.
    sample_rate : int
        In Hz.

    Returns
    -------
    Tensor
        ``[B, 2, S]``: the clip and what is added to it, scaled alike; the sum of both has a peak of 1. Nothing is
        added to a silent clip, nor where what should be added is silent.
    """
    own, added = loudness(clips, sample_rate), loudness(contaminants, sample_rate)  # [B]
    gains = torch.where(added > 0, (own / added).sqrt() * 10 ** (-decibels / 20), 0.0)
    both = torch.stack([clips.double(), gains.unsqueeze(1) * contaminants], dim=1)  # [B, 2, S]
    peak = both.sum(dim=1).abs().amax(dim=1)
    return (both / torch.where(peak > 0, peak, 1.0).view(-1, 1, 1)).to(clips)


def answers(model: Model, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Ask a model whether clips are still what they were, and what it owes to either sound.

    Parameters
    ----------
    model : Model
        What is explained.
    sources : Tensor
        ``[B, 2, S]``, see :func:`contaminated`.
    targets : Tensor
        Classes of the clips, ``[B]``.

    Returns
    -------
    kept : Tensor
        bool ``[B]``: the answer to the sum of both is still the class.
    fallen : Tensor
        Nats that the log-odds of the class lose without the clip, and without what was added, float64 ``[B, 2]``.
    """
    mixtures = sources.sum(dim=1)
    logits = heard(model, mixtures, mixtures)  # [B, C]
    odds = log_odds(logits, targets, model.multi_label)
    kept = odds > 0 if model.multi_label else logits.argmax(dim=1) == targets
    alone = [log_odds(heard(model, one, mixtures), targets, model.multi_label) for one in sources.flip(1).unbind(1)]
    return kept, odds.unsqueeze(1) - torch.stack(alone, dim=1)


def asked(fallen: Tensor) -> Tensor:
    """Say where truth can be asked for: the model uses the clip, as :mod:`earmark.metrics.truth` has it, and no other.

    What it goes by, a faithful explanation must show, were it the contaminant.

    Parameters
    ----------
    fallen : Tensor
        See :func:`answers`, ``[..., 2]``.

    Returns
    -------
    Tensor
        bool ``[...]``.
    """
    return (fallen[..., 0] > USED) & (fallen[..., 1] <= USED)


def apart(frontend: Frontend, sources: Tensor, cells: Tensor) -> tuple[float, float]:
    """Tell how well relevance finds a clip's own cells among those of its own and of what was added to it.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    sources : Tensor
        ``[2, S]``, see :func:`contaminated`.
    cells : Tensor
        Relevance ``[F, T]``.

    Returns
    -------
    auc, average precision : float
        As a detector. Cells of neither do not count; NaN where only one of both has cells.
    """
    own, other = object_cells(frontend, sources.sum(dim=0)[None], sources[None])[0]  # [F, T] each
    if not (own.any() and other.any()):
        return math.nan, math.nan
    either = own | other
    values, wanted = cells[either].unsqueeze(0), own[either].unsqueeze(0)  # [1, N]
    return float(auc(values, wanted.unsqueeze(0))[0]), float(average_precision(values, wanted))


def closer(sounds: Tensor, sources: Tensor) -> Tensor:
    """Tell how much closer to a clip sounds are than the clip is with what was added to it.

    Parameters
    ----------
    sounds : Tensor
        ``[N, S]``.
    sources : Tensor
        ``[2, S]``, see :func:`contaminated`.

    Returns
    -------
    Tensor
        Gain in SI-SDR in dB, float64 ``[N]``; NaN for silence, and where nothing was added. Each SI-SDR ends at
        ± `MOST`.
    """
    found = si_sdr(torch.cat([sounds, sources.sum(dim=0)[None]]), sources[:1])[:, 0]
    gains = found.clamp(-MOST, MOST)
    told = (sounds.abs().amax(dim=1) > 0) & sources[1].any()
    return torch.where(told, gains[:-1] - gains[-1], math.nan)
