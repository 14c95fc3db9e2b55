"""Levels, mixtures and truths that are known beforehand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from earmark.metrics.outside import MOST, answers, apart, asked, closer, contaminated, loudness
from earmark.models.base import Network
from tests.unit.conftest import FRONTEND

RATE, SAMPLES = FRONTEND.sample_rate, FRONTEND.clip_samples
FRAME = 320
"""20 ms."""


def tone(hertz: float, first: int = 0, frames: int = SAMPLES) -> torch.Tensor:
    """Sound from a frame on for some frames, and silence around it."""
    times = torch.arange(SAMPLES) / RATE
    inside = (torch.arange(SAMPLES) // FRAME >= first) & (torch.arange(SAMPLES) // FRAME < first + frames)
    return 0.3 * torch.sin(2 * torch.pi * hertz * times) * inside


CLIPS = torch.stack([tone(400, 2, 5), tone(500), 0.01 * tone(600, 0, 3)])
NOISE = torch.randn(3, SAMPLES, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)


@pytest.mark.parametrize("decibels", [-7.0, 3.0, 5.0])
def test_the_ratio_is_that_of_the_parts_in_which_there_is_sound(decibels: float) -> None:
    added = NOISE.clone()
    added[1, : 10 * FRAME] = 0
    there = [slice(2 * FRAME, 7 * FRAME), slice(0, SAMPLES), slice(0, 3 * FRAME)]
    noisy = [slice(0, SAMPLES), slice(10 * FRAME, SAMPLES), slice(0, SAMPLES)]
    sources = contaminated(CLIPS, added, decibels, RATE).double()
    for (clip, noise), own, other in zip(sources, there, noisy, strict=True):
        ratio = clip[own].square().mean() / noise[other].square().mean()
        assert 10 * math.log10(ratio) == pytest.approx(decibels, abs=0.01)


def test_one_gain_brings_the_sum_of_both_to_a_peak_of_1() -> None:
    sources = contaminated(CLIPS, NOISE, 3.0, RATE)
    assert sources.shape == (3, 2, SAMPLES) and sources.dtype == CLIPS.dtype
    torch.testing.assert_close(sources.sum(dim=1).abs().amax(dim=1), torch.ones(3))
    for both, originals in zip(sources, zip(CLIPS, NOISE, strict=True), strict=True):
        for scaled, original in zip(both, originals, strict=True):
            gain = (scaled @ original) / (original @ original)
            torch.testing.assert_close(scaled, gain * original, atol=1e-6, rtol=1e-5)
    alone = contaminated(CLIPS[1:2], NOISE[1:2], 3.0, RATE)
    assert torch.equal(alone[0], sources[1])  # whatever else is in a batch


def test_silence_around_a_sound_and_its_own_level_change_no_ratio() -> None:
    clips = CLIPS[:, : 23 * FRAME]  # whole frames
    longer = torch.nn.functional.pad(clips, (FRAME, 9 * FRAME))
    torch.testing.assert_close(loudness(longer, RATE), loudness(clips, RATE))
    one, other = (contaminated(clips, NOISE, 5.0, RATE) for clips in (CLIPS, 0.1 * CLIPS))
    torch.testing.assert_close(one, other)


def test_silence_is_not_made_louder() -> None:
    nothing = torch.zeros_like(CLIPS)
    clean = contaminated(CLIPS, nothing, math.inf, RATE)
    assert not clean[:, 1].any()
    torch.testing.assert_close(clean[:, 0].abs().amax(dim=1), torch.ones(3))
    assert not contaminated(nothing, NOISE, 3.0, RATE).any()


def heard_by(low: float, high: float) -> Network:
    """A network that hears low rows for the first of two classes and high rows for the other."""
    linear = nn.Linear(32 * 32, 2)
    rows = torch.zeros(2, 32, 32)
    rows[0, :10], rows[1, 20:] = low, high
    with torch.no_grad():
        linear.weight.copy_(rows.flatten(1))
        linear.bias.zero_()
    return Network.around(nn.Sequential(nn.Flatten(), linear), FRONTEND, ("low", "high"))


def test_who_is_answered_as_another_class_has_moved() -> None:
    model, targets = heard_by(0.01, 0.01), torch.zeros(2, dtype=torch.long)
    clips, added = torch.stack([tone(300)] * 2), torch.stack([tone(5000)] * 2)
    quiet, loud = (contaminated(clips, added, decibels, RATE) for decibels in (40.0, -40.0))
    kept, _ = answers(model, torch.stack([quiet[0], loud[1]]), targets)
    assert kept.tolist() == [True, False]


def test_what_the_model_owes_to_what_was_added_is_what_falls_without_it() -> None:
    targets = torch.zeros(1, dtype=torch.long)
    sources = contaminated(tone(5000)[None], tone(300)[None], 5.0, RATE)
    model = heard_by(0.01, 0.01)
    _, fallen = answers(model, sources, targets)  # the class is low, and so is what was added
    assert fallen[0, 1] > 0.5 > 0 > fallen[0, 0]
    assert not asked(fallen).any()
    _, turned = answers(model, sources.flip(1), targets)
    torch.testing.assert_close(turned, fallen.flip(1))
    assert asked(turned).all()  # what was added speaks against the class
    _, clean = answers(model, contaminated(sources[:, 1], torch.zeros(1, SAMPLES), 0, RATE), targets)
    assert float(clean[0, 1]) == 0 and float(clean[0, 0]) > 0.5
    assert (
        asked(torch.tensor([[0.6, 0.5], [0.5, 0.0], [0.6, 0.6], [math.nan, math.nan]])).tolist() == [True] + [False] * 3
    )


def test_relevance_is_judged_on_cells_of_both_sounds_alone() -> None:
    sources = contaminated(tone(400, 0, 10)[None], tone(4000, 10, 10)[None], 5.0, RATE)[0]
    own, other = FRONTEND.energies(sources)  # [F, T] each
    share = own / (own + other).clamp_min(1e-30)
    assert apart(FRONTEND, sources, share) == (1, 1)
    found, precision = apart(FRONTEND, sources, -share)
    assert found == 0 and precision < 0.6
    nobody = (own + other) == 0
    assert nobody.any()
    assert apart(FRONTEND, sources, share + 9 * nobody) == (1, 1)
    assert all(math.isnan(value) for value in apart(FRONTEND, torch.stack([sources[0], 0 * sources[1]]), own))


def test_a_sound_gains_what_it_leaves_out_of_the_contaminant() -> None:
    sources = contaminated(tone(400)[None], tone(4000)[None], 5.0, RATE)[0]
    clip, added = sources
    sounds = torch.stack([clip + added, clip + added / 10, clip, added, torch.zeros(SAMPLES)])
    same, tenth, oracle, wrong, silent = closer(sounds, sources).tolist()
    assert same == pytest.approx(0, abs=1e-9)
    assert tenth == pytest.approx(20, abs=0.1)
    assert oracle == pytest.approx(MOST - 5, abs=0.1)
    assert wrong < -40
    assert math.isnan(silent)
    assert closer(clip[None], torch.stack([clip, 0 * clip])).isnan().all()
