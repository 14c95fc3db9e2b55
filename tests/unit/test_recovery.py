"""What `recovery` reads from clips, concepts and objects of which everything is known."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark import ablate, objects, recovery
from earmark.frontend import Frontend

FRONTEND = Frontend(sample_rate=16000, n_fft=256, hop=64, n_mels=16, n_frames=16, offset=1e-7, floor=-4.0)


def write(path: Path, table: dict[tuple[str, str, int], np.ndarray]) -> None:
    """Write the relevance ``[K, 1 + O]`` of every (set, class, clip); NaN for a silent object."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(objects.COLUMNS)
        for (which, cls, clip), relevance in table.items():
            for concept, sums in enumerate(relevance, start=1):
                for number, value in enumerate(sums):
                    if not math.isnan(value):
                        scores = ("", "") if number == 0 else (value / 10, -value)
                        writer.writerow([which, cls, clip, "p", f"g{clip}", 1.0, concept, number, 5, value, *scores])


def test_a_row_per_clip_concept_and_object_becomes_arrays(tmp_path: Path) -> None:
    first = np.array([[1.0, 2, 3], [4, 5, 6]])
    silent = np.array([[1.0, np.nan, 3], [4, np.nan, 6]])
    write(
        tmp_path / "objects.csv",
        {("test", "nan", 7): first, ("test", "nan", 3): silent, ("validation", "nan", 1): first},
    )
    found = recovery.read(tmp_path / "objects.csv", "test")
    assert found is not None
    assert found.index.tolist() == [("nan", 3), ("nan", 7)]
    assert found.group.tolist() == ["g3", "g7"]
    np.testing.assert_array_equal(found.relevance[1], first)
    np.testing.assert_array_equal(found.relevance[0], silent)
    assert found.accuracy[1].tolist() == pytest.approx(first[:, 1:] / 10)
    assert recovery.read(tmp_path / "none.csv", "test") is None


def test_concepts_are_assigned_on_validation_clips(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    straight = np.array([[0.0, 9, 1], [0, 1, 9]])
    crossed = straight[::-1]
    write(path, {("validation", "a", 1): straight, ("test", "a", 2): straight, ("test", "a", 3): crossed})
    validation, test = recovery.read(path, "validation"), recovery.read(path, "test")
    assert validation is not None
    assert test is not None
    values = recovery.matched_values(validation, test)
    assert values["capture"].tolist() == pytest.approx([0.9, 0.1])
    assert values["rank_accuracy object 2"].tolist() == pytest.approx([0.9, 0.1])
    assert values["si_sdr object 1"].tolist() == pytest.approx([-9, -1])


def test_an_object_taken_out_leaves_the_others_as_they_were() -> None:
    times = torch.arange(FRONTEND.clip_samples, dtype=torch.float64) / FRONTEND.sample_rate
    stems = torch.stack([0.5 * torch.sin(2 * math.pi * 700 * times), 0.2 * torch.sin(2 * math.pi * 3000 * times)])
    clip = stems.sum(dim=0)
    reduced = ablate.without(FRONTEND, clip, torch.cat([stems, torch.zeros(1, len(times))]))
    assert reduced.shape == (3, 1, 16, 16)
    assert torch.allclose(reduced[2], FRONTEND.logmel(clip[None])[0])
    alone = FRONTEND.compressed(FRONTEND.mel(stems[1:] / clip.abs().max()))
    assert torch.allclose(reduced[0], alone, atol=1e-4)
    with_both, without_first = FRONTEND.logmel(clip[None])[0, 0], reduced[0, 0]
    band = int((FRONTEND.mel_frequencies - 3000).abs().argmin())
    assert torch.allclose(with_both[band], without_first[band], atol=0.05)
