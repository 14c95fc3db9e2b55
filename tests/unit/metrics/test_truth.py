"""Relevance held against sound objects, where what is right is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from earmark.metrics.masking import drops
from earmark.metrics.objects import auc, average_precision, object_cells, rank_correlation, ranks, windows
from earmark.metrics.truth import TRUTHS, truth
from tests.unit.conftest import FRONTEND
from tests.unit.metrics.test_masking import Bands, model_of

SAMPLES = FRONTEND.clip_samples
HALF = SAMPLES // 2


def objects() -> torch.Tensor:
    """A low tone, a high tone in the first half, and a quiet one in the middle: ``[O, S]``."""
    times = torch.arange(SAMPLES) / FRONTEND.sample_rate
    stems = torch.stack([torch.sin(2 * math.pi * hertz * times) for hertz in (300.0, 5000.0, 1800.0)])
    stems *= torch.tensor([0.4, 0.3, 0.1])[:, None]
    stems[1, HALF:] = 0
    return stems


@pytest.mark.parametrize("ties", [False, True])
def test_precision_and_ranks_are_those_of_scikit_learn(ties: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 6, 7, generator=generator)
    values = values.round() if ties else values
    cells = torch.rand(5, 6, 7, generator=generator) < 0.3
    expected = [
        average_precision_score(cell.flatten(), value.flatten()) for cell, value in zip(cells, values, strict=True)
    ]
    assert average_precision(values, cells).tolist() == pytest.approx(expected)
    areas = [roc_auc_score(cell.flatten(), value.flatten()) for cell, value in zip(cells, values, strict=True)]
    assert auc(values, cells.unsqueeze(1))[:, 0].tolist() == pytest.approx(areas)
    assert torch.isnan(average_precision(values[0], torch.zeros_like(cells[0])))


def test_rank_correlation_is_spearman_s() -> None:
    first, second = torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.tensor([30.0, 10.0, 5.0, 20.0])
    expected = np.corrcoef(ranks(first), ranks(second))[0, 1]
    assert rank_correlation(first, second) == pytest.approx(expected)
    assert ranks(first).tolist() == [4, 1, 2.5, 2.5]
    assert math.isnan(rank_correlation(first[:2], second[:2]))
    assert math.isnan(rank_correlation(torch.zeros(4), second))


def test_windows_hold_what_lies_in_them() -> None:
    amounts = torch.arange(12.0).view(2, 6)
    times = torch.tensor([0.0, 0.05, 0.09, 0.1, 0.25, 0.29])
    assert windows(amounts, 0.1, times).tolist() == [0 + 1 + 2 + 6 + 7 + 8, 3 + 9, 4 + 5 + 10 + 11]


def test_what_is_lost_without_an_object_is_told_by_the_model() -> None:
    model, stems = model_of(Bands()), objects()
    stems = torch.cat([stems, torch.zeros(1, SAMPLES)])
    fallen = drops(model, stems.sum(dim=0), torch.tensor(0), stems)
    assert fallen[0] > 0.5 > 0 > fallen[1]  # the low tone speaks for the class, the high one against it
    assert fallen[3] == 0


def test_the_used_object_s_own_cells_are_found_and_those_of_others_are_not() -> None:
    stems = objects()
    clip, fallen = stems.sum(dim=0), torch.tensor([0.0, 3.0, 0.1])
    cells = object_cells(FRONTEND, clip[None], stems[None])[0].float()
    right = truth(FRONTEND, clip, stems, fallen, cells[1], 0)
    assert right["auc"] == right["ap"] == 1
    assert right["time_auc"] == 1
    assert right["si_sdr_gain"] > 10
    assert right["spearman"] > 0.5 and right["top"] == 1
    wrong = truth(FRONTEND, clip, stems, fallen, cells[0], 0)
    assert wrong["auc"] < 0.5 and wrong["si_sdr_gain"] < 0 and wrong["top"] == 0
    even = truth(FRONTEND, clip, stems, fallen, torch.ones_like(cells[0]), 0)
    assert even["auc"] == 0.5


def test_where_nothing_is_used_there_is_nothing_to_find() -> None:
    stems = objects()
    found = truth(FRONTEND, stems.sum(dim=0), stems, torch.zeros(3), torch.randn(FRONTEND.grid[1:]), 0)
    assert set(found) == set(TRUTHS)
    assert all(math.isnan(value) for value in found.values())
