"""Relevance of inputs, and contexts of hidden layers, from one forward pass under the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from earmark.lrp.rules import FIRST_LAYER_RULES, LINEAR, Rules, composite
from earmark.models.base import batch_size, fused, split_at

BATCH = 64
"""Clips propagated at once: bounds the memory, changes no result."""


@dataclass(frozen=True)
class Trace:
    """One batch's forward pass, kept so that relevance can be sent down from a layer many times.

    Attributes
    ----------
    inputs : torch.Tensor
        ``[B, 1, F, T]``.
    activations : torch.Tensor
        At the layer, ``[B, D, h, w]``.
    contexts : torch.Tensor
        LRP gradient of the explained logits by the activations, ``[B, D, h, w]``.
    logits : torch.Tensor
        ``[B]``, of the explained classes.
    times_input : bool
        Whether the first layer's rule yields contexts, to be multiplied by the input.
    """

    inputs: torch.Tensor
    activations: torch.Tensor
    contexts: torch.Tensor
    logits: torch.Tensor
    times_input: bool

    def heatmap(self, contexts: torch.Tensor, last: bool = False) -> torch.Tensor:
        """Send ``activations * contexts`` from the layer to the input.

        Parameters
        ----------
        contexts : torch.Tensor
            ``[B, D, h, w]``.
        last : bool
            Free the forward pass afterwards.

        Returns
        -------
        torch.Tensor
            Relevance ``[B, 1, F, T]``.
        """
        (gradient,) = torch.autograd.grad(self.activations, self.inputs, contexts, retain_graph=not last)
        return gradient * self.inputs.detach() if self.times_input else gradient


class Attributor:
    """A network with its rules, ready to trace batches.

    Works on a copy: the given model keeps its parameters, buffers, mode and hooks whatever happens.

    Parameters
    ----------
    model : torch.nn.Sequential
        The network.
    rules : Rules
        Rule of each layer.
    layer : str or None
        Where traces are split; None splits above the input, at the logits.
    """

    def __init__(self, model: nn.Sequential, rules: Rules, layer: str | None = None) -> None:
        self.model = fused(model).requires_grad_(False)
        self.composite = composite(self.model, rules)
        first = next(name for name, module in self.model.named_children() if isinstance(module, LINEAR))
        self.ratio = rules.context == "ratio" and layer is not None
        self.times_input = not isinstance(rules.hook(first), FIRST_LAYER_RULES)
        self.lower, self.upper = (self.model, nn.Sequential()) if layer is None else split_at(self.model, layer)

    def trace(self, inputs: torch.Tensor, targets: torch.Tensor, down: bool = True) -> Trace:
        """Run the network forward once and relevance from the logits down to the layer.

        Parameters
        ----------
        inputs : torch.Tensor
            ``[B, 1, F, T]``.
        targets : torch.Tensor
            Explained class per clip, ``[B]``.
        down : bool
            Whether the trace must be able to go on to the input.
        """
        with self.composite.context(self.model), torch.enable_grad():
            inputs = inputs.detach().requires_grad_(down)
            activations = self.lower(inputs)
            leaf = activations.detach().requires_grad_()
            logits = self.upper(leaf).gather(1, targets.view(-1, 1)).squeeze(1)  # [B]
            (contexts,) = torch.autograd.grad(logits.sum(), leaf)
        if self.ratio:
            contexts = contexts * (leaf.detach() != 0)
        return Trace(inputs, activations, contexts, logits.detach(), self.times_input)


def batches(inputs: torch.Tensor, targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cut clips ``[B, 1, F, T]`` and their classes ``[B]`` into what is propagated at once."""
    size = batch_size(inputs.shape[1:], inputs.device, BATCH)
    return zip(inputs.split(size), targets.split(size), strict=True)


def heatmaps(model: nn.Sequential, inputs: torch.Tensor, targets: torch.Tensor, rules: Rules) -> torch.Tensor:
    """Relevance of every input cell for one logit per clip (thesis 3.2.1).

    Parameters
    ----------
    model : torch.nn.Sequential
        The network, on the device of `inputs`.
    inputs : torch.Tensor
        Log-mel spectrograms ``[B, 1, F, T]``.
    targets : torch.Tensor
        Explained class per clip, integers ``[B]``.
    rules : Rules
        From :func:`rules_from_config`.

    Returns
    -------
    torch.Tensor
        ``[B, 1, F, T]``; sums to the clip's logit, less what biases absorb.

    Raises
    ------
    EarmarkError
        If a module of the network is covered by no rule.
    """
    attributor = Attributor(model, rules)
    maps = []
    for batch, wanted in batches(inputs, targets):
        trace = attributor.trace(batch, wanted)
        maps.append(trace.heatmap(trace.contexts, last=True))
    return torch.cat(maps) if maps else torch.zeros_like(inputs)


def pairs_at(
    model: nn.Sequential, inputs: torch.Tensor, targets: torch.Tensor, layer: str, rules: Rules
) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and context vectors at a layer (eq. 2.18, 3.2).

    Parameters
    ----------
    model, inputs, targets, rules
        As in :func:`standard_heatmaps`.
    layer : str
        Name of a convolutional layer; "at" it means the output of its ReLU, before pooling.

    Returns
    -------
    activations, contexts : torch.Tensor
        ``[B, D, h, w]`` each; their product is the relevance of the layer's units.

    Raises
    ------
    EarmarkError
        If the network has no such layer, or a module is covered by no rule.
    """
    attributor = Attributor(model, rules, layer)
    traces = [attributor.trace(batch, wanted, down=False) for batch, wanted in batches(inputs, targets)]
    return torch.cat([trace.activations for trace in traces]), torch.cat([trace.contexts for trace in traces])
