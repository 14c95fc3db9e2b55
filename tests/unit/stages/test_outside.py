"""Clips of three tones, contaminated by each other, by noise and by another data set, explained and scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from earmark.data import chosen, predictions
from earmark.data.chosen import SCORED
from earmark.data.contaminants import CONDITIONS, conditions
from earmark.data.dataset import open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.metrics.masking import NATIVE
from earmark.models import base as models
from earmark.plan.config import validate
from earmark.plan.stages import stage_config
from earmark.stages import choose, compare, ingest, outside, predict
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import Layout
from tests.unit.stages.test_ingest import tone, write

CLASSES, PER_CLASS, SECONDS = ["high", "low", "mid"], 16, 0.25
ORACLE = "oracle-stems"
"""Not asked for, as the data set has no stems of its own: of contaminated clips it knows both sounds."""

METHODS = ["allpass", "energy", "cells~0", "cells~1", "input-x-gradient", "occlusion"]
CLIPS, FEW = 4, 5
"""Clips of each class, and of all together where a method is expensive."""

CONFIG: dict[str, Any] = {
    "run": ["mine"],
    "datasets": {
        "mine": {
            "source": "folder",
            "folds": 4,
            "clips_per_recording": 1,
            "frontend": {"sample_rate": 16000, "n_fft": 480, "hop": 240, "n_mels": 32, "n_frames": 17},
            "model": {"filters": [8, 16], "dense": [8]},
            "grid": {"layers": ["conv2"], "methods": ["occlusion"], "k": [1]},
            "explain": {"clips": 6, "gallery": 1, "expensive": FEW},
            "evaluate": {
                "budgets": [0.2, 0.6],
                "outside": METHODS,
                "outside_clips": CLIPS,
                "outside_speech": "words",
                "bootstrap": 30,
            },
        },
        "words": {
            "source": "folder",
            "folds": 4,
            "clips_per_recording": 1,
            "frontend": {"sample_rate": 8000, "n_fft": 256, "hop": 120, "n_mels": 16, "n_frames": 33},
            "model": {"filters": [4, 4], "dense": [8]},
        },
    },
}


def run(stage: Any, layout: Layout, root: Path, method: str | None = None, **place: Any) -> None:
    """Run a stage with the sections that the workflow gives it."""
    name = stage.__name__.rpartition(".")[2]
    blocks = {key: {**block, "root": str(root / key)} for key, block in CONFIG["datasets"].items()}
    sections = json.loads(stage_config(validate({**CONFIG, "datasets": blocks}), layout.dataset, name, method))
    at = {"layer": "input", "method": method, "k": 1} if method else {}
    stage.run(Job(name, layout.results, layout.dataset, sections, **at, **place))


def learned(layout: Layout) -> None:
    """Write a network that tells the tones apart, also in noise."""
    source = open_dataset(layout)
    clips, targets = source.waveforms(range(len(source.clips))), source.targets(range(len(source.clips)))
    architecture = {"name": "cnn", "filters": [8, 16], "dense": [8], "n_classes": 3, "input_shape": [32, 17]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.build(**architecture)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
        for _ in range(80):
            inputs = source.frontend(clips + 0.2 * torch.rand(len(clips), 1) * torch.randn_like(clips))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()
    frontend = artifacts.read_metadata(layout.logmel)["frontend"]
    models.save(layout.model("main"), network, architecture, CLASSES, frontend, {})


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Path]:
    """Results of every method."""
    root, layout = tmp_path_factory.mktemp("recordings"), Layout(tmp_path_factory.mktemp("results"), "mine")
    rng = np.random.default_rng(0)
    for place, cls in enumerate(CLASSES):
        for number in range(PER_CLASS):
            clip = tone(500 * 3**place + 11 * number, SECONDS, level=0.3)
            clip[: 200 * (number % 4)] = 0
            write(root / "mine" / cls / f"{number:02d}.wav", clip + 1e-3 * rng.standard_normal(len(clip)))
    for number in range(8):  # shorter and longer than a clip
        burst = np.convolve(rng.standard_normal(1000 + 500 * number), np.ones(8) / 20)
        write(root / "words" / "ab"[number % 2] / f"{number}.wav", burst.clip(-1, 1), 8000)
    run(ingest, Layout(layout.results, "words"), root)
    run(ingest, layout, root)
    learned(layout)
    run(predict, layout, root, split="main")
    run(choose, layout, root, split="main")
    for method in (*METHODS, ORACLE):
        run(outside, layout, root, method, split="main")
    run(compare, layout, root, split="main")
    return layout, root


def found(layout: Layout, method: str, name: str = "outside") -> list[dict[str, str]]:
    return artifacts.read_rows(layout.method("main", "input", method, 1) / f"{name}.csv")


def draws_of(layout: Layout, cls: str) -> dict[str, Any]:
    """What clips of a class are contaminated with."""
    source = open_dataset(layout)
    told = predictions.of(Job("outside", layout.results, "mine", {}, split="main"))
    other = open_dataset(Layout(layout.results, "words"))
    return conditions(source, told, "main", source.classes[CLASSES.index(cls)], other, 7)


def test_every_clip_is_tried_in_every_condition_and_the_same_by_every_method(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    choice = chosen.read(layout, "main")
    tried = found(layout, "energy", "outside_clips")
    for cls in CLASSES:
        own = {int(row["clip"]) for row in tried if row["cls"] == cls}
        assert own <= set(choice.clips(cls, SCORED)) and len(own) == min(CLIPS, len(choice.clips(cls, SCORED)))
    assert {row["condition"] for row in tried} == set(CONDITIONS)
    same = [[row[key] for key in ("clip", "condition", "contaminant", "moved", "without_clip")] for row in tried]
    for method in (*METHODS[:-1], ORACLE):
        others = found(layout, method, "outside_clips")
        assert [
            [row[key] for key in ("clip", "condition", "contaminant", "moved", "without_clip")] for row in others
        ] == same
    few = [row for row in found(layout, "occlusion", "outside_clips") if row["condition"] == "white"]
    assert len(few) == FEW
    assert {row["clip"] for row in few} < {row["clip"] for row in tried}


def test_a_clip_is_mixed_with_a_recognised_one_of_another_class(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    source, told = open_dataset(layout), predictions.of(Job("outside", layout.results, "mine", {}, split="main"))
    place = {path: clip for clip, path in enumerate(source.clips["path"])}
    mixed = [row for row in found(layout, "energy", "outside_clips") if row["condition"] == "mixture"]
    for row in mixed:
        clip = place[row["contaminant"]]
        assert source.clips["class"].iloc[clip] != row["cls"]
        assert told.recognised([clip], int(source.targets([clip])[0])).all()
        assert clip in source.split("main").test
    assert len({row["contaminant"] for row in mixed}) > 3
    spoken = {row["contaminant"] for row in found(layout, "energy", "outside_clips") if row["condition"] == "speech"}
    assert spoken <= {f"{'ab'[number % 2]}/{number}.wav" for number in range(8)} and len(spoken) > 1


def test_what_a_clip_gets_depends_on_nothing_else(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    clips = chosen.read(layout, "main").clips("low", SCORED).tolist()
    one, other = draws_of(layout, "low"), draws_of(layout, "low")
    assert list(one) == list(CONDITIONS)
    for condition, draw in one.items():
        sounds = {clip: draw(clip) for clip in clips}
        for clip in reversed(clips):
            again = other[condition](clip)
            assert again.path == sounds[clip].path and torch.equal(again.sound, sounds[clip].sound)
    assert not torch.equal(one["white"](clips[0]).sound, one["white"](clips[1]).sound)


def test_who_has_moved_is_counted_and_not_scored(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    tried = found(layout, "energy", "outside_clips")
    moved = {(row["clip"], row["condition"]) for row in tried if row["moved"] == "1"}
    assert 0 < len(moved) < len(tried)
    assert all(row["without_clip"] == row["source_auc"] == "" for row in tried if row["moved"] == "1")
    scored = {(row["clip"], row["condition"]) for row in found(layout, "energy")}
    assert scored == {(row["clip"], row["condition"]) for row in tried} - moved
    table = artifacts.read_rows(layout.tables / "outside.csv")
    for condition in CONDITIONS:
        (part,) = (
            float(row["estimate"])
            for row in table
            if (row["condition"], row["method"], row["metric"], row["cls"]) == (condition, "energy", "moved", ALL)
        )
        own = [row["cls"] for row in tried if row["condition"] == condition]
        lost = [row["cls"] for row in tried if row["condition"] == condition and row["moved"] == "1"]
        assert part == pytest.approx(np.mean([lost.count(cls) / own.count(cls) for cls in CLASSES]), abs=1e-5)


def test_the_whole_clip_keeps_its_answer_and_gains_nothing(heard: tuple[Layout, Path]) -> None:
    rows = [row for row in found(heard[0], "allpass") if row["budget"] in ("1", NATIVE)]
    assert {row["condition"] for row in rows} == set(CONDITIONS)
    for row in rows:
        assert float(row["fid_in"]) == 1 and float(row["ad"]) == pytest.approx(0, abs=0.01)
        assert float(row["source_gain"] or 0) == pytest.approx(0, abs=0.05)


def test_who_knows_the_sources_gains_what_there_is(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    known = {(row["clip"], row["condition"]): row for row in found(layout, ORACLE, "outside_clips")}
    own = [row for row in found(layout, ORACLE) if row["budget"] == NATIVE and row["source_gain"]]
    assert {row["condition"] for row in own} <= set(CONDITIONS[1:])
    exact = [float(row["source_gain"]) for row in own if float(row["source_gain"]) > 40]
    assert len(exact) > 3  # dB: the clip itself, where the model uses it alone
    aucs = [float(row["source_auc"]) for row in known.values() if row["source_auc"]]
    assert np.mean(aucs) > 0.95
    gains = {
        method: [float(row["source_gain"]) for row in found(layout, method, "outside_clips") if row["source_gain"]]
        for method in (ORACLE, "cells~0")
    }
    assert min(gains[ORACLE]) > max(gains["cells~0"]) and np.mean(gains[ORACLE]) > 3
    assert all(not row["source_auc"] for row in known.values() if row["condition"] == "clean")


def test_truth_is_asked_where_the_model_goes_by_the_clip_alone(heard: tuple[Layout, Path]) -> None:
    tried = [row for row in found(heard[0], "energy", "outside_clips") if row["moved"] == "0"]
    dirty = [row for row in tried if row["condition"] != "clean"]
    told = [float(row["without_clip"]) > 0.5 >= float(row["without_contaminant"]) for row in dirty]
    assert set(told) == {True, False}
    assert [row["source_auc"] != "" for row in dirty] == told
    gains = {(row["clip"], row["condition"]): row["source_gain"] for row in found(heard[0], "energy")}
    assert all(bool(gains[row["clip"], row["condition"]]) == bool(row["source_auc"]) for row in dirty)


def test_a_data_set_without_any_sound_contaminates_nothing(heard: tuple[Layout, Path], tmp_path: Path) -> None:
    layout, root = heard
    shutil.copytree(layout.results, tmp_path / "results")
    mine, words = (Layout(tmp_path / "results", name) for name in ("mine", "words"))
    np.save(words.clips, np.zeros_like(np.load(words.clips)))
    with pytest.raises(EarmarkError, match=r"^words: there is no sound in its clips, .* evaluate.outside_speech$"):
        run(outside, mine, root, "energy", split="main")


def test_a_class_without_another_one_is_mixed_with_none(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    source = open_dataset(layout)
    logits = np.full((len(source.clips), 3), -1, np.float32)
    logits[:, 0] = 1  # every clip is taken for the first class
    alone = conditions(source, predictions.Predictions(logits), "main", source.classes[0], None, 0)
    assert list(alone) == ["clean", "white"]


def test_people_are_told_who_moved_and_what_was_found(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    text = (layout.tables / "outside.md").read_text()
    assert "| condition | clips | moved | untold |" in text
    assert f"| clean | {3 * CLIPS} | 0 | 0 |" in text
    assert "## white, 0.6 of the energy" in text
    assert "### Do they find the clip in it? (mixture)" in text
    assert "### Sounds that methods made themselves (speech)" in text
    table = artifacts.read_rows(layout.tables / "outside.csv")
    compared = {row["metric"] for row in table if row["p"]}
    assert {"logodds_in at 0.6 - energy", "source_auc - cells", "source_gain - energy"} <= compared
