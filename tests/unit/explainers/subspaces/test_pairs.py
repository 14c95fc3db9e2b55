"""Pairs: positions drawn without replacement, and the numbers that belong to them."""

from __future__ import annotations

import pytest
import torch

from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.pairs import sample_positions


def test_positions_are_distinct_and_values_are_the_grids() -> None:
    activations = torch.randn(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    contexts = torch.randn(5, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    drawn = sample_positions(activations, contexts, 7, torch.Generator().manual_seed(2))
    assert drawn["activations"].shape == drawn["contexts"].shape == (35, 3)
    places = set()
    for row, (clip, (y, x)) in enumerate(zip(drawn["clip"].tolist(), drawn["position"].tolist(), strict=True)):
        assert torch.equal(drawn["activations"][row], activations[clip, :, y, x])
        assert torch.equal(drawn["contexts"][row], contexts[clip, :, y, x])
        places.add((clip, y, x))
    assert len(places) == 35
    assert len({tuple(map(tuple, drawn["position"][drawn["clip"] == c].tolist())) for c in range(5)}) == 5


def test_a_small_grid_gives_all_its_positions() -> None:
    grid = torch.arange(8.0).view(1, 2, 2, 2)
    drawn = sample_positions(grid, grid, 100, torch.Generator().manual_seed(0))
    assert sorted(drawn["activations"][:, 0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("grid", [(), (6,), (2, 3, 4)])
def test_a_grid_may_have_any_number_of_dimensions(grid: tuple[int, ...]) -> None:
    activations = torch.randn(3, 2, *grid, generator=torch.Generator().manual_seed(0))
    drawn = sample_positions(activations, -activations, 5, torch.Generator().manual_seed(1))
    assert drawn["position"].shape == (3 * (5 if grid else 1), len(grid))
    for row, (clip, place) in enumerate(zip(drawn["clip"].tolist(), drawn["position"].tolist(), strict=True)):
        assert torch.equal(drawn["activations"][row], activations[(clip, slice(None), *place)])
        assert torch.equal(drawn["contexts"][row], -activations[(clip, slice(None), *place)])


@pytest.mark.parametrize("grid", [(), (5,), (4, 3)])
def test_no_clips_give_no_pairs_of_the_same_widths(grid: tuple[int, ...]) -> None:
    drawn = sample_positions(*torch.zeros(2, 0, 8, *grid), 7, torch.Generator().manual_seed(0))
    assert {name: tuple(tensor.shape) for name, tensor in drawn.items()} == {
        "activations": (0, 8),
        "contexts": (0, 8),
        "clip": (0,),
        "position": (0, len(grid)),
    }
    assert drawn["clip"].dtype == drawn["position"].dtype == torch.int64
    assert Subspaces(torch.eye(8), 2).relevance(drawn["activations"], drawn["contexts"]).shape == (0, 2)
