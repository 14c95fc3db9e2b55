"""Two-step attribution: a heatmap per concept (thesis 3.2.3, B.2.2).

What lies above the layer is traversed once per clip, what lies below once per concept, each time with the contexts
projected on the concept's subspace, ``R_jk = a_j (U_k U_k' c)_j`` (eq. 3.10 is misprinted). Relevance is linear in the
contexts, so that the concepts' heatmaps sum to the relevance that goes through the layer: the standard heatmap, unless
the network has a way around the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from earmark.errors import EarmarkError
from earmark.explainers.base import Batch, Explainer, Parts
from earmark.explainers.subspaces.basis import Subspaces
from earmark.lrp.attributor import Attributor, Relevance, batches, blank
from earmark.lrp.rules import Rules, from_config
from earmark.models.base import Model


def concept_heatmaps(
    model: Model,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    subspaces: Subspaces,
    rules: Rules,
) -> torch.Tensor:
    """Relevance of every input cell for every concept.

    Parameters
    ----------
    model : Model
        The model, on the device of `inputs`; left untouched.
    inputs : torch.Tensor
        Of clips, ``[B, *I]``.
    targets : torch.Tensor
        Explained class per clip, integers ``[B]``.
    layer : str
        Where the subspaces lie.
    subspaces : Subspaces
        ``K`` subspaces of the layer's ``D`` channels.
    rules : Rules
        Rule of each layer.

    Returns
    -------
    torch.Tensor
        ``[B, K, *grid]``; the sum over K is the standard heatmap, less what passes the layer by.

    Raises
    ------
    EarmarkError
        If the basis does not fit the layer, or a module is covered by no rule.
    """
    return decomposed(model, inputs, targets, layer, [subspaces], rules)[0]


def decomposed(
    model: Model,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    bases: Sequence[Subspaces],
    rules: Rules,
) -> list[torch.Tensor]:
    """Return the maps ``[B, K, *grid]`` of :func:`relevances`, per set of subspaces."""
    return [one.maps for one in relevances(model, inputs, targets, layer, bases, rules)]


def relevances(
    model: Model,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    bases: Sequence[Subspaces],
    rules: Rules,
) -> list[Relevance]:
    """Decompose the same clips by several sets of subspaces, such as those of every class.

    What does not depend on the subspaces, the forward pass and the way from the logits to the layer, is
    computed once.

    Parameters
    ----------
    model, inputs, targets, layer, rules
        As in :func:`concept_heatmaps`.
    bases : sequence of Subspaces
        At the same layer.

    Returns
    -------
    list of Relevance
        Maps ``[B, K, *grid]`` and samples ``[B, K, 1, S]`` per set.
    """
    attributor = Attributor(model, rules, inputs, layer)
    projections = torch.cat([basis.projections for basis in bases]).to(inputs)  # [M, D, D]
    heatmaps = inputs.new_empty(len(inputs), len(projections), *model.frontend.grid)  # [B, M, *grid]
    samples = blank(model, inputs, len(inputs), len(projections))  # [B, M, 1, S]
    done = 0
    for batch, wanted in batches(inputs, targets):
        trace = attributor.trace(batch, wanted)
        if projections.shape[-1] != trace.contexts.shape[1]:
            raise EarmarkError(
                f"subspaces of {projections.shape[-1]} channels do not fit {layer}, which has {trace.contexts.shape[1]}"
            )
        at_once = trace.contexts.flatten(2) if trace.contexts.dim() > 2 else trace.contexts.unsqueeze(2)  # [B, D, g]
        for number, projection in enumerate(projections):
            contexts = (projection @ at_once).view_as(trace.contexts)
            found = trace.relevance(contexts, last=number == len(projections) - 1)
            heatmaps[done : done + len(batch), number] = found.maps
            if samples is not None and found.samples is not None:
                samples[done : done + len(batch), number] = found.samples
        done += len(batch)
    counts = [basis.n_subspaces for basis in bases]
    of_samples = [None] * len(bases) if samples is None else samples.split(counts, dim=1)
    return [Relevance(*one) for one in zip(heatmaps.split(counts, dim=1), of_samples, strict=True)]


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: Subspaces, seed: int) -> Explainer:
    """Make the explainer of any subspaces; see :func:`earmark.explainers.base.build`."""
    several = across(method, model, layer, settings, [state], [seed])
    return lambda batch: several(batch)[0]


def across(
    method: str,
    model: Model,
    layer: str,
    settings: Mapping[str, Any],
    states: Sequence[Subspaces],
    seeds: Sequence[int],
) -> Callable[[Batch], list[Parts]]:
    """Explain by several sets of subspaces at once; see :func:`relevances`."""
    rules = from_config({"lrp": settings["lrp"]})
    return lambda batch: [Parts(*one) for one in relevances(model, batch.inputs, batch.targets, layer, states, rules)]
