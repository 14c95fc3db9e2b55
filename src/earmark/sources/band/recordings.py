"""Make the band's recordings: ten styles, played by artists whose sounds say nothing about the style.

Every artist plays every style, so the palette of sounds and the class are independent; an artist's tracks share a
fold. Each track draws from a random generator of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from earmark.errors import EarmarkError
from earmark.seeds import derive
from earmark.sources.band.score import Hit, Note, Score, compose
from earmark.sources.band.sounds import Kit, Palette, amplify, convolve, draw_palette, note, room
from earmark.sources.band.styles import DRUMS, STEMS, STYLES
from earmark.sources.base import PEAK, Item, Rendered, clip_samples, length_keys

LEVELS_DB = {"kick": 0.0, "snare": -3.0, "hat": -10.0, "bass": 0.0, "chords": -4.0, "lead": -4.0, "chop": -7.0}
"""Level of each stem while it plays, against the kick."""

LEVEL_RANGE_DB = 2.0
"""A track departs from its artist's levels by at most so much."""

LOWEST_RATE = 16000
"""Cymbals need frequencies up to 8000 Hz."""

DRIVEN = ("chords", "lead")


class Recordings:
    """The source ``band``.

    Parameters
    ----------
    config : mapping
        Sections ``band`` and ``frontend``, and ``seed``.

    Raises
    ------
    EarmarkError
        If a clip of the front end is longer than a track, or its sampling rate is too low for the sounds.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.wanted, self.seed = config["band"], config["seed"]
        self.objects = {style: [{"name": stem} for stem in STEMS] for style in STYLES}
        frontend = config["frontend"]
        self.sample_rate: int = frontend["sample_rate"]
        self.samples = round(self.wanted["seconds"] * self.sample_rate)
        clip = clip_samples(frontend)
        if self.sample_rate < LOWEST_RATE:
            raise EarmarkError(
                f"The band's cymbals reach up to 8000 Hz: `frontend.sample_rate` must be at least {LOWEST_RATE}, "
                f"not {self.sample_rate}."
            )
        if clip > self.samples:
            raise EarmarkError(
                f"The band's tracks last {self.wanted['seconds']:g} s, a clip of the front end "
                f"{clip / self.sample_rate:.2f} s: raise `band.seconds` or lower {length_keys(frontend)}."
            )

    def items(self) -> Iterator[Item]:
        """Yield every track, style by style."""
        for style in STYLES:
            for index in range(self.wanted["tracks_per_style"]):
                artist = f"artist{index % self.wanted['artists']:03d}"
                yield Item(style, "main", index, f"{style}/{style}.{index:05d}.wav", artist)

    def render(self, item: Item) -> Rendered:
        """Compose a track and play it; stereo."""
        palette = draw_palette(self._rng("palette", item.group))
        rng = self._rng("track", item.cls, item.index)
        score = compose(STYLES[item.cls], self.wanted["seconds"], rng)
        levels = {stem: palette.levels_db[stem] + float(rng.uniform(-LEVEL_RANGE_DB, LEVEL_RANGE_DB)) for stem in STEMS}
        stems = np.zeros((len(STEMS), 2, self.samples), np.float32)
        for number, stem in enumerate(STEMS):
            dry = self._dry(stem, score, palette, rng)
            if dry.any():
                level = 10 ** ((LEVELS_DB[stem] + levels[stem]) / 20) / _level(dry, self.sample_rate)
                stems[number] = convolve(np.float32(level) * dry, room(palette, stem, self.sample_rate, rng))
        mixture = stems.sum(axis=0)  # [2, n]
        gain = PEAK / float(np.abs(mixture).max())
        parameters = {**score.facts, "artist": item.group, "palette": dataclasses.asdict(palette)}
        return Rendered(gain * mixture.T, gain * stems.mean(axis=1), parameters)

    def _dry(self, stem: str, score: Score, palette: Palette, rng: np.random.Generator) -> np.ndarray:
        """Play a stem by itself, without the room: float32 ``[n]``."""
        if stem in DRUMS:
            kit = Kit(palette.drums, self.sample_rate, rng)
            return _play_drum(score.hits[stem], kit, self.samples)
        dry = _play_notes(score.notes[stem], palette, stem, self.samples, self.sample_rate, rng)
        if stem in DRIVEN and score.facts["driven"]:
            return amplify(dry, palette.drive_db, palette.cabinet_hz, self.sample_rate)
        return dry

    def _rng(self, *labels: str | int) -> np.random.Generator:
        return np.random.default_rng(derive(self.seed, "band", *labels))


def _play_drum(hits: list[Hit], kit: Kit, samples: int) -> np.ndarray:
    played = np.zeros(samples, np.float32)
    for number, hit in enumerate(hits):
        _add(played, kit.hit(hit.sound, number), hit.time * kit.rate, hit.velocity)
    return played


def _play_notes(
    notes: list[Note], palette: Palette, stem: str, samples: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    played = np.zeros(samples, np.float32)
    sounds: dict[tuple[int, float], np.ndarray] = {}
    for one in notes:
        held = round(one.held, 2)
        for pitch in one.pitches:
            if (pitch, held) not in sounds:
                hz = 440 * 2 ** ((pitch - 69) / 12)
                sounds[pitch, held] = note(palette.voices[stem], hz, held, sample_rate, rng)
            _add(played, sounds[pitch, held], one.time * sample_rate, one.velocity / len(one.pitches))
    return played


def _add(played: np.ndarray, sound: np.ndarray, first: float, gain: float) -> None:
    """Add a sound from the sample nearest to `first` on, as far as it lies within what is played."""
    start = round(first)
    begin, end = max(start, 0), min(start + len(sound), len(played))
    if begin < end:
        played[begin:end] += np.float32(gain) * sound[begin - start : end - start]


def _level(sound: np.ndarray, sample_rate: int) -> float:
    """RMS over the seconds in which a stem plays."""
    seconds = sound[: len(sound) // sample_rate * sample_rate].reshape(-1, sample_rate)
    power = np.mean(seconds**2, axis=1) if len(seconds) else np.mean(sound**2, keepdims=True)
    return float(np.sqrt(power[power > 0.01 * power.max()].mean()))
