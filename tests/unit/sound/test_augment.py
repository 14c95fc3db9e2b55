"""Augmentation does to a clip what theory promises, whatever the batch it comes in."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.signal
import torch
from torchaudio.functional import phase_vocoder

from earmark.sound import augment
from earmark.sound.augment import Changes, draw, logmels, masked, noise, pitched, response, stretched
from earmark.sound.logmel import LogMel

FRONTEND = LogMel.from_config({"frontend": {"n_fft": 800, "hop": 360, "n_mels": 128, "n_frames": 64}})
RATE, SAMPLES = FRONTEND.sample_rate, FRONTEND.clip_samples
TABLE = {  # Table A.1
    "gain_probability": 0.5,
    "gain": [-12, 3],
    "pitch_probability": 0.3,
    "pitch": [-12, 12],
    "filter_probability": 0.4,
    "highpass": [200, 1400],
    "lowpass": [1400, 4000],
    "noise_probability": 0.3,
    "noise": [0.001, 0.1],
    "stretch": [0.8, 1.2],
}
OFF = TABLE | {key: 0.0 for key in TABLE if key.endswith("probability")} | {"stretch": [1, 1]}


def drawn(settings, count: int, seed: int = 0) -> Changes:
    return draw(settings, count, torch.Generator().manual_seed(seed))


def one(count: int = 1, **changes: float) -> Changes:
    """Nothing but the changes named."""
    named = {key: torch.full((count,), value) for key, value in {"noise_place": 0.3, **changes}.items()}
    return dataclasses.replace(drawn(OFF, count), **named)


def tone(hertz: float) -> torch.Tensor:
    """One clip [1, S] of amplitude 1."""
    return torch.sin(2 * math.pi * hertz * torch.arange(SAMPLES) / RATE)[None]


def hiss(count: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, SAMPLES, generator=torch.Generator().manual_seed(seed))


def test_switched_off_it_is_the_front_end_to_the_last_bit():
    clips = hiss(3)
    assert not augment.is_active(OFF)
    assert augment.is_active(TABLE) and augment.is_active(OFF | {"stretch": [0.9, 1.1]})
    assert torch.equal(logmels(FRONTEND, clips, drawn(OFF, 3)), FRONTEND(clips))


def test_a_clip_begins_anywhere_in_its_silence_and_keeps_every_sample():
    clips = torch.tensor([[1.0, 2, 0, 0], [3, 4, 5, 0], [6, 7, 8, 9]])
    silent = torch.tensor([2, 1, 0])
    assert augment.delayed(clips, torch.tensor([2, 1, 0])).tolist() == [[0, 0, 1, 2], [0, 3, 4, 5], [6, 7, 8, 9]]
    found = torch.stack([augment.delays(silent, torch.Generator().manual_seed(seed)) for seed in range(60)])
    assert [sorted(set(column)) for column in found.T.tolist()] == [[0, 1, 2], [0, 1], [0]]


@pytest.mark.parametrize("spectrum", ["magnitude", "power"])
def test_log_mels_of_any_kind_are_changed_as_their_waveforms(spectrum: str):
    settings = {"window": "hann", "spectrum": spectrum, "compression": "db", "mel_scale": "slaney", "area_norm": True}
    front = dataclasses.replace(FRONTEND, **settings, padding="constant", mean=-20.0, std=10.0)
    clips = hiss(2)
    assert torch.equal(logmels(front, clips, one(2)), front(clips))
    quieter = logmels(front, clips, one(2, gain=0.5))
    assert torch.allclose(quieter, front(clips) + 20 * math.log10(0.5) / 10, atol=1e-4)
    twice = logmels(front, tone(700.0), one(pitch=2.0))
    assert abs(int(twice[0, 0].mean(dim=1).argmax()) - int(front(tone(1400.0))[0, 0].mean(dim=1).argmax())) <= 1
    noisy = logmels(front, clips, one(2, noise=1.0), noise(front, torch.Generator().manual_seed(1)))
    assert float((noisy - front(clips)).mean()) * 10 == pytest.approx(10 * math.log10(2), abs=0.5)


def test_gain_is_exact_after_normalisation():
    plain = FRONTEND(hiss())
    changed = logmels(FRONTEND, 0.1 * hiss(), one(gain=10 ** (-9 / 20)))
    torch.testing.assert_close(changed, plain - 9 / 20, atol=1e-5, rtol=0)


@pytest.mark.parametrize("semitones", [-12, -7.3, -1, 0.5, 4, 11.7, 12])
def test_a_shifted_tone_ends_at_its_frequency_with_its_level(semitones):
    hertz, factor = 700.0, 2 ** (semitones / 12)
    before = FRONTEND.stft(tone(hertz)).abs()[0]
    after = pitched(FRONTEND, tone(hertz), torch.tensor([factor]))[0]  # [n_bins, T]
    assert after.shape == before.shape
    middle = after[:, 8:-8].square().mean(dim=1)
    bins = torch.arange(FRONTEND.spectrum_bins) * RATE / FRONTEND.n_fft
    near = (bins - hertz * factor).abs() < 60
    centre = (middle * bins)[near].sum() / middle[near].sum()
    assert float(centre) == pytest.approx(hertz * factor, abs=2.0)  # a bin is 20 Hz
    assert float(middle[near].sum() / middle.sum()) > 0.99
    level = 10 * torch.log10(middle[near].sum() / before[:, 8:-8].square().mean(dim=1).sum())
    assert abs(float(level)) < 0.6


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_shift_leaves_time_alone(factor):
    clip = tone(1500) * 0.001
    clip[:, 10 * 360 : 10 * 360 + 1440] *= 1000  # frames 10 to 14
    energy = pitched(FRONTEND, clip, torch.tensor([factor]))[0].square().sum(dim=0)  # [T]
    loud = (energy > 0.3 * energy.max()).nonzero()[:, 0]
    assert (loud.min(), loud.max()) == (10, 14)


def test_shifted_noise_is_spread_over_the_wider_band():
    """Power per Hz falls by the factor; what came from above the Nyquist frequency is not there."""
    plain = FRONTEND.stft(hiss(16)).abs().square().mean(dim=(0, 2))
    for factor in (0.5, 2.0):
        shifted = pitched(FRONTEND, hiss(16), torch.full((16,), factor)).square().mean(dim=(0, 2))
        inside = slice(20, int(min(factor, 1) * FRONTEND.spectrum_bins) - 20)
        assert float((shifted / plain)[inside].mean()) == pytest.approx(1 / factor, rel=0.05)
        if factor == 0.5:
            assert not shifted[FRONTEND.spectrum_bins // 2 + 2 :].any()


@pytest.mark.parametrize("semitones", [-12, -5, 7, 12])
def test_a_shifted_chord_is_the_chord_played_at_that_pitch(semitones):
    time = torch.arange(SAMPLES) / RATE
    swell = 0.3 + torch.cos(2 * math.pi * 2.0 * time).square()
    partials = [(hertz * number, 1 / number) for hertz in (220.0, 277.2, 329.6) for number in range(1, 6)]

    def chord(factor: float) -> torch.Tensor:
        return swell * sum(level * torch.sin(2 * math.pi * hertz * factor * time) for hertz, level in partials)

    factor = 2 ** (semitones / 12)
    ours = FRONTEND.filter_bank @ pitched(FRONTEND, chord(1.0)[None], torch.tensor([factor]))
    wanted = FRONTEND.mel(chord(factor)[None])
    difference = 20 * torch.log10(ours / wanted)[0, :, 4:-4]  # dB
    loud = (wanted > wanted.max() / 30)[0, :, 4:-4]
    assert float(difference[loud].abs().median()) < 0.6
    assert float(difference[loud].abs().quantile(0.9)) < 6  # partials within one bin beat as fast as before
    assert abs(float(difference[loud].mean())) < 0.6


@pytest.mark.parametrize("cutoff", [200.0, 1400.0, 4000.0])
def test_filters_have_butterworths_response(cutoff):
    hertz = np.linspace(0, RATE / 2, FRONTEND.spectrum_bins)
    none, every = torch.tensor([0.0]), torch.tensor([math.inf])
    for kind, ours in (
        ("highpass", response(FRONTEND, torch.tensor([cutoff]), every)),
        ("lowpass", response(FRONTEND, none, torch.tensor([cutoff]))),
    ):
        b, a = scipy.signal.butter(2, 2 * math.pi * cutoff, kind, analog=True)
        _, wanted = scipy.signal.freqs(b, a, 2 * math.pi * hertz)
        np.testing.assert_allclose(ours[0].numpy(), np.abs(wanted), atol=1e-5)
    assert (response(FRONTEND, none, every) == 1).all()


def test_a_filtered_clip_is_that_of_a_filtered_waveform():
    clips = hiss(8) / hiss(8).abs().amax(dim=1, keepdim=True)
    sections = scipy.signal.butter(2, 1000, "highpass", fs=RATE, output="sos")
    filtered = torch.from_numpy(scipy.signal.sosfilt(sections, clips.numpy(), axis=1)).float()
    wanted = FRONTEND.compressed(FRONTEND.mel(filtered)).mean(dim=(0, 2))
    ours = logmels(FRONTEND, clips, one(8, highpass=1000.0)).mean(dim=(0, 3))
    # Further down the window's side lobes show in the filtered waveform; up there the digital filter bends.
    between = (FRONTEND.frequencies > 200) & (FRONTEND.frequencies < RATE / 4)
    torch.testing.assert_close(ours[0, between], wanted[between], atol=0.05, rtol=0)


def test_noise_has_the_level_that_it_would_have_in_the_waveform():
    clips = torch.cat([tone(400 + 10 * number) for number in range(8)])
    spectra = noise(FRONTEND, torch.Generator().manual_seed(0))
    ours = logmels(FRONTEND, clips, one(8, noise=0.05), spectra)
    noisy = clips + 0.05 * clips.std(dim=1, keepdim=True) * hiss(8, seed=1)
    wanted = FRONTEND.compressed(FRONTEND.mel(noisy)).unsqueeze(1)
    torch.testing.assert_close(ours.mean(dim=(0, 1, 3)), wanted.mean(dim=(0, 1, 3)), atol=0.1, rtol=0)
    assert abs(float(ours.mean() - wanted.mean())) < 0.01
    torch.testing.assert_close(ours.std(dim=3).mean(), wanted.std(dim=3).mean(), atol=0.02, rtol=0)


def test_clips_take_different_noise():
    spectra = noise(FRONTEND, torch.Generator().manual_seed(0))
    changes = one(2, noise=0.1)
    changes.noise_place[1] = 0.8
    first, second = logmels(FRONTEND, tone(500).repeat(2, 1), changes, spectra)
    assert float((first - second).abs().mean()) > 0.05


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.07, 1.2])
def test_stretching_is_that_of_the_phase_vocoder(speed):
    spectra = FRONTEND.stft(hiss(2))
    advance = torch.linspace(0, math.pi * FRONTEND.hop, FRONTEND.spectrum_bins)[:, None]
    wanted = phase_vocoder(spectra, speed, advance).abs()[:, :, : spectra.shape[2]]
    wanted = torch.nn.functional.pad(wanted, (0, spectra.shape[2] - wanted.shape[2]))
    ours = stretched(spectra.abs(), torch.full((2,), speed))
    torch.testing.assert_close(ours, wanted, atol=2e-4, rtol=1e-4)


def test_stretching_keeps_pitch_and_fills_with_silence():
    clip = logmels(FRONTEND, tone(900), one(speed=1.2))[0, 0]  # [F, T]
    assert (clip[:, 54:] == FRONTEND.floor).all()  # ceil(64 / 1.2) frames
    plain = FRONTEND(tone(900))[0, 0]
    assert clip[:, 20].argmax() == plain[:, 20].argmax()


def test_a_draw_follows_the_table():
    count = 40000
    changes = drawn(TABLE, count)
    for value, none, probability, lowest, highest in (
        (20 * torch.log10(changes.gain), 0, 0.5, -12, 3),
        (12 * torch.log2(changes.pitch), 0, 0.3, -12, 12),
        (changes.highpass, 0, 0.2, 200, 1400),
        (changes.lowpass, math.inf, 0.2, 1400, 4000),
        (changes.noise, 0, 0.3, 0.001, 0.1),
        (changes.speed, None, 1, 0.8, 1.2),
    ):
        made = value[value != none] if none is not None else value
        assert len(made) / count == pytest.approx(probability, abs=4 * math.sqrt(0.25 / count))
        assert float(made.min()) == pytest.approx(lowest, abs=1e-3 * (highest - lowest) + 1e-4)
        assert float(made.max()) == pytest.approx(highest, abs=1e-3 * (highest - lowest) + 1e-4)
        assert float(made.mean()) == pytest.approx((lowest + highest) / 2, abs=0.02 * (highest - lowest))
    assert not ((changes.highpass > 0) & (changes.lowpass < math.inf)).any(), "one filter or the other"
    together = (changes.gain != 1) & (changes.pitch != 1)
    assert float(together.float().mean()) == pytest.approx(0.15, abs=0.01), "drawn independently"


def test_the_seed_decides():
    assert all(
        torch.equal(getattr(drawn(TABLE, 50, 3), name), getattr(drawn(TABLE, 50, 3), name)) for name in vars(one())
    )
    assert not torch.equal(drawn(TABLE, 50, 3).gain, drawn(TABLE, 50, 4).gain)


def test_a_clip_is_the_same_in_any_batch():
    clips, changes = hiss(12), drawn(TABLE | {"noise_probability": 0.8, "pitch_probability": 0.8}, 12)
    spectra = noise(FRONTEND, torch.Generator().manual_seed(0))
    together = logmels(FRONTEND, clips, changes, spectra)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(logmels(FRONTEND, clips[order], changes[order], spectra), together[order])
    alone = torch.arange(5, 6)
    torch.testing.assert_close(logmels(FRONTEND, clips[alone], changes[alone], spectra), together[alone])


def test_silence_stays_silence():
    changes = one(2, gain=0.5, pitch=1.5, highpass=300.0, noise=0.1, speed=0.9)
    spectra = noise(FRONTEND, torch.Generator().manual_seed(0))
    assert (logmels(FRONTEND, torch.zeros(2, SAMPLES), changes, spectra) == FRONTEND.floor).all()


def test_masks_are_single_blocks_of_uniform_width() -> None:
    clips = torch.ones(4000, 1, 32, 48)
    hidden = masked(clips, 20, 0, torch.Generator().manual_seed(0)) == 0  # [B, 1, F, T]
    assert (hidden.all(dim=2) == hidden.any(dim=2)).all(), "a time mask covers all bands"
    frames = hidden[:, 0, 0].int()  # [B, T]
    assert (frames.diff(dim=1).abs().sum(dim=1) <= 2).all(), "one block"
    widths = torch.bincount(frames.sum(dim=1), minlength=21)
    assert len(widths) == 21
    expected = len(clips) / 21
    assert float(((widths - expected) ** 2 / expected).sum()) < 45  # chi-square, 20 degrees of freedom, p = .001
    bands = masked(clips, 0, 20, torch.Generator().manual_seed(1)) == 0
    assert (bands.all(dim=3) == bands.any(dim=3)).all(), "a mel mask covers all frames"
    assert torch.equal(masked(clips, 0, 0, torch.Generator()), clips)
