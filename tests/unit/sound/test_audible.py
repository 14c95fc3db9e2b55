"""Samples weighted by their relevance: two sounds that keep the signs, and sum to |R| x."""

from __future__ import annotations

import pytest
import torch

from earmark.sound.audible import AUDIBLE, NEGATIVE, POSITIVE, audible


def test_both_sounds_keep_the_signs_of_samples_and_sum_to_what_all_relevance_weighs() -> None:
    wave, relevance = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0)).unbind()
    wave, relevance = wave / 8, relevance / 500
    wave[:1000] = 0
    relevance[3000:] = 0
    sounds, gain = audible(wave, relevance)
    assert tuple(sounds) == AUDIBLE
    both = sum(sounds.values())
    heard = (wave != 0) & (relevance != 0)
    assert torch.equal(both.sign(), wave.sign() * heard)
    torch.testing.assert_close(both, gain * relevance.abs() * wave)
    assert not (sounds[POSITIVE] * sounds[NEGATIVE]).any()
    assert torch.equal(sounds[POSITIVE] != 0, heard & (relevance > 0))


def test_the_louder_one_is_as_loud_as_the_clip_and_the_other_keeps_its_distance() -> None:
    wave = torch.tensor([0.5, -0.25, 0.25, 0.0])
    sounds, gain = audible(wave, torch.tensor([1.0, 8.0, -2.0, 5.0]))
    assert gain == pytest.approx(0.5 / 2)
    assert sounds[POSITIVE].tolist() == pytest.approx([0.125, -0.5, 0, 0])
    assert sounds[NEGATIVE].tolist() == pytest.approx([0, 0, 0.125, 0])


def test_nothing_is_heard_of_no_relevance() -> None:
    sounds, gain = audible(torch.ones(5), torch.zeros(5))
    assert gain == 0 and not any(sound.any() for sound in sounds.values())
