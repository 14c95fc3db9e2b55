"""The networks that Earmark trains: what each is, what it brings, and that all that explains works on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.lrp.attributor import Attributor, heatmaps, pairs_at
from earmark.lrp.rules import Rules, from_config
from earmark.models import alexnet, audionet, base, blocks
from earmark.models.base import Network
from earmark.models.graph import fused
from earmark.plan import config
from earmark.plan.architectures import architecture_of, architectures
from earmark.plan.methods import layers_of
from earmark.sound.kinds import from_config as frontend_of
from earmark.sound.waveform import Waveform
from tests.unit.networks import drawn

SMALL: dict[str, Any] = {
    "cnn": {"frontend": {"n_mels": 32, "n_frames": 32, "padding": "constant"}, "model": {"filters": [4] * 4}},
    "audionet": {"frontend": {"n_samples": 640}, "model": {"filters": [4, 4, 8, 8, 8, 8]}},
    "audionet-s": {"frontend": {"n_samples": 643}, "model": {"filters": [4, 4, 8, 8]}},
    "alexnet": {"frontend": {"n_bins": 67, "n_frames": 70}, "model": {"filters": [4, 4, 4, 8, 8]}},
}
"""Every architecture, with little to compute."""


def block_of(name: str) -> dict[str, Any]:
    """Complete a block of a small network."""
    model = {"architecture": name, "dense": [12, 8], **SMALL[name]["model"]}
    return config.fill({"frontend": SMALL[name]["frontend"], "model": model})


def built(block: dict[str, Any], **arguments: Any) -> nn.Sequential:
    """Build a network as the stage `train` does."""
    model = {key: block["model"][key] for key in ("filters", "dense", "dropout", "weight_std")}
    shape = frontend_of(block).shape[1:]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return base.build(block["model"]["architecture"], n_classes=3, input_shape=shape, **model, **arguments)


def inputs_of(block: dict[str, Any], count: int = 3) -> torch.Tensor:
    """Draw clips, of which the first is silent in its second half: float64 inputs [B, *I]."""
    frontend = frontend_of(block)
    clips = torch.randn(count, frontend.clip_samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    clips[0, frontend.clip_samples // 2 :] = 0
    return frontend(clips)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shapes(network: nn.Sequential, inputs: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """List what every module gives, without the batch."""
    found = {}
    for name, module in network.named_children():
        inputs = module(inputs)
        found[name] = tuple(inputs.shape[1:])
    return found


def test_every_architecture_is_tried_here() -> None:
    assert set(SMALL) == set(architectures())


@pytest.mark.parametrize("name", architectures())
def test_what_it_brings_is_a_configuration_that_counts(name) -> None:
    brings = architectures()[name].brings
    block = config.validate({"run": ["one"], "datasets": {"one": {"model": {"architecture": name}}}})["datasets"]["one"]
    for section, keys in brings.items():
        assert {key: block[section][key] for key in keys} == keys
    assert block["lrp"]["rules"] == list(architectures()[name].rules)
    assert config.fill({"model": {"architecture": name}}) == block


@pytest.mark.parametrize("name", architectures())
def test_the_plan_knows_its_layers(name) -> None:
    block = block_of(name)
    assert blocks.layers(built(block)) == layers_of(block)


@pytest.mark.parametrize("name", architectures())
def test_the_smallest_input_that_the_plan_allows_is_the_smallest_that_can_be_built(name) -> None:
    block = block_of(name)
    model = {key: block["model"][key] for key in ("filters", "dense")}
    smallest = architecture_of(block).smallest(len(model["filters"]))
    dimensions = len(frontend_of(block).shape) - 1
    network = base.build(name, n_classes=3, input_shape=(smallest,) * dimensions, **model)
    assert network(torch.zeros(2, 1, *(smallest,) * dimensions)).shape == (2, 3)
    with pytest.raises(EarmarkError, match=r"too small|too short"):
        base.build(name, n_classes=3, input_shape=(smallest - 1,) * dimensions, **model)


@pytest.mark.parametrize("name", architectures())
def test_without_biases_the_rules_that_it_brings_conserve_the_logit(name) -> None:
    block = block_of(name)
    frontend, rules = frontend_of(block), from_config(block)
    model = Network.around(drawn(built(block), biases=False), frontend)
    inputs, targets = inputs_of(block), torch.tensor([0, 1, 2])
    logits = model.logits(inputs).gather(1, targets.view(-1, 1))[:, 0]
    sums = heatmaps(model, inputs, targets, rules).flatten(1).sum(dim=1)
    torch.testing.assert_close(sums, logits, rtol=1e-4, atol=0)
    for layer, channels in blocks.layers(model.network).items():
        activations, contexts = pairs_at(model, inputs, targets, layer, rules)
        assert activations.shape[:2] == (3, channels)
        torch.testing.assert_close((activations * contexts).flatten(1).sum(dim=1), logits, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", architectures())
def test_batch_normalisation_is_in_the_weights_in_the_end(name) -> None:
    block = block_of(name)
    network, inputs = drawn(built(block, batch_norm=True)), inputs_of(block)
    plain = fused(network, inputs)[0]
    torch.testing.assert_close(plain(inputs), network(inputs))
    assert list(plain.state_dict()) == list(built(block).state_dict())


def test_audionet_is_the_published_one() -> None:
    network = audionet.build(10).eval()
    found = shapes(network, torch.zeros(1, 1, 8000))
    widths, samples = (100, 64, 128, 128, 128, 128), (8000, 4000, 2000, 1000, 500, 250, 125)
    for number, width in enumerate(widths, start=1):
        assert found[f"conv{number}"] == found[f"relu_conv{number}"] == (width, samples[number - 1])
        assert found[f"pool{number}"] == (width, samples[number])
    dense = ["flatten", "dense1", "dropout1", "dense2", "dropout2", "dense3"]
    assert list(found)[18:] == dense, "no ReLU between dense layers"
    assert [found[name][0] for name in dense] == [16000, 1024, 1024, 512, 512, 10]
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]
    below = (1, *widths[:-1])
    expected = sum(3 * low * high + high for low, high in zip(below, widths, strict=True))
    assert parameters(network) == expected + (16001 * 1024) + (1025 * 512) + (513 * 10)


def test_only_the_first_pooling_of_audionet_looks_at_three_samples() -> None:
    network = audionet.build(2, filters=[1, 1], dense=[2], input_shape=(8,))
    wave = torch.tensor([[[0.0, 0, 9, 0, 0, 0, 0, 5]]])
    assert network.pool1(wave).tolist() == [[[9, 9, 0, 5]]]
    assert network.pool2(wave).tolist() == [[[0, 9, 0, 5]]]


def test_the_first_weights_of_audionet_are_normal_and_its_biases_zero() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = audionet.build(10)
    for name, parameter in network.state_dict().items():
        if name.endswith("bias"):
            assert not parameter.any()
        elif parameter.numel() > 5000:  # four standard errors
            count, std = parameter.numel(), 0.1
            assert abs(float(parameter.mean())) < 4 * std / count**0.5
            assert abs(float(parameter.std()) - std) < 4 * std / (2 * count) ** 0.5
            assert float(((parameter.abs() < std).float().mean() - 0.6827).abs()) < 4 * 0.4655 / count**0.5


def test_audionet_s_is_a_third_of_it() -> None:
    block = config.fill({"model": {"architecture": "audionet-s"}})
    network = built(block).eval()
    assert blocks.layers(network) == {f"conv{n}": width for n, width in enumerate([32, 32, 64, 64, 64, 64], start=1)}
    assert (network.dense1.in_features, network.dense1.out_features) == (64 * 125, 256)
    assert (network.dense2.in_features, network.dense2.out_features) == (256, 128)


def test_alexnet_is_the_published_one() -> None:
    network = alexnet.build(10).eval()
    found = shapes(network, torch.zeros(1, 1, 227, 227))
    expected = {
        "conv1": (96, 55, 55),
        "pool1": (96, 27, 27),
        "conv2": (256, 27, 27),
        "pool2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "flatten": (9216,),
        "dense1": (1024,),
        "dense2": (1024,),
        "dense3": (10,),
    }
    assert {name: found[name] for name in expected} == expected
    assert {name for name in found if name.startswith("pool")} == {"pool1", "pool2", "pool5"}
    convolutions = 121 * 96 + 25 * 48 * 256 + 9 * (256 * 384 + 192 * 384 + 192 * 256) + 96 + 256 + 384 + 384 + 256
    assert parameters(network) == convolutions + 9217 * 1024 + 1025 * 1024 + 1025 * 10
    with pytest.raises(EarmarkError, match="5 even numbers of filters are needed, not"):
        alexnet.build(10, filters=[8, 8, 8])


def test_what_alexnet_sees_is_decibels_below_the_loudest_cell() -> None:
    frontend = frontend_of(config.fill({"model": {"architecture": "alexnet"}}))
    assert frontend.shape == (1, 227, 227)
    clips = torch.randn(2, frontend.clip_samples, generator=torch.Generator().manual_seed(0))
    clips[:, 3000:] = 0
    inputs = frontend(clips)
    assert inputs.amin(dim=(1, 2, 3)).tolist() == [-80, -80]
    assert (inputs.amax(dim=(1, 2, 3)) <= 1e-4).all() and (inputs.amax(dim=(1, 2, 3)) > -3).all()  # the Nyquist bin
    torch.testing.assert_close(frontend(7 * clips), inputs, rtol=1e-4, atol=1e-3)
    half = frontend(clips / 2, like=clips)
    loud = inputs > -70
    torch.testing.assert_close(half[loud], inputs[loud] - 6.0206, rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def heard() -> tuple[Network, torch.Tensor, torch.Tensor, Rules]:
    """Build a small network of waveforms without biases: with its inputs, targets and rules."""
    block = block_of("audionet-s")
    network = drawn(built(block), biases=False)
    return Network.around(network, frontend_of(block)), inputs_of(block), torch.tensor([0, 1, 2]), from_config(block)


def test_relevance_of_a_waveform_is_signal_times_context_and_none_lies_on_silence(heard) -> None:
    model, inputs, targets, rules = heard
    frontend = model.frontend
    assert isinstance(frontend, Waveform)
    trace = Attributor(model, rules, inputs, "conv1").trace(inputs, targets)
    (contexts,) = torch.autograd.grad((trace.activations * trace.contexts).sum(), trace.inputs, retain_graph=True)
    samples = frontend.sample_relevance(inputs, contexts)
    assert not samples[0, :, frontend.n_samples // 2 :].any() and contexts[0, :, frontend.n_samples // 2 :].any()
    logits = model.logits(inputs).gather(1, targets.view(-1, 1))[:, 0]
    torch.testing.assert_close(samples.sum(dim=(1, 2)), logits, rtol=1e-4, atol=0)
    cells = trace.heatmap(trace.contexts)
    assert ((cells - frontend.relevance(inputs, contexts)).abs() <= 1e-6 * cells.abs().amax()).all()
    torch.testing.assert_close(cells.sum(dim=(1, 2, 3)), samples.sum(dim=(1, 2)), rtol=1e-6, atol=0)


def test_an_architecture_that_a_block_names_comes_before_what_it_extends() -> None:
    blocks = {
        "parent": {"model": {"filters": [16, 16], "dense": [5]}, "lrp": {"rules": [{"layers": "*", "rule": "flat"}]}},
        "child": {"extends": "parent", "model": {"architecture": "audionet-s", "dense": [7]}, "grid": {"k": [2]}},
        "grandchild": {"extends": "child", "train": {"epochs": 3}},
    }
    found = config.validate({"run": ["child"], "datasets": blocks})["datasets"]
    for name in ("child", "grandchild"):
        assert found[name]["model"]["filters"] == [32, 32, 64, 64, 64, 64]
        assert found[name]["model"]["dense"] == [7]
        assert found[name]["frontend"]["kind"] == "waveform"
        assert found[name]["lrp"]["rules"][0] == {"layers": "conv1", "rule": "epsilon"}
    assert (found["child"]["train"]["epochs"], found["grandchild"]["train"]["epochs"]) == (20, 3)


MISTAKES = [
    (
        {"model": {"architecture": "audionett"}},
        "datasets.one.model.architecture cannot be 'audionett'; did you mean audionet?",
    ),
    (
        {"model": {"architecture": "audionet"}, "frontend": {"kind": "logmel"}},
        "datasets.one.frontend.kind must be waveform, on which Earmark trains its network audionet, not logmel",
    ),
    (
        {"model": {"architecture": "audionet"}, "frontend": {"n_samples": 63}},
        "datasets.one.frontend.n_samples = 63 must be at least 64 for the 6 convolutions of audionet",
    ),
    (
        {"model": {"architecture": "alexnet"}, "frontend": {"n_bins": 60}},
        "datasets.one.frontend.n_bins = 60 must be at least 67 for the 5 convolutions of alexnet",
    ),
    (
        {"model": {"architecture": "alexnet", "filters": [8, 8, 8]}, "grid": {"layers": ["conv1"]}},
        "datasets.one.model.filters must be 5 multiples of 2 for alexnet, not [8, 8, 8]",
    ),
    (
        {"model": {"architecture": "alexnet", "filters": [8, 8, 8, 8, 12, 8]}},
        "datasets.one.model.filters must be 5 multiples of 2 for alexnet, not [8, 8, 8, 8, 12, 8]",
    ),
    (
        {"model": {"architecture": "audionet"}, "train": {"mel_mask": 3}},
        "datasets.one.train.mel_mask = 3 changes spectrograms, and the network hears waveforms: set it to 0",
    ),
    (
        {"model": {"architecture": "audionet"}, "augment": {"pitch_probability": 0.5}},
        "datasets.one.augment.pitch_probability = 0.5 changes spectrograms, and the network hears waveforms: set it",
    ),
    (
        {"model": {"architecture": "audionet"}, "augment": {"stretch": [0.8, 1.2]}},
        "datasets.one.augment.stretch = [0.8, 1.2] changes spectrograms, and the network hears waveforms: set it to",
    ),
    (
        {"train": {"momentum": 0.5}},
        "datasets.one.train.momentum goes with datasets.one.train.optimiser = sgd only, not adam: remove one",
    ),
    (
        {"train": {"step_every": 5}},
        "datasets.one.train.step_every goes with datasets.one.train.schedule = step only, not constant: remove one",
    ),
]


@pytest.mark.parametrize(("block", "sentence"), MISTAKES, ids=[sentence[:50] for _, sentence in MISTAKES])
def test_a_mistake_is_one_sentence(block, sentence) -> None:
    with pytest.raises(EarmarkError) as caught:
        config.validate({"run": ["one"], "datasets": {"one": block}})
    assert str(caught.value).startswith(f"config: {sentence}")
