"""Relevance propagation against definitions written out as dense matrices, and against zennit's own rules."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from zennit import rules as builtin
from zennit.attribution import Gradient
from zennit.composites import NameMapComposite

from earmark.errors import EarmarkError
from earmark.lrp import attributor
from earmark.lrp.attributor import Attributor, heatmaps, pairs_at
from earmark.lrp.rules import Rules
from earmark.models.base import Network
from earmark.models.cnn import build
from tests.unit.conftest import Cells, model_of

EPSILON = 1e-7


def dense_matrix(module: nn.Module, shape: torch.Size) -> tuple[np.ndarray, np.ndarray]:
    """Write a linear module as matrix [outputs, inputs] and bias [outputs]."""
    size = int(np.prod(shape))
    with torch.no_grad():
        bias = module(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        columns = module(torch.eye(size, dtype=torch.float64).view(size, *shape)).flatten(1) - bias
    return columns.T.numpy(), bias.numpy()


def stable(denominator: np.ndarray) -> np.ndarray:
    return denominator + np.where(denominator >= 0, EPSILON, -EPSILON)


def slow_relevance(network: nn.Sequential, clip: torch.Tensor, target: int, rules: Rules) -> list[np.ndarray]:
    """Relevance before every module, input first, each rule as its definition says."""
    activations = [clip.unsqueeze(0)]
    for module in network:
        activations.append(module(activations[-1]).detach())
    relevance = np.zeros(activations[-1].shape[1])
    relevance[target] = activations[-1][0, target]
    levels = [relevance]
    for (name, module), below in zip(reversed(list(network.named_children())), reversed(activations[:-1]), strict=True):
        a = below.flatten().numpy()
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight, bias = dense_matrix(module, below.shape[1:])
            kind, gamma = next((rule, gamma) for pattern, rule, gamma in rules.patterns if matches(pattern, name))
            relevance = propagate(kind, gamma, a, weight, bias, relevance)
        elif isinstance(module, nn.MaxPool2d):
            relevance = winner_takes_all(below[0].numpy(), relevance)
        levels.insert(0, relevance)
    return levels


def matches(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.endswith("*") and name.startswith(pattern[:-1]))


def propagate(kind: str, gamma: float, a: np.ndarray, w: np.ndarray, b: np.ndarray, upper: np.ndarray) -> np.ndarray:
    lower = np.zeros_like(a)
    touched = w != 0
    for k in range(len(upper)):
        if kind == "flat":
            share, total = touched[k].astype(float), touched[k].sum()
        elif kind == "wsquare":
            share, total = w[k] ** 2, (w[k] ** 2).sum()
        elif kind == "gamma":
            share = a * (w[k] + gamma * np.maximum(w[k], 0))
            total = share.sum() + b[k] + gamma * max(b[k], 0)
        else:
            share = a * w[k]
            total = share.sum() + b[k]
        lower += share / stable(np.array(total)) * upper[k]
    return lower


def winner_takes_all(below: np.ndarray, upper: np.ndarray) -> np.ndarray:
    channels, rows, columns = below.shape
    pooled = upper.reshape(channels, rows // 2, columns // 2)
    lower = np.zeros_like(below)
    for channel, row, column in np.ndindex(*pooled.shape):
        window = below[channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        winner = np.unravel_index(window.argmax(), window.shape)
        lower[channel, 2 * row + winner[0], 2 * column + winner[1]] = pooled[channel, row, column]
    return lower.flatten()


def random_network(seed: int, first: str) -> tuple[nn.Sequential, Rules]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build([3, 4], [5], n_classes=3, input_shape=(8, 8)).double()
    return network, Rules((("conv1", first, 0.0), ("conv2", "gamma", 0.4), ("dense*", "epsilon", 0.0)), EPSILON)


@pytest.mark.parametrize("first", ["flat", "wsquare", "epsilon"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_rule_follows_its_definition(seed: int, first: str) -> None:
    network, rules = random_network(seed, first)
    inputs = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    targets = torch.tensor([0, 1, 2, 0])
    fast = heatmaps(model_of(network, 1, 8, 8), inputs, targets, rules)
    slow = np.stack([slow_relevance(network, x, int(t), rules)[0] for x, t in zip(inputs, targets, strict=True)])
    np.testing.assert_allclose(fast.flatten(1).numpy(), slow, rtol=1e-9, atol=1e-12 * np.abs(slow).max())


def test_pairs_multiply_to_the_relevance_of_the_layer() -> None:
    network, rules = random_network(3, "flat")
    inputs = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    targets = torch.tensor([2, 1, 0, 0])
    for layer, level in (("conv1", 2), ("conv2", 5)):
        activations, contexts = pairs_at(model_of(network, 1, 8, 8), inputs, targets, layer, rules)
        slow = [slow_relevance(network, x, int(t), rules)[level] for x, t in zip(inputs, targets, strict=True)]
        np.testing.assert_allclose((activations * contexts).flatten(1).numpy(), np.stack(slow), rtol=1e-9, atol=1e-13)
        assert (contexts[activations == 0] != 0).any(), "contexts are defined where nothing is active"


@pytest.mark.parametrize("first", ["flat", "wsquare"])
def test_composite_equals_the_rules_that_zennit_ships(trained, first: str) -> None:
    rules = Rules((("conv1", first, 0.0), *trained.rules.patterns[1:]), EPSILON)
    names = [name for name, _ in trained.network.named_children()]
    composite = NameMapComposite(
        [
            (["conv1"], builtin.Flat(EPSILON) if first == "flat" else builtin.WSquare(EPSILON, zero_params="bias")),
            (["conv2", "conv3"], builtin.Gamma(0.8, stabilizer=EPSILON)),
            ([name for name in names if name.startswith("dense")], builtin.Epsilon(EPSILON)),
            ([name for name in names if name.startswith("relu")], builtin.Pass()),
        ]
    )
    network = copy.deepcopy(trained.network)
    logits = network(trained.inputs).detach()
    start = nn.functional.one_hot(trained.targets, 2) * logits
    with Gradient(network, composite) as attributor:
        _, expected = attributor(trained.inputs, start)
    found = heatmaps(trained.model, trained.inputs, trained.targets, rules)
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()
    single = heatmaps(model_of(copy.deepcopy(trained.network).float()), trained.inputs.float(), trained.targets, rules)
    assert (single - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_relevance_is_conserved_without_biases(trained) -> None:
    network = copy.deepcopy(trained.network)
    for module in network:
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    found = heatmaps(model_of(network), trained.inputs, trained.targets, trained.rules)
    logits = network(trained.inputs).gather(1, trained.targets[:, None])[:, 0]
    assert torch.allclose(found.sum(dim=(1, 2, 3)), logits, rtol=1e-4)


def test_the_network_is_left_alone_also_after_an_error(trained) -> None:
    network = copy.deepcopy(trained.network).train()
    model = Network(network, Cells((1, 32, 32)), (), {})
    before = copy.deepcopy(network.state_dict())
    heatmaps(model, trained.inputs, trained.targets, trained.rules)
    with pytest.raises(RuntimeError):
        heatmaps(model, trained.inputs[:, :, :8], trained.targets, trained.rules)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_logits_are_those_of_the_unmodified_network(trained) -> None:
    trace = Attributor(trained.model, trained.rules, trained.inputs, "conv2").trace(trained.inputs, trained.targets)
    logits = trained.network(trained.inputs).gather(1, trained.targets[:, None])[:, 0]
    assert torch.equal(trace.logits, logits.detach())


def test_batches_and_order_change_nothing(trained, monkeypatch) -> None:
    whole = heatmaps(trained.model, trained.inputs, trained.targets, trained.rules)
    monkeypatch.setattr(attributor, "BATCH", 5)
    parts = heatmaps(trained.model, trained.inputs.flip(0), trained.targets.flip(0), trained.rules).flip(0)
    assert torch.allclose(whole, parts, rtol=1e-12, atol=1e-14)


def test_batch_normalisation_is_fused_on_a_copy(trained) -> None:
    parts = []
    for name, module in copy.deepcopy(trained.network).named_children():
        parts.append((name, module))
        if name == "conv2":
            norm = nn.BatchNorm2d(8).double()
            norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
            norm.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(1))
            parts.append(("norm2", norm))
    from collections import OrderedDict

    network = nn.Sequential(OrderedDict(parts)).eval()
    found = heatmaps(model_of(network), trained.inputs, trained.targets, trained.rules)
    fused = copy.deepcopy(trained.network)
    fused.conv2 = torch.nn.utils.fusion.fuse_conv_bn_eval(network.conv2, network.norm2)
    assert torch.allclose(found, heatmaps(model_of(fused), trained.inputs, trained.targets, trained.rules), atol=1e-12)


def test_a_module_without_a_rule_is_named(trained) -> None:
    few = Rules(trained.rules.patterns[:2], EPSILON)
    with pytest.raises(EarmarkError, match="dense1"):
        heatmaps(trained.model, trained.inputs, trained.targets, few)
    network = copy.deepcopy(trained.network)
    network.relu_conv2 = nn.Tanh()
    with pytest.raises(EarmarkError, match=r"relu_conv2.*Tanh"):
        heatmaps(model_of(network), trained.inputs, trained.targets, trained.rules)
    with pytest.raises(EarmarkError, match="conv9"):
        pairs_at(trained.model, trained.inputs, trained.targets, "conv9", trained.rules)
    flat_above = Rules((("conv[12]", "flat", 0.0), *trained.rules.patterns[1:]), EPSILON)
    with pytest.raises(EarmarkError, match="first layer"):
        heatmaps(trained.model, trained.inputs, trained.targets, flat_above)
    gamma_first = Rules(trained.rules.patterns[1:], EPSILON)
    with pytest.raises(EarmarkError, match="non-negative"):
        heatmaps(trained.model, trained.inputs, trained.targets, gamma_first)


def test_zennit_is_loaded_without_torchvision_and_left_whole() -> None:
    script = (
        "import sys, earmark.lrp; assert 'torchvision' not in sys.modules; assert 'sympy' not in sys.modules; "
        "import zennit.torchvision; print(zennit.torchvision.ResNetCanonizer.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True)
    assert done.stdout == "ResNetCanonizer\n", done.stderr
