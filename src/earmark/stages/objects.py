"""Stage ``objects``: where the concepts' relevance lies among the known sound objects, clip by clip.

For data with stems only. Measured are clips that hold all objects, where the data set has such sets, once for
validation, on which choices are made, and once for test. What is only reported is measured on the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from earmark.data import chosen, dataset
from earmark.data.chosen import SETS
from earmark.data.dataset import TEST, require_stems, stems_of
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.job import Job
from earmark.metrics.recovery import MEASURED, recovery
from earmark.models import base as models
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend
from earmark.sound.masks import render
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD

COLUMNS = ("set", "cls", "clip", "path", "group", "logit", *MEASURED)


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
            heatmaps = explanation.maps_of(parts)[:, :, 0]  # [B, K, F, T]
            own = parts.sounds if method_of(job.method).parts else None  # the sound of one part is what `mask` scores
            rendered = batch.first(sounds)
            standard = explanation.maps_of(whole(rendered))[:, 0]  # [R, 1, F, T]
            sounds -= len(rendered.clips)
            stems, waveforms = stems_of(source, batch.clips), source.waveforms(batch.clips)
            made: Iterable[Tensor]
            if own is not None:
                made = own[: len(standard)].cpu()
            else:
                made = concept_sounds(model.frontend, waveforms, standard, heatmaps, job.config["sonify"], summing)
            measured = recovery(model.frontend, waveforms, stems, heatmaps, made, ranked=which == TEST)
            index = source.clips.iloc[batch.clips]
            about = zip(batch.clips.tolist(), index["path"], index["group"], measured, strict=True)
            for clip, path, group, found in about:
                rows.extend((which, cls.slug, clip, path, group, told[clip], *values) for values in found)
    artifacts.write_csv(job.folder / "objects.csv", COLUMNS, rows, job.made)


def concept_sounds(
    frontend: Frontend,
    waveforms: Tensor,
    standard: Tensor,
    heatmaps: Tensor,
    settings: Mapping[str, Any],
    summing: bool,
) -> Iterator[Tensor]:
    """Render the concepts of the first R of B clips.

    Parameters
    ----------
    frontend : Frontend
        What the clips are seen through.
    waveforms : Tensor
        ``[B, S]``.
    standard : Tensor
        Standard heatmaps ``[R, 1, F, T]``.
    heatmaps : Tensor
        ``[B, K, F, T]``.
    settings : mapping
        ``sonify``.
    summing : bool
        Whether the concepts are parts of the standard heatmap, but for what passes their layer by.

    Yields
    ------
    Tensor
        ``[K, S]``.
    """
    options = settings["percentile"], settings["inverse"]
    for row, whole in enumerate(standard):
        around = explanation.bypass(heatmaps[row], whole[0]) if summing else None
        yield render(frontend, waveforms[row], whole, heatmaps[row], *options, around)
