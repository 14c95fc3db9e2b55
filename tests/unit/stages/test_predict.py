"""What the model answers: every clip once, exactly as it is read back, and what that comes to on test clips."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import torch

from earmark.data import predictions
from earmark.data.dataset import open_dataset
from earmark.data.predictions import Predictions
from earmark.job import Job
from earmark.metrics.scores import METRICS
from earmark.models import base as models
from earmark.models.base import logits_of
from earmark.stages import predict
from tests.unit.conftest import STRIPES, copied, predicted


def read(layout) -> Predictions:
    return predictions.of(Job("predict", layout.results, layout.dataset, {}, split="main"))


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def logits(stripes) -> torch.Tensor:
    """The network's answers to all 160 clips, computed here."""
    network = models.load(stripes.model("main")).network
    return logits_of(network, open_dataset(stripes).inputs(range(160)), torch.device("cpu"))


def test_logits_read_back_to_the_same_number(stripes, logits):
    assert table(stripes.predictions("main"))[0] == ["clip", *STRIPES]
    assert [row[0] for row in table(stripes.predictions("main"))[1:]] == [str(clip) for clip in range(160)]
    found = read(stripes).logits
    assert found.dtype == np.float32
    assert np.array_equal(found, logits.numpy())


def test_clips_are_evaluated_part_by_part_in_their_order(stripes, logits, tmp_path, monkeypatch):
    layout = copied(stripes, tmp_path)
    monkeypatch.setattr(predict, "PART", 33)
    predicted(layout)
    np.testing.assert_allclose(read(layout).logits, logits.numpy(), rtol=1e-4, atol=1e-4)


def test_logits_are_read_by_position(stripes, logits, tmp_path):
    layout = copied(stripes, tmp_path)
    layout.classes.write_text(layout.classes.read_text().replace("columns,Columns", "clip,Clip"))
    layout.clip_index.write_text(re.sub(",columns,", ",clip,", layout.clip_index.read_text()))
    predicted(layout)
    assert table(layout.predictions("main"))[0] == ["clip", "rows", "clip"]
    assert np.array_equal(read(layout).logits, logits.numpy())


def test_metrics_are_of_the_test_clips_and_of_the_epoch_that_was_kept(stripes, logits):
    source = open_dataset(stripes)
    test = range(32)  # folds 0 and 1 of ten
    targets, answers = source.targets(test), logits[:32].argmax(dim=1)
    own = torch.log_softmax(logits[:32].double(), dim=1)[torch.arange(32), targets]
    metrics = json.loads((stripes.split("main") / "metrics.json").read_text())
    accuracy = float((targets == answers).double().mean())
    assert metrics.pop("test_loss") == pytest.approx(float(-own.mean()), abs=1e-6)  # logits have single precision
    assert list(metrics)[-1] == "provenance" and metrics.pop("provenance")
    assert metrics == {
        "test_accuracy": accuracy,
        "test_recording_accuracy": accuracy,  # a clip per recording
        "test_clips": 32,
        "validation_accuracy": 0.9,
        "validation_loss": 0.3,
        "best_epoch": 2,  # the last of those that were the best so far
        "epochs": 3,
    }
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (targets.numpy(), answers.numpy()), 1)
    rows = table(stripes.split("main") / "confusion.csv")
    assert rows == [["true", *STRIPES], *([slug, *map(str, row)] for slug, row in zip(STRIPES, counts, strict=True))]


def test_recognised_is_classified_correctly_with_a_positive_logit():
    found = Predictions(np.array([[2, 1], [-1, -2], [1, 3], [0, -1]], np.float32))
    assert found.answers([0, 1, 2, 3]).tolist() == [0, 0, 1, 0]
    assert found.recognised([0, 1, 2, 3], 0).tolist() == [True, False, False, False]
    assert found.recognised([2, 0], 1).tolist() == [True, False]
    assert found.of([3, 2], 1).tolist() == [-1, 3]
    assert found.recognised([], 0).shape == (0,)


def test_known_are_the_recognised_clips_of_a_class_in_the_order_given(stripes, logits):
    source = open_dataset(stripes)
    for cls in source.classes:
        given = np.arange(159, -1, -1)
        wanted = [
            clip
            for clip in given
            if source.clips["class"][clip] == cls.slug
            and logits[clip].argmax() == cls.index
            and logits[clip, cls.index] > 0
        ]
        assert len(wanted) > 60
        assert read(stripes).known(source, given, cls).tolist() == wanted


def test_every_metric_that_is_written_is_declared(stripes):
    written = json.loads((stripes.split("main") / "metrics.json").read_text())
    assert set(written) - {"provenance"} <= set(METRICS)
