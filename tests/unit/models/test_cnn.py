"""The network: its architecture, its split, its file."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.models import base as models
from earmark.models.blocks import layers
from earmark.models.cnn import build
from earmark.store import artifacts
from tests.unit.conftest import FRONTEND


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_architecture_of_the_thesis() -> None:
    network = build([8, 8, 16, 16, 16], [20, 20], n_classes=2, input_shape=(64, 64))
    assert layers(network) == {"conv1": 8, "conv2": 8, "conv3": 16, "conv4": 16, "conv5": 16}
    weights = [(1, 8), (8, 8), (8, 16), (16, 16), (16, 16)]
    expected = sum(9 * below * width + width for below, width in weights)
    expected += (64 * 20 + 20) + (20 * 20 + 20) + (20 * 2 + 2)
    assert parameters(network) == expected
    large = build([32, 32, 64, 64, 128], [128, 128], 10, (128, 128), dropout=0.5)
    assert large(torch.zeros(2, 1, 128, 128)).shape == (2, 10)
    assert sum(isinstance(module, torch.nn.Dropout) for module in large) == 2


def test_a_layer_is_what_its_relu_gives(trained) -> None:
    for layer, channels in trained.model.layers.items():
        activations, logits = trained.model.watched(trained.inputs, layer)
        relu = list(trained.network._modules).index(f"relu_{layer}")
        assert activations.shape[1] == channels
        assert torch.allclose(activations, trained.network[: relu + 1](trained.inputs), atol=1e-12)
        assert torch.allclose(logits, trained.network(trained.inputs), atol=1e-12)
    with pytest.raises(EarmarkError, match=r"no layer 'conv7'.*conv1, conv2, conv3"):
        trained.model.watched(trained.inputs, "conv7")


def test_saved_and_loaded_networks_agree(tmp_path, trained) -> None:
    architecture = {"name": "cnn", "filters": [8, 8, 16], "dense": [12], "n_classes": 2, "input_shape": [32, 32]}
    path = tmp_path / "model.safetensors"
    network = copy.deepcopy(trained.network).float()
    models.save(path, network, architecture, ["a", "b"], dataclasses.asdict(FRONTEND), {"seed": 0})
    loaded = models.load(path)
    assert torch.equal(loaded.network(trained.inputs.float()), network(trained.inputs.float()))
    assert torch.allclose(loaded.logits(trained.inputs.float()), network(trained.inputs.float()), atol=1e-5)
    assert (loaded.classes, loaded.frontend, loaded.multi_label) == (("a", "b"), FRONTEND, False)
    assert loaded.layers == trained.model.layers
    assert not loaded.network.training
    assert artifacts.read_tensors(path)[1]["provenance"] == {"seed": 0}


def test_too_small_an_input_is_refused() -> None:
    with pytest.raises(EarmarkError, match="too small"):
        build([8] * 5, [20], 2, (16, 64))


def test_a_gpu_that_is_not_there_is_a_clear_error(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.device(0) == torch.device("cpu")
    with pytest.raises(EarmarkError, match="gpu=0 computes on the CPU: make run GPU=0, or snakemake --resources gpu=0"):
        models.device(1)


def test_a_gpu_that_cannot_compute_is_a_clear_error(monkeypatch) -> None:
    """A card older than PyTorch's build is there, and fails at the first operation."""

    def fail(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel ...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(EarmarkError, match="no kernel image is available for execution on the device; gpu=0 computes"):
        models.device(1)
