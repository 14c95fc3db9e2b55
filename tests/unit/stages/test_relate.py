"""Concepts of several data sets' networks on the same recordings, on grids of their own, and what is said of them."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from earmark.data import dataset
from earmark.data.chosen import COLUMNS as CHOSEN
from earmark.data.chosen import SCORED
from earmark.data.shared import shared_clips
from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import concept_heatmaps
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.models.audionet import build
from earmark.models.base import Network
from earmark.plan import config
from earmark.sound.waveform import Waveform
from earmark.stages import relate
from earmark.stages.objects import COLUMNS as OBJECTS
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import beside
from earmark.tables.labels import At
from earmark.tables.study import Study

FRONTEND = Waveform(8000, 400, n_fft=64, hop=32)
COARSE = dataclasses.replace(FRONTEND, n_fft=128, hop=32)
CLASSES = ("low", "high")
COLUMNS = "clip path class group fold set offset samples recording_offset recording_samples recording".split()
MANIFEST = ["path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason"]
ORDER = [2, 0, 3, 1, 5, 4, 7, 6]
K, LAYER, METHODS = 2, "conv2", ("drsa", "random~0")
ARCHITECTURE = {"name": "audionet", "filters": [4, 8], "dense": [6], "n_classes": 2, "input_shape": [400], "dropout": 0}
RULES = {"rules": [{"layers": "*", "rule": "epsilon"}], "stabilizer": 1e-7, "context": "gradient"}
GRID = {"layers": [LAYER], "methods": list(METHODS), "k": [K]}


def place(row: int) -> list[Any]:
    """Say that a clip is the whole of its recording."""
    return ["main", row * 400, 400, row * 400, 400, row]


def permuted(network: nn.Sequential) -> nn.Sequential:
    """Copy a network that computes the same with the channels of its second layer in another order."""
    other = copy.deepcopy(network)
    conv, after = other.get_submodule("conv2"), other.get_submodule("dense1")
    with torch.no_grad():
        conv.weight.copy_(conv.weight[ORDER])
        conv.bias.copy_(conv.bias[ORDER])
        after.weight.copy_(after.weight.unflatten(1, (8, -1))[:, ORDER].flatten(1))
    return other


def written(layout: Layout, frontend: Waveform, network: nn.Sequential, basis: torch.Tensor, clips: range) -> None:
    """Write 12 recordings of noise by 3 speakers, of which some are explained, and the network's concepts in these."""
    noise = np.random.default_rng(0).integers(-9000, 9000, (12, 400)).astype("<i2")
    order = np.roll(np.arange(12), len(layout.dataset))  # rows of the same recordings differ between data sets
    rows = [
        [row, f"{CLASSES[of % 2]}/{of}.wav", CLASSES[of % 2], f"speaker{of // 4}", of // 4, *place(row)]
        for row, of in enumerate(order.tolist())
    ]
    artifacts.write_csv(layout.clip_index, COLUMNS, rows, {})
    artifacts.write_csv(layout.classes, ["slug", "name", "recordings"], [[cls, cls, 6] for cls in CLASSES], {})
    recordings = [[row[1], row[2], row[3], row[4], 0.05, 8000, f"sum{row[1]}", "ok", ""] for row in rows]
    artifacts.write_csv(layout.manifest, MANIFEST, recordings, {})
    np.save(layout.clips, noise[order].ravel())
    settings = {"kind": "waveform", **dataclasses.asdict(frontend)}
    artifacts.write_tensors(layout.logmel, {}, {}, clip_samples=400, frontend=settings)
    models.save(layout.model("main"), network, ARCHITECTURE, CLASSES, settings, {})
    known = [row for row, of in enumerate(order.tolist()) if of in clips]
    told = [[row, CLASSES[int(order[row]) % 2], 1.0, SCORED, ""] for row in known]
    artifacts.write_csv(layout.chosen("main"), CHOSEN, told, {})
    source, rules = dataset.open_dataset(layout), from_config({"lrp": RULES})
    model = Network.around(network, frontend)
    drawn = random_orthogonal(8, torch.Generator().manual_seed(len(layout.dataset))).float()
    for method, axes in zip(METHODS, (basis, drawn), strict=True):
        for index, cls in enumerate(CLASSES):
            own = torch.tensor([row for row in known if order[row] % 2 == index])
            targets = torch.full((len(own),), index)
            maps = concept_heatmaps(model, source.inputs(own), targets, LAYER, Subspaces(axes, K), rules)
            every = torch.ones(len(own), dtype=torch.bool)
            path = layout.concept("main", LAYER, method, K, cls) / explanation.NAME
            explanation.write(
                Explanation(own, torch.ones(len(own)), every, every.clone(), maps, None, None, 0, {}, path), {}
            )


def settings() -> dict[str, Any]:
    others = {name: {"lrp": RULES, "grid": GRID, "explain": {"classes": []}} for name in ("there", "apart")}
    asked = {"evaluate": {"beside": list(others), "bootstrap": 100}, "grid": GRID, "explain": {"classes": []}}
    return config.fill(asked) | {"seed": 0, "others": others}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that are the same but for the order of channels; the heatmaps of the last have another grid."""
    folder = tmp_path_factory.mktemp("results")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(**{key: value for key, value in ARCHITECTURE.items() if key != "name"}).eval()
    basis = random_orthogonal(8, torch.Generator().manual_seed(0)).float()
    swapped = basis[ORDER][:, [4, 5, 6, 7, 0, 1, 2, 3]]
    written(Layout(folder, "here"), FRONTEND, network, basis, range(12))
    written(Layout(folder, "there"), FRONTEND, permuted(network), swapped, range(11))
    written(Layout(folder, "apart"), COARSE, permuted(network), swapped, range(11))
    relate.run(Job("relate", folder, "here", settings(), split="main"))
    return folder


def studied(results: Path) -> Study:
    layout = Layout(results, "here")
    return Study(layout, dataset.open_dataset(layout), settings(), "main")


def test_clips_are_the_same_by_name_content_and_beginning(results: Path) -> None:
    here, there = (dataset.open_dataset(Layout(results, name)) for name in ("here", "there"))
    pairs = shared_clips(here, there)
    assert len(pairs) == 12 and pairs[:, 0].tolist() == list(range(12))
    assert (pairs[:, 0] != pairs[:, 1]).any()
    for ours, theirs in pairs:
        assert torch.equal(here.waveforms([ours]), there.waveforms([theirs]))
    other = dataclasses.replace(there, manifest=there.manifest.assign(sha256="another take"))
    assert len(shared_clips(here, other)) == 0


def test_concepts_of_a_network_are_found_in_its_twin_by_other_channels(results: Path) -> None:
    rows = artifacts.read_csv(Layout(results, "here").beside("main"), beside.TYPES)
    assert tuple(rows.columns) == relate.COLUMNS
    counted = rows[rows["other"] == "there"].groupby(["cls", "method", "concept"])["clips"].sum()
    assert counted["low"].unique().tolist() == [6] and counted["high"].unique().tolist() == [5]  # that both explain
    found = beside.measure(studied(results))
    assert not found.told  # nobody knows sound objects here

    def of(other: str, method: str) -> beside.Related:
        return found.related[beside.Key(At(LAYER, method, K), other, LAYER, ALL)]

    twin = of("there", "drsa")
    assert twin.correlation == pytest.approx((1, 1, 1), abs=1e-4)
    assert twin.gain.estimate == pytest.approx(1 - twin.random, abs=1e-4)
    assert twin.there == [1, 1] and twin.clips == 11
    assert of("there", "random").correlation.estimate < 0.9
    coarser = of("apart", "drsa")  # its windows are twice as long, and smear relevance over time
    assert coarser.random + 0.2 < coarser.correlation.low < coarser.correlation.estimate < 0.99
    assert coarser.there == [1, 1]


def test_the_tables_say_it(results: Path) -> None:
    study = studied(results)
    found = beside.measure(study)
    listed = [dict(zip(beside.COLUMNS, row, strict=True)) for row in beside.rows(study, found)]
    assert {row["metric"] for row in listed} == {"correlation", "correlation - random", "found_there"}
    assert {(row["other"], row["other_layer"]) for row in listed} == {("there", LAYER), ("apart", LAYER)}
    assert sorted({row["concept"] for row in listed} - {""}) == [1, 2]
    text = beside.report(study, found)
    assert f"| {LAYER} | {LAYER} | {K} | `drsa` |" in text and "2.0 of 2" in text and "Sound objects" not in text
    study.config["evaluate"]["beside"] = []
    assert "`evaluate.beside`" in beside.report(study, beside.measure(study))


def test_whose_concepts_tell_sound_objects_apart_is_told_of_clips_that_are_measured_in_both(
    results: Path, tmp_path: Path
) -> None:
    """Here each concept is an object; there both respond to both alike."""
    shutil.copytree(results, tmp_path / "results")
    for name, on_its_own in (("here", 1.0), ("there", 0.5)):
        layout = Layout(tmp_path / "results", name)
        objects = {cls: [{"name": "hum"}, {"name": "hiss"}] for cls in CLASSES}
        layout.truth.write_text(json.dumps({"objects": objects}))
        index = dataset.open_dataset(layout).clips
        rows = [
            ["test", row["class"], row["clip"], row["path"], row["group"], 1.0, concept, number, 9, part, 0.5, 0.0]
            for _, row in index.iterrows()
            for concept in (1, 2)
            for number, part in ((0, 0.0), (concept, on_its_own), (3 - concept, 1 - on_its_own))
            if (name, row["path"]) != ("there", "low/4.wav")
        ]
        for method in METHODS:
            artifacts.write_csv(layout.method("main", LAYER, method, K) / "objects.csv", OBJECTS, rows, {})
    study = studied(tmp_path / "results")
    found = beside.measure(study)
    for cls, clips in ((ALL, 11), ("low", 5), ("high", 6)):
        told = found.told[beside.Key(At(LAYER, "drsa", K), "there", LAYER, cls)]
        assert told.clips == clips
        for interval, value in ((told.own, 1), (told.other, 0), (told.difference, 1)):
            assert interval == pytest.approx((value, value, value), abs=1e-9)
    metrics = {row[4] for row in beside.rows(study, found)}
    assert {"nmi", "nmi_other", "nmi - nmi_other"} < metrics
    assert "### Sound objects, here and in there" in beside.report(study, found)


def test_without_a_clip_that_both_recognise_nothing_is_said(results: Path, tmp_path: Path, caplog) -> None:
    shutil.copytree(results, tmp_path / "results")
    for name in ("there", "apart"):
        artifacts.write_csv(
            Layout(tmp_path / "results", name).chosen("main"), CHOSEN, [[0, "none", 1.0, SCORED, ""]], {}
        )
    relate.run(Job("relate", tmp_path / "results", "here", settings(), split="main"))
    assert "high: no clip is recognised here and in apart" in caplog.text
    study = studied(tmp_path / "results")
    found = beside.measure(study)
    assert not list(beside.rows(study, found))
    assert beside.report(study, found).count("No clip is recognised by both networks") == 2


def test_a_front_end_that_does_not_say_where_its_cells_lie_is_refused(results: Path, monkeypatch) -> None:
    monkeypatch.setattr(Waveform, "frequencies", None)
    with pytest.raises(EarmarkError, match="does not say where the cells"):
        relate.run(Job("relate", results, "here", settings(), split="main"))
