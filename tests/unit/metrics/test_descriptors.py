"""Sounds whose kind is known are called by it."""

from __future__ import annotations

import math

import pytest
import torch

from earmark.metrics.descriptors import described

SECONDS = torch.arange(15120) / 16000


def noise(low: float, high: float) -> torch.Tensor:
    spectrum = torch.fft.rfft(torch.randn(len(SECONDS), generator=torch.Generator().manual_seed(0)))
    hertz = torch.fft.rfftfreq(len(SECONDS), 1 / 16000)
    return torch.fft.irfft(spectrum * ((hertz >= low) & (hertz <= high)), len(SECONDS))


def clicks(hertz: float) -> torch.Tensor:
    place = SECONDS % 0.3
    return torch.sin(2 * math.pi * hertz * SECONDS) * torch.exp(-place * 200)


@pytest.mark.parametrize(
    ("sound", "words", "middle"),
    [
        (torch.sin(2 * math.pi * 80 * SECONDS), "tonal bass steady", 80),
        (torch.sin(2 * math.pi * 1000 * SECONDS), "tonal mid steady", 1000),
        (noise(2000, 7000), "noisy high steady", 4500),
        (noise(6500, 8000), "noisy treble steady", 7250),
        (clicks(300.0), "noisy low onsets", 300),
    ],
)
def test_sounds_are_called_what_they_are(sound, words, middle) -> None:
    found = described(torch.stack([sound, sound]), 16000)
    assert found is not None
    assert found.words == words
    assert found.middle == pytest.approx(middle, rel=0.15, abs=40)
    assert found.low <= found.middle <= found.high


def test_level_and_silent_sounds_decide_nothing() -> None:
    sound = noise(500, 3000)
    one = described(sound[None], 16000)
    assert one is not None
    again = described(torch.stack([100 * sound, torch.zeros_like(sound)]), 16000)
    assert again is not None and again.words == one.words
    assert again.density == pytest.approx(one.density, rel=1e-3)
    assert described(torch.zeros(2, len(sound)), 16000) is None


def test_white_noise_fills_its_band_as_it_should() -> None:
    found = described(torch.randn(20, len(SECONDS), generator=torch.Generator().manual_seed(1)), 16000)
    assert found is not None
    assert found.density == pytest.approx(math.exp(-(1 - 0.5772)), abs=0.03)
    assert found.loudest == pytest.approx(0.1, abs=0.03)
