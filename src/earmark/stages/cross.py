"""Stage ``cross``: are concepts of their own class? (thesis, section 4.2.3.2, eq. 4.5, Fig. 4.10).

The explanation of a class is decomposed with the subspaces of every class; what the
decomposition gains over the standard heatmap should be largest for the class's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earmark.data.dataset import open_dataset
from earmark.explainers.explanation import scored
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.decompose import decomposed
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.metrics.flipping import thesis_table
from earmark.metrics.scores import batches, ties_seed
from earmark.models import base as models
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER

CLIP_COLUMNS = ("attributed", "subspaces", "clip", "path", "group", "standard", "thesis", "delta")


def run(job: Job) -> None:
    """Write ``cross_class.csv`` (rows attributed class, columns subspaces) and the clips behind it.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``evaluate``, ``seed``.
    """
    device = models.device(job.gpu)
    network = models.load(job.layout.model(job.split))[0].to(device)
    source = open_dataset(job.layout)
    slugs = [cls.slug for cls in source.classes]
    rules = from_config({"lrp": job.config["lrp"]})
    folders = [job.layout.concept(job.split, job.layer, job.method, job.k, slug) for slug in slugs]
    bases = [basis.load(folder / "subspaces.safetensors") for folder in folders]

    progress = job.progress(len(slugs))
    matrix: list[list[Any]] = []
    rows: list[list[Any]] = []
    for cls in source.classes:
        clips, standard, _ = scored(
            job.layout.concept(job.split, INPUT_LAYER, "standard", 1, cls.slug) / "heatmaps.safetensors"
        )
        index = source.clips.iloc[clips]
        reference, scores = np.empty(len(clips)), np.empty((len(clips), len(slugs)))
        for part in batches(len(clips)):
            inputs = source.logmel(clips[part]).to(device)
            targets = torch.full((len(inputs),), cls.index, device=device)
            reference[part], scores[part] = score_row(
                network,
                inputs,
                targets,
                standard[part].to(device),
                decomposed(network, inputs, targets, job.layer, bases, rules),  # unnamed: gone before the next
                job.config,
            )
        deltas = reference[:, None] - scores
        for column, slug in enumerate(slugs):
            values = np.stack([reference, scores[:, column], deltas[:, column]], axis=1).tolist()
            for clip, path, group, triple in zip(clips, index["path"], index["group"], values, strict=True):
                rows.append([cls.slug, slug, clip, path, group, *triple])
        matrix.append([cls.slug, *deltas.mean(axis=0).tolist()])
        progress(len(matrix), cls.slug)

    folder, made = job.folder, job.made
    artifacts.write_csv(folder / "cross_class_clips.csv", CLIP_COLUMNS, rows, made)
    artifacts.write_csv(folder / "cross_class.csv", ["attributed", *slugs], matrix, made)


def score_row(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    standard: Tensor,
    decomposed: Sequence[Tensor],
    config: Mapping[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Score clips of one class under every class's subspaces.

    Parameters
    ----------
    network : nn.Module
        The explained model.
    inputs : Tensor [B, 1, F, T]
        The clips: those that the heatmaps belong to are those that are flipped.
    targets : Tensor [B]
        The attributed class.
    standard : Tensor [B, 1, 1, F, T]
        Their standard heatmaps.
    decomposed : sequence of Tensor [B, K, 1, F, T]
        Their heatmaps under each of C classes' subspaces.
    config : mapping
        ``evaluate`` and ``seed``.

    Returns
    -------
    standard : array [B]
        Thesis score of the standard heatmap.
    scores : array [B, C]
        Thesis score under each class's subspaces.
    """
    patch, seed = config["evaluate"]["patch"], ties_seed(config)
    scores = thesis_table(network, inputs, targets, [standard, *decomposed], patch, seed).cpu().numpy()
    return scores[:, 0], scores[:, 1:]
