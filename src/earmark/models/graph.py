"""Which module of a network reads what, found by running it once; and what follows from it for layers and rules.

A value is named by where it comes from in autograd's graph, so that neither the order in which modules are defined,
nor operations in place, nor modules that are called twice can mislead.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from earmark.errors import EarmarkError

LINEAR = (nn.Conv1d, nn.Conv2d, nn.Linear)

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.PReLU,
    nn.RReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
)
"""Functions of each cell by itself whose gradient is not what they pass on; ReLU's is."""

RESHAPING = frozenset(
    f"{name}Backward0"
    for name in ("Alias", "Clone", "Permute", "ReshapeAlias", "Squeeze", "T", "Transpose", "UnsafeView", "View")
) | frozenset({"SqueezeBackward1", "SqueezeBackward2", "UnsqueezeBackward0"})
"""Nodes of autograd's graph that hand on their input's cells, whatever their order."""


class Value(NamedTuple):
    """An output of a node of autograd's graph."""

    node: Any
    number: int


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes
    ----------
    name : str
        The module's qualified name.
    module : torch.nn.Module
        The module.
    number : int
        Which of its calls this is, from 0.
    reads : tuple of Value
        Inputs that depend on the network's input.
    gives : Value or None
        The output; None if it is no tensor, or does not depend on the network's input.
    outputs : tuple of Value
        The output, or the tensors in it, that depend on the network's input.
    least : float
        Smallest value of a linear module's input; NaN for others.
    shape : tuple of int
        Of the output; empty if it is no tensor.
    """

    name: str
    module: nn.Module
    number: int
    reads: tuple[Value, ...]
    gives: Value | None
    outputs: tuple[Value, ...]
    least: float
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Size of the output's second axis; 0 without one."""
        return self.shape[1] if len(self.shape) > 1 else 0

    @property
    def is_identity(self) -> bool:
        """Whether the module hands on its input as it is."""
        return self.gives in self.reads

    def nodes(self) -> set[Any]:
        """Collect the nodes of autograd's graph that the call adds."""
        found: set[Any] = set()
        waiting = [value.node for value in self.outputs if value not in self.reads]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += [value.node for value in _inputs(node) if value not in self.reads]
        return found


class Place(NamedTuple):
    """Where a layer's activations are: the output of one call of one module."""

    module: str
    call: int


@dataclass(frozen=True)
class Graph:
    """What happened in one pass of an input through a network.

    Attributes
    ----------
    start : Value
        The input.
    calls : tuple of Call
        Of all modules below the network itself, and of the network if it has none, in the order in which they end.
    readers : dict of Value to set
        Nodes that read a value, of those that the logits depend on.
    end : Value or None
        The logits; None if they do not depend on the input.
    """

    start: Value
    calls: tuple[Call, ...]
    readers: dict[Value, set[Any]]
    end: Value | None

    @property
    def leaves(self) -> list[Call]:
        """Calls of modules that hold no others."""
        return [call for call in self.calls if not any(True for _ in call.module.children())]

    def _once(self, module: nn.Module) -> bool:
        return sum(call.module is module for call in self.calls) == 1

    @property
    def layers(self) -> dict[str, int]:
        """Channels of every module whose output has some, by qualified name."""
        return {call.name: call.channels for call in self.calls if call.gives and call.channels}

    def owners(self) -> dict[Any, Call]:
        """Find the innermost call that each node of autograd's graph was made in; nodes of no module have none."""
        owners: dict[Any, Call] = {}
        for call in self.calls:  # the inner end first
            for node in call.nodes():
                owners.setdefault(node, call)
        return owners

    def input_readers(self) -> list[str]:
        """Name the modules that read the network's input, or the operations where no module does."""
        owners = {node: call.name for call in self.leaves for node in call.nodes()}
        nodes = self.readers.get(self.start, set())
        return sorted({owners.get(node, f"the operation {node.name().removesuffix('Backward0')}") for node in nodes})

    def sole_reader(self, value: Value | None) -> Call | None:
        """Find the call that is alone in reading a value, and reads nothing else."""
        readers = self.readers.get(value, set()) if value else set()
        for call in self.leaves:
            if call.reads == (value,) and readers and readers <= call.nodes():
                return call
        return None

    def way_in(self) -> list[Call]:
        """List the modules that the whole input enters by, cell by cell: normalisations, if any, and a linear module.

        Empty where anything else reads the input or changes it.
        """
        value, passed = self.start, []
        while True:
            reader = self.sole_reader(value)
            nodes = list(self.readers.get(value, ()))
            if reader and reader.gives and isinstance(reader.module, (*LINEAR, *NORMS)) and self._once(reader.module):
                passed.append(reader)
                if isinstance(reader.module, LINEAR):
                    return passed
                value = reader.gives
            elif len(nodes) == 1 and nodes[0].name() in RESHAPING:
                value = Value(nodes[0], 0)
            else:
                return []

    def entry(self) -> Call | None:
        """Find the linear module that alone reads the network's input; normalisations may stand before it."""
        passed = self.way_in()
        return passed[-1] if passed else None

    def place(self, layer: str, offered: Iterable[str]) -> Place:
        """Find where a layer's activations are.

        A layer is a module, its activations the output of its last call. A linear module and the batch normalisation
        that is alone in reading it are one layer; where a ReLU is alone in reading that, it is the ReLU's output.

        Parameters
        ----------
        layer : str
            Qualified name of a module.
        offered : iterable of str
            Layers to name where there is no such one.

        Returns
        -------
        Place
            Of the layer.

        Raises
        ------
        EarmarkError
            If no such module was called, or its output is no tensor with channels.
        """
        call = next((call for call in reversed(self.calls) if call.name == layer), None)
        if call is None or call.gives is None or not call.channels:
            raise EarmarkError(f"the model has no layer {layer!r} to explain; it has {', '.join(offered)}")
        end = self._end(call)
        return Place(end.name, end.number)

    def is_rectified(self, module: nn.Module) -> bool:
        """Whether all that a linear module gives is read by ReLUs alone, normalised or not."""
        return all(isinstance(self._end(call).module, nn.ReLU) for call in self.calls if call.module is module)

    def _end(self, call: Call) -> Call:
        """Find the call whose output a call stands for."""
        for kinds, follower in ((LINEAR, NORMS), ((*LINEAR, *NORMS), nn.ReLU)):
            reader = self.sole_reader(call.gives) if isinstance(call.module, kinds) else None
            if reader and isinstance(reader.module, follower):
                call = reader
        return call

    def normalised(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pair every linear module with the batch normalisation that is alone in reading it; both are called once."""
        pairs: list[tuple[nn.Module, nn.Module]] = []
        for call in self.leaves:
            reader = self.sole_reader(call.gives) if isinstance(call.module, LINEAR) else None
            fixed = reader and isinstance(reader.module, NORMS) and reader.module.running_mean is not None
            if reader and fixed and self._once(call.module) and self._once(reader.module):
                pairs.append((call.module, reader.module))
        return pairs


def _inputs(node: Any) -> list[Value]:
    return [Value(*pair) for pair in node.next_functions if pair[0] is not None]


def _tensors(whole: Any) -> Iterator[torch.Tensor]:
    """List the tensors in nested sequences and mappings."""
    if isinstance(whole, torch.Tensor):
        yield whole
    elif isinstance(whole, Mapping):
        yield from _tensors(list(whole.values()))
    elif isinstance(whole, tuple | list):
        for part in whole:
            yield from _tensors(part)


def _values(whole: Any) -> tuple[Value, ...]:
    values = (_value(tensor) for tensor in _tensors(whole))
    return tuple(value for value in values if value)


def _value(tensor: Any) -> Value | None:
    known = isinstance(tensor, torch.Tensor) and tensor.grad_fn is not None
    return Value(tensor.grad_fn, tensor.output_nr) if known else None


@torch.inference_mode(False)
def probed(network: nn.Module, inputs: torch.Tensor) -> Graph:
    """Run a network once and note what its modules read and give.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; left as it is.
    inputs : torch.Tensor
        ``[B, *I]``; one clip is enough. None at all: noise stands for one.

    Raises
    ------
    EarmarkError
        If a linear module is given its input by keyword alone, which the hooks of rules do not see.
    """
    noise = torch.randn(1, *inputs.shape[1:], generator=torch.Generator().manual_seed(0))
    clips = inputs if len(inputs) else noise.to(inputs)
    calls: list[Call] = []
    begun: list[tuple[tuple[Value, ...], float]] = []  # of the calls that have not ended, the innermost last

    def begin(name: str, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if isinstance(module, LINEAR) and not arguments:
            raise EarmarkError(
                f"{name or 'the network'} is given its input by keyword, where it cannot be followed; call it by "
                "position, as in self.layer(x)"
            )
        least = float(arguments[0].detach().min()) if isinstance(module, LINEAR) else math.nan
        begun.append((_values([arguments, named]), least))

    def end(name: str, module: nn.Module, output: Any) -> None:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else ()
        number = sum(call.module is module for call in calls)
        reads, least = begun.pop()
        calls.append(Call(name, module, number, reads, _value(output), _values(output), least, shape))

    handles = []
    for name, module in network.named_modules():
        if name or not any(True for _ in network.children()):
            handles.append(module.register_forward_pre_hook(functools.partial(begin, name), with_kwargs=True))
            handles.append(module.register_forward_hook(lambda m, _, output, name=name: end(name, m, output)))
    try:
        with torch.enable_grad():
            entered = clips.detach().clone().requires_grad_().clone()
            start = Value(entered.grad_fn, entered.output_nr)
            logits = network(entered)
    finally:
        for handle in handles:
            handle.remove()
    return Graph(start, tuple(calls), _readers(logits), _value(logits))


def _readers(logits: torch.Tensor) -> dict[Value, set[Any]]:
    readers: dict[Value, set[Any]] = {}
    for node in nodes_before(logits):
        for value in _inputs(node):
            readers.setdefault(value, set()).add(node)
    return readers


def nodes_before(tensor: torch.Tensor) -> set[Any]:
    """Collect the nodes of autograd's graph that a tensor was computed by."""
    found: set[Any] = set()
    waiting = [tensor.grad_fn] if tensor.grad_fn is not None else []
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [value.node for value in _inputs(node)]
    return found


@torch.inference_mode(False)
def unparametrised(network: nn.Module) -> nn.Module:
    """Copy a network for evaluation, weights that are computed of others (weight norm) being what they come to."""
    copied = copy.deepcopy(network).eval()
    for module in list(copied.modules()):
        for name in list(getattr(module, "parametrizations", ())):
            parametrize.remove_parametrizations(module, name)
    return copied


@torch.inference_mode(False)
def fused(network: nn.Module, inputs: torch.Tensor) -> tuple[nn.Module, Graph]:
    """Copy a network in evaluation mode, batch normalisations fused into the linear modules that they alone read.

    Parameters
    ----------
    network : torch.nn.Module
        The network; left untouched.
    inputs : torch.Tensor
        As in :func:`probed`.

    Returns
    -------
    network : torch.nn.Module
        The same function of its input, up to rounding, without gradients of its weights; identities stand where batch
        normalisations stood, and weights that are computed of others (weight norm) are what they come to.
    graph : Graph
        Of the network as it was. Names and numbers of calls hold for the copy too.
    """
    copied = unparametrised(network).requires_grad_(False)
    graph = probed(copied, inputs)
    for module, norm in graph.normalised():
        fuse: Any = fuse_linear_bn_eval if isinstance(module, nn.Linear) else fuse_conv_bn_eval
        replace(copied, module, fuse(module, norm))
        replace(copied, norm, nn.Identity())
    return copied, graph


def replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in another's place, under every name that it goes by."""
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if module is old:
            network.set_submodule(name, new)


class Watched(NamedTuple):
    """A layer's output in a pass, and what came of it."""

    activations: torch.Tensor
    logits: torch.Tensor


def watched(network: nn.Module, inputs: torch.Tensor, place: Place) -> Watched:
    """Run a network and keep a layer's output in autograd's graph.

    What comes behind the layer gets a copy, so that operations in place leave the output alone. Hooks that the module
    has already come first.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    inputs : torch.Tensor
        ``[B, *I]``.
    place : Place
        The layer.

    Returns
    -------
    activations, logits : torch.Tensor
        ``[B, D, *grid]``, a leaf of the graph if the inputs require no gradient; and ``[B, C]``.
    """
    outputs: list[torch.Tensor] = []

    def watch(module: nn.Module, arguments: Any, output: torch.Tensor) -> torch.Tensor:
        if len(outputs) == place.call and torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        outputs.append(output)
        return output.clone() if len(outputs) == place.call + 1 else output

    with _hooked(network.get_submodule(place.module), watch):
        logits = network(inputs)
    return Watched(outputs[place.call], logits)


class Hidden(NamedTuple):
    """What several layers gave in a pass, and what came of it."""

    activations: tuple[torch.Tensor, ...]
    logits: torch.Tensor


def hidden(network: nn.Module, inputs: torch.Tensor, places: Sequence[Place]) -> Hidden:
    """Run a network and keep the outputs of several layers.

    Parameters
    ----------
    network : torch.nn.Module
        The network; in autograd's graph as far as its weights or the inputs are.
    inputs : torch.Tensor
        ``[B, *I]``.
    places : sequence of Place
        The layers.

    Returns
    -------
    activations : tuple of torch.Tensor
        ``[B, D, *grid]`` each, in the order of the places.
    logits : torch.Tensor
        ``[B, C]``.
    """
    outputs: dict[str, list[torch.Tensor]] = {place.module: [] for place in places}

    def watch(module: nn.Module, arguments: Any, output: torch.Tensor, name: str) -> torch.Tensor:
        outputs[name].append(output)
        return output.clone()  # what comes behind the layer may change it in place

    with ExitStack() as stack:
        for name in outputs:
            stack.enter_context(_hooked(network.get_submodule(name), functools.partial(watch, name=name)))
        logits = network(inputs)
    return Hidden(tuple(outputs[place.module][place.call] for place in places), logits)


@contextmanager
def _hooked(module: nn.Module, hook: Any) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
