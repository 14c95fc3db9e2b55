"""Every stage that computes on a GPU does so, in one run of everything that can be asked for."""

import csv
import re

import numpy as np
import pytest
import soundfile

from earmark.models.gpu import fault
from earmark.plan import stages
from tests.workflow.conftest import TINY, new_project

FEW = {"clips": 40, "epochs": 2}
SMALL = TINY["datasets"]["synthetic"]
VOICES = {
    "extends": "voices",
    "voices": {"labels": "sex", "speakers": 16},
    "train": {"epochs": 2},
    "pairs": {"clips": 6},
    "grid": {"layers": ["conv4"], "methods": ["info", "random~0"], "k": [2]},
    "explain": {"clips": 6, "gallery": 1},
}
EVERYTHING = {
    "run": ["synthetic", "wave"],
    "torch_threads": 1,
    "datasets": {
        "synthetic": {
            **SMALL,
            "explainers": {
                **SMALL["explainers"],
                "lime": {"samples": 64},
                "l2i": {"components": 8, "channels": 8, **FEW},
                "lmac": {"channels": 8, "direct_steps": 10, **FEW},
                "lmactd": {"chunk": 8, "heads": 2, "head_width": 8, "feedforward": 16, **FEW},
            },
            "grid": {"layers": ["conv4"], "methods": ["info", "drsa", "random~0"], "k": [4]},
            "explain": {"clips": 10, "gallery": 2, "expensive": 6},
            "evaluate": {
                "bootstrap": 50,
                "cross": ["drsa"],
                "masking": [
                    *("standard", "drsa", "saliency", "gradcam", "occlusion", "slime", "audiolime-hpss", "kernel-shap"),
                    *("l2i", "lmac", "mask-direct", "lmac-td", "randomised", "energy", "cells~0", "oracle-stems"),
                ],
                "sanity": ["input-x-gradient", "slime"],
                "sanity_clips": 3,
                "outside": ["standard", "lmac-td", "energy"],
                "outside_clips": 5,
                "fidelity": ["l2i"],
                "scaling": {"class2": 1.5},
            },
            "stability": {"methods": ["info"], "draws": 2},
            "networks": 2,
        },
        "wave": {
            **VOICES,
            "model": {"architecture": "audionet-s"},
            "evaluate": {
                "flips": [0.1, 0.5],
                "scaling": {"male": 1.5},
                "listener": "mel",
                "listener_clips": 4,
                "beside": ["mel"],
            },
        },
        "mel": {**VOICES, "frontend": {"sample_rate": 8000, "n_fft": 256, "hop": 125, "n_mels": 40, "n_frames": 65}},
    },
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What a run and two more calls printed; on one GPU six jobs at a time."""
    assert fault() is None, fault()
    project = new_project(tmp_path_factory.mktemp("gpu") / "project")
    project.configure(EVERYTHING)
    options = ["--resources", "gpu=6", "--cores", "all"]
    called = [project.snakemake(*options, *target, cold=True) for target in ([], ["results/wave/main/stimuli"])]
    song = np.random.default_rng(0).standard_normal(3 * 16000) / 8
    soundfile.write(project.folder / "song.wav", song, 16000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_TRACK_DATASET", "synthetic")
        patch.setenv("EARMARK_TRACK_FILE", "song.wav")
        called += [project.snakemake(*options, cold=True)]
    for one in called:
        assert one.status == 0, one.output
    return project, "".join(one.output for one in called)


def test_every_stage_that_can_computes_on_it(finished):
    _, output = finished
    asked = {name for name, stage in stages.STAGES.items() if "gpu" in stage.coordinates}
    assert set(re.findall(r"earmark (\w+) [^\n]* --gpu 1 ", output)) == asked


def test_it_learns(finished):
    project, _ = finished
    with (project.folder / "results/synthetic/tables/model.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert rows
    assert float(rows[0]["test_accuracy"]) > 0.9
