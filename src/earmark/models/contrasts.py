"""Another network and another class: what the explanation of a network's class must be told from."""

from __future__ import annotations

import math

import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.models.base import Model
from earmark.models.graph import LINEAR, Graph, probed, unparametrised


class NothingToDraw(EarmarkError):
    """A network has no weights that could be drawn anew."""


@torch.inference_mode(False)
def randomised(model: Model, seed: int) -> Model:
    """Copy a model and draw the weights of its upper half anew (Adebayo et al. 2018, without the cascade).

    Parameters
    ----------
    model : Model
        Left untouched.
    seed : int
        Of the weights, which are the same on every device.

    Returns
    -------
    Model
        Its modules from the middle one of the linear modules on, in the order in which they are called, have the
        weights and statistics that PyTorch gives to a new module of their kind.

    Raises
    ------
    NothingToDraw
        If the network has no linear module.
    """
    like = next(model.network.parameters(), torch.empty(0))
    network = unparametrised(model.network)
    drawn = upper(probed(network, torch.empty(0, *model.frontend.shape).to(like)))
    if not drawn:
        raise NothingToDraw("the network has no linear or convolutional module, whose weights could be drawn anew")
    network.cpu()  # a GPU would draw other numbers
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in drawn:
            module.reset_parameters()  # type: ignore[operator]
    return model.with_network(network.to(like.device))


def upper(graph: Graph) -> list[nn.Module]:
    """List the modules with weights that are called from the middle one of the linear modules on, and not before."""
    called = list(dict.fromkeys(call.module for call in graph.leaves))
    linear = [place for place, module in enumerate(called) if isinstance(module, LINEAR)]
    first = linear[len(linear) // 2] if linear else len(called)
    return [module for module in called[first:] if hasattr(module, "reset_parameters")]


def runners_up(model: Model, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Name the class with the largest logit but for the explained one.

    Parameters
    ----------
    model : Model
        With several classes.
    inputs : torch.Tensor
        ``[B, *I]``.
    targets : torch.Tensor
        Explained classes, ``[B]``.

    Returns
    -------
    torch.Tensor
        ``[B]``.
    """
    with torch.no_grad():
        logits = model.logits(inputs)  # [B, C]
    return logits.scatter(1, targets.view(-1, 1), -math.inf).argmax(dim=1)
