"""The oracle finds what is there to be found, and knows no less than where it starts from."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

from earmark.data.dataset import ClassInfo
from earmark.errors import EarmarkError
from earmark.explainers.subspaces import oracle, pairs
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.oracle import Separation, Units
from earmark.explainers.subspaces.pairs import Material
from earmark.job import Job
from earmark.metrics.objects import information


def planted(size: int, n_objects: int, count: int, seed: int) -> tuple[Units, torch.Tensor]:
    """Units whose every object has a block of directions of its own, turned by a random rotation."""
    generator = torch.Generator().manual_seed(seed)
    basis = random_orthogonal(size, generator)
    width = size // n_objects
    owner = torch.randint(n_objects, (count,), generator=generator)
    vectors = torch.zeros(count, size, dtype=torch.float64)
    for unit, place in enumerate(owner.tolist()):
        block = slice(place * width, (place + 1) * width)
        vectors[unit, block] = torch.randn(width, generator=generator, dtype=torch.float64)
    activations = (vectors @ basis.T).float()
    shares = torch.nn.functional.one_hot(owner, n_objects).float()
    return Units(activations, activations.clone(), shares), basis


def told(units: Units, basis: torch.Tensor, n_subspaces: int) -> float:
    """Information of a basis on the objects of units, by the definition."""
    found = Subspaces(basis.double(), n_subspaces).relevance(units.activations.double(), units.contexts.double())
    return float(information(found.clamp_min(0).T @ units.shares.double()))


def test_it_finds_planted_objects_from_anywhere() -> None:
    units, basis = planted(8, 4, 1000, 0)
    assert told(units, basis, 4) > 0.999
    starts = [random_orthogonal(8, torch.Generator().manual_seed(seed)) for seed in range(4)]
    found = oracle.search(units, starts, 4, 200)
    assert found.objective > 0.95
    identity = torch.eye(8)
    assert torch.allclose(found.basis.T @ found.basis, identity, atol=1e-5)


def test_it_is_at_least_as_good_as_every_start() -> None:
    generator = torch.Generator().manual_seed(1)
    units = Units(
        torch.rand(500, 6, generator=generator),
        torch.randn(500, 6, generator=generator),
        torch.rand(500, 3, generator=generator),
    )
    starts = [random_orthogonal(6, generator) for _ in range(5)]
    found = oracle.search(units, starts, 3, 5)
    reached = [told(units, start, 3) for start in starts]
    assert len(found.restarts) == len(found.history) == 5
    assert all(after >= before - 1e-6 for before, after in zip(reached, found.restarts, strict=True))
    assert found.objective == max(found.restarts)
    assert told(units, found.basis, 3) == pytest.approx(found.objective, abs=1e-4)
    more = oracle.search(units, [*starts, torch.eye(6)], 3, 5)
    assert more.objective >= found.objective


def test_relevance_on_objects_is_a_sum_over_units() -> None:
    units, _ = planted(4, 2, 50, 3)
    basis = random_orthogonal(4, torch.Generator().manual_seed(0)).float()
    wanted = torch.zeros(2, 2)
    for a, c, shares in zip(units.activations, units.contexts, units.shares, strict=True):
        for k in range(2):
            block = basis[:, 2 * k : 2 * k + 2]
            wanted[k] += torch.relu((a @ block) @ (c @ block)) * shares
    assert torch.allclose(Separation(units, 2).on_objects(basis.unsqueeze(0))[0], wanted, rtol=1e-4)


def test_closed_form_gradient_is_that_of_autograd() -> None:
    generator = torch.Generator().manual_seed(2)
    parts = [torch.randn(60, 8, generator=generator, dtype=torch.float64) for _ in range(2)]
    units = Units(*parts, torch.rand(60, 3, generator=generator, dtype=torch.float64))
    for _ in range(3):
        basis = random_orthogonal(8, generator).requires_grad_()
        found = Subspaces(basis, 4).relevance(*parts)
        value = information(found.clamp_min(0).T @ units.shares)
        (euclidean,) = torch.autograd.grad(value, basis)
        turned = basis.detach().T @ euclidean
        (point,) = Separation(units, 4).points(basis.detach().unsqueeze(0))
        assert point.value == pytest.approx(value.item(), rel=1e-12)
        assert torch.allclose(point.gradient, (turned - turned.T) / 2, atol=1e-12)


def test_subspaces_must_fit_the_layer() -> None:
    units, basis = planted(8, 4, 10, 0)
    with pytest.raises(EarmarkError, match="K must divide"):
        oracle.search(units, [basis], 3, 5)


def test_what_all_classes_share_is_opened_once_per_job(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    for name in ("dataset", "predictions", "models"):
        monkeypatch.setattr(pairs, name, types.SimpleNamespace(of=lambda job, name=name: opened.append(name)))
    monkeypatch.setattr(oracle, "training_clips", lambda *_: [])
    monkeypatch.setattr(oracle, "collect", lambda *_: planted(8, 4, 50, 0)[0])
    settings = {"explainers": {"oracle": {"units": 50, "starts": 1, "iterations": 2}}, "seed": 0}
    vectors = torch.rand(20, 8), torch.rand(20, 8)
    for number in (1, 2):
        job = Job("fit", Path("results"), "d", settings, layer="conv1", method="oracle", k=4)
        for index, slug in enumerate("abc"):
            oracle.find("oracle", Material(job, ClassInfo(slug, slug, index), *vectors))
        assert opened == number * ["dataset", "predictions", "models"]
