"""Relevance of samples as sound: ``relu(R) x``, what speaks for a class (Becker et al. 2018), and ``relu(-R) x``."""

from __future__ import annotations

import torch

AUDIBLE = POSITIVE, NEGATIVE = "positive", "negative"
"""What the two sounds are called."""


def audible(waveform: torch.Tensor, relevance: torch.Tensor) -> tuple[dict[str, torch.Tensor], float]:
    """Weigh the samples of a clip by their relevance: those that speak for its class, and those against it.

    A sample keeps its sign. Relevance has the logit's unit, and is spread over thousands of samples: both sounds are
    amplified alike, until the louder one's peak is the clip's. They sum to ``gain |R| x``.

    Parameters
    ----------
    waveform, relevance : torch.Tensor
        ``[S]`` each.

    Returns
    -------
    sounds : dict of str to torch.Tensor
        By the names in ``AUDIBLE``, ``[S]`` each.
    gain : float
        What both are multiplied by; 0 where no sample has relevance.
    """
    positive, negative = relevance.clamp_min(0) * waveform, (-relevance).clamp_min(0) * waveform
    loudest = float(torch.maximum(positive.abs(), negative.abs()).max())
    gain = float(waveform.abs().max()) / loudest if loudest else 0.0
    return {POSITIVE: gain * positive, NEGATIVE: gain * negative}, gain
