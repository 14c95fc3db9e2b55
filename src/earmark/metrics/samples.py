"""Sample flipping: what a network of waveforms still answers when some samples are 0 (Becker et al. 2018).

Samples are set to 0 in four orders: by lot, by size, by relevance, and by the relevance of others of the same size.
Large samples do more than small ones whatever a network listens to, and relevance ``x_n c_n`` grows with them; so what
relevance knows beyond size is only what its order does more than the last.

Flipped are a network's inputs. Between them and the waveform lies one factor, the clip's peak: the same inputs come
from the front end when it hears the flipped waveform at the level of the whole clip. By its own peak what is left of a
clip would become louder with every loud sample that goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from earmark.models.base import Model, answered

ORDERS = RANDOM, AMPLITUDE, RELEVANCE, MATCHED = "random", "amplitude", "relevance", "matched"
"""By lot; the largest sizes first; the greatest relevance first; the same with relevance shuffled among equal sizes."""

DRAWS = 5
"""Of each order that is drawn, whose answers are averaged."""

QUANTILES, FEWEST = 100, 10
"""Groups of equally many samples of nearly equal size, within which relevance is shuffled; of so few samples none."""


class Answer(NamedTuple):
    """What is left of a clip's answer.

    Attributes
    ----------
    order : str
        Of ``ORDERS``.
    share : float
        Of the samples that were not 0, which are now.
    logit : float
        Of the explained class.
    answered : float
        1 where the network still answers the class, else 0; the mean over draws.
    removed : float
        Share of the energy that has gone.
    """

    order: str
    share: float
    logit: float
    answered: float
    removed: float


def shares(flips: Sequence[float]) -> tuple[float, ...]:
    """List the shares of samples at which a network is asked: none, those named, all."""
    return (0.0, *flips, 1.0)


def rankings(samples: Tensor, relevance: Tensor, seed: int) -> dict[str, Tensor]:
    """Rank the samples of a clip that are not 0.

    Parameters
    ----------
    samples, relevance : Tensor
        ``[S]`` each.
    seed : int
        Of the clip: for all that is drawn, the order of equal samples too.

    Returns
    -------
    dict of str to Tensor
        For every order the places of the N samples, the first to go first: int64 ``[D, N]``, in D draws.
    """
    generator = torch.Generator().manual_seed(seed)
    places = samples.nonzero()[:, 0]  # [N]
    count = len(places)
    lots = torch.stack([torch.randperm(count, generator=generator) for _ in range(DRAWS)]).to(places.device)
    by_lot = places[lots]  # [D, N]
    by_size, by_relevance = (_falling(values, by_lot[0]) for values in (samples.abs(), relevance))
    groups = min(QUANTILES, max(count // FEWEST, 1))
    group = torch.arange(count) * groups // max(count, 1)
    drawn = torch.rand(DRAWS, count, generator=generator, dtype=torch.float64)
    shuffled = (group + drawn).argsort(dim=1).to(places.device)  # [D, N]: of sizes, each group in itself
    partner = torch.empty(DRAWS, len(samples), dtype=torch.long, device=places.device)
    partner[:, by_size] = by_size[shuffled]
    return {
        RANDOM: by_lot,
        AMPLITUDE: by_size.unsqueeze(0),
        RELEVANCE: by_relevance.unsqueeze(0),
        MATCHED: partner[:, by_relevance],
    }


def _falling(values: Tensor, lots: Tensor) -> Tensor:
    """Sort places ``[N]`` by falling values ``[S]``; equal ones stay in the order of the lots."""
    return lots[values[lots].argsort(descending=True, stable=True)]


def flipped(samples: Tensor, ranking: Tensor, counts: Tensor) -> Tensor:
    """Set the first samples of rankings to 0.

    Parameters
    ----------
    samples : Tensor
        ``[S]``.
    ranking : Tensor
        ``[D, N]``, see :func:`rankings`.
    counts : Tensor
        How many, int64 ``[M]``.

    Returns
    -------
    Tensor
        ``[D, M, S]``.
    """
    draws, count = ranking.shape
    ranks = torch.full((draws, len(samples)), count, device=samples.device)  # samples that are 0 have the last
    ranks.scatter_(1, ranking, torch.arange(count, device=samples.device).expand(draws, count))
    return torch.where(ranks.unsqueeze(1) >= counts.view(-1, 1), samples, 0.0)


def flipping(
    model: Model, samples: Tensor, target: int, relevance: Tensor, seed: int, flips: Sequence[float]
) -> Iterator[Answer]:
    """Yield what a network answers to a clip some of whose samples are 0, order by order and share by share.

    Parameters
    ----------
    model : Model
        Of waveforms.
    samples : Tensor
        The clip as its input, ``[S]``.
    target : int
        The explained class.
    relevance : Tensor
        Of the samples, ``[S]``.
    seed : int
        Of the clip.
    flips : sequence of float
        Shares of the samples that are not 0, rising, between 0 and 1; both ends come along.
    """
    heard = shares(flips)
    power = samples.double().square()
    ends = answered(model, torch.stack([samples, torch.zeros_like(samples)]).unsqueeze(1))  # [2, C]
    for order, ranking in rankings(samples, relevance, seed).items():
        draws, count = ranking.shape
        counts = (torch.tensor(flips, dtype=torch.float64, device=samples.device) * count).round().long()  # [M]
        states = flipped(samples, ranking, counts)  # [D, M, S]
        first, last = (end.expand(draws, 1, -1) for end in ends)
        between = answered(model, states.flatten(0, 1).unsqueeze(1)).unflatten(0, (draws, len(counts)))
        logits = torch.cat([first, between, last], dim=1).double()  # [D, 2 + M, C]
        own = logits[..., target]
        stays = own > 0 if model.multi_label else logits.argmax(dim=2) == target
        gone = (power * (states == 0)).sum(dim=2) / power.sum().clamp_min(torch.finfo(power.dtype).tiny)  # [D, M]
        gone = torch.cat([gone.new_zeros(draws, 1), gone, gone.new_ones(draws, 1)], dim=1)
        means = (part.double().mean(dim=0).tolist() for part in (own, stays, gone))
        for share, *answer in zip(heard, *means, strict=True):
            yield Answer(order, share, *answer)
