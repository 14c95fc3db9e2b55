"""Patch flipping: what explanations of any kind are worth, told by the model's own reaction.

The input is cut into square patches, which are replaced from most to least relevant in steps
of 1, 4, 9, ... patches until none is left. Two scores are read off, because they answer
different questions (thesis, section 4.2.3 and eq. 4.4):

``thesis``
    Are the concepts distinct and relevant? A step takes the next patches of *every* concept's
    ranking and flips their union, but is weighted as if it had flipped one concept's. Lower is
    better, and comparable between methods of equal K only.
``fair``
    Is the joint order faithful? The rankings are merged into one order, flipped in the same
    steps for every K and method. Lower is better.

Nothing here knows how the heatmaps came about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from earmark.errors import EarmarkError
from earmark.models.base import Model, batch_size

BATCH = 256
"""Perturbed inputs that pass through the model at once: bounds memory whatever the number of clips."""

REPLACEMENTS = ("zero", "floor")

Seeds = Sequence[int] | int


@dataclass(frozen=True)
class Flipping:
    """What patch flipping measured on B clips in T steps.

    Attributes
    ----------
    thesis : Tensor [B]
        Score of eq. 4.4, in units of the logit; NaN where the replacement is not zero.
    fair : Tensor [B]
        Area under the curve of the merged order, as a fraction of the clip's own logit.
    curve : tuple of Tensor [T + 1] and Tensor [B, T + 1]
        Fraction of the patches flipped, and the logit at it, along the merged order.
    union_logits : Tensor [B, T + 1]
        Logits behind ``thesis``, before the ReLU; NaN where the replacement is not zero.
    union_counts : Tensor [B, T + 1]
        How many different patches the union of the concepts' rankings holds at each step.
    """

    thesis: Tensor
    fair: Tensor
    curve: tuple[Tensor, Tensor]
    union_logits: Tensor
    union_counts: Tensor


def schedule(n_patches: int) -> Tensor:
    """Count the patches flipped after each step, from none to all.

    Parameters
    ----------
    n_patches : int
        Number of patches, P.

    Returns
    -------
    Tensor [T + 1]
        0, 1, 1 + 4, 1 + 4 + 9, ..., P (int64); the last step takes what is left.
    """
    flipped = [0]
    while flipped[-1] < n_patches:
        flipped.append(min(flipped[-1] + len(flipped) ** 2, n_patches))
    return torch.tensor(flipped)


def patch_flipping(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    heatmaps: Tensor,
    patch: int,
    replacement: str = "zero",
    seeds: Seeds = 0,
) -> Flipping:
    """Flip patches from most to least relevant and follow the logit of the target.

    Parameters
    ----------
    model : Model
        The explained one.
    inputs : Tensor [B, *I]
        Spectrograms, [B, 1, F, T] or laid out otherwise, or waveforms, whose cells in time and frequency are flipped.
    targets : Tensor [B]
        Explained class of each clip.
    heatmaps : Tensor [B, K, 1, F, T]
        Relevance of each of K concepts (K = 1: an ordinary heatmap).
    patch : int
        Side of the square patches in cells; those at the far edges are smaller where it does not divide F or T.
    replacement : {"zero", "floor"}
        What a flipped cell is set to: 0, or the clip's own smallest value; of waveforms silence, either way.
    seeds : sequence of int [B], or int
        Of the order in which each clip's equally relevant patches are flipped, the same for every
        method and K; an int stands for itself plus the clip's row.

    Returns
    -------
    Flipping
        Scores, and the curves behind them. ``fair`` divides by the clip's own logit, which
        should be positive.

    Raises
    ------
    EarmarkError
        If the shapes do not fit each other, or a heatmap holds values that are not finite.
    """
    _check(model, inputs, targets, heatmaps, patch, replacement)
    order = _tie_order(_seeds(seeds, len(inputs)), _n_patches(heatmaps, patch)).to(inputs.device)
    flipped = schedule(order.shape[1]).to(inputs.device)

    union = _union_ranks(heatmaps, patch, order)  # [B, P]
    merged = _rank(-_ranks(_patch_sums(heatmaps, patch), order).amin(dim=1), order)  # [B, P]
    fair_masks = merged[:, None] < flipped[:, None]  # [B, T + 1, P]
    union_masks = union[:, None] < flipped[:, None]

    if replacement == "floor":
        fill = model.frontend.lowest(inputs)
        fair_logits = _logits(model, inputs, targets, fair_masks, patch, fill)
        union_logits = torch.full_like(fair_logits, torch.nan)
    else:
        # Both curves begin at the clip itself and end at the wholly replaced one.
        fill = _zero(inputs)
        masks = torch.cat([fair_masks, union_masks[:, 1:-1]], dim=1)
        logits = _logits(model, inputs, targets, masks, patch, fill)
        fair_logits, between = logits[:, : len(flipped)], logits[:, len(flipped) :]
        union_logits = torch.cat([fair_logits[:, :1], between, fair_logits[:, -1:]], dim=1)

    fractions = flipped.double() / order.shape[1]
    return Flipping(
        thesis=_thesis_score(union_logits, fractions),
        fair=_fair_score(fair_logits, fractions),
        curve=(fractions.to(inputs.dtype), fair_logits),
        union_logits=union_logits,
        union_counts=union_masks.sum(dim=2),
    )


def thesis_table(
    model: Model, inputs: Tensor, targets: Tensor, several: Sequence[Tensor], patch: int, seeds: Seeds = 0
) -> Tensor:
    """Score the same clips by several sets of heatmaps; what two sets flip alike is evaluated once.

    Parameters
    ----------
    model, inputs, targets, patch, seeds
        As in :func:`patch_flipping`.
    several : sequence of M Tensors [B, K, 1, F, T]
        Such as the heatmaps under every class's subspaces; K may differ.

    Returns
    -------
    Tensor [B, M]
        ``patch_flipping(...).thesis`` of each.

    Raises
    ------
    EarmarkError
        As :func:`patch_flipping`.
    """
    for heatmaps in several:
        _check(model, inputs, targets, heatmaps, patch, "zero")
    order = _tie_order(_seeds(seeds, len(inputs)), _n_patches(several[0], patch)).to(inputs.device)
    flipped = schedule(order.shape[1]).to(inputs.device)
    unions = torch.stack([_union_ranks(heatmaps, patch, order) for heatmaps in several], dim=1)  # [B, M, P]
    masks = unions[:, :, None] < flipped[:, None]  # [B, M, T + 1, P]
    clips = torch.arange(len(inputs), device=inputs.device).view(-1, 1, 1, 1).expand(*masks.shape[:3], 1)
    states = torch.cat([clips, masks], dim=3).flatten(0, 2)  # [B M (T + 1), 1 + P]
    states, place = torch.unique(states, dim=0, return_inverse=True) if len(states) else (states, clips.flatten())
    fill = _zero(inputs)
    logits = _state_logits(model, inputs, targets, states[:, 0], states[:, 1:].bool(), patch, fill)[place]
    return _thesis_score(logits.view(-1, len(flipped)), flipped.double() / order.shape[1]).view(-1, len(several))


def matched_budget(
    model: Model, inputs: Tensor, targets: Tensor, heatmaps: Tensor, counts: Tensor, patch: int, seeds: Seeds = 0
) -> Tensor:
    """Score one heatmap per clip by eq. 4.4 with the budget that a set of concepts really had.

    Eq. 4.4 counts a step as tau^2 patches although the union of K rankings holds up to K times
    as many. This is the control for it: one map, as many different patches, the same weights.

    Parameters
    ----------
    model, inputs, targets, patch, seeds
        As in :func:`patch_flipping`.
    heatmaps : Tensor [B, 1, 1, F, T]
        One heatmap per clip, as a rule the standard one.
    counts : Tensor [B, T + 1]
        ``union_counts`` of the concepts.

    Returns
    -------
    Tensor [B]
        The score, in units of the logit.

    Raises
    ------
    EarmarkError
        If the shapes do not fit each other.
    """
    _check(model, inputs, targets, heatmaps, patch, "zero")
    order = _tie_order(_seeds(seeds, len(inputs)), _n_patches(heatmaps, patch)).to(inputs.device)
    flipped = schedule(order.shape[1]).to(inputs.device)
    if heatmaps.shape[1] != 1 or counts.shape != (len(inputs), len(flipped)):
        raise EarmarkError(
            f"matched budget needs one heatmap per clip and counts [{len(inputs)}, {len(flipped)}], "
            f"not {heatmaps.shape[1]} heatmaps and counts {list(counts.shape)}"
        )
    masks = _union_ranks(heatmaps, patch, order)[:, None] < counts.to(inputs.device)[:, :, None]  # [B, T + 1, P]
    logits = _logits(model, inputs, targets, masks, patch, _zero(inputs))
    return _thesis_score(logits, flipped.double() / order.shape[1])


def _check(model: Model, inputs: Tensor, targets: Tensor, heatmaps: Tensor, patch: int, replacement: str) -> None:
    if heatmaps.dim() != 5 or heatmaps.shape[1] < 1:
        raise EarmarkError(
            f"patch flipping needs heatmaps [B, K, 1, F, T] of at least one concept, not {list(heatmaps.shape)}"
        )
    frontend, clips = model.frontend, (len(inputs),)
    shapes = heatmaps[:, 0].shape, inputs.shape, targets.shape
    if shapes != ((*clips, *frontend.grid), (*clips, *frontend.shape), clips):
        raise EarmarkError(
            f"inputs {list(inputs.shape)}, targets {list(targets.shape)} and heatmaps {list(heatmaps.shape)} "
            "are not of the same clips"
        )
    if patch < 1:
        raise EarmarkError(f"patches of {patch} x {patch} cells do not tile maps of {list(heatmaps.shape[3:])} cells")
    if replacement not in REPLACEMENTS:
        raise EarmarkError(f"unknown replacement {replacement!r}; choose one of {', '.join(REPLACEMENTS)}")
    if not torch.isfinite(heatmaps).all():
        raise EarmarkError("a heatmap holds values that are not finite, so its patches cannot be ranked")


def _zero(inputs: Tensor) -> Tensor:
    """Make the zeros [B, 1, ...] that cells of inputs [B, *I] are set to."""
    return inputs.new_zeros(len(inputs), *(1,) * (inputs.dim() - 1))


def _patches(grid: Sequence[int], patch: int) -> tuple[int, int]:
    """Count the patches along either side of a grid (..., F, T); the last may be smaller."""
    return -(-grid[-2] // patch), -(-grid[-1] // patch)


def _n_patches(heatmaps: Tensor, patch: int) -> int:
    return math.prod(_patches(heatmaps.shape, patch))


def _seeds(seeds: Seeds, n_clips: int) -> Sequence[int]:
    """One seed per clip.

    Raises
    ------
    EarmarkError
        If there are as many as something else, or one is negative.
    """
    if isinstance(seeds, int | Integral):  # NumPy's too
        seeds = range(int(seeds), int(seeds) + n_clips)
    several = [int(seed) for seed in seeds]
    if len(several) != n_clips:
        raise EarmarkError(f"{n_clips} clips need as many seeds for the order of their ties, not {len(several)}")
    if min(several, default=0) < 0:
        raise EarmarkError(f"seeds for the order of ties are at least 0, not {min(several)}")
    return several


def _tie_order(seeds: Sequence[int], n_patches: int) -> Tensor:
    """Patches of each clip in the order that decides ties [B, P]."""
    draws = np.array([np.random.default_rng(seed).random(n_patches) for seed in seeds]).reshape(-1, n_patches)
    return torch.from_numpy(draws.argsort(axis=1, kind="stable"))


def _patch_sums(maps: Tensor, patch: int) -> Tensor:
    """Sum of each patch [B, K, P] of maps [B, K, 1, F, T], row by row."""
    n_rows, n_columns = _patches(maps.shape, patch)
    beyond = n_columns * patch - maps.shape[4], n_rows * patch - maps.shape[3]
    whole = nn.functional.pad(maps.double(), (0, beyond[0], 0, beyond[1]))
    cut = whole.reshape(*maps.shape[:2], n_rows, patch, n_columns, patch)
    return cut.sum(dim=(3, 5)).flatten(2)


def _rank(scores: Tensor, order: Tensor) -> Tensor:
    """Place of each entry (0: greatest) along the last axis [..., P], ties in the given order."""
    descending = scores.gather(-1, order).argsort(dim=-1, descending=True, stable=True)
    return order.gather(-1, descending).argsort(dim=-1)


def _ranks(scores: Tensor, order: Tensor) -> Tensor:
    """Place of each patch in each concept's ranking [B, K, P]."""
    return _rank(scores, order[:, None].expand(scores.shape))


def _union_ranks(heatmaps: Tensor, patch: int, order: Tensor) -> Tensor:
    """Best place of each patch over the concepts' rankings of rectified maps [B, P]."""
    # A patch is in the union of the first n patches of every ranking if its best place is below n.
    return _ranks(_patch_sums(heatmaps.clamp(min=0), patch), order).amin(dim=1)


def _logits(model: Model, inputs: Tensor, targets: Tensor, masks: Tensor, patch: int, fill: Tensor) -> Tensor:
    """Logit of the target [B, S] with the patches in masks [B, S, P] set to fill [B, 1, ...]."""
    n_clips, n_states, _ = masks.shape
    clips = torch.arange(n_clips, device=inputs.device).repeat_interleave(n_states)
    return _state_logits(model, inputs, targets, clips, masks.flatten(0, 1), patch, fill).view(n_clips, n_states)


def _state_logits(
    model: Model, inputs: Tensor, targets: Tensor, clips: Tensor, masks: Tensor, patch: int, fill: Tensor
) -> Tensor:
    """Logit of the target [N] of clips [N] with the patches in masks [N, P] set to their clip's fill."""
    n_rows, n_columns = model.frontend.grid[-2:]
    logits = inputs.new_empty(len(clips))
    size = batch_size(inputs.shape[1:], inputs.device, BATCH)
    with torch.inference_mode():
        for start in range(0, len(logits), size):
            part = slice(start, start + size)
            mask = masks[part].view(-1, 1, *_patches((n_rows, n_columns), patch))
            mask = mask.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
            mask = mask[:, :, :n_rows, :n_columns]  # [N, 1, F, T]
            answers = model.logits(model.frontend.replaced(inputs[clips[part]], mask, fill[clips[part]]))
            logits[part] = answers.gather(1, targets[clips[part], None])[:, 0].to(logits.dtype)
    return logits


def _thesis_score(logits: Tensor, fractions: Tensor) -> Tensor:
    """Eq. 4.4 [B] of logits [B, T + 1]; the first fraction is 0, before any step."""
    evidence = logits.double().relu()
    return ((evidence[:, :-1] - evidence[:, 1:]) / 2 * fractions[1:]).sum(dim=1).to(logits.dtype)


def _fair_score(logits: Tensor, fractions: Tensor) -> Tensor:
    """Trapezoid [B] of logit / own logit over the fraction flipped."""
    values = logits.double()
    areas = torch.trapezoid(values, fractions, dim=1)
    return (areas / values[:, 0]).to(logits.dtype)
