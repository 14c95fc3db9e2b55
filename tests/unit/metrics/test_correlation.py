"""Correlations from sums are Pearson's, of all numbers or of those of some groups."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.metrics.correlation import pearson


def terms(first: np.ndarray, second: np.ndarray) -> list[float]:
    return [first.sum(), (first**2).sum(), second.sum(), (second**2).sum(), (first * second).sum()]


def test_sums_of_groups_add_up_to_pearsons_correlation() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((4, 30))
    second = 0.5 * first + rng.random((4, 30))
    each = np.array([terms(*pair) for pair in zip(first, second, strict=True)])  # [groups, 5]
    assert pearson(120, each.sum(axis=0)) == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    wanted = [np.corrcoef(*pair)[0, 1] for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(pearson(np.full(4, 30), each), wanted)


def test_what_is_constant_correlates_with_nothing() -> None:
    ramp = np.linspace(0, 1, 50)
    assert pearson(50, terms(np.full(50, 0.1), ramp)) == 0
    assert pearson(0, np.zeros(5)) == 0
