"""Ten classes on a small band, from composing to the tables."""

import json

import numpy as np
import pandas as pd
import pytest

from earmark.data.dataset import open_dataset
from earmark.sources.band.styles import STEMS, STYLES
from earmark.store.artifacts import read_tensors
from earmark.store.layout import Layout
from tests.workflow.conftest import new_project

SMALL = {
    "run": ["band"],
    "torch_threads": 1,
    "datasets": {
        "band": {
            "band": {"tracks_per_style": 30, "artists": 10, "seconds": 4},
            "clips_per_recording": 3,
            "frontend": {"n_fft": 800, "hop": 400, "n_mels": 32, "n_frames": 64},
            "model": {"filters": [8, 16, 16, 16, 16], "dense": [32], "dropout": 0.0},
            "train": {"epochs": 40, "learning_rate": 6e-3, "batch_norm": True, "time_mask": 8, "mel_mask": 4},
            "pairs": {"clips": 6, "positions": 8},
            "explainers": {
                "info": {"clips": 6, "restarts": 0, "max_iterations": 20},
                "drsa": {"restarts": 0, "max_iterations": 20},
            },
            "grid": {"layers": ["conv3"], "methods": ["info", "drsa"], "k": [2]},
            "explain": {"clips": 24, "gallery": 1},
            "objects": {"clips": 24, "sounds": 1},
            "evaluate": {"patch": 8, "bootstrap": 50},
        }
    },
}
"""Every stage, on a net that knows each style's test clips in part."""

TARGET = "results/band/main/conv3/drsa/K~2/skank/subspaces.safetensors"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("band") / "project")
    project.configure(SMALL)
    called = project.snakemake("--cores", "2", "--omit-from", "draw")  # whose figures nobody looks at here
    assert called.status == 0, called.output
    return project


def test_every_style_has_subspaces(finished):
    root = finished.folder / "results/band"
    for style in STYLES:
        subspaces, _ = read_tensors(root / f"main/conv3/drsa/K~2/{style}/subspaces.safetensors")
        assert subspaces["basis"].shape == (16, 16)
    assert list(pd.read_csv(root / "classes.csv")["slug"]) == list(STYLES)
    assert len(json.loads((root / "truth.json").read_text())["clips"]) == 300


def test_artists_unheard_are_recognised_above_chance(finished):
    metrics = json.loads((finished.folder / "results/band/main/metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.3  # chance: 0.1


def test_the_tables_tell_of_every_style_and_stem(finished):
    root = finished.folder / "results/band"
    truth = pd.read_csv(root / "tables/ground_truth.csv")
    at = truth[(truth["layer"] == "conv3") & (truth["metric"] == "nmi")]
    assert set(at["cls"]) == {"all", *STYLES}
    assert at["estimate"].notna().all()
    report = (root / "tables/ground_truth.md").read_text()
    assert all(stem in report for stem in STEMS)
    for style in STYLES:
        folder = root / f"main/conv3/info/K~2/{style}"
        assert list(folder.glob("sounds/*/concept2.wav"))
        heatmaps, meta = read_tensors(folder / "heatmaps.safetensors")
        assert heatmaps["heatmaps"].shape[1:] == (2, 1, 32, 64)
        assert meta["sum_error"] < 1e-5
    cross = pd.read_csv(root / "main/conv3/drsa/K~2/cross_class.csv")
    assert len(cross) == len(STYLES)


def test_stems_reach_the_evaluation(finished):
    source = open_dataset(Layout(finished.folder / "results", "band"))
    clips = source.split("main").test
    stems = source.stems(clips)  # [B, O, S]
    assert stems.shape == (len(clips), len(STEMS), source.clip_samples)
    assert np.abs((stems.sum(dim=1) - source.waveforms(clips)).numpy()).max() < 5 / 32768


def test_a_second_call_does_nothing_and_another_source_s_edit_neither(finished):
    path = finished.folder / "src/earmark/sources/synthetic.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert finished.plan(TARGET) == {}
    path = finished.folder / "src/earmark/sources/band/score.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert finished.plan(TARGET)["generate"] == 1
