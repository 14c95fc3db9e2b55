"""Stability: affinities with known answers, what is drawn anew, and the stage as a whole."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.data.dataset import ClassInfo
from earmark.explainers.base import family
from earmark.explainers.subspaces import basis, drsa
from earmark.explainers.subspaces.affinity import RANDOM_PAIRS, affinity, expected_affinity, matched
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.pairs import Material, pairs_of
from earmark.explainers.subspaces.refits import Fitted, compared, kinds, resampled, seeds
from earmark.job import Job
from earmark.models import base as models
from earmark.plan import config
from earmark.stages import collect, fit, stability
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import stability as tables
from earmark.tables.stability import Measured
from tests.unit.conftest import FRONTEND, predicted, striped


def drawn(size: int, count: int, seed: int) -> Subspaces:
    return Subspaces(basis.random_orthogonal(size, torch.Generator().manual_seed(seed)), count)


def inside(found: Subspaces, seed: int) -> Subspaces:
    """Rotate a basis inside its subspaces."""
    width = len(found.basis) // found.n_subspaces
    parts = [drawn(width, 1, seed + number).basis for number in range(found.n_subspaces)]
    return Subspaces(found.basis @ torch.block_diag(*parts), found.n_subspaces)


def permuted(found: Subspaces, order: list[int]) -> Subspaces:
    return Subspaces(found.blocks[order].transpose(0, 1).reshape(found.basis.shape), found.n_subspaces)


def test_affinity_is_the_mean_squared_cosine_of_principal_angles() -> None:
    first, second = drawn(12, 3, 0), drawn(12, 3, 1)
    found = affinity(first, second)
    for k, ours in enumerate(first.blocks):
        for other, theirs in enumerate(second.blocks):
            cosines = np.linalg.svd((ours.T @ theirs).numpy(), compute_uv=False)
            assert float(found[k, other]) == pytest.approx(float(np.mean(cosines**2)))
    assert torch.allclose(found.sum(dim=0), torch.ones(3).double())  # the K subspaces together are everything


def test_equal_subspaces_have_affinity_1_whatever_their_axes_and_order() -> None:
    found = drawn(16, 4, 2)
    assert torch.allclose(affinity(found, inside(found, 10)), torch.eye(4).double(), atol=1e-12)
    again = permuted(inside(found, 20), [2, 0, 3, 1])
    assert torch.allclose(matched(affinity(found, again)), torch.ones(4).double(), atol=1e-12)
    other = drawn(16, 4, 3)
    assert torch.allclose(
        matched(affinity(found, permuted(other, [3, 1, 0, 2]))), matched(affinity(found, other)), atol=1e-12
    )


def test_one_concept_found_again_among_others_is_told_by_its_own_value() -> None:
    found = drawn(16, 4, 4)
    rest = drawn(12, 3, 5).basis
    mixed = torch.cat([found.basis[:, :4], found.basis[:, 4:] @ rest], dim=1)
    values = matched(affinity(found, Subspaces(mixed, 4)))
    assert float(values[0]) == pytest.approx(1)
    assert float(values[1:].max()) < 0.9


@pytest.mark.parametrize(("size", "count"), [(8, 2), (16, 4), (16, 16)])
def test_random_subspaces_have_the_expected_affinity(size: int, count: int) -> None:
    level = expected_affinity(size, count, 0)
    assert 1 / count < level < 1  # matching gains on the plain mean 1 / K
    pairs = [(drawn(size, count, 2 * seed), drawn(size, count, 2 * seed + 1)) for seed in range(150)]
    values = np.array([float(matched(affinity(*pair)).mean()) for pair in pairs])
    error = 4 * values.std() * np.sqrt(1 / 150 + 1 / RANDOM_PAIRS)
    assert values.mean() == pytest.approx(level, abs=error)


def test_a_single_subspace_is_always_itself() -> None:
    assert expected_affinity(8, 1, 0) == pytest.approx(1)


def test_whole_clips_are_drawn_with_replacement() -> None:
    clips = torch.tensor([7, 3, 7, 9, 3, 7, 9, 12])
    rows_of = {clip: torch.nonzero(clips == clip).squeeze(1).tolist() for clip in (3, 7, 9, 12)}
    seen = set()
    for seed in range(50):
        rows = resampled(clips, torch.Generator().manual_seed(seed))
        times = {clip: (clips[rows] == clip).sum().item() / len(rows_of[clip]) for clip in rows_of}
        assert sum(times.values()) == 4  # as many clips as there are
        for clip, count in times.items():
            assert sorted(rows[clips[rows] == clip].tolist()) == sorted(rows_of[clip] * int(count))
        seen.add(tuple(times.values()))
    assert len(seen) > 10
    assert any(0 in times for times in seen) and any(2 in times for times in seen)


def planted(clips: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs that each lie in one of two subspaces of four channels, 10 per clip."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.rand(10 * clips, 8, generator=generator)
    first = torch.rand(10 * clips, 1, generator=generator) < 0.5
    vectors = vectors * torch.where(first, torch.arange(8) < 4, torch.arange(8) >= 4)
    return vectors, vectors.clone(), torch.arange(clips).repeat_interleave(10)


SETTINGS = {
    "seed": 0,
    "explainers": {"drsa": {"restarts": 1, "max_iterations": 100, "tolerance": 1e-5}},
    "stability": {"draws": 4},
}


def fitted(activations, contexts, clips, method="drsa", k=2) -> Fitted:
    job = Job("stability", Path("results"), "demo", SETTINGS, layer="conv1", method=method, k=k)
    material = Material(job, ClassInfo("a", "a", 0), activations, contexts)
    return Fitted(family(method).find(method, material), material, clips)


def mean_affinity(one: Fitted, kind: str) -> float:
    rows = [row for row in compared(one, 0.5) if row[2] == kind]
    assert [row[3] for row in rows] == [str(draw) for draw in range(1, 5) for _ in range(one.found.n_subspaces)]
    return float(np.mean([row[4] for row in rows]))


def test_planted_subspaces_are_stable_and_noise_is_not() -> None:
    plain = fitted(*planted(60))
    generator = torch.Generator().manual_seed(1)
    noise = fitted(
        torch.randn(600, 8, generator=generator),
        torch.randn(600, 8, generator=generator),
        torch.arange(60).repeat_interleave(10),
    )
    level = expected_affinity(8, 2, 0)
    for kind in ("seed", "bootstrap"):
        assert mean_affinity(plain, kind) > 0.95
    assert mean_affinity(noise, "bootstrap") < level + 0.6 * (1 - level)
    assert mean_affinity(plain, "bootstrap") > mean_affinity(noise, "bootstrap") + 0.2


def test_a_method_is_only_tried_by_what_it_depends_on() -> None:
    assert kinds("drsa") == kinds("dsa") == ["seed", "bootstrap"]
    assert kinds("pca") == kinds("prca") == ["bootstrap"]
    assert kinds("random~3") == ["seed"]
    pairs = planted(30)
    for method in ("pca", "prca"):  # indeed they know no seed
        one = fitted(*pairs, method)
        assert torch.equal(one.again(seed=5).basis, one.found.basis)
    one = fitted(*pairs, "random~0")
    assert float(matched(affinity(one.found, one.again(torch.arange(50)))).min()) == pytest.approx(1)
    values = [float(matched(affinity(one.found, draw.found)).mean()) for draw in seeds(one)]
    assert np.mean(values) == pytest.approx(expected_affinity(8, 2, 0), abs=0.15)


CLASSES = ("rows", "columns")
METHODS = ("drsa", "info", "random~0")
COLUMNS = "clip path class group fold set offset samples recording_offset recording_samples recording".split()


@pytest.fixture(scope="module")
def results(tmp_path_factory, trained) -> Path:
    """A data set of stripes with the shared network, its concepts at a layer, and how stable these are."""
    folder = tmp_path_factory.mktemp("results")
    layout = Layout(folder, "stripes")
    inputs, targets = striped(120, torch.Generator().manual_seed(7))
    rows = [
        [clip, f"{clip}.wav", CLASSES[target], clip // 2, clip // 2 % 10, "main", 0, 1, 0, 1, clip]
        for clip, target in enumerate(targets.tolist())
    ]
    artifacts.write_csv(layout.clip_index, COLUMNS, rows, {})
    artifacts.write_csv(layout.classes, ["slug", "name", "recordings"], [[cls, cls, 60] for cls in CLASSES], {})
    manifest = ["path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason"]
    artifacts.write_csv(
        layout.manifest, manifest, [[row[1], row[2], "", 0, 1.0, 16000, "", "", ""] for row in rows], {}
    )
    np.save(layout.clips, np.zeros(1, np.int16))
    artifacts.write_tensors(layout.logmel, {"logmel": inputs}, {}, clip_samples=1)
    architecture = {"name": "cnn", "filters": [8, 8, 16], "dense": [12], "n_classes": 2, "input_shape": [32, 32]}
    network = copy.deepcopy(trained.network).float()
    models.save(layout.model("main"), network, architecture, CLASSES, dataclasses.asdict(FRONTEND), {})
    predicted(layout)
    collect.run(Job("collect", folder, "stripes", CONFIG, split="main", layer="conv2", gpu=0))
    for method in METHODS:
        fit.run(Job("fit", folder, "stripes", CONFIG, split="main", layer="conv2", method=method, k=2, gpu=0))
    for method in METHODS:
        stability.run(
            Job("stability", folder, "stripes", CONFIG, split="main", layer="conv2", method=method, k=2, gpu=0)
        )
    return folder


CONFIG = {
    **config.fill(
        {
            "pairs": {"clips": 20, "positions": 16},
            "explainers": {
                "drsa": {"restarts": 1, "max_iterations": 100},
                "info": {"clips": 20, "restarts": 1, "max_iterations": 100},
            },
            "stability": {"draws": 2},
        }
    ),
    "seed": 0,
}


def read(results: Path, method: str, name: str) -> list[dict[str, str]]:
    return artifacts.read_rows(Layout(results, "stripes").method("main", "conv2", method, 2) / name)


@pytest.mark.parametrize("method", ["drsa", "info"])
def test_the_stage_writes_a_row_per_class_concept_kind_and_draw(results: Path, method: str) -> None:
    rows = read(results, method, "stability.csv")
    assert tuple(rows[0]) == stability.COLUMNS
    keys = [(row["cls"], row["concept"], row["kind"], row["draw"]) for row in rows]
    draws = [("seed", "1"), ("seed", "2"), ("bootstrap", "1"), ("bootstrap", "2")]
    assert sorted(keys) == sorted((cls, str(n), *draw) for cls in CLASSES for n in (1, 2) for draw in draws)
    assert all(0 <= float(row["affinity"]) <= 1 + 1e-6 and row["random"] == rows[0]["random"] for row in rows)
    assert {row["kind"] for row in read(results, "random~0", "stability.csv")} == {"seed"}


def objectives(results: Path) -> dict[tuple[str, str], Measured]:
    path = Layout(results, "stripes").method("main", "conv2", "drsa", 2) / "held_out.csv"
    return tables.objectives(artifacts.read_csv(path), CLASSES, 100, 0)


def test_held_out_pairs_are_those_of_validation_clips(results: Path) -> None:
    rows = read(results, "drsa", "held_out.csv")
    assert tuple(rows[0]) == (*stability.HELD_OUT_COLUMNS, "relevance1", "relevance2")
    assert {(row["cls"], row["set"]) for row in rows} == {(c, s) for c in CLASSES for s in ("training", "validation")}
    held_out = [row for row in rows if row["set"] == "validation"]
    assert all(int(row["pairs"]) == 16 * int(row["clips"]) for row in held_out)
    assert sum(int(row["clips"]) for row in held_out) <= 12  # fold 2 of ten
    assert {int(row["group"]) % 10 for row in held_out} == {2}
    found, layout = objectives(results), Layout(results, "stripes")
    for metric in (tables.TRAINING, tables.HELD_OUT):
        values = [found[cls, metric].interval.estimate for cls in CLASSES]
        assert found["all", metric].interval.estimate == pytest.approx(np.mean(values))
    for cls in CLASSES:
        folder, reached = layout.concept("main", "conv2", "drsa", 2, cls), found[cls, tables.TRAINING].interval.estimate
        pairs, _ = artifacts.read_tensors(layout.pairs("main", "conv2", cls))
        vectors = (drsa.normalise(pairs[name].double()) for name in ("activations", "contexts"))
        exact = drsa.objective(*vectors, basis.load(folder).basis.double(), 2)
        assert reached == pytest.approx(float(exact))
        report = json.loads((folder / "fit.json").read_text())
        assert float(exact) == pytest.approx(report["drsa_objective"], rel=1e-5)  # in single precision
        estimate, low, high = found[cls, tables.HELD_OUT].interval
        assert low <= estimate <= high


def test_a_class_without_recognised_validation_clips_has_empty_cells(results: Path, monkeypatch) -> None:

    def some(model, data, clips, cls, *rest):
        return pairs_of(model, data, clips[:0] if cls.slug == "rows" else clips, cls, *rest)

    monkeypatch.setattr(stability, "pairs_of", some)
    layout = Layout(results, "stripes")
    folder = layout.method("main", "conv2", "drsa", 2)
    before = (folder / "held_out.csv").read_bytes()
    stability.run(Job("stability", results, "stripes", CONFIG, split="main", layer="conv2", method="drsa", k=2, gpu=0))
    found = objectives(results)
    assert np.isnan(found["rows", tables.HELD_OUT].interval).all() and found["rows", tables.HELD_OUT].n == 0
    assert found["rows", tables.TRAINING].interval.estimate > 0
    over_all, of_columns = (found[cls, tables.HELD_OUT] for cls in ("all", "columns"))
    assert (over_all.interval, over_all.n) == (of_columns.interval, of_columns.n)
    assert found["all", tables.TRAINING].interval.estimate == found["columns", tables.TRAINING].interval.estimate
    (folder / "held_out.csv").write_bytes(before)
