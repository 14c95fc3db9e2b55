"""Ratings of panels whose true opinions are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from earmark.metrics.ratings import (
    ASSUMED,
    LEVEL,
    Spread,
    compared,
    first_found,
    interval,
    of_listeners,
    p_values,
    paired,
    pairs,
    power,
    screened,
    spread_of,
)
from earmark.statistics import holm
from tests.unit.panel import SPREAD, TRUE, scores

PANELS = 200
CLASS = TRUE["class"]


@pytest.mark.parametrize("listeners", [5, 20])
def test_intervals_cover_the_true_points_and_differences_at_their_rate(listeners: int) -> None:
    """Also of five listeners, of whom a bootstrap would cover some 83 %."""
    covered = dict.fromkeys((*CLASS, "difference"), 0)
    for seed in range(PANELS):
        table = paired(scores(listeners, 2, seed, CLASS))
        for name, true in CLASS.items():
            found = interval(of_listeners(table[name]))
            covered[name] += found.low <= true <= found.high
        found = interval(of_listeners(table["info"] - table["standard"]))
        covered["difference"] += found.low <= 10 <= found.high
    assert all(0.90 <= count / PANELS <= 0.99 for count in covered.values()), covered
    assert 0.93 <= np.mean(list(covered.values())) / PANELS <= 0.97


@pytest.mark.parametrize(("listeners", "size"), [(5, 20), (20, 5)])
def test_the_power_that_is_told_is_that_of_panels(listeners: int, size: float) -> None:
    """What a listener and a clip add to all conditions, which the prediction leaves out, cancels."""
    spread = Spread(8.0, 12.0)
    true = {"a": 40.0 + size, "b": 40.0, "standard": 40.0, "cells~0": 40.0}
    asked = list(pairs(["a", "b"], "standard", "cells~0"))
    found = [
        compared(paired(scores(listeners, 4, seed, true, spread)), asked)["a", "cells~0"][1] < LEVEL
        for seed in range(PANELS)
    ]
    predicted = power(spread, listeners, 4, 2, size)
    noise = math.sqrt(predicted * (1 - predicted) * (1 / PANELS + 1 / 2000))
    assert abs(np.mean(found) - predicted) <= 3 * noise + 0.01


def test_tables_of_p_values_are_adjusted_at_once_as_one_by_one() -> None:
    p = np.random.default_rng(0).random((500, 5)) ** 4
    assert first_found(p).tolist() == [bool(holm(one)[0] < LEVEL) for one in p]
    assert 0 < first_found(p).mean() < 1


def test_power_grows_with_listeners_clips_and_the_difference_and_is_small_where_there_is_none() -> None:
    assert power(ASSUMED, 10, 9, 3, 0.0) < LEVEL / 2
    grown = [power(ASSUMED, 5, 9, 3, 10), power(ASSUMED, 10, 9, 3, 10), power(ASSUMED, 20, 9, 3, 10)]
    assert grown == sorted(grown) and grown[2] > grown[0] + 0.3
    assert power(ASSUMED, 10, 3, 3, 10) < power(ASSUMED, 10, 30, 3, 10)
    assert power(ASSUMED, 10, 9, 3, 5) < power(ASSUMED, 10, 9, 3, 20)
    assert power(ASSUMED, 10, 9, 8, 10) < power(ASSUMED, 10, 9, 0, 10)  # more comparisons, a lower level for each
    assert power(ASSUMED, 10, 9, 3, 10) == power(ASSUMED, 10, 9, 3, 10)


def test_one_error_in_twenty_panels_is_the_most_where_nothing_differs() -> None:
    asked = list(pairs(["a", "b"], "standard", "cells~0"))
    same = dict.fromkeys(("a", "b", "standard", "cells~0"), 50.0)
    wrong = [
        min(p for _, p in compared(paired(scores(8, 2, seed, same)), asked).values()) < LEVEL for seed in range(100)
    ]
    assert np.mean(wrong) <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 100)


def test_the_spread_of_ratings_is_found_again() -> None:
    found = [spread_of(paired(scores(20, 6, seed, CLASS))) for seed in range(40)]
    assert np.mean([one.leaning for one in found if one]) == pytest.approx(SPREAD.leaning, rel=0.05)
    assert np.mean([one.single for one in found if one]) == pytest.approx(SPREAD.single, rel=0.02)
    assert spread_of(paired(scores(1, 6, 0, CLASS))) is None
    assert spread_of(paired(scores(5, 1, 0, CLASS))) is None
    half = scores(3, 4, 0, CLASS)
    alone = half[(half["listener"] == "l0") | (half["clip"] < 2)]
    assert spread_of(paired(alone)) is None  # of one listener alone all is known


def test_p_values_are_student_s_and_adjusted_to_all_that_is_asked() -> None:
    table = paired(scores(6, 3, 0, CLASS))
    asked = list(pairs(["info", "drsa"], "standard", "cells~0"))
    assert asked == [
        ("info", "cells~0"),
        ("info", "standard"),
        ("drsa", "cells~0"),
        ("drsa", "standard"),
        ("standard", "cells~0"),
    ]
    found = compared(table, asked)
    means = table.groupby("listener").mean()
    wanted = holm([stats.ttest_rel(means[one], means[other]).pvalue for one, other in asked])
    assert [p for _, p in found.values()] == pytest.approx(wanted.tolist())
    assert np.isnan(p_values([3.0])) and np.isnan(p_values([[0.0, 0.0]])).all()
    assert p_values([1.0, 1.0]) == 0


def test_a_clip_that_is_not_rated_is_left_out_of_both_sides_of_a_difference() -> None:
    ratings = scores(4, 3, 0, CLASS)
    ratings.loc[(ratings["clip"] == 0) & (ratings["condition"] == "standard"), "score"] = np.nan
    kept = ratings[ratings["clip"] > 0]
    pair = [("info", "standard")]
    assert compared(paired(ratings), pair) == compared(paired(kept), pair)


def test_who_rates_the_reference_low_too_often_is_named() -> None:
    ratings = scores(3, 10, 0, CLASS)
    hidden = ratings["condition"] == "reference"
    ratings.loc[hidden, "score"] = 100
    ratings.loc[hidden & (ratings["listener"] == "l1") & (ratings["clip"] < 2), "score"] = 89
    ratings.loc[hidden & (ratings["listener"] == "l2") & (ratings["clip"] < 1), "score"] = 0
    assert screened(paired(ratings)) == ["l1"]
    assert screened(paired(ratings[~hidden])) == []
