"""A small network of waveforms from its explanation to the page: relevance of samples, flipped and heard."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from earmark.data import dataset
from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.figures import style
from earmark.job import Job
from earmark.metrics.samples import ORDERS, shares
from earmark.models import base as models
from earmark.models.training import HISTORY
from earmark.page.sounds import read
from earmark.plan.config import fill
from earmark.sound.audible import AUDIBLE, audible
from earmark.sound.waveform import Waveform
from earmark.stages import choose, collect, compare, draw, explain, fit, flip, predict, report, sonify
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from tests.unit.conftest import copied
from tests.unit.networks import drawn
from tests.unit.page.test_files import read as loaded

RATE, SAMPLES, FOLDS, PER_FOLD = 8000, 256, 3, 12
FRONTEND = Waveform(RATE, SAMPLES, n_fft=32, hop=16)
CLASSES = ["down", "up"]
FLIPS = [0.05, 0.3]
STANDARD, CONCEPTS = (INPUT_LAYER, "standard", 1), ("conv2", "pca", 2)
CONFIG = fill(
    {
        "frontend": {"n_samples": SAMPLES, "n_fft": 32, "hop": 16},
        "model": {"architecture": "audionet-s", "filters": [4, 4], "dense": [6]},
        "grid": {"layers": ["conv2"], "methods": ["occlusion"]},
        "pairs": {"clips": 4},
        "explain": {"clips": 6, "gallery": 2},
        "evaluate": {"flips": FLIPS, "bootstrap": 50},
    }
) | {"seed": 0, "torch_threads": 1}


@dataclass(frozen=True)
class Case:
    """A data set of waveforms, and its stages."""

    layout: Layout

    def run(self, stage: ModuleType, at: tuple[str, str, int] = ("", "", 0)) -> None:
        name, (layer, method, k) = stage.__name__.rpartition(".")[2], at
        stage.run(Job(name, self.layout.results, "demo", CONFIG, split="main", layer=layer, method=method, k=k))

    def explained(self, at: tuple[str, str, int], cls: str) -> Explanation:
        return explanation.read(self.layout.concept("main", *at, cls) / explanation.NAME)

    @property
    def flipped(self) -> list[dict[str, str]]:
        return artifacts.read_rows(self.layout.flipped("main"))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Noise that begins with silence, labelled by what a drawn network says of it; two clips are of one speaker."""
    layout = Layout(tmp_path_factory.mktemp("waves"), "demo")
    architecture = {"name": "audionet", "filters": [4, 4], "dense": [6], "n_classes": 2, "input_shape": [SAMPLES]}
    network = drawn(models.build(**architecture)).float()
    network[-1].bias.data += 20  # no answer is negative
    clips = torch.randn(300, SAMPLES, generator=torch.Generator().manual_seed(1)) / 8
    clips[:, :40] = 0
    clips = (clips.clamp(-0.99, 0.99) * 32768).round()
    answers = network(FRONTEND(clips / 32768)).argmax(dim=1)
    places = np.concatenate([np.flatnonzero(answers == cls)[: FOLDS * PER_FOLD // 2] for cls in (0, 1)])
    assert len(places) == FOLDS * PER_FOLD
    columns = "clip path class group fold set offset samples recording_offset recording_samples recording".split()
    rows: list[list[Any]] = []
    for row, place in enumerate(places.tolist()):
        name, of_class, at = CLASSES[int(answers[place])], row % (FOLDS * PER_FOLD // 2), row * SAMPLES
        about = f"{name}/{row}.wav", name, f"speaker{of_class // 2}", of_class // (PER_FOLD // 2)
        rows.append([row, *about, "main", at, SAMPLES, at, SAMPLES, row])
    artifacts.write_csv(layout.clip_index, columns, rows, {})
    artifacts.write_csv(layout.classes, ["slug", "name", "recordings"], [[cls, cls, 18] for cls in CLASSES], {})
    manifest = ["path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason"]
    artifacts.write_csv(layout.manifest, manifest, [[*row[1:5], 1.0, RATE, "", "ok", ""] for row in rows], {})
    np.save(layout.clips, clips[torch.from_numpy(places)].flatten().numpy().astype(np.int16))
    settings = dataclasses.asdict(FRONTEND) | {"kind": "waveform"}
    artifacts.write_tensors(layout.logmel, {}, {}, clip_samples=SAMPLES, frontend=settings)
    models.save(layout.model("main"), network, architecture, CLASSES, settings, {})
    artifacts.write_csv(layout.split("main") / "history.csv", HISTORY, [[1, 0.9, 0.5, 0.8, 0.6, 1]], {})
    made = Case(layout)
    for stage in (predict, choose):
        made.run(stage)
    made.run(collect, ("conv2", "", 0))
    made.run(fit, CONCEPTS)
    for at in (STANDARD, CONCEPTS):
        made.run(explain, at)
        made.run(sonify, at)
    made.run(flip)
    made.run(compare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 20)
        made.run(draw)
    made.run(report)
    return made


@pytest.mark.parametrize("cls", CLASSES)
def test_relevance_of_samples_is_kept_beside_the_heatmaps(case: Case, cls: str) -> None:
    whole, parts = case.explained(STANDARD, cls), case.explained(CONCEPTS, cls)
    assert len(whole.clips) and whole.samples.shape == (len(whole.clips), 1, 1, SAMPLES)
    for found in (whole, parts):
        scale = found.samples.abs().sum(dim=(2, 3))
        assert ((found.samples.sum(dim=(2, 3)) - found.relevance).abs() <= 1e-5 * scale).all()
    torch.testing.assert_close(parts.of(whole.clips.tolist()).samples.sum(dim=1), whole.samples[:, 0])
    assert not whole.samples[..., :40].any()


def test_every_scored_clip_is_flipped_in_every_order_at_every_share(case: Case) -> None:
    rows = case.flipped
    expected = [
        (cls, clip, order, share)
        for cls in CLASSES
        for clip in case.explained(STANDARD, cls).only(case.explained(STANDARD, cls).scored).clips.tolist()
        for order in ORDERS
        for share in shares(FLIPS)
    ]
    assert [(row["cls"], int(row["clip"]), row["order"], float(row["share"])) for row in rows] == expected
    logits = {}
    for cls in CLASSES:
        found = case.explained(STANDARD, cls)
        logits |= dict(zip(found.clips.tolist(), found.logits.tolist(), strict=True))
    for row in rows:
        if row["share"] == "0.0":
            assert float(row["logit"]) == pytest.approx(logits[int(row["clip"])], rel=1e-4)
            assert (row["answered"], row["removed"]) == ("1.0", "0.0")
    silence = {row["logit"] for row in rows if row["share"] == "1.0" and row["cls"] == "up"}
    assert len(silence) == 1


def test_a_class_alone_has_the_rows_that_it_has_among_others(case: Case) -> None:
    before = case.flipped
    alone = CONFIG | {"explain": CONFIG["explain"] | {"classes": ["up"]}}
    flip.run(Job("flip", case.layout.results, "demo", alone, split="main"))
    try:
        assert case.flipped == [row for row in before if row["cls"] == "up"]
    finally:
        case.run(flip)
    assert case.flipped == before


@pytest.mark.parametrize("at", [STANDARD, CONCEPTS])
def test_samples_for_the_class_and_against_it_are_heard_beside_the_standard_explanation(case: Case, at: tuple) -> None:
    folder = case.layout.concept("main", *at, "up") / "sounds"
    source = dataset.open_dataset(case.layout)
    for row in artifacts.read_rows(folder / "clips.csv"):
        clip = int(row["clip"])
        waveform = source.waveforms([clip])[0]
        sounds, gain = audible(waveform, case.explained(STANDARD, "up").of([clip]).samples[0, 0, 0])
        assert float(row["gain"]) == pytest.approx(gain)
        for name in AUDIBLE:
            torch.testing.assert_close(read(folder / row["folder"] / f"{name}.wav"), sounds[name])
            assert (folder / row["folder"] / "matched" / f"{name}.wav").exists()
        peak = max(float(sound.abs().max()) for sound in sounds.values())
        assert peak == pytest.approx(float(waveform.abs().max()))


def test_the_page_has_table_figure_and_sounds(case: Case) -> None:
    files = case.layout.report_files
    data = loaded(files, "data")
    assert {"sample_flipping"} <= {table["name"] for table in data["tables"]}
    assert "figures/sample_flipping.png" in [figure["file"] for figure in data["figures"]]
    assert (files / "figures/sample_flipping.png").exists()
    for view in data["views"]:
        for clip in loaded(files, f"views/{view['id']}")["clips"]:
            names = [sound["name"] for sound in clip["sounds"]]
            assert names == ["input", "standard", "rest", *AUDIBLE]
            assert all(sound["key"] is not None for sound in clip["sounds"])


def test_a_class_without_clips_has_no_rows(case: Case, tmp_path: Path) -> None:
    other = Case(copied(case.layout, tmp_path))
    found = other.explained(STANDARD, "down")
    nothing = found.only(torch.zeros(len(found.clips), dtype=torch.bool))
    explanation.write(dataclasses.replace(nothing, samples=None, reason="the model answers none rightly."), {})
    other.run(flip)
    assert other.flipped == [row for row in case.flipped if row["cls"] == "up"]


def test_an_explanation_without_samples_is_no_ground_to_flip_on(case: Case, tmp_path: Path) -> None:
    found = dataclasses.replace(case.explained(STANDARD, "up"), samples=None, path=tmp_path / "heatmaps.safetensors")
    with pytest.raises(EarmarkError, match="holds no relevance of samples"):
        explanation.samples_of(found)
