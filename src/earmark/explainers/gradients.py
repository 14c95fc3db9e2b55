"""Family ``gradients``: how the logit changes with the input, or with what a layer answers.

Nothing is trained, and silence is what clips are compared with. All that is differentiated is a copy of the network
whose weights need no gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earmark.errors import EarmarkError
from earmark.explainers.base import Background, Batch, Explainer, Parts
from earmark.lrp.operations import is_zero, operation
from earmark.models.base import Model, batch_size, evaluated
from earmark.models.graph import nodes_before
from earmark.plan.methods import methods, spelled
from earmark.seeds import derive
from earmark.sound.base import Frontend, silence

BATCH = 64
"""Inputs that are differentiated at once: bounds the memory, changes no result."""

TOLERANCE = 0.01
"""What the sum of integrated gradients may miss of the change of the logit, in parts of it."""

MOST_NODES = 1024
"""Where more places on the way are no longer tried."""

BOUNDS = {
    "Threshold": "_saved_threshold",
    "Clamp": "_saved_min",
    "ClampMin": "_saved_min",
    "Hardtanh": "_saved_min_val",
}
"""Where nodes of autograd's graph keep their lower bound, of operations that are ReLUs, with or without an upper bound,
where it is 0."""


@dataclass(frozen=True)
class Asked:
    """What a method explains, and by what.

    Attributes
    ----------
    model : Model
        What is explained.
    network : torch.nn.Module
        A copy of its network that is differentiated by its input alone.
    layer : str
        Of methods that have one.
    settings : mapping
        The family's section.
    background : Background or None
        Of methods that compare with training clips.
    seed : int
        Of what is drawn, clip by clip.
    """

    model: Model
    network: nn.Module
    layer: str
    settings: Mapping[str, Any]
    background: Background | None
    seed: int

    @property
    def frontend(self) -> Frontend:
        """What the model hears through."""
        return self.model.frontend

    def silence(self, inputs: Tensor) -> Tensor:
        """Return the input ``[*I]`` of silence, as `inputs` are kept."""
        return silence(self.frontend).to(inputs)

    def generators(self, batch: Batch) -> Iterable[torch.Generator]:
        """Yield a source of random numbers for every clip."""
        return (torch.Generator().manual_seed(derive(self.seed, clip)) for clip in batch.clips.tolist())


def build(
    method: str, model: Model, layer: str, settings: Mapping[str, Any], state: Background | None, seed: int
) -> Explainer:
    """Make an explainer of the family; see :func:`earmark.explainers.base.build`.

    Raises
    ------
    EarmarkError
        When clips are explained, if the network lets no gradients through, the layer's output lies on no grid, or a
        ReLU that must be reached is hidden.
    """
    network = evaluated(model.network).requires_grad_(False)
    asked = Asked(model, network, layer, settings["explainers"]["gradients"], state, seed)
    return functools.partial(METHODS[method], asked)


def whole(maps: Tensor, **checks: float) -> Parts:
    """Make the one part of an explanation of maps ``[B, *grid]``."""
    return Parts(maps.unsqueeze(1), checks=checks)


# Gradients


def gradients(network: nn.Module, inputs: Tensor, targets: Tensor, guided: bool = False) -> Tensor:
    """Differentiate one logit per input.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    inputs : Tensor [N, *I]
        Where; left untouched.
    targets : Tensor [N]
        Classes.
    guided : bool
        Whether ReLUs hand on positive gradients alone.

    Returns
    -------
    Tensor [N, *I]

    Raises
    ------
    EarmarkError
        If autograd cannot follow the logits back to the input; or, `guided`, to what is inside an operation.
    """
    found = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    for part in pieces(inputs):
        found[part] = _gradient(network, inputs[part], targets[part], guided)
    return found


def pieces(inputs: Tensor) -> list[slice]:
    """Cut inputs ``[N, *I]`` into pieces of like size that are differentiated at once."""
    most = batch_size(inputs.shape[1:], inputs.device, BATCH)
    size = -(-len(inputs) // max(-(-len(inputs) // most), 1))
    return [slice(start, start + size) for start in range(0, len(inputs), size or 1)]


def _gradient(network: nn.Module, inputs: Tensor, targets: Tensor, guided: bool) -> Tensor:
    with torch.enable_grad():
        start = inputs.detach().requires_grad_()
        logits = network(start.clone())  # which it may change in place
        explained = logits.gather(1, targets.view(-1, 1)).sum()
        if guided:
            guide(explained)
        gradient = torch.autograd.grad(explained, start, allow_unused=True)[0] if explained.requires_grad else None
    if gradient is None:
        others = ", ".join(spelled(methods(lambda method: method.needs_answers_only)))
        raise EarmarkError(
            "no gradient comes through the network (a plain function, torch.no_grad, detach or NumPy in forward); "
            f"explain it by methods that need nothing but its answers: {others}"
        )
    return gradient


def guide(explained: Tensor) -> None:
    """Make ReLUs hand on positive gradients alone on the next way back (Springenberg et al. 2015, section 4).

    The hooks lie on the nodes of autograd's graph and go with it, so that modules keep none, and it does not matter
    whether a ReLU is a module, a function, in place, or used many times.

    Parameters
    ----------
    explained : Tensor
        What is differentiated.

    Raises
    ------
    EarmarkError
        If a node hides what is inside it.
    """
    for node in nodes_before(explained):
        written = isinstance(node, torch.autograd.function.BackwardCFunction)  # in Python, by whomever
        name = type(node).__name__ if written else operation(node)
        if written or name == "DifferentiableGraph":
            raise EarmarkError(
                f"guided backpropagation must reach every ReLU, and {name} hides what is inside it: call the network "
                "without checkpoints, compilers and autograd functions of its own, or choose a method that is not "
                "guided"
            )
        if name == "Relu" or (name in BOUNDS and is_zero(getattr(node, BOUNDS[name]))):
            node.register_hook(_positive)


def _positive(below: tuple[Tensor | None, ...], above: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """Keep what is positive of the gradients that a node hands on."""
    return tuple(None if gradient is None else gradient.clamp_min(0) for gradient in below)


def _logits(asked: Asked, inputs: Tensor, targets: Tensor) -> Tensor:
    """Answer inputs ``[N, *I]`` for one class each: float64 ``[N]``."""
    found = torch.empty(len(inputs), dtype=torch.float64, device=inputs.device)
    with torch.no_grad():
        for part in pieces(inputs):
            found[part] = asked.model.logits(inputs[part]).gather(1, targets[part].view(-1, 1)).squeeze(1).double()
    return found


# Methods


def saliency(asked: Asked, batch: Batch) -> Parts:
    """Take the size of the gradient (Simonyan et al. 2014, section 3)."""
    return whole(asked.frontend.sensitivity(gradients(asked.network, batch.inputs, batch.targets)))


def input_x_gradient(asked: Asked, batch: Batch) -> Parts:
    """Multiply the gradient by what the input has more than silence (Shrikumar et al. 2016)."""
    found = gradients(asked.network, batch.inputs, batch.targets)
    return whole(asked.frontend.relevance(batch.inputs - asked.silence(batch.inputs), found))


def guided_backprop(asked: Asked, batch: Batch) -> Parts:
    """Take the size of the guided gradient (Springenberg et al. 2015, section 4)."""
    return whole(_guided(asked, batch))


def _guided(asked: Asked, batch: Batch) -> Tensor:
    """Measure guided gradients on the grid, ``[B, *grid]``."""
    return asked.frontend.sensitivity(gradients(asked.network, batch.inputs, batch.targets, guided=True))


def smoothgrad(asked: Asked, batch: Batch) -> Parts:
    """Average gradients over noisy copies, and take the size of that (Smilkov et al. 2017)."""
    shape = (asked.settings["samples"], *batch.inputs.shape[1:])
    noise = (torch.randn(shape, generator=generator) for generator in asked.generators(batch))
    found = smoothed(asked.network, batch.inputs, batch.targets, noise, asked.settings["noise"])
    return whole(asked.frontend.sensitivity(found))


def smoothed(network: nn.Module, inputs: Tensor, targets: Tensor, noise: Iterable[Tensor], level: float) -> Tensor:
    """Average the gradients of noisy copies.

    Parameters
    ----------
    network, inputs, targets
        As of :func:`gradients`, ``[B, *I]`` and ``[B]``.
    noise : iterable of Tensor [n, *I]
        Of each clip, of standard deviation 1.
    level : float
        What that is multiplied by, in parts of the range of the clip's input.

    Returns
    -------
    Tensor [B, *I]
    """
    found = torch.empty_like(inputs)
    for mean, clip, target, drawn in zip(found, inputs, targets, noise, strict=True):
        copies = clip + level * (clip.max() - clip.min()) * drawn.to(clip)  # [n, *I]
        mean[:] = gradients(network, copies, target.expand(len(copies))).mean(dim=0)
    return found


def integrated_gradients(asked: Asked, batch: Batch) -> Parts:
    """Integrate gradients on the way from silence to the clip (Sundararajan et al. 2017, eq. 1).

    Clips whose cells do not sum to the change of the logit are looked at again, at twice as many places: gradients jump
    where a ReLU or the largest cell of a pool changes.
    """
    inputs, targets = batch.inputs, batch.targets
    start = asked.silence(inputs)
    change = _logits(asked, inputs, targets) - _logits(asked, start.expand_as(inputs), targets)  # [B]
    way, nodes = inputs - start, asked.settings["nodes"]
    means = integrated(asked.network, inputs, targets, start, nodes)  # [B, *I]
    while True:
        sums = (way.double() * means.double()).flatten(1).sum(dim=1)  # [B]
        missed = (sums - change).abs() / change.abs().clamp_min(torch.finfo(change.dtype).tiny)
        rest = missed > TOLERANCE
        nodes *= 2
        if not rest.any() or nodes > MOST_NODES:
            break
        means[rest] = integrated(asked.network, inputs[rest], targets[rest], start, nodes)
    return whole(asked.frontend.relevance(way, means), completeness=float(missed.max()) if len(missed) else 0.0)


def integrated(network: nn.Module, inputs: Tensor, targets: Tensor, start: Tensor, nodes: int) -> Tensor:
    """Average gradients on the straight ways from one input to others.

    Parameters
    ----------
    network, inputs, targets
        As of :func:`gradients`, ``[B, *I]`` and ``[B]``.
    start : Tensor [*I]
        Where the ways begin.
    nodes : int
        Places on each: those of Gauss and Legendre.

    Returns
    -------
    Tensor [B, *I]
    """
    places, weights = (torch.from_numpy(part).to(inputs) for part in legendre(nodes))  # [n] each
    found = torch.empty_like(inputs)
    for mean, clip, target in zip(found, inputs, targets, strict=True):
        steps = start + places.view(-1, *[1] * start.dim()) * (clip - start)  # [n, *I]
        mean[:] = torch.tensordot(weights, gradients(network, steps, target.expand(nodes)), dims=1)
    return found


@functools.cache
def legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places in 0 .. 1 of Gauss-Legendre quadrature and their weights, which sum to 1: float64 ``[n]``."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (1 + places) / 2, weights / 2


def gradient_shap(asked: Asked, batch: Batch) -> Parts:
    """Integrate gradients from training clips, one random place on each way (Erion et al. 2021)."""
    assert asked.background is not None
    others = asked.background.inputs[: asked.settings["baselines"]].to(batch.inputs)  # [n, *I]
    shares = (torch.rand(len(others), generator=generator) for generator in asked.generators(batch))
    return whole(expected(asked.network, asked.frontend, batch.inputs, batch.targets, others, shares))


def expected(
    network: nn.Module,
    frontend: Frontend,
    inputs: Tensor,
    targets: Tensor,
    others: Tensor,
    shares: Iterable[Tensor],
) -> Tensor:
    """Average what gradients on the ways from some inputs to others say.

    Parameters
    ----------
    network, inputs, targets
        As of :func:`gradients`, ``[B, *I]`` and ``[B]``.
    frontend : Frontend
        What lays that out.
    others : Tensor [n, *I]
        Where the ways begin.
    shares : iterable of Tensor [n]
        For each clip, which part of each way is behind the place that is looked at.

    Returns
    -------
    Tensor [B, *grid]
    """
    found = inputs.new_empty(len(inputs), *frontend.grid)
    for mean, clip, target, part in zip(found, inputs, targets, shares, strict=True):
        ways = clip - others  # [n, *I]
        places = others + part.to(clip).view(-1, *[1] * clip.dim()) * ways
        slopes = gradients(network, places, target.expand(len(places)))
        mean[:] = frontend.relevance(ways, slopes).mean(dim=0)
    return found


def gradcam(asked: Asked, batch: Batch) -> Parts:
    """Weigh a layer's channels by their mean gradients (Selvaraju et al. 2017, eq. 1 and 2)."""
    return whole(weighted(asked, batch))


def guided_gradcam(asked: Asked, batch: Batch) -> Parts:
    """Multiply guided backpropagation by GradCAM, cell by cell (Selvaraju et al. 2017, section 3.2)."""
    return whole(_guided(asked, batch) * weighted(asked, batch))


def weighted(asked: Asked, batch: Batch) -> Tensor:
    """Make GradCAM's maps ``[B, *grid]``.

    Raises
    ------
    EarmarkError
        If the layer's output has no cells.
    """
    found = batch.inputs.new_empty(len(batch.inputs), *asked.frontend.grid)
    for part in pieces(batch.inputs):
        with torch.enable_grad():
            activations, logits = asked.model.watched(batch.inputs[part], asked.layer)  # [b, D, *g]
            explained = logits.gather(1, batch.targets[part].view(-1, 1)).sum()
            (slopes,) = torch.autograd.grad(explained, activations)
        if activations.dim() < 3:
            raise EarmarkError(
                f"{asked.layer} answers {list(activations.shape[1:])} numbers that lie nowhere in a clip: name a layer "
                "before the network forgets where, such as its last convolution"
            )
        weights = slopes.flatten(2).mean(dim=2)  # [b, D]
        found[part] = asked.frontend.enlarged(torch.einsum("bd,bd...->b...", weights, activations.detach()).relu())
    return found


METHODS: Mapping[str, Callable[[Asked, Batch], Parts]] = {
    "saliency": saliency,
    "input-x-gradient": input_x_gradient,
    "smoothgrad": smoothgrad,
    "integrated-gradients": integrated_gradients,
    "gradcam": gradcam,
    "guided-backprop": guided_backprop,
    "guided-gradcam": guided_gradcam,
    "gradient-shap": gradient_shap,
}
