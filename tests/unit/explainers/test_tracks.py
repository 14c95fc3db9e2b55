"""Explanations of recordings longer than a clip: what is counted and what is written of them."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from earmark.explainers.tracks import scores, write_sounds
from earmark.sound.tracks import rendered, scale_of
from tests.unit.sound.test_tracks import ROUNDING, SPECTROGRAM, joined_of, noise

SAMPLES = 7000


def test_scores_sum_the_cells_of_a_tenth_of_a_second() -> None:
    joined, whole = joined_of(SPECTROGRAM, SAMPLES)
    rows = scores(joined, SPECTROGRAM)
    width = round(0.1 * SPECTROGRAM.sample_rate / SPECTROGRAM.hop)
    frames = [whole[1:, :, first : first + width] for first in range(0, whole.shape[2], width)]
    assert [(number, value) for _, number, value in rows] == [
        (number, pytest.approx(float(value), rel=1e-4, abs=1e-3))
        for cells in frames
        for number, value in enumerate(cells.sum(dim=(1, 2)), start=1)
    ]
    step = SPECTROGRAM.hop / SPECTROGRAM.sample_rate
    middles = [(width * place + (cells.shape[2] - 1) / 2) * step for place, cells in enumerate(frames)]
    assert [second for second, number, _ in rows if number == 1] == [f"{second:.4f}" for second in middles]


@pytest.mark.parametrize("lacking", [0.0, 0.3])
@pytest.mark.parametrize("loud", [False, True])
def test_sounds_are_written_at_one_gain_and_none_is_clipped(tmp_path, lacking, loud) -> None:
    joined, _ = joined_of(SPECTROGRAM, SAMPLES, lacking=lacking)
    track = noise(SAMPLES)
    if loud:  # what is left of full scale may be louder than that
        track = np.where(track < 0, np.int16(-32768), np.int16(32767))
    gain = write_sounds(tmp_path, SPECTROGRAM, track, joined, 90.0)
    found = {path.stem: soundfile.read(path, dtype="float64")[0] for path in tmp_path.iterdir()}
    concepts = ["concept1", "concept2", "concept3"]
    assert set(found) == {"input", "standard", "rest", *concepts, *(["bypass"] if lacking else [])}
    assert {len(sound) for sound in found.values()} == {SAMPLES}
    peak = max(float(np.abs(sound).max()) for sound in found.values())
    assert gain == 1 if not loud else 0.5 < gain <= 1
    assert peak <= 1
    np.testing.assert_allclose(found["input"], gain * track / 32768, atol=1e-6)
    np.testing.assert_allclose(found["standard"] + found["rest"], found["input"], atol=1e-6)
    blocks = torch.cat(list(rendered(SPECTROGRAM, track, joined, scale_of(joined, 90.0, ROUNDING))), dim=1)
    np.testing.assert_allclose(found["concept2"], gain * blocks[2].numpy() / 32768, atol=1e-6)
