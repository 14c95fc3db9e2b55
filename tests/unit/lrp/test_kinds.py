"""Rules for every kind of module: signed inputs, activations, normalisations, poolings."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from zennit import rules as builtin
from zennit.attribution import Gradient
from zennit.composites import NameMapComposite

from earmark.errors import EarmarkError
from earmark.lrp.attributor import heatmaps, pairs_at
from earmark.lrp.rules import Rules
from earmark.models.graph import ACTIVATIONS
from tests.unit.conftest import model_of
from tests.unit.networks import drawn

EPSILON = 1e-9
IMAGES = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([0, 1, 2, 0])
EVERYWHERE = Rules((("*", "epsilon", 0.0), ("*", "pass", 0.0)), EPSILON)

SMOOTH = [kind for kind in ACTIVATIONS if kind not in (nn.Sigmoid, nn.Hardsigmoid, nn.Softplus, nn.LogSigmoid)]
"""Activations that are 0 at 0."""


def chain(activation: nn.Module, biases: bool = True) -> nn.Module:
    return drawn(
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), activation, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)
        ),
        biases,
    )


def explained(network: nn.Module, rules: Rules = EVERYWHERE, inputs: torch.Tensor = IMAGES) -> torch.Tensor:
    return heatmaps(model_of(network, *inputs.shape[1:]), inputs, TARGETS, rules)


def by_zennit(network: nn.Module, composite: object, inputs: torch.Tensor) -> torch.Tensor:
    start = nn.functional.one_hot(TARGETS, 3) * network(inputs).detach()
    with Gradient(network, composite) as attributor:
        return attributor(inputs, start)[1]


def logits_of(network: nn.Module, inputs: torch.Tensor = IMAGES) -> torch.Tensor:
    return network(inputs).detach().gather(1, TARGETS[:, None])[:, 0]


def assert_equal(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-10) -> None:
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (chain(nn.LeakyReLU(0.3)), IMAGES),
        (
            drawn(nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Identity(), nn.Conv2d(4, 3, 6), nn.Flatten())),
            IMAGES.expand(-1, 2, -1, -1) * torch.tensor([1.0, -2.0]).view(2, 1, 1),
        ),
        (
            drawn(nn.Sequential(nn.Conv1d(8, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 3))),
            IMAGES[:, 0],
        ),
    ],
)
def test_generalised_gamma_is_zennits_gamma(network: nn.Module, inputs: torch.Tensor) -> None:
    linear = [name for name, module in network.named_children() if hasattr(module, "weight")]
    others = [name for name, module in network.named_children() if isinstance(module, (nn.ReLU, nn.LeakyReLU, nn.Tanh))]
    composite = NameMapComposite([(linear, builtin.Gamma(0.4, stabilizer=EPSILON)), (others, builtin.Pass())])
    rules = Rules((("*", "generalised-gamma", 0.4), ("*", "pass", 0.0)), EPSILON)
    assert_equal(explained(network, rules, inputs), by_zennit(network, composite, inputs), 1e-6)


def test_generalised_gamma_of_non_negative_inputs_is_gamma() -> None:
    network = chain(nn.ReLU())
    one, other = (Rules((("0", "epsilon", 0.0), ("*", rule, 0.4)), EPSILON) for rule in ("gamma", "generalised-gamma"))
    assert_equal(explained(network, other), explained(network, one), 1e-12)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_passes_relevance_on(kind: type[nn.Module]) -> None:
    network = chain(kind(), biases=False)
    found = explained(network)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits_of(network), rtol=1e-5, atol=1e-7)
    names = {"0": builtin.Epsilon(EPSILON), "2": builtin.Epsilon(EPSILON), "5": builtin.Epsilon(EPSILON)}
    composite = NameMapComposite([*(([name], rule) for name, rule in names.items()), (["1", "3"], builtin.Pass())])
    assert_equal(found, by_zennit(network, composite, IMAGES), 1e-6)


@pytest.mark.parametrize("kind", [nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Hardswish])
def test_an_activation_in_place_is_the_same(kind: type[nn.Module]) -> None:
    assert torch.equal(explained(chain(kind(inplace=True))), explained(chain(kind())))


@pytest.mark.parametrize("kind", SMOOTH)
def test_contexts_where_nothing_enters_an_activation_are_its_slope(kind: type[nn.Module]) -> None:
    model = model_of(chain(kind().double(), biases=False), 1, 8, 8)
    silence = torch.zeros_like(IMAGES)
    _, below = pairs_at(model, silence, TARGETS, "0", EVERYWHERE)
    _, above = pairs_at(model, silence, TARGETS, "1", EVERYWHERE)
    nothing = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(kind().double().eval()(nothing.view(1, 1)).sum(), nothing)
    torch.testing.assert_close(below, above * slope, rtol=1e-6, atol=1e-12)


def test_an_activation_needs_a_rule_of_its_own_kind() -> None:
    for rules in (
        Rules((("*", "epsilon", 0.0),), EPSILON),
        Rules((("1", "gamma", 0.1), ("*", "epsilon", 0.0)), EPSILON),
    ):
        with pytest.raises(EarmarkError, match=r"module '1' \(SiLU\); add \{layers: 1, rule: pass\} to lrp.rules"):
            explained(chain(nn.SiLU()), rules)
    with pytest.raises(EarmarkError, match=r"module '0' \(Conv2d\); add \{layers: 0, rule: epsilon\} to lrp.rules"):
        explained(chain(nn.SiLU()), Rules((("*", "pass", 0.0),), EPSILON))
    with pytest.raises(EarmarkError, match=r"unknown LRP rule 'gama'; there are flat, wsquare, gamma"):
        explained(chain(nn.SiLU()), Rules((("*", "gama", 0.0),), EPSILON))


def test_gamma_of_what_a_leaky_activation_gives_is_refused_with_the_rules_to_take() -> None:
    rules = Rules((("2", "gamma", 0.4), ("*", "epsilon", 0.0), ("*", "pass", 0.0)), EPSILON)
    with pytest.raises(EarmarkError, match=r"of '2' needs non-negative inputs.*; use generalised-gamma or epsilon"):
        explained(chain(nn.LeakyReLU()), rules)


def normalised(norm: nn.Module) -> nn.Module:
    """A normalisation that reads a ReLU, and so is not fused."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), norm, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def test_a_normalisation_after_relu_is_a_diagonal_linear_layer() -> None:
    network = drawn(normalised(nn.BatchNorm2d(4)))
    norm = network[2]
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    network_of_convolutions = copy.deepcopy(network)
    diagonal = network_of_convolutions[2] = nn.Conv2d(4, 4, 1, groups=4).double()
    diagonal.weight.data = scale.view(4, 1, 1, 1)
    diagonal.bias.data = (norm.bias - norm.running_mean * scale).detach()
    assert_equal(explained(network), explained(network_of_convolutions))


POOLINGS = {
    "strided max": (nn.MaxPool2d(3, 2), lambda x: functional.max_pool2d(x, 3, 2)),
    "ceiled max": (nn.MaxPool2d(3, 2, ceil_mode=True), lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True)),
    "average": (nn.AvgPool2d(3, 2, 1), lambda x: functional.avg_pool2d(x, 3, 2, 1)),
    "adaptive average": (nn.AdaptiveAvgPool2d(3), lambda x: functional.adaptive_avg_pool2d(x, 3)),
    "adaptive max": (nn.AdaptiveMaxPool2d(3), lambda x: functional.adaptive_max_pool2d(x, 3)),
    "mean": (nn.AdaptiveAvgPool2d(1), lambda x: x.mean(dim=(2, 3), keepdim=True)),
    "max": (nn.AdaptiveMaxPool2d(1), lambda x: x.amax(dim=(2, 3), keepdim=True)),
}


class Pooled(nn.Module):
    def __init__(self, pool) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(1, 4, 3, padding=1), pool
        with torch.no_grad():
            size = pool(torch.zeros(1, 4, 8, 8)).numel()
        self.head = nn.Linear(size, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(functional.relu(self.stem(x))).flatten(1))


@pytest.mark.parametrize("pool", POOLINGS)
def test_poolings_conserve_relevance_as_modules_and_as_functions(pool: str) -> None:
    module, function = (drawn(Pooled(kind), biases=False) for kind in POOLINGS[pool])
    found = explained(module)
    assert torch.equal(found, explained(function))
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits_of(module), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
def test_cells_that_a_pooling_does_not_read_get_nothing(kind: type[nn.Module]) -> None:
    network = drawn(nn.Sequential(kind((4, 1), 2), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), False)
    found = explained(network)
    assert (found[..., 1::2] == 0).all() and (found[..., ::2] != 0).any(dim=(1, 2, 3)).all()
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits_of(network), rtol=1e-5, atol=1e-7)


def test_weights_that_are_computed_of_others_are_what_they_come_to() -> None:
    network = chain(nn.ReLU())
    other = copy.deepcopy(network)
    other[0] = nn.utils.parametrizations.weight_norm(other[0])
    assert_equal(explained(other), explained(network), 1e-12)
    assert hasattr(other[0], "parametrizations")


def test_densely_connected_blocks_conserve_relevance() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 2, 3, padding=1)
            self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in (2, 4))
            self.convs = nn.ModuleList(nn.Conv2d(size, 2, 3, padding=1) for size in (2, 4))
            self.head = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            maps = [self.stem(x)]
            for norm, conv in zip(self.norms, self.convs, strict=True):
                maps.append(conv(functional.relu(norm(torch.cat(maps, dim=1)))))
            return self.head(torch.cat(maps, dim=1).mean(dim=(2, 3)))

    network = drawn(Dense(), biases=False)
    for first in ("flat", "epsilon"):
        rules = Rules((("stem", first, 0.0), ("convs.*", "gamma", 0.4), ("*", "epsilon", 0.0)), EPSILON)
        found = explained(network, rules)
        torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits_of(network), rtol=1e-5, atol=1e-7)
