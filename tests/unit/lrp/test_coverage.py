"""Relevance is accounted for, where it is lost is named, and what passes a layer by is measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.lrp.attributor import heatmaps
from earmark.lrp.coverage import CLIPS, covered
from earmark.lrp.rules import Rules
from tests.unit.conftest import model_of
from tests.unit.networks import Gated, Residual, drawn, wave

EPSILON = 1e-9
IMAGES = torch.randn(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
WAVES = torch.randn(3, 1, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def rules_of(first: str, above: str = "gamma") -> Rules:
    patterns = [("stem", first, 0.0), ("0", first, 0.0), *((name, above, 0.4) for name in ("conv*", "wide", "3"))]
    return Rules((*patterns, ("*", "epsilon", 0.0), ("*", "pass", 0.0)), EPSILON)


def activated() -> nn.Module:
    """Signed activations between convolutions, and normalisations that are not fused."""
    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 4, 3),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


CASES = {
    "residual": (drawn(Residual()), IMAGES, rules_of("flat")),
    "in place, shared": (drawn(Residual(inplace=True, shared=True)), IMAGES, rules_of("wsquare")),
    "waveforms": (drawn(wave()), WAVES, rules_of("epsilon")),
    "signed": (drawn(activated()), IMAGES, rules_of("epsilon", "generalised-gamma")),
    "normalised": (
        drawn(activated()),
        IMAGES,
        Rules((("1", "flat", 0.0), *rules_of("epsilon", "epsilon").patterns), EPSILON),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_arrives_and_what_biases_absorb_sum_to_the_logit(case: str) -> None:
    network, inputs, rules = CASES[case]
    found = covered(network, inputs, rules)
    answers = network(inputs).detach()
    torch.testing.assert_close(found.logits, answers.max(dim=1).values, rtol=1e-12, atol=0)
    maps = heatmaps(model_of(network, *inputs.shape[1:]), inputs, answers.argmax(dim=1), rules)
    torch.testing.assert_close(found.arrived, maps.flatten(1).sum(dim=1), rtol=1e-9, atol=1e-12)
    assert (found.absorbed.abs() > 1e-3).all(), "biases do absorb"
    assert found.lost.max() < 1e-6 and found.holds and found.fault() is None
    assert all(flow.lost.abs().max() < 1e-6 for flow in found.flows)


def test_without_biases_nothing_is_absorbed() -> None:
    found = covered(drawn(Residual(), biases=False), IMAGES, rules_of("flat"))
    assert found.absorbed.abs().max() < 1e-6 * found.logits.abs().min()


def test_every_call_has_its_flow() -> None:
    network = drawn(nn.Sequential(nn.Conv1d(1, 1, 3), nn.ReLU(), nn.Flatten(), nn.Linear(62, 62), nn.Linear(62, 3)))
    network.insert(4, network[3])
    found = covered(network, WAVES, Rules((("*", "epsilon", 0.0),), EPSILON))
    assert [(flow.module, flow.call) for flow in found.flows] == [("0", 0), ("3", 0), ("3", 1), ("5", 0)]
    for below, above in zip(found.flows[1:], found.flows[2:], strict=False):
        torch.testing.assert_close(above.left, below.came)


def test_at_most_a_few_clips_are_looked_at() -> None:
    assert len(covered(drawn(wave()), WAVES.repeat(5, 1, 1), rules_of("epsilon"), []).logits) == CLIPS


def test_what_a_constant_in_forward_takes_is_missed() -> None:
    network = drawn(Gated(lambda h, g: h + g + 0.5))
    fault = covered(network, IMAGES, Rules((("*", "epsilon", 0.0),), EPSILON)).fault()
    assert fault is not None and "it is lost between the modules that have rules" in fault


class Odd(nn.Conv2d):
    """Adds what no bias says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x.detach().abs().mean()


def test_the_module_that_loses_most_is_named() -> None:
    network = drawn(Residual())
    network.conv2 = Odd(6, 6, 3, padding=1).double()
    network.norm2 = nn.Identity()
    found = covered(network, IMAGES, rules_of("flat", "epsilon"))
    assert not found.holds
    assert "most is lost in call 1 of 'conv2'" in str(found.fault())


def test_sums_do_not_show_a_convolution_that_no_module_owns() -> None:
    """The reason that operations are looked at, too: nothing is lost, and no rule was applied."""
    kernel = torch.randn(4, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    network = drawn(Gated(lambda h, g: nn.functional.conv2d(g, kernel, padding=1)), biases=False)
    with pytest.raises(EarmarkError, match="a convolution that is no Conv1d or Conv2d module"):
        covered(network, IMAGES, Rules((("*", "epsilon", 0.0),), EPSILON))


def test_all_goes_through_every_layer_of_a_chain() -> None:
    through = covered(drawn(wave()), WAVES, rules_of("epsilon")).through
    assert list(through) == [str(number) for number in range(8)]
    assert min(through.values()) > 1 - 1e-9


@pytest.mark.parametrize("first", ["flat", "epsilon"])
def test_what_passes_a_branch_by_does_not_go_through_it(first: str) -> None:
    through = covered(drawn(Residual()), IMAGES, rules_of(first)).through
    for layer in ("stem", "relu1", "relu3", "pool", "head"):
        assert through[layer] > 1 - 1e-9
    for layer in ("conv1", "relu2", "conv2", "wide", "relu4"):
        assert 0.05 < through[layer] < 0.95
    assert through["conv1"] == pytest.approx(through["conv2"], rel=1e-9), "one branch"


def test_a_layer_that_the_answer_does_not_need_has_no_share() -> None:
    network = drawn(Gated(lambda h, g: h))
    assert covered(network, IMAGES, Rules((("*", "epsilon", 0.0),), EPSILON), ["stem"]).through["stem"] == 1
    assert covered(network, IMAGES, Rules((("*", "epsilon", 0.0),), EPSILON), ["other"]).through["other"] == 0
    with pytest.raises(EarmarkError, match="no layer 'nowhere'"):
        covered(network, IMAGES, Rules((("*", "epsilon", 0.0),), EPSILON), ["nowhere"])


def test_the_network_is_left_alone() -> None:
    network = drawn(Residual()).train()
    covered(network, IMAGES, rules_of("flat"))
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
