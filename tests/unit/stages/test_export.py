"""The kit of a listening test, made of explanations that the model heard, and what comes back."""

from __future__ import annotations

import csv
import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.io import wavfile

from earmark import cli
from earmark.data.dataset import open_dataset
from earmark.data.ratings import COLUMNS
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.metrics.listening import PEAK
from earmark.metrics.ratings import QUESTIONS, REFERENCE, REST
from earmark.plan.config import validate
from earmark.plan.methods import by_ear
from earmark.plan.stages import stage_config
from earmark.sound import wav
from earmark.stages import export, ingest
from earmark.store import artifacts
from earmark.store.layout import STANDARD, Layout
from tests.unit.page.kit.test_webmushra import faults
from tests.unit.stages.test_ingest import tone, write

RATE, SAMPLES, CLASSES, KEPT = 8000, 1920, ["deep & low", "high"], 3
BLOCK: dict[str, Any] = {
    "source": "folder",
    "folds": 3,
    "clips_per_recording": 1,
    "frontend": {"sample_rate": RATE, "n_fft": 256, "hop": 120, "n_mels": 16, "n_frames": 17},
    "model": {"filters": [4, 4], "dense": [8]},
    "grid": {"layers": ["conv1", "conv2"], "methods": ["drsa"], "k": [2]},
    "listening_test": {"clips": 5, "methods": ["drsa", "gradcam"]},
}


def block(root: Path, **changes: Any) -> dict[str, Any]:
    return {"run": ["mine"], "datasets": {"mine": {**BLOCK, "root": str(root), **changes}}}


def run(stage: Any, layout: Layout, root: Path, **changes: Any) -> None:
    """Run a stage with the sections that the workflow gives it."""
    name = stage.__name__.rpartition(".")[2]
    sections = json.loads(stage_config(validate(block(root, **changes)), layout.dataset, name))
    stage.run(Job(name, layout.results, layout.dataset, sections, split="main"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for place, cls in enumerate(CLASSES):
        for number in range(6):
            samples = tone(300 * (place + 1) + 7 * number, 0.24, RATE) + 0.05 * rng.standard_normal(SAMPLES)
            write(root / cls / f"{number:02d}.wav", samples, RATE)
    return root


@pytest.fixture(scope="module")
def heard(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Some clips that the model heard in parts, as `mask` leaves them; one explanation is silent."""
    layout = Layout(tmp_path_factory.mktemp("results"), "mine")
    run(ingest, layout, recordings)
    source = open_dataset(layout)
    for number, (name, (layer, k)) in enumerate(by_ear(validate(block(recordings))["datasets"]["mine"]).items()):
        for cls in source.classes:
            clips = np.flatnonzero(source.clips["class"] == cls.slug)[: KEPT + (name == STANDARD)]
            for clip in clips.tolist():
                mask = torch.rand(source.clip_samples, generator=torch.Generator().manual_seed(100 * number + clip))
                sound = 0.1**number * mask * source.waveforms([clip])[0]
                path = layout.method("main", layer, name, k) / "masked" / cls.slug / f"{clip}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                wav.write(path, sound * (name != "gradcam" or clip > 0), RATE)
    return layout


@pytest.fixture(scope="module")
def kit(heard: Layout, recordings: Path) -> Layout:
    run(export, heard, recordings)
    return heard


def samples(layout: Layout, row: dict[str, str]) -> np.ndarray:
    rate, found = wavfile.read(layout.listening_test / row["file"])
    assert rate == 16000 and found.dtype == np.int16
    return found / 32768


def test_every_clip_is_heard_in_every_way(kit: Layout) -> None:
    key = artifacts.read_rows(kit.listening_key)
    conditions = {REFERENCE, REST, "drsa", "gradcam", STANDARD, "cells~0"}
    trials = {row["trial"] for row in key}
    assert len(trials) == 5 and len(key) == 5 * len(conditions)
    for trial in trials:
        own = [row for row in key if row["trial"] == trial]
        assert {row["condition"] for row in own} == conditions
        assert len({(row["clip"], row["cls"], row["answer"], row["path"]) for row in own}) == 1
    assert sorted(row["cls"] for row in key if row["condition"] == REST) == 3 * ["deep-low"] + 2 * ["high"]
    assert len({row["clip"] for row in key}) == 5


def test_sounds_are_equally_loud_as_long_as_each_other_and_what_they_are_said_to_be(kit: Layout) -> None:
    key, source = artifacts.read_rows(kit.listening_key), open_dataset(kit)
    levels, peaks = [], []
    for row in key:
        sound = samples(kit, row)
        assert len(sound) == 2 * SAMPLES
        if sound.any():
            levels.append(20 * np.log10(np.sqrt(np.mean(sound**2))))
            peaks.append(np.abs(sound).max())
    assert len(levels) == len(key) - sum(row["clip"] == "0" for row in key if row["condition"] == "gradcam")
    assert max(levels) - min(levels) < 0.01 and max(peaks) == pytest.approx(PEAK, abs=1e-3)
    for trial in {row["trial"] for row in key}:
        own = {row["condition"]: row for row in key if row["trial"] == trial}
        clip = int(own[REST]["clip"])
        true = source.waveforms([clip])[0].numpy()
        standard = wavfile.read(kit.method("main", "input", STANDARD, 1) / f"masked/{own[REST]['cls']}/{clip}.wav")[1]
        for name, wanted in ((REFERENCE, true), (STANDARD, standard), (REST, true - standard)):
            found = samples(kit, own[name])[::2]  # at twice the rate
            inside = slice(100, len(wanted) - 100)
            assert np.corrcoef(found[inside], wanted[inside])[0, 1] > 0.95, name


def test_nothing_that_goes_to_listeners_tells_what_is_what(kit: Layout) -> None:
    key = artifacts.read_rows(kit.listening_key)
    files = [path for path in kit.listening_test.rglob("*") if path.is_file()]
    names = [Path(row["file"]).stem for row in key]
    assert sorted(names) == [f"s{number:02d}" for number in range(1, len(key) + 1)]
    places = {
        name: [int(Path(row["file"]).stem[1:]) for row in key if row["condition"] == name] for name in (REST, REFERENCE)
    }
    assert all(found != list(range(found[0], found[0] + len(found))) for found in places.values())
    own = [path for path in files if path.suffix in (".yaml", ".txt", ".csv", ".md") or path.name == "data.js"]
    assert len(own) == 5
    for path in own:
        text = path.read_text(encoding="utf-16" if path.read_bytes()[:2] == b"\xff\xfe" else "utf-8")
        assert not re.search(r"drsa|gradcam|cells|rest\b|heatmap|conv2|\bstandard\b(?! dev)", text), path.name
    assert not {name for path in files for name in ("drsa", "gradcam", "rest", "standard") if name in path.name}
    for path in files:
        if path.suffix in (".wav", ".js", ".csv"):
            assert not {b"drsa", b"gradcam", b"cells~0"} & set(re.findall(rb"[a-z~0-9]+", path.read_bytes())), path.name


def test_the_configuration_is_one_of_webmushra_and_names_the_files(kit: Layout) -> None:
    key = artifacts.read_rows(kit.listening_key)
    (path,) = (kit.listening_test / "configs").iterdir()
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert faults(config) == [] and path.stem == config["testId"] == key[0]["test"]
    pages = [page for block in config["pages"] if isinstance(block, list) for page in block[1:]]
    assert len(pages) == 5 * len(QUESTIONS)
    for page in pages:
        trial = page["id"].partition("-")[0]
        own = {row["stimulus"]: row["file"] for row in key if row["trial"] == trial}
        assert own == {REFERENCE: page["reference"], **page["stimuli"]}
        assert all((kit.listening_test / file).is_file() for file in own.values())


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_names(
    kit: Layout, recordings: Path, tmp_path: Path
) -> None:
    def contents(layout: Layout) -> dict[str, bytes]:
        return {
            str(path.relative_to(layout.root)): path.read_bytes()
            for path in [layout.listening_key, *layout.listening_test.rglob("*")]
            if path.is_file()
        }

    shutil.copytree(kit.results, tmp_path / "results")
    again = Layout(tmp_path / "results", "mine")
    run(export, again, recordings)
    assert contents(again) == contents(kit)
    sections = json.loads(stage_config(validate({**block(recordings), "seed": 1}), "mine", "export"))
    export.run(Job("export", again.results, "mine", sections, split="main"))
    assert contents(again) != contents(kit)


def test_licences_are_listed_and_a_warning_says_where_one_is_not_known(
    kit: Layout, recordings: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(kit.results, tmp_path / "results")
    layout = Layout(tmp_path / "results", "mine")
    for licence, listed in ((None, "unknown"), ("CC BY-SA 4.0", "CC BY-SA 4.0")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            run(export, layout, recordings, licence=licence)
        rows = list(csv.DictReader((layout.listening_test / "licences.csv").open()))
        assert {row["licence"] for row in rows} == {listed} and len({row["trial"] for row in rows}) == 5
        assert {row["recording"] for row in rows} <= set(open_dataset(layout).clips["path"])
        assert ("nobody told the licence" in caplog.text) == (licence is None)


def test_more_clips_than_there_are_is_one_sentence(kit: Layout, recordings: Path) -> None:
    with pytest.raises(EarmarkError, match=r"^mine: listening_test.clips = 7 are more than the 6 clips"):
        run(export, kit, recordings, listening_test={**BLOCK["listening_test"], "clips": 7})


def test_what_comes_back_is_judged_by_one_command(kit: Layout, tmp_path: Path, capsys: Any) -> None:
    key = artifacts.read_rows(kit.listening_key)
    rng = np.random.default_rng(0)

    def file(name: str, kind: Any, end: int | None = None) -> Path:
        lines = [
            [row["test"], name, name, f"{row['trial']}-{question}", row["stimulus"], str(kind(row)), "1", ""]
            for question in QUESTIONS
            for row in key
        ]
        path = tmp_path / f"{name}.csv"
        path.write_text("".join(f"{','.join(line)}\n" for line in [COLUMNS, *lines[:end]]))
        return path

    points = {REFERENCE: 95, "drsa": 70, "gradcam": 30, STANDARD: 50, "cells~0": 10, REST: 40}
    opinions = [file(f"l{n}", lambda row: points[row["condition"]] + int(rng.integers(-4, 5))) for n in range(5)]
    odd = [file("all", lambda row: 100), file("half", lambda row: points[row["condition"]], len(key) // 2)]
    copied = tmp_path / "copied.csv"
    shutil.copy(opinions[0], copied)
    called = ["answers", "--results", str(kit.results), "--dataset", "mine"]
    assert cli.main([*called, *map(str, [*opinions, *odd, copied])]) == 0
    text = capsys.readouterr().out
    assert f"7 listeners, {6 * 2 * len(key) + len(key) // 2} ratings of {7 * 2 * len(key)}." in text
    assert f"- {odd[0]}, all: all ratings are alike: 100." in text
    assert f"- {odd[1]}, half: {2 * len(key) - len(key) // 2} without a rating: " in text
    assert f"- {copied}, l0 is a second submission of {opinions[0]}, l0, and does not count." in text
    assert text.count("points without the doubtful") == 2
    assert re.search(r"^\| `drsa` \| 7 \| .* \| (69|70|71)\.\d \[.*\] \|$", text, re.MULTILINE)
    assert "as these ratings show" in " ".join(text.split()) and "| points | deep-low | high |" in text
    assert cli.main([*called, str(kit.clip_index)]) == 1
    assert "earmark: the answers '" in capsys.readouterr().err


def test_ratings_without_a_key_are_one_sentence(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "mushra.csv"
    path.write_text(f"{','.join(COLUMNS)}\n")
    assert cli.main(["answers", "--results", str(tmp_path), "--dataset", "mine", str(path)]) == 1
    assert "nobody can tell what was rated" in capsys.readouterr().err


def test_nobody_listened(kit: Layout, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "mushra.csv"
    path.write_text(f"{','.join(COLUMNS)}\n")
    assert cli.main(["answers", "--results", str(kit.results), "--dataset", "mine", str(path)]) == 0
    assert "Nobody's ratings count." in capsys.readouterr().out
