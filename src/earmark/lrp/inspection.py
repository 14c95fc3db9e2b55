"""What LRP can do with a network, looked at on a few inputs, and the rules and layers that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.lrp.coverage import THROUGH, Coverage, covered
from earmark.lrp.rules import Rules, from_config, is_input_independent
from earmark.lrp.suggest import suggested
from earmark.models.graph import ACTIVATIONS, LINEAR, NORMS, Call, Graph, Value, fused
from earmark.plan.config import AUTO

LAYERS = 4
"""Layers that are suggested, at most."""


@dataclass(frozen=True)
class Layer:
    """A module that a network calls.

    Attributes
    ----------
    layer, module : str
        Qualified name, and type.
    output : str
        Shape of its output for one input, such as ``8x16x16``.
    channels : int
        Of its output; 0: it cannot be explained.
    rule : str
        That it would take; empty where relevance follows the gradient.
    absorbed : float or None
        Mean share of the logit's size that its bias keeps, either way; None where it has no rule of its own.
    through : float or None
        Share of relevance that goes through it; None where it is not known.
    note : str
        What else a user should know of it.
    """

    layer: str
    module: str
    output: str
    channels: int
    rule: str
    absorbed: float | None
    through: float | None
    note: str


@dataclass(frozen=True)
class Inspection:
    """A network under rules that fit it.

    Attributes
    ----------
    layers : tuple of Layer
        All modules that are called, in the order in which they end.
    rules : list of dict
        Entries of ``lrp.rules``.
    offered : tuple of str
        Layers to explain that as good as all relevance goes through, the last ones.
    coverage : Coverage or None
        None where LRP does not cover the network.
    faults : tuple of str
        Why LRP cannot explain it, a sentence each; empty if it can.
    """

    layers: tuple[Layer, ...]
    rules: list[dict[str, Any]]
    offered: tuple[str, ...]
    coverage: Coverage | None
    faults: tuple[str, ...]


def inspected(network: nn.Module, inputs: torch.Tensor) -> Inspection:
    """Look at a network under the rules that fit it.

    Parameters
    ----------
    network : torch.nn.Module
        The network; left untouched.
    inputs : torch.Tensor
        A few inputs, ``[B, *I]``.

    Raises
    ------
    EarmarkError
        If its forward works only where no gradients are recorded.
    """
    try:
        _, graph = fused(network, inputs)
    except RuntimeError as error:
        line = str(error).partition("\n")[0]
        raise EarmarkError(
            f"LRP cannot follow the network's answer back to its input: {line}; let forward compute in PyTorch alone"
        ) from error
    entries = suggested(graph, inputs.shape[1:])
    rules = from_config({"lrp": {"rules": AUTO}}).fitted(entries)
    coverage, faults = _coverage(network, inputs, rules)
    last = {call.name: call for call in graph.calls if call.name}
    layers = tuple(_layer(graph, call, rules, coverage) for call in last.values())
    return Inspection(layers, entries, _offered(graph, coverage), coverage, faults)


def _coverage(network: nn.Module, inputs: torch.Tensor, rules: Rules) -> tuple[Coverage | None, tuple[str, ...]]:
    try:
        coverage = covered(network, inputs, rules)
    except EarmarkError as error:
        return None, (str(error),)
    fault = coverage.fault()
    return coverage, (fault,) if fault else ()


def _layer(graph: Graph, call: Call, rules: Rules, coverage: Coverage | None) -> Layer:
    through = coverage.through.get(call.name) if coverage else None
    channels = call.channels if call.gives else 0
    output = "x".join(map(str, call.shape[1:]))
    kind = type(call.module).__name__
    rule, absorbed = _rule(graph, call, rules), _absorbed(call.name, coverage)
    return Layer(call.name, kind, output, channels, rule, absorbed, through, _note(graph, call, channels))


def _rule(graph: Graph, call: Call, rules: Rules) -> str:
    """Say which rule a module takes."""
    if isinstance(call.module, NORMS):
        if _before(graph, call):
            return ""
        return "handed on" if is_input_independent(graph, rules) and call in graph.way_in() else "epsilon"
    if not isinstance(call.module, (*LINEAR, *ACTIVATIONS)):
        return ""
    rule, gamma = rules.chosen(call.name, call.module)
    return f"{rule} {gamma:g}" if gamma else rule


def _absorbed(name: str, coverage: Coverage | None) -> float | None:
    flows = [flow for flow in coverage.flows if flow.module == name] if coverage else []
    if coverage is None or not flows:
        return None
    absorbed = torch.stack([flow.absorbed for flow in flows]).sum(dim=0)  # [B]
    return float((absorbed.abs() / coverage.logits.abs()).mean())


def _before(graph: Graph, call: Call) -> str | None:
    """Name the linear module that a batch normalisation is fused into."""
    names = {id(other.module): other.name for other in graph.calls}
    return next((names[id(module)] for module, norm in graph.normalised() if norm is call.module), None)


def _note(graph: Graph, call: Call, channels: int) -> str:
    """Say what is particular about a module."""
    times = sum(other.name == call.name for other in graph.calls)
    fused_into = _before(graph, call)
    notes = [f"called {times} times, the last is the layer"] if times > 1 else []
    notes += [f"fused into {fused_into}"] if fused_into else []
    if channels:
        place = graph.place(call.name, ())
        notes += [f"taken after {place.module}"] if place.module != call.name else []
    else:
        notes.append("no single tensor with channels")
    return "; ".join(notes)


def _offered(graph: Graph, coverage: Coverage | None) -> tuple[str, ...]:
    """Choose layers to explain: convolutions and blocks on a grid that as good as all relevance goes through."""
    at = {(call.name, call.number): call.gives for call in graph.calls}
    found: dict[Value | None, str] = {}  # by value: a block gives what the last module in it does
    for call in graph.calls:
        block = any(True for _ in call.module.children())
        convolution = isinstance(call.module, LINEAR) and not isinstance(call.module, nn.Linear)
        through = coverage.through.get(call.name, 0.0) if coverage else 0.0
        if through >= THROUGH and (block or convolution) and len(call.shape) > 2:
            found.setdefault(at[graph.place(call.name, ())], call.name)
    return tuple(found.values())[-LAYERS:]


def written(inspection: Inspection) -> str:
    """Write what was found as text: the table, the sums, and a configuration to paste."""
    parts = [_table(inspection.layers)] if inspection.layers else []
    if inspection.coverage is not None:
        parts.append(_sums(inspection.coverage))
    if not inspection.faults:
        parts.append(_configuration(inspection))
    return "\n\n".join(parts) + "\n"


def _table(layers: Sequence[Layer]) -> str:
    head = ["layer", "module", "output", "channels", "explained", "rule", "bias takes", "goes through", "note"]
    rows = [
        [
            layer.layer,
            layer.module,
            layer.output,
            str(layer.channels or ""),
            "no" if layer.through is None else "yes",
            layer.rule,
            _percent(layer.absorbed),
            _percent(layer.through),
            layer.note,
        ]
        for layer in layers
    ]
    return _columns([head, *rows])


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _sums(coverage: Coverage) -> str:
    parts = (coverage.logits, coverage.arrived, coverage.absorbed)
    numbers = zip(*(part.tolist() for part in parts), coverage.lost.tolist(), strict=True)
    rows = [
        [str(clip), *(f"{value:.5g}" for value in values), f"{lost:.1e}"]
        for clip, (*values, lost) in enumerate(numbers, start=1)
    ]
    return _columns([["clip", "logit", "arrived", "absorbed", "lost"], *rows])


def _configuration(inspection: Inspection) -> str:
    """Write rules and layers as YAML."""
    rules = [
        "  - {" + ", ".join(f"{key}: {_quoted(value)}" for key, value in entry.items()) + "}"
        for entry in inspection.rules
    ]
    lines = ["lrp:", "  rules:", *(f"  {rule}" for rule in rules)]
    if inspection.offered:
        lines += ["grid:", f"  layers: [{', '.join(map(_quoted, inspection.offered))}]"]
    return "\n".join(lines)


def _quoted(value: Any) -> str:
    """Quote what YAML would not take for text, as patterns and numbers."""
    plain = not isinstance(value, str) or (value[0].isalpha() and value.replace("_", "").replace(".", "").isalnum())
    return str(value) if plain else f'"{value}"'
