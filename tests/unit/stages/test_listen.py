"""A network listens to what a waveform network answered, and people get the same sounds under other names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy.io import wavfile

from earmark import cli
from earmark.data import answered, predictions
from earmark.data.dataset import open_dataset
from earmark.data.submissions import ANSWERS
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.metrics.listening import CELLS, MASKED, PICTURE, SEEN, SIGNAL, SILENCE
from earmark.models import base as models
from earmark.plan.config import validate
from earmark.plan.stages import stage_config
from earmark.stages import blind, ingest, listen, predict
from earmark.store import artifacts
from earmark.store.layout import Layout
from tests.unit.stages.test_ingest import tone, write

CLASSES, PER_CLASS, SAMPLES = ["high", "low", "mid"], 20, 1920
CONFIG = {
    "run": ["mine", "ears"],
    "datasets": {
        "mine": {
            "source": "folder",
            "folds": 4,
            "clips_per_recording": 1,
            "frontend": {"n_samples": SAMPLES},
            "model": {"architecture": "audionet", "filters": [4, 4, 4, 4, 4, 4], "dense": [8, 8]},
            "evaluate": {"listener": "ears", "listener_clips": 3},
        },
        "ears": {
            "source": "folder",
            "folds": 4,
            "clips_per_recording": 1,
            "frontend": {"sample_rate": 8000, "n_fft": 256, "hop": 120, "n_mels": 16, "n_frames": 17},
            "model": {"filters": [4, 4], "dense": [8]},
        },
    },
}


def run(stage, layout: Layout, root: Path, **place: str) -> None:
    """Run a stage with the sections that the workflow gives it."""
    name = stage.__name__.rpartition(".")[2]
    blocks = {key: {**block, "root": str(root)} for key, block in CONFIG["datasets"].items()}
    sections = json.loads(stage_config(validate({**CONFIG, "datasets": blocks}), layout.dataset, name))
    stage.run(Job(name, layout.results, layout.dataset, sections, **place))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Path]:
    """Two networks that have learned nothing: the answers of one are often wrong, the other's guesses are its own."""
    root, results = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(0)
    for place, cls in enumerate(CLASSES):
        for number in range(PER_CLASS):
            samples = tone(300 * (place + 1) + 7 * number, 0.24, 8000) + 0.05 * rng.standard_normal(SAMPLES)
            write(root / cls / f"{number:02d}.wav", samples, 8000)
    built = {
        "mine": {"name": "audionet", "filters": [4] * 6, "dense": [8, 8], "input_shape": [SAMPLES], "weight_std": None},
        "ears": {"name": "cnn", "filters": [4, 4], "dense": [8], "input_shape": [16, 17]},
    }
    for seed, (name, architecture) in enumerate(built.items()):
        layout = Layout(results, name)
        run(ingest, layout, root)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = models.build(**architecture, n_classes=3)
        with torch.no_grad():  # as likely to answer one class as another
            inputs = open_dataset(layout).inputs(range(3 * PER_CLASS))
            last = [module for module in network if isinstance(module, torch.nn.Linear)][-1]
            last.bias -= network.eval()(inputs).mean(dim=0)
        frontend = artifacts.read_metadata(layout.logmel)["frontend"]
        models.save(layout.model("main"), network, {**architecture, "n_classes": 3}, CLASSES, frontend, {})
        run(predict, layout, root, split="main")
    run(listen, Layout(results, "mine"), root, split="main")
    run(blind, Layout(results, "mine"), root, split="main")
    return Layout(results, "mine"), root


def answers_of(layout: Layout) -> predictions.Predictions:
    return predictions.of(Job("listen", layout.results, layout.dataset, {}, split="main"))


def test_clips_are_drawn_by_the_model_s_answer_right_and_wrong(heard: tuple[Layout, Path]) -> None:
    source, told = open_dataset(heard[0]), answers_of(heard[0])
    drawn = dict(answered.drawn(source, told, "main", source.classes, 3, 0))
    assert len(drawn) == 3
    for cls, clips in drawn.items():
        assert set(clips) <= set(source.split("main").test)
        assert (told.answers(clips) == cls.index).all()
        right = source.targets(clips).numpy() == cls.index
        every = source.split("main").test
        every = every[told.answers(every) == cls.index]
        truth = source.targets(every).numpy() == cls.index
        assert right.sum() == min(3, truth.sum()) and (~right).sum() == min(3, (~truth).sum())
    assert sum(len(clips) for clips in drawn.values()) > 5


def test_a_row_per_clip_and_stimulus_says_what_was_guessed(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    rows, ears = artifacts.read_rows(layout.listened("main")), Layout(layout.results, "ears")
    source, theirs, guesses = open_dataset(layout), open_dataset(ears), answers_of(ears)
    place = {path: clip for clip, path in enumerate(theirs.clips["path"])}
    stimuli = {row["stimulus"] for row in rows}
    assert {SIGNAL, MASKED, CELLS, SILENCE, SEEN} <= stimuli
    assert len(rows) == len({row["clip"] for row in rows}) * len(stimuli)
    for row in rows:
        clip = source.clips.iloc[int(row["clip"])]
        assert (row["path"], row["group"], row["cls"]) == (clip["path"], clip["group"], clip["class"])
        assert row["answer"] == CLASSES[answers_of(layout).answers([int(row["clip"])])[0]]
        if row["stimulus"] == SIGNAL:  # the listener hears what it would hear of its own data set
            assert row["guess"] == CLASSES[guesses.answers([place[row["path"]]])[0]]
    assert len({row["guess"] for row in rows if row["stimulus"] == SILENCE}) == 1


def test_a_listener_who_may_know_a_clip_is_refused(heard: tuple[Layout, Path], tmp_path: Path) -> None:
    layout, root = heard
    shutil.copytree(layout.results, tmp_path / "results")
    mine, ears = (Layout(tmp_path / "results", name) for name in ("mine", "ears"))
    known = next(iter(artifacts.read_rows(mine.listened("main"))))["path"]
    index = ears.clip_index.read_text()
    rows = [line.split(",") for line in index.splitlines()]
    fold = rows[0].index("fold")
    learned = [",".join([*row[:fold], "3", *row[fold + 1 :]] if row[1] == known else row) for row in rows]
    ears.clip_index.write_text("\n".join([*learned, ""]))
    with pytest.raises(EarmarkError, match=f"^mine: a listener must know nothing .* ears learned from it: {known};"):
        run(listen, mine, root, split="main")
    ears.clip_index.write_text(index.replace(known, "another.wav"))
    with pytest.raises(EarmarkError, match=f"ears has no such recording: {known};"):
        run(listen, mine, root, split="main")


def test_people_get_what_is_equally_loud_and_names_that_tell_nothing(heard: tuple[Layout, Path]) -> None:
    layout, _ = heard
    key = artifacts.read_rows(layout.key("main"))
    folder = layout.stimuli("main")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [row["file"] for row in key] + [ANSWERS, "README.txt"]
    )
    listened = artifacts.read_rows(layout.listened("main"))
    about = ("clip", "answer", "cls", "group", "path")
    known = {tuple(row[name] for name in about) for row in listened}
    assert {tuple(row[name] for name in about) for row in key} == known
    stimuli = {row["stimulus"] for row in key}
    assert stimuli == {row["stimulus"] for row in listened} - {SILENCE} | {PICTURE}
    assert len(key) == len(stimuli) * len(known)
    assert [row["clip"] for row in key] != sorted((row["clip"] for row in key), key=int)
    levels = []
    for row in key:
        if row["stimulus"] in (PICTURE, SEEN):
            assert imread(folder / row["file"]).shape[:2] == (4 * 129, 4 * 16)
            continue
        rate, samples = wavfile.read(folder / row["file"])
        assert (rate, samples.dtype, len(samples)) == (8000, np.int16, SAMPLES)
        levels.append(np.sqrt(np.mean(samples.astype(float) ** 2)))
    loud = [level for level in levels if level > 0]
    assert loud and max(loud) < 1.02 * min(loud)
    assert (folder / ANSWERS).read_text().splitlines() == ["file,guess", *(f"{row['file']}," for row in key)]
    assert "high, low, mid" in (folder / "README.txt").read_text()


def test_the_same_seed_gives_the_same_names(heard: tuple[Layout, Path], tmp_path: Path) -> None:
    layout, root = heard
    shutil.copytree(layout.results, tmp_path / "results")
    again = Layout(tmp_path / "results", "mine")
    run(blind, again, root, split="main")
    assert again.key("main").read_bytes() == layout.key("main").read_bytes()  # with the checksums of all files


def test_answers_are_judged_by_one_command(heard: tuple[Layout, Path], tmp_path: Path, capsys) -> None:
    layout, _ = heard
    key = artifacts.read_rows(layout.key("main"))
    filled = tmp_path / "ann.csv"
    filled.write_text("\n".join(["file,guess", *(f"{row['file']},{row['answer'].upper()}" for row in key[1:]), ""]))
    called = ["answers", "--results", str(layout.results), "--dataset", "mine", "--draws", "50", str(filled)]
    assert cli.main(called) == 0
    text = capsys.readouterr().out
    assert f"1 listeners, {len(key) - 1} guesses of {len(key)}." in text
    assert f"{filled}: 1 without a guess: {key[0]['file']}" in text
    assert f"| {MASKED} |" in text and "1.000 [1.000, 1.000]" in text
    assert cli.main([*called, str(tmp_path / "bob.csv")]) == 1
    assert "earmark: the answers" in capsys.readouterr().err
