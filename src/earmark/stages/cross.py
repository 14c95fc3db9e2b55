"""Stage ``cross``: are concepts of their own class? (thesis, section 4.2.3.2, eq. 4.5, Fig. 4.10).

The explanation of a class is decomposed with the subspaces of every class; what the
decomposition gains over the standard heatmap should be largest for the class's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from earmark.data import dataset
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.job import Job
from earmark.metrics.flipping import thesis_table
from earmark.metrics.scores import ties_seeds
from earmark.models import base as models
from earmark.models.base import Model
from earmark.store import artifacts

CLIP_COLUMNS = ("attributed", "subspaces", "clip", "path", "group", "standard", "thesis", "delta")


def run(job: Job) -> None:
    """Write ``cross_class.csv`` (rows attributed class, columns subspaces) and the clips behind it.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``evaluate``, ``seed``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source = dataset.of(job)
    classes = dataset.explained(job.config, source)
    # A class without clips has nothing to be attributed, and subspaces of nothing.
    slugs = [cls.slug for cls in classes if not explanation.standard(job, cls.slug).reason]
    states, seeds = ([found(job, slug) for slug in slugs] for found in (explainers.state_of, explainers.seed_of))
    explain = explainers.across(job.method, model, job.layer, job.config, states, seeds)

    progress = job.progress(len(classes))
    matrix: list[list[Any]] = []
    rows: list[list[Any]] = []
    for cls in classes:
        found = explanation.standard(job, cls.slug)
        found = found.only(found.scored)
        clips = found.clips.numpy()
        index = source.clips.iloc[clips]
        reference, scores = np.empty(len(clips)), np.empty((len(clips), len(slugs)))
        done = 0
        for batch in explainers.batches(source, clips, cls, job.method, device):
            part = slice(done, done + len(batch.clips))
            standard = found.heatmaps[part].to(device)
            several = [parts.maps for parts in explain(batch) if parts.maps is not None]
            reference[part], scores[part] = score_row(
                model,
                batch.inputs,
                batch.targets,
                standard,
                several,
                job.config["evaluate"]["patch"],
                ties_seeds(job.config["seed"], index["path"].iloc[part]),
            )
            done = part.stop
        deltas = reference[:, None] - scores
        for column, slug in enumerate(slugs):
            values = np.stack([reference, scores[:, column], deltas[:, column]], axis=1).tolist()
            for clip, path, group, triple in zip(clips.tolist(), index["path"], index["group"], values, strict=True):
                rows.append([cls.slug, slug, clip, path, group, *triple])
        means = dict(zip(slugs, deltas.mean(axis=0).tolist(), strict=True)) if cls.slug in slugs else {}
        matrix.append([cls.slug, *(means.get(other.slug, "") for other in classes)])
        progress(len(matrix), cls.slug)

    folder, made = job.folder, job.made
    artifacts.write_csv(folder / "cross_class_clips.csv", CLIP_COLUMNS, rows, made)
    artifacts.write_csv(folder / "cross_class.csv", ["attributed", *(cls.slug for cls in classes)], matrix, made)


def score_row(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    standard: Tensor,
    decomposed: Sequence[Tensor],
    patch: int,
    seeds: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Score clips of one class under every class's subspaces.

    Parameters
    ----------
    model : Model
        The explained one.
    inputs : Tensor [B, 1, F, T]
        The clips: those that the heatmaps belong to are those that are flipped.
    targets : Tensor [B]
        The attributed class.
    standard : Tensor [B, 1, 1, F, T]
        Their standard heatmaps.
    decomposed : sequence of Tensor [B, K, 1, F, T]
        Their heatmaps under each of C classes' subspaces.
    patch : int
        Side of a patch, in cells.
    seeds : sequence of int [B]
        From :func:`earmark.metrics.scores.ties_seeds`.

    Returns
    -------
    standard : array [B]
        Thesis score of the standard heatmap.
    scores : array [B, C]
        Thesis score under each class's subspaces.
    """
    scores = thesis_table(model, inputs, targets, [standard, *decomposed], patch, seeds).cpu().numpy()
    return scores[:, 0], scores[:, 1:]
