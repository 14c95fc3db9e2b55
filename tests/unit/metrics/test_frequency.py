"""Bands hold a row at least, third octaves where they can, and shares of them are of everything."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from earmark.metrics.frequency import edges_of, shares
from earmark.sound.base import Frontend
from earmark.sound.logmel import LogMel
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform

FRONTENDS = [
    LogMel(8000, 512, 128, n_mels=64, n_frames=63),
    LogMel(16000, 480, 240, n_mels=64, n_frames=64, f_min=300.0, f_max=5000.0),
    Stft(44100, 2048, 512, 16),
    Stft(8000, 256, 128, 63, n_bins=40),
    Waveform(8000, 8000),
    Waveform(8000, 8000, n_fft=4096, hop=1024),
]


@pytest.mark.parametrize("frontend", FRONTENDS, ids=lambda one: f"{one.kind}-{one.sample_rate}-{one.n_fft}")
def test_bands_cover_all_and_hold_a_row_each(frontend: Frontend) -> None:
    assert frontend.frequencies is not None
    edges = edges_of(frontend.frequencies, frontend.sample_rate / 2)
    assert (edges[0], edges[-1]) == (0, frontend.sample_rate / 2)
    assert edges == sorted(set(edges))
    rows = frontend.frequencies.tolist()
    last = len(edges) - 2
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        assert [row for row in rows if low <= row < high or (place == last and row == high)]
    steps = [math.log2(high / low) * 3 for low, high in itertools.pairwise(edges[1:-1])]
    assert [round(step, 6) for step in steps] == [round(step) for step in steps]  # whole thirds of an octave
    dense = [step for step, low in zip(steps, edges[1:], strict=False) if low * 0.25 > max(torch.tensor(rows).diff())]
    assert all(round(step) == 1 for step in dense)


def test_bands_are_the_usual_ones() -> None:
    edges = edges_of(torch.arange(0, 4001, 5.0), 4000)
    middles = [round(math.sqrt(low * high)) for low, high in itertools.pairwise(edges[1:-1])]
    assert middles == [50, 62, 79, 99, 125, 157, 198, 250, 315, 397, 500, 630, 794, 1000, 1260, 1587, 2000, 2520, 3175]


def test_shares_are_where_the_cells_are() -> None:
    frequencies = torch.tensor([0.0, 60.0, 100.0, 1000.0, 4000.0])
    edges = [0.0, 80.0, 500.0, 4000.0]
    cells = torch.zeros(4, 5, 3)
    cells[0, 1] = 2.0
    cells[1, 2, 0], cells[1, 4, 2] = 1.0, 3.0
    cells[2] = 1.0
    found = shares(cells, frequencies, edges)
    assert found[:3].tolist() == [[1, 0, 0], [0, 0.25, 0.75], [0.4, 0.2, 0.4]]
    assert all(math.isnan(share) for share in found[3])  # of nothing there are no parts


@pytest.mark.parametrize("frontend", FRONTENDS[::2], ids=lambda one: one.kind)
def test_a_tone_lies_in_its_band(frontend: Frontend) -> None:
    assert frontend.frequencies is not None
    edges = edges_of(frontend.frequencies, frontend.sample_rate / 2)
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(frontend.clip_samples) / frontend.sample_rate)
    (found,) = shares(frontend.energies(tone[None]), frontend.frequencies, edges)
    place = next(place for place, (low, high) in enumerate(itertools.pairwise(edges)) if low <= 1000 < high)
    assert found[place] > 0.8 and found.sum() == pytest.approx(1)
