"""Sample flipping: what any order begins and ends with, what control relevance has, and whom it finds."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import nn

from earmark.metrics.samples import (
    AMPLITUDE,
    DRAWS,
    FEWEST,
    MATCHED,
    ORDERS,
    QUANTILES,
    RANDOM,
    RELEVANCE,
    Answer,
    flipped,
    flipping,
    rankings,
    shares,
)
from earmark.models.base import Network
from earmark.sound.waveform import Waveform
from tests.unit.networks import drawn, wave

FLIPS = (0.005, 0.02, 0.1, 0.5)

CLICK = 700


class Click(nn.Module):
    """Hears one sample: class 0 where it is positive."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, S] to [B, 2]."""
        heard = inputs[:, 0, CLICK]
        return torch.stack([heard, torch.full_like(heard, 0.01)], dim=1)


def noise(samples: int = 1000, silent: int = 0, seed: int = 0) -> torch.Tensor:
    """Draw a clip [S], of 16 bits as recordings are, that begins with silence."""
    made = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    made = (made / made.abs().max() * 32767).round().clamp(-32767, 32767) / 32768
    made[:silent] = 0
    made[made == 0] = 1 / 32768
    made[:silent] = 0
    return made


def by_order(found: list[Answer]) -> dict[str, list[Answer]]:
    orders: dict[str, list[Answer]] = defaultdict(list)
    for answer in found:
        orders[answer.order].append(answer)
    return orders


@pytest.fixture(scope="module")
def heard() -> Network:
    return Network.around(drawn(wave()).float(), Waveform(8000, 64, n_fft=16, hop=8), "abc")


@pytest.mark.parametrize("silent", [0, 400])
def test_orders_hold_every_sample_once_that_is_not_0(silent: int) -> None:
    samples = noise(silent=silent)
    relevance = samples * noise(seed=1)
    found = rankings(samples, relevance, 3)
    assert tuple(found) == ORDERS
    sounding = samples.nonzero()[:, 0].tolist()
    for ranking in found.values():
        assert all(sorted(one) == sounding for one in ranking.tolist())
    assert {order: len(ranking) for order, ranking in found.items()} == {
        RANDOM: DRAWS,
        AMPLITUDE: 1,
        RELEVANCE: 1,
        MATCHED: DRAWS,
    }
    for order, values in ((AMPLITUDE, samples.abs()), (RELEVANCE, relevance)):
        assert (values[found[order][0]].diff() <= 0).all()


@pytest.mark.parametrize("sounding", [3500, 64])
@pytest.mark.parametrize("share", [0.005, 0.03, 0.1, 0.4])
def test_matched_samples_have_the_sizes_of_the_relevant_ones(share: float, sounding: int) -> None:
    """As many of every quantile go, at any share: the histograms are equal."""
    samples = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    samples[sounding:] = 0
    relevance = samples * samples.abs() * noise(4000, seed=1)
    found = rankings(samples, relevance, 3)
    falling = samples.abs().sort(descending=True).values
    groups = min(QUANTILES, sounding // FEWEST)
    smallest = [float(falling[-(-sounding * group // groups) - 1]) for group in range(groups, 0, -1)]
    count = max(round(share * sounding), 1)

    def histogram(places: torch.Tensor) -> list[int]:
        return np.histogram(samples[places].abs(), bins=[*smallest, 10])[0].tolist()

    own = histogram(found[RELEVANCE][0, :count])
    assert all(histogram(draw[:count]) == own for draw in found[MATCHED])
    assert len({frozenset(draw[:count].tolist()) for draw in (*found[MATCHED], found[RELEVANCE][0])}) > 2
    if sounding > 100:
        by_lot = histogram(found[RANDOM][0, :count])
        assert np.abs(np.subtract(by_lot, own)).sum() > count / 4


def test_flipped_are_the_first_of_an_order_and_the_others_stay() -> None:
    samples = noise(50, silent=10)
    ranking = torch.tensor([[49, 12, 30], [11, 20, 13]])
    states = flipped(samples, ranking, torch.tensor([0, 2]))
    assert states.shape == (2, 2, 50)
    assert torch.equal(states[:, 0], samples.expand(2, -1))
    for draw in (0, 1):
        assert (states[draw, 1] != samples).nonzero()[:, 0].tolist() == sorted(ranking[draw, :2].tolist())
        assert not states[draw, 1, ranking[draw, :2]].any()


def test_every_order_begins_with_the_clip_and_ends_with_silence(heard: Network) -> None:
    samples, relevance = noise(64, silent=20), noise(64, seed=5)
    found = by_order(list(flipping(heard, samples, 1, relevance, 0, FLIPS)))
    both = heard.logits(torch.stack([samples, torch.zeros(64)]).unsqueeze(1)).detach()
    for answers in found.values():
        assert [answer.share for answer in answers] == list(shares(FLIPS))
        for answer, logits, gone in ((answers[0], both[0], 0), (answers[-1], both[1], 1)):
            assert answer.logit == pytest.approx(float(logits[1]), rel=1e-5)
            assert answer.answered == float(logits.argmax() == 1)
            assert answer.removed == gone
        energies = [answer.removed for answer in answers]
        assert energies == sorted(energies)
    assert found[AMPLITUDE][-2].removed > max(found[order][-2].removed for order in (RANDOM, RELEVANCE, MATCHED))


def test_inputs_are_what_the_front_end_hears_of_the_flipped_clip_at_the_whole_clip_s_level() -> None:
    frontend, clip = Waveform(8000, 1000), noise() / 4
    gone = flipped(clip, rankings(clip, clip, 0)[AMPLITUDE], torch.tensor([300]))[0]  # [1, S]
    inputs = frontend(clip.unsqueeze(0))[0, 0]
    expected = flipped(inputs, rankings(clip, clip, 0)[AMPLITUDE], torch.tensor([300]))[0]
    assert torch.equal(frontend(gone, like=clip)[:, 0], expected)
    assert not torch.allclose(frontend(gone)[:, 0], expected)


def test_relevance_finds_a_sample_that_decides_alone_and_its_size_does_not() -> None:
    """A quiet click: relevance takes it first, the largest samples last, and shuffled relevance by chance."""
    model = Network(Click(), Waveform(8000, 1000), ("click", "none"), {})
    samples = noise()
    samples[CLICK] = 0.02
    relevance = torch.zeros(1000)
    relevance[CLICK] = samples[CLICK]  # x c: the logit, whose gradient is 1 there and 0 elsewhere
    found = by_order(list(flipping(model, samples, 0, relevance, 7, (0.001, 0.1, 0.5))))
    assert [answer.answered for answer in found[RELEVANCE]] == [1, 0, 0, 0, 0]
    assert [answer.answered for answer in found[AMPLITUDE]] == [1, 1, 1, 1, 0]
    assert found[MATCHED][1].answered > 0.5
    assert found[RELEVANCE][1].removed == pytest.approx(float(samples[CLICK] ** 2 / samples.square().sum()), rel=1e-4)
    assert found[RELEVANCE][1].removed < 1e-4


def test_a_label_of_several_is_answered_while_its_logit_is_positive() -> None:
    model = Network(Click(), Waveform(8000, 1000), ("click", "none"), {}, multi_label=True)
    samples = noise()
    samples[CLICK] = 0.005  # below the other label's logit
    relevance = torch.zeros(1000)
    relevance[CLICK] = 1
    first = by_order(list(flipping(model, samples, 0, relevance, 7, (0.001,))))[RELEVANCE]
    assert [answer.answered for answer in first] == [1, 0, 0]


def test_a_clip_s_answers_are_its_own_and_another_seed_s_are_others(heard: Network) -> None:
    clips = [noise(64, silent=silent, seed=silent) for silent in (0, 7, 20)]
    relevance = [noise(64, seed=one) for one in (9, 10, 11)]

    def told(order: list[int]) -> dict[int, list[Answer]]:
        return {one: list(flipping(heard, clips[one], 0, relevance[one], 100 + one, (0.2, 0.6))) for one in order}

    assert told([0, 1, 2]) == told([2, 0, 1])
    other = list(flipping(heard, clips[0], 0, relevance[0], 5, (0.2, 0.6)))
    first = told([0])[0]
    for one, changed in zip(first, other, strict=True):
        drawn_by_lot = one.order in (RANDOM, MATCHED) and 0 < one.share < 1
        assert (one.logit != changed.logit) == drawn_by_lot, one


def test_equal_samples_go_by_lot() -> None:
    """Recordings of 16 bits have many."""
    samples = torch.full((200,), 0.5)
    orders = {tuple(rankings(samples, samples, seed)[AMPLITUDE][0].tolist()) for seed in range(5)}
    assert len(orders) == 5


def test_silence_has_nothing_to_flip(heard: Network) -> None:
    found = list(flipping(heard, torch.zeros(64), 0, torch.zeros(64), 0, FLIPS))
    assert len(found) == len(ORDERS) * len(shares(FLIPS))
    assert {answer.removed for answer in found} == {0, 1}
    assert len({round(answer.logit, 5) for answer in found}) == 1


def test_both_ends_are_known_where_no_share_is_named(heard: Network) -> None:
    found = list(flipping(heard, noise(64), 0, noise(64), 0, ()))
    assert [(answer.order, answer.share) for answer in found] == [
        (order, share) for order in ORDERS for share in (0, 1)
    ]
