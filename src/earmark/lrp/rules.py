"""Layer-wise relevance propagation by modified gradients.

Every rule here has the form ``R_j = a_j c_j`` with ``c_j = sum_k w'_jk (z_k c_k) / z'_k``, where ``z`` is
the layer's own pre-activation, ``w'`` and ``z' = sum_j a_j w'_jk + b'`` are the rule's (eq. 3.1, 3.2). So a rule
needs no backward code: in the forward pass a hook replaces the layer's output by a tensor of the same value
whose gradient is the rule's, ``z' (z / z')`` with the bracket held constant, and one ordinary backward pass
yields the contexts ``c`` of any layer, also where ``a = 0``. What has no rule passes contexts on by its own gradient
(:mod:`earmark.lrp.operations`): ReLU, sums, pooling; for max-pooling that is the winner-takes-all rule.

The first layer's rules do not depend on the input (Flat, w^2: eq. B.2, B.1); there the gradient with
respect to the input is the relevance itself.
"""

from __future__ import annotations

import abc
import copy
import fnmatch
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.lrp.hooks import Composite, Hook
from earmark.lrp.operations import uncovered
from earmark.models.graph import ACTIVATIONS, LINEAR, NORMS, Call, Graph
from earmark.plan import config


def stabilised(denominator: torch.Tensor, stabilizer: float) -> torch.Tensor:
    """Push a denominator away from 0 by ``sign(z) * stabilizer``, with sign(0) = +."""
    return denominator + torch.where(denominator < 0, -stabilizer, stabilizer)


class _SameValue(torch.autograd.Function):
    """Hand on `value` itself, and send its gradient to `carrier`.

    It is declared to be changed, so that what follows may change it in place: no carrier keeps the module's output.
    """

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, carrier: torch.Tensor) -> torch.Tensor:
        ctx.mark_dirty(value)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, grads[0]


class PropagationRule(Hook, abc.ABC):
    """A rule as a zennit hook that acts in the forward pass and leaves the backward pass to autograd.

    Attributes
    ----------
    modules : tuple of type
        What it is a rule for.
    takes_relevance, yields_relevance : bool
        Whether the gradient by its output, or by its input, is the relevance itself, not the context.
    """

    modules: ClassVar[tuple[type[nn.Module], ...]] = LINEAR
    takes_relevance: ClassVar[bool] = False
    yields_relevance: ClassVar[bool] = False

    def __init__(self, stabilizer: float) -> None:
        super().__init__()
        self.stabilizer = stabilizer

    @abc.abstractmethod
    def carrier(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Return a tensor that broadcasts to `output` and whose gradient by `activation` is the rule's."""

    @abc.abstractmethod
    def absorbed(
        self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor, contexts: torch.Tensor
    ) -> torch.Tensor:
        """Return what relevance the bias and the stabiliser keep of each output, of the shape of `output`."""

    def pre_forward(self, module: nn.Module, input: tuple[torch.Tensor, ...]) -> None:
        """Leave the input as it is: no backward hook is needed."""

    def post_forward(self, module: nn.Module, input: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Leave the output to :meth:`forward`."""

    def forward(self, module: nn.Module, input: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        """Replace the module's output by one of equal value that carries the rule, where relevance is to pass."""
        if not output.requires_grad:
            return output
        return _SameValue.apply(output.detach(), self.carrier(module, input[0], output))

    @classmethod
    def made(cls, stabilizer: float, gamma: float) -> PropagationRule:
        """Make a rule of what a configuration gives."""
        return cls(stabilizer)

    def copy(self) -> PropagationRule:
        """Return a rule of the same parameters for another module."""
        return type(self)(self.stabilizer)


class _Shared(PropagationRule):
    """A rule that shares relevance by what each input adds to a pre-activation, the layer's own or a modified one."""

    @abc.abstractmethod
    def modified(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Compute the pre-activation that inputs are weighed by, for the layer's own `output`."""

    def constant(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Compute what of :meth:`modified` no input adds."""
        return self.modified(module, torch.zeros_like(activation), output)

    def carrier(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Scale the modified pre-activation to the layer's own."""
        modified = self.modified(module, activation, output)
        return modified * (output / stabilised(modified, self.stabilizer)).detach()

    def absorbed(
        self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor, contexts: torch.Tensor
    ) -> torch.Tensor:
        """Share relevance with the bias, and with what the denominator was pushed by."""
        modified = self.modified(module, activation, output)
        denominator = stabilised(modified, self.stabilizer)
        kept = denominator - modified + self.constant(module, activation, output)
        return contexts * output * kept / denominator


class Epsilon(_Shared):
    """LRP-epsilon (eq. 2.11), the stabiliser being its epsilon."""

    modules = (*LINEAR, *NORMS)

    def modified(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Take the layer's own output."""
        return output

    def constant(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Compute the layer's answer to nothing."""
        return _twin(module, torch.Tensor.detach)(torch.zeros_like(activation))


class Gamma(_Shared):
    """LRP-gamma for non-negative activations: ``w + gamma w+`` in numerator and denominator.

    Eq. 2.12 is misprinted; see Montavon et al. 2019, "Layer-wise relevance propagation: an overview".
    The bias is a weight of an activation of 1 and is modified like the others.

    Parameters
    ----------
    stabilizer : float
        Of the denominator.
    gamma : float
        How much more weights count that agree with the output's sign.
    signed : bool
        Whether relevance comes from negative outputs too, as where no ReLU follows: these favour ``w-``.
    """

    def __init__(self, stabilizer: float, gamma: float, signed: bool = False) -> None:
        super().__init__(stabilizer)
        self.gamma, self.signed = gamma, signed

    def modified(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Compute the pre-activation of the modified layer once, in the forward pass."""
        modified = _twin(module, lambda parameter: parameter + self.gamma * parameter.clamp_min(0))(activation)
        if self.signed:
            negative = _twin(module, lambda parameter: parameter + self.gamma * parameter.clamp_max(0))(activation)
            modified = torch.where(output < 0, negative, modified)
        return modified

    @classmethod
    def made(cls, stabilizer: float, gamma: float) -> PropagationRule:
        """Make a rule of what a configuration gives: gamma counts."""
        return cls(stabilizer, gamma)

    def copy(self) -> Gamma:
        """Return a rule of the same parameters for another module."""
        return type(self)(self.stabilizer, self.gamma, self.signed)


class GeneralisedGamma(_Shared):
    """LRP-gamma for activations of either sign (Andéol et al. 2021): what agrees with the output's sign counts more.

    For non-negative activations it is :class:`Gamma`, at twice to four times the cost.

    Parameters
    ----------
    stabilizer : float
        Of the denominator.
    gamma : float
        How much more contributions count that agree with the output's sign.
    """

    def __init__(self, stabilizer: float, gamma: float) -> None:
        super().__init__(stabilizer)
        self.gamma = gamma

    def modified(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Add, for either sign of the output, what activations of either sign give by modified weights."""
        above, below = (torch.where((activation < 0) == negative, activation, 0) for negative in (False, True))
        positive, negative = (
            _twin(module, lambda weight, clamp=clamp: weight + self.gamma * clamp(weight, 0))(first)
            + _twin(module, lambda weight, clamp=other: weight + self.gamma * clamp(weight, 0), bias=False)(second)
            for clamp, other, first, second in (
                (torch.clamp_min, torch.clamp_max, above, below),
                (torch.clamp_max, torch.clamp_min, above, below),
            )
        )
        return torch.where(output < 0, negative, positive)

    @classmethod
    def made(cls, stabilizer: float, gamma: float) -> PropagationRule:
        """Make a rule of what a configuration gives: gamma counts."""
        return cls(stabilizer, gamma)

    def copy(self) -> GeneralisedGamma:
        """Return a rule of the same parameters for another module."""
        return type(self)(self.stabilizer, self.gamma)


class Pass(PropagationRule):
    """Relevance of a cell's function is relevance of the cell: ``c_in = (y / x) c_out``, its limit where x is 0."""

    modules = ACTIVATIONS

    def pre_forward(self, module: nn.Module, input: tuple[torch.Tensor, ...]) -> None:
        """Keep the input, which the module may write over."""
        self.stored_tensors["input"] = input[0].clone()

    def forward(self, module: nn.Module, input: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        """Replace the output as other rules do."""
        return super().forward(module, (self.stored_tensors.pop("input"),), output)

    def carrier(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Scale the input to the output."""
        return activation * self._ratio(module, activation.detach())

    def absorbed(
        self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor, contexts: torch.Tensor
    ) -> torch.Tensor:
        """Keep what is given where nothing comes in, as by a sigmoid."""
        return contexts * (output - activation * self._ratio(module, activation))

    def _ratio(self, module: nn.Module, activation: torch.Tensor) -> torch.Tensor:
        """Divide output by input, both taken a stabiliser away from 0 where they are nearer to it."""
        signs = torch.where(activation < 0, -self.stabilizer, self.stabilizer)
        away = torch.where(activation.abs() < self.stabilizer, signs, activation)
        return _twin(module, torch.Tensor.detach)(away.clone()) / away


class _HandedOn(PropagationRule):
    """Relevance of a normalisation of the input is that of the cell, where what comes down is relevance itself."""

    modules = NORMS
    takes_relevance = yields_relevance = True

    def carrier(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Take the place of the output."""
        return activation

    def absorbed(
        self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor, contexts: torch.Tensor
    ) -> torch.Tensor:
        """Keep nothing."""
        return torch.zeros_like(output)


class _InputIndependent(PropagationRule):
    """A first layer's rule that shares relevance by weights alone and ignores the bias."""

    yields_relevance = True

    @staticmethod
    @abc.abstractmethod
    def weight(parameter: torch.Tensor, groups: int) -> torch.Tensor:
        """Return the weights that relevance is shared by, of a layer whose channels lie in groups."""

    def carrier(self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Share the relevance of every output over the inputs that it sees."""
        shares = self._shares(module)
        scale = (output / stabilised(self._total(shares, activation), self.stabilizer)).detach()
        if _folds(module):
            return _Folded.apply(activation, scale, shares)
        return shares(activation) * scale

    def absorbed(
        self, module: nn.Module, activation: torch.Tensor, output: torch.Tensor, contexts: torch.Tensor
    ) -> torch.Tensor:
        """Keep what the denominator was pushed by: all, where an output sees nothing."""
        total = self._total(self._shares(module), activation)
        denominator = stabilised(total, self.stabilizer)
        return contexts * output * (denominator - total) / denominator

    def _shares(self, module: nn.Module) -> nn.Module:
        groups = getattr(module, "groups", 1)
        return _twin(module, lambda parameter: self.weight(parameter, groups), bias=False)

    @staticmethod
    def _total(shares: nn.Module, activation: torch.Tensor) -> torch.Tensor:
        """Add up the shares of every output, [1, D or 1, h, w]."""
        return shares(torch.ones_like(activation[:1]))


class _Folded(torch.autograd.Function):
    """Stand for ``shares(activation) * scale`` where only the gradient counts.

    Convolutions' backward pass is slow for a single input channel, as spectrograms have. A matrix product and a
    fold of its rows, one per cell of the kernel, are the same sum five times as fast.
    """

    @staticmethod
    def forward(ctx: Any, activation: torch.Tensor, scale: torch.Tensor, shares: nn.Conv2d) -> torch.Tensor:
        ctx.save_for_backward(scale)
        ctx.shares, ctx.shape = shares, activation.shape[2:]
        return scale.view_as(scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        shares, scaled = ctx.shares, grads[0] * ctx.saved_tensors[0]  # [B, D, h, w]
        weight = shares.weight.flatten(1).T  # [cells, D or 1]
        if weight.shape[1] == 1:
            scaled = scaled.sum(dim=1, keepdim=True)
        rows = torch.matmul(weight, scaled.flatten(2))  # [B, cells, h w]
        return (
            nn.functional.fold(rows, ctx.shape, shares.kernel_size, shares.dilation, _padding(shares), shares.stride),
            None,
            None,
        )


def _padding(module: nn.Conv2d) -> tuple[int, ...]:
    """Cells added on either side of each dimension."""
    if isinstance(module.padding, str):
        spans = zip(module.kernel_size, module.dilation, strict=True)
        return tuple((size - 1) * dilation // 2 if module.padding == "same" else 0 for size, dilation in spans)
    return tuple(module.padding)


def _folds(module: nn.Module) -> bool:
    """Say whether a layer is a convolution of one channel, padded with zeros and evenly."""
    if not isinstance(module, nn.Conv2d) or module.in_channels != 1 or module.padding_mode != "zeros":
        return False
    spans = zip(module.kernel_size, module.dilation, strict=True)
    return module.padding != "same" or all((size - 1) * dilation % 2 == 0 for size, dilation in spans)


class Flat(_InputIndependent):
    """LRP-Flat (eq. B.2): equal shares for all inputs in the receptive field."""

    @staticmethod
    def weight(parameter: torch.Tensor, groups: int) -> torch.Tensor:
        """All ones; equal for all outputs of one group, so that one output channel stands for all."""
        return torch.ones_like(parameter if groups > 1 else parameter[:1])


class WSquare(_InputIndependent):
    """LRP-w^2: shares by squared weights. Eq. B.1 is misprinted; see Montavon et al. 2017."""

    @staticmethod
    def weight(parameter: torch.Tensor, groups: int) -> torch.Tensor:
        """Squared weights."""
        return parameter.square()


FIRST_LAYER_RULES = (Flat, WSquare)


def _twin(module: nn.Module, modify: Any, bias: bool = True) -> nn.Module:
    """Return a hook-free copy of a linear module with modified parameters."""
    twin = copy.copy(module)
    twin._parameters = {}
    twin._forward_hooks, twin._forward_pre_hooks = OrderedDict(), OrderedDict()
    for name, parameter in module._parameters.items():
        kept = parameter is not None and (bias or name != "bias")
        twin._parameters[name] = nn.Parameter(modify(parameter), requires_grad=False) if kept else None
    return twin


NAMED: Mapping[str, type[PropagationRule]] = {
    "flat": Flat,
    "wsquare": WSquare,
    "gamma": Gamma,
    "generalised-gamma": GeneralisedGamma,
    "epsilon": Epsilon,
    "pass": Pass,
}
"""Rules as configurations name them."""


@dataclass(frozen=True)
class Rules:
    """Which rule each layer takes, as data.

    Parameters
    ----------
    patterns : tuple of (str, str, float)
        Shell pattern for the layer's name, rule (a key of :data:`NAMED`) and gamma. The first pattern decides that
        fits, of those whose rule is one for the layer's kind: ``pass`` for activations, the others for linear modules.
    stabilizer : float
        Of every denominator.
    context : {"gradient", "ratio"}
        Context vectors of a hidden layer: the LRP gradient everywhere, or ``R / a`` and 0 where ``a = 0``
        (thesis 3.2.2.1). Standard heatmaps are the same for both.
    auto : bool
        Whether to take those that fit the network (:meth:`fitted`), instead of patterns.
    """

    patterns: tuple[tuple[str, str, float], ...]
    stabilizer: float
    context: str = "gradient"
    auto: bool = False

    def fitted(self, suggested: Sequence[Mapping[str, Any]]) -> Rules:
        """Take the rules that are suggested for a network, entries of ``lrp.rules``."""
        return replace(self, patterns=_patterns(suggested), auto=False)

    def chosen(self, name: str, module: nn.Module) -> tuple[str, float]:
        """Return rule and gamma of the layer `name`.

        Raises
        ------
        EarmarkError
            If no pattern fits.
        """
        for pattern, rule, gamma in self.patterns:
            if rule not in NAMED:
                raise EarmarkError(f"unknown LRP rule {rule!r}; there are {', '.join(NAMED)}")
            if fnmatch.fnmatchcase(name, pattern) and isinstance(module, NAMED[rule].modules):
                return rule, gamma
        wanted = "pass" if isinstance(module, Pass.modules) else "epsilon"
        raise EarmarkError(
            f"no LRP rule covers the module {name!r} ({type(module).__name__}); "
            f"add {{layers: {name}, rule: {wanted}}} to lrp.rules"
        )

    def hook(self, name: str, module: nn.Module) -> PropagationRule:
        """Make the rule of the layer `name`; it must have one, as in :meth:`chosen`."""
        rule, gamma = self.chosen(name, module)
        return NAMED[rule].made(self.stabilizer, gamma)


def from_config(block: Mapping[str, Any]) -> Rules:
    """Read the rules of a data set.

    Parameters
    ----------
    block : mapping
        A data set's block of the configuration; missing keys take the schema's defaults.

    Raises
    ------
    EarmarkError
        If it asks for none.
    """
    section = config.fill(block)["lrp"]
    if section["rules"] == config.OCCLUSION:
        raise EarmarkError("lrp.rules = occlusion leaves LRP out, which is asked for here; name rules, or auto")
    auto = section["rules"] == config.AUTO
    return Rules(
        () if auto else _patterns(section["rules"]), float(section["stabilizer"]), section["context"], auto=auto
    )


def _patterns(entries: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str, float], ...]:
    return tuple((entry["layers"], entry["rule"], float(entry.get("gamma", 0.0))) for entry in entries)


def hooks(network: nn.Module, graph: Graph, rules: Rules) -> dict[str, PropagationRule]:
    """Find the rule of every module that has one, by name.

    A batch normalisation that is not fused takes epsilon: it is a linear layer that keeps channels apart. One that
    stands between the input and a first layer's rule hands relevance on, cell by cell.

    Parameters
    ----------
    network : torch.nn.Module
        With its batch normalisations fused.
    graph : Graph
        Who reads what in it.
    rules : Rules
        Rule of each layer.

    Raises
    ------
    EarmarkError
        If a module is covered by no rule, or by one that does not fit its place; if the network does what no rule
        covers.
    """
    found: dict[str, PropagationRule] = {}
    for call in graph.leaves:
        module = network.get_submodule(call.name)
        if isinstance(module, (*LINEAR, *ACTIVATIONS)):
            found[call.name] = _fitting(rules.hook(call.name, module), call, graph)
        elif isinstance(module, NORMS):
            found[call.name] = Epsilon(rules.stabilizer)
    unknown = uncovered(graph)
    if unknown:
        raise EarmarkError(
            f"no LRP rule covers what this network does: {'; '.join(unknown)}; "
            "explain it by methods that look at its answers only"
        )
    if is_input_independent(graph, rules):
        for call in graph.way_in()[:-1]:
            found[call.name] = _HandedOn(rules.stabilizer)
    return found


def composite(found: Mapping[str, PropagationRule]) -> Composite:
    """Put rules to the modules of the names that they have."""
    return Composite(module_map=lambda context, name, module: found.get(name))


def is_input_independent(graph: Graph, rules: Rules) -> bool:
    """Whether the gradient by the network's input is the relevance itself, by the rule of the first layer."""
    entry = graph.entry()
    return entry is not None and isinstance(rules.hook(entry.name, entry.module), FIRST_LAYER_RULES)


def _fitting(hook: PropagationRule, call: Call, graph: Graph) -> PropagationRule:
    """Return a module's rule, or raise if its place does not allow it."""
    rule = f"the rule {type(hook).__name__} of {call.name!r}"
    if isinstance(hook, Gamma):
        if call.least < 0:
            raise EarmarkError(
                f"{rule} needs non-negative inputs, and here they go to {call.least:.3g}; "
                "use generalised-gamma or epsilon"
            )
        return Gamma(hook.stabilizer, hook.gamma, signed=not graph.is_rectified(call.module))
    if isinstance(hook, FIRST_LAYER_RULES):
        readers = graph.input_readers()
        others = [name for name in readers if name != call.name]
        if call.name in readers and others:
            raise EarmarkError(
                f"{rule} needs the input to itself, but it also goes to {', '.join(others)}; use epsilon"
            )
        entry = graph.entry()
        if entry is None or entry.name != call.name:
            raise EarmarkError(f"{rule} is for the first layer only, which the input reaches unchanged; use epsilon")
    return hook
