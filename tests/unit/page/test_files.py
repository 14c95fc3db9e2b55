"""What a page loads holds what was put into it."""

from __future__ import annotations

import codecs
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from earmark.page import files

NAMES = ['a "quote"', "</script><b>", "emoji 🎺 and \u2028", "back\\slash", "half of one \ud83c", "尺八"]


def read(folder: Path, key: str) -> Any:
    """Read what a script hands over, as the page's script would."""
    content = (folder / f"{key}.js").read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    assert wide or content.startswith(codecs.BOM_UTF8)  # or a browser would take it for what the page is in
    text = content.decode("utf-16" if wide else "utf-8-sig", "surrogatepass")
    found = re.fullmatch(r"earmark\.put\(\.\.\.(\[.*\])\);\n", text, re.DOTALL)
    assert found and "<" not in text
    given, value = json.loads(found[1])
    assert given == key
    return value


def test_values_come_back_whatever_is_in_them(tmp_path: Path) -> None:
    value = {"names": NAMES, "numbers": [1, 0.5, None, True]}
    files.put(tmp_path, "views/a.b~0", value)
    assert read(tmp_path, "views/a.b~0") == value


def test_what_a_page_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.put(tmp_path, "data", float("nan"))


@pytest.mark.parametrize("peak", [1e-5, 0.3, 4.0])
def test_sounds_come_back_at_their_level(tmp_path: Path, peak: float) -> None:
    wave = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    wave *= peak / np.abs(wave).max()
    gain = files.put_sound(tmp_path, "sounds/x", wave, 22050)
    stored, rate = sound(tmp_path, "sounds/x")
    assert rate == 22050 and np.abs(stored).max() == pytest.approx(files.PEAK, abs=1e-4)
    error = gain * stored - wave
    assert 10 * np.log10((wave**2).sum() / (error**2).sum()) > 75


def test_silence_has_no_gain(tmp_path: Path) -> None:
    assert files.put_sound(tmp_path, "sounds/x", np.zeros(100), 8000) == 0


def test_cells_come_back_to_half_a_step_and_zero_exactly() -> None:
    rng = np.random.default_rng(0)
    table = rng.uniform(-2, 2, (5, 7))
    table[1, 2], table[0, 0] = 0.0, 3.0  # beyond the scale
    found = files.cells(table, -2.0, 2.0)
    steps = steps_of(found).reshape(found["rows"], found["columns"])
    back = found["low"] + steps * (found["high"] - found["low"]) / files.LEVELS
    np.testing.assert_allclose(back, np.clip(table, -2, 2), atol=2 / files.LEVELS + 1e-12)
    assert back[1, 2] == 0


def test_a_map_of_one_value_is_stored() -> None:
    assert steps_of(files.cells(np.zeros((2, 2)), 0.0, 0.0)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [*range(1, 33), 30_000])
def test_bytes_come_back_from_letters_which_take_a_fifteenth_more(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    files.put(tmp_path, "x", files.packed(content))
    assert unpacked(read(tmp_path, "x")) == content
    assert (tmp_path / "x.js").stat().st_size < 200 + size * 16 / 15


def unpacked(packed: dict[str, Any]) -> bytes:
    """The bytes that letters hold, as the page's script finds them."""
    bits = "".join(f"{ord(letter) - files.FIRST:0{files.BITS}b}" for letter in packed["letters"])
    return bytes(int(bits[8 * n : 8 * n + 8], 2) for n in range(packed["size"]))


def sound(folder: Path, key: str) -> tuple[NDArray[np.float64], int]:
    """The samples of a stored sound ``[S]`` and their rate."""
    return soundfile.read(io.BytesIO(unpacked(read(folder, key))))


def steps_of(cells: dict[str, Any]) -> NDArray[np.uint8]:
    """The steps of stored cells."""
    return np.frombuffer(zlib.decompress(unpacked(cells["deflated"])), np.uint8)
