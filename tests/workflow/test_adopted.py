"""A network of the user's, in a file that imports another beside it, through the whole workflow."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from earmark.plan.config import fill
from earmark.plan.methods import always
from earmark.plan.targets import TABLES
from earmark.sound.kinds import from_config
from tests.unit.page.test_files import read
from tests.workflow.conftest import Project, new_project

NETWORK = """
import torch
from torch import nn

from beside import block


def build():
    return nn.Sequential(*block(1), *block(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))


class Gated(nn.Sequential):
    def forward(self, x):
        answer = super().forward(x)
        return answer * answer.sigmoid()


def answering():
    network = Gated(*build()).eval()
    network.load_state_dict(torch.load("weights.pt", weights_only=True))
    return lambda inputs: network(inputs).detach().numpy()
"""

BESIDE = """
from torch import nn


def block(channels):
    return nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
"""

FRONT_END = """
import torch

from earmark.sound.logmel import LogMel


class Mine(torch.nn.Module):
    mel = LogMel(16000, 480, 240, n_mels=16, n_frames=16)
    frequencies, times = mel.frequencies, mel.times

    def forward(self, waveforms):
        return self.mel(waveforms)
"""

FRONTEND = {"n_fft": 480, "hop": 240, "n_mels": 16, "n_frames": 16}
LAYER, METHODS, KS = "late", ["info", "random~0", "occlusion"], [2, 4]
MINE = {
    "source": "folder",
    "root": "recordings",
    "clips_per_recording": 1,
    "frontend": FRONTEND,
    "model": {
        "network": "my_net.py:build",
        "weights": "weights.pt",
        "classes": ["low", "high"],
        "layers": {LAYER: "3"},
    },
    "pairs": {"clips": 8},
    "explainers": {"info": {"restarts": 1}, "perturb": {"patch": 8}},
    "explain": {"clips": 3, "gallery": 1},
    "evaluate": {"bootstrap": 20, "cross": ["info"]},
    "grid": {"methods": METHODS, "k": KS},
}


def sounds() -> tuple[np.ndarray, list[str]]:
    """Make noisy tones [20, S], low and high in turn, and name their classes."""
    rng, seconds = np.random.default_rng(0), np.arange(3600) / 16000
    hertz = np.where(np.arange(20) % 2, 3000, 300) + 11 * np.arange(20)
    tones = 0.4 * np.sin(2 * np.pi * hertz[:, None] * seconds) + 1e-3 * rng.standard_normal((20, 3600))
    return tones, ["low", "high"] * 10


def weights_for(waveforms: np.ndarray, classes: list[str]) -> dict[str, torch.Tensor]:
    """Train the network until it tells the classes apart."""
    inputs = from_config(fill({"frontend": FRONTEND}))(torch.from_numpy(waveforms).float())
    targets = torch.tensor([MINE["model"]["classes"].index(name) for name in classes])
    code: dict = {}
    exec(BESIDE + NETWORK.replace("from beside import block", ""), code)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = code["build"]()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    assert (network(inputs).argmax(dim=1) == targets).all()
    return network.state_dict()


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    """Return a project after a complete run, and the rules that ran."""
    project = project_of(tmp_path_factory.mktemp("adopted") / "project", MINE)
    called = project.snakemake("--cores", "2")
    assert called.status == 0, called.output
    return project, set(called.jobs)


def project_of(folder: Path, block: dict) -> Project:
    """Make a project with recordings, a network and its weights."""
    project = new_project(folder)
    (project.folder / "my_net.py").write_text(NETWORK)
    (project.folder / "beside.py").write_text(BESIDE)
    (project.folder / "unrelated.py").write_text("")
    waveforms, classes = sounds()
    for number, (waveform, name) in enumerate(zip(waveforms, classes, strict=True)):
        path = project.folder / "recordings" / name / f"{number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, 16000)
    torch.save(weights_for(waveforms, classes), project.folder / "weights.pt")
    project.configure({"run": ["mine"], "torch_threads": 1, "datasets": {"mine": block}})
    return project


@contextmanager
def changed(path: Path):
    """Put a file back that is changed within."""
    kept = path.with_suffix(".kept")
    shutil.copy2(path, kept)
    try:
        yield path
    finally:
        kept.replace(path)


def stale(called) -> set[str]:
    assert called.status == 0, called.output
    return set(called.jobs)


def test_everything_is_made(adopted):
    project, ran = adopted
    assert "adopt" in ran and "train" not in ran
    results = project.folder / "results/mine"
    assert {path.name for path in (results / "tables").iterdir() if path.suffix in (".csv", ".md")} == set(TABLES)
    assert list((results / "figures").glob("*.png"))
    main = results / "main"
    assert {"model.safetensors", "layers.csv", "metrics.json", "chosen.csv"} <= {path.name for path in main.iterdir()}
    assert not (main / "history.csv").exists()
    for cls in MINE["model"]["classes"]:
        for k in KS:
            assert (main / LAYER / f"info/K~{k}" / cls / f"sounds/000/concept{k}.wav").is_file()
            assert (main / LAYER / f"info/K~{k}" / cls / "heatmaps.png").is_file()
            assert (main / LAYER / f"random~0/K~{k}" / cls / "heatmaps.safetensors").is_file()
        for method in ("occlusion", *always()):
            assert (main / "input" / method / "K~1" / cls / "heatmaps.safetensors").is_file()
    flipping = (results / "tables/flipping.csv").read_text()
    assert all(f",{name.partition('~')[0]}," in flipping for name in METHODS)
    assert all(f"{LAYER},info,{k},low," in flipping for k in KS)
    views = read(results / "report/files", "data")["views"]
    shown = {(view["cls"], view["layer"], view["k"]) for view in views if view["method"] == "info"}
    assert shown == {(cls, LAYER, k) for cls in MINE["model"]["classes"] for k in KS}


def test_nothing_is_left_to_be_done(adopted):
    called = adopted[0].snakemake("--dry-run")
    assert stale(called) == set()
    assert "Nothing to be done" in called.output


@pytest.mark.parametrize("name", ["my_net.py", "beside.py"])
def test_an_edit_of_the_user_s_code_makes_adopt_and_all_that_follows_stale(adopted, name):
    project, ran = adopted
    with changed(project.folder / name) as path:
        path.write_text(path.read_text() + "\n# another thought\n")
        assert stale(project.snakemake("--dry-run")) == ran - {"ingest"}


def test_other_weights_make_adopt_and_all_that_follows_stale(adopted):
    project, ran = adopted
    with changed(project.folder / "weights.pt") as path:
        weights = torch.load(path, weights_only=True)
        torch.save({key: weight / 2 for key, weight in weights.items()}, path)
        assert stale(project.snakemake("--dry-run")) == ran - {"ingest"}


def test_other_files_of_the_user_s_concern_nothing(adopted):
    project, _ = adopted
    with changed(project.folder / "unrelated.py") as path:
        path.write_text("# another thought\n")
        assert stale(project.snakemake("--dry-run")) == set()


def test_a_single_class_is_not_crossed(adopted):
    project, ran = adopted
    assert "cross" in ran
    with changed(project.folder / "changes.yaml"):
        block = MINE | {"explain": {**MINE["explain"], "classes": ["low"]}}
        project.configure({"run": ["mine"], "torch_threads": 1, "datasets": {"mine": block}})
        assert {"choose", "explain_mine", "report"} <= stale(project.snakemake("--dry-run")) <= ran - {"cross"}


def test_a_function_behind_a_module_of_the_user_s_is_explained_by_its_answers(tmp_path):
    block = {
        **MINE,
        "frontend": {"kind": "module", "module": "my_front_end.py:Mine", "n_samples": 3600},
        "model": {**MINE["model"], "network": "my_net.py:answering", "weights": None, "layers": {}},
        "explainers": {},
        "evaluate": {"bootstrap": 20},
        "explain": {"clips": 2, "gallery": 1},
        "grid": {"layers": [], "methods": ["occlusion"]},
    }
    project = project_of(tmp_path / "project", block | {"lrp": {"rules": "occlusion"}})
    (project.folder / "my_front_end.py").write_text(FRONT_END)
    called = project.snakemake("--cores", "2")
    assert called.status == 0, called.output
    assert not {"collect_mine", "fit_mine", "cross"} & set(called.jobs)
    assert "logits that autograd cannot follow back" in (project.folder / "logs/mine/main/adopt.log").read_text()
    standard = project.folder / "results/mine/main/input/standard/K~1/low"
    assert (standard / "heatmaps.png").is_file() and (standard / "sounds/000/standard.wav").is_file()
    flipping = (project.folder / "results/mine/tables/flipping.md").read_text()
    assert "| input | occlusion |" in flipping

    with changed(project.folder / "my_front_end.py") as path:
        path.write_text(path.read_text() + "\n# another thought\n")
        assert stale(project.snakemake("--dry-run")) == set(called.jobs)

    project.configure({"run": ["mine"], "torch_threads": 1, "datasets": {"mine": block | {"lrp": {"rules": "auto"}}}})
    refused = project.snakemake("--cores", "2", "results/mine/main/input/standard/K~1/low/heatmaps.safetensors")
    assert refused.status != 0
    assert "explain it by methods that look at its answers only" in refused.output
