"""Stage ``scale``: what the model answers to test clips whose frequency axis is scaled (Becker et al. 2018).

Their voices become those of another register, by nothing but this. All test clips of a class are heard, recognised or
not, as those of the paper are; what scaling alone does is told by the controls beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from earmark.data import chosen, dataset, predictions
from earmark.data.chosen import GALLERY
from earmark.data.dataset import ClassInfo, DataSet
from earmark.job import Job
from earmark.metrics.scaling import AS_IS, AWAY, BACK, SCALED, answered, factors_of
from earmark.models import base as models
from earmark.models.base import Network, logits_of
from earmark.sound import wav
from earmark.sound.scaling import scaled
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", "condition", "factor", "answer", "logit", "answered")

BATCH = 32
"""Clips that are scaled at once; bounds memory and decides nothing."""

HEARD = 3
"""Clips of a class's gallery whose sounds are kept."""


def run(job: Job) -> None:
    """Write ``scaled.csv``, a row per clip, condition and class, and sounds in ``scaled/``, which a list goes with.

    Parameters
    ----------
    job : Job
        Of its configuration: ``evaluate.scaling``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source, answers, choice = dataset.of(job), predictions.of(job), chosen.of(job)
    classes = factors_of(job.config["evaluate"]["scaling"], source)
    folder = job.layout.split(job.split)
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    with artifacts.replacing_directory(folder / "scaled") as target:
        for done, (cls, factor) in enumerate(classes, start=1):
            clips = answers.of_class(source, answers.split(source, job.split, cls).test, cls)
            for part in torch.from_numpy(clips).split(BATCH):
                rows.extend(told(model, source, cls, factor, part, device))
            sounds = write_sounds(target / cls.slug, source, factor, choice.clips(cls.slug, GALLERY)[:HEARD].tolist())
            artifacts.write_csv(target / cls.slug / "clips.csv", ("folder", "clip", "path"), sounds, job.made)
            progress(done, cls.slug)
            log.info("%s: %d test clips, their frequencies times %g", cls.slug, len(clips), factor)
    artifacts.write_csv(folder / "scaled.csv", COLUMNS, rows, job.made)
    artifacts.write_contents(folder / "scaled_sounds.csv", [folder / "scaled"], job.made)


def told(
    model: Network, source: DataSet, cls: ClassInfo, factor: float, clips: Tensor, device: torch.device
) -> Iterator[tuple[Any, ...]]:
    """Yield what the model answers to n clips of a class, in the order of ``COLUMNS``."""
    index = source.clips.iloc[clips.numpy()]
    for condition, sounds in renderings(source.waveforms(clips), factor, model.frontend.sample_rate).items():
        logits = logits_of(model.network, model.frontend(sounds), device)  # [n, C]
        given = answered(logits, model.multi_label)
        about = zip(clips.tolist(), index["path"], index["group"], logits.tolist(), given.tolist(), strict=True)
        for *clip, values, flags in about:
            for answer, logit, flag in zip(model.classes, values, flags, strict=True):
                yield (cls.slug, *clip, condition, factor, answer, logit, int(flag))


def renderings(waveforms: Tensor, factor: float, sample_rate: int) -> dict[str, Tensor]:
    """Render clips ``[n, S]`` in every condition, ``[n, S]`` each."""
    there = scaled(waveforms, factor, sample_rate)
    return {
        AS_IS: waveforms,
        BACK: scaled(there, 1 / factor, sample_rate),
        SCALED: there,
        AWAY: scaled(waveforms, 1 / factor, sample_rate),
    }


def write_sounds(target: Path, source: DataSet, factor: float, clips: list[int]) -> list[tuple[Any, ...]]:
    """Write a folder ``000``, ``001``, ... per clip, a sound in it per condition; the rows of ``clips.csv``."""
    target.mkdir()
    listed = []
    for number, clip in enumerate(clips):
        name = f"{number:03d}"
        (target / name).mkdir()
        for condition, sounds in renderings(source.waveforms([clip]), factor, source.frontend.sample_rate).items():
            wav.write(target / name / f"{condition.replace(' ', '-')}.wav", sounds[0], source.frontend.sample_rate)
        listed.append((name, clip, source.clips["path"].iloc[clip]))
    return listed
