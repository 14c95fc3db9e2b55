"""What is told of trainings: made-up losses, of which it is known who lies below whom."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from earmark.explainers.interpreters.learning import columns
from earmark.figures.curves import interpreter_curves
from earmark.plan.config import fill
from earmark.plan.methods import methods
from earmark.stages import learn
from earmark.statistics import Clusters, bootstrap, standard_errors
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import interpreters
from earmark.tables.labels import At
from earmark.tables.study import Study

OF_MASKS = methods(lambda one: one.family == "lmac")
TRAINED = next(one.name for one in OF_MASKS if one.is_trained)
UNTRAINED = next(one.name for one in OF_MASKS if not one.is_trained)
AT = At(INPUT_LAYER, TRAINED, 1)
GROUPS, PER_GROUP = 10, 4


def written(study: Study, rivals: dict[str, list[float]]) -> None:
    """Write the results of a training whose loss is 1 on every clip, and those of rivals, of all clips or the first."""
    folder = study.layout.trained("main", TRAINED)
    names = columns({"loss": 0})
    artifacts.write_csv(folder / "history.csv", names, [[1, 3.0, 2.5, 1], [2, 2.0, 1.5, 1], [3, 1.0, 1.7, 0]], {})
    artifacts.write_csv(folder / "cost.csv", ("clips", "epochs", "parameters", "seconds"), [(64, 3, 1234, 56.5)], {})
    rows = [
        (clip, f"{clip}.wav", f"g{clip // PER_GROUP}", what, loss)
        for what, losses in {interpreters.OWN: [1.0] * GROUPS * PER_GROUP, **rivals}.items()
        for clip, loss in enumerate(losses)
    ]
    artifacts.write_csv(folder / "validation.csv", ("clip", "path", "group", "what", "loss"), rows, {})


def losses_of(mean: float, spread: float, count: int = GROUPS * PER_GROUP) -> list[float]:
    """Make losses that are alike within a group."""
    return [mean + spread * (-1) ** (clip // PER_GROUP) for clip in range(count)]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    settings = {"grid": {"methods": [TRAINED]}, "evaluate": {"bootstrap": 400}}
    source = SimpleNamespace(classes=[SimpleNamespace(slug="tone", name="tone")])
    return Study(Layout(tmp_path, "demo"), source, fill(settings) | {"seed": 0}, "main")  # type: ignore[arg-type]


def test_the_name_of_its_own_row_is_that_which_the_stage_writes() -> None:
    assert interpreters.OWN == learn.OWN


def test_a_training_is_told_with_its_kept_epoch(study: Study) -> None:
    written(study, {})
    told = interpreters.measure(study)[AT].told
    assert told == {"epochs": 3, "best_epoch": 2, "parameters": 1234, "training_clips": 64, "training": 56.5}


def test_a_lead_counts_in_standard_errors_of_groups(study: Study) -> None:
    written(study, {"far": losses_of(3.0, 0.5), "near": losses_of(1.1, 1.0)})
    found = interpreters.measure(study)[AT]
    far, near = found.rivals["far"], found.rivals["near"]
    assert far.difference.estimate == pytest.approx(-2)
    assert far.difference.low < -2 < far.difference.high < -1.5
    assert far.errors == pytest.approx(2 / (0.5 / math.sqrt(GROUPS)), rel=0.15)  # of clips it would be twice as many
    assert 0 < near.errors < interpreters.MARGIN
    assert found.below == ["far"]
    assert "does **not** lie below that of `near`" in interpreters.report(study, {AT: found})


def test_whoever_lies_below_all_that_learned_nothing_is_said_to(study: Study) -> None:
    written(study, {"one": losses_of(3.0, 0.1), "zero": losses_of(4.0, 0.0), UNTRAINED: losses_of(0.5, 0.1, 8)})
    found = interpreters.measure(study)
    assert found[AT].trivial.keys() == {"one", "zero"}  # what explains need not be beaten
    assert found[AT].rivals[UNTRAINED].clips == 8 and found[AT].rivals[UNTRAINED].groups == 2
    assert found[AT].rivals["zero"].errors == math.inf
    assert "below that of all 2 by more than 2 standard errors" in interpreters.report(study, found)
    rows = {(row[0], row[5]): row for row in interpreters.rows(study, found)}
    assert all(len(row) == len(interpreters.COLUMNS) for row in rows.values())
    assert rows[interpreters.OWN, interpreters.BELOW][6] == "1"
    assert rows[UNTRAINED, f"{interpreters.LOSS} - {UNTRAINED}"][6] == "0.5"


def test_of_one_group_nothing_is_claimed(study: Study) -> None:
    written(study, {"one": losses_of(9.0, 0.0, PER_GROUP)})
    found = interpreters.measure(study)
    assert math.isnan(found[AT].rivals["one"].errors)
    assert found[AT].below == []


def test_what_is_not_there_is_empty_and_what_nobody_asked_for_is_not_there(study: Study) -> None:
    rows = list(interpreters.rows(study, interpreters.measure(study)))
    assert len(rows) == len(interpreters.METRICS) and all(row[6] == "" for row in rows)
    assert interpreters.report(study, {}).count("–") == len(interpreters.TRAINING)
    study.config["grid"]["methods"] = ["standard"]
    assert list(interpreters.rows(study, interpreters.measure(study))) == []
    assert "grid.methods" in interpreters.report(study, {})


def test_the_figure_has_a_panel_of_each_training_and_a_line_of_each_rival(study: Study) -> None:
    written(study, {"one": losses_of(3.0, 0.1), "zero": losses_of(4.0, 0.0)})
    path = study.layout.tables / "interpreters.csv"
    artifacts.write_csv(path, interpreters.COLUMNS, interpreters.rows(study, interpreters.measure(study)), {})
    rivals = interpreters.losses(artifacts.read_csv(path))
    assert rivals == {TRAINED: {"one": pytest.approx(3), "zero": pytest.approx(4)}}
    history = artifacts.read_csv(study.layout.trained("main", TRAINED) / "history.csv").astype(float).to_dict("list")
    figure = interpreter_curves({TRAINED: history}, rivals, "Trainings")
    (axis,) = figure.axes
    labels = [line.get_label() for line in axis.lines]
    assert labels == ["train", "validation", "kept", "one", "zero"]
    assert axis.lines[2].get_xydata().tolist() == [[2, 1.5]]


def test_standard_errors_are_half_as_wide_as_the_interval_is_to_either_side() -> None:
    values = np.random.default_rng(0).normal(size=(200, 2))
    clusters = Clusters.of(np.arange(200))
    for interval, error in zip(bootstrap(values, clusters), standard_errors(values, clusters), strict=True):
        assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(error, rel=0.1)
