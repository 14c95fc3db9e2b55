"""Ten classes on a small band, from composing to subspaces: so small a network explains no test clip of some."""

import json

import numpy as np
import pandas as pd
import pytest

from earmark import data
from earmark.artifacts import read_tensors
from earmark.band_styles import STEMS, STYLES
from earmark.layout import Layout

from .conftest import new_project

SMALL = {
    "run": ["band"],
    "torch_threads": 1,
    "datasets": {
        "band": {
            "band": {"tracks_per_style": 10, "artists": 10, "seconds": 4},
            "clips_per_recording": 3,
            "frontend": {"n_fft": 800, "hop": 800, "n_mels": 32, "n_frames": 32},
            "model": {"filters": [8, 8, 16, 16, 16], "dense": [32], "dropout": 0.0},
            "train": {"epochs": 60, "batch_size": 10, "learning_rate": 3e-3, "time_mask": 0, "mel_mask": 0},
            "pairs": {"clips": 4, "positions": 4},
            "fit": {"restarts": 0, "max_iterations": 20},
            "evaluate": {"patch": 8},
        }
    },
}
"""A job of every stage up to the fit."""

TARGET = "results/band/main/conv3/drsa/K~2/skank/subspaces.safetensors"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("band") / "project")
    project.configure(SMALL)
    called = project.snakemake("--cores", "2", TARGET)
    assert called.status == 0, called.output
    return project


def test_every_style_has_subspaces(finished):
    root = finished.folder / "results/band"
    for style in STYLES:
        subspaces, _ = read_tensors(root / f"main/conv3/drsa/K~2/{style}/subspaces.safetensors")
        assert subspaces["basis"].shape == (16, 16)
    assert list(pd.read_csv(root / "classes.csv")["slug"]) == list(STYLES)
    assert len(json.loads((root / "truth.json").read_text())["clips"]) == 100


def test_stems_reach_the_evaluation(finished):
    source = data.open_dataset(Layout(finished.folder / "results", "band"))
    clips = source.split("main").test
    stems = source.stems(clips)  # [B, O, S]
    assert stems.shape == (len(clips), len(STEMS), source.clip_samples)
    assert np.abs((stems.sum(dim=1) - source.waveforms(clips)).numpy()).max() < 5 / 32768


def test_a_second_call_does_nothing_and_another_source_s_edit_neither(finished):
    path = finished.folder / "src/earmark/synthetic.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert finished.plan(TARGET) == {}
    path = finished.folder / "src/earmark/band_score.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert finished.plan(TARGET)["generate"] == 1
