"""Which classes a recording is explained for."""

from types import SimpleNamespace

import pytest
import torch

from earmark.data.dataset import ClassInfo
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.stages import track

CLASSES = [ClassInfo("wren", "wren", 0), ClassInfo("great-tit", "Great Tit", 1), ClassInfo("cafe", "caf\u00e9", 2)]


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    monkeypatch.setattr(track.predictions, "of", lambda job: SimpleNamespace(lacking=lambda *given: ""))
    job = Job("track", tmp_path, "birds", {"explain": {"classes": []}}, "main", track="song")
    logits = torch.tensor([1.0, 0.0, 0.0])

    def names(*asked):
        found, _ = track.classes_of(job, SimpleNamespace(classes=CLASSES), logits, list(asked))
        return [cls.slug for cls in found]

    return names


@pytest.mark.parametrize(
    ("asked", "slug"),
    [("Great Tit", "great-tit"), ("great-tit", "great-tit"), ("cafe\u0301", "cafe"), ("cafe", "cafe")],
)
def test_classes_are_found_by_name_however_it_is_stored_or_slug(chosen, asked, slug):
    assert chosen() == ["wren"]
    assert chosen(asked) == ["wren", slug]


def test_a_class_that_is_not_explained_is_a_sentence(chosen):
    with pytest.raises(EarmarkError, match=r"not explained for Wren: it is not among explain\.classes"):
        chosen("Wren")
