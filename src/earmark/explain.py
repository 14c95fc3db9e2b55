"""Stage ``explain``: heatmaps of the standard explanation and of every concept (thesis 3.2.3, B.2.2).

Two-step attribution splits the network at the layer: the upper part is traversed once per clip, the lower part
once per concept, each time with the contexts projected on the concept's subspace, ``R_jk = a_j (U_k U_k' c)_j``
(eq. 3.10 is misprinted). Relevance is linear in the contexts, so that the concepts' heatmaps sum to the standard one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from earmark import artifacts, data, lrp, model, subspaces
from earmark.errors import EarmarkError
from earmark.frontend import Frontend
from earmark.layout import INPUT_LAYER, Layout
from earmark.progress import Progress
from earmark.seeds import derive
from earmark.selection import recognised, require_recognised, spread
from earmark.subspaces import Subspaces

log = logging.getLogger(__name__)

NOISE = re.compile(r"noise~\d+")
"""Random maps, the control of every score."""


def concept_heatmaps(
    model: nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    subspaces: Subspaces,
    rules: lrp.Rules,
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
    rules: lrp.Rules,
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
    attributor = lrp.Attributor(model, rules, layer)
    projections = torch.cat([basis.projections for basis in bases]).to(inputs)  # [M, D, D]
    heatmaps = inputs.new_empty(len(inputs), len(projections), *inputs.shape[1:])  # [B, M, 1, F, T]
    done = 0
    for batch, wanted in lrp.batches(inputs, targets):
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


def heatmaps_by(
    method: str,
    network: nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    found: Subspaces | None,
    rules: lrp.Rules,
    seed: int,
) -> torch.Tensor:
    """Compute the heatmaps of any method.

    Parameters
    ----------
    method : str
        ``standard``, ``noise~SEED``, or the name of what the subspaces come from.
    network, inputs, targets, layer, rules
        As in :func:`concept_heatmaps`.
    found : Subspaces or None
        At the layer; None for the methods without.
    seed : int
        Of the noise.

    Returns
    -------
    torch.Tensor
        ``[B, K, 1, F, T]``; K = 1 without subspaces.
    """
    if found is not None:
        return concept_heatmaps(network, inputs, targets, layer, found, rules)
    if NOISE.fullmatch(method):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(inputs.unsqueeze(1).shape, generator=generator).to(inputs)
    return lrp.standard_heatmaps(network, inputs, targets, rules).unsqueeze(1)


@dataclass(frozen=True)
class Chosen:
    """The clips of one class that are explained.

    Attributes
    ----------
    clips : numpy.ndarray
        Rows of the clip index, ``[B]``.
    logits : torch.Tensor
        Of the class, ``[B]``.
    gallery, scored : numpy.ndarray
        bool ``[B]``: shown as picture and sound; counted in the scores.
    left_out : int
        Test clips of the class that were looked at but are not recognised.
    """

    clips: np.ndarray
    logits: torch.Tensor
    gallery: np.ndarray
    scored: np.ndarray
    left_out: int


def choose(
    network: nn.Module, source: data.DataSet, split: str, cls: data.ClassInfo, config: dict[str, Any], device: Any
) -> Chosen:
    """Choose a class's test clips to score, and a gallery to look at and to listen to.

    The gallery comes from the clips that hold all objects, where the data set has such a set, else from the
    scored ones.

    Raises
    ------
    EarmarkError
        If no test clip of the class is recognised: no table could hold it.
    """
    settings, recordings = config["explain"], source.clips["recording"].to_numpy()

    def take(clips: np.ndarray, count: int, purpose: str) -> np.ndarray:
        return clips[spread(recordings[clips], count, derive(config["seed"], purpose, cls.slug))]

    def of_class(clips: np.ndarray) -> np.ndarray:
        return clips[source.targets(clips).numpy() == cls.index]

    test = take(of_class(source.split(split).test), settings["clips"], "scored")
    known, logits = recognised(network, source, test, cls.index, device)
    require_recognised(known, source, split, cls, "test")
    showcase = of_class(source.held_out("all-test"))
    shown, shown_logits = recognised(network, source, showcase, cls.index, device)
    if len(showcase):
        picked = take(showcase[shown], settings["gallery"], "gallery")
        return Chosen(
            np.concatenate([picked, test[known]]),
            torch.cat([shown_logits[torch.from_numpy(np.isin(showcase, picked))], logits[torch.from_numpy(known)]]),
            np.repeat([True, False], [len(picked), known.sum()]),
            np.repeat([False, True], [len(picked), known.sum()]),
            int((~known).sum()),
        )
    picked = take(test[known], settings["gallery"], "gallery")
    return Chosen(
        test[known],
        logits[torch.from_numpy(known)],
        np.isin(test[known], picked),
        np.ones(known.sum(), bool),
        int((~known).sum()),
    )


def run(
    results: Path, dataset: str, config: dict[str, Any], *, split: str, layer: str, method: str, k: int, gpu: int
) -> None:
    """Write ``heatmaps.safetensors`` and ``heatmaps.png`` for every class.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``lrp``, ``explain``, ``frontend``, ``seed``.
    split, layer : str
        Which model, and where in it; ``input`` for maps without subspaces.
    method : str
        A method of `fit`, or ``standard`` or ``noise~SEED``.
    k : int
        Number of concepts.
    gpu : int
        0: on the CPU.
    """
    from earmark import figures  # here, because stages that only want heatmaps draw nothing

    layout = Layout(results, dataset)
    device = model.device(gpu)
    network = model.load(layout.model(split))[0].to(device)
    rules = lrp.rules_from_config(config)
    source = data.open_dataset(layout)
    frontend = Frontend.from_config(config)
    made = artifacts.provenance(config, str(device))
    progress = Progress(f"explain {dataset}/{split}/{layer}/{method}/K~{k}", len(source.classes))
    for done, cls in enumerate(source.classes, start=1):
        chosen = choose(network, source, split, cls, config, device)
        inputs = source.logmel(chosen.clips).to(device)
        targets = torch.full((len(inputs),), cls.index, device=device)
        folder = layout.concept(split, layer, method, k, cls.slug)
        found = None if layer == INPUT_LAYER else subspaces.load(folder / "subspaces.safetensors")
        seed = derive(config["seed"], *method.split("~"), cls.slug)
        standard = lrp.standard_heatmaps(network, inputs, targets, rules)  # [B, 1, F, T]
        heatmaps = heatmaps_by(method, network, inputs, targets, layer, found, rules, seed)
        log.info("%s: %d clips explained, %d left out", cls.slug, len(chosen.clips), chosen.left_out)
        checks = {} if NOISE.fullmatch(method) else conservation(standard, heatmaps, chosen.logits.to(device))
        for name, value in checks.items():
            log.info("%s: %s %.3g", cls.slug, name, value)
        artifacts.write_tensors(
            folder / "heatmaps.safetensors",
            {
                "heatmaps": heatmaps,
                "clips": torch.from_numpy(chosen.clips),
                "logits": chosen.logits,
                "gallery": torch.from_numpy(chosen.gallery),
                "scored": torch.from_numpy(chosen.scored),
            },
            made,
            left_out=chosen.left_out,
            **checks,
        )
        rows = torch.from_numpy(chosen.gallery)
        shown = inputs.cpu()[rows, 0], standard.cpu()[rows, 0], heatmaps.cpu()[rows, :, 0]
        title = f"{dataset}, {cls.name}: {method} at {layer}, K = {k}"
        figures.save(figures.explanation_grid(frontend, *shown, title), folder / "heatmaps.png")
        progress(done, cls.slug)


def conservation(standard: torch.Tensor, heatmaps: torch.Tensor, logits: torch.Tensor) -> dict[str, float]:
    """Measure how exactly relevance is conserved.

    Parameters
    ----------
    standard : torch.Tensor
        ``[B, 1, F, T]``.
    heatmaps : torch.Tensor
        ``[B, K, 1, F, T]``.
    logits : torch.Tensor
        ``[B]``.

    Returns
    -------
    dict of str to float
        ``sum_error``, largest difference between the concepts' sum and the standard heatmap over the latter's
        largest value; ``absorbed_share``, mean share of the logit that does not reach the input.
    """
    difference = (heatmaps.sum(dim=1) - standard).abs().max() / standard.abs().max().clamp_min(1e-30)
    reached = standard.double().sum(dim=(1, 2, 3)) / logits.double()
    return {"sum_error": float(difference), "absorbed_share": float(1 - reached.mean())}
