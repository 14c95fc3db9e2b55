"""Find subspaces by any method that is fitted to pairs of vectors (thesis 3.2.2.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from earmark.errors import EarmarkError
from earmark.explainers.subspaces import drsa
from earmark.explainers.subspaces.baselines import pca, prca, random
from earmark.explainers.subspaces.basis import Subspaces
from earmark.seeds import derive


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
        found = pca(activations, k)
    elif method == "prca":
        found = prca(activations, contexts, k)
    elif match := re.fullmatch(r"random~(\d+)", method):
        found = random(activations.shape[1], k, derive(seed, "random", match[1], cls)).to(activations.device)
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
