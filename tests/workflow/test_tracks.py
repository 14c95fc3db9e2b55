"""Recordings of any length: one command to a page, nothing else made again, and a sentence for what cannot be heard."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from earmark.data.dataset import FULL_SCALE, open_dataset
from earmark.data.decode import decode
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import stages
from earmark.plan.config import validate
from earmark.stages import track
from earmark.store.layout import RESERVED, Layout
from tests.unit.page.test_files import read
from tests.workflow.conftest import TINY, new_project

FILE = 'my "so\'ng" $x {y} 🎵.wav'
NAME = "my-so-ng-x-y"
ABOUT = {"name": None, "classes": []}


@pytest.fixture(scope="module")
def project(complete, tmp_path_factory):
    return complete.copy(tmp_path_factory.mktemp("tracks") / "project")


def clips(project, count):
    """Sound of some clips of the data set, one after the other, ``[n]``."""
    source = open_dataset(Layout(project.folder / "results", "synthetic"))
    return source.waveforms(source.split("main").test[:count]).flatten().numpy()


def folder_of(project, name=NAME):
    return project.folder / f"results/synthetic/main/conv4/drsa/K~4/tracks/{name}"


@pytest.fixture(scope="module")
def made(project):
    """What the command makes of a stereo track at another rate, whose name holds all that shells stumble over."""
    wave = 0.9 * soxr.resample(clips(project, 12), 16000, 32000)
    soundfile.write(project.folder / FILE, np.stack([wave, 0.5 * wave], axis=1), 32000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_TRACK_DATASET", "synthetic")
        patch.setenv("EARMARK_TRACK_FILE", FILE)
        called = project.snakemake("--cores", "2")
    assert called.status == 0, called.output
    return called


def test_one_command_explains_a_track_and_makes_nothing_else(project, made):
    assert made.jobs == {"track_synthetic": 1}
    assert f"open {folder_of(project)}/index.html" in made.output
    assert project.plan() == {}
    assert json.loads((folder_of(project) / "track.json").read_text())["file"] == FILE


def test_its_sounds_sum_and_its_tables_follow_them(project, made):
    (cls,) = (path.parent for path in folder_of(project).glob("*/score.csv"))
    sounds = {path.stem: soundfile.read(path)[0] for path in cls.glob("*.flac")}
    assert set(sounds) == {"input", "standard", "concept1", "concept2", "concept3", "concept4", "rest"}
    wave = decode(project.folder / FILE, 16000).samples / FULL_SCALE
    assert {len(sound) for sound in sounds.values()} == {len(wave)}
    assert np.abs(sounds["input"] - wave).max() < 1e-6
    parts = sum(sounds[f"concept{number}"] for number in range(1, 5))
    assert np.linalg.norm(parts - sounds["standard"]) < 1e-3 * np.linalg.norm(sounds["standard"])  # -60 dB
    assert np.abs(sounds["standard"] + sounds["rest"] - sounds["input"]).max() < 1e-5
    scores, logits = pd.read_csv(cls / "score.csv"), pd.read_csv(cls / "logits.csv")
    seconds = len(wave) / 16000
    assert set(scores["concept"]) == {1, 2, 3, 4} and 0 < scores["second"].min() < 0.1
    assert abs(scores["second"].max() - seconds) < 0.15
    assert scores["second"].nunique() == pytest.approx(10 * seconds, rel=0.1)
    assert list(logits.columns) == ["second", "class1", "class2"] and 23 <= len(logits) <= 25
    assert logits[cls.name].mean() == logits[["class1", "class2"]].mean().max()


def test_its_page_holds_what_was_written(project, made):
    files = folder_of(project) / "files"
    data = read(files, "data")
    (entry,) = data["tracks"]
    shown = read(files, f"tracks/{entry['id']}")
    assert data["sections"] == ["tracks", "notes"] and [view["id"] for view in data["views"]] == [entry["id"]]
    pieces = [piece["key"] for sound in shown["sounds"] for piece in sound["pieces"] if piece["key"]]
    assert pieces and all((files / f"{key}.js").is_file() for key in pieces)
    assert [sound["name"] for sound in shown["sounds"]][:3] == ["input", "standard", "concept1"]
    assert shown["sounds"][0]["heard"] == shown["mean"]
    assert sum(shown["shares"]) == pytest.approx(1, abs=1e-3)


def test_a_browser_plays_it_and_keys_solo_its_concepts(project, made, browser):
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((folder_of(project) / "index.html").as_uri())
    page.wait_for_selector("#zoom-in")
    page.click("#play")
    page.wait_for_selector("#status:has-text('Playing')")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("1")
    page.wait_for_selector("#status:has-text('concept 1 alone')")
    page.keyboard.press("ArrowRight")
    page.close()
    assert said == []


def test_tracks_of_the_configuration_stand_on_the_page(complete, tmp_path):
    project = complete.copy(tmp_path / "project")
    soundfile.write(project.folder / "long.flac", clips(project, 5), 16000)
    listed = {"file": "long.flac", "classes": ["class1", "class2"]}
    block = {**TINY["datasets"]["synthetic"], "tracks": [listed]}
    project.configure({**TINY, "datasets": {"synthetic": block}})
    called = project.snakemake("--cores", "2")
    assert called.status == 0, called.output
    assert called.jobs == {"track_synthetic": 2, "report": 1}  # at both layers
    files = project.folder / "results/synthetic/report/files"
    data = read(files, "data")
    assert {(entry["cls"], entry["layer"]) for entry in data["tracks"]} == {
        (cls, layer) for cls in ("class1", "class2") for layer in ("conv2", "conv4")
    }
    assert "tracks" in data["sections"] and all(read(files, f"tracks/{entry['id']}") for entry in data["tracks"])
    assert not (files / "tracks/entries.json").exists()
    listed["classes"] = ["class1"]
    project.configure({**TINY, "datasets": {"synthetic": block}})
    assert project.plan() == {"track_synthetic": 2, "report": 1}
    project.configure(TINY)
    assert project.plan() == {"report": 1}


def job_of(project, file, **changes: Any) -> Job:
    """A job of the stage by itself."""
    config = validate({**TINY, "datasets": {"synthetic": TINY["datasets"]["synthetic"]}})
    asked = {"file": str(file), **ABOUT, **changes}
    sections = json.loads(stages.stage_config(config, "synthetic", "track", "drsa", asked))
    return Job("track", project.folder / "results", "synthetic", sections, "main", "conv4", "drsa", k=4, track="tried")


def silent(path: Path) -> None:
    soundfile.write(path, np.zeros(32000), 16000)


def text(path: Path) -> None:
    path.write_text("no sound")


def empty(path: Path) -> None:
    path.touch()


def whole_of_nans(path: Path) -> None:
    soundfile.write(path, np.full(32000, np.nan, np.float32), 16000, "FLOAT")


@pytest.mark.parametrize(
    ("make", "why"),
    [(silent, "silent"), (text, "cannot be decoded"), (empty, "cannot be decoded"), (whole_of_nans, "not finite")],
)
def test_what_cannot_be_heard_is_a_sentence(project, tmp_path, make, why):
    make(tmp_path / "bad.wav")
    with pytest.raises(EarmarkError, match=rf"the track '.*bad\.wav' is not explained: .*{why}"):
        track.run(job_of(project, tmp_path / "bad.wav"))
    assert not folder_of(project, "tried").exists()


@pytest.mark.parametrize("samples", [100, 700, 15119, 15121])
def test_a_track_of_about_a_clip_or_less_is_explained(project, tmp_path, samples):
    soundfile.write(tmp_path / "short.wav", clips(project, 2)[3000 : 3000 + samples], 16000)
    track.run(job_of(project, tmp_path / "short.wav"))
    (written,) = folder_of(project, "tried").glob("*/input.flac")
    assert soundfile.info(written).frames == samples


def test_classes_are_explained_that_were_asked_for(project, tmp_path):
    soundfile.write(tmp_path / "both.wav", clips(project, 3), 16000)
    track.run(job_of(project, tmp_path / "both.wav", classes=["class1", "class2"]))
    folders = {path.name for path in folder_of(project, "tried").iterdir() if path.is_dir()}
    assert {"class1", "class2"} < folders <= {"class1", "class2"} | RESERVED
    job = job_of(project, tmp_path / "both.wav", classes=["class2"])
    job = dataclasses.replace(job, config={**job.config, "explain": {"classes": ["class1"]}})
    with pytest.raises(EarmarkError, match=r"not explained for class2: it is not among explain\.classes"):
        track.run(job)


def test_a_track_is_not_made_louder_than_full_scale(project, tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.sign(clips(project, 3)), 16000)
    track.run(job_of(project, tmp_path / "loud.wav"))
    gains = json.loads((folder_of(project, "tried") / "track.json").read_text())["gains"]
    (cls,) = gains
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in folder_of(project, f"tried/{cls}").glob("*.flac")]
    assert 0.5 < gains[cls] <= 1 and max(peaks) <= 1


def test_the_same_track_gives_the_same_bytes(project, tmp_path):
    soundfile.write(tmp_path / "again.wav", clips(project, 3), 16000)
    found = []
    for _ in range(2):
        track.run(job_of(project, tmp_path / "again.wav"))
        paths = sorted(path for path in folder_of(project, "tried").rglob("*") if path.is_file())
        found.append({path.relative_to(project.folder): path.read_bytes() for path in paths})
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def unmade(tmp_path_factory):
    """Return a project with a file and without results."""
    project = new_project(tmp_path_factory.mktemp("unmade") / "project")
    (project.folder / "a.wav").touch()
    return project


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"DATASET": "synthetic"}, "earmark: make track needs FILE"),
        (
            {"DATASET": "synthetic", "FILE": "nothing.wav"},
            "earmark: the track nothing: the file 'nothing.wav'",
        ),
        ({"DATASET": "synthetic", "FILE": "a.wav", "METHOD": "standard"}, "earmark: results/synthetic/main/conv4/stan"),
        ({"DATASET": "synthetic", "FILE": "a.wav", "LAYER": "conv9"}, "earmark: results/synthetic/main/conv9/drsa"),
    ],
)
def test_a_mistake_is_one_sentence(unmade, told, sentence, monkeypatch):
    for key, value in told.items():
        monkeypatch.setenv(f"EARMARK_TRACK_{key}", value)
    called = unmade.snakemake("--cores", "1")
    assert called.status == 1 and sentence in called.output, called.output
    assert "Traceback" not in called.output and called.jobs == {}
