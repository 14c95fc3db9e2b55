"""Scaled sounds have other frequencies and are as long, as loud and as silent as before."""

from __future__ import annotations

import math

import pytest
import torch

from earmark.sound import scaling
from earmark.sound.scaling import scaled

RATE = 8000
TIMES = torch.arange(RATE, dtype=torch.float64) / RATE
FACTORS = [0.5, 0.66, 1.5, 2.0]


def tone(hertz: float) -> torch.Tensor:
    """One second [1, S]."""
    return torch.sin(2 * math.pi * hertz * TIMES)[None]


def voice(hertz: float = 120.0) -> torch.Tensor:
    """A buzz that falls by a fifth of an octave and fades in and out: ten harmonics, [1, S]."""
    turns = 2 * math.pi * (hertz * TIMES - 8 * TIMES.square())
    harmonics = torch.stack([torch.cos(number * turns + number**2) / number for number in range(1, 11)])
    return (harmonics.sum(dim=0) * torch.sin(math.pi * TIMES))[None]


def decibels(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(10 * torch.log10(one.square().sum() / other.square().sum()))


def test_factor_1_is_the_sound_itself_to_rounding() -> None:
    noise = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(scaled(noise, 1, RATE), noise, rtol=0, atol=1e-12)
    single = scaled(noise.float(), 1, RATE)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, noise.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_line_comes_to_its_multiple(factor: float) -> None:
    found = scaled(tone(440), factor, RATE)[0]
    spectrum = torch.fft.rfft(found * torch.hann_window(RATE)).abs()  # bins of 1 Hz
    assert abs(int(spectrum.argmax()) - 440 * factor) <= 1
    near = (torch.arange(len(spectrum)) - 440 * factor).abs() < 20
    assert spectrum[near].square().sum() > 0.99 * spectrum.square().sum()


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("samples", [8000, 7937, 300])
def test_a_clip_stays_as_long_as_it_is(factor: float, samples: int) -> None:
    assert scaled(tone(440)[:, :samples], factor, RATE).shape == (1, samples)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_sound_stays_when_it_is(factor: float) -> None:
    inside = (TIMES > 0.3) & (TIMES < 0.5)
    found = scaled(tone(600) * inside, factor, RATE)[0]
    near = (TIMES > 0.3 - 0.032) & (TIMES < 0.5 + 0.032)  # half a window
    assert found[~near].square().sum() < 0.01 * found.square().sum()


@pytest.mark.parametrize("factor", FACTORS)
def test_silence_stays_silent(factor: float) -> None:
    assert torch.equal(scaled(torch.zeros(1, RATE), factor, RATE), torch.zeros(1, RATE))


@pytest.mark.parametrize("factor", FACTORS)
def test_energy_is_kept_within_a_decibel(factor: float) -> None:
    for sound in (tone(440), voice()):
        assert abs(decibels(scaled(sound, factor, RATE), sound)) < 1


def test_without_the_lock_partials_fall_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else bins could as well be turned one by one."""
    monkeypatch.setattr(scaling, "nearest_peaks", lambda all: torch.arange(all.shape[2]).expand(all.shape))
    assert decibels(scaled(voice(), 1.5, RATE), voice()) < -1


@pytest.mark.parametrize("factor", FACTORS)
def test_there_and_back_is_nearly_the_sound(factor: float) -> None:
    def magnitudes(sound: torch.Tensor) -> torch.Tensor:
        window = torch.hann_window(512, dtype=torch.float64)
        return torch.stft(sound, 512, 128, window=window, return_complex=True).abs()

    one, other = magnitudes(voice()), magnitudes(scaled(scaled(voice(), factor, RATE), 1 / factor, RATE))
    assert (one * other).sum() > 0.98 * one.norm() * other.norm()


def test_what_comes_above_half_the_sampling_rate_is_lost() -> None:
    assert decibels(scaled(tone(3000), 1.5, RATE), tone(3000)) < -40
    assert abs(decibels(scaled(tone(3000), 1.2, RATE), tone(3000))) < 1


def test_sounds_know_nothing_of_each_other() -> None:
    both = torch.cat([voice(), tone(300)])
    alone = torch.cat([scaled(one[None], 1.5, RATE) for one in both])
    torch.testing.assert_close(scaled(both, 1.5, RATE), alone, rtol=0, atol=1e-9)
