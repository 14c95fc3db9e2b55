"""Subspace analysis: gradient, invariances, what an optimiser must never do, and recovery of planted subspaces."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from earmark.errors import EarmarkError
from earmark.explainers.subspaces import drsa
from earmark.explainers.subspaces.baselines import pca, prca, random
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal


def pairs(
    count: int, size: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(count, size, generator=generator, dtype=dtype).clamp_min(0)
    return activations, activations * 0.5 + torch.randn(count, size, generator=generator, dtype=dtype)


def slow_objective(activations: np.ndarray, contexts: np.ndarray, basis: np.ndarray, n_subspaces: int) -> float:
    """Eq. 2.18 and 2.19 by loops."""
    size = activations.shape[1] // n_subspaces
    pooled = []
    for k in range(n_subspaces):
        block = basis[:, k * size : (k + 1) * size]
        squares = [
            max(0.0, float((block.T @ a) @ (block.T @ c))) ** 2 for a, c in zip(activations, contexts, strict=True)
        ]
        pooled.append(math.sqrt(sum(squares) / len(squares)))
    return (sum(value**0.5 for value in pooled) / n_subspaces) ** 2


@pytest.mark.parametrize("n_subspaces", [1, 2, 4, 8])
def test_objective_is_equation_2_19(n_subspaces: int) -> None:
    activations, contexts = pairs(50, 8)
    basis = random_orthogonal(8, torch.Generator().manual_seed(1))
    slow = slow_objective(activations.numpy(), contexts.numpy(), basis.numpy(), n_subspaces)
    assert float(drsa.objective(activations, contexts, basis, n_subspaces)) == pytest.approx(slow, rel=1e-5)
    dsa = slow_objective(activations.numpy(), activations.numpy(), basis.numpy(), n_subspaces)
    assert float(drsa.objective(activations, contexts, basis, n_subspaces, "dsa")) == pytest.approx(dsa, rel=1e-5)


def test_closed_form_gradient_is_that_of_autograd() -> None:
    activations, contexts = (drsa.normalise(part) for part in pairs(60, 8))
    problem = drsa.SoftMinimum(activations, contexts, 4)
    for seed in range(3):
        basis = random_orthogonal(8, torch.Generator().manual_seed(seed)).requires_grad_()
        value = drsa.objective(activations, contexts, basis, 4)
        (euclidean,) = torch.autograd.grad(value, basis)
        turned = basis.detach().T @ euclidean
        (point,) = problem.points(basis.detach().unsqueeze(0))
        assert point.value == pytest.approx(value.item(), rel=1e-12)
        assert torch.allclose(point.gradient, (turned - turned.T) / 2, atol=1e-12)


def test_objective_ignores_rotation_inside_a_subspace_and_their_order() -> None:
    activations, contexts = pairs(80, 8)
    basis = random_orthogonal(8, torch.Generator().manual_seed(2))
    value = float(drsa.objective(activations, contexts, basis, 4))
    inside = torch.block_diag(*(random_orthogonal(2, torch.Generator().manual_seed(s)) for s in range(4)))
    assert float(drsa.objective(activations, contexts, basis @ inside, 4)) == pytest.approx(value, rel=1e-12)
    permuted = basis[:, torch.tensor([4, 5, 0, 1, 6, 7, 2, 3])]
    assert float(drsa.objective(activations, contexts, permuted, 4)) == pytest.approx(value, rel=1e-12)


def degenerate(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    activations, contexts = pairs(40, 8, dtype=torch.float32)
    match kind:
        case "zero contexts":
            return activations, torch.zeros_like(contexts)
        case "zero activations":
            return torch.zeros_like(activations), contexts
        case "constant":
            return torch.ones_like(activations), torch.ones_like(contexts)
        case "fewer pairs than channels":
            return activations[:3], contexts[:3]
        case "one pair":
            return activations[:1], contexts[:1]
        case "no positive relevance":
            return activations, -activations
        case _:
            sparse = torch.zeros_like(activations)
            sparse[:, 0] = activations[:, 0]
            return sparse, sparse


@pytest.mark.parametrize(
    "kind",
    [
        "zero contexts",
        "zero activations",
        "constant",
        "fewer pairs than channels",
        "one pair",
        "no positive relevance",
        "one live channel",
    ],
)
def test_degenerate_pairs_give_finite_orthogonal_results(kind: str) -> None:
    activations, contexts = degenerate(kind)
    basis = random_orthogonal(8, torch.Generator().manual_seed(0)).float().requires_grad_()
    (gradient,) = torch.autograd.grad(drsa.objective(activations, contexts, basis, 4), basis)
    assert torch.isfinite(gradient).all()
    found = drsa.fit(activations, contexts, 4)
    assert torch.isfinite(found.basis).all()
    assert torch.allclose(found.basis.T @ found.basis, torch.eye(8), atol=1e-5)
    assert math.isfinite(found.objective)


def test_the_objective_never_falls_and_the_best_start_is_kept() -> None:
    activations, contexts = pairs(500, 16, dtype=torch.float32)
    found = drsa.fit(activations, contexts, 4)
    for course, reached in zip(found.history, found.restarts, strict=True):
        assert all(later >= earlier for earlier, later in pairwise(course))
        assert reached == course[-1]
    assert found.objective == max(found.restarts)
    normalised = drsa.normalise(activations), drsa.normalise(contexts)
    assert float(drsa.objective(*normalised, found.basis, 4)) == pytest.approx(found.objective, rel=1e-5)


def test_more_starts_are_never_worse() -> None:
    activations, contexts = pairs(300, 8, seed=5)
    few = drsa.fit(activations, contexts, 4, n_restarts=1)
    many = drsa.fit(activations, contexts, 4, n_restarts=5)
    assert many.restarts[:2] == pytest.approx(few.restarts, rel=1e-9)
    assert many.objective >= few.objective * (1 - 1e-9)


def test_result_does_not_depend_on_the_scale_of_the_pairs() -> None:
    activations, contexts = pairs(300, 8, seed=6)
    one = drsa.fit(activations, contexts, 4)
    other = drsa.fit(activations * 1e3, contexts * 1e-4, 4)
    assert other.objective == pytest.approx(one.objective, rel=1e-6)


def test_it_reaches_what_the_published_procedure_reaches() -> None:
    """Fixed unit step with autograd and eigendecomposition, 3 runs, fewer but converged steps on small pairs."""
    activations, contexts = (drsa.normalise(part) for part in pairs(200, 8, seed=7))
    best = 0.0
    for seed in range(3):
        basis = random_orthogonal(8, torch.Generator().manual_seed(100 + seed))
        for _ in range(600):
            basis.requires_grad_()
            (gradient,) = torch.autograd.grad(drsa.objective(activations, contexts, basis, 4), basis)
            stepped = (basis + gradient).detach()
            values, vectors = torch.linalg.eigh(stepped.T @ stepped)
            basis = stepped @ (vectors @ torch.diag(values**-0.5) @ vectors.T)
        best = max(best, float(drsa.objective(activations, contexts, basis, 4)))
    assert drsa.fit(activations, contexts, 4).objective >= best * (1 - 1e-5)


def planted(seed: int, active: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    size, n_subspaces, count = 16, 4, 4000
    generator = torch.Generator().manual_seed(seed)
    basis = random_orthogonal(size, generator).float()
    activations = (0.2 * torch.randn(count, size, generator=generator)).abs()
    contexts = 0.2 * torch.randn(count, size, generator=generator)
    blocks = Subspaces(basis, n_subspaces).blocks  # [K, D, d]
    for choice in torch.rand(count, n_subspaces, generator=generator).argsort(dim=1)[:, :active].T:
        part = (blocks[choice] @ torch.randn(count, 4, 1, generator=generator)).squeeze(2)
        activations, contexts = activations + part, contexts + part
    return activations, contexts, basis


def affinity(one: torch.Tensor, other: torch.Tensor, n_subspaces: int) -> float:
    """Matched mean of |U_k' V_l|^2 / d."""
    size = len(one)
    cosines = (one.T @ other).square().view(n_subspaces, size // n_subspaces, n_subspaces, -1).sum(dim=(1, 3))
    table = (cosines / (size // n_subspaces)).numpy()
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].mean())


@pytest.mark.parametrize("active", [1, 2])
def test_planted_subspaces_are_recovered(active: int) -> None:
    recovered = 0
    for seed in range(16):
        activations, contexts, basis = planted(seed, active)
        recovered += affinity(drsa.fit(activations, contexts, 4).basis, basis, 4) > 0.95
    assert recovered >= 14


def test_subspaces_are_ordered_by_true_relevance_whatever_the_method() -> None:
    activations, contexts = pairs(400, 8, seed=8)
    for found in (
        drsa.fit(activations, contexts, 4),
        drsa.fit(activations, contexts, 4, objective="dsa"),
        pca(activations.float(), 4).ordered(activations.float(), contexts.float()),
    ):
        mean = found.relevance(activations.to(found.basis.dtype), contexts.to(found.basis.dtype)).mean(dim=0)
        assert torch.equal(mean, mean.sort(descending=True).values)


def test_baselines_are_orthogonal_and_deterministic() -> None:
    activations, contexts = pairs(100, 8, dtype=torch.float32)
    for make in (
        lambda: random(8, 4, seed=3),
        lambda: pca(activations, 4),
        lambda: prca(activations, contexts, 4),
    ):
        found = make()
        assert torch.allclose(found.basis.T @ found.basis, torch.eye(8), atol=1e-5)
        assert torch.equal(found.basis, make().basis)
    leading = pca(activations, 8).basis[:, 0]
    _, _, right = np.linalg.svd(activations.numpy())
    assert abs(float(leading @ torch.from_numpy(right[0]))) == pytest.approx(1, abs=1e-4)
    top = prca(activations, contexts, 8).basis
    captured = Subspaces(top, 8).relevance(activations, contexts).sum(dim=0)
    assert torch.equal(captured, captured.sort(descending=True).values)


def test_bad_input_is_one_sentence() -> None:
    activations, contexts = pairs(20, 8)
    with pytest.raises(EarmarkError, match=r"K = 3 .* 8 channels"):
        drsa.fit(activations, contexts, 3)
    with pytest.raises(EarmarkError, match="unknown objective"):
        drsa.fit(activations, contexts, 4, objective="ica")
    with pytest.raises(EarmarkError, match=r"\[N, D\]"):
        drsa.fit(activations, contexts[:, :4], 4)
    with pytest.raises(EarmarkError, match="no pairs"):
        drsa.fit(activations[:0], contexts[:0], 4)
    contexts[0, 0] = math.nan
    with pytest.raises(EarmarkError, match="not finite"):
        drsa.fit(activations, contexts, 4)
