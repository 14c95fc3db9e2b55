"""Additive surrogates of what a model answers where some of a clip's parts are away.

A state says of every part whether it is there; the answer is a number. An additive surrogate is an intercept and a
weight for each part, and the weights are the explanation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Answers = Callable[[Tensor], Tensor]
"""From states ``[N, d]`` of 0 and 1 to what the model answers, float64 ``[N]``."""

WIDTH = 0.25
"""Of the kernel by which states close to the clip weigh more."""

MOST_EXACT = 10
"""Parts that are so few that all their states are asked for."""


@dataclass(frozen=True)
class Surrogate:
    """An additive surrogate.

    Attributes
    ----------
    weights : Tensor [d]
        What the answer gains by each part, float64.
    unexplained : float
        Share of the answers' variance, weighted by :func:`closeness`, that it leaves: 1 less the weighted R^2.
    """

    weights: Tensor
    unexplained: float


Search = Callable[[Answers, int, torch.Generator], Surrogate]
"""Finds the surrogate for a number of parts."""


def closeness(states: Tensor) -> Tensor:
    """Weigh states ``[N, d]`` by their cosine distance D to all parts, ``sqrt(exp(-D^2 / .25^2))``: float64 ``[N]``.

    Ribeiro et al. 2016.
    """
    distances = 1 - states.double().mean(dim=1).sqrt()  # of 0 and 1: the cosine is the root of the share that is on
    return torch.exp(-(distances / WIDTH).square() / 2)


def ridge(states: Tensor, values: Tensor, weights: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Fit a weighted ridge regression, its intercept unpenalised, by the normal equations.

    Parameters
    ----------
    states : Tensor
        ``[N, d]``.
    values, weights : Tensor
        float64 ``[N]``.
    penalty : float
        On the coefficients' squares.

    Returns
    -------
    intercept : Tensor
        float64, a number.
    coefficients : Tensor
        float64 ``[d]``.
    """
    shares = weights / weights.sum()
    middle, level = shares @ states.double(), shares @ values
    centred = states.double() - middle
    weighted = centred.T * weights  # [d, N]
    gram = weighted @ centred + penalty * torch.eye(len(middle), dtype=torch.float64, device=states.device)
    coefficients = torch.linalg.solve(gram, weighted @ (values - level))
    return level - middle @ coefficients, coefficients


def everything(parts: int) -> Tensor:
    """List all states of d parts: ``[2**d, d]``, the number of the row being the state in binary."""
    return torch.arange(2**parts).unsqueeze(1) >> torch.arange(parts) & 1


def shapley(values: Tensor) -> Tensor:
    """Compute Shapley values by their definition (Shapley 1953).

    Parameters
    ----------
    values : Tensor
        What is answered to all states of d parts, in the order of :func:`everything`: float64 ``[2**d]``.

    Returns
    -------
    Tensor
        float64 ``[d]``; they sum to the difference between all parts and none.
    """
    parts = len(values).bit_length() - 1
    states = everything(parts)
    sizes = states.sum(dim=1, keepdim=True)  # [2**d, 1]
    # Of all orders of parts, the share in which a part comes after `others` given ones and before the rest.
    orders = torch.tensor([1 / (parts * math.comb(parts - 1, others)) for others in range(parts)], dtype=torch.float64)
    joined, missed = orders[(sizes - 1).clamp_min(0)], orders[sizes.clamp_max(parts - 1)]
    return values @ torch.where(states.bool(), joined, -missed).to(values)


def coalitions(samples: int, parts: int, generator: torch.Generator) -> Tensor:
    """Draw states by the Shapley kernel, each followed by its complement (Covert and Lee 2021): ``[N, d]``.

    Parameters
    ----------
    samples : int
        N, even.
    parts : int
        d, at least 2.
    generator : torch.Generator
        Of the draws.
    """
    sizes = torch.arange(1, parts)
    chances = 1 / (sizes * (parts - sizes)).double()  # sizes of states; states of one size are alike
    drawn = 1 + torch.multinomial(chances, samples // 2, replacement=True, generator=generator)
    places = torch.rand(samples // 2, parts, generator=generator).argsort(dim=1).argsort(dim=1)
    states = (places < drawn.unsqueeze(1)).long()
    return torch.stack([states, 1 - states], dim=1).flatten(0, 1)


def kernel_shap(states: Tensor, values: Tensor, gain: float | Tensor) -> Tensor:
    """Estimate Shapley values by least squares on states drawn by the Shapley kernel (Lundberg and Lee 2017, eq. 9).

    Parameters
    ----------
    states : Tensor
        ``[N, d]``, of :func:`coalitions`.
    values : Tensor
        What they gain over no part, float64 ``[N]``.
    gain : float
        What all parts gain over none: the sum of the estimates.

    Returns
    -------
    Tensor
        float64 ``[d]``.
    """
    there = states.double()
    inverse = torch.linalg.pinv(there.T @ there, hermitian=True)
    free = inverse @ (there.T @ values)
    slack = inverse.sum(dim=1)
    return free + slack * (gain - free.sum()) / slack.sum()


def exact(answers: Answers, parts: int, generator: torch.Generator) -> Surrogate:
    """Ask for all states, and take the Shapley values for weights."""
    states = everything(parts)
    values = answers(states)
    weights = shapley(values)
    return Surrogate(weights, unexplained(states, values, values[0], weights))


def local(samples: int, penalty: float) -> Search:
    """Make the search of LIME (Ribeiro et al. 2016): ridge regression on random states, those close to the clip first.

    Parameters
    ----------
    samples : int
        States, the first of which is the clip.
    penalty : float
        Of the regression.
    """

    def search(answers: Answers, parts: int, generator: torch.Generator) -> Surrogate:
        states = torch.randint(2, (samples, parts), generator=generator)
        states[0] = 1
        values = answers(states)
        intercept, weights = ridge(states.to(values.device), values, closeness(states).to(values), penalty)
        return Surrogate(weights, unexplained(states, values, intercept, weights))

    return search


def sampled(samples: int, penalty: float) -> Search:
    """Make the search of KernelSHAP (Lundberg and Lee 2017), which has no penalty.

    Parameters
    ----------
    samples : int
        States, of which two are the clip and none of it.
    penalty : float
        Unused.
    """

    def search(answers: Answers, parts: int, generator: torch.Generator) -> Surrogate:
        ends = torch.stack([torch.zeros(parts), torch.ones(parts)]).long()
        states = torch.cat([ends, coalitions(samples - 2, parts, generator)])
        values = answers(states)
        gains = values - values[0]
        weights = kernel_shap(states[2:].to(values.device), gains[2:], gains[1])
        return Surrogate(weights, unexplained(states, values, values[0], weights))

    return search


def unexplained(states: Tensor, values: Tensor, intercept: Tensor, weights: Tensor) -> float:
    """Measure the share of the variance of values ``[N]``, weighted by :func:`closeness`, that a surrogate leaves."""
    near = closeness(states).to(values)
    left = near @ (values - intercept - states.to(values) @ weights).square()
    spread = near @ (values - near @ values / near.sum()).square()
    return float(left / spread) if spread > 0 else 0.0
