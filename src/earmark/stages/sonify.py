"""Stage ``sonify``: concept heatmaps as sound (thesis 3.3, B.3)."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch

from earmark.data import dataset
from earmark.data.dataset import DataSet
from earmark.explainers import explanation
from earmark.explainers.explanation import TOP, Explanation
from earmark.explainers.sounds import concept_sound, explanation_sounds
from earmark.job import Job
from earmark.sound import wav
from earmark.sound.audible import audible
from earmark.sound.base import Frontend
from earmark.sound.kinds import from_config
from earmark.sound.masks import matched
from earmark.store import artifacts

log = logging.getLogger(__name__)

CARD_COLUMNS = ("concept", "rank", "clip", "path", "relevance", "share")


def run(job: Job) -> None:
    """Write the folder ``sounds`` of every class, and ``sounds.csv``, which lists what is in them.

    Parameters
    ----------
    job : Job
        Of its configuration: ``sonify``, ``frontend``, ``seed``.
    """
    source = dataset.of(job)
    frontend = from_config(job.config)
    settings = job.config["sonify"]
    if frontend.frequencies is None:
        log.warning("only the clips can be heard: the front end does not say where the cells of its inputs lie")
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        found, whole = explanation.of(job, cls.slug), explanation.standard(job, cls.slug)
        folder = job.of_class(cls.slug)
        with artifacts.replacing_directory(folder / "sounds") as target:
            gallery = write_gallery(target, found.only(found.gallery), whole, source, frontend, settings)
            columns = ["folder", "clip", "path", "logit", *(f"relevance{concept + 1}" for concept in range(job.k))]
            columns += ["gain"] if whole.samples is not None else []
            artifacts.write_csv(target / "clips.csv", columns, gallery, job.made)
            strongest = write_cards(target / "cards", found.only(found.scored), whole, source, frontend, settings)
            artifacts.write_csv(target / "cards.csv", CARD_COLUMNS, strongest, job.made)
        progress(done, cls.slug)
    folders = [job.of_class(cls.slug) / "sounds" for cls in classes]
    artifacts.write_contents(job.folder / "sounds.csv", folders, job.made)


def write_gallery(
    target: Path,
    found: Explanation,
    whole: Explanation,
    source: DataSet,
    frontend: Frontend,
    settings: dict[str, Any],
) -> list[list[Any]]:
    """Write a folder ``000``, ``001``, ... per clip of the gallery; the rows of ``clips.csv``."""
    listed = []
    whole = whole.of(found.clips.tolist())
    standard = whole.heatmaps  # [n, 1, 1, F, T]
    for row, clip in enumerate(found.clips.tolist()):
        waveform = source.waveforms([clip])[0]
        maps = found.heatmaps[row]  # [K, 1, F, T]
        own = None if found.sounds is None else found.sounds[row]  # [K, S]
        sounds = explanation_sounds(frontend, waveform, standard[row, 0], maps, settings, own)
        gains = []
        if whole.samples is not None:
            told, gain = audible(waveform, whole.samples[row, 0, 0])
            sounds |= told
            gains.append(gain)
        write_sounds(target / f"{row:03d}", sounds, frontend.sample_rate)
        path, logit = source.clips["path"].iloc[clip], float(found.logits[row])
        listed.append([f"{row:03d}", clip, path, logit, *maps.sum(dim=(1, 2, 3)).tolist(), *gains])
    return listed


def write_cards(
    target: Path,
    found: Explanation,
    whole: Explanation,
    source: DataSet,
    frontend: Frontend,
    settings: dict[str, Any],
) -> list[list[Any]]:
    """Write each concept in the scored clips in which it weighs most, as ``concept{n}/{rank}``.

    Returns
    -------
    list of list
        The rows of ``cards.csv``, in the order of ``CARD_COLUMNS``. The share is that of the clip's relevance.
    """
    clips, relevance = found.clips.tolist(), found.relevance  # [n, K]
    standard = whole.of(clips).heatmaps  # [n, 1, 1, F, T]
    listed = []
    for concept, places in enumerate(found.strongest(TOP).tolist()):
        for rank, place in enumerate(places, start=1):
            clip, folder = clips[place], target / f"concept{concept + 1}" / str(rank)
            waveform = source.waveforms([clip])[0]
            sounds = {"input": waveform}
            if found.sounds is not None:
                sounds["concept"] = found.sounds[place, concept]
            elif frontend.frequencies is not None:
                maps = standard[place, 0], found.heatmaps[place]
                sounds["concept"] = concept_sound(frontend, waveform, *maps, settings, concept)
            folder.mkdir(parents=True)
            for name, samples in sounds.items():
                wav.write(folder / f"{name}.wav", samples, frontend.sample_rate)
            value, total = float(relevance[place, concept]), float(relevance[place].sum())
            listed.append(
                [concept + 1, rank, clip, source.clips["path"].iloc[clip], value, value / total if total else math.nan]
            )
    return listed


def write_sounds(folder: Path, sounds: dict[str, torch.Tensor], sample_rate: int) -> None:
    """Write each sound at its true level, and again at the input's loudness under ``matched``."""
    (folder / "matched").mkdir(parents=True)
    for name, sound in sounds.items():
        wav.write(folder / f"{name}.wav", sound, sample_rate)
        wav.write(folder / "matched" / f"{name}.wav", matched(sound.unsqueeze(0), sounds["input"])[0], sample_rate)
