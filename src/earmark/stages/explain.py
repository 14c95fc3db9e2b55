"""Stage ``explain``: the explanation of every class's chosen clips, by any method, and what it costs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED, Chosen
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.selection import evenly, spread
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.explainers.base import Parts
from earmark.explainers.explanation import Explanation
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import Model
from earmark.models.meter import Meter
from earmark.plan.config import OCCLUSION
from earmark.plan.methods import method_of
from earmark.store import artifacts
from earmark.store.layout import STANDARD

log = logging.getLogger(__name__)

COST = ("cls", "clips", "forward", "backward", "seconds", *explanation.CHECKED)


def run(job: Job) -> None:
    """Write ``heatmaps.safetensors`` for every class, and ``cost.csv``, a row per class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``explain.classes``, ``seed``; of methods that ask the model
        hundreds of times per clip also ``explain.expensive``.
    """
    model = models.of(job)
    source, choice = dataset.of(job), chosen.of(job)
    classes = dataset.explained(job.config, source)
    asked = method_of(job.method)
    few = scored_of(job, source, choice, classes, job.config["explain"]["expensive"] if asked.expensive else None)
    costs: list[tuple[Any, ...]] = []
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        clips, logits, gallery, scored = choice.explained(cls.slug, few[cls.slug])
        meter = Meter()
        if len(clips) and not any(count for _, count, *_ in costs):
            # In vain: what a process loads and sets up when it first explains is no cost of a clip.
            explained(job, model, source, cls, clips[:1], Meter())
        parts = explained(job, model, source, cls, clips, meter) if len(clips) else nothing(job, model)
        made = Explanation(
            torch.from_numpy(clips),
            torch.from_numpy(logits),
            torch.from_numpy(gallery),
            torch.from_numpy(scored),
            parts.maps,
            parts.samples,
            parts.sounds,
            choice.left_out(cls.slug, SCORED),
            dict(parts.checks),
            job.of_class(cls.slug) / explanation.NAME,
            choice.reason(cls.slug),
        )
        # Drops of the logit, unlike relevance, are no parts of it.
        summing = "sums_to_standard" in asked.promises and job.config["lrp"]["rules"] != OCCLUSION
        if summing and len(clips):
            whole = made if job.method == STANDARD else explanation.standard(job, cls.slug).of(clips.tolist())
            made.checks.update(explanation.checked(made, whole))
        log.info("%s: %d clips explained, %d left out", cls.slug, len(clips), made.left_out)
        for name, value in made.checks.items():
            log.info("%s: %s %.3g", cls.slug, name, value)
        explanation.write(made, job.made)
        checked = (made.checks.get(name, "") for name in explanation.CHECKED)
        costs.append((cls.slug, len(clips), meter.forward, meter.backward, f"{meter.seconds:.6f}", *checked))
        progress(done, cls.slug)
    artifacts.write_csv(job.folder / "cost.csv", COST, costs, job.made)


def scored_of(
    job: Job, source: DataSet, choice: Chosen, classes: Sequence[ClassInfo], most: int | None
) -> dict[str, NDArray[np.int64]]:
    """Choose, by slug of the class, those of the scored clips that are explained.

    At most so many of all classes together, as evenly over these as can be, and the same by all methods; None: all.
    They are drawn as those of the gallery, which are among them where both are drawn from the same.
    """
    scored = [choice.clips(cls.slug, SCORED) for cls in classes]
    counts = evenly(list(map(len, scored)), most)
    recordings = source.clips["recording"].to_numpy()
    return {
        cls.slug: clips[spread(recordings[clips], count, job.seed("gallery", cls.slug))]
        for cls, clips, count in zip(classes, scored, counts, strict=True)
    }


def explained(job: Job, model: Model, source: DataSet, cls: ClassInfo, clips: NDArray[np.int64], meter: Meter) -> Parts:
    """Explain clips of a class, at least one; what is read from disk for it is not metered."""
    device = models.device(job.gpu)
    state, seed = explainers.state_of(job, cls.slug), explainers.seed_of(job, cls.slug)
    watched = meter.read(model)
    with meter.running(device):
        explain = explainers.build(job.method, watched, job.layer, job.config, state, seed)
    parts = []
    for batch in explainers.batches(source, clips, cls, job.method, device):
        with meter.running(device):
            parts.append(explain(batch))
    return explainers.joined(parts)


def nothing(job: Job, model: Model) -> Parts:
    """Explain no clip, by no explainer: a class without any may lack what one is made of."""
    return Parts(torch.empty(0, job.k, *model.frontend.grid))
