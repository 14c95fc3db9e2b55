"""What every explainer owes whoever calls it, tried on all of them."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from earmark.data.dataset import ClassInfo
from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers.base import Background, Batch, Learned, Parts
from earmark.explainers.interpreters import learning
from earmark.explainers.subspaces.affinity import affinity, matched
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.pairs import Material
from earmark.job import Job
from earmark.lrp import attributor
from earmark.plan.config import fill
from earmark.plan.methods import Method, learner_of, method_of, methods
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from tests.unit.conftest import FRONTEND, Trained, noisy_stripes

LAYER, SIZE, K, CLIPS, SAMPLES = "conv2", 8, 2, 8, FRONTEND.clip_samples

NAMES = [f"{method.name}~3" if method.variants else method.name for method in methods()]
"""Every method, by a seed of its own where it has several."""

SETTINGS = fill(
    {
        "lrp": {
            "rules": [
                {"layers": "conv1", "rule": "flat"},
                {"layers": "conv*", "rule": "gamma", "gamma": 0.8},
                {"layers": "dense*", "rule": "epsilon"},
            ]
        },
        "explainers": {  # few of what takes long
            "lime": {"samples": 40, "segments": 4, "pieces": 2},
            "l2i": {"components": 4, "channels": 4, "clips": 16},
            "lmac": {"channels": 4, "direct_steps": 4},
            "lmactd": {"chunk": 8, "heads": 2, "head_width": 4, "feedforward": 8, "clips": 16},
        },
    }
) | {"seed": 0}


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def batch_of(trained: Trained, places: slice = slice(None)) -> Batch:
    clips = np.arange(len(trained.inputs))[places] + 100
    inputs = trained.inputs[places]
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(len(trained.inputs), SAMPLES, generator=generator, dtype=inputs.dtype)
    waveforms = noise[places].to(inputs.device) / 4
    stems = torch.stack([waveforms / 2, waveforms / 4], dim=1)  # [B, O, S]
    return Batch(clips, waveforms, inputs, trained.targets[places], stems)


@dataclass(frozen=True)
class Subject(Trained):
    """What is explained, and a data set of its own that interpreters of it are made on."""

    layout: Layout


@functools.cache
def learned(layout: Layout, name: str) -> Learned:
    """Make the state of a method that is trained: what its training begins with."""
    job = Job("learn", layout.results, layout.dataset, SETTINGS, split="main", method=learner_of(name))
    if start := method_of(name).starts_from:
        begun, path = learned(layout, start), layout.trained("main", start) / "model.safetensors"
        artifacts.write_tensors(path, begun.weights, {}, about=begun.about)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        interpreter = explainers.family(name).interpreter(job.method, learning.material(job))
    weights = {key: tensor.clone() for key, tensor in interpreter.network.state_dict().items()}
    return Learned(weights, dict(interpreter.about), K)


@pytest.fixture(scope="module")
def trained(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Tell, beside what is explained, which is few clips of both classes, where interpreters of it learn."""
    known = {one.name: getattr(trained, one.name) for one in fields(Trained)}
    few = {name: known[name][:CLIPS] for name in ("inputs", "targets")}
    return Subject(**known | few, layout=noisy_stripes(tmp_path_factory.mktemp("noisy"), trained))


def state_of(method: Method, trained: Subject) -> Subspaces | Background | Learned | None:
    if method.is_trained:
        return learned(trained.layout, method.name)
    if "training" in method.needs:
        waveforms = batch_of(trained).waveforms.flip(0)
        return Background(np.arange(len(waveforms)), trained.inputs.flip(0), trained.targets.flip(0), waveforms)
    return Subspaces(random_orthogonal(SIZE, torch.Generator().manual_seed(5)), K) if method.has_basis else None


def explain(trained: Subject, name: str, *batches: Batch, seed: int = 1) -> Parts:
    method = method_of(name)
    layer = LAYER if method.layered else INPUT_LAYER
    explainer = explainers.build(name, trained.model, layer, SETTINGS, state_of(method, trained), seed)
    return explainers.joined([explainer(batch) for batch in batches])


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_have_the_shape_of_its_kind(trained, name) -> None:
    parts, count = explain(trained, name, batch_of(trained)), K if method_of(name).parts else 1
    assert parts.maps is not None or parts.sounds is not None
    if parts.maps is not None:
        assert parts.maps.shape == (len(trained.inputs), count, *trained.model.frontend.grid)
        assert torch.isfinite(parts.maps).all()
    if parts.sounds is not None:
        assert parts.sounds.shape == (len(trained.inputs), count, SAMPLES)
        assert torch.isfinite(parts.sounds).all()
    assert all(np.isfinite(value) for value in parts.checks.values())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_however_clips_are_batched(trained, name) -> None:
    whole = explain(trained, name, batch_of(trained))
    cut = explain(trained, name, *(batch_of(trained, slice(start, start + 5)) for start in range(0, CLIPS, 5)))
    for one, other in ((whole.maps, cut.maps), (whole.samples, cut.samples), (whole.sounds, cut.sounds)):
        if one is not None:
            assert torch.allclose(one, other, atol=1e-5 * float(one.abs().max()), rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_explanation(trained, name) -> None:
    first, again = (explain(trained, name, batch_of(trained)) for _ in range(2))
    for one, other in ((first.maps, again.maps), (first.samples, again.samples), (first.sounds, again.sounds)):
        assert one is None or torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_as_it_was(trained, name, monkeypatch) -> None:
    network, copies = trained.network.train(), []
    before, gradients = copy.deepcopy(network.state_dict()), [one.grad for one in network.parameters()]
    copied = copy.deepcopy
    monkeypatch.setattr(copy, "deepcopy", lambda one, memo=None: copies.append(copied(one, memo)) or copies[-1])
    try:
        explain(trained, name, batch_of(trained, slice(4)))
        monkeypatch.undo()
        assert network.training
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
        assert all(one.requires_grad for one in network.parameters())
        assert all(one.grad is before for one, before in zip(network.parameters(), gradients, strict=True))
        watched = [network, trained.model._evaluated, *(one for one in copies if isinstance(one, nn.Module))]
        for module in (module for one in watched for module in one.modules()):
            assert not any(getattr(module, hooks) for hooks in HOOKS)
    finally:
        network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_its_promises(trained, name) -> None:
    promises, maps = method_of(name).promises, explain(trained, name, batch_of(trained)).maps
    if maps is not None:
        assert bool((maps < 0).any()) == ("signed" in promises)
    if "sums_to_standard" in promises:
        standard = attributor.heatmaps(trained.model, trained.inputs, trained.targets, trained.rules)
        assert (maps.sum(dim=1) - standard).abs().max() <= 1e-5 * standard.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_no_clip_is_no_mistake(trained, name) -> None:
    maps = explain(trained, name, batch_of(trained, slice(0))).maps
    assert maps is None or len(maps) == 0


@pytest.mark.parametrize("name", [name for name in NAMES if method_of(name).has_basis])
def test_several_states_at_once_equal_one_after_the_other(trained, name) -> None:
    states = [
        Subspaces(random_orthogonal(SIZE, torch.Generator().manual_seed(seed)), count)
        for seed, count in ((1, 2), (2, 4))
    ]
    several = explainers.across(name, trained.model, LAYER, SETTINGS, states, [1, 1])(batch_of(trained, slice(3)))
    for state, parts in zip(states, several, strict=True):
        alone = explainers.build(name, trained.model, LAYER, SETTINGS, state, 1)(batch_of(trained, slice(3)))
        assert torch.allclose(parts.maps, alone.maps, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if method_of(name).fitted_to == "pairs"])
def test_what_is_fitted_to_pairs_is_an_ordered_basis_that_the_named_causes_alone_change(name) -> None:
    def found(seed: int = 0, pairs: int = 0) -> Subspaces:
        generator = torch.Generator().manual_seed(pairs)
        activations = torch.rand(400, SIZE, generator=generator)
        contexts = torch.randn(400, SIZE, generator=generator)
        job = Job(
            "fit", results=Path("results"), dataset="d", config=SETTINGS | {"seed": seed}, layer=LAYER, method=name, k=K
        )
        material = Material(job, ClassInfo("a", "a", 0), activations, contexts)
        subspaces = explainers.family(name).find(name, material)
        relevance = subspaces.relevance(activations, contexts).mean(dim=0)
        assert (relevance.diff() <= 1e-6).all()
        assert torch.allclose(subspaces.basis.T @ subspaces.basis, torch.eye(SIZE), atol=1e-4)
        return subspaces

    first = found()
    assert torch.equal(found().basis, first.basis)
    if "seed" not in method_of(name).depends_on:
        assert torch.equal(found(seed=1).basis, first.basis)
    if "pairs" not in method_of(name).depends_on:  # they decide the order alone
        assert matched(affinity(first, found(pairs=1))).tolist() == pytest.approx([1] * K, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if not method_of(name).has_basis])
def test_several_states_have_a_seed_each(trained, name) -> None:
    layer = LAYER if method_of(name).layered else INPUT_LAYER
    states = [state_of(method_of(name), trained)] * 2
    several = explainers.across(name, trained.model, layer, SETTINGS, states, [1, 2])(batch_of(trained))
    for seed, parts in zip((1, 2), several, strict=True):
        assert torch.equal(parts.maps, explain(trained, name, batch_of(trained), seed=seed).maps)


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 0, 1, 32, 32), (1, 1, 1, 32, 32), (2, 1, 1, 32, 31)])
def test_maps_that_do_not_lie_on_the_grid_are_refused(trained, monkeypatch, shape) -> None:
    made = SimpleNamespace(build=lambda *arguments: lambda batch: Parts(torch.zeros(shape)))
    monkeypatch.setattr(explainers, "family", lambda method: made)
    explainer = explainers.build("noise~0", trained.model, INPUT_LAYER, SETTINGS, None, 0)
    with pytest.raises(EarmarkError, match=r"noise~0 gave maps .* must be \[2, K, 1, 32, 32\]"):
        explainer(batch_of(trained, slice(0, 2)))


def test_noise_differs_from_clip_to_clip_and_from_seed_to_seed(trained) -> None:
    control = next(name for name in NAMES if method_of(name).control and not method_of(name).layered)
    maps = explain(trained, control, batch_of(trained)).maps
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps, explain(trained, control, batch_of(trained), seed=2).maps)
