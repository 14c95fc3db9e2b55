"""Shares of concepts of known relevance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from earmark.tables.concepts import shares


def test_shares_are_parts_of_all_relevance() -> None:
    rng = np.random.default_rng(0)
    relevance = rng.normal([3.0, 1.0], 0.5, size=(40, 2))
    relevance[0] = [1.0, -1.0]  # a clip without relevance on balance has no share of its own, and does no harm
    found = shares(relevance, np.arange(40) // 2, 500, 0)
    assert [share.estimate for share in found] == pytest.approx(relevance.sum(axis=0) / relevance.sum())
    assert sum(share.estimate for share in found) == pytest.approx(1)
    for share in found:
        assert share.low < share.estimate < share.high < share.low + 0.2
    (alone, _) = shares(relevance, np.zeros(40), 500, 0)
    assert math.isnan(alone.low)
