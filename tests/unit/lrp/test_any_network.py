"""What relevance promises holds for networks that are no chain of modules, and for grids of any dimensions."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from zennit import rules as builtin
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlus, NameMapComposite
from zennit.layer import Sum

from earmark.errors import EarmarkError
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import concept_heatmaps
from earmark.lrp.attributor import heatmaps, pairs_at
from earmark.lrp.rules import Rules
from earmark.models.base import Network
from earmark.models.graph import fused
from earmark.sound.stft import Stft
from tests.unit.conftest import model_of
from tests.unit.networks import Residual, drawn, wave

EPSILON = 1e-9
IMAGES = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
WAVES = torch.randn(4, 1, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
TARGETS = torch.tensor([0, 1, 2, 0])

EVERY = [{}, {"inplace": True}, {"shared": True}, {"inplace": True, "shared": True}]


def rules_of(first: str) -> Rules:
    """One rule for what the input enters; gamma for all convolutions above it, epsilon for the rest."""
    entry, above = [("stem", first, 0.0), ("0", first, 0.0)], [("conv*", "gamma", 0.4), ("3", "gamma", 0.4)]
    return Rules((*entry, *above, ("wide", "gamma", 0.2), ("*", "epsilon", 0.0)), EPSILON)


def subspaces(size: int, count: int, seed: int = 0) -> Subspaces:
    return Subspaces(random_orthogonal(size, torch.Generator().manual_seed(seed)), count)


CASES = {
    "residual": (
        lambda biases: model_of(drawn(Residual(), biases), 1, 8, 8),
        IMAGES,
        {"stem": 6, "relu3": 6, "pool": 12},
    ),
    "in place": (
        lambda biases: model_of(drawn(Residual(inplace=True), biases), 1, 8, 8),
        IMAGES,
        {"stem": 6, "relu3": 6, "pool": 12},
    ),
    "one relu": (
        lambda biases: model_of(drawn(Residual(shared=True), biases), 1, 8, 8),
        IMAGES,
        {"stem": 6, "pool": 12},
    ),
    "waveforms": (lambda biases: model_of(drawn(wave(), biases), 1, 64), WAVES, {"0": 4, "3": 8, "5": 8}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.mark.parametrize("first", ["flat", "wsquare", "epsilon"])
def test_relevance_is_conserved_without_biases(case, first: str) -> None:
    build, inputs, _ = case
    model = build(False)
    found = heatmaps(model, inputs, TARGETS, rules_of(first))
    assert found.shape == inputs.shape
    logits = model.logits(inputs).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(found.flatten(1).sum(dim=1), logits, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("first", ["flat", "epsilon"])
@pytest.mark.parametrize("context", ["gradient", "ratio"])
def test_concepts_of_a_layer_that_all_passes_through_sum_to_the_standard_heatmap(
    case, first: str, context: str
) -> None:
    build, inputs, layers = case
    model, rules = build(True), dataclasses.replace(rules_of(first), context=context)
    standard = heatmaps(model, inputs, TARGETS, rules)
    for layer, size in layers.items():
        activations, contexts = pairs_at(model, inputs, TARGETS, layer, rules)
        assert activations.shape == contexts.shape == (4, size, *activations.shape[2:])
        concepts = concept_heatmaps(model, inputs, TARGETS, layer, subspaces(size, 2), rules)
        assert concepts.shape == (4, 2, *inputs.shape[1:])
        assert (concepts.sum(dim=1) - standard).abs().max() <= 1e-12 * standard.abs().max()
        one = concept_heatmaps(model, inputs, TARGETS, layer, subspaces(size, 1), rules)
        assert (one[:, 0] - standard).abs().max() <= 1e-12 * standard.abs().max()


def test_rotation_inside_a_subspace_changes_nothing(case) -> None:
    build, inputs, layers = case
    model, rules = build(True), rules_of("flat")
    for layer, size in layers.items():
        found = subspaces(size, 2)
        inside = torch.block_diag(*(subspaces(size // 2, 1, seed).basis for seed in range(2)))
        arguments = model, inputs, TARGETS, layer
        one = concept_heatmaps(*arguments, found, rules)
        other = concept_heatmaps(*arguments, Subspaces(found.basis @ inside, 2), rules)
        assert not torch.allclose(one[:, 0], one[:, 1])
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("how", EVERY)
def test_in_place_or_shared_is_the_same(how) -> None:
    plain, other = (model_of(drawn(Residual(**kind)), 1, 8, 8) for kind in ({}, how))
    for first in ("flat", "wsquare", "epsilon"):
        arguments = IMAGES, TARGETS
        assert torch.equal(heatmaps(plain, *arguments, rules_of(first)), heatmaps(other, *arguments, rules_of(first)))
        for layer in ("stem", "conv1", "conv2", "wide", "pool"):
            theirs = pairs_at(other, *arguments, layer, rules_of(first))
            for one, two in zip(pairs_at(plain, *arguments, layer, rules_of(first)), theirs, strict=True):
                assert torch.equal(one, two)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "conv2"])
def test_concepts_of_a_layer_that_relevance_passes_by_sum_to_what_goes_through_it(layer: str) -> None:
    """A network whose skip has the same value and no gradient says what goes through the branch."""
    rules = rules_of("epsilon")
    model = model_of(drawn(Residual()), 1, 8, 8)
    through = heatmaps(model_of(drawn(Residual(skip=torch.Tensor.detach)), 1, 8, 8), IMAGES, TARGETS, rules)
    standard = heatmaps(model, IMAGES, TARGETS, rules)
    concepts = concept_heatmaps(model, IMAGES, TARGETS, layer, subspaces(6, 3), rules)
    assert (concepts.sum(dim=1) - through).abs().max() <= 1e-12 * through.abs().max()
    assert (standard - through).abs().max() > 0.1 * standard.abs().max()


class Summed(Residual):
    """The addition is a module, as zennit asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def added(self, branch: torch.Tensor, skipped: torch.Tensor) -> torch.Tensor:
        """Add along a new last dimension."""
        return self.sum(torch.stack([branch, skipped], dim=-1))


def by_zennit(network: nn.Module, composite: object, inputs: torch.Tensor) -> torch.Tensor:
    start = nn.functional.one_hot(TARGETS, 3) * network(inputs).detach()
    with Gradient(network, composite) as attributor:
        return attributor(inputs, start)[1]


@pytest.mark.parametrize("first", ["flat", "wsquare", "epsilon"])
def test_a_residual_network_equals_zennits_rules(first: str) -> None:
    network, _ = fused(drawn(Summed()), IMAGES)
    entry = {
        "flat": builtin.Flat(EPSILON),
        "wsquare": builtin.WSquare(EPSILON, zero_params="bias"),
        "epsilon": builtin.Epsilon(EPSILON),
    }
    composite = NameMapComposite(
        [
            (["stem"], entry[first]),
            (["conv1", "conv2"], builtin.Gamma(0.4, stabilizer=EPSILON)),
            (["wide"], builtin.Gamma(0.2, stabilizer=EPSILON)),
            (["head"], builtin.Epsilon(EPSILON)),
            (["sum"], builtin.Norm(1e-300)),
            (["relu1", "relu2", "relu3", "relu4"], builtin.Pass()),
        ]
    )
    expected = by_zennit(network, composite, IMAGES)
    found = heatmaps(model_of(drawn(Residual()), 1, 8, 8), IMAGES, TARGETS, rules_of(first))
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_waveforms_equal_zennits_composite() -> None:
    """EpsilonPlus: gamma of infinite weight in convolutions; where gamma is 1e12 the two are one."""
    network = drawn(wave(), biases=False)
    composite = EpsilonPlus(epsilon=EPSILON, stabilizer=EPSILON)
    expected = by_zennit(network, composite, WAVES.abs())
    gamma = Rules((("0", "gamma", 1e13), ("3", "gamma", 1e13), ("*", "epsilon", 0.0)), EPSILON)
    found = heatmaps(model_of(network, 1, 64), WAVES.abs(), TARGETS, gamma)
    assert (found - expected).abs().max() <= 1e-7 * expected.abs().max()
    names = [(["0", "7"], builtin.Epsilon(EPSILON)), (["3"], builtin.Gamma(0.4, stabilizer=EPSILON))]
    network = drawn(wave())
    expected = by_zennit(network, NameMapComposite([*names, (["1", "4"], builtin.Pass())]), WAVES)
    found = heatmaps(model_of(network, 1, 64), WAVES, TARGETS, rules_of("epsilon"))
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.mark.parametrize("first", ["flat", "wsquare"])
def test_channels_in_groups_equal_zennits_rules(first: str) -> None:
    network = drawn(nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3)))
    inputs = IMAGES.expand(-1, 4, -1, -1) * torch.arange(1, 5).view(4, 1, 1)
    rule = builtin.Flat(EPSILON) if first == "flat" else builtin.WSquare(EPSILON, zero_params="bias")
    composite = NameMapComposite(
        [(["0"], rule), (["3"], builtin.Gamma(0.4, stabilizer=EPSILON)), (["1"], builtin.Pass())]
    )
    expected = by_zennit(network, composite, inputs)
    found = heatmaps(model_of(network, 4, 8, 8), inputs, TARGETS, rules_of(first))
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.mark.parametrize("first", ["flat", "wsquare", "epsilon"])
def test_a_network_that_hears_time_first_has_the_heatmaps_of_the_one_that_does_not(first):
    """Kernels are turned as the input is; the grid of heatmaps is not."""
    plain = nn.Sequential(nn.Conv2d(1, 4, (3, 2)), nn.ReLU(), nn.Conv2d(4, 3, (3, 7)), nn.Flatten())
    turned = nn.Sequential(nn.Conv2d(1, 4, (2, 3)), nn.ReLU(), nn.Conv2d(4, 3, (7, 3)), nn.Flatten())
    drawn(plain)
    turned.double().load_state_dict(
        {name: weight.transpose(2, 3) if weight.dim() == 4 else weight for name, weight in plain.state_dict().items()}
    )
    inputs = torch.randn(3, 1, 5, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = []
    for network, layout in ((plain, "frequency-time"), (turned, "time-frequency")):
        frontend = Stft(16000, 8, 4, 8, layout=layout)
        model = Network.around(network, frontend)
        found.append(heatmaps(model, frontend.gathered(inputs), TARGETS[:3], rules_of(first)))
    assert found[1].shape == (3, 1, 5, 8)
    torch.testing.assert_close(*found)


class Twice(nn.Module):
    """One convolution is called twice."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.conv_again = self.conv if again else nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(4 * 64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, 8, 8] to [B, 3]."""
        h = self.relu(self.stem(x))
        for conv in (self.conv, self.conv_again):
            h = self.relu(conv(h))
        return self.head(h.flatten(1))


def test_a_module_called_twice_is_propagated_call_by_call() -> None:
    unrolled = drawn(Twice(again=False))
    unrolled.conv_again.load_state_dict(unrolled.conv.state_dict())
    network = Twice(again=True).double().eval()
    network.load_state_dict(unrolled.state_dict())
    one, two = (model_of(net, 1, 8, 8) for net in (network, unrolled))
    rules = rules_of("flat")
    assert torch.equal(heatmaps(one, IMAGES, TARGETS, rules), heatmaps(two, IMAGES, TARGETS, rules))
    last = pairs_at(two, IMAGES, TARGETS, "conv_again", rules)
    for found, expected in zip(pairs_at(one, IMAGES, TARGETS, "conv", rules), last, strict=True):
        assert torch.equal(found, expected)


class Entered(nn.Module):
    """The input goes to the stem, and elsewhere."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.norm, self.stem, self.skip = nn.BatchNorm2d(1), nn.Conv2d(1, 4, 1), nn.Conv2d(1, 4, 1)
        self.head = nn.Linear(4 * 64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, 8, 8] to [B, 3]."""
        match self.how:
            case "module":
                h = self.stem(x) + self.skip(x)
            case "operation":
                h = self.stem(x) + x
            case "changed":
                h = self.stem(2 * x)
            case "normalised":
                h = self.stem(self.norm(x))
            case "reshaped":
                h = self.stem(x.transpose(2, 3).reshape(-1, 1, 8, 8))
        return self.head(h.flatten(1))


@pytest.mark.parametrize("rule", ["flat", "wsquare"])
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("module", r"of 'stem' needs the input to itself, but it also goes to skip; use epsilon"),
        ("operation", r"of 'stem' needs the input to itself, but it also goes to the operation Add; use epsilon"),
        ("changed", r"of 'stem' is for the first layer only, which the input reaches unchanged; use epsilon"),
    ],
)
def test_a_first_layers_rule_needs_the_input_to_itself_and_unchanged(rule: str, how: str, sentence: str) -> None:
    model = model_of(drawn(Entered(how), biases=False), 1, 8, 8)
    with pytest.raises(EarmarkError, match=sentence):
        heatmaps(model, IMAGES, TARGETS, rules_of(rule))
    found = heatmaps(model, IMAGES, TARGETS, rules_of("epsilon"))
    logits = model.logits(IMAGES).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("how", ["reshaped", "normalised"])
def test_cells_may_be_reshaped_and_normalised_before_the_first_layer(how: str) -> None:
    model = model_of(drawn(Entered(how), biases=False), 1, 8, 8)
    found = heatmaps(model, IMAGES, TARGETS, rules_of("flat"))
    logits = model.logits(IMAGES).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), logits, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rule", ["flat", "wsquare"])
def test_a_normalisation_of_the_input_is_a_part_of_the_front_end(rule: str) -> None:
    network = drawn(Entered("normalised"))
    behind = drawn(Entered("normalised"))
    behind.norm = nn.Identity()
    found = heatmaps(model_of(network, 1, 8, 8), IMAGES, TARGETS, rules_of(rule))
    expected = heatmaps(model_of(behind, 1, 8, 8), network.norm(IMAGES).detach(), TARGETS, rules_of(rule))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gamma_of_signed_activations_is_refused_wherever_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    rules = Rules((("0", "flat", 0.0), ("1", "gamma", 0.4), ("*", "epsilon", 0.0)), EPSILON)
    with pytest.raises(EarmarkError, match=r"Gamma of '1' needs non-negative inputs, and here they go to -\d"):
        heatmaps(model_of(drawn(network), 1, 8, 8), IMAGES, TARGETS, rules)


def test_a_module_that_no_rule_covers_is_named_wherever_it_stands() -> None:
    network = drawn(Residual())
    network.relu2 = nn.GELU()
    with pytest.raises(EarmarkError, match=r"no LRP rule covers the module 'relu2' \(GELU\)"):
        heatmaps(model_of(network, 1, 8, 8), IMAGES, TARGETS, rules_of("flat"))


def test_no_clips_have_no_heatmaps() -> None:
    model, rules = model_of(drawn(wave()), 1, 64), rules_of("flat")
    assert heatmaps(model, WAVES[:0], TARGETS[:0], rules).shape == (0, 1, 64)
    assert concept_heatmaps(model, WAVES[:0], TARGETS[:0], "3", subspaces(8, 2), rules).shape == (0, 2, 1, 64)
    activations, contexts = pairs_at(model, WAVES[:0], TARGETS[:0], "3", rules)
    assert activations.shape == contexts.shape == (0, 8, 16)
