"""A model answers as its network is now, however it was called before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.metrics.flipping import patch_flipping
from earmark.models import base
from earmark.models.base import Network
from tests.unit.conftest import model_of

INPUTS = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> Network:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    return model_of(network.eval(), 1, 8, 8)


def test_a_model_that_was_first_used_for_flipping_can_be_watched(model: Network) -> None:
    targets = torch.zeros(3, dtype=torch.long)
    patch_flipping(model, INPUTS, targets, INPUTS[:, None], 4)
    assert model.logits(INPUTS).requires_grad
    activations, logits = model.watched(INPUTS, "0")
    (gradient,) = torch.autograd.grad(logits.sum(), activations)
    assert gradient.shape == (3, 2, 6, 6)


def test_a_network_made_in_inference_mode_is_answered_for() -> None:
    with torch.inference_mode():
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    model = model_of(network, 1, 8, 8)
    assert torch.equal(model.logits(INPUTS), model.watched(INPUTS, "1")[1])


@pytest.mark.parametrize("change", ["step", "load", "buffer", "data", "replace", "double"])
def test_a_model_answers_with_the_weights_of_now(model: Network, change: str) -> None:
    network, inputs = model.network, INPUTS
    before = model.logits(inputs)
    with torch.no_grad():
        if change == "step":
            network[4].bias.add_(1)
        elif change == "load":
            network.load_state_dict({name: value + 1 for name, value in network.state_dict().items()})
        elif change == "buffer":
            network[1].running_mean.sub_(1)
        elif change == "data":
            network[4].bias.data = network[4].bias + 1
        elif change == "replace":
            network[2] = nn.Identity()
        else:
            network.double()
            inputs = inputs.double()
    expected = network(inputs)
    assert expected.dtype != before.dtype or not torch.allclose(expected, before)
    torch.testing.assert_close(model.logits(inputs), expected)
    torch.testing.assert_close(model.watched(inputs, "4")[1], expected)


def test_a_network_that_stays_is_copied_once(model: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    once = base.evaluated
    monkeypatch.setattr(base, "evaluated", lambda network: copies.append(once(network)) or copies[-1])
    for _ in range(3):
        model.logits(INPUTS)
        model.watched(INPUTS, "0")
    assert len(copies) == 1


def test_a_network_that_is_not_there_is_named_with_who_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(EarmarkError, match=f"'{path}' is missing; the stage `train` makes it"):
        base.load(path)
