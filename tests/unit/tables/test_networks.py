"""Methods over several networks: means, intervals over networks, wins and p-values of known estimates."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from earmark.data.chosen import SCORED
from earmark.statistics import ALL, Interval, exact_sign_flip, students
from earmark.tables import networks
from earmark.tables.labels import LEVELS, STANDARD, At, Label
from earmark.tables.networks import measure, report, rows
from earmark.tables.summary import Summary

METHODS = ["drsa", "dsa", "oracle"]
PLACES = [At("conv3", method, 4) for method in METHODS]


class Recipe(SimpleNamespace):
    """A study of several networks whose estimates are made up."""

    def of_network(self, split: str) -> Recipe:
        return Recipe(**{**vars(self), "split": split})


def recipe(count: int) -> Recipe:
    names = ["main", *(f"net{number}" for number in range(1, count))]
    layout = SimpleNamespace(dataset="demo")
    return Recipe(
        networks=names,
        split="main",
        judged=PLACES,
        grid=PLACES,
        levels=LEVELS,
        slugs=["a"],
        without={},
        methods=METHODS,
        ks=[4],
        layout=layout,
        over_grid=lambda methods: [at for at in PLACES if at.method in methods],
        left_out=lambda use: {"a": 3 if use == SCORED else None},
    )


VALUES = {
    "nmi": {
        "drsa": [0.3, 0.2, 0.4, 0.3, 0.25, 0.35],
        "dsa": [0.1, 0.25, 0.1, 0.1, 0.1, 0.1],
        "oracle": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    },
    "thesis": {
        "drsa": [0.4, 0.5, 0.6, 0.4, 0.5, 0.6],
        "dsa": [0.5, 0.6, 0.7, 0.5, 0.6, 0.7],
        "oracle": [0.1] * 6,
    },
}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def estimates(study: Any) -> dict[tuple[Label, str], Summary]:
        place = study.networks.index(study.split)
        return {
            (Label(at, metric), cls): Summary(Interval(of[at.method][place], math.nan, math.nan), 20 - place)
            for metric, of in VALUES.items()
            for at in PLACES
            for cls in ("a", ALL)
        } | {(Label(STANDARD, "thesis"), "a"): Summary(Interval(0.9, math.nan, math.nan), 20)}

    monkeypatch.setattr(networks, "_judged", estimates)


def test_intervals_are_over_networks(judged: None) -> None:
    found = measure(recipe(6)).found
    plain = found[Label(PLACES[0], "nmi"), "a"]
    values = np.array(VALUES["nmi"]["drsa"])
    assert plain.interval == pytest.approx(students(values))
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert plain.interval == pytest.approx((values.mean(), low, high))
    assert plain.n == 15
    difference = found[Label(PLACES[0], "nmi").less("dsa"), ALL]
    assert difference.interval.estimate == pytest.approx((values - VALUES["nmi"]["dsa"]).mean())


def test_wins_count_networks_and_ceilings_do_not_compete(judged: None) -> None:
    found = measure(recipe(6)).found
    assert found[Label(PLACES[0], "nmi"), "a"].wins == 5
    assert found[Label(PLACES[1], "nmi"), "a"].wins == 1
    assert found[Label(PLACES[2], "nmi"), "a"].wins == 6
    assert found[Label(PLACES[0], "thesis"), "a"].wins == 6  # lower is better
    assert found[Label(PLACES[0], "nmi").less("dsa"), "a"].wins == 5


def test_p_values_need_six_networks(judged: None) -> None:
    six = measure(recipe(6)).found[Label(PLACES[0], "thesis").less("dsa"), "a"]
    assert six.p == pytest.approx(2 / 64)
    five = measure(recipe(5)).found[Label(PLACES[0], "thesis").less("dsa"), "a"]
    assert math.isnan(five.p)
    assert exact_sign_flip([1.0, 1.0, -1.0]) == 1.0
    assert exact_sign_flip([3.0, 1.0]) == 0.5


def test_the_table_says_over_how_many_networks(judged: None) -> None:
    study = recipe(6)
    measured = measure(study)
    written = list(rows(study, measured))  # type: ignore[arg-type]
    assert {row[-2] for row in written} == {6}
    assert all(len(row) == len(networks.COLUMNS) for row in written)
    text = report(study, measured)  # type: ignore[arg-type]
    assert "Means over 6 networks" in text
    assert "| conv3 | drsa - dsa |" in text
    assert "| input | standard |" in text
    assert "| conv3 | drsa - standard |" in text
    assert {row[-3] for row in written} == {3}  # left out
    assert ", 5/6" in text


def test_one_network_is_said_to_be_one(judged: None) -> None:
    study = recipe(1)
    measured = measure(study)  # type: ignore[arg-type]
    assert not list(rows(study, measured))  # type: ignore[arg-type]
    assert "One network" in report(study, measured)  # type: ignore[arg-type]
