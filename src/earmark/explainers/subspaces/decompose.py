"""Two-step attribution: a heatmap per concept (thesis 3.2.3, B.2.2).

The network is split at the layer: the upper part is traversed once per clip, the lower part once per concept, each
time with the contexts projected on the concept's subspace, ``R_jk = a_j (U_k U_k' c)_j`` (eq. 3.10 is misprinted).
Relevance is linear in the contexts, so that the concepts' heatmaps sum to the standard one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.explainers.subspaces.basis import Subspaces
from earmark.lrp.attributor import Attributor, batches
from earmark.lrp.rules import Rules


def concept_heatmaps(
    model: nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    subspaces: Subspaces,
    rules: Rules,
) -> torch.Tensor:
    """Relevance of every input cell for every concept.

    Parameters
    ----------
    model : torch.nn.Sequential
        The network, on the device of `inputs`; left untouched.
    inputs : torch.Tensor
        Log-mel spectrograms ``[B, 1, F, T]``.
    targets : torch.Tensor
        Explained class per clip, integers ``[B]``.
    layer : str
        Where the subspaces lie.
    subspaces : Subspaces
        ``K`` subspaces of the layer's ``D`` channels.
    rules : earmark.lrp.Rules
        Rule of each layer.

    Returns
    -------
    torch.Tensor
        ``[B, K, 1, F, T]``; the sum over K is the standard heatmap.

    Raises
    ------
    EarmarkError
        If the basis does not fit the layer, or a module is covered by no rule.
    """
    return decomposed(model, inputs, targets, layer, [subspaces], rules)[0]


def decomposed(
    model: nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    bases: Sequence[Subspaces],
    rules: Rules,
) -> list[torch.Tensor]:
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
    list of torch.Tensor
        ``[B, K, 1, F, T]`` per set.
    """
    attributor = Attributor(model, rules, layer)
    projections = torch.cat([basis.projections for basis in bases]).to(inputs)  # [M, D, D]
    heatmaps = inputs.new_empty(len(inputs), len(projections), *inputs.shape[1:])  # [B, M, 1, F, T]
    done = 0
    for batch, wanted in batches(inputs, targets):
        trace = attributor.trace(batch, wanted)
        if projections.shape[-1] != trace.contexts.shape[1]:
            raise EarmarkError(
                f"subspaces of {projections.shape[-1]} channels do not fit {layer}, which has {trace.contexts.shape[1]}"
            )
        for number, projection in enumerate(projections):
            contexts = torch.einsum("de,behw->bdhw", projection, trace.contexts)
            last = number == len(projections) - 1
            heatmaps[done : done + len(batch), number] = trace.heatmap(contexts, last)
        done += len(batch)
    return list(heatmaps.split([basis.n_subspaces for basis in bases], dim=1))
