"""What an imitation of a network is worth: whether it answers alike, and whether its components are what matters.

The components that speak for an answer are taken out of the clip and the network, not its imitation, is asked again
(Parekh et al. 2024, section IV-C). Other components are taken out beside them: as many, of as much energy.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from earmark.metrics import masking
from earmark.models.base import Model

THRESHOLDS = (0.9, 0.7, 0.5, 0.3, 0.1)
"""Of the relevance, above which components are taken out."""

TOP = 5
"""Answers among which the network's must be: says something where there are more classes."""

DRAWS = 256
"""Sets of other components, that of the nearest energy among which is taken."""


def agrees(answers: Tensor, targets: Tensor, count: int) -> Tensor:
    """Tell whether the class of each clip ``[B]`` is among its `count` most likely by answers ``[B, C]``: ``[B]``.

    Raises
    ------
    ValueError
        If there are no more classes, so that everything agrees.
    """
    if count >= answers.shape[1]:
        raise ValueError(f"{count} of {answers.shape[1]} classes are all")
    return (answers.topk(count, dim=1).indices == targets.unsqueeze(1)).any(dim=1)


def overlaps(masks: Tensor, power: Tensor) -> Tensor:
    """Measure what components share of a clip's energy.

    Parameters
    ----------
    masks : Tensor [K, F, T]
        Of each component, on the magnitudes.
    power : Tensor [F, T]
        Of the clip.

    Returns
    -------
    Tensor [K, K]
        G, by which the components of a set s of 0 and 1 have ``s G s`` of the clip's energy together.
    """
    weights = power / power.sum().clamp_min(torch.finfo(power.dtype).tiny)
    return torch.einsum("kft,lft,ft->kl", masks, masks, weights)


def energies(sets: Tensor, gram: Tensor) -> Tensor:
    """Return the share of the clip's energy that sets of components ``[N, K]`` of 0 and 1 have, ``[N]``."""
    return ((sets @ gram) * sets).sum(dim=1)


def others(chosen: Tensor, gram: Tensor, generator: torch.Generator) -> Tensor | None:
    """Draw as many components from outside a set, of an energy as near to its own as is drawn.

    Parameters
    ----------
    chosen : Tensor [K]
        1 for those of the set, else 0.
    gram : Tensor [K, K]
        See :func:`overlaps`.
    generator : torch.Generator
        Of the sets that are drawn, on the CPU.

    Returns
    -------
    Tensor [K] or None
        Of 0 and 1; None where fewer are outside than inside.
    """
    inside = int(chosen.sum())
    outside = torch.nonzero(chosen.cpu() == 0)[:, 0]
    if len(outside) < inside:
        return None
    places = outside[torch.rand(DRAWS, len(outside), generator=generator).argsort(dim=1)[:, :inside]]  # [DRAWS, n]
    sets = torch.zeros(DRAWS, len(chosen)).scatter(1, places, 1.0).to(gram)
    wanted = energies(chosen.to(gram).unsqueeze(0), gram)
    return sets[(energies(sets, gram) - wanted).abs().argmin()]


def losses(
    model: Model,
    clip: Tensor,
    target: Tensor,
    masks: Tensor,
    relevances: Tensor,
    gram: Tensor,
    generator: torch.Generator,
) -> Iterator[tuple[float | str, ...]]:
    """Yield, by threshold, what a clip's answer loses without the components above it, and without as many others.

    Parameters
    ----------
    model : Model
        That is asked.
    clip : Tensor [S]
        The clip.
    target : Tensor
        Its class, a scalar.
    masks : Tensor [K, F, T]
        Of every component, on the magnitudes.
    relevances : Tensor [K]
        Of every component for the class, at most 1.
    gram : Tensor [K, K]
        See :func:`overlaps`.
    generator : torch.Generator
        Of the others.

    Yields
    ------
    tuple
        Threshold; how many components are above it, their share of the clip's energy, the probability that the class
        loses without them (Parekh et al. 2022) and the nats of its log-odds; and the last three of the others,
        empty where there are too few.
    """
    sets = [(relevances > threshold).to(masks) for threshold in THRESHOLDS]
    drawn = [others(chosen, gram, generator) for chosen in sets]
    both = torch.stack([*sets, *(torch.zeros_like(sets[0]) if one is None else one for one in drawn)])  # [2 M, K]
    frontend = model.frontend
    sounds = frontend.istft(torch.einsum("mk,kft->mft", both, masks) * frontend.stft(clip.unsqueeze(0)))
    odds = masking.odds(model, torch.cat([clip[None], clip - sounds]), clip, target)  # [1 + 2 M]
    fallen = (-odds[1:]).sigmoid() - (-odds[0]).sigmoid()  # exact where the probability is nearly 1
    told = torch.stack([energies(both, gram).to(odds), fallen, odds[0] - odds[1:]], dim=1).tolist()
    own, random = told[: len(sets)], told[len(sets) :]
    for threshold, chosen, one, ours, theirs in zip(THRESHOLDS, sets, drawn, own, random, strict=True):
        yield (threshold, int(chosen.sum()), *ours, *(("", "", "") if one is None else theirs))
