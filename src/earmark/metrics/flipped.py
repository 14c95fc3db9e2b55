"""What patch flipping tells of one heatmap per clip: its scores, and the curves behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from earmark.metrics.flipping import REPLACEMENTS, patch_flipping
from earmark.metrics.scores import batches
from earmark.models.base import Model


@dataclass(frozen=True)
class Flipped:
    """What flipping told of clips.

    Attributes
    ----------
    scores : Tensor [B, 3]
        In the order of :data:`earmark.metrics.scores.FLIPPED`.
    ratios : Tensor [B, 2, T + 1]
        Logit over the clip's own logit, by replacement and step.
    fractions : Tensor [T + 1]
        Fraction of the patches flipped at each step.
    """

    scores: Tensor
    ratios: Tensor
    fractions: Tensor


def flip(model: Model, inputs: Tensor, targets: Tensor, heatmaps: Tensor, patch: int, seeds: Sequence[int]) -> Flipped:
    """Flip the patches of clips by one heatmap each.

    Parameters
    ----------
    model : Model
        The explained one.
    inputs : Tensor [B, 1, F, T]
        Log-mel spectrograms of at least one clip.
    targets : Tensor [B]
        Explained classes.
    heatmaps : Tensor [B, 1, F, T]
        Relevance.
    patch : int
        Side of a patch, in cells.
    seeds : sequence of int [B]
        From :func:`earmark.metrics.scores.ties_seeds`.

    Returns
    -------
    Flipped
        On the CPU.
    """
    scores, ratios = [], []
    for part in batches(len(inputs)):
        maps = heatmaps[part].unsqueeze(1)  # [B, 1, 1, F, T]
        zero, floor = (
            patch_flipping(model, inputs[part], targets[part], maps, patch, name, seeds[part]) for name in REPLACEMENTS
        )
        scores.append(torch.stack([zero.thesis, zero.fair, floor.fair], dim=1))
        logits = torch.stack([zero.curve[1], floor.curve[1]], dim=1).double()  # [B, 2, T + 1]
        ratios.append(logits / logits[:, :, :1])
    return Flipped(torch.cat(scores).cpu(), torch.cat(ratios).cpu(), zero.curve[0].cpu())
