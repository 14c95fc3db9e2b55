"""Labels are put together from their parts, and notes from what metrics declare."""

from __future__ import annotations

import pytest

from earmark.metrics.scores import MEDIANS, METRICS, SCORES
from earmark.tables import (
    agreement,
    beside,
    concepts,
    conservation,
    cost,
    flipping,
    frequency,
    interpreters,
    listening,
    markdown,
    masking,
    model,
    sample_flipping,
    sanity,
    scaling,
    stability,
)
from earmark.tables.cross_class import advantage
from earmark.tables.ground_truth import chosen_by, labels
from earmark.tables.labels import At, Label, methods, rivals

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
        *masking.AREAS,
        masking.LEAD,
        *masking.TRUTHS,
        *sanity.METRICS,
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
