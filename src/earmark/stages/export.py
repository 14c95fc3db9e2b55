"""Stage ``export``: the kit of a listening test, in which people rate explanations under names that tell nothing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soxr
import torch
import yaml
from numpy.typing import NDArray
from scipy.io import wavfile
from torch import Tensor

from earmark.data import dataset
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.ratings import FILE
from earmark.data.selection import evenly
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.metrics.listening import equally_loud
from earmark.metrics.ratings import QUESTIONS, REFERENCE, REST
from earmark.page.kit import rating, webmushra
from earmark.page.kit.webmushra import RATES, Trial
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

FULL_SCALE = 32767
"""Largest of 16-bit samples, which every player knows."""

DIGITS = 8
"""Of the sounds' checksum, by which the results of one test are told from those of another."""

TITLE = "Which of these sounds tells it?"

README = """A listening test: {trials} clips and what was made of them, {sounds} sounds, {questions} questions.

Without a server: give this folder to a listener, who opens index.html in a browser, and gives you the file that it
saves in the end.

With webMUSHRA (https://github.com/audiolabs/webMUSHRA): copy the folders configs and stimuli into its own folder, and
open it with ?config={test}.yaml; the ratings of all come to results/{test}/{file}.

What came back, from either, is judged by

  earmark answers --dataset {dataset} FILE ...

power.md says how many listeners find what. licences.csv says under which terms the recordings may be passed on.
What each sound is stands in a file beside this folder: keep it to yourself.
"""


class Stimulus(NamedTuple):
    """A sound ``[S]`` that is rated, at its true level: of which clip, and how it was made of it."""

    trial: str
    cls: ClassInfo
    clip: int
    condition: str
    sound: Tensor


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
    lot = np.random.default_rng(job.seed("listening-test")).permutation(len(waves)).tolist()
    names = [f"s{number + 1:0{len(str(len(waves)))}d}" for number in lot]
    test = f"{job.dataset}-{hashlib.sha256(b''.join(wave.tobytes() for wave in waves)).hexdigest()[:DIGITS]}"
    asked = trials(stimuli, names)
    with artifacts.replacing_directory(job.layout.listening_test) as folder:
        key = []
        (folder / webmushra.path(test, "")).parent.mkdir(parents=True)
        for name, wave, one in sorted(zip(names, waves, stimuli, strict=True), key=lambda row: row[0]):
            path = webmushra.path(test, name)
            wavfile.write(folder / path, rate, wave)
            about = source.clips.iloc[one.clip]
            where = one.clip, about["path"], about["group"], about["class"], one.cls.slug
            known = REFERENCE if one.condition == REFERENCE else name
            digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
            key.append((test, one.trial, known, one.condition, path, digest, *where))
        config = webmushra.configuration(test, TITLE, asked, len(waves[0]) / rate)
        write(folder / "configs" / f"{test}.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        rating.write(folder, test, TITLE, asked, dict(zip(names, waves, strict=True)), rate)
        methods = len(job.config["listening_test"]["methods"])
        write(folder / "power.md", "\n".join(["# What a panel finds", "", *found_by(None, len(asked), methods)]))
        about = {"trials": len(asked), "sounds": len(waves), "questions": len(QUESTIONS)}
        write(folder / "README.txt", README.format(test=test, file=FILE, dataset=job.dataset, **about))
        # Provenance would name what is heard: it stands beside the key.
        table = pd.DataFrame(licences(job, source, stimuli), columns=LICENCES)
        table.to_csv(folder / "licences.csv", index=False, lineterminator="\n")
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


def played(sounds: Sequence[Tensor], rate: int) -> tuple[int, list[NDArray[np.int16]]]:
    """Make sounds equally loud, at a rate that every player knows: the rate, and the samples of each."""
    wanted = min((known for known in RATES if known >= rate), default=RATES[-1])
    resampled = [torch.from_numpy(soxr.resample(sound.numpy(), rate, wanted)) for sound in sounds]
    return wanted, [(FULL_SCALE * sound).round().short().numpy() for sound in equally_loud(resampled)]


def trials(stimuli: Sequence[Stimulus], names: Sequence[str]) -> list[Trial]:
    """List the clips with the names of what is heard of them, in the order of the names, which tells nothing."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for one, name in zip(stimuli, names, strict=True):
        found.setdefault(one.trial, (one.cls.name, {}))[1][one.condition] = name
    return [
        Trial(trial, answer, own[REFERENCE], tuple(sorted(name for how, name in own.items() if how != REFERENCE)))
        for trial, (answer, own) in found.items()
    ]


def licences(job: Job, source: DataSet, stimuli: Sequence[Stimulus]) -> list[tuple[str, str, str]]:
    """List whose sounds are passed on under which terms, and warn where nobody told them."""
    known = job.config["licence"] or (OURS if is_generated(job.config) else UNKNOWN)
    if known == UNKNOWN:
        log.warning(
            "nobody told the licence of the recordings of %s (key `licence`): ask before you pass them on", job.dataset
        )
    clips = {one.trial: source.clips["path"].iloc[one.clip] for one in stimuli}
    return [(trial, path, known) for trial, path in clips.items()]


def write(path: Path, text: str) -> None:
    """Write a text of the kit, in a folder of its own."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
