"""Stage ``track``: a recording of any length explained as a whole, as numbers, as sounds and as a page."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from earmark.data import dataset, predictions
from earmark.data.dataset import FULL_SCALE, ClassInfo, DataSet
from earmark.data.decode import Decoded, decode
from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers import tracks
from earmark.explainers.explanation import ROUNDING
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import Network
from earmark.page import reel
from earmark.sound.tracks import Joined, Scale, Tiling, rendered, scale_of
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD, asked_for

log = logging.getLogger(__name__)

TENTHS = 0.1
"""Seconds that a row of ``score.csv`` stands for, as nearly as whole frames allow."""

DEPTH = "PCM_24"
"""Of sounds: concepts that are faint at their true level are not rounded away."""


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
            gains[cls.slug] = write(own, job, model, heard, joined)
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


def write(folder: Path, job: Job, model: Network, heard: Decoded, joined: Joined) -> float:
    """Write the sounds of a track for a class, and how relevant each concept is over time; the gain of all sounds."""
    folder.mkdir()
    scale = scale_of(joined, job.config["sonify"]["percentile"], ROUNDING)
    gain = 1.0
    while (peak := _write_sounds(folder, model, heard, joined, scale, gain)) > 1.0:
        gain *= 0.99 / peak
        log.warning("%s: all sounds are lowered to %.3f of their level, where none is clipped", job.track, gain)
    rows = scores(joined, model.frontend.hop, model.frontend.sample_rate)
    artifacts.write_csv(folder / "score.csv", ("second", "concept", "relevance"), rows, job.made)
    return gain


def _write_sounds(folder: Path, model: Network, heard: Decoded, joined: Joined, scale: Scale, gain: float) -> float:
    """Write sounds, multiplied by a gain, as FLAC; their peak then."""
    concepts = [f"concept{number}" for number in range(1, joined.parts)]
    names = ["input", "standard", *concepts, *(["bypass"] if scale.bypassed else []), "rest"]
    rate, peak, done = model.frontend.sample_rate, 0.0, 0
    with ExitStack() as opened:
        files = [
            opened.enter_context(soundfile.SoundFile(folder / f"{name}.flac", "w", rate, 1, DEPTH, format="FLAC"))
            for name in names
        ]
        for block in rendered(model.frontend, heard.samples, joined, scale):
            whole = torch.from_numpy(heard.samples[done : done + block.shape[1]].astype(np.float32))
            done += len(whole)
            for file, sound in zip(files, (whole, *block, whole - block[0]), strict=True):
                scaled = sound.numpy() * np.float32(gain / FULL_SCALE)
                peak = max(peak, float(np.abs(scaled).max()))
                file.write(scaled)
    return peak


def scores(joined: Joined, hop: int, rate: int) -> list[list[Any]]:
    """List the relevance of every concept in every tenth of a second: its middle, the concept, and the sum of cells."""
    width = max(round(TENTHS * rate / hop), 1)
    sums: NDArray[np.float32] = np.concatenate([maps[1:].sum(dim=1).numpy() for *_, maps in joined.blocks()], axis=1)
    rows: list[list[Any]] = []
    for first in range(0, sums.shape[1], width):
        cells = sums[:, first : first + width]
        second = (first + (cells.shape[1] - 1) / 2) * hop / rate
        rows += [[f"{second:.4f}", number, float(value)] for number, value in enumerate(cells.sum(axis=1), start=1)]
    return rows
