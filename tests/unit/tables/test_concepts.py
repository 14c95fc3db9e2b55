"""Concepts of known relevance: shares, cosines, their number, and that what was written is read."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from earmark.statistics import Interval
from earmark.store.layout import Layout
from earmark.tables import concepts
from earmark.tables.concepts import COLUMNS, Concepts, Pairs, read, summarise
from earmark.tables.labels import At
from earmark.tables.markdown import MISSING
from earmark.tables.study import Study


def measured(n_groups: int = 20) -> tuple[list[Interval], Pairs, Pairs, Interval]:
    rng = np.random.default_rng(0)
    relevance = rng.normal([3.0, 1.0], 0.5, size=(40, 2))
    relevance[0] = [1.0, -1.0]  # a clip without relevance on balance has no share of its own, and does no harm
    between = np.ones((40, 2, 2, 2))
    between[:, 0, 0, 1] = between[:, 0, 1, 0] = rng.uniform(0.2, 0.4, 40)
    between[:, 1, 0, 1] = between[:, 1, 1, 0] = rng.uniform(-0.2, 0.2, 40) + 0.5
    return summarise(relevance, between, np.arange(40) % n_groups, 500, 0)


def test_shares_are_parts_of_all_relevance() -> None:
    shares, cosines, similarities, number = measured()
    assert sum(share.estimate for share in shares) == pytest.approx(1)
    assert 0.7 < shares[0].estimate < 0.8
    assert 0.27 < cosines[1, 2].estimate < 0.33
    assert 0.45 < similarities[1, 2].estimate < 0.55
    assert 1 < number.estimate < 2
    for found in (*shares, cosines[1, 2], similarities[1, 2], number):
        assert found.low < found.estimate < found.high < found.low + 0.2
    (alone, _), *_ = measured(n_groups=1)
    assert math.isnan(alone.low)


@pytest.mark.parametrize("against", [-1.2, -1.0, -0.98])
def test_nothing_is_a_part_of_relevance_that_sums_to_nothing_or_less(against: float) -> None:
    """One concept speaks for the class and one against it: their number is known all the same."""
    relevance = np.random.default_rng(0).normal((1.0, against), 0.3, (40, 2))
    found = summarise(relevance, np.ones((40, 2, 2, 2)) * np.eye(2), np.arange(40), 500, 0)
    known = Concepts(*found, 40, 3)
    assert all(math.isnan(share.estimate) for share in known.shares)
    assert known.number.estimate == pytest.approx(1)
    assert known.apart.text == "1.0 concepts in effect"
    written = concepts.rows(None, {(At("conv3", "drsa", 2), "a"): known})  # type: ignore[arg-type]
    frame = pd.DataFrame([[str(cell) for cell in row] for row in written], columns=list(COLUMNS))
    read_again = read(frame[frame["cls"] == "a"], 2)
    assert read_again is not None and math.isnan(read_again.shares[0].estimate)
    assert read_again.apart.text == known.apart.text


def test_what_was_written_is_read() -> None:
    shares, cosines, similarities, number = measured()
    at = At("conv3", "drsa", 2)
    known, unknown = Concepts(shares, cosines, similarities, number, 40, 3), None
    written = list(concepts.rows(None, {(at, "a"): known, (at, "b"): unknown}))  # type: ignore[arg-type]
    frame = pd.DataFrame([[str(cell) for cell in row] for row in written], columns=list(COLUMNS))
    assert len(frame) == 1 + 2 * (1 + 2 + 2)
    assert float(frame[frame["cls"] == "all"]["estimate"].iloc[0]) == pytest.approx(number.estimate, rel=1e-5)
    found = read(frame[frame["cls"] == "a"], 2)
    assert found is not None
    assert (found.n, found.left_out) == (40, 3)
    assert found.shares[0].estimate == pytest.approx(shares[0].estimate, rel=1e-5)
    assert found.cosines[1, 2].high == pytest.approx(cosines[1, 2].high, rel=1e-5)
    assert found.similarities[1, 2].low == pytest.approx(similarities[1, 2].low, rel=1e-5)
    assert found.apart.text == known.apart.text
    assert read(frame[frame["cls"] == "b"], 2) is None


def test_a_table_that_is_not_there_is_said_where_numbers_are_missing(tmp_path, caplog) -> None:
    source = SimpleNamespace(classes=[])
    study = Study(Layout(tmp_path, "mine"), source, {"grid": {"methods": ["drsa"]}}, "main")  # type: ignore[arg-type]
    with caplog.at_level("INFO", "earmark"):
        assert concepts.numbers_of(study)(At("conv3", "drsa", 2), "a") == MISSING
    assert "concepts.csv is missing" in caplog.text
