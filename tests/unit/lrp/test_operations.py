"""What no rule covers is named, wherever it hides."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from earmark.errors import EarmarkError
from earmark.lrp.attributor import heatmaps
from earmark.lrp.operations import uncovered
from earmark.lrp.rules import Rules
from earmark.models.graph import fused
from tests.unit.conftest import model_of
from tests.unit.networks import Gated, Residual, drawn, wave

IMAGES = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
KERNEL = torch.randn(4, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def named(network: nn.Module, inputs: torch.Tensor = IMAGES) -> list[str]:
    return uncovered(fused(network, inputs)[1])


REFUSED = {
    "a gate": (lambda h, g: h * g.sigmoid(), "a sigmoid and a product of two things that both depend on the input"),
    "a square": (lambda h, g: h * h + g, "a product of two things that both depend on the input"),
    "a division": (lambda h, g: h / (1 + g.abs().sum()), "the operation Abs and a division by something that depends"),
    "a softmax": (lambda h, g: g.softmax(dim=1), "a softmax"),
    "a tanh": (lambda h, g: h + g.tanh(), "a tanh"),
    "a GELU": (lambda h, g: functional.gelu(h + g), "a GELU"),
    "a bound": (lambda h, g: functional.relu6(h + g), "a ReLU with an upper bound"),
    "a clamp": (lambda h, g: (h + g).clamp(-1, 1), "a clamp"),
    "a convolution": (
        lambda h, g: functional.conv2d(g, KERNEL, padding=1),
        "a convolution that is no Conv1d or Conv2d",
    ),
    "a matrix": (lambda h, g: h + g @ KERNEL.flatten()[:64].view(8, 8), "a matrix product that is no Linear module"),
    "own statistics": (lambda h, g: functional.instance_norm(h + g), "a normalisation by the input's own statistics"),
    "a layer norm": (lambda h, g: functional.layer_norm(h + g, (8, 8)), "a layer normalisation"),
    "a power": (lambda h, g: h + g**2, "the operation Pow"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_an_operation_in_forward_is_refused_by_name(how: str) -> None:
    gate, words = REFUSED[how]
    network = drawn(Gated(gate))
    (found,) = named(network)
    assert found.startswith(words) and found.endswith("in the network's own forward")
    rules = Rules((("*", "epsilon", 0.0),), 1e-9)
    with pytest.raises(EarmarkError, match="no LRP rule covers what this network does: "):
        heatmaps(model_of(network, 1, 8, 8), IMAGES, torch.tensor([0, 1]), rules)


def assigned(h: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Write one over the other, in part."""
    h = torch.cat([h, h], dim=1)
    h[:, 4:] = g
    h[:, 1] += g[:, 2]
    return h[:, 1:5]


CONSERVED = {
    "scaled": lambda h, g: 0.5 * h - g / 3,
    "a fixed gate": lambda h, g: h * g.sigmoid().detach(),
    "moved": lambda h, g: torch.roll(h, 1, dims=2).flip(3) + functional.pad(g, (1, 0, 0, 0))[..., :8],
    "assigned": lambda h, g: assigned(h, g),
    "chosen": lambda h, g: torch.maximum(h, g) + torch.where(g > 0, g, 2 * g),
    "rectified": lambda h, g: g.clamp(min=0) + functional.threshold(h, 0, 0),
    "rectified by a tensor": lambda h, g: h + g.clamp(min=torch.zeros(())),
    "spread": lambda h, g: h.mean(dim=(2, 3), keepdim=True).expand(-1, -1, 8, 8) + g,
}


@pytest.mark.parametrize("how", CONSERVED)
def test_an_operation_that_conserves_relevance_is_free(how: str) -> None:
    network = drawn(Gated(CONSERVED[how]), biases=False)
    assert named(network) == []
    targets = torch.tensor([0, 1])
    found = heatmaps(model_of(network, 1, 8, 8), IMAGES, targets, Rules((("*", "epsilon", 0.0),), 1e-9))
    logits = network(IMAGES).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits.detach(), rtol=1e-5, atol=1e-7)


def test_modules_that_have_rules_are_covered() -> None:
    assert named(drawn(Residual(inplace=True, shared=True))) == []
    assert named(drawn(wave()), IMAGES.view(2, 1, 64)) == []
    activated = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(72, 3), nn.PReLU(), nn.Linear(3, 3)
    )
    assert named(drawn(activated)) == []


class Sequence(nn.Module):
    """Rows of the input, one after another."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.middle, self.head = middle, nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, 8, 8] to [B, 3]."""
        h = self.middle(x[:, 0])
        return self.head((h[0] if isinstance(h, tuple) else h).mean(dim=1))


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (nn.LSTM(8, 8, batch_first=True), r"'middle' \(LSTM\)"),
        (nn.GRU(8, 8, batch_first=True), r"'middle' \(GRU\)"),
        (
            nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
            r"attention in 'middle.self_attn' \(MultiheadAttention\)",
        ),
        (nn.LayerNorm(8), r"a layer normalisation in 'middle' \(LayerNorm\)"),
        (nn.BatchNorm1d(8, track_running_stats=False), r"own statistics in 'middle' \(BatchNorm1d\)"),
        (nn.Softmax(dim=2), r"a softmax in 'middle' \(Softmax\)"),
    ],
)
def test_a_module_without_a_rule_is_refused_by_name(middle: nn.Module, words: str) -> None:
    with pytest.raises(EarmarkError, match=words):
        heatmaps(
            model_of(drawn(Sequence(middle)), 1, 8, 8),
            IMAGES,
            torch.tensor([0, 1]),
            Rules((("*", "epsilon", 0),), 1e-9),
        )


def test_many_places_are_counted() -> None:
    layers = nn.Sequential(*(nn.LayerNorm(8) for _ in range(3)))
    assert named(drawn(Sequence(layers))) == ["a layer normalisation in 'middle.0' (LayerNorm) and 2 more"]


def test_a_forward_that_cannot_be_followed_back_is_named() -> None:
    network = drawn(Gated(lambda h, g: (h + g).detach()))
    (found,) = named(network.requires_grad_(False))
    assert found.startswith("logits that autograd cannot follow back to the input")
