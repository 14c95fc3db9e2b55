"""What is drawn anew of a network, and what is not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from earmark.errors import EarmarkError
from earmark.models.base import Network
from earmark.models.contrasts import randomised
from tests.unit.conftest import Cells


def model_of(network: nn.Module, *shape: int) -> Network:
    return Network.around(network.eval(), Cells(shape))  # type: ignore[arg-type]


def changed(model: Network, seed: int = 0) -> list[str]:
    """Name what is drawn anew."""
    before = copy.deepcopy(model.network.state_dict())
    drawn = dict(randomised(model, seed).network.named_parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    return [name for name, value in drawn.items() if name not in before or not torch.equal(value, before[name])]


def deep() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def test_the_upper_half_is_drawn_anew_and_the_lower_kept() -> None:
    assert changed(model_of(deep(), 1, 8, 8)) == ["2.weight", "2.bias", "6.weight", "6.bias"]
    assert changed(model_of(nn.Linear(4, 2), 4)) == ["weight", "bias"]  # of one module that one is the upper half


def test_statistics_of_the_learnt_weights_are_forgotten() -> None:
    model = model_of(deep(), 1, 8, 8)
    norm = model.network[3]
    norm.running_mean.fill_(7.0)
    norm.running_var.fill_(1e4)
    norm.weight.data.fill_(0.0)
    drawn = randomised(model, 0).network[3]
    assert not drawn.running_mean.any() and torch.equal(drawn.running_var, torch.ones(4))
    assert torch.equal(drawn.weight, torch.ones(4))


def test_weights_have_the_distribution_of_new_ones_and_one_seed_gives_the_same() -> None:
    model = model_of(nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 100)), 100)
    before = torch.random.get_rng_state()
    first, again, other = (randomised(model, seed).network[2].weight for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.abs().max() <= 0.1  # uniform within 1 / sqrt(100)
    assert float(first.detach().std()) == pytest.approx(0.1 / 3**0.5, rel=0.03)


def test_weights_that_are_computed_of_others_are_drawn_too() -> None:
    model = model_of(nn.Sequential(nn.Linear(4, 4), weight_norm(nn.Linear(4, 2))), 4)
    assert changed(model) == ["1.bias", "1.weight"]


def test_a_module_below_and_above_the_middle_is_kept() -> None:
    shared = nn.Linear(4, 4)
    assert changed(model_of(nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(4, 2)), 4)) == [
        "4.weight",
        "4.bias",
    ]


def test_a_network_without_linear_modules_gets_a_sentence() -> None:
    with pytest.raises(EarmarkError, match=r"^the network has no linear or convolutional module"):
        randomised(model_of(nn.ReLU(), 4), 0)
