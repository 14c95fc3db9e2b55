"""The published procedures, written from the papers' descriptions and from nobody's code.

Harck 2024 ("the thesis") describes them in 3.2.2.2 (subspaces), B.2.2 (concept heatmaps) and 4.2.3.1 (patch
flipping). Each is written plainly but not wastefully: what the description leaves open is done the quick way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import KernelShap, Lime
from captum.attr._core.lime import get_exp_kernel_similarity_function
from torch import nn
from zennit import rules as builtin
from zennit.composites import NameMapComposite
from zennit.core import Hook

from earmark.explainers.subspaces.basis import Subspaces
from earmark.lrp.rules import Flat, Gamma, Rules, WSquare
from earmark.metrics.flipping import schedule


def drsa_step(activations: torch.Tensor, contexts: torch.Tensor, basis: torch.Tensor, n_subspaces: int) -> torch.Tensor:
    """Take one step: eq. 2.19 by autograd, unit step (eq. 3.5), eigendecomposition (eq. 3.6-3.8).

    Parameters
    ----------
    activations, contexts : torch.Tensor
        Normalised pairs ``[N, D]``.
    basis : torch.Tensor
        ``[D, D]``.
    n_subspaces : int
        ``K``.

    Returns
    -------
    torch.Tensor
        The next basis, ``[D, D]``.
    """
    basis = basis.detach().requires_grad_()
    relevance = ((activations @ basis) * (contexts @ basis)).unflatten(1, (n_subspaces, -1)).sum(dim=2)  # [N, K]
    quadratic = relevance.clamp_min(0).square().mean(dim=0).sqrt()  # [K]
    objective = quadratic.sqrt().mean().square()
    (gradient,) = torch.autograd.grad(objective, basis)
    stepped = basis.detach() + gradient
    values, vectors = torch.linalg.eigh(stepped.T @ stepped)
    return stepped @ (vectors * values.rsqrt()) @ vectors.T


def concept_heatmaps(
    model: nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    subspaces: Subspaces,
    rules: Rules,
) -> torch.Tensor:
    """Repeat every clip K + 1 times and mask each copy's relevance at the layer (thesis B.2.2).

    Copy 0 keeps all relevance, copy k only that of concept k; zennit's own rules do the rest.

    Parameters
    ----------
    model, inputs, targets, layer, subspaces, rules
        As in :func:`earmark.explainers.subspaces.decompose.concept_heatmaps`.

    Returns
    -------
    torch.Tensor
        ``[B, K + 1, 1, F, T]``, the standard heatmaps first.
    """
    copies = subspaces.n_subspaces + 1
    whole = torch.eye(len(subspaces.basis)).to(subspaces.basis)
    projections = torch.cat([whole.unsqueeze(0), subspaces.projections]).to(inputs)  # [K + 1, D, D]
    repeated = inputs.repeat_interleave(copies, dim=0).requires_grad_()
    classes = targets.repeat_interleave(copies)
    with _composite(model, rules, layer, projections).context(model) as modified:
        logits = modified(repeated)
        start = nn.functional.one_hot(classes, logits.shape[1]) * logits.detach()
        (relevance,) = torch.autograd.grad(logits, repeated, start)
    return relevance.view(len(inputs), copies, *inputs.shape[1:])


class _Masked(Hook):
    """Mask the relevance that arrives at the explained layer, copy by copy.

    Relevance is ``a c`` there; a concept's is ``a_j (U_k U_k' c)_j`` (eq. 3.9; eq. 3.10 is misprinted). In zennit the
    gradient that a linear layer's rule hands down is the relevance itself.
    """

    def __init__(self, projections: torch.Tensor) -> None:
        super().__init__()
        self.projections = projections

    def forward(self, module: nn.Module, input: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Keep the activations, which the context is found by."""
        self.stored_tensors["activations"] = output.detach()

    def backward(
        self, module: nn.Module, grad_input: tuple[torch.Tensor, ...], grad_output: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor]:
        """Turn relevance into contexts ``R / a``, project them and turn them back."""
        activations, relevance = self.stored_tensors["activations"], grad_output[0]
        contexts = torch.where(activations != 0, relevance / activations, 0.0)
        copied = contexts.unflatten(0, (-1, len(self.projections)))  # [B, K + 1, D, h, w]
        masked = torch.einsum("kde,bkehw->bkdhw", self.projections, copied).flatten(0, 1)
        return (activations * masked,)

    def copy(self) -> _Masked:
        """Return a hook for another module."""
        return _Masked(self.projections)


def _composite(model: nn.Sequential, rules: Rules, layer: str, projections: torch.Tensor) -> NameMapComposite:
    """Map the network's modules to zennit's built-in rules."""
    stabilizer, hooks = rules.stabilizer, []
    for name, module in model.named_children():
        if isinstance(module, nn.ReLU):
            hooks.append(([name], _Masked(projections) if name == f"relu_{layer}" else builtin.Pass()))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            ours = rules.hook(name, module)
            match ours:
                case Gamma():
                    rule = builtin.Gamma(ours.gamma, stabilizer=stabilizer)
                case WSquare():
                    rule = builtin.WSquare(stabilizer, zero_params="bias")
                case Flat():
                    rule = builtin.Flat(stabilizer)
                case _:
                    rule = builtin.Epsilon(stabilizer)
            hooks.append(([name], rule))
    return NameMapComposite(hooks)


def thesis_score(
    model: nn.Module, clip: torch.Tensor, target: int, heatmaps: torch.Tensor, patch: int, ties: torch.Tensor
) -> float:
    """Flip the patches of one clip, one step after the other (thesis 4.2.3.1, eq. 4.4).

    Parameters
    ----------
    model : torch.nn.Module
        The network, in evaluation mode.
    clip : torch.Tensor
        ``[1, F, T]``.
    target : int
        The explained class.
    heatmaps : torch.Tensor
        The clip's, ``[K, 1, F, T]``.
    patch : int
        Side of a patch, in cells.
    ties : torch.Tensor
        Order ``[P]`` in which equally relevant patches are flipped.

    Returns
    -------
    float
        Weighted fall of the evidence.
    """
    sums = nn.functional.avg_pool2d(heatmaps[:, 0].clamp_min(0).double(), patch)  # [K, rows, columns]
    grid = sums.shape[1:]
    order = ties[sums.flatten(1)[:, ties].argsort(dim=1, descending=True, stable=True)]  # [K, P]
    steps = schedule(order.shape[1]).tolist()
    flipped, score = clip.clone(), 0.0
    with torch.no_grad():
        before = float(model(clip.unsqueeze(0))[0, target].relu())
        for start, stop in itertools.pairwise(steps):
            mask = torch.zeros(order.shape[1], dtype=torch.bool, device=clip.device)
            mask[order[:, start:stop].flatten()] = True
            cells = mask.view(grid).repeat_interleave(patch, dim=0).repeat_interleave(patch, dim=1)
            flipped[0][cells] = 0.0
            after = float(model(flipped.unsqueeze(0))[0, target].relu())
            score += stop / steps[-1] * (before - after) / 2
            before = after
    return score


Answers = Callable[[torch.Tensor], torch.Tensor]


def lime(answers: Answers, states: torch.Tensor) -> torch.Tensor:
    """Fit captum's LIME as Ribeiro et al. (2016) define it to given states of a clip's parts.

    Parameters
    ----------
    answers : callable
        From one state ``[1, d]`` to what the model answers, ``[1]``.
    states : torch.Tensor
        Those to ask for, one after the other, ``[N, d]``.

    Returns
    -------
    torch.Tensor
        The weights of the parts, ``[d]``.
    """
    near = get_exp_kernel_similarity_function("cosine", kernel_width=0.25)
    following = iter(states.split(1))
    peer = Lime(answers, SkLearnRidge(alpha=1.0), near, perturb_func=lambda *_, **named: next(following))
    return _attributed(peer, states)


def kernel_shap(answers: Answers, states: torch.Tensor) -> torch.Tensor:
    """Fit captum's KernelSHAP to given states; parameters and result as of :func:`lime`."""
    following = iter(states.split(1))
    peer = KernelShap(answers)
    peer.perturb_func = lambda *_, **named: next(following)
    return _attributed(peer, states)


def _attributed(peer: Lime, states: torch.Tensor) -> torch.Tensor:
    return peer.attribute(torch.ones(1, states.shape[1]), n_samples=len(states)).flatten()
