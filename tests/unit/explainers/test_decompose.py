"""Two-step attribution: what the theory promises of concept heatmaps."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from earmark.data.selection import spread
from earmark.errors import EarmarkError
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.decompose import concept_heatmaps, decomposed, relevances
from earmark.lrp import attributor
from earmark.lrp.rules import Rules
from earmark.models.base import Network
from earmark.sound.waveform import Waveform
from tests.unit import networks
from tests.unit.conftest import model_of

LAYERS = ["conv1", "conv2", "conv3"]


def drawn(size: int, n_subspaces: int, seed: int = 0) -> Subspaces:
    return Subspaces(basis.random_orthogonal(size, torch.Generator().manual_seed(seed)), n_subspaces)


@pytest.mark.parametrize("n_subspaces", [1, 2, 4, 8])
@pytest.mark.parametrize("layer", LAYERS)
def test_concepts_sum_to_the_standard_heatmap(trained, layer: str, n_subspaces: int) -> None:
    standard = attributor.heatmaps(trained.model, trained.inputs, trained.targets, trained.rules)
    chosen = drawn(trained.model.layers[layer], n_subspaces)
    concepts = concept_heatmaps(trained.model, trained.inputs, trained.targets, layer, chosen, trained.rules)
    assert concepts.shape == (len(trained.inputs), n_subspaces, 1, 32, 32)
    assert (concepts.sum(dim=1) - standard).abs().max() <= 1e-12 * standard.abs().max()


@pytest.mark.parametrize("layer", LAYERS)
def test_single_precision_stays_within_the_promise(trained, layer: str) -> None:
    model, inputs = model_of(copy.deepcopy(trained.network).float()), trained.inputs.float()
    standard = attributor.heatmaps(model, inputs, trained.targets, trained.rules)
    chosen = drawn(trained.model.layers[layer], 4)
    concepts = concept_heatmaps(model, inputs, trained.targets, layer, chosen, trained.rules)
    assert (concepts.sum(dim=1) - standard).abs().max() <= 1e-5 * standard.abs().max()


def test_ratio_contexts_are_zero_where_nothing_is_active_and_conserve_too(trained) -> None:
    ratio = dataclasses.replace(trained.rules, context="ratio")
    arguments = trained.model, trained.inputs, trained.targets
    activations, contexts = attributor.pairs_at(*arguments, "conv2", ratio)
    _, gradients = attributor.pairs_at(*arguments, "conv2", trained.rules)
    assert torch.equal(contexts, torch.where(activations != 0, gradients, 0.0))
    standard = attributor.heatmaps(*arguments, ratio)
    assert torch.equal(standard, attributor.heatmaps(*arguments, trained.rules))
    concepts = concept_heatmaps(*arguments, "conv2", drawn(8, 4), ratio)
    assert (concepts.sum(dim=1) - standard).abs().max() <= 1e-12 * standard.abs().max()
    other = concept_heatmaps(*arguments, "conv2", drawn(8, 4), trained.rules)
    assert not torch.allclose(concepts, other, rtol=0.01)


@pytest.mark.parametrize("layer", LAYERS)
def test_relevance_at_the_layer(trained, layer: str) -> None:
    """sum_k R_jk = R_j and sum_j R_jk = R_k, by the definition written out."""
    activations, contexts = attributor.pairs_at(trained.model, trained.inputs, trained.targets, layer, trained.rules)
    size = activations.shape[1]
    chosen = drawn(size, 4)
    a, c = (part.permute(0, 2, 3, 1).reshape(-1, size) for part in (activations, contexts))  # [N, D]
    blocks = [chosen.basis[:, k * size // 4 : (k + 1) * size // 4] for k in range(4)]
    units = torch.stack([a * (c @ block @ block.T) for block in blocks])  # [K, N, D], R_jk
    assert torch.allclose(units.sum(dim=0), a * c, atol=1e-12)
    assert torch.allclose(units.sum(dim=2).T, chosen.relevance(a, c), atol=1e-12)


def test_slow_two_step_attribution_agrees(trained) -> None:
    """Send each concept down by itself, with the context replaced where the network is split."""
    layer, chosen = "conv2", drawn(8, 4)
    fast = concept_heatmaps(trained.model, trained.inputs, trained.targets, layer, chosen, trained.rules)
    for k, block in enumerate(chosen.blocks):
        trace = attributor.Attributor(trained.model, trained.rules, trained.inputs, layer).trace(
            trained.inputs, trained.targets
        )
        flat = trace.contexts.permute(0, 2, 3, 1)  # [B, h, w, D]
        projected = ((flat @ block) @ block.T).permute(0, 3, 1, 2)
        assert torch.allclose(trace.heatmap(projected, last=True), fast[:, k], atol=1e-12)


def test_rotation_inside_a_subspace_changes_nothing(trained) -> None:
    chosen = drawn(8, 4)
    inside = torch.block_diag(*(basis.random_orthogonal(2, torch.Generator().manual_seed(s)) for s in range(4)))
    turned = Subspaces(chosen.basis @ inside, 4)
    arguments = trained.model, trained.inputs, trained.targets, "conv2"
    one = concept_heatmaps(*arguments, chosen, trained.rules)
    other = concept_heatmaps(*arguments, turned, trained.rules)
    assert torch.allclose(one, other, atol=1e-12)


def test_permuting_subspaces_permutes_heatmaps(trained) -> None:
    chosen = drawn(8, 4)
    order = torch.tensor([2, 0, 3, 1])
    permuted = Subspaces(chosen.blocks[order].transpose(0, 1).reshape(8, 8), 4)
    arguments = trained.model, trained.inputs, trained.targets, "conv2"
    one = concept_heatmaps(*arguments, chosen, trained.rules)
    other = concept_heatmaps(*arguments, permuted, trained.rules)
    assert torch.allclose(one[:, order], other, atol=1e-12)


def test_several_bases_at_once_equal_one_after_the_other(trained) -> None:
    several = [drawn(8, 4, seed) for seed in range(3)]
    arguments = trained.model, trained.inputs, trained.targets, "conv2"
    together = decomposed(*arguments, several, trained.rules)
    for chosen, heatmaps in zip(several, together, strict=True):
        assert torch.equal(heatmaps, concept_heatmaps(*arguments, chosen, trained.rules))


@pytest.mark.parametrize("layer", ["0", "3"])
def test_samples_of_waveforms_have_what_their_heatmaps_have(layer) -> None:
    frontend, targets = Waveform(8000, 64, n_fft=16, hop=8), torch.tensor([0, 1, 2, 0])
    model, rules = Network.around(networks.drawn(networks.wave()), frontend), Rules((("*", "epsilon", 0.0),), 1e-9)
    inputs = torch.randn(4, 1, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs[:, :, 40:] = 0
    whole = attributor.relevance(model, inputs, targets, rules)
    several = [drawn(model.layers[layer], 2), drawn(model.layers[layer], 4)]
    for chosen, parts in zip(several, relevances(model, inputs, targets, layer, several, rules), strict=True):
        assert parts.samples.shape == (4, chosen.n_subspaces, 1, 64)
        assert not parts.samples[..., 40:].any() and parts.samples.any()
        torch.testing.assert_close(parts.samples.sum(dim=1), whole.samples)
        torch.testing.assert_close(parts.samples.sum(dim=(2, 3)), parts.maps.sum(dim=(2, 3, 4)))
    torch.testing.assert_close(whole.samples.sum(dim=(1, 2)), whole.maps.sum(dim=(1, 2, 3)))
    gradient = torch.autograd.functional.jacobian(lambda heard: model.network(heard)[:, 0].sum(), inputs[:1])
    torch.testing.assert_close(whole.samples[:1], inputs[:1] * gradient, rtol=1e-5, atol=1e-8)


def test_spectrograms_have_no_samples(trained) -> None:
    arguments = trained.model, trained.inputs[:2], trained.targets[:2]
    assert attributor.relevance(*arguments, trained.rules).samples is None
    assert relevances(*arguments, "conv2", [drawn(8, 4)], trained.rules)[0].samples is None


def test_the_network_is_left_alone(trained) -> None:
    before = copy.deepcopy(trained.network.state_dict())
    with pytest.raises(EarmarkError, match="do not fit conv2"):
        concept_heatmaps(trained.model, trained.inputs, trained.targets, "conv2", drawn(16, 4), trained.rules)
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.network.state_dict().items())
    assert not any(module._forward_hooks for module in trained.network.modules())


def test_clips_are_spread_evenly_over_recordings() -> None:
    recordings = np.repeat(np.arange(10), [1, 9, 2, 5, 5, 5, 5, 5, 5, 8])
    for count in (5, 10, 23, 100):
        picked = spread(recordings, count, seed=0)
        assert len(set(picked)) == len(picked) == min(count, len(recordings))
        taken = np.bincount(recordings[picked], minlength=10)
        available = np.bincount(recordings)
        assert all(taken[r] == available[r] or taken[r] >= taken.max() - 1 for r in range(10))
    assert np.array_equal(spread(recordings, 5, seed=1), spread(recordings, 5, seed=1))
    assert not np.array_equal(spread(recordings, 5, seed=1), spread(recordings, 5, seed=2))
