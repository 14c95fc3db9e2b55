"""The ten-class experiment on a small band, from composing to comparing."""

import json

import numpy as np
import pandas as pd
import pytest

from earmark import data
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
            "grid": {"layers": ["conv3"], "methods": ["drsa"], "k": [2]},
            "explain": {"clips": 4, "gallery": 1},
            "evaluate": {"patch": 8, "cross": [], "bootstrap": 20},
            "objects": {"clips": 4},
        }
    },
}
"""One layer, one method, one K: a job of every stage but `cross`."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("band") / "project")
    project.configure(SMALL)
    called = project.snakemake("--cores", "2")
    assert called.status == 0, called.output
    return project


def test_every_style_is_explained(finished):
    root = finished.folder / "results/band"
    folder = root / "main/conv3/drsa/K~2"
    for style in STYLES:
        for name in ("subspaces.safetensors", "heatmaps.safetensors", "sounds"):
            assert (folder / style / name).exists(), (style, name)
    assert set(pd.read_csv(folder / "scores.csv")["cls"]) <= set(STYLES)
    assert (root / "tables/flipping.md").stat().st_size > 0
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
    assert finished.plan() == {}
    path = finished.folder / "src/earmark/band_score.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert finished.plan()["generate"] == 1
