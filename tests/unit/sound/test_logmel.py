"""The front end against a definition by loops, and the promises that sonification rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.sound.logmel import LogMel

SYNTHETIC = LogMel(16000, 480, 240, n_mels=64, n_frames=64)
GTZAN = LogMel(16000, 800, 360, n_mels=128, n_frames=128)


def slow_logmel(frontend: LogMel, waveform: np.ndarray) -> np.ndarray:
    """Eq. A.1, 2.21, 2.25-2.27 and A.2, frame by frame and band by band."""
    half = frontend.n_fft // 2
    padded = np.pad(waveform / np.abs(waveform).max(), half, mode="reflect")
    n = np.arange(frontend.n_fft)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * n / frontend.n_fft)
    top = 2595 * np.log10(1 + frontend.sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, frontend.n_mels + 2) / 2595) - 1)
    bins = np.arange(half + 1) * frontend.sample_rate / frontend.n_fft
    logmel = np.empty((frontend.n_mels, frontend.n_frames))
    for frame in range(frontend.n_frames):
        start = frame * frontend.hop
        magnitude = np.abs(np.fft.rfft(window * padded[start : start + frontend.n_fft]))
        for band in range(frontend.n_mels):
            low, centre, high = edges[band : band + 3]
            filters = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
            logmel[band, frame] = max(np.log10(filters @ magnitude + 1e-7), -4)
    return logmel


@pytest.mark.parametrize("frontend", [SYNTHETIC, GTZAN])
def test_logmel_follows_its_definition(frontend: LogMel) -> None:
    waveform = torch.randn(frontend.clip_samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fast = frontend(waveform.float().unsqueeze(0))[0, 0]
    assert fast.shape == (frontend.n_mels, frontend.n_frames)
    assert np.abs(fast.numpy() - slow_logmel(frontend, waveform.numpy())).max() < 1e-3


@pytest.mark.parametrize("frontend", [SYNTHETIC, GTZAN])
def test_every_band_hears_something(frontend: LogMel) -> None:
    assert (frontend.filter_bank.sum(dim=1) > 0).all()
    assert frontend.frequencies.diff().min() > 0


def test_level_does_not_matter_and_silence_stays_finite() -> None:
    waveform = torch.randn(2, SYNTHETIC.clip_samples, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(SYNTHETIC(waveform), SYNTHETIC(0.01 * waveform), atol=1e-4)
    assert torch.equal(
        SYNTHETIC(0.5 * waveform, like=waveform),
        SYNTHETIC.compressed(SYNTHETIC.mel(0.5 * waveform / waveform.abs().amax(dim=1, keepdim=True))).unsqueeze(1),
    )
    silent = SYNTHETIC(torch.zeros(1, SYNTHETIC.clip_samples))
    assert (silent == SYNTHETIC.floor).all()


@pytest.mark.parametrize("frontend", [SYNTHETIC, GTZAN])
def test_the_transform_is_inverted_exactly(frontend: LogMel) -> None:
    waveform = torch.randn(1, frontend.clip_samples, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(frontend.istft(frontend.stft(waveform)), waveform, atol=1e-5)


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="15120"):
        SYNTHETIC(torch.zeros(1, 16000))


def test_a_raw_block_takes_the_defaults() -> None:
    assert LogMel.from_config({}) == SYNTHETIC
    assert LogMel.from_config({"frontend": {"n_mels": 32}}).n_mels == 32
