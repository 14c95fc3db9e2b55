"""Stage ``fit``: the subspaces of every class at one layer, by one method and for one K (thesis 3.2.2.2)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from earmark import artifacts, data, drsa, model, subspaces
from earmark.errors import EarmarkError
from earmark.layout import Layout
from earmark.progress import Progress
from earmark.seeds import derive
from earmark.subspaces import Subspaces

log = logging.getLogger(__name__)


def run(
    results: Path, dataset: str, config: dict[str, Any], *, split: str, layer: str, method: str, k: int, gpu: int
) -> None:
    """Write ``subspaces.safetensors`` and ``fit.json`` for every class.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``fit``, ``seed``.
    split, layer : str
        Which model, and where in it.
    method : str
        ``drsa``, ``dsa``, ``pca``, ``prca`` or ``random~SEED``.
    k : int
        Number of subspaces.
    gpu : int
        0: on the CPU.
    """
    layout = Layout(results, dataset)
    device = model.device(gpu)
    made = artifacts.provenance(config, str(device))
    classes = data.open_dataset(layout).classes
    progress = Progress(f"fit {dataset}/{split}/{layer}/{method}/K~{k}", len(classes))
    for done, cls in enumerate(classes, start=1):
        pairs, _ = artifacts.read_tensors(layout.pairs(split, layer, cls.slug))
        activations, contexts = pairs["activations"].to(device), pairs["contexts"].to(device)
        found = find(activations, contexts, method, k, config, cls.slug)
        relevance = found.relevance(activations, contexts).mean(dim=0)
        folder = layout.concept(split, layer, method, k, cls.slug)
        subspaces.save(folder / "subspaces.safetensors", found, relevance, made)
        starts = ["data", *(f"random {number}" for number in range(1, len(found.restarts)))][: len(found.restarts)]
        artifacts.write_json(folder / "fit.json", report(found, relevance, activations, contexts, starts), made)
        log.info("%s: %s", cls.slug, ", ".join(f"start {value:.5f}" for value in found.restarts) or "no search")
        progress(done, cls.slug)


def find(
    activations: torch.Tensor, contexts: torch.Tensor, method: str, k: int, config: dict[str, Any], cls: str
) -> Subspaces:
    """Run one method on the pairs ``[N, D]`` of one class.

    Returns
    -------
    Subspaces
        Ordered by mean relevance over the pairs, whatever the method.

    Raises
    ------
    EarmarkError
        For an unknown method or a K that does not divide D.
    """
    seed = config["seed"]
    if method in drsa.OBJECTIVES:
        settings = config["fit"]
        return drsa.fit(
            activations,
            contexts,
            k,
            objective=method,
            n_restarts=settings["restarts"],
            seed=derive(seed, "fit", cls),
            max_iterations=settings["max_iterations"],
            tolerance=settings["tolerance"],
        )
    if method == "pca":
        found = subspaces.pca(activations, k)
    elif method == "prca":
        found = subspaces.prca(activations, contexts, k)
    elif match := re.fullmatch(r"random~(\d+)", method):
        found = subspaces.random(activations.shape[1], k, derive(seed, "random", match[1], cls)).to(activations.device)
    else:
        raise EarmarkError(f"unknown method {method!r}; there are drsa, dsa, pca, prca and random~SEED")
    return found.ordered(activations, contexts)


def report(
    found: Subspaces,
    relevance: torch.Tensor,
    activations: torch.Tensor,
    contexts: torch.Tensor,
    starts: Sequence[str],
) -> dict[str, Any]:
    """Describe a fit: eq. 2.19 on the normalised pairs, the course of every named start, relevance per concept."""
    reached = drsa.objective(drsa.normalise(activations), drsa.normalise(contexts), found.basis, found.n_subspaces)
    return {
        "n_subspaces": found.n_subspaces,
        "n_channels": found.basis.shape[0],
        "pairs": len(activations),
        "drsa_objective": float(reached),
        "objective": None if not found.restarts else found.objective,
        "relevance": relevance.tolist(),
        "restarts": [
            {"start": name, "objective": value, "iterations": len(course) - 1, "history": list(course)}
            for name, value, course in zip(starts, found.restarts, found.history, strict=True)
        ],
    }
