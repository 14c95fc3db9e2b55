"""Relevance of inputs, and contexts of hidden layers, from one forward pass under the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from earmark.lrp.rules import Rules, composite, hooks, is_input_independent
from earmark.lrp.suggest import suggested
from earmark.models.base import Model, batch_size
from earmark.models.graph import fused, watched
from earmark.sound.base import Frontend

BATCH = 64
"""Clips propagated at once: bounds the memory, changes no result."""


class Relevance(NamedTuple):
    """What of a logit arrives at inputs.

    Attributes
    ----------
    maps : torch.Tensor
        Where on the front end's grid, ``[..., *grid]``.
    samples : torch.Tensor or None
        At which samples, ``[..., 1, S]``, of networks that hear waveforms; the sums are equal.
    """

    maps: torch.Tensor
    samples: torch.Tensor | None


@dataclass(frozen=True)
class Trace:
    """One batch's forward pass, kept so that relevance can be sent down from a layer many times.

    Attributes
    ----------
    inputs : torch.Tensor
        ``[B, *I]``.
    activations : torch.Tensor
        At the layer, ``[B, D, *g]``.
    contexts : torch.Tensor
        LRP gradient of the explained logits by the activations, ``[B, D, *g]``.
    logits : torch.Tensor
        ``[B]``, of the explained classes.
    frontend : Frontend
        What spreads inputs and their contexts over the heatmap's grid.
    independent : bool
        Whether the first layer's rule yields relevance of the inputs instead of their contexts.
    """

    inputs: torch.Tensor
    activations: torch.Tensor
    contexts: torch.Tensor
    logits: torch.Tensor
    frontend: Frontend
    independent: bool

    def heatmap(self, contexts: torch.Tensor, last: bool = False) -> torch.Tensor:
        """Return the maps ``[B, *grid]`` of :meth:`relevance`."""
        return self.relevance(contexts, last).maps

    def relevance(self, contexts: torch.Tensor, last: bool = False) -> Relevance:
        """Send ``activations * contexts`` from the layer to the input.

        Parameters
        ----------
        contexts : torch.Tensor
            ``[B, D, *g]``.
        last : bool
            Free the forward pass afterwards.

        Returns
        -------
        Relevance
            Of B clips.

        Raises
        ------
        EarmarkError
            If the front end has no place for relevance of inputs without their contexts.
        """
        # A sum's gradient is the contexts; to check the shape of contexts given as such, PyTorch loads SymPy for .3 s.
        explained = (self.activations * contexts).sum()
        (gradient,) = torch.autograd.grad(explained, self.inputs, retain_graph=not last)
        if self.independent:
            return Relevance(self.frontend.spread(gradient), None)
        inputs = self.inputs.detach()
        return Relevance(self.frontend.relevance(inputs, gradient), self.frontend.sample_relevance(inputs, gradient))


class Attributor:
    """A model with its rules, ready to trace batches.

    Works on a copy: the given network keeps its parameters, buffers, mode and hooks whatever happens.

    Parameters
    ----------
    model : Model
        The model.
    rules : Rules
        Rule of each layer.
    inputs : torch.Tensor
        ``[B, *I]``, the first of which shows which module reads what; there may be none.
    layer : str or None
        Where traces are split; None splits at the logits.

    Raises
    ------
    EarmarkError
        If the network has no such layer, or a module is covered by no rule or by one that does not fit its place.
    """

    def __init__(self, model: Model, rules: Rules, inputs: torch.Tensor, layer: str | None = None) -> None:
        self.network, graph = fused(model.network, inputs[:1])
        self.place = None if layer is None else model.place(graph, layer)
        if rules.auto:
            rules = rules.fitted(model.suggested or suggested(graph, model.frontend.shape))
        self.composite = composite(hooks(self.network, graph, rules))
        self.ratio = rules.context == "ratio" and layer is not None
        self.frontend, self.independent = model.frontend, is_input_independent(graph, rules)

    def trace(self, inputs: torch.Tensor, targets: torch.Tensor, down: bool = True) -> Trace:
        """Run the network forward once and relevance from the logits down to the layer.

        Parameters
        ----------
        inputs : torch.Tensor
            ``[B, *I]``.
        targets : torch.Tensor
            Explained class per clip, ``[B]``.
        down : bool
            Whether the trace must be able to go on to the input.
        """
        with self.composite.context(self.network), torch.enable_grad():
            inputs = inputs.detach().requires_grad_(down)
            entered = inputs.clone()  # which the network may change in place
            if self.place is None:
                activations = answers = self.network(entered)
            else:
                activations, answers = watched(self.network, entered, self.place)
            logits = answers.gather(1, targets.view(-1, 1)).squeeze(1)  # [B]
            (contexts,) = torch.autograd.grad(logits.sum(), activations)
        if self.ratio:
            contexts = contexts * (activations.detach() != 0)
        return Trace(inputs, activations, contexts, logits.detach(), self.frontend, self.independent)


def batches(inputs: torch.Tensor, targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cut clips ``[B, *I]`` and their classes ``[B]`` into what is propagated at once."""
    size = batch_size(inputs.shape[1:], inputs.device, BATCH)
    return zip(inputs.split(size), targets.split(size), strict=True)


def heatmaps(model: Model, inputs: torch.Tensor, targets: torch.Tensor, rules: Rules) -> torch.Tensor:
    """Relevance for one logit per clip, over the grid of the input (thesis 3.2.1).

    Parameters
    ----------
    model : Model
        The model, on the device of `inputs`; left untouched.
    inputs : torch.Tensor
        Of clips, ``[B, *I]``.
    targets : torch.Tensor
        Explained class per clip, integers ``[B]``.
    rules : Rules
        Rule of each layer.

    Returns
    -------
    torch.Tensor
        ``[B, *grid]``; sums to the clip's logit, less what biases absorb.

    Raises
    ------
    EarmarkError
        If a module of the network is covered by no rule, or by one that does not fit its place.
    """
    return relevance(model, inputs, targets, rules).maps


def relevance(model: Model, inputs: torch.Tensor, targets: torch.Tensor, rules: Rules) -> Relevance:
    """Relevance for one logit per clip, on the grid and of samples; arguments and errors as of :func:`heatmaps`."""
    attributor = Attributor(model, rules, inputs)
    found = [Relevance(inputs.new_zeros(0, *model.frontend.grid), blank(model, inputs, 0))]
    for batch, wanted in batches(inputs, targets):
        if len(batch):
            trace = attributor.trace(batch, wanted)
            found.append(trace.relevance(trace.contexts, last=True))
    samples = [one.samples for one in found if one.samples is not None]
    return Relevance(torch.cat([one.maps for one in found]), torch.cat(samples) if samples else None)


def blank(model: Model, inputs: torch.Tensor, *counts: int) -> torch.Tensor | None:
    """Make room for the relevance of samples, ``[*counts, 1, S]``; None where inputs ``[B, *I]`` are none."""
    nothing = model.frontend.sample_relevance(inputs[:0], inputs[:0])  # [0, 1, S]
    return None if nothing is None else nothing.new_zeros(*counts, *nothing.shape[1:])


def pairs_at(
    model: Model, inputs: torch.Tensor, targets: torch.Tensor, layer: str, rules: Rules
) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and context vectors at a layer (eq. 2.18, 3.2).

    Parameters
    ----------
    model, inputs, targets, rules
        As in :func:`heatmaps`.
    layer : str
        Qualified name of a module; see :meth:`earmark.models.graph.Graph.place` for what is its output.

    Returns
    -------
    activations, contexts : torch.Tensor
        ``[B, D, *g]`` each; their product is the relevance of the layer's units.

    Raises
    ------
    EarmarkError
        If the network has no such layer, or a module is covered by no rule or by one that does not fit its place.
    """
    attributor = Attributor(model, rules, inputs, layer)
    traces = [attributor.trace(batch, wanted, down=False) for batch, wanted in batches(inputs, targets)]
    return torch.cat([trace.activations.detach() for trace in traces]), torch.cat([trace.contexts for trace in traces])
