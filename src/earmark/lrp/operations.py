"""Which operations of a network hand on all relevance by their own gradient, and which no rule covers.

An operation conserves relevance where its output is the sum of its inputs times its gradient by them: linear maps
without constants, selections such as max-pooling, and ReLU. Others are named, wherever they hide: sums do not find
them, for a gate moves the sum of relevance by little and a convolution that no module owns by nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from earmark.models.graph import ACTIVATIONS, LINEAR, NORMS, Call, Graph

CONSERVING = frozenset(
    """
    Add Sub Rsub Neg Sum Mean Cumsum
    Cat Stack Split SplitWithSizes UnsafeSplit UnsafeSplitWithSizes Unbind Select Slice Index IndexSelect Gather Where
    MaskedFill Topk Sort CopySlices CopyBackwards Copy ToCopy
    Alias AsStrided Clone Diagonal Expand Flip Im2Col Permute PixelShuffle PixelUnshuffle Repeat ReshapeAlias Roll
    Squeeze T Transpose Unfold UnsafeView Unsqueeze View
    Relu Max Min Amax Amin Maximum Minimum MaxPool2DWithIndices MaxPool3DWithIndices AdaptiveMaxPool2D
    AvgPool2D AvgPool3D AdaptiveAvgPool2D AdaptiveAvgPool3D
    ConstantPadNd ReflectionPad1D ReflectionPad2D ReplicationPad1D ReplicationPad2D
    UpsampleNearest1D UpsampleNearest2D UpsampleLinear1D UpsampleBilinear2D
    """.split()
)
"""Nodes of autograd's graph, as :func:`operation` names them."""


def _reads(node: Any, number: int) -> bool:
    """Whether an argument of a node depends on the network's input."""
    return node.next_functions[number][0] is not None


def is_zero(bound: Any) -> bool:
    """Whether a bound that a node keeps, a number or one for every cell, is 0."""
    return bound is not None and not torch.as_tensor(bound).any()


CONDITIONS: Mapping[str, Callable[[Any], bool]] = {
    "Mul": lambda node: not (_reads(node, 0) and _reads(node, 1)),
    "Div": lambda node: len(node.next_functions) == 1 or not _reads(node, 1),
    "Clamp": lambda node: is_zero(node._saved_min) and node._saved_max is None,
    "ClampMin": lambda node: is_zero(node._saved_min),
    "Threshold": lambda node: node._saved_threshold == 0,
}
"""Operations that conserve relevance under a condition: scaling by a constant, and ReLU by other names."""

NEVER_NEGATIVE = frozenset("Relu Threshold Sigmoid Hardsigmoid Softplus Softmax Exp".split())
"""Operations whose output is not negative, whatever they get."""

KEEPING_SIGNS = frozenset(
    """
    Sum Mean Cat Stack Split SplitWithSizes Unbind Select Slice Index IndexSelect Gather Topk Sort
    Alias AsStrided Clone Diagonal Expand Flip Permute PixelShuffle PixelUnshuffle Repeat ReshapeAlias Roll
    Squeeze T Transpose Unfold UnsafeView Unsqueeze View
    Max Min Amax Amin Maximum Minimum MaxPool2DWithIndices MaxPool3DWithIndices AdaptiveMaxPool2D
    AvgPool2D AvgPool3D AdaptiveAvgPool2D AdaptiveAvgPool3D ReflectionPad1D ReflectionPad2D ReplicationPad1D
    ReplicationPad2D UpsampleNearest1D UpsampleNearest2D UpsampleLinear1D UpsampleBilinear2D Add
    """.split()
)
"""Operations whose output is not negative where nothing that they get is."""

OWN: Mapping[tuple[type[nn.Module], ...], frozenset[str]] = {
    LINEAR: frozenset("Convolution MkldnnConvolution Addmm Mm Bmm Addmv Mv Linear MkldnnLinear".split()),
    NORMS: frozenset("NativeBatchNorm CudnnBatchNorm MiopenBatchNorm".split()),
}
"""Operations that modules with rules of their own are made of, beside those that conserve."""

IN_WORDS = {
    "Mul": "a product of two things that both depend on the input",
    "Div": "a division by something that depends on the input",
    "Clamp": "a clamp",
    "ClampMin": "a clamp",
    "Threshold": "a threshold",
    "Convolution": "a convolution that is no Conv1d or Conv2d module",
    "Addmm": "a matrix product that is no Linear module",
    "Mm": "a matrix product that is no Linear module",
    "Bmm": "a matrix product that is no Linear module",
    "Softmax": "a softmax",
    "LogSoftmax": "a softmax",
    "Sigmoid": "a sigmoid",
    "Tanh": "a tanh",
    "Gelu": "a GELU",
    "Silu": "a SiLU",
    "LeakyRelu": "a leaky ReLU",
    "Hardtanh": "a ReLU with an upper bound",
    "Glu": "a gated linear unit",
    "NativeLayerNorm": "a layer normalisation",
    "NativeGroupNorm": "a group normalisation",
    "NativeBatchNorm": "a normalisation by the input's own statistics",
    "CudnnBatchNorm": "a normalisation by the input's own statistics",
    "MkldnnRnnLayer": "a recurrent layer",
    "CudnnRnn": "a recurrent layer",
    "ThnnFusedLstmCell": "a recurrent layer",
}


def operation(node: Any) -> str:
    """Name a node of autograd's graph by what it does: ``Mul`` for ``MulBackward0``."""
    return re.sub(r"Backward\d*$", "", node.name().rsplit("::", 1)[-1])


def in_words(name: str) -> str:
    """Say what an operation that no rule covers is."""
    return "attention" if name.startswith("ScaledDotProduct") else IN_WORDS.get(name, f"the operation {name}")


def conserves(node: Any) -> bool:
    """Whether an operation hands on all relevance by its own gradient."""
    name = operation(node)
    condition = CONDITIONS.get(name)
    return condition(node) if condition else name in CONSERVING


def is_rectified(node: Any) -> bool:
    """Whether what a node gives is never negative, whatever the network's input: by what it is made of."""
    name = operation(node)
    if name in NEVER_NEGATIVE or (name in ("Clamp", "ClampMin") and is_zero(node._saved_min)):
        return True
    sources = [source for source, _ in node.next_functions]
    return name in KEEPING_SIGNS and bool(sources) and all(source and is_rectified(source) for source in sources)


def uncovered(graph: Graph) -> list[str]:
    """Name what no rule covers in a network, with the first module in whose forward pass it stands.

    Parameters
    ----------
    graph : Graph
        Of the network, its weights without gradients.

    Returns
    -------
    list of str
        Such as ``a softmax in 'encoder.attention' (MultiheadAttention)``; empty if LRP covers all of it.
    """
    if graph.end is None:
        return ["logits that autograd cannot follow back to the input (torch.no_grad, detach or NumPy in forward)"]
    owners = graph.owners()
    found: dict[tuple[str, ...], list[str]] = {}  # modules by what they do, in the order of the pass
    what: dict[str, dict[str, None]] = {}
    nodes = {node for reading in graph.readers.values() for node in reading}
    for node in sorted(nodes, key=lambda node: node._sequence_nr()):
        owner = owners.get(node)
        if not conserves(node) and not (owner and _by_rule(owner, node)):
            what.setdefault(_place(owner), {})[in_words(operation(node))] = None
    for place, operations in what.items():
        found.setdefault(tuple(operations), []).append(place)
    return [f"{_listed(operations)} in {_few(places)}" for operations, places in found.items()]


def _place(owner: Call | None) -> str:
    """Name the module in whose forward pass an operation stands."""
    return f"{owner.name!r} ({type(owner.module).__name__})" if owner and owner.name else "the network's own forward"


def _few(places: Sequence[str]) -> str:
    """Name the first of several."""
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"


def _by_rule(call: Call, node: Any) -> bool:
    """Whether an operation belongs to a module that has a rule."""
    if isinstance(call.module, NORMS) and call.module.running_mean is None:
        return False
    if isinstance(call.module, ACTIVATIONS):
        return True
    return any(isinstance(call.module, kinds) and operation(node) in names for kinds, names in OWN.items())


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
