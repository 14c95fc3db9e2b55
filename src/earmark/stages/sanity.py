"""Stage ``sanity``: whether a method's maps change with what they should explain, and stay with what should not matter.

With another network, or for another class, an explanation must be another one (Adebayo et al. 2018); with another seed,
a little noise or a clip that begins a frame later it must be the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED
from earmark.data.dataset import ClassInfo
from earmark.data.selection import spread
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.explainers.base import Batch
from earmark.job import Job
from earmark.metrics.sanity import CLASS, NETWORK, NOISE, SEED, SHIFT, column, cosine, later, noisy, spearman
from earmark.models import base as models
from earmark.models.base import Model
from earmark.models.contrasts import NothingToDraw, randomised, runners_up
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", "check", "cosine", "spearman")


def run(job: Job) -> None:
    """Write ``sanity.csv``: how alike each clip's map is to the original, a row per check.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``evaluate.sanity_clips``, ``explain.classes``, ``seed``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    other = another_network(job, model)
    source, choice = dataset.of(job), chosen.of(job)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    for done, cls in enumerate(classes, start=1):
        clips = choice.clips(cls.slug, SCORED)
        groups = source.clips["group"].to_numpy(str)[clips]
        clips = clips[spread(groups, job.config["evaluate"]["sanity_clips"], job.seed("sanity", cls.slug))]
        if not len(clips):  # a class without any may lack what its maps are made of
            progress(done, cls.slug)
            continue
        compare = comparisons(job, model, other, cls)
        for batch in explainers.batches(source, clips, cls, job.method, device):
            index = source.clips.iloc[batch.clips]
            about = list(zip(batch.clips.tolist(), index["path"], index["group"], strict=True))
            for check, alike, ranked in compare(batch, source.waveforms(batch.clips).to(device)):
                for clip, *values in zip(about, alike.tolist(), ranked.tolist(), strict=True):
                    rows.append((cls.slug, *clip, check, *("" if math.isnan(value) else value for value in values)))
        progress(done, cls.slug)
    artifacts.write_csv(job.folder / "sanity.csv", COLUMNS, rows, job.made)


def another_network(job: Job, model: Model) -> Model | None:
    """Draw the upper half of the network anew; None, and a warning, where nothing can be drawn."""
    try:
        return randomised(model, job.seed("sanity", "network"))
    except NothingToDraw as error:
        log.warning("no other network to compare with: %s", error)
        return None


def comparisons(
    job: Job, model: Model, other: Model | None, cls: ClassInfo
) -> Callable[[Batch, Tensor], Iterator[tuple[str, Tensor, Tensor]]]:
    """Return a function of clips and their waveforms ``[B, S]`` that yields checks, cosines and rank correlations."""
    state, seed = explainers.state_of(job, cls.slug), explainers.seed_of(job, cls.slug)
    frontend, step = model.frontend, column(model.frontend)

    def explainer(of: Model, by: int) -> Callable[[Batch], Tensor]:
        made = explainers.build(job.method, of, job.layer, job.config, state, by)
        return lambda batch: explanation.joined(explanation.maps_of(made(batch)))  # [B, F, T]

    same, reseeded = explainer(model, seed), explainer(model, job.seed(seed, "sanity", "seed"))
    foreign = None if other is None else explainer(other, seed)

    def heard(batch: Batch, waveforms: Tensor, clips: Tensor, stems: Tensor) -> Batch:
        return replace(batch, waveforms=waveforms, inputs=frontend(waveforms, like=clips), stems=stems)

    def compare(batch: Batch, clips: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        original = same(batch)

        def told(check: str, maps: Tensor, wanted: Tensor = original) -> tuple[str, Tensor, Tensor]:
            return check, cosine(maps, wanted), spearman(maps, wanted)

        if foreign is not None:
            yield told(NETWORK, foreign(batch))
        if len(model.classes) > 1:
            yield told(CLASS, same(replace(batch, targets=runners_up(model, batch.inputs, batch.targets))))
        yield told(SEED, reseeded(batch))
        seeds = [job.seed("sanity", "noise", clip) for clip in batch.clips.tolist()]
        yield told(NOISE, same(heard(batch, noisy(clips, seeds), clips, batch.stems)))
        if step is not None:
            moved = same(heard(batch, later(clips, step), clips, later(batch.stems, step)))
            yield told(SHIFT, moved[..., 1:], original[..., :-1])

    return compare
