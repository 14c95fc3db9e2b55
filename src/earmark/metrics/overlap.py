"""How much concepts share the cells that they point to."""

from __future__ import annotations

import torch
from torch import Tensor


def overlap(heatmaps: Tensor) -> Tensor:
    """Mean pairwise cosine of the concepts' positive relevance.

    Parameters
    ----------
    heatmaps : Tensor [B, K, 1, F, T]
        Relevance per concept.

    Returns
    -------
    Tensor [B]
        0: no cell is positive in two concepts; 1: all concepts are alike. A concept without
        positive relevance overlaps with none (0 / 0 = 0). NaN where K = 1.
    """
    n_concepts = heatmaps.shape[1]
    positive = heatmaps.flatten(2).double().clamp(min=0)  # [B, K, F * T]
    norms = positive.norm(dim=2, keepdim=True)
    unit = torch.where(norms > 0, positive / norms, 0.0)
    cosines = unit @ unit.transpose(1, 2)  # [B, K, K]
    apart = ~torch.eye(n_concepts, dtype=torch.bool, device=heatmaps.device)
    return cosines[:, apart].mean(dim=1).to(heatmaps.dtype)
