"""Whether LRP accounts for all of a logit in a network, where it is lost if not, and what passes a layer by.

What arrives at the input and what biases absorb must sum to the logit. Operations that no rule covers are found in
autograd's graph before that (:mod:`earmark.lrp.operations`), for sums alone do not show them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from earmark.lrp.rules import PropagationRule, Rules, composite, hooks, is_input_independent
from earmark.models.graph import Graph, Place, fused

CLIPS = 8
"""Clips that are looked at, at most."""

TOLERANCE = 0.01
"""Of the logit, what may be lost for any clip."""

THROUGH = 0.99
"""Share of relevance above which a layer holds as good as all of it."""


@dataclass(frozen=True)
class Flow:
    """Relevance at one call of a module that has a rule, per clip, ``[B]`` each.

    Attributes
    ----------
    module : str
        Qualified name.
    call : int
        Which of its calls, from 0.
    came : torch.Tensor
        What reached its output from above.
    absorbed : torch.Tensor
        What its bias and the stabiliser kept.
    left : torch.Tensor
        What its input got.
    """

    module: str
    call: int
    came: torch.Tensor
    absorbed: torch.Tensor
    left: torch.Tensor

    @property
    def lost(self) -> torch.Tensor:
        """What is not accounted for, ``[B]``."""
        return self.came - self.absorbed - self.left


@dataclass(frozen=True)
class Coverage:
    """Where the logit of the class that is answered goes, for a few clips.

    Attributes
    ----------
    logits : torch.Tensor
        ``[B]``.
    arrived : torch.Tensor
        Sum of the heatmap, ``[B]``.
    flows : tuple of Flow
        Of every call of a module with a rule, in the order of the forward pass.
    through : mapping of str to float
        Per layer, the mean share of relevance that goes through it, from 0 to 1: with T the map of what does, and P
        of what passes by, ``sum |T| / (sum |T| + sum |P|)`` over input cells.
    """

    logits: torch.Tensor
    arrived: torch.Tensor
    flows: tuple[Flow, ...]
    through: Mapping[str, float]

    @property
    def absorbed(self) -> torch.Tensor:
        """What biases and stabilisers kept in all, ``[B]``."""
        return sum((flow.absorbed for flow in self.flows), torch.zeros_like(self.logits))

    @property
    def lost(self) -> torch.Tensor:
        """What is not accounted for, relative to the logit, ``[B]``."""
        return (self.logits - self.arrived - self.absorbed).abs() / self.logits.abs()

    @property
    def holds(self) -> bool:
        """Whether for every clip as good as nothing is lost."""
        return bool((self.lost <= TOLERANCE).all())

    def fault(self) -> str | None:
        """Say in a sentence where relevance is lost, if it is."""
        if self.holds:
            return None
        clip = int(self.lost.nan_to_num(torch.inf).argmax())
        worst = max(self.flows, key=lambda flow: float(flow.lost[clip].abs()), default=None)
        logit, arrived, absorbed = (float(part[clip]) for part in (self.logits, self.arrived, self.absorbed))
        if worst is not None and abs(float(worst.lost[clip])) > TOLERANCE * abs(logit):
            where = f"most is lost in call {worst.call + 1} of {worst.module!r}"
        else:
            where = "it is lost between the modules that have rules, as by a constant that forward adds"
        return (
            f"LRP does not account for the logit: {arrived:.4g} arrives at the input and biases absorb {absorbed:.4g} "
            f"of {logit:.4g}; {where}"
        )


class _Seen(NamedTuple):
    """Tensors of one call, in the graph."""

    module: str
    call: int
    entered: torch.Tensor | None
    output: torch.Tensor


def covered(network: nn.Module, inputs: torch.Tensor, rules: Rules, layers: Sequence[str] | None = None) -> Coverage:
    """Follow the logit of the class that is answered down to the input, for each of a few clips.

    Parameters
    ----------
    network : torch.nn.Module
        The network; left untouched.
    inputs : torch.Tensor
        Of clips, ``[B, *I]``; the first :data:`CLIPS` are looked at.
    rules : Rules
        Rule of each layer.
    layers : sequence of str or None
        Layers whose share of relevance is measured, at the cost of a backward pass each; None: all.

    Raises
    ------
    EarmarkError
        If a module is covered by no rule or by one that does not fit its place, the network does what no rule covers,
        or it has no such layer.
    """
    copied, graph = fused(network, inputs[:1])
    names = list(graph.layers) if layers is None else layers
    places = {layer: graph.place(layer, graph.layers) for layer in names}
    found = hooks(copied, graph, rules)
    return _joined([_one(copied, graph, rules, found, clip, places) for clip in inputs[:CLIPS].split(1)])


def _one(
    network: nn.Module,
    graph: Graph,
    rules: Rules,
    found: Mapping[str, PropagationRule],
    clip: torch.Tensor,
    places: Mapping[str, Place],
) -> Coverage:
    """Follow one clip, ``[1, *I]``."""
    with torch.inference_mode(False), torch.enable_grad():
        entered = clip.clone().requires_grad_()
        with _recorded(network, found) as seen:
            logit = network(entered.clone()).max()
        wanted = [entered, *(one.output for one in seen), *(one.entered for one in seen if one.entered is not None)]
        gradients = _gradients(logit, wanted)
        independent = is_input_independent(graph, rules)
        standard = gradients[0] if independent else entered * gradients[0]
        outputs = dict(zip(((one.module, one.call) for one in seen), gradients[1:], strict=False))
        inner = iter(gradients[1 + len(seen) :])
        flows = tuple(
            _flow(network, found[one.module], one, outputs[one.module, one.call], next(inner))
            for one in seen
            if one.entered is not None
        )
        at = {(one.module, one.call): one.output for one in seen}
        shares: dict[Place, float] = {}
        for place in set(places.values()):
            (gradient,) = _gradients(at[place], [entered], outputs[place])
            shares[place] = _share(gradient if independent else entered * gradient, standard)
    through = {layer: shares[place] for layer, place in places.items()}
    return Coverage(logit.detach().view(1), standard.detach().sum().view(1), flows, through)


def _gradients(
    above: torch.Tensor, wanted: Sequence[torch.Tensor], start: torch.Tensor | None = None
) -> list[torch.Tensor]:
    found = torch.autograd.grad(above, wanted, start, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(of) if gradient is None else gradient for of, gradient in zip(wanted, found, strict=True)]


@contextmanager
def _recorded(network: nn.Module, found: Mapping[str, PropagationRule]) -> Iterator[list[_Seen]]:
    """Keep outputs of all modules, and inputs of those that have rules, as they are under the rules.

    What follows gets copies, so that each call's part in a gradient shows by itself and nothing is written over.
    """
    seen: list[_Seen] = []
    calls: dict[str, int] = {}
    begun: dict[str, torch.Tensor] = {}

    def begin(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        begun[name] = arguments[0].clone()
        return (begun[name].clone(), *arguments[1:])

    def end(name: str, output: Any) -> Any:
        number, entered = calls.get(name, 0), begun.pop(name, None)
        calls[name] = number + 1
        if not isinstance(output, torch.Tensor) or not output.requires_grad:
            return output
        seen.append(_Seen(name, number, entered, output))
        return output.clone()

    with ExitStack() as stack:
        for name in found:
            module = network.get_submodule(name)
            handle = module.register_forward_pre_hook(lambda _, arguments, name=name: begin(name, arguments))
            stack.callback(handle.remove)
        stack.enter_context(composite(found).context(network))
        for name, module in network.named_modules():
            handle = module.register_forward_hook(lambda m, arguments, output, name=name: end(name, output))
            stack.callback(handle.remove)
        yield seen


def _flow(
    network: nn.Module, rule: PropagationRule, one: _Seen, contexts: torch.Tensor, gradient: torch.Tensor
) -> Flow:
    assert one.entered is not None
    with torch.no_grad():
        absorbed = rule.absorbed(network.get_submodule(one.module), one.entered, one.output, contexts)
        came = contexts if rule.takes_relevance else one.output * contexts
        left = gradient if rule.yields_relevance else one.entered * gradient
        parts = (came, absorbed, left)
        return Flow(one.module, one.call, *(part.sum().view(1) for part in parts))


def _share(through: torch.Tensor, standard: torch.Tensor) -> float:
    """Share of relevance that goes through a layer, by the map of what does and the whole map."""
    inside, beside = float(through.detach().abs().sum()), float((standard - through).detach().abs().sum())
    return inside / (inside + beside) if inside + beside > 0 else 0.0


def _joined(clips: Sequence[Coverage]) -> Coverage:
    """Put clips together."""
    flows = tuple(
        Flow(
            same[0].module,
            same[0].call,
            *(torch.cat([getattr(flow, part) for flow in same]) for part in ("came", "absorbed", "left")),
        )
        for same in zip(*(clip.flows for clip in clips), strict=True)
    )
    through = {layer: sum(clip.through[layer] for clip in clips) / len(clips) for layer in clips[0].through}
    logits, arrived = (torch.cat([getattr(clip, part) for clip in clips]) for part in ("logits", "arrived"))
    return Coverage(logits, arrived, flows, through)
