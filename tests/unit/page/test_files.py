"""What a page loads holds what was put into it."""

from __future__ import annotations

import base64
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

NAMES = ['a "quote"', "</script><b>", "emoji 🎺 and \u2028", "back\\slash"]


def read(folder: Path, key: str) -> Any:
    """Read what a script hands over, as the page's script would."""
    text = (folder / f"{key}.js").read_bytes().decode("ascii")
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
    flac = base64.b64decode(read(tmp_path, "sounds/x")["flac"])
    stored, rate = soundfile.read(io.BytesIO(flac))
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
    steps = unpacked(found).reshape(found["rows"], found["columns"])
    back = found["low"] + steps * (found["high"] - found["low"]) / files.LEVELS
    np.testing.assert_allclose(back, np.clip(table, -2, 2), atol=2 / files.LEVELS + 1e-12)
    assert back[1, 2] == 0


def test_a_map_of_one_value_is_stored() -> None:
    assert unpacked(files.cells(np.zeros((2, 2)), 0.0, 0.0)).tolist() == [0, 0, 0, 0]


def unpacked(cells: dict[str, Any]) -> NDArray[np.uint8]:
    """The bytes of stored cells."""
    return np.frombuffer(zlib.decompress(base64.b64decode(cells["deflated"])), np.uint8)
