"""Labels are put together from their parts, and notes from what metrics declare."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from earmark.metrics.scores import MEDIANS, METRICS, SCORES
from earmark.plan.config import fill
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import (
    agreement,
    beside,
    components,
    concepts,
    conservation,
    cost,
    fidelity,
    flipping,
    frequency,
    interpreters,
    listening,
    markdown,
    masking,
    model,
    outside,
    sample_flipping,
    sanity,
    scaling,
    stability,
)
from earmark.tables.cross_class import advantage
from earmark.tables.ground_truth import chosen_by, labels
from earmark.tables.labels import At, Label, methods, rivals
from earmark.tables.study import Study

AT = At("conv4", "drsa", 4)
CONTROL = At("conv4", "random", 4)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (Label(AT, "thesis"), "thesis"),
        (Label(AT, "thesis").less("matched_budget"), "thesis - matched_budget"),
        (Label(AT, "capture", part="object 2"), "capture object 2"),
        (Label(AT, "capture").less("random"), "capture - random"),
        (advantage(AT), "own - others"),
        (advantage(AT).less("random~0"), "(own - others) - random~0"),
        (chosen_by(AT), "nmi, validation"),
    ],
)
def test_a_label_is_written_from_its_parts(label: Label, text: str) -> None:
    assert label.text == text


def test_no_two_labels_of_a_table_are_written_alike() -> None:
    of_scores = flipping.comparisons([AT, CONTROL]), labels([AT, CONTROL], 4)
    for listed in of_scores:
        assert len({(label.at, label.text) for label in listed}) == len(listed)


def test_every_metric_of_the_tables_is_declared() -> None:
    named = {label.metric for label in labels([AT, CONTROL], 4)} | {advantage(AT).metric, "others"}
    named |= {
        *SCORES,
        *MEDIANS.values(),
        *masking.SCORES,
        *fidelity.METRICS,
        *components.METRICS,
        *masking.AREAS,
        masking.LEAD,
        *masking.TRUTHS,
        *sanity.METRICS,
        *outside.METRICS,
        *frequency.METRICS,
        *scaling.METRICS,
        *stability.METRICS,
        *conservation.METRICS,
        *concepts.METRICS,
        *cost.METRICS,
        *interpreters.METRICS,
        *sample_flipping.METRICS,
        *listening.METRICS,
    }
    named |= {*agreement.METRICS, *beside.METRICS}
    of_training = {"test_recording_accuracy", "test_loss", "validation_accuracy", "validation_loss", "epochs"}
    named |= {*model.OF_TEST, *of_training, "best_epoch"}
    assert named == set(METRICS)
    for metric in METRICS.values():
        assert metric.of in ("", *METRICS) and (metric.statistic == "mean" or metric.of)


def test_which_scores_compete_follows_from_what_they_declare() -> None:
    assert flipping.RIVALRY == ("thesis", "fair_zero", "fair_floor", "overlap", "ssim")
    assert flipping.JOINT == ("fair_zero", "fair_floor")
    assert {METRICS[name].direction for name in flipping.RIVALRY} == {"lower"}


def test_notes_say_once_what_several_metrics_show() -> None:
    written = markdown.notes(("thesis", "fair_zero", "fair_floor"))
    assert written.count("\n- ") == 1 and written.startswith("- `thesis` (eq. 4.4): each step")
    assert "- `fair_zero`, `fair_floor`: the concepts' rankings" in written
    assert max(map(len, written.splitlines())) <= markdown.WIDTH


def test_the_seeds_of_random_are_one_method_and_rivals_share_layer_and_k() -> None:
    assert methods(["random~0", "drsa", "random~7", "oracle"]) == ["drsa", "oracle", "random"]
    assert methods(["drsa"]) == ["drsa"]
    other = AT._replace(k=2)
    assert list(rivals([AT, CONTROL, other])) == [(AT, CONTROL)]


def test_concepts_of_methods_that_know_no_layer_lie_at_none() -> None:
    grid = {"layers": ["conv1", "conv2", "conv3"], "methods": ["drsa", "l2i-parts", "l2i", "random~0"], "k": [2, 4]}
    config = fill({"grid": grid, "evaluate": {"masking": ["l2i-parts"]}})
    study = Study(Layout(Path("results"), "demo"), SimpleNamespace(), config, "main")  # type: ignore[arg-type]
    known = study.grid
    assert len(known) == len(set(known)) == 2 * (2 * 3 + 1)
    assert {at.layer for at in known if at.method == "l2i-parts"} == {INPUT_LAYER}
    assert study.masked == [At(INPUT_LAYER, "l2i-parts", 2), At(INPUT_LAYER, "l2i-parts", 4)]
    assert At(INPUT_LAYER, "l2i", 1) in study.levels
    assert (study.middle_of("drsa"), study.middle_of("l2i-parts")) == ("conv2", INPUT_LAYER)
