"""Intervals and p-values: against loops, and on simulated data whose truth is known."""

import numpy as np
import pytest

from earmark.statistics import Clusters, bootstrap, bootstrap_sums, holm, mean, percentiles, sign_flip


def clustered(rng, n_groups=40, size=5, shift=0.0):
    """Clips in groups: most of the variance lies between groups."""
    groups = np.repeat(np.arange(n_groups), size)
    values = shift + rng.normal(size=n_groups)[groups] + 0.3 * rng.normal(size=len(groups))
    return values[:, None], Clusters.of(groups)


def test_mean_is_over_clips_then_classes():
    values = np.array([1.0, 3.0, 10.0])
    assert mean(values, Clusters.of(["x", "y", "z"])) == pytest.approx(14 / 3)
    assert mean(values, Clusters.of(["x", "y", "z"], ["a", "a", "b"])) == pytest.approx(6.0)
    assert np.isnan(mean(np.empty((0, 2)), Clusters.of([]))).all()


def test_bootstrap_equals_a_loop_over_draws():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 60)
    classes = rng.integers(0, 3, 60)
    values = rng.normal(size=(60, 2))
    clusters = Clusters.of(groups, classes)
    intervals = bootstrap(values, clusters, draws=400, seed=7)

    times = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), size=400)
    means = []
    for draw in times:
        rows = np.concatenate([np.flatnonzero(clusters.group == group).repeat(n) for group, n in enumerate(draw)])
        means.append([values[rows][classes[rows] == c].mean(axis=0) for c in np.unique(classes[rows])])
    means = np.array([np.mean(by_class, axis=0) for by_class in means])
    for column, interval in enumerate(intervals):
        assert interval.low == pytest.approx(np.quantile(means[:, column], 0.025))
        assert interval.high == pytest.approx(np.quantile(means[:, column], 0.975))
        expected = np.mean([values[classes == c, column].mean() for c in range(3)])
        assert interval.estimate == pytest.approx(expected)


def test_bootstrap_covers_the_truth_where_clips_are_clustered():
    rng = np.random.default_rng(1)
    clustered_hits, naive_hits = 0, 0
    for trial in range(400):
        values, clusters = clustered(rng)
        (interval,) = bootstrap(values, clusters, draws=300, seed=trial)
        clustered_hits += interval.low <= 0 <= interval.high
        (naive,) = bootstrap(values, Clusters.of(np.arange(len(values))), draws=300, seed=trial)
        naive_hits += naive.low <= 0 <= naive.high
    assert 0.90 <= clustered_hits / 400 <= 0.98
    assert naive_hits / 400 < 0.75  # resampling clips as if independent is what must not happen


def test_bootstrap_does_not_invent_an_interval_from_one_group():
    (interval,) = bootstrap(np.ones((4, 1)), Clusters.of(["a"] * 4))
    assert interval.estimate == 1 and np.isnan(interval.low) and np.isnan(interval.high)


def test_bootstrap_survives_draws_without_a_class():
    values = np.array([[0.0], [0.0], [4.0]])
    (interval,) = bootstrap(values, Clusters.of([0, 1, 2], ["a", "a", "b"]), draws=500)
    assert interval.estimate == pytest.approx(2.0) and np.isfinite([interval.low, interval.high]).all()


def test_bootstrap_and_flips_do_not_depend_on_the_chunk(monkeypatch):
    rng = np.random.default_rng(2)
    values, clusters = clustered(rng)
    interval, p_value = bootstrap(values, clusters, seed=1), sign_flip(values, clusters, seed=1)
    monkeypatch.setattr("earmark.statistics.CHUNK", 40 * 64)
    assert bootstrap(values, clusters, seed=1) == interval
    assert sign_flip(values, clusters, seed=1) == p_value


def test_sign_flip_equals_a_loop():
    rng = np.random.default_rng(3)
    groups, classes = rng.integers(0, 8, 30), rng.integers(0, 2, 30)
    differences = rng.normal(0.4, 1.0, size=(30, 2))
    clusters = Clusters.of(groups, classes)
    p_values = sign_flip(differences, clusters, draws=300, seed=5)

    signs = 2.0 * np.random.default_rng(5).integers(0, 2, (300, 8), dtype=np.int8) - 1
    extreme = np.zeros(2)
    observed = np.abs(np.mean([differences[classes == c].mean(axis=0) for c in range(2)], axis=0))
    for pattern in signs:
        flipped = differences * pattern[clusters.group][:, None]
        statistic = np.abs(np.mean([flipped[classes == c].mean(axis=0) for c in range(2)], axis=0))
        extreme += statistic >= observed - 1e-12
    np.testing.assert_allclose(p_values, (1 + extreme) / 301)


def test_p_values_are_uniform_under_the_null_and_small_under_an_effect():
    rng = np.random.default_rng(4)
    null = np.array([sign_flip(*clustered(rng, 20, 4), draws=199, seed=trial)[0] for trial in range(1000)])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(null <= level) == pytest.approx(level, abs=0.04)
    values, clusters = clustered(rng, shift=1.0)
    assert sign_flip(values, clusters, draws=999)[0] < 0.01
    assert sign_flip(-values, clusters, draws=999)[0] < 0.01  # two-sided


def test_p_value_is_never_zero_and_one_without_a_difference():
    values, clusters = clustered(np.random.default_rng(5), shift=50.0)
    assert sign_flip(values, clusters, draws=99)[0] == pytest.approx(1 / 100)
    assert sign_flip(0 * values, clusters, draws=99)[0] == 1.0
    assert np.isnan(sign_flip(np.empty((0, 3)), Clusters.of([]))).all()


def test_holm_equals_a_loop():
    rng = np.random.default_rng(6)
    p_values = np.concatenate([rng.uniform(0, 0.2, 15), [np.nan, 0.03, 0.03]])
    adjusted = holm(p_values)
    known = [p for p in p_values if not np.isnan(p)]
    expected, running = {}, 0.0
    for place, p in enumerate(sorted(known)):
        running = max(running, min(1.0, p * (len(known) - place)))
        expected[p] = max(running, expected.get(p, 0.0))
    for p, value in zip(p_values, adjusted, strict=True):
        assert np.isnan(value) if np.isnan(p) else value == pytest.approx(expected[p])
    assert holm([]).shape == (0,)


def test_a_function_of_sums_is_resampled_as_means_are():
    """A mean is a function of sums, too: its interval is that of the bootstrap, draw by draw."""
    rng = np.random.default_rng(0)
    values, clusters = rng.normal(size=60), Clusters.of(np.arange(60) // 3)
    (estimate,), resampled = bootstrap_sums(
        np.stack([values, np.ones(60)], axis=1), clusters, lambda sums: sums[..., 0] / sums[..., 1], 500, 7
    )
    (interval,) = bootstrap(values[:, None], clusters, 500, 7)
    assert resampled.shape == (500, 1)
    assert (estimate, *percentiles(resampled[:, 0])) == pytest.approx(tuple(interval))


def test_a_class_of_which_no_group_was_drawn_has_no_value():
    clusters = Clusters.of([0, 1, 2], ["a", "b", "b"])
    assert clusters.shared.tolist() == [[True, False], [False, True], [False, True]]
    estimates, resampled = bootstrap_sums(np.ones(3), clusters, lambda sums: sums, 300, 0)
    assert estimates.tolist() == [1, 2]
    assert np.isnan(resampled[:, 0]).mean() == pytest.approx((2 / 3) ** 3, abs=0.1)
    assert set(resampled[~np.isnan(resampled).any(axis=1)].sum(axis=1)) == {3.0}
