"""Relevance of samples in time and frequency: exact sums, and the mistakes that lose them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from earmark.errors import EarmarkError
from earmark.lrp.attributor import heatmaps
from earmark.lrp.rules import Rules
from earmark.metrics.flipping import patch_flipping
from earmark.models.base import Network
from earmark.sound.waveform import Waveform
from tests.unit.networks import drawn, wave

LENGTHS = [8000, 8001, 8127, 8128, 300, 100]
"""Whole numbers of hops, one sample more and one less, and clips of hardly a frame."""


def drawn_waves(samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw inputs and contexts [3, 1, S], float64, that do not vanish at the ends."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 1, samples, generator=generator, dtype=torch.float64).unbind()


@pytest.mark.parametrize(
    ("window", "hop"), [("hamming", 128), ("hann", 128), ("hann", 60), ("hann", 192), ("hamming", 256)]
)
@pytest.mark.parametrize("samples", LENGTHS)
def test_cells_sum_to_the_relevance_of_samples(samples: int, window: str, hop: int) -> None:
    frontend = Waveform(8000, samples, hop=hop, window=window)
    inputs, contexts = drawn_waves(samples)
    cells, parts = frontend.relevance(inputs, contexts), frontend.sample_relevance(inputs, contexts)
    assert cells.shape == (3, *frontend.grid)
    sums = parts.sum(dim=(1, 2))
    assert ((cells.sum(dim=(1, 2, 3)) - sums).abs() <= 1e-6 * sums.abs()).all()
    single = frontend.relevance(inputs.float(), contexts.float())
    assert single.dtype == torch.float32
    scale = parts.abs().sum(dim=(1, 2))
    assert ((single.double().sum(dim=(1, 2, 3)) - sums).abs() <= 1e-6 * scale).all()


@pytest.mark.parametrize("mistake", ["reflected contexts", "a constant overlap", "one side of the spectrum"])
def test_every_factor_of_the_cross_spectrum_is_needed(mistake: str) -> None:
    frontend = Waveform(8000, 8000)
    inputs, contexts = drawn_waves(8000)
    inputs = inputs.abs() + 0.1  # no chance cancellation of what is lost
    contexts = contexts.abs() + 0.1
    overlap, sides, padding = frontend.overlap, frontend.sides, "constant"
    if mistake == "reflected contexts":
        padding = "reflect"
    elif mistake == "a constant overlap":
        overlap = torch.ones_like(overlap)
    else:
        sides = torch.ones_like(sides)

    def cells(padding: str, overlap: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
        missing = (frontend.n_frames - 1) * frontend.hop - 8000
        weighted = torch.nn.functional.pad((contexts / overlap)[:, 0], (0, missing))
        seen = torch.nn.functional.pad(inputs[:, 0], (0, missing))
        both = frontend.transformed(seen, padding), frontend.transformed(weighted, padding)
        return sides * (both[0] * both[1].conj()).real / frontend.n_fft

    wanted = (inputs * contexts).sum()
    right = cells("constant", frontend.overlap, frontend.sides)
    torch.testing.assert_close(right, frontend.relevance(inputs, contexts)[:, 0])
    assert abs(float(right.sum() / wanted) - 1) < 1e-9
    assert abs(float(cells(padding, overlap, sides).sum() / wanted) - 1) > 1e-3


def test_relevance_is_linear_and_lies_where_the_sound_is() -> None:
    frontend = Waveform(8000, 8000)
    times = torch.arange(8000, dtype=torch.float64) / 8000
    tone = torch.sin(2 * math.pi * 1000 * times) * (times > 0.5)
    cells = frontend.relevance(tone.view(1, 1, -1), tone.view(1, 1, -1))[0, 0]  # [F, T]
    near = (frontend.frequencies - 1000).abs() < 100
    late = torch.arange(frontend.n_frames) * frontend.hop >= 4000 - frontend.n_fft // 2
    assert float(cells[near][:, late].sum() / cells.sum()) > 0.99
    inputs, contexts = drawn_waves(8000)
    whole = frontend.relevance(inputs, contexts + contexts.flip(0))
    parts = frontend.relevance(inputs, contexts) + frontend.relevance(inputs, contexts.flip(0))
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize("cell", [(0, 3), (5, 0), (9, 24), (16, 25), (32, 12)])
def test_sensitivity_is_the_most_that_a_cell_changes_a_sum(cell) -> None:
    frontend = Waveform(8000, 790, n_fft=64, hop=32)
    _, contexts = drawn_waves(790)
    phases = torch.zeros(2, *frontend.grid[1:], dtype=torch.complex128)
    phases[(slice(None), *cell)] = torch.tensor([1, 1j], dtype=torch.complex128)
    changes = contexts[:, 0] @ frontend.istft(phases).T  # [3, 2], by a quarter of a period apart
    torch.testing.assert_close(frontend.sensitivity(contexts)[(slice(None), 0, *cell)], changes.norm(dim=1))


def test_a_network_of_waveforms_is_explained_in_time_and_frequency() -> None:
    frontend = Waveform(8000, 64, n_fft=16, hop=8)
    model = Network.around(drawn(wave(), biases=False), frontend)
    inputs = torch.randn(4, 1, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([0, 1, 2, 0])
    found = heatmaps(model, inputs, targets, Rules((("*", "epsilon", 0.0),), 1e-9))
    assert found.shape == (4, *frontend.grid)
    logits = model.logits(inputs).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("rule", ["flat", "wsquare"])
def test_rules_without_contexts_are_refused(rule: str) -> None:
    model = Network.around(drawn(wave()), Waveform(8000, 64, n_fft=16, hop=8))
    inputs, rules = torch.ones(1, 1, 64, dtype=torch.float64), Rules((("0", rule, 0.0), ("*", "epsilon", 0.0)), 1e-9)
    with pytest.raises(EarmarkError, match="use epsilon for the layer that reads the waveform"):
        heatmaps(model, inputs, torch.zeros(1, dtype=torch.long), rules)


def test_cells_of_waveforms_are_replaced_in_time_and_frequency() -> None:
    frontend = Waveform(8000, 800, n_fft=64, hop=32, peak_scaling=False)
    low, high = (torch.sin(2 * torch.pi * hertz / 8000 * torch.arange(800)) for hertz in (500, 3000))
    inputs, other = (low + high).view(1, 1, -1), torch.randn(1, 1, 800, generator=torch.Generator().manual_seed(1))
    none = torch.zeros(1, *frontend.grid, dtype=torch.bool)
    assert torch.equal(frontend.replaced(inputs, none, other), inputs)
    torch.testing.assert_close(frontend.replaced(inputs, ~none, other), other, rtol=0, atol=1e-5)
    assert frontend.lowest(inputs).shape == (1, 1, 1) and not frontend.lowest(inputs).any()
    above = none | (frontend.frequencies > 1750).view(1, 1, -1, 1)
    left, taken = (frontend.replaced(inputs, cells, frontend.lowest(inputs)) for cells in (above, ~above))
    torch.testing.assert_close(left + taken, inputs, rtol=0, atol=1e-5)
    assert (left - low).square().mean() < 1e-3 * low.square().mean()


def test_cells_of_waveforms_are_flipped_to_silence() -> None:
    frontend = Waveform(8000, 64, n_fft=16, hop=8)
    model = Network.around(drawn(wave()), frontend)
    inputs = torch.randn(3, 1, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets, maps = torch.tensor([0, 1, 2]), torch.rand(3, 2, *frontend.grid)
    own, nothing = (model.logits(given).gather(1, targets[:, None])[:, 0] for given in (inputs, 0 * inputs))
    zero, floor = (patch_flipping(model, inputs, targets, maps, 2, replacement) for replacement in ("zero", "floor"))
    torch.testing.assert_close(zero.curve[1][:, 0], own)
    torch.testing.assert_close(zero.curve[1][:, -1], nothing)
    torch.testing.assert_close(zero.curve[1], floor.curve[1])


def test_clips_are_scaled_as_they_are_told() -> None:
    clip = 0.25 * torch.randn(2, 500, generator=torch.Generator().manual_seed(2))
    scaled, plain = Waveform(8000, 500), Waveform(8000, 500, peak_scaling=False)
    assert torch.allclose(scaled(clip).abs().amax(dim=(1, 2)), torch.ones(2))
    assert torch.equal(plain(clip, like=2 * clip), clip[:, None])
    assert torch.allclose(scaled(clip, like=2 * clip), scaled(clip) / 2)


@pytest.mark.parametrize("samples", [8000, 8001, 101])
def test_a_percentile_is_that_of_samples_with_signs_and_silence(samples: int) -> None:
    frontend = Waveform(8000, samples, peak="percentile")
    clips = torch.randn(3, samples, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    clips[0, samples // 4 :] = 0
    clips[2] = -clips[2].abs()  # its percentile is below 0
    wanted = np.percentile(clips.numpy(), 95, axis=1).clip(min=0) + 0.001
    torch.testing.assert_close(frontend.peaks(clips)[:, 0], torch.from_numpy(wanted))
    torch.testing.assert_close(frontend(clips)[:, 0], clips / torch.from_numpy(wanted)[:, None])
    torch.testing.assert_close(frontend(clips[:1], like=clips[1]), frontend(clips[1:2]) * (clips[0] / clips[1]))
    assert not frontend(torch.zeros(1, samples)).any()


def test_a_clip_deviates_by_1_where_that_is_its_peak_however_loud_it_is() -> None:
    frontend = Waveform(8000, 500, peak="deviation")
    clips = 3 + torch.randn(2, 500, generator=torch.Generator().manual_seed(6))
    scaled = frontend(clips)
    torch.testing.assert_close(scaled[:, 0].std(dim=1), torch.ones(2))
    torch.testing.assert_close(frontend(7 * clips), scaled)
    torch.testing.assert_close(frontend(clips / 2, like=clips), scaled / 2)
    assert not frontend(torch.zeros(1, 500)).any()


def test_a_quiet_end_makes_the_same_sound_louder_by_its_percentile_but_not_by_its_peak() -> None:
    """What is published lets loudness follow how much of a clip is silent."""
    sound = torch.randn(1, 4000, generator=torch.Generator().manual_seed(4))
    short, long = (torch.nn.functional.pad(sound[:, :kept], (0, 8000 - kept)) for kept in (1000, 4000))

    def louder(peak: str) -> float:
        gains = [1 / float(Waveform(8000, 8000, peak=peak).peaks(clip)) for clip in (short, long)]
        return gains[0] / gains[1]

    assert louder("percentile") > 2 > louder("sample")


def test_the_loudest_cell_of_a_clip_is_1_where_that_is_its_peak() -> None:
    frontend = Waveform(8000, 790, n_fft=64, hop=32, peak="cell")
    clips = torch.randn(2, 790, generator=torch.Generator().manual_seed(5))
    scaled = frontend(clips)
    torch.testing.assert_close(frontend.stft(scaled[:, 0]).abs().amax(dim=(1, 2)), torch.ones(2))
    torch.testing.assert_close(frontend(clips[:1], like=clips[0]), scaled[:1])
    torch.testing.assert_close(frontend(clips / 2, like=clips), scaled / 2)
