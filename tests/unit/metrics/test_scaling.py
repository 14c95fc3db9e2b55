"""Who is scaled, what was answered, and by how much."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from earmark.data.dataset import ClassInfo
from earmark.metrics.scaling import answered, factors_of, margins

CLASSES = [ClassInfo("female", "Female", 0), ClassInfo("male", "Male", 1), ClassInfo("other", "other", 2)]


def test_classes_are_named_or_slugged_and_come_in_the_order_of_the_logits() -> None:
    source = SimpleNamespace(classes=CLASSES)
    assert factors_of({"male": 1.5, "Female": 0.66}, source) == [(CLASSES[0], 0.66), (CLASSES[1], 1.5)]  # type: ignore[arg-type]
    assert factors_of({}, source) == []  # type: ignore[arg-type]


def test_one_class_is_answered_or_any_number() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [-1.0, -2.0, -3.0]])
    assert answered(logits, multi_label=False).tolist() == [[False, True, False], [True, False, False]]
    assert answered(logits, multi_label=True).tolist() == [[True, True, True], [False, False, False]]


def test_a_margin_is_positive_where_the_answer_is_the_clip_s_own_class() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [-1.0, -2.0, -3.0], [5.0, 0.0, 1.0]])
    own = np.array([1, 2, 0])
    assert margins(logits, own).tolist() == [1.0, -2.0, 4.0]
    assert np.array_equal(margins(logits, own) > 0, logits.argmax(axis=1) == own)
    assert logits[0].tolist() == [1.0, 3.0, 2.0]  # as they were
    assert np.isnan(margins(np.array([[2.0]]), np.array([0]))).all()


@pytest.mark.parametrize("seed", range(3))
def test_margins_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, own = rng.normal(size=(20, 4)), rng.integers(4, size=20)
    wanted = [row[cls] - max(np.delete(row, cls)) for row, cls in zip(logits, own, strict=True)]
    assert margins(logits, own).tolist() == pytest.approx(wanted)
