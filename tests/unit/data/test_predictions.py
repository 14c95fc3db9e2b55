"""Which clips the model recognises."""

from types import SimpleNamespace

import numpy as np

from earmark.data.dataset import ClassInfo, Split
from earmark.data.predictions import Predictions

CLASSES = np.array([0, 0, 0, 1, 1, 0])
LOGITS = np.array([[2, 1], [-1, -2], [1, 3], [2, 1], [3, 1], [4, 0]], np.float32)
ONE, OTHER = ClassInfo("one", "One", 0), ClassInfo("other", "Other", 1)
SPLIT = Split("main", *(np.array(clips) for clips in ([0, 1, 2, 3, 4], [], [5])))


def source(split: Split = SPLIT) -> SimpleNamespace:
    return SimpleNamespace(
        labelled=True,
        split=lambda name: split,
        of_class=lambda clips, cls: clips[CLASSES[clips] == cls.index],
    )


def test_training_clips_are_of_the_class_and_recognised() -> None:
    assert Predictions(LOGITS).training(source(), "main", ONE).tolist() == [0]


def test_a_class_is_explained_that_is_recognised_in_training_and_in_test() -> None:
    answers = Predictions(LOGITS)
    assert answers.lacking(source(), "main", ONE) == ""
    assert answers.lacking(source(), "main", OTHER) == "no test clip of it is recognised"  # nor any other
    backwards = Split("main", SPLIT.test, SPLIT.validation, SPLIT.train)
    everywhere = Predictions(np.where(np.arange(6)[:, None] == 5, -LOGITS[[3]], LOGITS))
    assert everywhere.lacking(source(backwards), "main", ONE) == "no training clip of it is recognised"
