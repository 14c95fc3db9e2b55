"""The ten styles of the band as data: which patterns each stem may play.

A pattern is one bar, one character per step; `Style.division` steps make a beat. A style is told by when its stems
sound, never by what they sound like: palettes are drawn by one law for all styles. Read while the workflow is being
parsed, hence without NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STEMS = ("kick", "snare", "hat", "bass", "chords", "lead", "chop")
"""Kinds of stem, the same in every style; a track may lack some."""

DRUMS = STEMS[:3]

PRESENCE: dict[str, float] = {
    "kick": 0.95,
    "snare": 0.95,
    "hat": 0.9,
    "bass": 0.95,
    "chords": 0.95,
    "lead": 0.6,
    "chop": 0.45,
}
"""How probable it is that a track holds a stem, where the style says nothing else."""

Patterns = tuple[str, ...]


@dataclass(frozen=True)
class Style:
    """One way of playing together.

    Parameters
    ----------
    about : str
        What it is, for the reader.
    tempo : (float, float)
        Range in beats per minute.
    division : int
        Steps per beat: 4, or 3 where beats are triplets.
    patterns : mapping
        Bars of each stem. ``.`` rests and ``-`` holds the note before. Drums: ``x`` a hit, ``X`` a loud and ``o`` a
        soft one; for the hat ``O`` is open and ``r`` the ride cymbal. Bass: ``1 3 5 7 8`` degrees of the chord, ``a``
        a semitone below the next chord's root. Chords: ``x`` all notes at once, ``m`` root and fifth, damped; ``1``
        to ``4`` one note of the chord. Lead: ``n`` the melody's next note, ``t`` the last one again. Chop: ``x``.
    progressions : tuple of str
        Chords, one per bar: semitones of the root above the key, and their quality.
    swing : (float, float)
        Range of the delay of every second step, in steps.
    presence : mapping
        What differs from `PRESENCE`.
    driven : float
        Probability that the chords, and with them the lead, are distorted.
    """

    about: str
    tempo: tuple[float, float]
    division: int
    patterns: Mapping[str, Patterns]
    progressions: tuple[str, ...]
    swing: tuple[float, float] = (0.0, 0.04)
    presence: Mapping[str, float] = field(default_factory=dict)
    driven: float = 0.35

    def presence_of(self, stem: str) -> float:
        """Probability that a track of this style holds a stem."""
        return self.presence.get(stem, PRESENCE[stem])


STYLES: dict[str, Style] = {
    "backbeat": Style(
        "rock: straight eighths over kick and backbeat",
        tempo=(92, 148),
        division=4,
        patterns={
            "kick": ("x.......x.x.....", "x.....x.x.......", "x..x....x.x.....", "x.x.....x......."),
            "snare": ("....x.......x...", "....x.......x..o", "....x..o....x..."),
            "hat": ("x.x.x.x.x.x.x.x.", "x.x.x.x.x.x.x.O.", "r.r.r.r.r.r.r.r.", "O.O.O.O.O.O.O.O."),
            "bass": ("1.1.1.1.1.1.1.1.", "1-1-1-1-1-1-1-1-", "1-1-1-1-1-1-5-5-", "1.1.1.1.5.5.1.a."),
            "chords": ("x-x-x-x-x-x-x-x-", "x---x-x-x---x-x-", "m.m.x-m.m.m.x-m.", "x-x-x---x-x-x-x-"),
            "lead": ("n---n-n-n---n---", "n-n-n---n-n-n-n-", "n-------n-n-n---"),
            "chop": ("....x.......x...", "....x.......x.x."),
        },
        progressions=("0 7 9:m 5", "0 10 5 0", "9:m 5 0 7", "0 5 10 5"),
        driven=0.6,
    ),
    "boombap": Style(
        "hip-hop: late kicks, swung sixteenths, loops that stop",
        tempo=(76, 120),
        division=4,
        swing=(0.2, 0.45),
        patterns={
            "kick": ("x.x.......x..x..", "x..x.....xx.....", "x.....xx..x.....", "x..x..x...x...x."),
            "snare": ("....x.......x...", "....x..o.o..x...", "....x.......x..o"),
            "hat": ("x.x.x.xxx.x.x.x.", "x.xxx.x.x.xxx.x.", "xxx.x.x.xxx.x.x.", "x.xxx.xxx.xxxxxx"),
            "bass": ("1-----....1--5--", "1-1----.......8-", "1--1-----.......", "1-......1-7-...."),
            "chords": ("x-----..........", "x--x----........", "......x---......", "x---......x--..."),
            "lead": ("..n-nn-.........", "....n--n-n-.....", ".n-nn-..........", "n--n--n-........"),
            "chop": ("x......x........", "...x......x.....", "x..x......x....."),
        },
        progressions=("9:m7 9:m7 2:m7 4:m", "0:j7 9:m7 0:j7 9:m7", "2:m7 7 2:m7 7", "9:m 9:m 5:j7 4:m"),
    ),
    "chamber": Style(
        "classical: broken chords, long lines, hardly a drum",
        tempo=(76, 132),
        division=4,
        patterns={
            "kick": ("x...............", "x.......x.......", "........x.x.x.x."),
            "snare": ("............oooo", "oooooooo........", "........oooooooo"),
            "hat": ("O...............", "........O......."),
            "bass": ("1---------------", "1-------5-------", "1-------3-------", "8-------1-------"),
            "chords": ("1323132313231323", "1.3.2.3.1.3.2.3.", "1234321212343212", "1-2-3-4-3-2-3-2-"),
            "lead": (
                "n-------n---n---",
                "n---nnnnn---n-n-",
                "n-----n-n-------",
                "nnnnnnnnn-------",
            ),
            "chop": ("....x...x...x...", "x...x...x......."),
        },
        progressions=("0 7 0 7", "0 5 7 0", "9:m 4 9:m 4", "0 9:m 2:m 7"),
        presence={"kick": 0.45, "snare": 0.3, "hat": 0.35, "lead": 0.9},
    ),
    "disco": Style(
        "disco: four on the floor, open hat off the beat, octaves",
        tempo=(96, 136),
        division=4,
        patterns={
            "kick": ("x...x...x...x...", "x...x...x...x..x"),
            "snare": ("....x.......x...", "....x.......x.o."),
            "hat": ("..O...O...O...O.", "x.O.x.O.x.O.x.O.", "xxOxxxOxxxOxxxOx"),
            "bass": ("1.8.1.8.1.8.1.8.", "1-8-1-8-5-8-1-8-", "1.8.1.8.1.8.7.8.", ".18..18..18..18."),
            "chords": ("x---------------", "x-----------x---", "........x-------"),
            "lead": ("n-----n-n-------", "n---------n-n-n-", "..n-..n-..n-n---"),
            "chop": ("x.xx.xx.x.xx.xx.", "..xx..xx..xx..xx", ".xx..xx..xx..xx."),
        },
        progressions=("9:m 5 0 7", "9:m7 2:m7 7 0", "2:m7 2:m7 0:j7 0:j7", "9:m 9:m 7 5"),
        presence={"chop": 0.65},
        driven=0.2,
    ),
    "gallop": Style(
        "metal: damped sixteenths, double kicks",
        tempo=(92, 140),
        division=4,
        patterns={
            "kick": ("x.xxx.xxx.xxx.xx", "xxxxxxxxxxxxxxxx", "xxx.xxx.xxx.xxx."),
            "snare": ("....x.......x...", "........x.......", "..x...x...x...x."),
            "hat": ("O...O...O...O...", "r.r.r.r.r.r.r.r.", "x...x...x...x...", "O.......O......."),
            "bass": ("1.111.111.111.11", "1111111111111111", "111.111.111.111.", "1.111.111.11a.aa"),
            "chords": ("m.mmm.mmm.mmm.mm", "m.mmx---m.mmx---", "mmmmmmmmmmmmx-x-", "mmm.mmm.mmm.x---"),
            "lead": ("ntttntttntttnttt", "n.nnn.nnn.nnn.nn", "nnnnnnnnnnnnnnnn", "nttttttttttttttt"),
            "chop": ("x...............", "x.......x......."),
        },
        progressions=("9:m 9:m 5 7", "9:m 10 9:m 8", "9:m 7 5 4", "4:m 5 4:m 2"),
        driven=0.8,
        presence={"chop": 0.25},
    ),
    "shuffle": Style(
        "blues: every beat long and short, twelve bars",
        tempo=(84, 140),
        division=3,
        patterns={
            "kick": ("x.....x.....", "x....xx.....", "x..x..x..x..", "x.x...x.x..."),
            "snare": ("...x.....x..", "...x.o...x.o"),
            "hat": ("x.xx.xx.xx.x", "r.rr.rr.rr.r", "x.xx.xx.xx.O"),
            "bass": ("1.13.35.57.7", "1.11.15.55.5", "1-15-57-75-5", "1.18.87.75.5"),
            "chords": ("x.xx.xx.xx.x", "x-xx-xx-xx-x", "x-------x--x", "1.12.21.12.2"),
            "lead": ("n.nn-n......", "......n-nn-n", "n-nn-nn-----", "nnnn--......"),
            "chop": ("...x.....x..", "..x..x..x..x"),
        },
        progressions=("0:7 0:7 0:7 0:7 5:7 5:7 0:7 0:7 7:7 5:7 0:7 7:7", "0:7 5:7 0:7 0:7", "0:7 0:7 5:7 0:7"),
        driven=0.45,
    ),
    "skank": Style(
        "reggae: one drop, chords off the beat, bass that rests on one",
        tempo=(72, 116),
        division=4,
        swing=(0.0, 0.15),
        patterns={
            "kick": ("........x.......", "........x.......", "........x......x"),
            "snare": ("........x.......", "........x.....o.", "........x..o...."),
            "hat": ("..x...x...x...x.", "x.xxx.x.x.xxx.x.", "..xx..xx..xx..xx"),
            "bass": ("..1-1-3-....5-1-", "1-......3-5-1-..", "....1-1-..3-5---", "1-1-..5-....7-8-"),
            "chords": ("..x.xx....x.xx..", "...xx......xx...", ".xx..xx..xx..xx.", "..x...x...x...x."),
            "lead": ("..n-n---n---....", "n---....n-n-n---", "......n-n-n-----"),
            "chop": ("..x...x...x...x.", "..xx..xx..xx..xx", "..x...x...x...xx"),
        },
        progressions=("0 5 0 5", "9:m 2:m 9:m 2:m", "0 7 9:m 5", "0 2:m 0 2:m"),
        presence={"chop": 0.95, "chords": 0.6},
        driven=0.2,
    ),
    "swing": Style(
        "jazz: ride and walking bass, comping between the beats",
        tempo=(96, 152),
        division=3,
        patterns={
            "kick": ("o..o..o..o..", ".....x......", "o..o..o..o.x", "........x..."),
            "snare": ("..o.....o...", ".....o..x..o", "........x...", "..x......o.."),
            "hat": ("r..r.rr..r.r", "r..r..r..r.r", "x..x.xx..x.x", "r..r.rr..r.."),
            "bass": ("1--3--5--a--", "1--5--3--a--", "1--3--7--a--", "8--7--5--a--"),
            "chords": ("x....x......", ".....x--...x", "..x.....x...", "x----x......", "........x--x"),
            "lead": ("n-nn-nn-nn-n", "..nn-nn-nn-n", "n-nn-n......", "nnnnn-nn-n.."),
            "chop": ("x..x..x..x..", "...x.....x.."),
        },
        progressions=("2:m7 7:7 0:j7 9:7", "2:m7 7:7 0:j7 0:j7", "0:j7 9:m7 2:m7 7:7", "9:m7 2:7 2:m7 7:7"),
        presence={"lead": 0.75},
        driven=0.15,
    ),
    "train": Style(
        "country: brushed sixteenths, bass and chord in turn, rolling picks",
        tempo=(92, 144),
        division=4,
        patterns={
            "kick": ("x.......x.......", "x.....x.x......."),
            "snare": ("ooxoooxoooxoooxo", "oooxooxoooxooxoo", "oxooXooooxooXooo", "ooooXoooooooXooo"),
            "hat": ("....x.......x...", "xxx.xxx.xxx.xxx."),
            "bass": ("1-......5-......", "1---....5---....", "1-......5-..7-a-", "1---....5---..a."),
            "chords": ("....x-......x-..", "....x-x-....x-x-", "....x--.....x-xx"),
            "lead": ("nnnnnnnnnnnnnnnn", "n.nnn.nn.nnn.nnn", "n-nnn-n-n-nnn-n-", "nn.nn.nnnn.nn.n."),
            "chop": ("....x.......x...", "....x.......x..x"),
        },
        progressions=("0 0 5 0", "0 5 7 0", "0 7 7 0", "0 5 0 7"),
        presence={"hat": 0.5, "lead": 0.75},
        driven=0.25,
    ),
    "tresillo": Style(
        "pop: three, three and two sixteenths in every hand",
        tempo=(84, 132),
        division=4,
        patterns={
            "kick": ("x..x..x.x..x..x.", "x..x..x.........", "x..x....x..x....", "x.....x.x.....x."),
            "snare": ("....x.......x...", "............x...", "....x.......x..x"),
            "hat": ("x..x..x.x..x..x.", "xxxxxxxxxxxxxxxx", "x..xx.x.x..xx.x."),
            "bass": ("1--1--1-1--1--1-", "1--1--1-5--5--1-", "1--1--5-1--1--5-", "1-.1-.1.1-.1-.1."),
            "chords": ("1--3--2-1--3--2-", "x--x--x-x--x--x-", "1--2--3-4--3--2-", "x--x----x--x----"),
            "lead": ("n--n--n---------", "n--n--n-n--n--n-", "n--n--nn--n-----"),
            "chop": ("x..x..x.x..x..x.", "x..x..x........."),
        },
        progressions=("0 7 9:m 5", "9:m 5 0 7", "0 4:m 5 7", "5 0 7 9:m"),
        driven=0.3,
    ),
}
"""Styles by the slug of their class, in the order of their names."""
