"""Choosing K and layer: what the tables, the warnings and the figure make of known affinities and objectives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from earmark.figures.scores import choice
from earmark.stages.stability import COLUMNS, HELD_OUT_COLUMNS
from earmark.statistics import ALL, Interval
from earmark.store import artifacts
from earmark.tables import stability
from earmark.tables.stability import Key
from earmark.tables.summary import At

AT = At("conv4", "drsa", 2)
MISSING = At("conv5", "drsa", 2)
CLASSES = ["nan", "wind"]
RANDOM = 0.55
SEEDS = {("nan", 1): [0.97, 0.99, 0.98], ("nan", 2): [0.5, 0.95, 0.6], ("wind", 1): [1.0] * 3, ("wind", 2): [1.0] * 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        [cls, concept, "seed", draw, value, RANDOM, ""]
        for (cls, concept), values in SEEDS.items()
        for draw, value in enumerate(values, start=1)
    ]
    rows += [[cls, concept, "split", "cv0", 0.6, RANDOM, 0.8] for cls, concept in SEEDS]  # a single draw
    artifacts.write_csv(tmp_path / "stability.csv", COLUMNS, rows, {})
    held_out = [
        ["nan", 1.0, 0.8, 0.7, 0.9, 9, 144],
        ["wind", 2.0, "", "", "", 0, 0],
        ["all", 1.0, 0.8, 0.7, 0.9, 9, 144],
    ]
    artifacts.write_csv(tmp_path / "held_out.csv", HELD_OUT_COLUMNS, held_out, {})
    return tmp_path


@pytest.fixture
def measures(folder: Path) -> stability.Measures:
    return stability.read({AT: folder, MISSING: folder / "nowhere"})


def test_means_over_draws_have_students_interval(measures) -> None:
    found = measures[Key(AT, "nan", "affinity_seed", "1")]
    assert found.n == 3
    assert found.interval.estimate == pytest.approx(0.98)
    assert found.interval.low == pytest.approx(0.98 - 4.302653 * 0.01 / math.sqrt(3))  # t with 2 degrees of freedom
    assert found.interval.high == 1  # no affinity is greater
    mean = measures[Key(AT, ALL, "affinity_seed")]
    assert mean.interval.estimate == pytest.approx(sum(map(sum, SEEDS.values())) / 12)
    assert mean.n == 3
    single = measures[Key(AT, "nan", "affinity_split", "1")]
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
    rows = [dict(zip(stability.COLUMNS, row, strict=True)) for row in stability.rows([AT, MISSING], CLASSES, measures)]
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
    assert [held_out["nan"][name] for name in ("estimate", "low", "high", "n")] == ["0.8", "0.7", "0.9", 9]
    assert [held_out["wind"][name] for name in ("estimate", "low", "high", "n")] == ["", "", "", 0]
    empty = [row for row in rows if row["layer"] == "conv5" or row["metric"] == "affinity_bootstrap"]
    assert {row["metric"] for row in empty if row["layer"] == "conv5"} == set(stability.METRICS)
    assert all((row["estimate"], row["n"], row["concept"], row["random"]) == ("", 0, "", "") for row in empty)


def test_the_report_warns_first_and_in_plain_words(measures) -> None:
    text = stability.report("Stability: demo", [AT, MISSING], CLASSES, measures)
    warning, rest = text.split("A concept is a subspace", 1)
    assert "- drsa at conv4, K = 2, nan: seed 2" in warning
    assert "wind" not in warning
    assert "| nan | 2 | 0.683 [0.096, 1.000] **unstable** | 0.600 | 0.550 |" in rest
    assert "| nan | 1.000 | 0.800 [0.700, 0.900] |" in rest
    assert "| wind | 2.000 | – |" in rest
    assert rest.split("## drsa at conv5, K = 2")[1].strip() == "Not computed."
    calm = stability.report("t", [AT], CLASSES, {key: value for key, value in measures.items() if key.concept != "2"})
    assert "Warning" not in calm


def test_nothing_asked_for_is_said() -> None:
    assert list(stability.rows([], CLASSES, {})) == []
    text = stability.report("Stability: demo", [], CLASSES, stability.read({}))
    assert text == ("# Stability: demo\n\nNot computed: `stability.methods` in the configuration names no method.\n")


def test_the_figure_shows_what_is_known_and_names_what_is_not(measures) -> None:
    fair = {AT: Interval(0.3, 0.2, 0.4), At("conv5", "drsa", 4): Interval(0.5, 0.4, 0.6)}
    grid = [At(layer, "drsa", k) for k in (2, 4) for layer in ("conv4", "conv5")]
    panels = stability.panels(grid, measures, fair, {})
    figure = choice(panels, ["conv4", "conv5"], "title")
    shown = {axis.get_title().split("\n")[0]: [text.get_text() for text in axis.texts] for axis in figure.axes}
    assert shown == {
        "objective on validation pairs": [],
        "fair score, test clips (not to choose by)": [],
        "information on objects, validation clips": ["not computed"],
        "affinity over seeds": [],
        "affinity over resampled clips": ["not computed"],
        "affinity over splits": [],
    }
    fair_axis = figure.axes[1]
    assert "not computed" not in [
        text.get_text()
        for axis in choice(stability.panels(grid, measures, fair, {AT: Interval(0.1, 0.0, 0.2)}), ["conv4"], "").axes
        for text in axis.texts
        if "information" in axis.get_title()
    ]
    heights = [float(line.get_ydata()[0]) for line in fair_axis.lines if line.get_marker() == "o"]
    assert heights == [0.3, 0.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["K = 2", "K = 4"]
    levels = [float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert levels == [1.0]  # on the training pairs
