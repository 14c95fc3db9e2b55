"""Stage ``export``: the kit of a listening test, in which people rate explanations under names that tell nothing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.io import wavfile

from earmark.data import dataset
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.selection import evenly
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.metrics.ratings import REFERENCE, REST
from earmark.page.kit import folder as kit
from earmark.page.kit import webmushra
from earmark.page.kit.stimuli import Stimulus, names_of, played, trials
from earmark.plan.generated import is_generated
from earmark.plan.methods import by_ear
from earmark.store import artifacts
from earmark.store.layout import STANDARD
from earmark.tables.people.ratings import found_by

log = logging.getLogger(__name__)

KEY = ("test", "trial", "stimulus", "condition", "file", "sha256", "clip", "path", "group", "cls", "answer")

LICENCES = ("trial", "recording", "licence")

OURS, UNKNOWN = "CC0-1.0", "unknown"
"""Licence of recordings that are generated, and of those of which nobody told it."""

DIGITS = 8
"""Of the sounds' checksum, by which the results of one test are told from those of another."""


def run(job: Job) -> None:
    """Write ``listening-test/``, which goes to listeners, and ``listening-test.csv``, which does not.

    Parameters
    ----------
    job : Job
        Of its configuration: ``listening_test``, ``licence``, ``source``, ``explain.classes``, ``seed``.
    """
    source = dataset.of(job)
    rate, stimuli = heard(job, source)
    rate, waves = played([one.sound for one in stimuli], rate)
    names = names_of(len(waves), job.seed("listening-test"))
    test = f"{job.dataset}-{hashlib.sha256(b''.join(wave.tobytes() for wave in waves)).hexdigest()[:DIGITS]}"
    asked = trials(stimuli, names)
    power = found_by(None, len(asked), len(job.config["listening_test"]["methods"]))
    with artifacts.replacing_directory(job.layout.listening_test) as folder:
        kit.write(folder, job.dataset, test, asked, dict(zip(names, waves, strict=True)), rate, power)
        # Provenance would name what is heard: it stands beside the key.
        table = pd.DataFrame(licences(job, source, stimuli), columns=LICENCES)
        table.to_csv(folder / "licences.csv", index=False, lineterminator="\n")
        key = []
        for name, one in sorted(zip(names, stimuli, strict=True), key=lambda row: row[0]):
            about = source.clips.iloc[one.clip]
            where = one.clip, about["path"], about["group"], about["class"], one.cls.slug
            known = REFERENCE if one.condition == REFERENCE else name
            path = webmushra.path(test, name)
            digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
            key.append((test, one.trial, known, one.condition, path, digest, *where))
    artifacts.write_csv(job.layout.listening_key, KEY, key, job.made)
    log.info("%d trials, %d sounds", len(asked), len(waves))


def heard(job: Job, source: DataSet) -> tuple[int, list[Stimulus]]:
    """Read what is heard of the chosen clips: their samples a second, and the sounds clip by clip, the clip first.

    Explanations are those that the model heard alone, as `mask` wrote them; they are the same clips by all methods.

    Raises
    ------
    EarmarkError
        If there are fewer such clips than are asked for.
    """
    folders = {
        name: job.layout.method(job.split, layer, name, k) / "masked" for name, (layer, k) in by_ear(job.config).items()
    }
    found, rate = [], 0
    for number, (cls, clip) in enumerate(chosen(job, source, list(folders.values())), start=1):
        sounds = {REFERENCE: source.waveforms([clip])[0]}
        for name, folder in folders.items():
            rate, samples = wavfile.read(folder / cls.slug / f"{clip}.wav")
            sounds[name] = torch.from_numpy(samples.copy())
        sounds[REST] = sounds[REFERENCE] - sounds[STANDARD]
        found += [Stimulus(f"t{number:02d}", cls, clip, name, sound) for name, sound in sounds.items()]
    return rate, found


def chosen(job: Job, source: DataSet, folders: Sequence[Path]) -> Iterator[tuple[ClassInfo, int]]:
    """Choose among the clips that all folders hold, as many of every class as can be.

    Raises
    ------
    EarmarkError
        As :func:`heard`.
    """
    wanted, classes = job.config["listening_test"]["clips"], dataset.explained(job.config, source)
    there = [
        sorted(
            set.intersection(*({int(path.stem) for path in (folder / cls.slug).glob("*.wav")} for folder in folders))
        )
        for cls in classes
    ]
    if sum(map(len, there)) < wanted:
        raise EarmarkError(
            f"{job.dataset}: listening_test.clips = {wanted} are more than the {sum(map(len, there))} clips that every "
            "explanation was heard of: lower it"
        )
    for cls, clips, count in zip(classes, there, evenly([len(clips) for clips in there], wanted), strict=True):
        drawn = np.random.default_rng(job.seed("listening-test", cls.slug)).permutation(len(clips))[:count]
        yield from ((cls, clips[place]) for place in sorted(drawn.tolist()))


def licences(job: Job, source: DataSet, stimuli: Sequence[Stimulus]) -> list[tuple[str, str, str]]:
    """List whose sounds are passed on under which terms, and warn where nobody told them."""
    known = job.config["licence"] or (OURS if is_generated(job.config) else UNKNOWN)
    if known == UNKNOWN:
        log.warning(
            "nobody told the licence of the recordings of %s (key `licence`): ask before you pass them on", job.dataset
        )
    clips = {one.trial: source.clips["path"].iloc[one.clip] for one in stimuli}
    return [(trial, path, known) for trial, path in clips.items()]
