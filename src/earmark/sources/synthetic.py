"""Make the synthetic data set: sums of class-specific sound objects (thesis 4.1, Appendix D).

A clip is first drawn as a table of parameters, then rendered from it. Each clip draws from a
random generator of its own, so that it does not depend on how many others there are, and
`truth.json` is enough to render any stem again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.errors import EarmarkError
from earmark.sources.base import PEAK, Item, Rendered, clip_samples, length_keys

Parameters = dict[str, Any]

SECONDS = 1
"""Duration of a recording."""

COUNT_PROBABILITIES = (0.5, 0.2, 0.2, 0.1)
"""How often a clip holds 1, 2, 3 and 4 objects of its class."""

AMPLITUDE = (0.5, 1.0)
"""Range of alpha in eq. D.3."""

RAMP_SECONDS = 0.010
"""The sawtooth falls back along a line: a jump would sound at every frequency."""

MASK_HZ = 2.0
"""Frequency of the mask of eq. D.4."""

DISTRACTORS = (3, 5)

DISTRACTOR_SCALE_HZ = 2000.0

DISTRACTOR_RANGE_HZ = (1.0, 8000.0)

DISTRACTOR_MODULATION_HZ = (40.0, 100.0)

DISTRACTOR_SHIFT = 2.0

MARGIN_HZ = 50.0
"""A distractor keeps this distance from the bands of every object."""

SEQUENCE = (0, 1, 2, 3, 2, 1)
"""Tones of the melody, from the lowest up to the highest and back."""

SOUNDING_PULSES = 3

PULSES = 4
"""Of four pulses of the melody's modulator three sound: 12 of 16 in a second."""

SETS = ("main", "all-validation", "all-test")


@dataclass(frozen=True)
class SoundObject:
    """One sound that tells a class (Table 4.1).

    Parameters
    ----------
    name : str
        What it is.
    frequency : (float, float)
        Range of the fundamental in Hz.
    modulation : (float, float)
        Range of the modulator's frequency in Hz.
    envelope : {"sine", "rising", "falling"}
        Modulator: eq. D.3 or one direction of the sawtooth of eq. D.5.
    shift : float
        beta in eq. D.3.
    masked : bool
        Whether eq. D.4 applies.
    tones : tuple of (float, float)
        Each tone's frequency as factor * fundamental + Hz.
    melodic : bool
        Whether the tones take turns instead of sounding together.
    """

    name: str
    frequency: tuple[float, float]
    modulation: tuple[float, float]
    envelope: str = "sine"
    shift: float = 0.0
    masked: bool = False
    tones: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    melodic: bool = False

    @property
    def bands(self) -> tuple[tuple[float, float], ...]:
        """Range of every tone in Hz."""
        low, high = self.frequency
        return tuple((factor * low + plus, factor * high + plus) for factor, plus in self.tones)


OBJECTS: dict[str, tuple[SoundObject, ...]] = {
    "class1": (
        SoundObject("modulating bass", (100, 150), (16, 16), masked=True),
        SoundObject("sawtooth increasing", (500, 600), (2, 2), envelope="rising"),
        SoundObject("modulating sound", (800, 1000), (3, 6), shift=0.75, tones=((1, 0), (2, 0))),
        SoundObject("full-wave rectified sinusoid", (3500, 4000), (20, 20), shift=1.0),
    ),
    "class2": (
        SoundObject("half-wave rectified sinusoid", (100, 150), (4, 5)),
        SoundObject("sawtooth decreasing", (500, 600), (2, 2), envelope="falling"),
        SoundObject(
            "melodic structure",
            (800, 1000),
            (16, 16),
            tones=((1, 0), (1, 200), (1, 400), (1, 600)),
            melodic=True,
        ),
        SoundObject("full-wave rectified sinusoid", (4000, 4500), (10, 10), shift=1.0),
    ),
}
"""Sound objects by class: Table 4.1, shifts from D.1 and D.2."""


def draw(rng: np.random.Generator, cls: str, *, all_objects: bool, noise: float) -> Parameters:
    """Draw the parameters of a clip.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    cls : str
        A key of `OBJECTS`.
    all_objects : bool
        Whether the clip holds all four objects; else their number is drawn.
    noise : float
        Standard deviation of the Gaussian noise, before the peak is normalised.

    Returns
    -------
    dict
        ``objects`` (``object`` counts from 1), ``distractors``, ``noise``. Frequencies in Hz,
        phases in turns.
    """
    count = 4 if all_objects else 1 + int(rng.choice(4, p=COUNT_PROBABILITIES))
    chosen = sorted(int(number) for number in rng.choice(4, count, replace=False))
    objects = [{"object": number + 1, **_draw_object(rng, OBJECTS[cls][number])} for number in chosen]
    n_distractors = int(rng.integers(DISTRACTORS[0], DISTRACTORS[1] + 1))
    return {
        "objects": objects,
        "distractors": [_draw_distractor(rng) for _ in range(n_distractors)],
        "noise": noise,
    }


def render_object(sound: SoundObject, drawn: Mapping[str, Any], times: np.ndarray) -> np.ndarray:
    """Render a sound object before the mixture's peak is normalised.

    Parameters
    ----------
    sound : SoundObject
        Which one.
    drawn : mapping
        Its parameters, as in ``truth.json``.
    times : numpy.ndarray
        Seconds, ``[n]``.

    Returns
    -------
    numpy.ndarray
        float32 ``[n]``.
    """
    tones = [
        _sine(factor * drawn["hz"] + plus, phase, times)
        for (factor, plus), phase in zip(sound.tones, drawn["phases"], strict=True)
    ]
    if sound.envelope == "sine":
        envelope = modulator(times, drawn["modulation_hz"], drawn["modulation_phase"], drawn["alpha"], sound.shift)
    else:
        falling = sound.envelope == "falling"
        envelope = sawtooth(times, drawn["modulation_hz"], drawn["modulation_phase"], falling=falling)
    if sound.masked:
        envelope = envelope * (_sine(MASK_HZ, drawn["mask_phase"], times) > 0)  # eq. D.4
    if sound.melodic:
        step = melody(times, drawn["modulation_hz"], drawn["modulation_phase"], drawn["rest"], drawn["start"])
        return envelope * sum(tone * (step == number) for number, tone in enumerate(tones))
    # Mean, not the sum of eq. D.6: a louder object would raise the mixture's peak, and with it lower the noise of
    # its class for good.
    return envelope * np.mean(tones, axis=0)


def modulator(times: np.ndarray, hz: float, phase: float, alpha: float, shift: float) -> np.ndarray:
    """Sine-shaped amplitude in [0, 1], eq. D.3: float32 ``[n]``. `phase` in turns."""
    return np.maximum(0, alpha * _sine(hz, phase, times) + np.float32(shift)) / np.float32(shift + 1)


def sawtooth(times: np.ndarray, hz: float, phase: float, *, falling: bool) -> np.ndarray:
    """Sawtooth-shaped amplitude in [0, 1], eq. D.5 without its jump: float32 ``[n]``.

    The jump is spread over `RAMP_SECONDS`. With gamma = -1 the printed equation rises, too,
    as it takes the magnitude last; here `falling` mirrors it in time.
    """
    turns = _turns(hz, phase, times)  # 0 .. 1
    if falling:
        turns = 1 - turns
    ramp = np.float32(RAMP_SECONDS * hz)
    return np.minimum(turns / (1 - ramp), (1 - turns) / ramp)


def melody(times: np.ndarray, hz: float, phase: float, rest: int, start: int) -> np.ndarray:
    """Say which tone of the melodic structure sounds: int ``[n]``, -1 in a rest.

    Each period of the half-wave rectified modulator is a pulse. Of every four pulses the one
    numbered `rest` is silent; the others climb and descend the four tones one by one, from
    the place `start` of `SEQUENCE`. Tones change where the modulator is 0, hence without clicks.
    """
    pulse = np.floor(hz * times + phase).astype(np.int64)
    group, place = np.divmod(pulse, PULSES)
    sounding = SOUNDING_PULSES * group + np.where(place > rest, place - 1, place)  # counts sounding pulses
    tones = np.asarray(SEQUENCE)[(sounding + start) % len(SEQUENCE)]
    return np.where(place == rest, -1, tones)


def make_clip(cls: str, kind: str, index: int, *, seed: int, noise: float, sample_rate: int) -> Rendered:
    """Draw and render one clip.

    Parameters
    ----------
    cls : str
        A key of `OBJECTS`.
    kind : str
        One of `SETS`.
    index : int
        Number of the clip in its class and set.
    seed : int
        The workflow's seed; with class, set and index it decides the clip.
    noise : float
        Standard deviation of the Gaussian noise.
    sample_rate : int
        In Hz.

    Returns
    -------
    Rendered
        Mono; its parameters hold ``gain``, too, from the rendered sounds to a peak of 1.
    """
    rng = np.random.default_rng([seed, list(OBJECTS).index(cls), SETS.index(kind), index])
    drawn = draw(rng, cls, all_objects=kind != "main", noise=noise)
    times = np.arange(SECONDS * sample_rate) / sample_rate  # [n]
    stems = np.zeros((len(OBJECTS[cls]), len(times)), np.float32)
    for one in drawn["objects"]:
        stems[one["object"] - 1] = render_object(OBJECTS[cls][one["object"] - 1], one, times)
    mixture = stems.sum(axis=0) + np.float32(noise) * rng.standard_normal(len(times), np.float32)
    for one in drawn["distractors"]:
        mixture += _render_distractor(one, times)
    gain = 1 / float(np.abs(mixture).max())  # eq. A.1
    return Rendered(PEAK * gain * mixture, PEAK * gain * stems, {**drawn, "gain": gain})


class Recordings:
    """The source ``synthetic``.

    Parameters
    ----------
    config : mapping
        Sections ``synthetic`` and ``frontend``, and ``seed``.

    Raises
    ------
    EarmarkError
        If a clip of the front end is longer than a synthetic recording, or its sampling rate
        is too low for the sounds.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.wanted, self.seed = config["synthetic"], config["seed"]
        self.sample_rate: int = config["frontend"]["sample_rate"]
        self.samples = _fitting_samples(config["frontend"])  # a recording is one clip
        self.objects = _describe_objects()

    def items(self) -> Iterator[Item]:
        """Yield every clip, class by class."""
        for cls in OBJECTS:
            for index in range(self.wanted["clips_per_class"]):
                yield _item(cls, "main", index, f"{cls}/{index:04d}.wav")
            for kind in SETS[1:]:
                for index in range(self.wanted["all_objects_clips"]):
                    yield _item(cls, kind, index, f"{cls}/{kind}-{index:03d}.wav")

    def render(self, item: Item) -> Rendered:
        """Make one clip."""
        return make_clip(
            item.cls,
            item.kind,
            item.index,
            seed=self.seed,
            noise=self.wanted["noise"],
            sample_rate=self.sample_rate,
        )


def _item(cls: str, kind: str, index: int, path: str) -> Item:
    return Item(cls, kind, index, path, group=path)


def _fitting_samples(frontend: Mapping[str, Any]) -> int:
    """Return the samples of the front end's clips, which must fit the recordings."""
    rate, samples = frontend["sample_rate"], clip_samples(frontend)
    highest = DISTRACTOR_RANGE_HZ[1]
    if rate < 2 * highest:
        raise EarmarkError(
            f"Synthetic recordings reach up to {highest:.0f} Hz: `frontend.sample_rate` must be at least "
            f"{2 * highest:.0f}, not {rate}."
        )
    if samples > SECONDS * rate:
        raise EarmarkError(
            f"Synthetic recordings last {SECONDS} s, a clip of the front end {samples / rate:.2f} s: "
            f"lower {length_keys(frontend)}."
        )
    return samples


def _draw_object(rng: np.random.Generator, sound: SoundObject) -> Parameters:
    drawn: Parameters = {
        "hz": _uniform(rng, *sound.frequency),
        "phases": [_uniform(rng, 0, 1) for _ in sound.tones],
        "modulation_hz": _uniform(rng, *sound.modulation),
        "modulation_phase": _uniform(rng, 0, 1),
    }
    if sound.envelope == "sine":
        drawn["alpha"] = _uniform(rng, *AMPLITUDE)
    if sound.masked:
        drawn["mask_phase"] = _mask_phase(rng, drawn)
    if sound.melodic:
        drawn["rest"] = int(rng.integers(PULSES))
        drawn["start"] = int(rng.integers(len(SEQUENCE)))
    return drawn


def _mask_phase(rng: np.random.Generator, drawn: Parameters) -> float:
    """Draw the phase of eq. D.4's mask so that it opens and closes while the modulator is 0.

    Cutting into a beat would click, and the clicks sound at every frequency. All edges of the
    mask meet the modulator in one phase, as its frequency is a multiple of 2 * `MASK_HZ`.
    """
    while True:
        phase = _uniform(rng, 0, 1)
        if (drawn["modulation_phase"] - drawn["modulation_hz"] / MASK_HZ * phase) % 1 >= 0.5:
            return phase


def _draw_distractor(rng: np.random.Generator) -> Parameters:
    """Draw a distractor; its law (eq. D.7) knows nothing of the clip's class."""
    hz = _distractor_hz(rng)
    while not _distractor_allowed(hz):
        hz = _distractor_hz(rng)
    drawn: Parameters = {"hz": hz, "phase": _uniform(rng, 0, 1), "alpha": _uniform(rng, *AMPLITUDE)}
    if rng.random() < 0.5:
        drawn["modulation_hz"] = _uniform(rng, *DISTRACTOR_MODULATION_HZ)
        drawn["modulation_phase"] = _uniform(rng, 0, 1)
    return drawn


def _distractor_hz(rng: np.random.Generator) -> float:
    return round(float(rng.exponential(DISTRACTOR_SCALE_HZ)), 4)


def _distractor_allowed(hz: float) -> bool:
    low, high = DISTRACTOR_RANGE_HZ
    inside = any(
        lower - MARGIN_HZ <= hz <= upper + MARGIN_HZ
        for sounds in OBJECTS.values()
        for sound in sounds
        for lower, upper in sound.bands
    )
    return low <= hz < high and not inside


def _render_distractor(drawn: Mapping[str, Any], times: np.ndarray) -> np.ndarray:
    tone = _sine(drawn["hz"], drawn["phase"], times)
    if "modulation_hz" not in drawn:
        return np.float32(drawn["alpha"]) * tone
    hz, phase = drawn["modulation_hz"], drawn["modulation_phase"]
    return tone * modulator(times, hz, phase, drawn["alpha"], DISTRACTOR_SHIFT)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw with four decimals: what `truth.json` says is exactly what is rendered."""
    return round(float(rng.uniform(low, high)), 4)


def _turns(hz: float, phase: float, times: np.ndarray) -> np.ndarray:
    """Phase of an oscillation in turns, 0 .. 1: reduced in double precision, then float32."""
    return ((hz * times + phase) % 1.0).astype(np.float32)


def _sine(hz: float, phase: float, times: np.ndarray) -> np.ndarray:
    """Sine-wave of amplitude 1, eq. D.1: float32 ``[n]``. `phase` in turns."""
    return np.sin(np.float32(2 * np.pi) * _turns(hz, phase, times))


def _describe_objects() -> dict[str, list[dict[str, Any]]]:
    """Name every object with the band it spans and the bands of its tones, in Hz."""
    return {
        cls: [
            {
                "name": sound.name,
                "low_hz": min(low for low, _ in sound.bands),
                "high_hz": max(high for _, high in sound.bands),
                "bands_hz": [list(band) for band in sound.bands],
            }
            for sound in sounds
        ]
        for cls, sounds in OBJECTS.items()
    }
