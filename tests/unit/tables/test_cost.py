"""What was spent, per clip: sums over classes and seeds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from earmark.plan.config import fill
from earmark.plan.methods import methods
from earmark.stages.explain import COST
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import cost
from earmark.tables.labels import At
from earmark.tables.study import Study

STANDARD, NOISE, SLOW = (At(INPUT_LAYER, name, 1) for name in ("standard", "noise", "occlusion"))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    settings = {"evaluate": {"masking": ["standard", "noise~0", "noise~1", "occlusion"]}}
    source = SimpleNamespace(classes=[SimpleNamespace(slug=name, name=name) for name in ("tone", "hum")])
    study = Study(Layout(tmp_path, "demo"), source, fill(settings) | {"seed": 0}, "main")  # type: ignore[arg-type]
    unexplained = {("occlusion", "tone"): 0.2}
    for method, rows in {
        "standard": [("tone", 2, 2, 2, 0.5), ("hum", 6, 6, 6, 3.5)],
        "noise~0": [("tone", 2, 0, 0, 0.1), ("hum", 6, 0, 0, 0.1)],
        "noise~1": [("tone", 2, 0, 0, 0.3), ("hum", 6, 0, 0, 0.3)],
        "occlusion": [("tone", 3, 300, 0, 6.0), ("hum", 0, 0, 0, 0.0)],
    }.items():
        path = study.layout.method("main", INPUT_LAYER, method, 1) / "cost.csv"
        artifacts.write_csv(path, COST, [(*row, "", unexplained.get((method, row[0]), "")) for row in rows], {})
    return study


def test_what_was_spent_is_told_per_clip_whatever_the_number_of_classes_and_seeds(study: Study) -> None:
    found = cost.measure(study)
    assert found[STANDARD, "tone"] == {"clips": 2, "passes": 2, "forward": 1, "backward": 1, "seconds": 0.25}
    assert found[STANDARD, ALL] == {"clips": 8, "passes": 2, "forward": 1, "backward": 1, "seconds": 0.5}
    assert found[NOISE, ALL]["clips"] == 8
    assert found[NOISE, ALL]["seconds"] == pytest.approx(0.8 / 16)
    assert found[SLOW, ALL] == {
        "clips": 3,
        "passes": 100,
        "forward": 100,
        "backward": 0,
        "seconds": 2.0,
        "unexplained": 0.2,
    }
    assert (SLOW, "hum") not in found


def test_every_row_of_the_table_has_its_place_and_its_number_of_clips(study: Study) -> None:
    rows = list(cost.rows(study, cost.measure(study)))
    assert all(len(row) == len(cost.COLUMNS) for row in rows)
    told = {(row[1], row[3], row[4]): (row[5], row[9]) for row in rows}
    assert len(told) == len(rows) == 3 * 3 * 4 + 2
    assert told["occlusion", ALL, "unexplained"] == told["occlusion", "tone", "unexplained"] == ("0.2", 3)
    assert told["occlusion", ALL, "passes"] == ("100", 3)
    assert told["occlusion", "hum", "seconds"] == ("", 0)


def test_people_see_the_cheapest_first_and_the_unknown_last(study: Study) -> None:
    (study.method(STANDARD) / "cost.csv").unlink()
    told = [line for line in cost.report(study, cost.measure(study)).splitlines() if line.startswith("| input")]
    assert [line.split(" | ")[1] for line in told] == ["noise", "occlusion", "standard"]
    assert told[1] == "| input | occlusion | 1 | 3 | 100 | 100 | 0 | 2 | 0.2 |"
    assert told[2].count("–") == 5


def test_a_training_is_told_of_methods_that_are_trained_alone(study: Study) -> None:
    assert cost.TRAINING not in cost.report(study, cost.measure(study))
    trained = methods(lambda one: one.is_trained and one.family == "lmac")[0].name
    study.config["evaluate"]["masking"].append(trained)
    artifacts.write_csv(
        study.method(At(INPUT_LAYER, trained, 1)) / "cost.csv", COST, [("tone", 2, 2, 0, 1.0, "", "")], {}
    )
    path = study.layout.trained("main", trained) / "cost.csv"
    artifacts.write_csv(path, ("clips", "epochs", "parameters", "seconds"), [(9, 3, 50, 12.5)], {})
    found = cost.measure(study)
    told = {(row[1], row[4]): row[5] for row in cost.rows(study, found) if row[3] == ALL}
    assert told[trained, cost.TRAINING] == "12.5"
    assert [method for method, metric in told if metric == cost.TRAINING] == [trained]
    lines = [line.split(" | ") for line in cost.report(study, found).splitlines() if line.startswith("| input")]
    assert {line[1]: line[-2] for line in lines}[trained] == "12.5"
    assert all(line[-2] == "–" for line in lines if line[1] != trained)


def test_nothing_is_made_of_nothing(study: Study) -> None:
    study.config["evaluate"]["masking"] = []
    assert list(cost.rows(study, cost.measure(study))) == []
    assert "evaluate.masking" in cost.report(study, {})
