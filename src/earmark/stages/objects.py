"""Stage ``objects``: where the concepts' relevance lies among the known sound objects, clip by clip.

For data with stems only. Measured are clips that hold all objects, where the data set has such sets, once for
validation, on which choices are made, and once for test. What is only reported is measured on the latter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from earmark.data import chosen, dataset
from earmark.data.chosen import SETS
from earmark.data.dataset import TEST, DataSet, require_stems, stems_of
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.job import Job
from earmark.metrics.objects import BACKGROUND, object_cells, rank_accuracy, relevance_on
from earmark.metrics.sound import si_sdr
from earmark.models import base as models
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend
from earmark.sound.masks import render
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD

COLUMNS = (
    "set",
    "cls",
    "clip",
    "path",
    "group",
    "logit",
    "concept",
    "object",
    "cells",
    "relevance",
    "rank_accuracy",
    "si_sdr",
)


def run(job: Job) -> None:
    """Write ``objects.csv``: one row per clip, concept and object.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``sonify``, ``objects.sounds``, ``seed``.

    Raises
    ------
    EarmarkError
        If the data set has no stems.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source, choice = dataset.of(job), chosen.of(job)
    require_stems(source)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes) * len(SETS))
    whole = explainers.build(STANDARD, model, INPUT_LAYER, job.config, None, 0)
    summing = "sums_to_standard" in method_of(job.method).promises
    rows: list[tuple[Any, ...]] = []
    for which, cls, clips, logits, _ in choice.truths(classes, progress):
        state, seed = explainers.state_of(job, cls.slug), explainers.seed_of(job, cls.slug)
        explain = explainers.build(job.method, model, job.layer, job.config, state, seed)
        sounds = job.config["objects"]["sounds"] if which == TEST else 0
        told = dict(zip(clips.tolist(), logits.tolist(), strict=True))
        for batch in explainers.batches(source, clips, cls, job.method, device):
            parts = explain(batch)
            heatmaps = explanation.maps_of(parts)  # [B, K, 1, F, T]
            own = parts.sounds if method_of(job.method).parts else None  # the sound of one part is what `mask` scores
            rendered = batch.first(sounds)
            standard = explanation.maps_of(whole(rendered))  # [R, 1, 1, F, T]
            sounds -= len(rendered.clips)
            maps = standard[:, 0], heatmaps[:, :, 0]
            measured = measure(
                source, model.frontend, batch.clips, *maps, job.config, ranked=which == TEST, summing=summing, own=own
            )
            index = source.clips.iloc[batch.clips]
            about = zip(batch.clips.tolist(), index["path"], index["group"], measured, strict=True)
            for clip, path, group, found in about:
                rows.extend((which, cls.slug, clip, path, group, told[clip], *values) for values in found)
    artifacts.write_csv(job.folder / "objects.csv", COLUMNS, rows, job.made)


def measure(
    source: DataSet,
    frontend: Frontend,
    clips: np.ndarray,
    standard: torch.Tensor,
    heatmaps: torch.Tensor,
    config: dict[str, Any],
    ranked: bool,
    summing: bool,
    own: torch.Tensor | None = None,
) -> list[list[tuple[Any, ...]]]:
    """Compare concepts with objects.

    Parameters
    ----------
    source, frontend
        What the clips and their stems are read from and seen through.
    clips : array of int [B]
        Rows of the clip index.
    standard : torch.Tensor
        ``[R, 1, F, T]`` of the first R clips, which are rendered as sound.
    heatmaps : torch.Tensor
        ``[B, K, F, T]``.
    config : dict
        ``sonify``.
    ranked : bool
        Whether to compute rank accuracies.
    summing : bool
        Whether the concepts are parts of the standard heatmap, but for what passes their layer by.
    own : torch.Tensor, optional
        ``[B, K, S]``, where the method makes its concepts' sounds itself.

    Returns
    -------
    list of list of tuple
        Per clip the rows (concept, object, cells, relevance, rank_accuracy, si_sdr), empty where not computed; an
        object that is silent in a clip has no row.

    Raises
    ------
    EarmarkError
        If the data set has no stems.
    """
    stems, waveforms = stems_of(source, clips), source.waveforms(clips)
    cells = object_cells(frontend, waveforms, stems)  # [B, O, F, T]
    everywhere = torch.cat([~cells.any(dim=1, keepdim=True), cells], dim=1)  # [B, 1 + O, F, T], the background first
    relevance = relevance_on(heatmaps, everywhere)  # [B, K, 1 + O]
    unknown = torch.full((*heatmaps.shape[:2], stems.shape[1]), torch.nan, dtype=torch.float64)  # [B, K, O]
    accuracy = rank_accuracy(heatmaps, cells) if ranked else unknown
    ratios = unknown.clone()
    sizes = everywhere.flatten(2).sum(dim=2)  # [B, 1 + O]
    options = config["sonify"]["percentile"], config["sonify"]["inverse"]
    for row in range(len(standard)):
        around = explanation.bypass(heatmaps[row], standard[row, 0]) if summing else None
        if own is not None:
            sounds = own[row].cpu()  # [K, S]
        else:
            sounds = render(frontend, waveforms[row], standard[row], heatmaps[row], *options, around)
        ratios[row] = si_sdr(sounds, stems[row])
    sounding = stems.abs().amax(dim=2) > 0  # [B, O]
    return [list(_rows(*parts)) for parts in zip(relevance, accuracy, sizes, ratios, sounding, strict=True)]


def _rows(
    relevance: torch.Tensor,
    accuracy: torch.Tensor,
    sizes: torch.Tensor,
    ratios: torch.Tensor,
    sounding: torch.Tensor,
) -> Iterator[tuple[Any, ...]]:
    for concept, (sums, hits) in enumerate(zip(relevance.tolist(), accuracy.tolist(), strict=True), start=1):
        yield concept, BACKGROUND, int(sizes[BACKGROUND]), sums[BACKGROUND], "", ""
        for place in torch.nonzero(sounding).squeeze(1).tolist():
            number = place + 1
            scores = hits[place], float(ratios[concept - 1, place])
            known = ("" if math.isnan(score) else score for score in scores)
            yield concept, number, int(sizes[number]), sums[number], *known
