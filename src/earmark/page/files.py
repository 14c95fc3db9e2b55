"""Files that a page opened from disk can load: scripts that each hand over one value.

A browser loads no data by itself from a folder on disk, but it runs scripts from there. Sounds are FLAC inside them, as
letters of 15 bits: in files of UTF-16 that takes a fifth less than base64.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import zlib
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
import soundfile
from numpy.typing import ArrayLike

import earmark.page

PAGE = Path(earmark.page.__file__).parent
"""Where the files lie that every page has."""

PARTS = (".css", ".js")
"""What those end in that the page loads."""

PEAK = 0.99
"""Of every stored sound; the gain to its true level stands beside it."""

LEVELS = 254
"""Steps of a stored cell: an even number, so that zero relevance is a step of its own."""

NOISE = -75.0
"""dB above a sound's power of what rounding adds to it, as far as 16 bits allow: bits that say less are not stored."""

FULL_SCALE = 2**15
"""Of 16 bits."""

BITS = 15
"""Of bytes in a letter."""

FIRST = 0x4000
"""The letter of bits that are all 0: from here on, 2**15 letters mean nothing to JSON and are a unit of UTF-16 each."""

ENCODINGS = ("utf-8-sig", "utf-16")
"""Of files: the first bytes of each say which it is, and browsers go by that."""

SMALLEST = 1.0
"""How hard FLAC tries, from 0 to 1: it takes a little longer to write, and as long to read."""


TRACKS, ENTRIES = "tracks", "entries.json"
"""Folder of a page's files that holds recordings explained as a whole, and what lists them there."""


def start() -> str:
    """Return what a page opens with, in HTML; what it loads lies in ``files`` beside it."""
    return (PAGE / "index.html").read_text(encoding="utf-8")


def furnish(folder: Path) -> None:
    """Copy what every page loads to its ``files``."""
    for path in (path for path in sorted(PAGE.iterdir()) if path.suffix in PARTS):
        shutil.copyfile(path, folder / path.name)


def put(folder: Path, key: str, value: Any) -> None:
    """Write ``{key}.js`` below a folder, which hands `value` to the page under its key.

    Parameters
    ----------
    folder : Path
        The page's ``files``.
    key : str
        Path of the file below it, without its suffix; `/` between folders.
    value : object
        What JSON can say; no NaN.
    """
    path = folder / f"{key}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    said = json.dumps([key, value], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    script = f"earmark.put(...{said});\n".replace("<", "\\u003c")
    path.write_bytes(min((script.encode(name, "surrogatepass") for name in ENCODINGS), key=len))


def copied(folder: Path, track: Path) -> list[dict[str, Any]]:
    """Copy what a recording's own page holds of it to another page's ``files``; the entries that list it.

    Parameters
    ----------
    folder : Path
        The other page's ``files``.
    track : Path
        Where the stage `track` wrote.
    """
    own = track / "files" / TRACKS
    shutil.copytree(own, folder / TRACKS, dirs_exist_ok=True, ignore=shutil.ignore_patterns(ENTRIES))
    return list(json.loads((own / ENTRIES).read_text(encoding="utf-8"))["entries"])


def number(value: SupportsFloat, digits: int = 5) -> float | None:
    """Round a number for the page, which knows no NaN: None stands for what is not finite."""
    told = float(value)
    return float(f"{told:.{digits}g}") if math.isfinite(told) else None


def stored(key: str) -> dict[str, str]:
    """Refer to a value that stands in a file of its own, since several others hold it: the page puts it in place."""
    return {"stored": key}


def packed(content: bytes) -> dict[str, Any]:
    """Put bytes in letters, so that JSON can say them.

    Parameters
    ----------
    content : bytes
        At least one.

    Returns
    -------
    dict
        ``size``, their number, and ``letters``: letter n is ``FIRST`` plus the bits from 15 n on, the highest first;
        the last is filled up with zeros.
    """
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    filled = np.pad(bits, (0, -bits.size % BITS)).reshape(-1, BITS)
    letters = FIRST + filled @ (1 << np.arange(BITS)[::-1])
    return {"size": len(content), "letters": letters.astype("<u2").tobytes().decode("utf-16-le")}


def put_sound(folder: Path, key: str, samples: ArrayLike, sample_rate: int) -> float:
    """Write a sound as FLAC of at most 16 bits and peak .99.

    Parameters
    ----------
    folder, key
        As in :func:`put`; the value is what :func:`packed` says of it.
    samples : array [S]
        The sound.
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        What the stored sound is to be multiplied by; 0 for silence.
    """
    wave = np.asarray(samples, dtype=np.float64)
    peak = float(np.abs(wave).max(initial=0.0))
    written = io.BytesIO()
    scaled = wave * (PEAK * FULL_SCALE / peak if peak else 0.0)
    step = _step(float(np.sqrt(np.mean(scaled**2))))
    rounded = (np.rint(scaled / step) * step).astype(np.int16)
    soundfile.write(written, rounded, sample_rate, "PCM_16", format="FLAC", compression_level=SMALLEST)
    put(folder, key, packed(written.getvalue()))
    return peak / PEAK


def _step(rms: float) -> int:
    """Say in which steps, a power of 2, a sound of 16 bits may be rounded: one of size s makes noise of s / 12**.5."""
    largest = rms * 10 ** (NOISE / 20) * math.sqrt(12)
    return 2 ** max(0, math.floor(math.log2(largest))) if largest else 1


def cells(values: ArrayLike, low: float, high: float) -> dict[str, Any]:
    """Store a map in bytes, compressed: most cells of a map are about zero.

    Parameters
    ----------
    values : array [F, T]
        The cells, the lowest frequency first.
    low, high : float
        What 0 and 254 stand for; cells beyond are clipped.

    Returns
    -------
    dict
        ``rows``, ``columns``, ``low``, ``high`` and ``deflated``, the cells row by row, by zlib and :func:`packed`: a
        byte b is ``low + b (high - low) / 254``.
    """
    table = np.asarray(values, dtype=np.float64)
    steps = np.clip(np.rint((table - low) * (LEVELS / ((high - low) or 1.0))), 0, LEVELS).astype(np.uint8)
    deflated = packed(zlib.compress(steps.tobytes(), level=9))
    return {"rows": table.shape[0], "columns": table.shape[1], "low": low, "high": high, "deflated": deflated}
