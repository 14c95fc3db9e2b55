"""What inputs have in common is computed once, and every network answers as if it were not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from earmark.models import mixtures
from earmark.models.base import Network
from earmark.models.cnn import build
from earmark.models.mixtures import answered
from earmark.sound.mixture import Mixture, Stretch
from tests.unit.conftest import Cells, Trained, model_of
from tests.unit.networks import drawn, normed

WIDTHS = (5, 1, 6, 1, 7, 1, 11)
"""Of stretches, where short ones have more kinds: they lie where long ones meet."""


def mixture_of(count: int, channels: int = 1, axis: int = -1) -> Mixture:
    """Draw inputs ``[N, channels, 32, 32]``."""
    generator, stretches = torch.Generator().manual_seed(0), []
    for width in WIDTHS:
        kinds = 3 if width > 1 else 9
        values = torch.randn(kinds, channels, 32, width, generator=generator, dtype=torch.float64)
        which = torch.randperm(count, generator=generator) % kinds
        stretches.append(Stretch(values if axis == -1 else values.mT, which))
    return Mixture(tuple(stretches), axis)


def headed(*modules: nn.Module) -> nn.Sequential:
    """Put a head on modules that answer six channels."""
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 3))


NETWORKS = {
    "ours": lambda: build([4, 6, 6], [8], 3, (32, 32)),
    "normed": normed,
    "nested": lambda: headed(nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(inplace=True)), nn.MaxPool2d(2)),
    "unpadded": lambda: headed(nn.Conv2d(1, 4, 5), nn.ELU(), nn.Conv2d(4, 6, 3, stride=2)),
    "dilated": lambda: headed(nn.Conv2d(1, 6, 3, padding="same", dilation=(1, 2)), nn.AvgPool2d(2)),
    "even": lambda: headed(nn.Conv2d(1, 6, 4, padding="same"), nn.Sigmoid(), nn.MaxPool2d(2)),
    "overlapping": lambda: headed(nn.Conv2d(1, 6, 3, padding=1), nn.MaxPool2d(3, 2, padding=1), nn.ReLU()),
    "rounded up": lambda: headed(nn.Conv2d(1, 6, 3), nn.AvgPool2d(4, ceil_mode=True), nn.ReLU()),
    "dilated pool": lambda: headed(nn.MaxPool2d(2, stride=1, dilation=3), nn.Conv2d(1, 6, 2, stride=3)),
    "padded for nothing": lambda: headed(nn.Conv2d(1, 6, 1, padding=2), nn.ReLU(), nn.AvgPool2d(2)),
    "wide first": lambda: headed(nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 2, stride=2, padding=3)),
    "in time alone": lambda: headed(nn.Conv2d(1, 6, (1, 3), stride=(1, 2)), nn.AvgPool2d((4, 1))),
    "large steps": lambda: headed(nn.Conv2d(1, 6, 7, stride=7, padding=3), nn.ReLU()),
    "around": lambda: headed(nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(2)),
    "parametrised": lambda: headed(spectral_norm(nn.Conv2d(1, 6, 3, padding=1)), nn.MaxPool2d(2)),
    "dense": lambda: nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_answer_as_they_do_to_whole_inputs(name: str, axis: int) -> None:
    model, mixture = model_of(drawn(NETWORKS[name]())), mixture_of(60, axis=axis)
    expected = model.logits(mixture.inputs(torch.arange(60)))
    assert (answered(model, mixture) - expected).abs().max() < 1e-11 * expected.abs().max()


def test_a_hooked_module_is_called_with_whole_inputs() -> None:
    network = drawn(NETWORKS["ours"]())
    network.conv1.register_forward_hook(lambda module, inputs, output: output - output.mean(dim=(2, 3), keepdim=True))
    model, mixture = model_of(network), mixture_of(60)
    assert torch.allclose(answered(model, mixture), model.logits(mixture.inputs(torch.arange(60))), atol=1e-11)


def test_channels_and_other_shapes_are_kept() -> None:
    several = drawn(headed(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)))
    mixture = mixture_of(60, channels=3)
    model = model_of(several, 3, 32, 32)
    assert torch.allclose(answered(model, mixture), model.logits(mixture.inputs(torch.arange(60))), atol=1e-11)
    samples = drawn(nn.Sequential(nn.Dropout(), nn.Linear(50, 3)))
    values = torch.randn(5, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    which = torch.tensor([4, 0, 2, 1, 3, 0])
    assert torch.allclose(
        answered(model_of(samples, 50), Mixture((Stretch(values, which),))), samples(values)[which].detach(), atol=1e-12
    )


def test_a_network_may_view_its_input(trained: Trained) -> None:
    class Viewing(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.view(len(inputs), -1)[:, :3]

    mixture = mixture_of(60, channels=2)
    found = answered(Network(Viewing(), Cells((2, 32, 32)), (), {}), mixture)
    assert torch.equal(found, mixture.inputs(torch.arange(60))[:, 0, 0, :3])


def test_lower_layers_look_at_less_than_all_inputs(trained: Trained, monkeypatch) -> None:
    seen: dict[int, int] = {}
    convolved = functional.conv2d

    def counted(inputs: Tensor, weight: Tensor, *rest) -> Tensor:
        seen[weight.shape[1]] = seen.get(weight.shape[1], 0) + inputs[:, 0].numel()
        return convolved(inputs, weight, *rest)

    model, mixture = model_of(drawn(build([4, 6], [8], 3, (32, 32)))), mixture_of(1000)
    expected = answered(model, mixture)
    monkeypatch.setattr(functional, "conv2d", counted)
    torch.testing.assert_close(answered(model, mixture), expected)
    assert seen[1] < 0.2 * 1000 * 32 * 32
    monkeypatch.setattr(mixtures, "WORTH", 0.0)
    seen.clear()
    torch.testing.assert_close(answered(model, mixture), expected)
    assert seen[1] > 0.9 * 1000 * 32 * 32


def test_inputs_that_are_the_same_are_answered_once() -> None:
    class Counting(nn.Module):
        asked = 0

        def forward(self, inputs: Tensor) -> Tensor:
            Counting.asked += len(inputs)
            return inputs.flatten(1)[:, :3]

    values, which = torch.randn(4, 1, 8), torch.tensor([0, 1, 3, 2, 3, 3, 0])
    model = replace(model_of(Counting(), 1, 8))
    Counting.asked = 0
    found = answered(model, Mixture((Stretch(values, which),)))
    assert torch.equal(found, values[which, 0, :3])
    assert Counting.asked == 4
