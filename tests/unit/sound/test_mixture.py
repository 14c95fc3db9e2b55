"""Inputs in stretches are put together as they were, and those that are alike are told."""

from __future__ import annotations

import torch

from earmark.sound.mixture import Mixture, Stretch, distinct

FIRST = Stretch(torch.arange(2 * 3 * 2).view(2, 1, 3, 2), torch.tensor([0, 1, 1, 0]))
SECOND = Stretch(100 + torch.arange(3 * 3 * 4).view(3, 1, 3, 4), torch.tensor([2, 0, 1, 2]))
MIXTURE = Mixture((FIRST, SECOND))
ROWS = torch.arange(4)


def test_inputs_follow_one_another_in_time() -> None:
    whole = MIXTURE.inputs(ROWS)  # [4, 1, 3, 6]
    for row, (first, second) in enumerate(zip(FIRST.which, SECOND.which, strict=True)):
        assert torch.equal(whole[row, ..., :2], FIRST.values[first])
        assert torch.equal(whole[row, ..., 2:], SECOND.values[second])
    assert torch.equal(MIXTURE.inputs(torch.tensor([3, 1])), whole[[3, 1]])
    upright = Mixture(tuple(Stretch(one.values.mT, one.which) for one in MIXTURE.stretches), axis=-2)
    assert torch.equal(upright.inputs(ROWS), whole.mT)


def test_a_cut_keeps_what_lies_within() -> None:
    for start, stop in ((0, 6), (1, 4), (0, 2), (3, 5)):
        assert torch.equal(MIXTURE.cut(start, stop).inputs(ROWS), MIXTURE.inputs(ROWS)[..., start:stop])
    assert len(MIXTURE.cut(3, 5).stretches) == 1


def test_inputs_that_differ_nowhere_are_alike() -> None:
    rows, which = MIXTURE.alike()
    assert sorted(rows.tolist()) == [0, 1, 2]
    assert rows[which].tolist() == [0, 1, 2, 0]
    rows, which = MIXTURE.alike(slice(1))
    assert rows[which].tolist() == [0, 1, 1, 0]


def test_rows_of_many_columns_are_told_apart() -> None:
    states = torch.randint(2, (40, 100), generator=torch.Generator().manual_seed(0))
    states = torch.cat([states, states[:7]])
    rows, which = distinct(states)
    assert len(rows) == 40
    assert torch.equal(rows[which], states)
