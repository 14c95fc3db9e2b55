"""The basis of a layer that separates the sound objects best, the ceiling of any method.

Knowing the stems, it maximises over all orthogonal bases how much the concepts' relevance at the layer tells of the
objects (:func:`earmark.metrics.objects.information`), on training clips and on the layer's own grid. It explains
nothing; it says how much there is to find.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from earmark.data.dataset import ClassInfo, DataSet, require_stems, stems_of
from earmark.data.predictions import Predictions
from earmark.data.selection import spread
from earmark.explainers.subspaces.basis import Subspaces, check_size, load, random_orthogonal
from earmark.explainers.subspaces.decompose import across, build
from earmark.explainers.subspaces.pairs import Material, opened
from earmark.explainers.subspaces.rotations import SAMPLE_TOLERANCE, Objective, ascend, best_of, sample_of
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import from_config
from earmark.metrics.objects import information, object_cells
from earmark.models.base import Model

log = logging.getLogger(__name__)

# `build`, `across`, `load` and `find` are the doors of a family that earmark.explainers.base opens.
__all__ = ["across", "build", "find", "load"]

TOLERANCE = 1e-5
"""A search ends when it gains less than this, relatively, over ten evaluations."""

CLIPS = 64
"""Clips whose stems are held at once."""


@dataclass(frozen=True)
class Units:
    """Where the relevance of a class arises at a layer, and which objects sound there.

    Attributes
    ----------
    activations, contexts : torch.Tensor
        ``[N, D]``, at positions of the layer's grid.
    shares : torch.Tensor
        Share of a position's input cells that belongs to each object, ``[N, O]``.
    """

    activations: torch.Tensor
    contexts: torch.Tensor
    shares: torch.Tensor

    def only(self, rows: torch.Tensor) -> Units:
        """Keep some positions, ``[n]``."""
        return Units(self.activations[rows], self.contexts[rows], self.shares[rows])


class Separation(Objective):
    """Information of subspaces on the objects of units, by their positive relevance on each."""

    def __init__(self, units: Units, n_subspaces: int) -> None:
        super().__init__(units.activations, units.contexts, n_subspaces)
        self.shares = units.shares

    def on_objects(self, bases: torch.Tensor) -> torch.Tensor:
        """Positive relevance of bases' ``[S, D, D]`` subspaces on objects, pooled over the units: ``[S, K, O]``."""
        return torch.einsum("nsk,no->sko", self.relevance(bases).clamp_min(0), self.shares)

    def evaluated(self, bases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Evaluate bases ``[S, D, D]``: the slope of a positive relevance is the slope of what it is added to."""
        pooled = self.on_objects(bases).double().requires_grad_()
        values = information(pooled)
        (rising,) = torch.autograd.grad(values.sum(), pooled)  # [S, K, O]
        by_unit = torch.einsum("sko,no->nsk", rising.to(self.shares), self.shares)
        sums = self.sums(bases, lambda rows, relevance: by_unit[rows] * (relevance > 0))
        return values.detach(), *sums


def find(method: str, material: Material) -> Subspaces:
    """Search the best subspaces of a class, from every other method's that the job names and from random ones.

    Raises
    ------
    EarmarkError
        If the data set has no stems.
    """
    job, cls = material.job, material.cls
    settings = job.config["explainers"]["oracle"]
    source, answered, model = opened(job)
    clips = training_clips(source, answered, job, cls)
    generator = torch.Generator().manual_seed(job.seed("oracle", cls.slug))
    units = collect(model, source, clips, material, settings["units"], generator)
    bases = [load(job.layout.concept(job.split, job.layer, name, job.k, cls.slug)).basis for name in job.starts]
    bases += [random_orthogonal(units.activations.shape[1], generator) for _ in range(settings["starts"])]
    found = search(units, bases, job.k, settings["iterations"], job.seed("oracle sample", cls.slug), job.starts)
    log.info("%s: information %.3f", cls.slug, found.objective)
    return found.ordered(material.activations.cpu(), material.contexts.cpu())


def training_clips(source: DataSet, predictions: Predictions, job: Job, cls: ClassInfo) -> np.ndarray:
    """Choose training clips of a class that the model recognises, spread over their recordings.

    Raises
    ------
    EarmarkError
        If the data set has no stems.
    """
    require_stems(source)
    usable = predictions.training(source, job.split, cls)
    recordings = source.clips["recording"].to_numpy()[usable]
    count = job.config["explainers"]["oracle"]["clips"]
    return usable[spread(recordings, count, job.seed("oracle clips", cls.slug))]


def collect(
    model: Model, source: DataSet, clips: np.ndarray, material: Material, n_units: int, generator: torch.Generator
) -> Units:
    """Collect the positions of a layer's grid at which any object sounds, a random part of them if they are many.

    Objects' cells are pooled to the grid: a position's share of an object is the part of its input cells that are
    the object's.
    """
    parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    job, cls = material.job, material.cls
    rules = from_config({"lrp": job.config["lrp"]})
    device = next(model.network.parameters()).device
    for chosen in np.array_split(clips, max(1, -(-len(clips) // CLIPS))):
        cells = object_cells(model.frontend, source.waveforms(chosen), stems_of(source, chosen))  # [B, O, F, T]
        inputs = source.inputs(chosen).to(device)
        targets = torch.full((len(chosen),), cls.index, device=device)
        pairs = attributor.pairs_at(model, inputs, targets, job.layer, rules)  # [B, D, *g] each
        shares = model.frontend.reduced(cells.float(), pairs[0].shape[2:])  # [B, O, *g]
        flat = [grid.cpu().movedim(1, -1).flatten(0, -2) for grid in (*pairs, shares)]
        sounding = flat[2].sum(dim=1) > 0
        parts.append((flat[0][sounding], flat[1][sounding], flat[2][sounding]))
    activations, contexts, shares = (torch.cat(column) for column in zip(*parts, strict=True))
    kept = torch.randperm(len(shares), generator=generator)[:n_units].sort().values
    return Units(activations[kept], contexts[kept], shares[kept])


def search(
    units: Units,
    starts: list[torch.Tensor],
    n_subspaces: int,
    max_iterations: int,
    seed: int = 0,
    named: Sequence[str] = (),
) -> Subspaces:
    """Maximise the information over orthogonal bases, from every start.

    Parameters
    ----------
    units : Units
        Positions of one class at one layer.
    starts : list of torch.Tensor
        Orthogonal bases ``[D, D]``.
    n_subspaces : int
        ``K``; must divide ``D``.
    max_iterations : int
        Evaluations per start, on a sample of the units and on all.
    seed : int
        Of the sample.
    named : sequence of str
        Names of the first starts; the others are random ones.

    Returns
    -------
    Subspaces
        The best one found, hence at least as good as every start; ``objective`` is its information.
    """
    size = units.activations.shape[1]
    check_size(size, n_subspaces)
    problems = [(Separation(units, n_subspaces), TOLERANCE)]
    rows = sample_of(len(units.shares), 1, size, torch.Generator().manual_seed(seed))
    if rows is not None:
        problems.insert(0, (Separation(units.only(rows), n_subspaces), SAMPLE_TOLERANCE * TOLERANCE))
    searches = ascend(problems, [start.double() for start in starts], max_iterations)
    return best_of(searches, named, n_subspaces, units.activations.dtype)
