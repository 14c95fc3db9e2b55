"""What voices say, and by whom: vowels, ten patterns of two vowels, two registers. Data; read at parse time, too."""

from __future__ import annotations

from dataclasses import dataclass

VOWELS = {
    "iy": (270, 2290, 3010),
    "ih": (390, 1990, 2550),
    "eh": (530, 1840, 2480),
    "ae": (660, 1720, 2410),
    "aa": (730, 1090, 2440),
    "ao": (570, 840, 2410),
    "uh": (440, 1020, 2240),
    "uw": (300, 870, 2240),
    "ah": (640, 1190, 2390),
    "er": (490, 1350, 1690),
}
"""First three formants in Hz, means of men's (Peterson and Barney 1952, table II), by the vowel's ARPABET name."""

HIGHER = (3300, 3750)
"""Fourth and fifth formant in Hz, the same for all vowels (Klatt 1980, table I)."""

BANDWIDTHS = (50, 70, 110, 250, 200)
"""Of the five formants, in Hz (Klatt 1980, table I)."""

PATTERNS = {
    "zero": ("iy", "aa"),
    "one": ("aa", "iy"),
    "two": ("ih", "ao"),
    "three": ("ao", "ih"),
    "four": ("eh", "uw"),
    "five": ("uw", "eh"),
    "six": ("ae", "uh"),
    "seven": ("uh", "ae"),
    "eight": ("er", "ah"),
    "nine": ("ah", "er"),
}
"""What stands for the digits: one vowel and then another. Five pairs in both orders, so that the mean spectrum tells
the pair and only time tells the order."""


@dataclass(frozen=True)
class Register:
    """How high voices are: range of a speaker's mean fundamental in Hz, and formants against those of `VOWELS`."""

    hz: tuple[float, float]
    tract: float


REGISTERS = {"male": Register((85, 155), 1.0), "female": Register((165, 255), 1.17)}
"""Speakers take turns in this order."""

LABELS = {"digit": tuple(sorted(PATTERNS)), "sex": tuple(sorted(REGISTERS))}
"""Classes by what the configuration asks of a recording: what is said, or who says it."""

STEMS = ("fundamental", "first formant", "second formant", "higher formants", "breath")
"""Sound objects: the first harmonic, the others shared out among the formants, and noise."""


def fewest_speakers(labels: str, speakers: int) -> int:
    """Count the speakers of the class that has fewest."""
    return speakers if labels == "digit" else speakers // len(REGISTERS)
