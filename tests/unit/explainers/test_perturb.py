"""Perturbation finds what a planted model listens to, whatever the model is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers.base import Batch
from earmark.explainers.perturb import drops, rectangles
from earmark.lrp.rules import from_config
from earmark.models.base import Network
from earmark.plan.config import fill
from earmark.store.layout import INPUT_LAYER
from tests.unit.conftest import FRONTEND


class Band(nn.Module):
    """Answers class 1 by the mean log-mel of some cells, through what no LRP rule covers."""

    def __init__(self, cells):
        super().__init__()
        self.cells = cells

    def forward(self, inputs):
        found = inputs[:, 0][:, *self.cells].mean(dim=(1, 2))
        return torch.stack([torch.sigmoid(found), found * found.exp().sqrt()], dim=1)


def noise(count):
    return torch.randn(count, FRONTEND.clip_samples, generator=torch.Generator().manual_seed(0)) / 4


def model_of(cells):
    return replace(Network.around(Band(cells), FRONTEND), classes=("no", "yes"))


@pytest.mark.parametrize(("grid", "patch", "count"), [((1, 32, 32), 8, 16), ((1, 33, 30), 8, 20), ((1, 3, 2), 8, 1)])
def test_rectangles_tile_the_grid(grid, patch, count):
    tiles = rectangles(grid, patch)
    assert tiles.shape == (count, *grid[1:])
    assert torch.equal(tiles.sum(dim=0), torch.ones(grid[1:], dtype=torch.long))


def test_it_finds_the_cells_that_the_model_reads():
    model, clips = model_of((slice(8, 16), slice(16, 24))), noise(3)
    batch = Batch(np.arange(3), clips, FRONTEND(clips), torch.ones(3, dtype=torch.long), torch.empty(3, 0, 0))
    settings = fill({"explainers": {"perturb": {"patch": 8}}})
    maps = explainers.build("occlusion", model, INPUT_LAYER, settings, None, 0)(batch).maps
    inside = maps[:, 0, 0, 8:16, 16:24].sum(dim=(1, 2))
    assert (inside / maps.abs().flatten(1).sum(dim=1) > 0.8).all()


def test_it_is_the_standard_explanation_where_lrp_is_not_asked():
    model, clips = model_of((slice(8, 16), slice(16, 24))), noise(2)
    batch = Batch(np.arange(2), clips, FRONTEND(clips), torch.ones(2, dtype=torch.long), torch.empty(2, 0, 0))
    settings = fill({"lrp": {"rules": "occlusion"}, "explainers": {"perturb": {"patch": 4}, "lrp": {"patch": 4}}})
    whole, part = (
        explainers.build(name, model, INPUT_LAYER, settings, None, 0)(batch).maps for name in ("standard", "occlusion")
    )
    assert torch.equal(whole, part)
    with pytest.raises(EarmarkError, match=r"^lrp.rules = occlusion leaves LRP out"):
        from_config(settings)


def test_nothing_removed_is_no_fall_and_everything_is_all_of_it():
    model, clip = model_of((slice(0, 32), slice(0, 32))), noise(1)[0]
    masks = torch.stack([torch.zeros(32, 32), torch.ones(32, 32)])
    falls = drops(model, clip, 1, masks)
    silent = model.logits(FRONTEND(torch.zeros(1, FRONTEND.clip_samples), clip))[0, 1]
    assert abs(float(falls[0])) < 1e-4
    assert float(falls[1]) == pytest.approx(float(model.logits(FRONTEND(clip[None]))[0, 1] - silent), abs=1e-5)
