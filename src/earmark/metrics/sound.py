"""How alike two sounds are."""

from __future__ import annotations

import math

import torch


def si_sdr(estimates: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019) in dB.

    Parameters
    ----------
    estimates, references : torch.Tensor
        ``[K, S]`` and ``[O, S]``.

    Returns
    -------
    torch.Tensor
        ``[K, O]``; -inf for a silent estimate, NaN for a silent reference.
    """
    estimates, references = estimates.double(), references.double()
    energies = references.square().sum(dim=1)  # [O]
    shared = (estimates @ references.T).square() / energies  # [K, O]: energy of the projection on the reference
    rest = (estimates.square().sum(dim=1, keepdim=True) - shared).clamp_min(0)
    return 10 * torch.log10(shared / rest).where(shared > 0, torch.where(energies > 0, -math.inf, math.nan))
