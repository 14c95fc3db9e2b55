"""What masks on clips' spectra cost: the loss of L-MAC (Paissan et al. 2024), and masks that need no learning.

A mask lies on the magnitudes of the clip's own short-time spectrum, whose phases stay. So what a mask lets through and
what it holds back sum to the clip, and the network hears both through its own front end, at the clip's level: what is
scored is what is heard. Nothing here depends on how many clips are taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from earmark.metrics.masking import log_odds
from earmark.models.base import Model
from earmark.seeds import derive
from earmark.sound.base import Frontend


@dataclass(frozen=True)
class Weights:
    """Of the terms of the loss.

    Attributes
    ----------
    inside, outside : float
        Of what the network makes of the class in what passes, and in what is held back.
    mean, variation : float
        Of the mask's mean, and of its total variation.
    bounded : bool
        Whether what is held back counts as ``log(1 - p)``, which is at most 0, in the place of ``-log p``, which grows
        as long as the network becomes surer of other classes.
    """

    inside: float
    outside: float
    mean: float
    variation: float = 0.0
    bounded: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Weights:
        """Read the settings of a family of masks."""
        inside, outside, mean, variation = (settings[name] for name in ("l_in", "l_out", "l_1", "variation"))
        return cls(inside, outside, mean, variation, settings["out"] == BOUNDED)


BOUNDED = "log(1-p)"
"""What the setting ``out`` calls the bounded term."""


class Heard(NamedTuple):
    """What a network makes of masked clips.

    Attributes
    ----------
    sounds : Tensor [B, S]
        What passes.
    kept : Tensor [B]
        Whether it answers the class to what passes.
    inside, outside : Tensor [B]
        Log-odds of the class for what passes, and for what is held back, float64.
    """

    sounds: Tensor
    kept: Tensor
    inside: Tensor
    outside: Tensor


def passed(frontend: Frontend, clips: Tensor, masks: Tensor) -> Tensor:
    """Filter clips ``[B, S]`` by masks on their spectra, ``[B, n_bins, T]``: ``[B, S]``."""
    return frontend.istft(masks.to(clips) * frontend.stft(clips))


def shares(frontend: Frontend, clips: Tensor, sounds: Tensor) -> Tensor:
    """Measure the share that a sound has of its clip's energy in every cell.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    clips, sounds : Tensor
        ``[B, S]`` each.

    Returns
    -------
    Tensor
        ``[B, F, T]``, at most 1, although frames that overlap may bring sound into a cell where the clip has hardly
        any; 0 where the clip is silent.
    """
    whole = frontend.energies(clips)
    return torch.where(whole > 0, frontend.energies(sounds) / torch.where(whole > 0, whole, 1.0), 0.0).clamp_max(1)


def heard(model: Model, clips: Tensor, targets: Tensor, masks: Tensor) -> Heard:
    """Let a network hear what masks let through of clips, and what they hold back.

    Parameters
    ----------
    model : Model
        The network, with its front end.
    clips : Tensor
        ``[B, S]``.
    targets : Tensor
        The classes, ``[B]``.
    masks : Tensor
        ``[B, n_bins, T]``, in [0, 1].
    """
    return answered(model, clips, targets, passed(model.frontend, clips, masks))


def answered(model: Model, clips: Tensor, targets: Tensor, sounds: Tensor) -> Heard:
    """Let a network hear sounds ``[B, S]`` of clips ``[B, S]``, and these without them; see :func:`heard`."""
    logits = model.logits(model.frontend(torch.cat([sounds, clips - sounds]), like=torch.cat([clips, clips])))
    inside, outside = (log_odds(part, targets, model.multi_label) for part in logits.chunk(2))
    kept = inside > 0 if model.multi_label else logits[: len(clips)].argmax(dim=1) == targets
    return Heard(sounds, kept, inside, outside)


def sides(answers: Heard, bounded: bool) -> tuple[Tensor, Tensor]:
    """Return what is lost, ``[B]`` each, by what passes and by what is held back, as :class:`Weights` tells."""
    inside = softplus(-answers.inside)  # -log p, of a softmax as of a sigmoid
    return inside, softplus(answers.outside) if bounded else -softplus(-answers.outside)


def measured(answers: Heard, whole: Tensor, clips: Tensor) -> dict[str, Tensor]:
    """Tell what else there is of explanations, ``[B]`` each.

    Parameters
    ----------
    answers : Heard
        What the network makes of them.
    whole : Tensor
        Log-odds of the class for the clips, ``[B]``.
    clips : Tensor
        ``[B, S]``.

    Returns
    -------
    dict of str to Tensor
        ``fid_in`` and ``ff``, those of :func:`earmark.metrics.masking.scores`, and ``energy``, the share of the clip's
        energy that passes.
    """
    energy = clips.square().sum(dim=1)
    passing = answers.sounds.square().sum(dim=1)
    return {
        "fid_in": answers.kept.double(),
        "ff": (-answers.outside).sigmoid() - (-whole).sigmoid(),
        "energy": torch.where(energy > 0, passing / torch.where(energy > 0, energy, 1.0), 0.0),
    }


def terms(weights: Weights, answers: Heard, masks: Tensor) -> dict[str, Tensor]:
    """Weigh what masks cost.

    ``L = l_in CE(f(x_in), c) - l_out CE(f(x_out), c) + l_1 mean(M) + l_tv TV(M)`` (Paissan et al. 2024, L-MAC), where
    TV is the mean change from a cell to its neighbours in frequency and in time.

    Parameters
    ----------
    weights : Weights
        Of the terms.
    answers : Heard
        What the network makes of them.
    masks : Tensor
        ``[B, n_bins, T]``, in [0, 1].

    Returns
    -------
    dict of str to Tensor
        ``loss`` and, before they are weighted, ``in``, ``out`` (less is better, as it stands in the sum) and
        ``mean_mask``, ``[B]`` each.
    """
    inside, outside = sides(answers, weights.bounded)
    mean = masks.mean(dim=(1, 2))
    varied = sum(masks.diff(dim=dim).abs().mean(dim=(1, 2)) for dim in (1, 2))
    loss = weights.inside * inside + weights.outside * outside + weights.mean * mean + weights.variation * varied
    return {"loss": loss, "in": inside, "out": outside, "mean_mask": mean}


def loudest(amounts: Tensor, counts: Tensor) -> Tensor:
    """Let the cells of the largest amounts ``[B, n_bins, T]`` pass, as many as `counts` ``[B]`` says: 0 and 1."""
    order = amounts.flatten(1).argsort(dim=1, descending=True, stable=True)
    first = torch.arange(order.shape[1], device=order.device) < counts.unsqueeze(1)  # [B, n_bins T]
    return torch.zeros_like(amounts).flatten(1).scatter(1, order, first.to(amounts)).view_as(amounts)


def drawn(like: Tensor, counts: Tensor, clips: Sequence[int], seed: int) -> Tensor:
    """Let cells pass at random, as many as `counts` ``[B]`` says, by a lot of every clip's own: 0 and 1, as `like`."""
    lots = [torch.rand(like.shape[1:], generator=torch.Generator().manual_seed(derive(seed, clip))) for clip in clips]
    return loudest(torch.stack(lots).to(like), counts)


def direct(cost: Callable[[Tensor], Tensor], like: Tensor, steps: int, rate: float) -> Tensor:
    """Descend the loss of every clip by a mask of its own, from one half everywhere: what no decoder need learn.

    Parameters
    ----------
    cost : callable
        From masks ``[B, n_bins, T]`` to what they cost, ``[B]``, clip by clip.
    like : Tensor
        Whose shape and place the masks have.
    steps : int
        Of Adam.
    rate : float
        Its learning rate, of the masks' log-odds.

    Returns
    -------
    Tensor
        ``[B, n_bins, T]``, in [0, 1].
    """
    free = torch.zeros_like(like).requires_grad_()
    optimizer = torch.optim.Adam([free], lr=rate)
    with torch.enable_grad():
        for _ in range(steps):
            (free.grad,) = torch.autograd.grad(cost(free.sigmoid()).sum(), free)
            optimizer.step()
    return free.detach().sigmoid()


def peaks_of(clips: Tensor) -> Tensor:
    """Measure the largest size of a sample of clips ``[B, S]``, 1 where they are silent: ``[B, 1]``."""
    peaks = clips.abs().amax(dim=1, keepdim=True)
    return torch.where(peaks > 0, peaks, 1.0)


def logarithms(frontend: Frontend, sounds: Tensor, clips: Tensor) -> Tensor:
    """Return ``log1p`` of the magnitudes of sounds ``[B, S]``, their clips scaled to peak 1: ``[B, n_bins, T]``."""
    return torch.log1p(frontend.stft(sounds / peaks_of(clips)).abs())


def likeness(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine between pictures ``[B, n_bins, T]``, ``[B]``; 0 where one is empty."""
    return torch.nn.functional.cosine_similarity(first.flatten(1), second.flatten(1), dim=1)
