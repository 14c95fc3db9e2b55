"""Information of concepts on places: the definition, its gradient, what the search must never do, planted cases."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from earmark.data.dataset import ClassInfo
from earmark.errors import EarmarkError
from earmark.explainers.subspaces import drsa, info, pairs, rotations
from earmark.explainers.subspaces.affinity import affinity, matched
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.info import NothingRelevant, Places, neighbourhood_mean
from earmark.explainers.subspaces.pairs import Material, window_of
from earmark.job import Job
from earmark.lrp import attributor
from earmark.metrics.overlap import apart
from earmark.plan import config
from tests.unit.explainers.subspaces.test_drsa import planted as planted_pairs

GRIDS = [(), (7,), (4, 5)]


def grids(count: int, size: int, grid: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(count, size, *grid, generator=generator, dtype=torch.float64).clamp_min(0)
    return activations, activations * 0.5 + torch.randn(count, size, *grid, generator=generator, dtype=torch.float64)


def by_definition(activations: Tensor, contexts: Tensor, basis: Tensor, n_subspaces: int, width: int) -> Tensor:
    """Section by section: relevance, its mean around each position, shares, and the two entropies."""
    blocks = Subspaces(basis, n_subspaces).blocks  # [K, D, d]
    ours, theirs = (torch.einsum("kdi,bd...->kbi...", blocks, part) for part in (activations, contexts))
    relevance = (ours * theirs).sum(dim=2)  # [K, B, *g]
    whole = (activations * contexts).sum(dim=1)  # [B, *g]
    grid = whole.shape[1:]
    reach = range(-(width // 2), width // 2 + 1)
    shares, weights = [], []
    for clip, *place in itertools.product(range(len(whole)), *map(range, grid)):
        sums, total = torch.zeros(n_subspaces, dtype=basis.dtype), 0.0
        for steps in itertools.product(reach, repeat=len(grid)):
            at = [position + step for position, step in zip(place, steps, strict=True)]
            if all(0 <= position < length for position, length in zip(at, grid, strict=True)):
                sums = sums + relevance[(slice(None), clip, *at)]
                total += float(whole[(clip, *at)])
        shares.append(sums.clamp_min(0) / width ** len(grid))
        weights.append(max(total / width ** len(grid), 0.0))
    known = torch.tensor(weights, dtype=basis.dtype)
    table = torch.stack(shares) + 1e-3 * known[known > 0].median()
    table, known = (table / table.sum(dim=1, keepdim=True))[known > 0], known[known > 0] / known.sum()
    overall = (known.unsqueeze(1) * table).sum(dim=0)
    return -(overall * overall.log()).sum() + (known.unsqueeze(1) * table * table.log()).sum()


@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_objective_and_its_gradient_are_those_of_the_definition(grid: tuple[int, ...], width: int) -> None:
    activations, contexts = (drsa.normalise(part) for part in grids(4, 8, grid))
    places = Places(activations, contexts, 4, width)
    for seed in range(2):
        basis = random_orthogonal(8, torch.Generator().manual_seed(seed)).requires_grad_()
        value = by_definition(activations, contexts, basis, 4, width)
        (euclidean,) = torch.autograd.grad(value, basis)
        turned = basis.detach().T @ euclidean
        (point,) = places.points(basis.detach().unsqueeze(0))
        assert point.value == pytest.approx(value.item(), rel=1e-10)
        assert torch.allclose(point.gradient, (turned - turned.T) / 2, atol=1e-10)


def test_the_mean_around_a_position_is_its_own_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(2, 6, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    for width in (1, 3, 5, 9):
        there = float((neighbourhood_mean(one, 2, width) * other).sum())
        assert there == pytest.approx(float((one * neighbourhood_mean(other, 2, width)).sum()), rel=1e-10)


def test_the_objective_ignores_rotation_inside_a_subspace_order_and_scale() -> None:
    activations, contexts = grids(6, 8, (4, 4))
    basis = random_orthogonal(8, torch.Generator().manual_seed(2))
    inside = torch.block_diag(*(random_orthogonal(2, torch.Generator().manual_seed(s)) for s in range(4)))
    permuted = basis[:, torch.tensor([4, 5, 0, 1, 6, 7, 2, 3])]
    bases = torch.stack([basis, basis @ inside, permuted])
    values = [point.value for point in Places(activations, contexts, 4, 3).points(bases)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-10)
    scaled = Places(activations * 100, contexts * 1e-3, 4, 3).points(bases[:1])[0].value
    assert scaled == pytest.approx(values[0], rel=1e-10)


def planted(seed: int, n_subspaces: int = 4, count: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """Clips whose places belong to one cue each, in regions of the grid; every cue has directions of its own."""
    size, grid = 16, (8, 8)
    generator = torch.Generator().manual_seed(seed)
    basis = random_orthogonal(size, generator).float()
    blocks = Subspaces(basis, 4).blocks[:n_subspaces]  # [K, D, d]
    owner = torch.randint(n_subspaces, (count, 2, 2), generator=generator)
    owner = owner.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)  # [B, 8, 8]
    loud = torch.rand(n_subspaces, generator=generator) * 2 + 0.3
    strength = loud[owner] * torch.rand(count, *grid, generator=generator)
    vectors = torch.randn(count, *grid, 4, generator=generator)
    cue = torch.einsum("bhwdi,bhwi->bdhw", blocks[owner], vectors) * strength.unsqueeze(1)
    noise = 0.05 * torch.randn(2, count, size, *grid, generator=generator)
    return cue + noise[0], cue + noise[1], basis


def test_planted_cues_are_recovered_and_more_often_than_by_eq_2_19() -> None:
    recovered = {"info": 0, "drsa": 0}
    for seed in range(4):
        activations, contexts, basis = planted(seed)
        places = Places(drsa.normalise(activations), drsa.normalise(contexts), 4, 3)
        (truth,) = places.points(basis.double().unsqueeze(0))
        found = info.fit(activations, contexts, 4)
        assert found.objective > 0.94 * truth.value
        other = drsa.fit(places.activations, places.contexts, 4)
        for name, one in (("info", found), ("drsa", other)):
            recovered[name] += float(matched(affinity(one, Subspaces(basis, 4))).min()) > 0.95
    assert recovered["info"] >= 3 > recovered["drsa"]


@pytest.mark.parametrize("active", [1, 2])
def test_what_eq_2_19_recovers_without_a_grid_is_recovered(active: int) -> None:
    for seed in range(8):
        activations, contexts, basis = planted_pairs(seed, active)
        found = info.fit(activations, contexts, 4)
        assert float(matched(affinity(found, Subspaces(basis, 4))).mean()) > 0.95


def test_the_objective_never_falls_and_the_best_start_is_kept() -> None:
    activations, contexts = (part.float() for part in grids(30, 16, (6, 6)))
    found = info.fit(activations, contexts, 4, n_restarts=3)
    assert found.starts == ("drsa", "random 1", "random 2", "random 3")
    for course, reached in zip(found.history, found.restarts, strict=True):
        assert all(later >= earlier for earlier, later in pairwise(course))
        assert reached == course[-1]
    assert found.objective == max(found.restarts) <= math.log(4)
    assert torch.allclose(found.basis.T @ found.basis, torch.eye(16), atol=1e-5)
    normalised = drsa.normalise(activations), drsa.normalise(contexts)
    (point,) = Places(*normalised, 4, 3).points(found.basis.double().unsqueeze(0))
    assert point.value == pytest.approx(found.objective, rel=1e-5)
    places = Places(*normalised, 4, 3)
    (start,) = places.points(info._start(places, 0).double().unsqueeze(0))
    assert found.restarts[0] >= start.value


def test_more_starts_are_never_worse_and_the_same_call_gives_the_same() -> None:
    activations, contexts = (part.float() for part in grids(20, 8, (5, 5), seed=5))
    few, many, again = (info.fit(activations, contexts, 4, n_restarts=count) for count in (1, 4, 4))
    assert many.restarts[:2] == pytest.approx(few.restarts, rel=1e-5)
    assert many.objective >= few.objective * (1 - 1e-6)
    assert torch.equal(many.basis, again.basis)


def test_a_sample_of_the_clips_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def ascend(problems: Any, *options: Any) -> Any:
        asked.append([problem.n_pairs for problem, _ in problems])
        return rotations.ascend(problems, *options)

    monkeypatch.setattr(info, "ascend", ascend)
    activations, contexts, basis = planted(1, count=200)
    found = info.fit(activations, contexts, 4)
    assert float(matched(affinity(found, Subspaces(basis, 4))).min()) > 0.95
    info.fit(activations[:3], contexts[:3], 4, n_restarts=1)  # too few to divide
    assert asked == [[50 * 64, 200 * 64], [3 * 64]]


@pytest.mark.parametrize("n_cues", [1, 2, 3])
def test_as_many_concepts_are_in_effect_as_there_are_cues(n_cues: int) -> None:
    """A cue is one direction, loud and quiet: of several, places can be told apart by which of them speaks."""
    generator = torch.Generator().manual_seed(0)
    directions = random_orthogonal(16, generator).float().T[:n_cues]  # [cues, D]
    owner = torch.randint(n_cues, (60, 2, 2), generator=generator)
    owner = owner.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)  # [B, 8, 8]
    strength = torch.rand(60, 8, 8, generator=generator) + 0.2
    clear = (directions[owner] * strength.unsqueeze(3)).movedim(3, 1)  # [B, D, 8, 8]
    activations, contexts = (clear + 0.02 * torch.randn(2, *clear.shape, generator=generator)).unbind()
    found = info.fit(activations, contexts, 4)
    ours, theirs = (torch.einsum("kdi,bdhw->bkihw", found.blocks, part) for part in (activations, contexts))
    told = apart((ours * theirs).sum(dim=2).unsqueeze(2))  # [B, K, 1, h, w]
    assert told.number == pytest.approx(n_cues, abs=0.4)
    assert told.empty or told.twins  # four concepts are too many


@pytest.mark.parametrize("n_subspaces", [1, 8])
def test_one_concept_and_as_many_as_channels(n_subspaces: int) -> None:
    activations, contexts = (part.float() for part in grids(20, 8, (5, 5)))
    found = info.fit(activations, contexts, n_subspaces, n_restarts=1)
    assert torch.allclose(found.basis.T @ found.basis, torch.eye(8), atol=1e-5)
    if n_subspaces == 1:
        assert found.objective == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
def test_few_places_are_told(grid: tuple[int, ...]) -> None:
    activations, contexts = (part.float() for part in grids(1, 64, grid, seed=3))
    found = info.fit(activations, activations + 0 * contexts, 4, n_restarts=1)
    assert torch.isfinite(found.basis).all()
    (warning,) = found.warnings
    assert "64 channels" in warning


def test_dead_channels_change_nothing() -> None:
    activations, contexts, _ = planted(2)
    dead = torch.zeros(len(activations), 4, *activations.shape[2:])
    found = info.fit(torch.cat([activations, dead], dim=1), torch.cat([contexts, dead], dim=1), 4, n_restarts=2)
    assert torch.isfinite(found.basis).all()
    alone = info.fit(activations, contexts, 4, n_restarts=2)
    assert found.objective == pytest.approx(alone.objective, rel=0.02)


def test_nothing_relevant_is_an_error() -> None:
    activations, contexts = grids(4, 8, (4, 4))
    with pytest.raises(NothingRelevant):
        info.fit(activations, -activations, 4)
    with pytest.raises(NothingRelevant):
        info.fit(activations, 0 * contexts, 4)


def test_bad_input_is_one_sentence() -> None:
    activations, contexts = grids(4, 8, (4, 4))
    with pytest.raises(EarmarkError, match="K must divide"):
        info.fit(activations, contexts, 3)
    with pytest.raises(EarmarkError, match=r"\[B, D, \*g\]"):
        info.fit(activations, contexts[:, :4], 4)
    with pytest.raises(EarmarkError, match="not 2"):
        info.fit(activations, contexts, 4, neighbourhood=2)
    with pytest.raises(EarmarkError, match="no clips"):
        info.fit(activations[:0], contexts[:0], 4)
    contexts[0, 0, 0, 0] = math.nan
    with pytest.raises(EarmarkError, match="not finite"):
        info.fit(activations, contexts, 4)


SETTINGS = {
    "seed": 0,
    "lrp": config.fill({})["lrp"],
    "explainers": {"info": {**config.fill({})["explainers"]["info"], "restarts": 1}},
}


def material(monkeypatch: pytest.MonkeyPatch, vectors: tuple[Tensor, Tensor]) -> Material:
    """A class whose grids are known."""
    job = Job("fit", Path("results"), "demo", SETTINGS, split="main", layer="conv2", method="info", k=4)
    monkeypatch.setattr(info, "opened", lambda job: (None, None, None))
    monkeypatch.setattr(info, "grids_of", lambda *given: vectors)
    return Material(job, ClassInfo("a", "Class A", 0), torch.empty(0, 8), torch.empty(0, 8), np.arange(6))


def test_a_class_without_positive_relevance_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    activations, _ = grids(6, 8, (4, 4))
    with pytest.raises(EarmarkError, match=r"^Class A has no positive relevance at conv2 of demo/main: "):
        info.find("info", material(monkeypatch, (activations, -activations)))


def test_few_places_are_warned_of_where_the_fit_is_written(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    activations, contexts = (part[:1, :, :2, :2] for part in grids(6, 8, (4, 4)))
    caplog.set_level("WARNING")
    found = info.find("info", material(monkeypatch, (activations, activations + 0 * contexts)))
    assert found.warnings == (caplog.messages[0].removeprefix("a at conv2: "),)
    assert "fewer than the layer's 8 channels" in found.warnings[0]


@pytest.mark.parametrize(
    ("grid", "window"), [((8, 8), (8, 8)), ((64, 40), (32, 32)), ((40, 20), (32, 20)), ((8000,), (1024,)), ((), ())]
)
def test_fine_grids_are_cut(grid: tuple[int, ...], window: tuple[int, ...]) -> None:
    assert window_of(grid) == window


def test_windows_lie_anywhere_and_hold_what_is_there(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "WINDOW", 64)
    source = SimpleNamespace(inputs=lambda clips: trained.inputs[clips])
    clips = np.arange(20)
    cls = ClassInfo("rows", "rows", 0)
    cut = pairs.grids_of(trained.model, source, clips, cls, "conv1", trained.rules, 3)
    targets = torch.zeros(20, dtype=torch.long)
    whole = attributor.pairs_at(trained.model, trained.inputs[:20], targets, "conv1", trained.rules)
    assert cut[0].shape == cut[1].shape == (20, 8, 8, 8)
    places = set()
    for clip in range(20):
        inside = whole[0][clip].unfold(1, 8, 1).unfold(2, 8, 1)  # [D, x, y, 8, 8]
        alike = (inside == cut[0][clip][:, None, None]).all(dim=(0, 3, 4))
        assert alike.any()
        places.add(tuple(torch.nonzero(alike)[0].tolist()))
    assert len(places) > 10
    again = pairs.grids_of(trained.model, source, clips, cls, "conv1", trained.rules, 3)
    assert torch.equal(cut[1], again[1])
