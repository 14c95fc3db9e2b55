"""What the common contract promises: equal energy, exact parts, scores that saturated answers do not blur."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from earmark.metrics.masked import masked
from earmark.metrics.masking import (
    CURVES,
    NATIVE,
    area,
    both_ends,
    complexity,
    first_cells,
    gini,
    greedy,
    heard,
    log_odds,
    ranks,
    replaced,
    scores,
    shares,
    written,
)
from earmark.models.base import Network
from earmark.sound.masks import apply_masks
from tests.unit.conftest import FRONTEND

SAMPLES = FRONTEND.clip_samples


class Bands(nn.Module):
    """Answers with the level of the lower bands, of the upper ones, and a constant."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        level = inputs.flatten(1, 2).mean(dim=2) + 4  # [B, F], 0 where silent
        half = level.shape[1] // 2
        low, high = level[:, :half].mean(dim=1), level[:, half:].mean(dim=1)
        return self.gain * torch.stack([1.5 * low, high, torch.full_like(low, 0.1)], dim=1)


def model_of(network: nn.Module, multi_label: bool = False) -> Network:
    return Network(network, FRONTEND, ("low", "high", "none"), {}, multi_label)


def tones(seed: int = 0, count: int = 3) -> torch.Tensor:
    """Clips of a low and a high tone in noise, ``[B, S]``."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(SAMPLES) / FRONTEND.sample_rate
    low, high = (torch.sin(2 * math.pi * hertz * times) for hertz in (300.0, 5000.0))
    return 0.4 * low + 0.05 * high + 1e-4 * torch.randn(count, SAMPLES, generator=generator)


def test_log_odds_are_those_of_the_softmax_and_tell_saturated_answers_apart() -> None:
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    probabilities = logits.double().softmax(dim=1)[:, 0]
    assert torch.allclose(log_odds(logits, torch.tensor([0, 0])), torch.logit(probabilities))
    saturated = torch.tensor([[60.0, 0.0], [50.0, 0.0]])
    first, second = log_odds(saturated, torch.tensor([0, 0])).tolist()
    assert (first, second) == pytest.approx((60, 50))
    assert torch.equal(log_odds(logits, torch.tensor([1, 2]), multi_label=True), torch.tensor([1.0, 0.0]).double())


def test_equal_cells_are_ordered_by_lot_and_others_by_relevance() -> None:
    cells = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, -1.0]])
    found = ranks(cells, 1)
    assert found[1, 0] == 0 and found[0, 0] == 1 and found[1, 2] == 5
    assert sorted(found.flatten().tolist()) == list(range(6))
    orders = {tuple(ranks(cells, seed).flatten().tolist()) for seed in range(20)}
    assert len(orders) > 1
    assert torch.equal(found, ranks(cells, 1))


def test_the_whole_clip_is_heard_beside_the_budgets_and_all_are_told_apart() -> None:
    assert shares([0.05, 0.7]) == (0.05, 0.7, 1.0)
    assert [written(share) for share in shares([0.05, 0.7])] == ["0.05", "0.7", "1"]
    assert written(0.1) != written(0.1 + 1e-9)


@pytest.mark.parametrize("budget", [0.05, 0.1, 0.2, 0.4, 0.7, 1.0])
def test_the_fewest_cells_hold_the_asked_share_of_energy(budget: float) -> None:
    clip = tones(count=1)[0]
    spectrum = FRONTEND.stft(clip[None])[0]
    ranked = ranks(torch.randn(FRONTEND.grid[1:], generator=torch.Generator().manual_seed(3)), 0)
    (mask,) = first_cells(FRONTEND, spectrum, ranked, [budget])

    def share(cells: torch.Tensor) -> float:
        power = spectrum.abs().square()
        return float((FRONTEND.lift(cells[None])[0].square() * power).sum() / power.sum())

    assert share(mask) >= budget - 1e-6
    last = ranked == int(mask.sum()) - 1
    assert share(mask * ~last) < budget
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(mask.bool(), ranked < mask.sum())


def test_silence_is_heard_of_any_share_of_silence() -> None:
    ranked = torch.arange(math.prod(FRONTEND.grid[1:])).view(FRONTEND.grid[1:])
    masks = first_cells(FRONTEND, FRONTEND.stft(torch.zeros(1, SAMPLES))[0], ranked, [0.1, 1.0])
    assert (masks == 1).all()


def test_all_energy_is_the_whole_clip() -> None:
    clip = tones(count=1)[0]
    most, least = both_ends(FRONTEND, clip, torch.randn(FRONTEND.grid[1:]), 0, (1.0,))
    for masks in (most, least):
        sound = apply_masks(FRONTEND, clip, masks)[0]
        assert (masks == 1).all()
        assert (sound - clip).square().sum() <= 1e-4 * clip.square().sum()


def test_the_two_ends_of_a_map_are_those_of_its_negative() -> None:
    clip = tones(count=1)[0]
    cells = torch.randn(FRONTEND.grid[1:], generator=torch.Generator().manual_seed(4))
    most, least = both_ends(FRONTEND, clip, cells, 0, (0.2,))
    swapped, other = both_ends(FRONTEND, clip, -cells, 0, (0.2,))
    assert torch.equal(most, other) and torch.equal(least, swapped)


def test_the_clip_as_its_own_explanation_changes_nothing() -> None:
    model, clips, targets = model_of(Bands()), tones(), torch.tensor([0, 0, 0])
    found = scores(model, clips, targets, clips)
    silence = log_odds(heard(model, torch.zeros_like(clips), clips), targets)
    assert (found[["ai", "ad", "ag"]] == 0).all(axis=None)
    assert (found["fid_in"] == 1).all()
    assert np.allclose(found["logodds_in"], found["logodds"])
    assert np.allclose(found["logodds_out"], silence)
    assert np.allclose(found["energy"], 1)


def test_several_sounds_of_one_clip_are_scored_as_each_by_itself() -> None:
    model, clips, targets = model_of(Bands()), tones(count=1), torch.tensor([1])
    sounds = torch.cat([clips, 0.3 * clips, torch.zeros_like(clips)])
    found = scores(model, clips, targets, sounds)
    single = pd.concat([scores(model, clips, targets, sound[None]) for sound in sounds], ignore_index=True)
    pd.testing.assert_frame_equal(found, single, rtol=1e-6, atol=1e-6)


def test_scores_are_those_of_the_papers_by_hand() -> None:
    model, clips, targets = model_of(Bands()), tones(count=2), torch.tensor([0, 1])
    sounds = apply_masks(
        FRONTEND, clips[0], (torch.arange(FRONTEND.grid[1]) < 20).float()[None, :, None].expand(1, *FRONTEND.grid[1:])
    )
    sounds = torch.cat([sounds, 0.3 * clips[1:]])
    found = scores(model, clips, targets, sounds)
    rows = torch.arange(2)
    p, q, r = (
        model.logits(FRONTEND(sound, like=clips)).double().softmax(dim=1)[rows, targets]
        for sound in (clips, sounds, clips - sounds)
    )
    assert np.allclose(found["ad"], 100 * (p - q).clamp_min(0) / p)
    assert np.allclose(found["ag"], 100 * (q - p).clamp_min(0) / (1 - p))
    assert np.allclose(found["ff"], p - r)
    assert np.allclose(found["ai"], 100.0 * (q > p))
    assert np.allclose(found["energy"][1], 0.09, atol=1e-6)


def test_gains_of_saturated_answers_are_not_ties() -> None:
    model, clips = model_of(Bands(100.0)), tones(count=1)
    whole = scores(model, clips, torch.tensor([0]), clips)
    low = (torch.arange(FRONTEND.grid[1]) < FRONTEND.grid[1] // 2).float()[None, :, None].expand(1, *FRONTEND.grid[1:])
    found = scores(model, clips, torch.tensor([0]), apply_masks(FRONTEND, clips[0], low))
    assert torch.tensor(whole["logodds"][0]).float().sigmoid() == 1  # in single precision
    assert found["logodds_in"][0] > whole["logodds"][0]
    assert found["ai"][0] == 100


def test_of_several_labels_each_is_asked_by_itself() -> None:
    model, clips, targets = model_of(Bands(), multi_label=True), tones(count=1), torch.tensor([1])
    found = scores(model, clips, targets, torch.zeros_like(clips))
    assert found["logodds"][0] == pytest.approx(float(model.logits(FRONTEND(clips))[0, 1]), abs=1e-6)
    assert found["fid_in"][0] == 0  # silence has no high band: its logit is not positive
    assert scores(model, clips, targets, clips)["fid_in"][0] == 1


def test_spread_is_that_of_known_amounts() -> None:
    even, single = torch.ones(1, 8), torch.eye(8)[:1]
    assert gini(even).item() == pytest.approx(0, abs=1e-6)
    assert gini(single).item() == pytest.approx(1 - 1 / 8)
    assert complexity(even).item() == pytest.approx(1)
    assert complexity(single).item() == pytest.approx(0, abs=1e-6)
    assert torch.isnan(gini(torch.zeros(1, 8))).all() and torch.isnan(complexity(torch.zeros(1, 8))).all()


def test_cells_that_hold_something_else_are_those_of_the_mask() -> None:
    model, clips = model_of(Bands()), tones(count=1)
    inputs, targets = FRONTEND(clips), torch.tensor([0])
    filling = torch.full_like(inputs[0], -4.0)
    everything, nothing = torch.ones(1, *FRONTEND.grid[1:]), torch.zeros(1, *FRONTEND.grid[1:])
    assert torch.allclose(replaced(model, inputs, targets, nothing, filling), log_odds(model.logits(inputs), targets))
    silence = log_odds(model.logits(filling[None]), targets)
    assert torch.allclose(replaced(model, inputs, targets, everything, filling), silence)


def test_everything_that_is_known_of_a_clip_s_explanation_is_told_of_the_right_end() -> None:
    """A map of what speaks for the class: without the first cells the model doubts, without the last it does not."""
    model, clip = model_of(Bands()), tones(count=1)[0]
    inputs, target = FRONTEND(clip[None]), torch.tensor(0)
    cells = -torch.arange(FRONTEND.grid[1]).float()[:, None].expand(FRONTEND.grid[1:])  # the low bands first
    filling, own = torch.full(FRONTEND.shape, -4.0), 0.5 * clip
    told = masked(model, clip, inputs, target, cells, 0, (0.3, 1.0), filling, own, leveled=True)
    assert told["budget"].tolist() == ["0.3", "1", NATIVE]
    assert told["energy"].tolist() == pytest.approx([0.3, 1, 0.25], abs=0.05)  # frames overlap
    for out, least in (("logodds_out", "logodds_least"), ("mean_out", "mean_least"), ("own_out", "own_least")):
        assert told[out][0] < told[least][0]
        assert told[out][1] == pytest.approx(told[least][1], abs=1e-6)  # nothing is left
    rest = clip - apply_masks(FRONTEND, clip, both_ends(FRONTEND, clip, cells, 0, (0.3,))[0])
    at_own_peak = log_odds(model.logits(FRONTEND(rest)), torch.tensor([0]))
    assert told["own_out"][0] == pytest.approx(float(at_own_peak), abs=1e-5)
    assert told.loc[2, list(CURVES[1:])].isna().all()
    assert (
        masked(model, clip, inputs, target, cells, 0, (1.0,), filling)[["own_out", "own_least"]].isna().all(axis=None)
    )


def test_area_is_that_of_a_line() -> None:
    assert area((0.0, 0.5, 1.0), torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])).tolist() == pytest.approx([1.0, 1.0])


def test_concepts_are_added_by_what_they_make_the_model_say() -> None:
    model, clip = model_of(Bands()), tones(count=1)[0]
    rows = torch.arange(FRONTEND.grid[1])[:, None].expand(FRONTEND.grid[1:])
    half = FRONTEND.grid[1] // 2
    masks = torch.stack([(rows >= half), (rows < half)]).float()
    sounds = apply_masks(FRONTEND, clip, masks)
    order = greedy(model, clip, torch.tensor(0), sounds)
    assert [concept for concept, _, _ in order] == [2, 1]
    alone, without = order[-1][1:]
    assert alone == pytest.approx(float(log_odds(heard(model, clip[None], clip[None]), torch.tensor([0]))), abs=1e-3)
    silence = log_odds(heard(model, torch.zeros(1, SAMPLES), clip[None]), torch.tensor([0]))
    assert without == pytest.approx(float(silence), abs=1e-2)
    assert order[0][1] > alone  # the high tone speaks against the class
