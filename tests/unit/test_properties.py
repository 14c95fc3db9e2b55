"""What must hold on any data: intervals, p-values, corrections, scores and files, on cases drawn by hypothesis."""

from __future__ import annotations

import csv
import math
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from earmark import statistics
from earmark.metrics.flipping import patch_flipping
from earmark.metrics.objects import captured, information, match
from earmark.metrics.overlap import overlap
from earmark.statistics import Clusters, bootstrap, bootstrap_median, holm, mean, median, sign_flip
from earmark.store import artifacts
from earmark.tables.labels import At, Label
from earmark.tables.summary import DIGITS, Clips, number, summarise
from tests.unit.conftest import model_of

few = settings(derandomize=True, deadline=None, max_examples=8, database=None)
many = settings(derandomize=True, deadline=None, max_examples=60, database=None)

SEEDS = st.integers(0, 2**32 - 1)
P_VALUES = hnp.arrays(float, st.integers(0, 30), elements=st.floats(0, 1))


@st.composite
def clips(draw, columns=3):
    """Values [n, m] of clips in groups and classes of any sizes, and the clips' labels."""
    rng = np.random.default_rng(draw(SEEDS))
    n = draw(st.integers(2, 40))
    groups = rng.integers(0, draw(st.integers(1, 12)), n)
    classes = rng.integers(0, draw(st.integers(1, 4)), n)
    return rng.normal(size=(n, columns)) * 10.0 ** draw(st.integers(-6, 6)), groups, classes


@st.composite
def studies(draw, n_trials=400):
    """Draw that many studies of one design, all without an effect: values [n, trials] and their clusters.

    Clips of a group are alike, groups differ in size, and each group lies in one class.
    """
    rng = np.random.default_rng(draw(SEEDS))
    n_groups = draw(st.integers(30, 60))
    sizes = rng.integers(1, 6, n_groups) if draw(st.booleans()) else np.full(n_groups, 4)
    groups = np.repeat(np.arange(n_groups), sizes)
    classes = (np.arange(n_groups) % draw(st.integers(1, 3)))[groups]
    within = draw(st.sampled_from([0.1, 1.0]))
    noise = draw(st.sampled_from([lambda shape: rng.normal(size=shape), lambda shape: rng.laplace(size=shape)]))
    values = noise((n_groups, n_trials))[groups] + within * noise((len(groups), n_trials))
    return values, Clusters.of(groups, classes)


def near(count, n_trials, probability, slack=0.0):
    """Whether so many of independent trials are what five standard errors around a probability allow."""
    return abs(count / n_trials - probability) < slack + 5 * math.sqrt(probability * (1 - probability) / n_trials)


# Percentile intervals of some dozens of groups are a little short, those of medians a little long; an interval that
# took clips for groups would hold the truth in 60 to 80 of 100 studies where it says 95.
SLACK = {bootstrap: 0.02, bootstrap_median: 0.05}


@few
@given(studies(), st.sampled_from([bootstrap, bootstrap_median]), st.sampled_from([0.8, 0.95]))
def test_intervals_cover_the_truth_as_often_as_they_say(study, interval, level):
    values, clusters = study
    bounds = np.array(interval(values, clusters, 300, level=level))
    hits = np.count_nonzero((bounds[:, 1] <= 0) & (bounds[:, 2] >= 0))
    assert near(hits, len(bounds), level, SLACK[interval])


@few
@given(studies())
def test_p_values_are_uniform_where_there_is_no_effect(study):
    values, clusters = study
    p_values = sign_flip(values, clusters, draws=999)
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert near(np.count_nonzero(p_values <= level), len(p_values), level), level


@few
@given(studies(n_trials=100))
def test_p_values_tell_a_clear_effect(study):
    values, clusters = study
    assert (sign_flip(np.abs(values) + 0.1, clusters, draws=999) <= 0.002).all()


@many
@given(clips(), st.randoms(use_true_random=False))
def test_the_order_of_clips_does_not_matter(drawn, random):
    values, groups, classes = drawn
    shuffled = list(range(len(values)))
    random.shuffle(shuffled)
    one, other = Clusters.of(groups, classes), Clusters.of(groups[shuffled], classes[shuffled])
    scale = np.abs(values).max()
    for statistic in (mean, median):
        np.testing.assert_allclose(statistic(values, one), statistic(values[shuffled], other), atol=1e-12 * scale)
    for interval in (bootstrap, bootstrap_median):
        first, second = interval(values, one, 50, seed=1), interval(values[shuffled], other, 50, seed=1)
        np.testing.assert_allclose(np.array(first), np.array(second), atol=1e-12 * scale)
    np.testing.assert_array_equal(sign_flip(values, one, 99), sign_flip(values[shuffled], other, 99))


@many
@given(clips(), st.floats(-5, 5), st.floats(0.1, 10))
def test_intervals_follow_shift_and_scale(drawn, shift, factor):
    values, groups, classes = drawn
    values /= np.abs(values).max()
    clusters = Clusters.of(groups, classes)
    for interval in (bootstrap, bootstrap_median):
        plain, moved = (np.array(interval(v, clusters, 50)) for v in (values, factor * values + shift))
        np.testing.assert_allclose(moved, factor * plain + shift, atol=1e-9)
        low, high = plain[:, 1], plain[:, 2]
        assert (np.isnan(low) == (clusters.n_groups < 2)).all() and not (low > high).any()
    np.testing.assert_array_equal(sign_flip(values, clusters, 99), sign_flip(-factor * values, clusters, 99))


@many
@given(clips(columns=1), st.integers(2, 4))
def test_repeating_every_clip_changes_no_estimate_and_no_p_value(drawn, times):
    """What counts is groups: copies of clips are no evidence."""
    values, groups, classes = drawn
    copies = [np.concatenate([part] * times) for part in (values, groups, classes)]
    one, other = Clusters.of(groups, classes), Clusters.of(*copies[1:])
    scale = np.abs(values).max()
    np.testing.assert_allclose(mean(copies[0], other), mean(values, one), atol=1e-12 * scale)
    np.testing.assert_allclose(median(copies[0], other), median(values, one), atol=1e-12 * scale)
    first, second = bootstrap(values, one, 50, seed=2), bootstrap(copies[0], other, 50, seed=2)
    np.testing.assert_allclose(np.array(first), np.array(second), atol=1e-12 * scale)
    assert sign_flip(values, one, 99) == sign_flip(copies[0], other, 99)


@many
@given(clips(columns=2))
def test_resampled_medians_equal_medians_of_repeated_clips(drawn):
    values, groups, classes = drawn
    clusters = Clusters.of(groups, classes)
    found = statistics._resampled_medians(values, clusters, 20, seed=3)
    even = np.full(clusters.n_groups, 1 / clusters.n_groups)
    times = np.random.default_rng(3).multinomial(clusters.n_groups, even, size=20)
    for row, drawn_times in zip(found, times, strict=True):
        repeated = np.repeat(np.arange(len(values)), drawn_times[clusters.group])
        np.testing.assert_allclose(row, median(values[repeated], Clusters.of(repeated, classes[repeated])))


@many
@given(P_VALUES)
def test_holm_lies_between_the_raw_values_and_bonferronis(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all() and (adjusted <= 1).all()
    assert (adjusted <= np.minimum(1, len(p_values) * p_values) + 1e-12).all()
    if len(p_values):
        assert adjusted.min() == pytest.approx(min(1.0, len(p_values) * p_values.min()))


@many
@given(P_VALUES)
def test_holm_keeps_the_order_of_the_values(p_values):
    adjusted = holm(p_values)
    ascending = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[ascending]) >= 0).all()
    for value in np.unique(p_values):
        assert len(set(adjusted[p_values == value])) == 1


@many
@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order_of_the_tests(p_values, random):
    shuffled = list(range(len(p_values)))
    random.shuffle(shuffled)
    np.testing.assert_array_equal(holm(p_values[shuffled]), holm(p_values)[shuffled])


@many
@given(hnp.arrays(float, st.integers(1, 30), elements=st.floats(0, 1)), SEEDS, st.floats(0, 1))
def test_holm_never_falls_when_a_value_or_a_test_is_added(p_values, seed, amount):
    place = seed % len(p_values)
    raised = p_values.copy()
    raised[place] = min(1.0, raised[place] + amount)
    assert (holm(raised) >= holm(p_values)).all()
    assert (holm([*p_values, amount])[:-1] >= holm(p_values)).all()
    np.testing.assert_array_equal(holm([*p_values, np.nan])[:-1], holm(p_values))  # what is unknown is no test


@many
@given(clips(columns=4), st.randoms(use_true_random=False))
def test_a_summary_does_not_depend_on_the_order_of_quantities(drawn, random):
    values, groups, classes = drawn
    values[np.abs(values) > 1.5 * np.abs(values).std()] = np.nan  # clips that lack a quantity
    names = [f"class{number}" for number in range(4)]
    of = Clips(np.array(names)[classes], groups.astype(str), dict.fromkeys(names, 0))
    labels = [Label(At("conv1", "drsa", 4), str(column)) for column in range(4)]
    quantities = {label: values[:, column] for column, label in enumerate(labels)}
    shuffled = list(labels)
    random.shuffle(shuffled)
    one = summarise(quantities, of, 40, 0, test=True)
    other = summarise({label: quantities[label] for label in shuffled}, of, 40, 0, test=True)
    assert one.keys() == other.keys()
    for key, summary in one.items():
        np.testing.assert_allclose(np.array(other[key].interval), np.array(summary.interval), rtol=1e-9)
        assert (other[key].n, other[key].p) == (summary.n, pytest.approx(summary.p, nan_ok=True))
        assert summary.n == np.count_nonzero(~np.isnan(quantities[key[0]]) & of.of(key[1]))


@few
@given(SEEDS, st.integers(2, 5))
def test_the_order_of_concepts_does_not_matter(seed, n_concepts):
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    nn.init.normal_(network[1].weight, generator=generator)
    nn.init.zeros_(network[1].bias)
    inputs = torch.randn(3, 1, 8, 8, generator=generator)
    targets = torch.zeros(3, dtype=torch.long)
    heatmaps = torch.randn(3, n_concepts, 1, 8, 8, generator=generator)
    shuffled = heatmaps[:, torch.randperm(n_concepts, generator=generator)]
    one, other = (patch_flipping(model_of(network, 1, 8, 8), inputs, targets, maps, 2) for maps in (heatmaps, shuffled))
    torch.testing.assert_close(one.thesis, other.thesis)
    torch.testing.assert_close(one.curve[1], other.curve[1])
    assert torch.equal(one.union_counts, other.union_counts)
    torch.testing.assert_close(overlap(heatmaps), overlap(shuffled))


@st.composite
def tables_of_relevance(draw):
    """Relevance [K, O] of concepts on objects, some cells empty, and a shuffled order of each."""
    n_concepts, n_objects = draw(st.integers(1, 5)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(SEEDS))
    table = rng.exponential(size=(n_concepts, n_objects)) * (rng.random((n_concepts, n_objects)) < 0.8)
    return table, rng.permutation(n_concepts), rng.permutation(n_objects)


@many
@given(tables_of_relevance())
def test_matching_does_not_depend_on_the_order_of_concepts_and_objects(drawn):
    table, concepts, objects = drawn
    shuffled = table[concepts][:, objects]
    one, other = (np.nansum(captured(t, match(t))) for t in (table, shuffled))
    assert one == pytest.approx(other)
    if len(table) > 1 and (table > 0).all():  # else several assignments may be equally good
        np.testing.assert_allclose(captured(shuffled, match(shuffled)), captured(table, match(table))[objects])
    nmi = information(torch.from_numpy(np.stack([table, shuffled])))
    assert nmi[0] == pytest.approx(float(nmi[1]), abs=1e-12) and -1e-12 <= nmi[0] <= 1 + 1e-12
    balanced = information(torch.from_numpy(table * np.exp(objects)))  # a louder object counts no more
    assert float(balanced) == pytest.approx(float(nmi[0]), abs=1e-12)


@many
@given(tables_of_relevance())
def test_matching_is_the_best_of_all_assignments(drawn):
    table, *_ = drawn
    found = match(table)
    n_concepts, n_objects = table.shape
    used = [concept for concept in found if concept >= 0]
    assert len(set(used)) == len(used) == min(n_concepts, n_objects)
    places = [*range(n_concepts), *[-1] * max(0, n_objects - n_concepts)]
    best = max(np.nansum(captured(table, order)) for order in set(permutations(places, n_objects)))
    assert np.nansum(captured(table, found)) == pytest.approx(best)


TYPES = st.sampled_from([np.float32, np.float64, np.int16, np.int64, np.bool_])
ARRAYS = TYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)))


@many
@given(ARRAYS)
def test_arrays_read_back_bit_by_bit(array):
    with tempfile.TemporaryDirectory() as folder:
        artifacts.write_tensors(Path(folder) / "array.safetensors", {"array": torch.from_numpy(array)}, {}, clips=3)
        tensors, metadata = artifacts.read_tensors(Path(folder) / "array.safetensors")
    assert (tensors["array"].numpy().tobytes(), tensors["array"].shape) == (array.tobytes(), array.shape)
    assert tensors["array"].dtype == torch.from_numpy(array).dtype
    assert metadata["clips"] == 3


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1, max_size=20)


@many
@given(st.lists(st.tuples(TEXT, st.floats(), st.integers(-(2**62), 2**62)), max_size=5))
def test_tables_read_back_to_the_same_text_and_numbers(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        artifacts.write_csv(path, ["name", "value", "count"], rows, {})
        with path.open(encoding="utf-8", newline="") as file:
            header, *back = csv.reader(file)
    assert header == ["name", "value", "count"]
    found = [(name, repr(float(value)), int(count)) for name, value, count in back]  # by repr: nan is nan, -0 not 0
    assert found == [(name, repr(value), count) for name, value, count in rows]


@many
@given(st.floats())
def test_numbers_of_tables_hold_their_digits(value):
    written = number(value)
    if math.isfinite(value):
        assert float(written) == pytest.approx(value, rel=10.0 ** (1 - DIGITS), abs=5e-324)
    else:
        assert written == ""
