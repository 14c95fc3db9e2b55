"""What `recovery` reads from clips, concepts and objects of which everything is known."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from earmark.sound.logmel import LogMel
from earmark.stages import ablate, objects
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import ground_truth
from earmark.tables.summary import At, Label

FRONTEND = LogMel(sample_rate=16000, n_fft=256, hop=64, n_mels=16, n_frames=16, offset=1e-7, floor=-4.0)


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
    found = ground_truth.read(tmp_path / "objects.csv", "test")
    assert found is not None
    assert found.index.tolist() == [("nan", 3), ("nan", 7)]
    assert found.group.tolist() == ["g3", "g7"]
    np.testing.assert_array_equal(found.relevance[1], first)
    np.testing.assert_array_equal(found.relevance[0], silent)
    assert found.accuracy[1].tolist() == pytest.approx(first[:, 1:] / 10)
    assert ground_truth.read(tmp_path / "none.csv", "test") is None


def test_concepts_are_assigned_on_validation_clips(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    straight = np.array([[0.0, 9, 1], [0, 1, 9]])
    crossed = straight[::-1]
    write(path, {("validation", "a", 1): straight, ("test", "a", 2): straight, ("test", "a", 3): crossed})
    validation, test = ground_truth.read(path, "validation"), ground_truth.read(path, "test")
    assert validation is not None
    assert test is not None
    values = ground_truth.matched_values(validation, test)
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


EVEN = np.array([[2.0, 1, 1], [2, 1, 1]])
APART = np.array([[2.0, 4, 0], [2, 0, 4]])
GRID = [At("conv1", "drsa", 2), At("conv1", "late", 2), At("conv1", "oracle", 2), At("conv1", "random", 2)]


@pytest.fixture
def study(tmp_path: Path) -> SimpleNamespace:
    """DRSA tells the objects of class a apart and those of b not at all; the oracle both; random neither."""
    layout = Layout(tmp_path, "demo")
    clips = {"a": range(4), "b": range(4, 8)}
    tables_of = {"drsa": {"a": APART, "b": EVEN}, "oracle": {"a": APART, "b": APART}}
    for method in ("drsa", "oracle", "random~0", "random~1"):
        path = layout.method("main", "conv1", method, 2) / "objects.csv"
        path.parent.mkdir(parents=True)
        table = {}
        for cls, numbers in clips.items():
            for which in ("validation", "test"):
                # backwards, to show that rows are found by their clip
                for number in reversed(numbers):
                    table[which, cls, number] = tables_of.get(method, {}).get(cls, EVEN)
        write(path, table)
    path = layout.method("main", "input", "standard", 1) / "objects.csv"
    path.parent.mkdir(parents=True)
    write(path, {(which, cls, n): EVEN[:1] for which in ("validation", "test") for cls in clips for n in clips[cls]})
    rows = [
        (which, cls, number, "p", f"g{number}", place, 10.0, 10.0 - place, 3)
        for which in ("validation", "test")
        for cls in clips
        for number in clips[cls]
        for place in (1, 2)
    ]
    artifacts.write_csv(layout.split("main") / "ablation.csv", ablate.COLUMNS, rows, {})
    infos = [SimpleNamespace(slug=cls, name=cls) for cls in clips]
    source = SimpleNamespace(classes=infos, object_names=lambda info: ["low", "high"])
    folders = lambda at: ("random~0", "random~1") if at.method == "random" else (at.method,)  # noqa: E731
    return SimpleNamespace(
        layout=layout,
        split="main",
        source=source,
        grid=GRID,
        folders=folders,
        left_out=lambda use: dict.fromkeys(clips, {"truth-test": 3}[use]),
        draws=50,
        seed=0,
        ks=[2],
        layers=["conv1"],
    )


def estimates(study: SimpleNamespace) -> dict[tuple[str, str, str], str]:
    rows = ground_truth.rows(study, ground_truth.measure(study))
    return {(row[1], row[3], row[4]): row[5] for row in rows}


def test_ground_truth_says_what_was_put_in(study: SimpleNamespace) -> None:
    found = estimates(study)
    for key, wanted in {
        ("drsa", "a", "nmi"): 1,
        ("drsa", "b", "nmi"): 0,
        ("drsa", "all", "nmi"): 0.5,
        ("drsa", "all", "nmi, validation"): 0.5,
        ("drsa", "all", "nmi / best"): 0.5,
        ("drsa", "a", "nmi - random"): 1,
        ("drsa", "all", "nmi - oracle"): -0.5,
        ("oracle", "all", "nmi / best"): 1,
        ("random", "all", "nmi"): 0,
        ("drsa", "a", "capture"): 1,
        ("random", "all", "capture"): 0.5,
        ("drsa", "all", "capture - random"): 0.25,
        ("standard", "all", "logit lost without object 2"): 2,
        ("standard", "a", "share background"): 0.5,
    }.items():
        assert float(found[key]) == pytest.approx(wanted, abs=1e-9), key
    assert ("oracle", "all", "nmi - drsa") not in found  # each difference once


def test_what_was_not_computed_is_there_and_empty(study: SimpleNamespace) -> None:
    rows = [row for row in ground_truth.rows(study, ground_truth.measure(study)) if row[1] == "late"]
    assert {row[4] for row in rows} >= {"nmi", "nmi / best", "capture", "si_sdr object 2", "nmi - random"}
    assert all(row[5] == "" for row in rows)
    (study.layout.method("main", "conv1", "random~1", 2) / "objects.csv").unlink()
    assert estimates(study)["random", "all", "nmi"] == ""  # half of its seeds are not its mean
    text = ground_truth.report(study, ground_truth.measure(study), "Title")
    assert "| conv1 | late | – |" in text or "not computed" in text
    assert "a 4 scored in 4 groups, 3 left out" in text
    (study.layout.split("main") / "ablation.csv").unlink()
    assert ground_truth.rows(study, ground_truth.measure(study)) == []
    assert "Not computed" in ground_truth.report(study, ground_truth.measure(study), "Title")


def test_differences_of_clips_are_tested_and_those_of_pools_bounded(study: SimpleNamespace) -> None:
    found = ground_truth.measure(study)
    assert found is not None
    tested = found.summaries[Label(GRID[0], "capture - random"), "a"]
    assert 0 < tested.p <= 1
    pooled = found.summaries[Label(GRID[0], "nmi - random"), "a"]
    assert math.isnan(pooled.p)
    assert pooled.interval.low <= pooled.interval.estimate <= pooled.interval.high


def test_one_concept_tells_nothing_and_breaks_nothing(study: SimpleNamespace) -> None:
    study.grid = [At("conv1", "drsa", 1), At("conv1", "oracle", 1)]
    for at in study.grid:
        path = study.layout.method("main", "conv1", at.method, 1) / "objects.csv"
        path.parent.mkdir(parents=True)
        write(path, {(which, cls, n): EVEN[:1] for which in ("validation", "test") for cls, n in (("a", 1), ("b", 5))})
    found = ground_truth.measure(study)
    assert found is not None
    assert found.summaries[Label(study.grid[0], "capture"), "all"].n == 2  # of eight clips
    assert found.summaries[Label(study.grid[0], "nmi"), "all"].interval.estimate == pytest.approx(0)
    assert (Label(study.grid[0], "nmi / best"), "all") not in found.summaries
