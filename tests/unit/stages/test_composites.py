"""LRP rules compared on validation clips: which clips, which numbers, and what is an error."""

from __future__ import annotations

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
from earmark.metrics.scores import ties_seeds
from earmark.models import base as models
from earmark.stages import composites
from earmark.store import artifacts
from tests.unit.conftest import STRIPES, STRIPES_MISLABELLED, STRIPES_PER_FOLD, chosen, copied

FLAT = {"layers": "conv1", "rule": "flat"}
REST = [{"layers": "conv*", "rule": "gamma", "gamma": 0.8}, {"layers": "dense*", "rule": "epsilon"}]
CONFIG = {
    "lrp": {"stabilizer": 1e-7, "context": "gradient", "rules": [FLAT, *REST]},
    "evaluate": {"patch": 8, "cross": []},
    "explain": {"classes": []},
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


read = artifacts.read_rows


def test_only_recognised_validation_clips_are_scored(results):
    source, model = open_dataset(results), models.load(results.model("main"))
    rows = read(results.composites("main"))
    assert tuple(rows[0]) == composites.COLUMNS
    by_name = {}
    for row in rows:
        by_name.setdefault(row["candidate"], []).append(int(row["clip"]))
        logits = model.logits(source.inputs([int(row["clip"])]))[0]
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
    source, model = open_dataset(results), models.load(results.model("main"))
    rows = read(results.composites("main"))
    patterns = {"configured": CONFIG["lrp"]["rules"], **CONFIG["composites"]["candidates"]}
    for cls, slug in enumerate(STRIPES):
        for name, rules in patterns.items():
            own = [row for row in rows if (row["cls"], row["candidate"]) == (slug, name)]
            inputs = source.inputs([int(row["clip"]) for row in own])
            targets = torch.full((len(own),), cls)
            read_rules = from_config({"lrp": {"rules": rules}})
            maps = attributor.heatmaps(model, inputs, targets, read_rules)[:, None]
            seeds = ties_seeds(CONFIG["seed"], [row["path"] for row in own])
            zero, floor = (patch_flipping(model, inputs, targets, maps, 8, kind, seeds) for kind in ("zero", "floor"))
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


def test_the_area_below_a_clips_curve_is_its_score(results):
    rows, curves = read(results.composites("main")), read(results.composites_curves("main"))
    assert tuple(curves[0]) == composites.CURVE_COLUMNS
    assert len(curves) == len(rows) * 2 * 5  # replacements, steps of 0, 1, 5, 14, 16 patches
    by_place = {}
    for row in curves:
        place = row["cls"], row["clip"], row["group"], row["candidate"], row["replacement"]
        by_place.setdefault(place, []).append((float(row["fraction"]), float(row["ratio"])))
    for row in rows:
        for kind in ("zero", "floor"):
            curve = by_place[row["cls"], row["clip"], row["group"], row["candidate"], kind]
            fraction, ratio = np.array(curve).T
            np.testing.assert_allclose(fraction, np.array([0, 1, 5, 14, 16]) / 16)
            assert ratio[0] == 1
            assert np.trapezoid(ratio, fraction) == pytest.approx(float(row[f"fair_{kind}"]), rel=1e-4, abs=1e-6)


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


def test_a_class_that_is_not_recognised_has_no_row(results, tmp_path, caplog):
    again = copied(results, tmp_path)
    index = again.clip_index.read_text()
    again.clip_index.write_text(re.sub(r",columns,(\d+),2,", r",rows,\1,2,", index))  # validation has fold 2
    chosen(again)
    composites.run(Job("composites", again.results, "demo", CONFIG, split="main", gpu=0))
    assert {row["cls"] for row in read(again.composites("main"))} == {"rows"}
    assert "Columns: no validation clip of it is recognised, and nothing is measured" in caplog.messages


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
