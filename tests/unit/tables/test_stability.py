"""Choosing K and layer: what tables and warnings make of known affinities and objectives."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from earmark.explainers.subspaces import basis, drsa, refits
from earmark.explainers.subspaces.basis import Subspaces
from earmark.stages.stability import COLUMNS, HELD_OUT_COLUMNS
from earmark.statistics import ALL, Clusters, Interval
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import stability
from earmark.tables.labels import At
from earmark.tables.stability import Key
from earmark.tables.study import Study

AT = At("conv4", "drsa", 2)
MISSING = At("conv5", "drsa", 2)
CLASSES = ["nan", "wind"]
RANDOM = 0.55
SEEDS = {("nan", 1): [0.97, 0.99, 0.98], ("nan", 2): [0.5, 0.95, 0.6], ("wind", 1): [1.0] * 3, ("wind", 2): [1.0] * 3}


CONFIG = {
    "grid": {"layers": ["conv4", "conv5"], "methods": ["drsa"], "k": [2]},
    "stability": {"methods": ["drsa"]},
    "evaluate": {"bootstrap": 200},
    "explain": {"classes": []},
    "seed": 0,
}


def sums(cls: str, which: str, group: str, objective: float, clips: int) -> list[Any]:
    """Sum over 16 pairs a clip, all alike and of energy 1, whose relevance is the objective.

    Without products nothing is added inside the roots of eq. 2.19.
    """
    pairs = 16 * clips
    return [cls, which, group, clips, pairs, pairs, pairs, 0, *[pairs * objective**2] * 2]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    source = SimpleNamespace(classes=[SimpleNamespace(slug=cls, name=cls) for cls in CLASSES])
    study = Study(Layout(tmp_path, "demo"), source, CONFIG, "main")
    folder = study.method(AT)
    rows = [
        [cls, concept, "seed", draw, value, RANDOM]
        for (cls, concept), values in SEEDS.items()
        for draw, value in enumerate(values, start=1)
    ]
    rows += [[cls, concept, "bootstrap", "1", 0.6, RANDOM] for cls, concept in SEEDS]  # a single draw
    artifacts.write_csv(folder / "stability.csv", COLUMNS, rows, {})
    held_out = [
        *(sums("nan", "training", str(group), 1.0, 4) for group in range(3)),
        *(sums("nan", "validation", str(group), 0.8, 3) for group in range(3)),
        sums("wind", "training", "0", 2.0, 4),
    ]
    columns = (*HELD_OUT_COLUMNS, "relevance1", "relevance2")
    artifacts.write_csv(folder / "held_out.csv", columns, held_out, {})
    return study


@pytest.fixture
def measures(study: Study) -> stability.Measures:
    return stability.measure(study)


def test_means_over_draws_have_students_interval(measures) -> None:
    found = measures[Key(AT, "nan", "affinity_seed", "1")]
    assert found.n == 3
    assert found.interval.estimate == pytest.approx(0.98)
    assert found.interval.low == pytest.approx(0.98 - 4.302653 * 0.01 / math.sqrt(3))  # t with 2 degrees of freedom
    assert found.interval.high == 1  # no affinity is greater
    mean = measures[Key(AT, ALL, "affinity_seed")]
    assert mean.interval.estimate == pytest.approx(sum(map(sum, SEEDS.values())) / 12)
    assert mean.n == 3
    single = measures[Key(AT, "nan", "affinity_bootstrap", "1")]
    assert math.isnan(single.interval.low) and single.unstable is None


def test_unstable_is_what_is_not_clearly_above_random(measures) -> None:
    assert stability.unstable(measures) == {AT: [Key(AT, "nan", "affinity_seed", "2")]}
    level = RANDOM + stability.MARGIN * (1 - RANDOM)
    for low, expected in ((level - 0.01, True), (level + 0.01, False)):
        assert stability.Measured(Interval(0.9, low, 1.0), 5, RANDOM).unstable is expected
    control = {key._replace(at=At("conv4", "random~0", 2)): value for key, value in measures.items()}
    assert stability.unstable(control) == {}  # that they are unstable is no news
    alone = stability.Measured(stability.mean_interval([1 - 1e-7] * 5), 5, 1.0)  # K = 1
    assert alone.unstable is False


def test_rows_name_concepts_and_leave_what_is_missing_empty(measures) -> None:
    rows = [
        dict(zip(stability.COLUMNS, row, strict=True)) for row in stability.written([AT, MISSING], CLASSES, measures)
    ]
    flags = {
        (row["cls"], row["concept"]): row["unstable"]
        for row in rows
        if (row["layer"], row["metric"]) == ("conv4", "affinity_seed")
    }
    assert flags == {
        (ALL, ""): "",
        ("nan", ""): "",
        ("nan", "1"): "no",
        ("nan", "2"): "yes",
        ("wind", ""): "",
        ("wind", "1"): "no",
        ("wind", "2"): "no",
    }
    held_out = {row["cls"]: row for row in rows if (row["layer"], row["metric"]) == ("conv4", "objective_held_out")}
    assert [held_out["nan"][name] for name in ("estimate", "low", "high", "n")] == ["0.8", "0.8", "0.8", 9]
    assert [held_out["wind"][name] for name in ("estimate", "low", "high", "n")] == ["", "", "", 0]
    empty = [row for row in rows if row["layer"] == "conv5"]
    assert {row["metric"] for row in empty} == set(stability.METRICS)
    assert all((row["estimate"], row["n"], row["concept"], row["random"]) == ("", 0, "", "") for row in empty)


def test_the_report_warns_first_and_in_plain_words(study, measures) -> None:
    text = stability.report(study, measures)
    warning, rest = text.split("A concept is a subspace", 1)
    assert "- drsa at conv4, K = 2, nan: seed 2" in warning
    assert "wind" not in warning
    assert "| nan | 2 | 0.683 [0.096, 1.000] **unstable** | 0.600 | 0.550 |" in rest
    assert "| nan | 1.000 | 0.800 [0.800, 0.800] |" in rest
    assert "| wind | 2.000 | – |" in rest
    assert rest.split("## drsa at conv5, K = 2")[1].strip() == "Not computed."
    calm = stability.write("t", [AT], CLASSES, {key: value for key, value in measures.items() if key.concept != "2"})
    assert "Warning" not in calm


def test_nothing_asked_for_is_said(study: Study) -> None:
    nothing = dataclasses.replace(study, config=CONFIG | {"stability": {"methods": []}})
    measures = stability.measure(nothing)
    assert list(stability.rows(nothing, measures)) == []
    text = stability.report(nothing, measures)
    assert text == (
        "# Stability: demo, main\n\nNot computed: `stability.methods` in the configuration names no method.\n"
    )


def test_the_objective_is_pooled_from_its_sums() -> None:
    generator = torch.Generator().manual_seed(3)
    activations, contexts = torch.rand(90, 8, generator=generator), torch.randn(90, 8, generator=generator)
    found = Subspaces(basis.random_orthogonal(8, generator).float(), 4)
    groups, clips = np.repeat(["a", "b", "c"], 30), np.arange(90) // 10
    rows = list(refits.sums(found, activations, contexts, clips, groups))
    assert [row[:3] for row in rows] == [["a", 3, 30], ["b", 3, 30], ["c", 3, 30]]
    expected = drsa.objective(drsa.normalise(activations), drsa.normalise(contexts), found.basis, 4)
    assert float(stability.pooled(np.sum([row[2:] for row in rows], axis=0))) == pytest.approx(
        float(expected), rel=1e-5
    )
    assert np.isnan(stability.pooled(np.zeros(8)))


def test_intervals_resample_whole_groups() -> None:
    rng = np.random.default_rng(0)
    table = np.column_stack([np.ones((40, 4)), rng.uniform(0, 2, (40, 2))])
    classes = np.repeat([0, 1], 20)

    def bounds(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return np.array(stability._bounded(values, Clusters.of(groups, classes), 200, 0)).T

    estimate, low, high = bounds(np.tile(table[:1], (40, 1)), np.arange(40))
    assert low == pytest.approx(high) and len(low) == 3  # equal pairs leave nothing to resample
    estimate, low, high = bounds(table, np.arange(40))
    assert (low < estimate).all() and (estimate < high).all()
    assert estimate[2] == pytest.approx(estimate[:2].mean()) and high[2] - low[2] < (high - low)[:2].max()
    assert np.isnan(bounds(table, np.zeros(40))[1:]).all()
    _, low, _ = bounds(table, np.concatenate([np.zeros(20), np.arange(20)]))  # class 0 is one recording
    assert np.isnan(low).tolist() == [True, False, True]


def test_what_is_written_reads_back(study: Study, measures) -> None:
    rows = [list(map(str, row)) for row in stability.rows(study, measures)]
    table = pd.DataFrame(rows, columns=stability.COLUMNS)
    found = stability.affinities(table[(table["cls"] == "nan") & (table["layer"] == "conv4")])
    assert list(found) == ["1", "2"] and list(found["2"]) == ["seed", "bootstrap"]
    interval, random, unstable = found["2"]["seed"]
    assert (interval.estimate, random, unstable) == (pytest.approx(2.05 / 3, rel=1e-5), RANDOM, True)
    assert math.isnan(found["2"]["bootstrap"][0].low) and found["2"]["bootstrap"][2] is False
