"""Compose for the band: from a style to the notes of a track, in sections that differ in who plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from earmark.sources.band.styles import DRUMS, STEMS, Style

QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "j7": (0, 4, 7, 11),
}
"""Semitones of a chord above its root."""

SCALE = (0, 2, 4, 5, 7, 9, 11)
"""What the melody walks on, in semitones above the key."""

MELODY_RANGE = 16
"""Semitones between the melody's lowest and highest note."""

SECTION_BARS = (2, 4, 4, 8)

MUTED = 0.1
"""How probable it is that a stem of the track rests in a section."""

DRUMS_MUTED = 0.05
"""How probable it is that the whole kit rests in a section."""

FEWEST_STEMS = 3
"""A section has at least so many, or all."""

FILL = 0.4
"""How probable a section's last bar ends in a fill."""

DROPPED = 0.03
"""How probable a hit or note is left out."""

DAMPED_SECONDS = 0.08

VELOCITIES = {"o": 0.35, "x": 0.8, "X": 1.0}

SOUND_OF = {"O": "open", "r": "ride"}
"""What the hat's player hits for these characters."""


@dataclass(frozen=True)
class Hit:
    """One stroke on a drum: when in s, what, how loud (0 .. 1)."""

    time: float
    sound: str
    velocity: float


@dataclass(frozen=True)
class Note:
    """One or several notes at once: when and for how long in s, MIDI pitches, how loud (0 .. 1)."""

    time: float
    held: float
    pitches: tuple[int, ...]
    velocity: float


@dataclass(frozen=True)
class Score:
    """All that is played in a track.

    Attributes
    ----------
    facts : dict
        What was drawn: ``tempo`` in beats per minute, ``swing`` in steps, ``key`` in semitones above C,
        ``progression``, ``driven``, ``start`` of the first bar in s (not after 0), and ``sections``, each with its
        first second and its stems.
    hits : dict
        Of each drum stem.
    notes : dict
        Of each pitched stem.
    """

    facts: dict[str, Any]
    hits: dict[str, list[Hit]] = field(default_factory=lambda: {stem: [] for stem in DRUMS})
    notes: dict[str, list[Note]] = field(default_factory=lambda: {stem: [] for stem in STEMS if stem not in DRUMS})


@dataclass(frozen=True)
class _Hand:
    """How a track is played: what holds from its first bar to its last."""

    style: Style
    step: float  # s
    swing: float  # steps
    looseness: float  # standard deviation of a note's delay in s
    key: int
    chords: list[tuple[int, tuple[int, ...]]]
    gates: Mapping[str, float]  # part of its step that a note is held which nothing ties
    lowest: Mapping[str, int]  # MIDI pitch

    @property
    def bar(self) -> float:
        """Seconds of a bar."""
        return self.step * len(self.style.patterns["bass"][0])

    def time(self, start: float, step: int, rng: np.random.Generator) -> float:
        late = self.swing if step % 2 and self.style.division == 4 else 0.0
        return start + (step + late) * self.step + float(rng.normal(0, self.looseness))


def compose(style: Style, seconds: float, rng: np.random.Generator) -> Score:
    """Write a track.

    Parameters
    ----------
    style : Style
        What to play.
    seconds : float
        Its duration. It begins anywhere in the first bar.
    rng : numpy.random.Generator
        Source of everything that is drawn.
    """
    tempo = round(float(rng.uniform(*style.tempo)), 2)
    progression = str(rng.choice(style.progressions))
    hand = _Hand(
        style=style,
        step=60 / tempo / style.division,
        swing=round(float(rng.uniform(*style.swing)), 3),
        looseness=float(rng.uniform(0.001, 0.006)),
        key=int(rng.integers(12)),
        chords=[_chord(name) for name in progression.split()],
        gates={stem: float(rng.uniform(0.4, 0.9)) for stem in STEMS},
        lowest={
            "bass": int(rng.integers(28, 37)),
            "chords": int(rng.integers(48, 59)),
            "lead": int(rng.integers(60, 70)),
            "chop": int(rng.integers(58, 68)),
        },
    )
    stems = _lineup(style, rng)
    chosen = {stem: _two_of(style.patterns[stem], rng) for stem in stems}
    sections: list[dict[str, Any]] = []
    facts: dict[str, Any] = {
        "tempo": tempo,
        "swing": hand.swing,
        "key": hand.key,
        "progression": progression,
        "driven": bool(rng.random() < style.driven),
        "start": -float(rng.uniform(0, hand.bar)),
        "sections": sections,
    }
    score = Score(facts)
    bar, start = 0, facts["start"]
    while start < seconds:
        playing = _playing(stems, rng)
        sections.append({"seconds": round(max(start, 0), 3), "stems": playing})
        length = int(rng.choice(SECTION_BARS))
        patterns = {stem: str(rng.choice(chosen[stem])) for stem in playing}
        for number in range(length):
            last = number == length - 1 and rng.random() < FILL
            _write_bar(score, hand, patterns, bar, start, last, rng)
            start += hand.bar
            bar += 1
    return score


def _chord(name: str) -> tuple[int, tuple[int, ...]]:
    """Read a chord: semitones of its root above the key, and those of its notes above the root."""
    root, _, quality = name.partition(":")
    return int(root), QUALITIES[quality]


def _lineup(style: Style, rng: np.random.Generator) -> list[str]:
    """Draw who plays in a track: never fewer than four."""
    while True:
        stems = [stem for stem in STEMS if rng.random() < style.presence_of(stem)]
        if len(stems) >= 4 and {"bass", "chords"} & set(stems):
            return stems


def _playing(stems: list[str], rng: np.random.Generator) -> list[str]:
    """Draw who plays in a section."""
    while True:
        without = DRUMS if rng.random() < DRUMS_MUTED else ()
        playing = [stem for stem in stems if rng.random() >= MUTED and stem not in without]
        if len(playing) >= min(FEWEST_STEMS, len(stems)):
            return playing


def _two_of(patterns: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    """Draw a track's own patterns of a stem."""
    return [str(pattern) for pattern in rng.choice(patterns, min(2, len(patterns)), replace=False)]


def _write_bar(
    score: Score,
    hand: _Hand,
    patterns: Mapping[str, str],
    bar: int,
    start: float,
    fill: bool,
    rng: np.random.Generator,
) -> None:
    chord, following = (hand.chords[number % len(hand.chords)] for number in (bar, bar + 1))
    for stem, pattern in patterns.items():
        if stem in DRUMS:
            played = _filled(pattern, rng) if fill and stem == "snare" else pattern
            score.hits[stem].extend(_hits(stem, played, hand, start, rng))
        else:
            pitches = _PITCHES[stem](hand, chord, following, rng)
            score.notes[stem].extend(_notes(stem, pattern, hand, start, pitches, rng))


def _filled(pattern: str, rng: np.random.Generator) -> str:
    """Replace a bar's last beats by a fill."""
    n = len(pattern) // 2 if rng.random() < 0.5 else len(pattern) // 4
    return pattern[:-n] + "".join("x" if rng.random() < 0.75 else "." for _ in range(n))


def _hits(stem: str, pattern: str, hand: _Hand, start: float, rng: np.random.Generator) -> Iterator[Hit]:
    for step, mark in enumerate(pattern):
        if mark == "." or rng.random() < DROPPED:
            continue
        loud = VELOCITIES.get(mark, 0.8) * (1.0 if step % hand.style.division == 0 else 0.85)
        yield Hit(hand.time(start, step, rng), SOUND_OF.get(mark, stem), loud * float(rng.uniform(0.8, 1.0)))


def _notes(
    stem: str, pattern: str, hand: _Hand, start: float, pitches: Any, rng: np.random.Generator
) -> Iterator[Note]:
    """Read a bar of a pitched stem; `pitches` maps a character to MIDI pitches."""
    for step, mark in enumerate(pattern):
        if mark in ".-":
            continue
        sounding = pitches(mark)  # also where the note is left out: the melody goes on
        if rng.random() < DROPPED:
            continue
        tied = len(pattern[step + 1 :]) - len(pattern[step + 1 :].lstrip("-"))
        held = (1 + tied) * hand.step * (0.85 if tied else hand.gates[stem])
        if mark == "m" or stem == "chop":
            held = min(held, DAMPED_SECONDS * (0.6 + hand.gates[stem]))
        loud = (1.0 if step % hand.style.division == 0 else 0.85) * float(rng.uniform(0.75, 1.0))
        yield Note(hand.time(start, step, rng), held, sounding, loud)


def _above(lowest: int, pitch: int) -> int:
    """Move a pitch by octaves into the one that begins at `lowest`."""
    return lowest + (pitch - lowest) % 12


def _bass(hand: _Hand, chord: Any, following: Any, rng: np.random.Generator) -> Any:
    root = _above(hand.lowest["bass"], hand.key + chord[0])
    degrees = {"1": 0, "3": chord[1][1], "5": 7, "7": chord[1][3] if len(chord[1]) > 3 else 9, "8": 12}
    approach = _above(hand.lowest["bass"], hand.key + following[0]) - 1
    return lambda mark: (approach if mark == "a" else root + degrees[mark],)


def _chords(hand: _Hand, chord: Any, following: Any, rng: np.random.Generator) -> Any:
    lowest = hand.lowest["chords"]
    whole = tuple(sorted(_above(lowest, hand.key + chord[0] + semitones) for semitones in chord[1]))
    deep = _above(lowest - 12, hand.key + chord[0])

    def pitches(mark: str) -> tuple[int, ...]:
        if mark == "x":
            return whole
        if mark == "m":
            return deep, deep + 7
        octave, number = divmod(int(mark) - 1, len(whole))
        return (whole[number] + 12 * octave,)

    return pitches


def _lead(hand: _Hand, chord: Any, following: Any, rng: np.random.Generator) -> Any:
    lowest = hand.lowest["lead"]
    ladder = [
        pitch
        for pitch in range(lowest, lowest + MELODY_RANGE)
        if (pitch - hand.key) % 12 in SCALE or (pitch - hand.key - chord[0]) % 12 in chord[1]
    ]
    place = int(rng.integers(len(ladder)))

    def pitches(mark: str) -> tuple[int, ...]:
        nonlocal place
        if mark == "n":
            place = int(np.clip(place + rng.choice((-2, -1, 1, 2)), 0, len(ladder) - 1))
        return (ladder[place],)

    return pitches


def _chop(hand: _Hand, chord: Any, following: Any, rng: np.random.Generator) -> Any:
    lowest = hand.lowest["chop"]
    whole = tuple(sorted(_above(lowest, hand.key + chord[0] + semitones) for semitones in chord[1][:3]))
    return lambda mark: whole


_PITCHES = {"bass": _bass, "chords": _chords, "lead": _lead, "chop": _chop}
