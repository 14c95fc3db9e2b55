"""Make the recordings of voices: every speaker says every pattern, some times.

Each recording draws from a random generator of its own, and is the same whichever of the two labels it gets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from earmark.errors import EarmarkError
from earmark.seeds import derive
from earmark.sources.base import PEAK, Item, Rendered, clip_samples, length_keys
from earmark.sources.voices.sounds import Speaker, draw_speaker, draw_take, say
from earmark.sources.voices.vowels import LABELS, PATTERNS, REGISTERS, STEMS

SECONDS = 1
"""Duration of a recording."""

SPOKEN_SECONDS = 0.94
"""What is said, and the room's answer, ends by then: a clip may be a little shorter than a recording."""

LOWEST_RATE = 8000
"""The third formant reaches 3700 Hz."""


class Recordings:
    """The source ``voices``.

    Parameters
    ----------
    config : mapping
        Sections ``voices`` and ``frontend``, and ``seed``.

    Raises
    ------
    EarmarkError
        If a clip of the front end is longer than a recording or cuts what is said, or its sampling rate is too low.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.wanted, self.seed = config["voices"], config["seed"]
        self.objects = {cls: [{"name": stem} for stem in STEMS] for cls in LABELS[self.wanted["labels"]]}
        self.sample_rate: int = config["frontend"]["sample_rate"]
        self.samples = _fitting_samples(config["frontend"])  # a recording is one clip

    def items(self) -> Iterator[Item]:
        """Yield every recording, class by class."""
        sexes = list(REGISTERS)
        by_class: dict[str, list[tuple[str, str]]] = {cls: [] for cls in self.objects}
        for number in range(self.wanted["speakers"]):
            speaker, sex = f"speaker{number + 1:02d}", sexes[number % len(sexes)]
            for digit in PATTERNS:
                names = [(f"{digit}_{speaker}_{take}.wav", speaker) for take in range(self.wanted["takes"])]
                by_class[digit if self.wanted["labels"] == "digit" else sex] += names
        for cls, named in by_class.items():
            for index, (name, speaker) in enumerate(named):
                yield Item(cls, "main", index, f"{cls}/{name}", speaker)

    def render(self, item: Item) -> Rendered:
        """Say what a recording's name says; mono."""
        digit, name, take = PurePosixPath(item.path).stem.split("_")
        speaker = self._speaker(name)
        rng = np.random.default_rng(derive(self.seed, "voices", "take", digit, name, take))
        drawn = draw_take(speaker, digit, SPOKEN_SECONDS, rng)
        stems = say(speaker, drawn, SECONDS * self.sample_rate, self.sample_rate, rng)
        mixture = stems.sum(axis=0)
        gain = PEAK / float(max(np.abs(mixture).max(), np.abs(stems).max()))  # a stem may be louder: others cancel it
        parameters = {"digit": digit, "speaker": dataclasses.asdict(speaker), "take": dataclasses.asdict(drawn)}
        return Rendered(gain * mixture, gain * stems, parameters)

    def _speaker(self, name: str) -> Speaker:
        """Draw a speaker by name; those of odd numbers have the first of the registers."""
        sex = list(REGISTERS)[(int(name.removeprefix("speaker")) - 1) % len(REGISTERS)]
        return draw_speaker(sex, np.random.default_rng(derive(self.seed, "voices", "speaker", name)))


def _fitting_samples(frontend: Mapping[str, Any]) -> int:
    """Return the samples of the front end's clips, which must fit the recordings."""
    rate, samples = frontend["sample_rate"], clip_samples(frontend)
    if rate < LOWEST_RATE:
        raise EarmarkError(f"Voices need `frontend.sample_rate` to be at least {LOWEST_RATE}, not {rate}.")
    if not SPOKEN_SECONDS * rate <= samples <= SECONDS * rate:
        raise EarmarkError(
            f"Voices need clips of {SPOKEN_SECONDS} s to {SECONDS} s, not {samples / rate:.2f} s: "
            f"{'raise' if samples < rate else 'lower'} {length_keys(frontend)}."
        )
    return samples
