"""Stage ``track``: a recording of any length explained as a whole, as numbers, as sounds and as a page."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import dataset, predictions
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.decode import decode
from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers import tracks
from earmark.job import Job
from earmark.models import base as models
from earmark.page import reel
from earmark.sound.base import Frontend
from earmark.sound.tracks import Joined, Tiling
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD, asked_for

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write the folder of a track: per class its sounds, ``score.csv`` and ``logits.csv``; ``track.json``, and a page.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``sonify.percentile``, ``explain.classes``; ``tracks`` holds the
        one track.

    Raises
    ------
    EarmarkError
        If the recording cannot be heard, or no class can be explained.
    """
    (track,) = job.config["tracks"]
    path = Path(track["file"]).expanduser()
    model, source = models.of(job), dataset.of(job)
    if model.frontend.frequencies is None:
        raise EarmarkError("the front end does not say where the cells of its inputs lie: nothing is heard of a track")
    with artifacts.replacing_directory(job.layout.track(job.split, job.layer, job.method, job.k, job.track)) as folder:
        heard = decode(path, model.frontend.sample_rate, folder)
        if heard.reason:
            raise EarmarkError(f"the track '{path}' is not explained: {heard.reason}")
        if heard.remark:
            log.warning("%s: %s", path, heard.remark)
        tiling = Tiling.of(model.frontend, len(heard.samples))
        answers = tracks.answers(model, heard.samples, tiling, models.device(job.gpu))  # [n, C]
        chosen, remarks = classes_of(job, source, answers.mean(dim=0), track["classes"])
        progress = job.progress(len(chosen) * len(tiling.starts))
        about = {
            "name": job.track,
            "file": path.name,
            "seconds": len(heard.samples) / model.frontend.sample_rate,
            "sha256": heard.sha256,
            "remarks": [*remarks, *([heard.remark] if heard.remark else [])],
        }
        standard = explainers.build(STANDARD, model, INPUT_LAYER, job.config, None, 0)
        page = reel.Reel(folder / "files", model, about, answers, tiling)
        gains: dict[str, float] = {}
        for number, cls in enumerate(chosen):
            own, before = folder / cls.slug, number * len(tiling.starts)

            def told(done: int, before: int = before) -> None:
                progress(before + done, job.track)

            state, seed = explainers.state_of(job, cls.slug), explainers.seed_of(job, cls.slug)
            parts = explainers.build(job.method, model, job.layer, job.config, state, seed)
            joined = tracks.explained(model, (standard, parts), heard.samples, tiling, cls, folder, told)
            gains[cls.slug] = write(own, job, model.frontend, heard.samples, joined)
            times = (f"{second:.4f}" for second in tiling.middles(model.frontend))
            rows = [[time, *map(str, logits)] for time, logits in zip(times, answers.tolist(), strict=True)]
            artifacts.write_csv(own / "logits.csv", ["second", *model.classes], rows, job.made)
            page.put(job, cls, own)
        page.close(job, source)
        artifacts.write_json(folder / "track.json", {**about, "gains": gains}, job.made)


def classes_of(job: Job, source: DataSet, mean: torch.Tensor, asked: list[str]) -> tuple[list[ClassInfo], list[str]]:
    """Choose the classes that a track is explained for, and say what is remarkable about that.

    The class of the mean logits ``[C]`` first, of those that are explained; then the classes that were `asked` for.

    Raises
    ------
    EarmarkError
        If nothing of a class that was asked for, or of any, can be explained.
    """
    answered = predictions.of(job)
    classes = dataset.explained(job.config, source)
    lacking = {cls.slug: answered.lacking(source, job.split, cls) for cls in classes}
    able = [cls for cls in classes if not lacking[cls.slug]]
    if not able:
        raise EarmarkError(f"the track {job.track} is not explained: no class of {job.dataset} can be")
    top = max(able, key=lambda cls: float(mean[cls.index]))
    remarks = []
    first = int(mean.argmax())
    if top.index != first:
        remarks.append(
            f"the model answers {source.classes[first].name}, which is not explained: {top.name} comes next of those "
            "that are"
        )
    if mean[top.index] <= 0:
        remarks.append("the model takes it for nothing that it knows: no mean logit of what is explained is above 0")
    chosen = {top.slug: top}
    called, known = {cls.name: cls.slug for cls in classes}, {cls.slug: cls for cls in classes}
    for name in asked:
        slugs = asked_for(called, [name])
        why = lacking[slugs[0]] if slugs else "it is not among explain.classes"
        if why:
            raise EarmarkError(f"the track {job.track} is not explained for {name}: {why}")
        chosen[slugs[0]] = known[slugs[0]]
    for remark in remarks:
        log.warning("%s: %s", job.track, remark)
    return list(chosen.values()), remarks


def write(folder: Path, job: Job, frontend: Frontend, track: NDArray[np.int16], joined: Joined) -> float:
    """Write the sounds of a track for a class, and how relevant each concept is over time; the gain of all sounds."""
    folder.mkdir()
    gain = tracks.write_sounds(folder, frontend, track, joined, job.config["sonify"]["percentile"])
    if gain < 1:
        log.warning("%s: all sounds are lowered to %.3f of their level, where none is clipped", job.track, gain)
    scores = tracks.scores(joined, frontend)
    artifacts.write_csv(folder / "score.csv", ("second", "concept", "relevance"), scores, job.made)
    return gain
