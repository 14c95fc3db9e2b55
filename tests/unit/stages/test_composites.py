"""LRP rules compared on validation clips: which clips, which numbers, and what is an error."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import torch

from earmark.data.dataset import open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import from_config
from earmark.metrics.flipping import patch_flipping
from earmark.metrics.scores import ties_seed
from earmark.models import base as models
from earmark.stages import composites
from tests.unit.conftest import STRIPES, STRIPES_MISLABELLED, STRIPES_PER_FOLD, blank, chosen, copied

FLAT = {"layers": "conv1", "rule": "flat"}
REST = [{"layers": "conv*", "rule": "gamma", "gamma": 0.8}, {"layers": "dense*", "rule": "epsilon"}]
CONFIG = {
    "lrp": {"stabilizer": 1e-7, "context": "gradient", "rules": [FLAT, *REST]},
    "evaluate": {"patch": 8, "cross": [], "bootstrap": 200},
    "composites": {
        "candidates": {
            "same": [FLAT, *REST],
            "epsilon": [{"layers": "*", "rule": "epsilon"}],
        },
    },
    "seed": 0,
    "torch_threads": 1,
}


@pytest.fixture(scope="module")
def results(stripes):
    """The data set of stripes, compared."""
    composites.run(Job("composites", stripes.results, "demo", CONFIG, split="main", gpu=0))
    return stripes


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_only_recognised_validation_clips_are_scored(results):
    source, network = open_dataset(results), models.load(results.model("main"))[0]
    rows = read(results.composites("main"))
    assert tuple(rows[0]) == composites.COLUMNS
    by_name = {}
    for row in rows:
        by_name.setdefault(row["candidate"], []).append(int(row["clip"]))
        logits = network(source.logmel([int(row["clip"])]))[0]
        own = STRIPES.index(row["cls"])
        assert logits.argmax() == own and logits[own] > 0
        assert float(row["logit"]) == pytest.approx(float(logits[own].detach()), rel=1e-4)
        index = source.clips.iloc[int(row["clip"])]
        assert (row["path"], row["group"], row["cls"]) == (index["path"], index["group"], index["class"])
        assert index["fold"] == 2
    assert list(by_name) == ["configured", "same", "epsilon", "random"]
    assert len({tuple(sorted(clips)) for clips in by_name.values()}) == 1  # paired: the same clips
    clips = by_name["configured"]
    validation = set(range(2 * STRIPES_PER_FOLD, 3 * STRIPES_PER_FOLD))
    assert len(set(clips)) == len(clips) and set(clips) < validation
    assert not set(clips) & set(STRIPES_MISLABELLED)
    left_out = {row["cls"]: int(row["left_out"]) for row in rows}
    assert sum(left_out.values()) == len(validation - set(clips)) >= len(STRIPES_MISLABELLED)


def test_scores_are_those_of_patch_flipping(results):
    source, network = open_dataset(results), models.load(results.model("main"))[0]
    rows = read(results.composites("main"))
    patterns = {"configured": CONFIG["lrp"]["rules"], **CONFIG["composites"]["candidates"]}
    for cls, slug in enumerate(STRIPES):
        for name, rules in patterns.items():
            own = [row for row in rows if (row["cls"], row["candidate"]) == (slug, name)]
            inputs = source.logmel([int(row["clip"]) for row in own])
            targets = torch.full((len(own),), cls)
            read_rules = from_config({"lrp": {"rules": rules}})
            maps = attributor.heatmaps(network, inputs, targets, read_rules)[:, None]
            zero, floor = (
                patch_flipping(network, inputs, targets, maps, 8, kind, ties_seed(CONFIG)) for kind in ("zero", "floor")
            )
            for column, wanted in (("thesis", zero.thesis), ("fair_zero", zero.fair), ("fair_floor", floor.fair)):
                np.testing.assert_allclose([float(row[column]) for row in own], wanted, rtol=1e-5)


def test_the_same_rules_score_the_same_and_chance_is_worse(results):
    rows = read(results.composites("main"))
    scores = {
        name: {
            row["clip"]: [float(row[c]) for c in composites.COLUMNS[6:9]] for row in rows if row["candidate"] == name
        }
        for name in ("configured", "same", "random")
    }
    assert scores["configured"] == scores["same"]
    means = {name: np.mean(list(of_clips.values()), axis=0) for name, of_clips in scores.items()}
    assert (means["configured"] < 0.8 * means["random"]).all()


def test_curves_are_means_over_clips_then_classes(results):
    rows, curves = read(results.composites("main")), read(results.composites_curves("main"))
    assert tuple(curves[0]) == composites.CURVE_COLUMNS
    assert len(curves) == 4 * 2 * 5  # candidates, replacements, steps of 0, 1, 5, 14, 16 patches
    for name in ("configured", "same", "epsilon", "random"):
        for kind in ("zero", "floor"):
            curve = [row for row in curves if (row["candidate"], row["replacement"]) == (name, kind)]
            fraction, ratio, low, high = (
                np.array([float(row[column]) for row in curve]) for column in ("fraction", "ratio", "low", "high")
            )
            np.testing.assert_allclose(fraction, np.array([0, 1, 5, 14, 16]) / 16)
            assert ratio[0] == low[0] == high[0] == 1
            assert (low <= ratio).all() and (ratio <= high).all() and (low[1:] < high[1:]).all()
            per_class = [
                np.mean([float(row[f"fair_{kind}"]) for row in rows if (row["cls"], row["candidate"]) == (cls, name)])
                for cls in STRIPES
            ]
            # The area is linear in the curve: that of the mean curve is the mean score.
            assert np.trapezoid(ratio, fraction) == pytest.approx(np.mean(per_class), rel=1e-5)


def test_other_candidates_change_nothing(results, tmp_path):
    again = copied(results, tmp_path)
    alone = CONFIG | {"composites": {"candidates": {}}}
    composites.run(Job("composites", again.results, "demo", alone, split="main", gpu=0))

    def kept(path):
        return [row for row in read(path) if row["candidate"] in ("configured", "random")]

    assert read(again.composites("main")) == kept(results.composites("main"))
    assert read(again.composites_curves("main")) == kept(results.composites_curves("main"))


def test_no_more_clips_are_looked_at_than_asked_for(results, tmp_path):
    again = copied(results, tmp_path)
    chosen(again, composites={"clips": 3})
    few = CONFIG | {"composites": {"candidates": {}}}
    composites.run(Job("composites", again.results, "demo", few, split="main", gpu=0))
    rows = [row for row in read(again.composites("main")) if row["candidate"] == "configured"]
    for cls in STRIPES:
        of_cls = [row for row in rows if row["cls"] == cls]
        assert len(of_cls) + int(of_cls[0]["left_out"]) == 3


def test_a_class_that_is_not_recognised_is_named(results, tmp_path):
    again = copied(results, tmp_path)
    index = again.clip_index.read_text()
    again.clip_index.write_text(re.sub(r",columns,(\d+),2,", r",rows,\1,2,", index))  # validation has fold 2
    chosen(again)
    with pytest.raises(EarmarkError, match=r"no validation clip of Columns .*: demo/main has none"):
        composites.run(Job("composites", again.results, "demo", CONFIG, split="main", gpu=0))
    again.clip_index.write_text(index)
    blank(again, slice(2 * STRIPES_PER_FOLD, 3 * STRIPES_PER_FOLD))
    chosen(again)
    with pytest.raises(EarmarkError, match=r"model of demo/main recognises none of the \d+ that were looked at"):
        composites.run(Job("composites", again.results, "demo", CONFIG, split="main", gpu=0))


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ([FLAT], "the LRP rules 'odd' do not fit the model: no LRP rule covers the module 'conv2'"),
        ([{"layers": "*", "rule": "flat"}], "the LRP rules 'odd' do not fit the model: the rule Flat of 'conv2'"),
    ],
)
def test_rules_that_do_not_fit_are_named(results, rules, sentence):
    odd = CONFIG | {"composites": {"candidates": {"odd": rules}}}
    with pytest.raises(EarmarkError, match=sentence):
        composites.run(Job("composites", results.results, "demo", odd, split="main", gpu=0))
