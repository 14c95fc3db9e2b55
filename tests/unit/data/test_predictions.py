"""Which clips the model recognises."""

from types import SimpleNamespace

import numpy as np
import pytest

from earmark.data.dataset import ClassInfo, Split
from earmark.data.predictions import Predictions
from earmark.errors import EarmarkError

CLASSES = np.array([0, 0, 0, 1, 1, 0])
LOGITS = np.array([[2, 1], [-1, -2], [1, 3], [2, 1], [3, 1], [4, 0]], np.float32)
ONE, OTHER = ClassInfo("one", "One", 0), ClassInfo("other", "Other", 1)
SPLIT = Split("main", *(np.array(clips) for clips in ([0, 1, 2, 3, 4], [], [5])))


def source() -> SimpleNamespace:
    return SimpleNamespace(
        labelled=True,
        split=lambda name: SPLIT,
        layout=SimpleNamespace(dataset="demo"),
        of_class=lambda clips, cls: clips[CLASSES[clips] == cls.index],
    )


def test_training_clips_are_of_the_class_and_recognised() -> None:
    assert Predictions(LOGITS).training(source(), "main", ONE).tolist() == [0]


def test_a_class_without_one_is_named() -> None:
    with pytest.raises(EarmarkError, match=r"^the model of demo/main recognises no training clip of Other: nothing to"):
        Predictions(LOGITS).training(source(), "main", OTHER)
