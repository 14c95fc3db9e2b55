"""What a model answers when it hears an explanation alone, and the clip without it.

Every explanation ends in a sound ``x_in``, and ``x_out = x - x_in``; both go through the model's own front end at the
whole clip's level. Maps of any kind become sounds by one rule, at equal shares of the clip's energy, so that
explanations are compared and not the loudness at which their authors chose to work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from earmark.models.base import EVALUATION_BATCH, Model, answered, batch_size
from earmark.sound.base import Frontend

GAIN = 1e-4
"""Nats of log-odds that count as a gain."""

USED = 0.5
"""Nats that the log-odds fall by without an object that the model uses, at least."""

NATIVE = "native"
"""Stands for a budget: the sound that a method makes itself."""

LISTENED = 0.2
"""Share of a clip's energy at which maps are listened to, or the budget next to it."""

SCORES = ("ai", "ad", "ag", "ff", "fid_in", "sps", "comp", "logodds_in", "logodds_out", "energy")
"""What :func:`scores` tells of an explanation, beside the log-odds of the clip."""

CURVES = ("logodds", "logodds_least", "mean_out", "mean_least", "own_out", "own_least")
"""Log-odds of the clip, and of it without the least relevant cells; without the most and the least where the training
mean stands for silence, and where what is left is heard at its own peak."""


def shares(budgets: Sequence[float]) -> tuple[float, ...]:
    """List the shares of a clip's energy that sounds of maps hold: the budgets, and 1, of which silence is left."""
    return (*budgets, 1.0)


def written(share: float) -> str:
    """Write a share of energy as ``masking.csv`` does."""
    return f"{share:.15g}"


def log_odds(logits: Tensor, targets: Tensor, multi_label: bool = False) -> Tensor:
    """Return the log-odds of a class: they tell saturated answers apart, where probabilities are all 1.

    Parameters
    ----------
    logits : Tensor
        ``[B, C]``.
    targets : Tensor
        The classes, ``[B]``.
    multi_label : bool
        Whether each class is a question of its own, whose log-odds are its logit.

    Returns
    -------
    Tensor
        float64 ``[B]``: ``z_c - logsumexp`` of the other logits, in nats.
    """
    own = logits.double().gather(1, targets.view(-1, 1)).squeeze(1)
    if multi_label:
        return own
    others = logits.double().scatter(1, targets.view(-1, 1), -math.inf)
    return own - others.logsumexp(dim=1)


def heard(model: Model, sounds: Tensor, clips: Tensor) -> Tensor:
    """Answer sounds ``[N, S]`` at the level at which their clips ``[N, S]`` are heard: logits ``[N, C]``.

    Sounds that are their own clips are heard at their own peak.
    """
    size = batch_size(model.frontend.shape, sounds.device, EVALUATION_BATCH)
    with torch.no_grad():
        parts = zip(sounds.split(size), clips.split(size), strict=True)
        return torch.cat([model.logits(model.frontend(sound, like=clip)) for sound, clip in parts])


def odds(model: Model, sounds: Tensor, clip: Tensor, target: Tensor) -> Tensor:
    """Return the log-odds of a class, a scalar, for sounds ``[N, S]`` of a clip ``[S]``: float64 ``[N]``."""
    return log_odds(heard(model, sounds, clip.expand_as(sounds)), target.expand(len(sounds)), model.multi_label)


def drops(model: Model, clip: Tensor, target: Tensor, stems: Tensor) -> Tensor:
    """Measure how far the log-odds of a class fall without each object of a clip.

    Parameters
    ----------
    model : Model
        What is explained.
    clip : Tensor
        ``[S]``.
    target : Tensor
        The class, a scalar.
    stems : Tensor
        Its objects at their level in it, ``[O, S]``.

    Returns
    -------
    Tensor
        Nats, float64 ``[O]``; 0 for an object that is silent.
    """
    found = odds(model, torch.cat([clip[None], clip - stems]), clip, target)  # [1 + O]
    return found[0] - found[1:]


def ranks(cells: Tensor, seed: int) -> Tensor:
    """Rank the cells of a map from most to least relevant, equal ones by lot.

    Parameters
    ----------
    cells : Tensor
        ``[F, T]``.
    seed : int
        Of the lot.

    Returns
    -------
    Tensor
        int64 ``[F, T]``, from 0.
    """
    values = cells.flatten()
    lots = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = lots[values[lots].argsort(descending=True, stable=True)]
    found = torch.empty_like(order)
    found[order] = torch.arange(len(order), device=order.device)
    return found.view_as(cells)


def first_cells(frontend: Frontend, spectrum: Tensor, ranked: Tensor, budgets: Sequence[float]) -> Tensor:
    """Take the fewest cells, in their order, whose sound holds a share of a clip's energy; all of it is all cells.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    spectrum : Tensor
        Of the clip, complex ``[n_bins, T]``.
    ranked : Tensor
        ``[F, T]``, see :func:`ranks`.
    budgets : sequence of float
        M shares.

    Returns
    -------
    Tensor
        Masks ``[M, F, T]`` of 0 and 1, in the spectrum's precision.
    """
    held = frontend.held(spectrum.abs().square(), ranked)  # [F T + 1]
    wanted = torch.tensor(budgets, dtype=held.dtype, device=held.device) * held[-1]
    counts = torch.searchsorted(held, wanted)  # [M]
    counts[wanted >= held[-1]] = ranked.numel()  # those that hold nothing too: there the two ends of a map meet
    return (ranked < counts.view(-1, 1, 1)).to(spectrum.real)


def listened_at(budgets: Sequence[float]) -> float:
    """Choose the budget at which maps are listened to."""
    return min(budgets, key=lambda budget: abs(budget - LISTENED))


def both_ends(
    frontend: Frontend, clip: Tensor, cells: Tensor, seed: int, budgets: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Choose the most relevant cells, and the least, that hold shares of a clip's energy.

    Parameters
    ----------
    frontend : Frontend
        The model's.
    clip : Tensor
        ``[S]``.
    cells : Tensor
        Its relevance ``[F, T]``, of either sign.
    seed : int
        Of the order of equally relevant cells.
    budgets : sequence of float
        M shares.

    Returns
    -------
    most, least : Tensor
        Masks ``[M, F, T]``.
    """
    spectrum, ranked = frontend.stft(clip.unsqueeze(0))[0], ranks(cells, seed)
    last = ranked.numel() - 1 - ranked
    most, least = (first_cells(frontend, spectrum, order, budgets) for order in (ranked, last))
    return most, least


def scores(model: Model, waveforms: Tensor, targets: Tensor, sounds: Tensor) -> pd.DataFrame:
    """Score explanations by what the model answers to them, and to the clips without them.

    With ``p``, ``q`` and ``r`` the probability of the class for the clip, for ``x_in`` and for ``x_out``, as the L-MAC
    papers define them, in float64 and from log-odds.

    Parameters
    ----------
    model : Model
        What is explained.
    waveforms : Tensor
        Clips ``[B, S]``, or ``[1, S]`` where all sounds are of one.
    targets : Tensor
        Explained classes, ``[B]`` or ``[1]``.
    sounds : Tensor
        ``x_in``, ``[B, S]``, at the clips' level.

    Returns
    -------
    pandas.DataFrame
        A row per sound: ``ai`` (average increase: 100 if the log-odds grow), ``ad`` (average drop, ``100 relu(p - q) /
        p``), ``ag`` (average gain, ``100 relu(q - p) / (1 - p)``), ``ff`` (faithfulness, ``p - r``), ``fid_in`` (1 if
        the answer stays), ``sps`` and ``comp`` (Gini coefficient, and entropy over that of equal cells, of ``x_in``'s
        energies; NaN for silence), ``logodds``, ``logodds_in``, ``logodds_out`` in nats, and ``energy``, the share of
        the clip's that ``x_in`` has.
    """
    clips, targets = waveforms.expand_as(sounds), targets.expand(len(sounds))
    certain = heard(model, waveforms, waveforms)  # once for all sounds of a clip
    answers = [certain.expand(len(sounds), -1), *(heard(model, part, clips) for part in (sounds, clips - sounds))]
    whole, inside, outside = (log_odds(logits, targets, model.multi_label) for logits in answers)  # each [B]
    not_p, not_q, not_r = ((-odds).sigmoid() for odds in (whole, inside, outside))  # exact where p is nearly 1
    lost = not_q - not_p  # p - q
    stays = (inside > 0) == (whole > 0) if model.multi_label else answers[1].argmax(dim=1) == targets
    power = model.frontend.stft(sounds).abs().double().square().flatten(1)  # [B, n_bins T]
    total = model.frontend.stft(waveforms).abs().double().square().flatten(1).sum(dim=1)
    found = {
        "ai": 100.0 * (inside > whole + GAIN),
        "ad": 100 * lost.clamp_min(0) / whole.sigmoid(),
        "ag": 100 * (-lost).clamp_min(0) / not_p.clamp_min(torch.finfo(torch.float64).tiny),
        "ff": not_r - not_p,
        "fid_in": stays.double(),
        "sps": gini(power),
        "comp": complexity(power),
        "logodds": whole,
        "logodds_in": inside,
        "logodds_out": outside,
        "energy": power.sum(dim=1) / total,
    }
    return pd.DataFrame({name: value.cpu().numpy() for name, value in found.items()})


def played(
    model: Model, clip: Tensor, target: Tensor, sounds: Tensor, budgets: Sequence[float], own: Tensor | None
) -> pd.DataFrame:
    """Score what is heard of an explanation at shares of a clip's energy, and the sound that its method made itself.

    Parameters
    ----------
    model : Model
        What is explained.
    clip : Tensor
        ``[S]``.
    target : Tensor
        The class, a scalar.
    sounds : Tensor
        One for each share, ``[M, S]``.
    budgets : sequence of float
        M shares of the energy.
    own : Tensor or None
        The method's own sound, ``[S]``.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`scores`, and ``budget``, a share or `NATIVE`; a row per sound, the method's own last.
    """
    labels = [written(budget) for budget in budgets]
    if own is not None:
        sounds, labels = torch.cat([sounds, own[None]]), [*labels, NATIVE]
    return scores(model, clip[None], target[None], sounds).assign(budget=labels)


def gini(amounts: Tensor) -> Tensor:
    """Gini coefficient of amounts ``[B, N]``: 0 if all are equal, 1 - 1 / N if one has everything; NaN of nothing."""
    ascending = torch.from_numpy(np.sort(amounts.cpu().numpy())).to(amounts.device)  # faster than PyTorch's
    count = ascending.shape[1]
    weights = 2 * torch.arange(1, count + 1, dtype=amounts.dtype, device=amounts.device) - count - 1
    return (ascending * weights).sum(dim=1) / (count * ascending.sum(dim=1))


def complexity(amounts: Tensor) -> Tensor:
    """Entropy of amounts ``[B, N]`` over ``ln N``: 1 if all are equal, 0 if one has everything; NaN of nothing."""
    shares = amounts / amounts.sum(dim=1, keepdim=True)
    return -torch.special.xlogy(shares, shares).sum(dim=1) / math.log(amounts.shape[1])


def replaced(model: Model, inputs: Tensor, targets: Tensor, masks: Tensor, filling: Tensor) -> Tensor:
    """Answer inputs some of whose cells hold something else: what the choice of silence decides.

    Parameters
    ----------
    model : Model
        What is explained.
    inputs : Tensor
        ``[N, *I]``.
    targets : Tensor
        ``[N]``.
    masks : Tensor
        ``[N, F, T]``, 1 where a cell is replaced.
    filling : Tensor
        What it is replaced with, ``[*I]``.

    Returns
    -------
    Tensor
        Log-odds, float64 ``[N]``.
    """
    taken = masks.view(len(masks), *model.frontend.grid) > 0
    mixed = model.frontend.replaced(inputs, taken, filling.to(inputs))
    return log_odds(answered(model, mixed), targets, model.multi_label)


def area(budgets: Sequence[float], curves: Tensor) -> Tensor:
    """Area ``[...]`` under curves ``[..., M]`` over M shares of energy, by the trapezoid rule."""
    return torch.trapezoid(curves, torch.tensor(budgets, dtype=curves.dtype, device=curves.device), dim=-1)


def greedy(model: Model, clip: Tensor, target: Tensor, sounds: Tensor) -> list[tuple[int, float, float]]:
    """Add up concepts, at each step the one with which the model is surest.

    Parameters
    ----------
    model : Model
        What is explained.
    clip : Tensor
        ``[S]``.
    target : Tensor
        The class, a scalar.
    sounds : Tensor
        Of the concepts, ``[K, S]``.

    Returns
    -------
    list of tuple
        K times the concept that is added, counted from 1, and the log-odds of what has been added so far alone, and of
        the clip without that.
    """
    left, so_far, found = list(range(len(sounds))), torch.zeros_like(clip), []
    while left:
        tried = so_far + sounds[left]  # [m, S]
        alone = odds(model, tried, clip, target)
        best = int(alone.argmax())
        so_far = tried[best]
        without = odds(model, (clip - so_far).unsqueeze(0), clip, target)
        found.append((left.pop(best) + 1, float(alone[best]), float(without)))
    return found
