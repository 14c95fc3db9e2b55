"""A GPU computes what the CPU does: `make test-gpu`, on a machine that has one.

These fail where there is none; `make test` does not collect them.
"""

import pytest
import torch

from earmark.explainers.subspaces import drsa, info
from earmark.explainers.subspaces.decompose import decomposed
from earmark.lrp import attributor
from earmark.metrics.flipping import patch_flipping
from earmark.models.gpu import fault

LAYER = "conv2"


@pytest.fixture(scope="module")
def both(trained):
    """The trained network and its clips, on the CPU and on the GPU."""
    assert fault() is None, fault()
    parts = trained.model, trained.inputs, trained.targets
    return [(*(part.to(torch.device(name)) for part in parts), trained.rules) for name in ("cpu", "cuda")]


def close(one, other, tolerance=1e-9):
    assert other.device.type == "cuda"
    assert float((one - other.cpu()).abs().max()) <= tolerance * float(one.abs().max())


def test_heatmaps_and_pairs(both):
    theirs, ours = ([attributor.heatmaps(*one), *attributor.pairs_at(*one[:3], LAYER, one[3])] for one in both)
    for one, other in zip(theirs, ours, strict=True):
        close(one, other)


@pytest.mark.parametrize("family", [drsa, info], ids=lambda family: family.__name__.rpartition(".")[2])
def test_fits_and_concepts(both, family):
    maps = []
    for model, inputs, targets, rules in both:
        grids = attributor.pairs_at(model, inputs, targets, LAYER, rules)
        vectors = grids if family is info else [grid.movedim(1, -1).flatten(0, -2) for grid in grids]
        found = family.fit(*vectors, 4, seed=1, max_iterations=20)
        (parts,) = decomposed(model, inputs, targets, LAYER, [found], rules)
        standard = attributor.heatmaps(model, inputs, targets, rules)
        assert float((parts.sum(dim=1) - standard).abs().max()) <= 1e-9 * float(standard.abs().max())
        maps.append((found.objective, parts))
    (theirs, one), (ours, other) = maps
    # a search turns rounding errors into other roads to the same optimum
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert one.shape == other.shape


def test_flipping(both):
    curves = []
    for model, inputs, targets, rules in both:
        standard = attributor.heatmaps(model, inputs, targets, rules)
        curves.append(patch_flipping(model, inputs, targets, standard.unsqueeze(1), 8))
    for one, other in zip((curves[0].thesis, curves[0].fair), (curves[1].thesis, curves[1].fair), strict=True):
        assert torch.allclose(one, other.cpu(), atol=1e-9)
