"""What `recovery` reads from clips, concepts and objects of which everything is known."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from earmark.data.chosen import COLUMNS as CHOSEN_COLUMNS
from earmark.data.chosen import truth
from earmark.sound.logmel import LogMel
from earmark.stages import ablate, objects
from earmark.statistics import Clusters
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import ground_truth, recovery
from earmark.tables.labels import STANDARD, At, Label
from earmark.tables.study import Study
from tests.unit.metrics.test_objects import slow_information

FRONTEND = LogMel(sample_rate=16000, n_fft=256, hop=64, n_mels=16, n_frames=16)


def study_of(folder: Path) -> Study:
    return Study(Layout(folder, "demo"), SimpleNamespace(), {}, "main")


def objects_csv(study: Study, at: At) -> Path:
    path = study.method(at) / "objects.csv"
    path.parent.mkdir(parents=True)
    return path


def write(path: Path, table: dict[tuple[str, str, int], np.ndarray]) -> None:
    """Write the relevance ``[K, 1 + O]`` of every (set, class, clip); NaN for a silent object."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(objects.COLUMNS)
        for (which, cls, clip), relevance in table.items():
            for concept, sums in enumerate(relevance, start=1):
                for number, value in enumerate(sums):
                    if not math.isnan(value):
                        scores = ("", "") if number == 0 else (value / 10, -value)
                        writer.writerow([which, cls, clip, "p", f"g{clip}", 1.0, concept, number, 5, value, *scores])


def test_a_row_per_clip_concept_and_object_becomes_arrays(tmp_path: Path) -> None:
    first = np.array([[1.0, 2, 3], [4, 5, 6]])
    silent = np.array([[1.0, np.nan, 3], [4, np.nan, 6]])
    write(
        objects_csv(study_of(tmp_path), STANDARD),
        {("test", "nan", 7): first, ("test", "nan", 3): silent, ("validation", "nan", 1): first},
    )
    measured = ground_truth.read(study_of(tmp_path), STANDARD)
    assert measured is not None
    assert set(measured) == {"test", "validation"}
    found = measured["test"]
    assert found.index.tolist() == [("nan", 3), ("nan", 7)]
    assert found.group.tolist() == ["g3", "g7"]
    np.testing.assert_array_equal(found.relevance[1], first)
    np.testing.assert_array_equal(found.relevance[0], silent)
    assert found.accuracy[1].tolist() == pytest.approx(first[:, 1:] / 10)
    assert ground_truth.read(study_of(tmp_path), At("conv1", "none", 1)) is None


def test_concepts_are_assigned_on_validation_clips(tmp_path: Path) -> None:
    path = objects_csv(study_of(tmp_path), STANDARD)
    straight = np.array([[0.0, 9, 1], [0, 1, 9]])
    crossed = straight[::-1]
    write(path, {("validation", "a", 1): straight, ("test", "a", 2): straight, ("test", "a", 3): crossed})
    measured = ground_truth.read(study_of(tmp_path), STANDARD)
    assert measured is not None
    at = At("conv1", "drsa", 2)
    found = ground_truth.matched_values(at, measured["validation"], measured["test"])
    values = {label.text: value.tolist() for label, value in found.items()}
    assert values["capture"] == pytest.approx([0.9, 0.1])
    assert values["rank_accuracy object 2"] == pytest.approx([0.9, 0.1])
    assert values["si_sdr object 1"] == pytest.approx([-9, -1])


def test_an_object_taken_out_leaves_the_others_as_they_were() -> None:
    times = torch.arange(FRONTEND.clip_samples, dtype=torch.float64) / FRONTEND.sample_rate
    stems = torch.stack([0.5 * torch.sin(2 * math.pi * 700 * times), 0.2 * torch.sin(2 * math.pi * 3000 * times)])
    clip = stems.sum(dim=0)
    reduced = ablate.without(FRONTEND, clip, torch.cat([stems, torch.zeros(1, len(times))]))
    assert reduced.shape == (3, 1, 16, 16)
    assert torch.allclose(reduced[2], FRONTEND(clip[None])[0])
    alone = FRONTEND.compressed(FRONTEND.mel(stems[1:] / clip.abs().max()))
    assert torch.allclose(reduced[0], alone, atol=1e-4)
    with_both, without_first = FRONTEND(clip[None])[0, 0], reduced[0, 0]
    band = int((FRONTEND.frequencies - 3000).abs().argmin())
    assert torch.allclose(with_both[band], without_first[band], atol=0.05)


EVEN = np.array([[2.0, 1, 1], [2, 1, 1]])
APART = np.array([[2.0, 4, 0], [2, 0, 4]])
GRID = [At("conv1", "drsa", 2), At("conv1", "dsa", 2), At("conv1", "oracle", 2), At("conv1", "random", 2)]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """DRSA tells the objects of class a apart and those of b not at all; the oracle both; random neither."""
    layout = Layout(tmp_path, "demo")
    clips = {"a": range(4), "b": range(4, 8)}
    tables_of = {"drsa": {"a": APART, "b": EVEN}, "oracle": {"a": APART, "b": APART}}
    for method in ("drsa", "oracle", "random~0", "random~1"):
        path = layout.method("main", "conv1", method, 2) / "objects.csv"
        path.parent.mkdir(parents=True)
        table = {}
        for cls, numbers in clips.items():
            for which in ("validation", "test"):
                # backwards, to show that rows are found by their clip
                for number in reversed(numbers):
                    table[which, cls, number] = tables_of.get(method, {}).get(cls, EVEN)
        write(path, table)
    path = layout.method("main", "input", "standard", 1) / "objects.csv"
    path.parent.mkdir(parents=True)
    write(path, {(which, cls, n): EVEN[:1] for which in ("validation", "test") for cls in clips for n in clips[cls]})
    rows = [
        (which, cls, number, "p", f"g{number}", place, 10.0, 10.0 - place, 3)
        for which in ("validation", "test")
        for cls in clips
        for number in clips[cls]
        for place in (1, 2)
    ]
    artifacts.write_csv(layout.split("main") / "ablation.csv", ablate.COLUMNS, rows, {})
    looked_at = [(number, cls, 10.0, truth("test"), "") for cls in clips for number in clips[cls]]
    looked_at += [(100 + number, cls, -1.0, truth("test"), "why") for cls in clips for number in range(3)]
    artifacts.write_csv(layout.chosen("main"), CHOSEN_COLUMNS, looked_at, {})
    infos = [SimpleNamespace(slug=cls, name=cls) for cls in clips]
    divided = SimpleNamespace(train=[], test=[])
    source = SimpleNamespace(classes=infos, object_names=lambda info: ["low", "high"], split=lambda name: divided)
    return Study(layout, source, config(2, "drsa", "dsa", "oracle", "random~0", "random~1"), "main")


def config(k: int, *methods: str) -> dict[str, Any]:
    grid = {"layers": ["conv1"], "methods": list(methods), "k": [k]}
    return {"grid": grid, "explain": {"classes": []}, "evaluate": {"bootstrap": 50}, "networks": 1, "seed": 0}


def estimates(study: Study) -> dict[tuple[str, str, str], str]:
    rows = ground_truth.rows(study, ground_truth.measure(study))
    return {(row[1], row[3], row[4]): row[5] for row in rows}


def test_ground_truth_says_what_was_put_in(study: Study) -> None:
    found = estimates(study)
    for key, wanted in {
        ("drsa", "a", "nmi"): 1,
        ("drsa", "b", "nmi"): 0,
        ("drsa", "all", "nmi"): 0.5,
        ("drsa", "all", "nmi, validation"): 0.5,
        ("drsa", "all", "nmi / best"): 0.5,
        ("drsa", "a", "nmi - random"): 1,
        ("drsa", "all", "nmi - oracle"): -0.5,
        ("oracle", "all", "nmi / best"): 1,
        ("random", "all", "nmi"): 0,
        ("drsa", "a", "capture"): 1,
        ("random", "all", "capture"): 0.5,
        ("drsa", "all", "capture - random"): 0.25,
        ("standard", "all", "logit lost without object 2"): 2,
        ("standard", "a", "share background"): 0.5,
    }.items():
        assert float(found[key]) == pytest.approx(wanted, abs=1e-9), key
    assert ("oracle", "all", "nmi - drsa") not in found  # each difference once


def test_what_was_not_computed_is_there_and_empty(study: Study) -> None:
    rows = [row for row in ground_truth.rows(study, ground_truth.measure(study)) if row[1] == "dsa"]
    assert {row[4] for row in rows} >= {"nmi", "nmi / best", "capture", "si_sdr object 2", "nmi - random"}
    assert all(row[5] == "" for row in rows)
    (study.layout.method("main", "conv1", "random~1", 2) / "objects.csv").unlink()
    assert estimates(study)["random", "all", "nmi"] == ""  # half of its seeds are not its mean
    text = ground_truth.report(study, ground_truth.measure(study))
    assert "| conv1 | dsa | – |" in text or "not computed" in text
    assert "a 4 scored in 4 groups, 3 left out" in text
    (study.layout.split("main") / "ablation.csv").unlink()
    assert ground_truth.rows(study, ground_truth.measure(study)) == []
    assert "Not computed" in ground_truth.report(study, ground_truth.measure(study))


def test_differences_of_clips_are_tested_and_those_of_pools_bounded(study: Study) -> None:
    found = ground_truth.measure(study)
    assert found is not None
    tested = found.summaries[Label(GRID[0], "capture").less("random"), "a"]
    assert 0 < tested.p <= 1
    pooled = found.summaries[Label(GRID[0], "nmi").less("random"), "a"]
    assert math.isnan(pooled.p)
    assert pooled.interval.low <= pooled.interval.estimate <= pooled.interval.high


def test_one_concept_tells_nothing_and_breaks_nothing(study: Study) -> None:
    study = dataclasses.replace(study, config=config(1, "drsa", "oracle"))
    for at in study.grid:
        path = study.layout.method("main", "conv1", at.method, 1) / "objects.csv"
        path.parent.mkdir(parents=True)
        write(path, {(which, cls, n): EVEN[:1] for which in ("validation", "test") for cls, n in (("a", 1), ("b", 5))})
    found = ground_truth.measure(study)
    assert found is not None
    assert found.summaries[Label(study.grid[0], "capture"), "all"].n == 2  # of eight clips
    assert found.summaries[Label(study.grid[0], "nmi"), "all"].interval.estimate == pytest.approx(0)
    assert (Label(study.grid[0], "nmi / best"), "all") not in found.summaries


def test_recovery_says_which_concept_holds_which_object(study: Study) -> None:
    rows = list(recovery.rows(study, recovery.measure(study)))
    assert {row[1] for row in rows} == {"drsa", "oracle", "random"}  # the others lack results
    found = {(row[1], row[3], row[4], row[6]): float(row[7]) for row in rows}
    assert found["drsa", "a", 1, "low"] == found["drsa", "a", 2, "high"] == 1
    assert found["drsa", "a", 2, "low"] == found["drsa", "a", 1, "high"] == 0
    assert {found["random", "b", concept, name] for concept in (1, 2) for name in ("low", "high")} == {0.5}
    table = pd.DataFrame([list(map(str, row)) for row in rows], columns=recovery.COLUMNS)
    names, parts = recovery.matrix(table[(table["method"] == "drsa") & (table["cls"] == "a")])
    assert names == ["low", "high"] and parts.tolist() == [[1, 0], [0, 1]]
    (study.layout.split("main") / "ablation.csv").unlink()
    assert list(recovery.rows(study, recovery.measure(study))) == []


def test_the_interval_of_the_information_covers_its_value() -> None:
    generator = np.random.default_rng(0)
    law = np.array([[3.0, 1, 1, 1], [1, 3, 1, 1], [1, 1, 3, 1], [1, 1, 1, 3]])
    truth = slow_information(law)
    inside = 0
    for trial in range(100):
        per_clip = law * generator.gamma(1.0, size=(150, 4, 4))
        clusters = Clusters.of(range(150))
        interval, draws = ground_truth.pooled_interval(per_clip, clusters, 300, trial)
        inside += interval.low <= truth <= interval.high
        assert len(draws) == 300
        assert interval.low <= interval.estimate <= interval.high
    assert inside >= 85


def test_information_is_pooled_by_class_and_on_the_objects_of_each() -> None:
    generator = np.random.default_rng(0)
    table = np.full((40, 3, 4), np.nan)
    table[:20, :, :2] = generator.random((20, 3, 2))  # the first class knows two objects only
    table[20:] = generator.random((20, 3, 4))
    strata = np.repeat([0, 1], 20)
    interval, _ = ground_truth.pooled_interval(table, Clusters.of(range(40), strata), 50, 0)
    by_class = slow_information(table[:20, :, :2].sum(axis=0)), slow_information(table[20:].sum(axis=0))
    assert interval.estimate == pytest.approx(np.mean(by_class))
    single, _ = ground_truth.pooled_interval(table[:20], Clusters.of([0] * 20), 50, 0)
    assert single.estimate == pytest.approx(by_class[0])
    assert math.isnan(single.low)
