"""Where a clip's relevance lies among its sound objects, and whether on those that the model uses.

A model need not use all that sounds: an object counts if the log-odds fall without it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from earmark.metrics.masking import USED, first_cells, ranks
from earmark.metrics.objects import auc, average_precision, object_cells, rank_correlation, relevance_on, windows
from earmark.metrics.sound import si_sdr
from earmark.sound.base import Frontend
from earmark.sound.masks import apply_masks

WINDOW = 0.1
"""Seconds within which time is told."""

ACTIVE = 0.01
"""Part of its loudest window's energy above which an object is there."""

TRUTHS = ("auc", "ap", "spearman", "top", "si_sdr_gain", "time_auc")
"""What :func:`truth` tells."""


def truth(
    frontend: Frontend, clip: Tensor, stems: Tensor, fallen: Tensor, cells: Tensor, seed: int
) -> dict[str, float]:
    """Hold a clip's relevance against its sound objects.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    clip, stems : Tensor
        ``[S]`` and ``[O, S]``.
    fallen : Tensor
        What the model loses without each object, ``[O]``, see :func:`earmark.metrics.masking.drops`.
    cells : Tensor
        Relevance ``[F, T]``.
    seed : int
        Of the order of equally relevant cells.

    Returns
    -------
    dict of str to float
        ``auc``, ``ap``: of the relevance as a detector of the cells of used objects; ``spearman``: of the positive
        relevance on every object with what is lost without it; ``top``: 1 if both are largest at the same object, else
        0; ``si_sdr_gain``: dB by which the most relevant cells, as many as hold the energy of the used objects, are
        closer to these than the clip is; ``time_auc``: as ``auc``, of windows of time in which used objects sound. NaN
        where there is nothing to tell apart.
    """
    sounding = stems.abs().amax(dim=1) > 0  # [O]
    used = sounding & (fallen > USED)
    if not used.any():
        return dict.fromkeys(TRUTHS, math.nan)
    owned = object_cells(frontend, clip[None], stems[None])[0]  # [O, F, T]
    wanted = owned[used].any(dim=0)  # [F, T]
    reference = stems[used].sum(dim=0)
    on_objects = relevance_on(cells[None, None], owned[None])[0, 0][sounding]
    return {
        "auc": float(auc(cells, wanted[None])[0]),
        "ap": float(average_precision(cells, wanted)),
        "spearman": rank_correlation(on_objects, fallen[sounding]),
        "top": float(on_objects.argmax() == fallen[sounding].argmax()) if on_objects.unique().numel() > 1 else math.nan,
        "si_sdr_gain": gain(frontend, clip, reference, cells, seed),
        "time_auc": _in_time(frontend, reference, cells),
    }


def gain(frontend: Frontend, clip: Tensor, reference: Tensor, cells: Tensor, seed: int) -> float:
    """Tell how much closer to a sound the most relevant cells of its energy are than the whole clip.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    clip, reference : Tensor
        ``[S]`` each, the latter a part of the former.
    cells : Tensor
        Relevance ``[F, T]``.
    seed : int
        Of the order of equally relevant cells.

    Returns
    -------
    float
        Gain in SI-SDR, in dB; NaN where either is not finite.
    """
    spectrum, wanted = frontend.stft(clip[None])[0], frontend.stft(reference[None])[0]
    share = float(wanted.abs().square().sum() / spectrum.abs().square().sum())
    mask = first_cells(frontend, spectrum, ranks(cells, seed), [min(share, 1.0)])
    sounds = torch.stack([apply_masks(frontend, clip, mask)[0], clip])
    chosen, whole = si_sdr(sounds, reference[None])[:, 0].tolist()
    return chosen - whole if math.isfinite(chosen) and math.isfinite(whole) else math.nan


def _in_time(frontend: Frontend, reference: Tensor, cells: Tensor) -> float:
    """Tell how well relevance tells windows in which a sound is from others."""
    if frontend.times is None:
        return math.nan
    energy = windows(frontend.energies(reference[None])[0], WINDOW, frontend.times)  # [W]
    there = energy > ACTIVE * energy.max()
    found = windows(cells.clamp_min(0), WINDOW, frontend.times)
    return float(auc(found[None], there[None, None])[0])
