"""Stage ``imitate``: whether a method that answers by parts of its own answers as the network does, and by what.

All test clips are answered, recognised or not. What matters to an answer is taken out of the clip, and the network is
asked again, beside as much else of the clip.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earmark.data import dataset, predictions
from earmark.explainers import base as explainers
from earmark.explainers.interpreters.components import relevance
from earmark.job import Job
from earmark.metrics.imitation import TOP, agrees, losses, overlaps
from earmark.models import base as models
from earmark.store import artifacts

log = logging.getLogger(__name__)

CLIP = ("cls", "clip", "path", "group")

RIGHT = ("right", "right_network", "right_model")
"""Whether the imitation, what it imitates, and the model are right of a clip that has a label."""

IMITATED = (*CLIP, "answer", "top1", "top5", "chance", *RIGHT)

REMOVED = (
    *(*CLIP, "threshold", "components", "energy", "ff", "lost"),
    *("random_energy", "random_ff", "random_lost"),
)

COMPONENTS = (*CLIP, "component", "contribution", "share")

SPECTRA = ("component", "learned_from", "frequency", "amplitude")

BATCH = 16
"""Clips at once; bounds memory and decides nothing."""


def run(job: Job) -> None:
    """Write ``imitated.csv``, ``removed.csv``, ``components.csv`` and ``spectra.csv`` of the job's method.

    ``cls`` is the clip's label, without labels what the network that is imitated answers; of components always the
    latter, since it is this answer that they add to.

    Parameters
    ----------
    job : Job
        Of its configuration: ``explainers``, ``seed``.
    """
    device, source = models.device(job.gpu), dataset.of(job)
    state = explainers.state_of(job, "")
    found = explainers.family(job.method).imitation(job.method, models.of(job), job.config, state)
    clips = torch.from_numpy(source.split(job.split).test)
    slugs = [cls.slug for cls in source.classes]
    progress = job.progress(len(clips))
    answers: list[Tensor] = []
    given: list[Tensor] = []
    removed: list[tuple[Any, ...]] = []
    parts: list[tuple[Any, ...]] = []
    for rows in clips.split(BATCH):
        waveforms, inputs = source.waveforms(rows).to(device), source.inputs(rows).to(device)
        heard, logits = found(inputs), models.answered(found.model, inputs)
        targets = logits.argmax(dim=1)
        given.append(logits.cpu())
        answers.append(heard.contributions.sum(dim=2).cpu())
        contributions = heard.of(targets)  # [B, K]
        every = torch.eye(contributions.shape[1], device=device).expand(len(rows), -1, -1)
        masks, power = found.masks(heard, every), found.model.frontend.stft(waveforms).abs().square()
        index, named = source.clips.iloc[rows.numpy()], source.targets(rows) if source.labelled else targets
        for row, about in enumerate(zip(rows.tolist(), index["path"], index["group"], strict=True)):
            gram = overlaps(masks[row], power[row])  # [K, K]
            generator = torch.Generator().manual_seed(job.seed("imitate", job.method, about[0]))
            relevances = relevance(contributions[row])
            told = losses(found.model, waveforms[row], targets[row], masks[row], relevances, gram, generator)
            removed.extend((slugs[int(named[row])], *about, *values) for values in told)
            shares = gram.sum(dim=1)
            of_each = enumerate(zip(contributions[row].tolist(), shares.tolist(), strict=True), start=1)
            parts.extend((slugs[int(targets[row])], *about, number, *values) for number, values in of_each)
        progress(len(parts) // contributions.shape[1])
    folder = job.layout.trained(job.split, job.method)
    rows_of = compared(job, clips.numpy(), torch.cat(given), torch.cat(answers))
    artifacts.write_csv(folder / "imitated.csv", IMITATED, rows_of, job.made)
    artifacts.write_csv(folder / "removed.csv", REMOVED, removed, job.made)
    artifacts.write_csv(folder / "components.csv", COMPONENTS, parts, job.made)
    artifacts.write_csv(folder / "spectra.csv", SPECTRA, spectra(job, found), job.made)
    log.info("%d test clips answered", len(clips))


def compared(job: Job, clips: np.ndarray, given: Tensor, answers: Tensor) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of ``imitated.csv`` by what the network gave ``[N, C]`` and its imitation answers ``[N, C]``."""
    source, index = dataset.of(job), dataset.of(job).clips.iloc[clips]
    slugs = [cls.slug for cls in source.classes]
    targets, said = given.argmax(dim=1), answers.argmax(dim=1)
    other = said[torch.randperm(len(said), generator=torch.Generator().manual_seed(job.seed("imitate", "chance")))]
    among = agrees(answers, targets, TOP).int().tolist() if len(slugs) > TOP else [""] * len(clips)
    labels = source.targets(clips)
    model = torch.from_numpy(predictions.of(job).answers(clips))
    right = [(one == labels).int().tolist() if source.labelled else [""] * len(clips) for one in (said, targets, model)]
    columns = (
        [slugs[target] for target in (labels if source.labelled else targets).tolist()],
        clips.tolist(),
        index["path"],
        index["group"],
        [slugs[answer] for answer in said.tolist()],
        (said == targets).int().tolist(),
        among,
        (other == targets).int().tolist(),
        *right,
    )
    yield from zip(*columns, strict=True)


def spectra(job: Job, found: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of ``spectra.csv``."""
    source, dictionary = dataset.of(job), found.imitator.dictionary.cpu()  # [F, K]
    frequencies = np.linspace(0, found.model.frontend.sample_rate / 2, len(dictionary))
    for number, (spectrum, cls) in enumerate(zip(dictionary.T.tolist(), found.learned_from, strict=True), start=1):
        for frequency, amplitude in zip(frequencies, spectrum, strict=True):
            yield number, source.classes[cls].slug, f"{frequency:.6g}", f"{amplitude:.6g}"
