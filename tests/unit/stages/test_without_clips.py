"""Classes of which no clip is recognised: their files hold none and say why, the other classes keep their numbers."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from earmark.data import chosen, predictions
from earmark.data.chosen import GALLERY, RULES, SCORED, truth
from earmark.data.dataset import TEST, VALIDATION, open_dataset
from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.explainers.subspaces import basis
from earmark.figures import style
from earmark.figures.heatmaps import nothing
from earmark.job import Job
from earmark.metrics.sanity import CHECKS
from earmark.models import base as models
from earmark.plan.config import fill
from earmark.plan.methods import method_of
from earmark.stages import (
    ablate,
    agree,
    choose,
    collect,
    compare,
    composites,
    cross,
    draw,
    explain,
    fit,
    ingest,
    objects,
    picture,
    predict,
    sanity,
    score,
    sonify,
    stability,
)
from earmark.store import artifacts
from earmark.store.layout import Layout
from tests.unit.stages.test_ingest import FRONTEND, tone, write

CLASSES = ["blind", "deep", "high", "mute", "shy"]
HEARD = ["deep", "high", "blind"]
"""Of `blind` no validation clip is recognised."""

REASONS = {"mute": "no test clip of it is recognised", "shy": "no training clip of it is recognised"}
FITTED = ["info", "drsa", "pca", "random~0", "oracle"]
UNLAYERED = ["standard", "noise~0", "occlusion"]
TRIED = ["standard", "noise~0", "energy", "other-clip", "oracle-stems", "drsa"]
LAYER, K, PER_CLASS = "conv2", 2, 15
CONFIG: dict[str, Any] = {
    **fill(
        {
            "source": "folder",
            "clips_per_recording": 1,
            "frontend": FRONTEND,
            "pairs": {"clips": 6, "positions": 8},
            "explainers": {
                "info": {"restarts": 0, "max_iterations": 5, "clips": 6},
                "drsa": {"restarts": 0, "max_iterations": 5},
                "oracle": {"clips": 4, "units": 200, "starts": 1, "iterations": 3},
            },
            "explain": {"clips": 6, "gallery": 2},
            "objects": {"clips": 3, "sounds": 1},
            "evaluate": {"bootstrap": 20, "cross": ["info", "random~0"], "sanity": TRIED, "sanity_clips": 3},
            "stability": {"methods": ["info"], "draws": 2},
            "composites": {"clips": 3, "candidates": {"epsilon": [{"layers": "*", "rule": "epsilon"}]}},
            "grid": {"layers": [LAYER], "methods": [*FITTED, "occlusion"], "k": [K]},
            "networks": 2,
        }
    ),
    "seed": 0,
    "torch_threads": 1,
}


def places() -> list[dict[str, Any]]:
    unlayered = [{"layer": "input", "method": method, "k": 1} for method in UNLAYERED]
    return unlayered + [{"layer": LAYER, "method": method, "k": K} for method in FITTED]


def at_of(method: str) -> dict[str, Any]:
    layered = method_of(method).layered
    return {"layer": LAYER if layered else "input", "method": method, "k": K if layered else 1}


@dataclass(frozen=True)
class Case:
    """Results of the classes above, whose network says what it is told to."""

    layout: Layout
    root: Path

    def run(self, stage: Any, **place: Any) -> None:
        name = stage.__name__.rpartition(".")[2]
        config = {**CONFIG, "root": str(self.root)}
        stage.run(Job(name, self.layout.results, "mine", config, **{"split": "main", **place}))

    def mishear(self, cls: str, *sets: str) -> None:
        """Let some clips of a class, by default all, be taken for others."""
        source, path = open_dataset(self.layout), self.layout.predictions("main")
        split = source.split("main")
        parts = {"training": split.train, VALIDATION: split.validation, TEST: split.test}
        clips = np.concatenate([parts[name] for name in sets or parts])
        own = source.of_class(clips, source.classes[CLASSES.index(cls)]).tolist()
        head, *lines = path.read_text().splitlines()
        place = head.split(",").index(cls)
        cells = [line.split(",") for line in lines]
        changed = [[*row[:place], "-9.0", *row[place + 1 :]] if int(row[0]) in own else row for row in cells]
        path.write_text("\n".join([head, *map(",".join, changed)]) + "\n")

    def table(self, name: str) -> list[dict[str, str]]:
        return artifacts.read_rows(self.layout.tables / f"{name}.csv")


def recordings(folder: Path) -> Path:
    """Write two tones per recording, a higher and a lower one, a group each."""
    rng = np.random.default_rng(0)
    for place, cls in enumerate(CLASSES):
        for number in range(PER_CLASS):
            low, high = (tone(hertz + 5 * number, 0.3, level=0.3) for hertz in (300 * (place + 1), 2500 + 900 * place))
            write(folder / cls / f"{number:02d}.wav", low + high + 1e-3 * rng.standard_normal(len(low)))
    return folder


def trained(case: Case) -> None:
    """Write a network that tells the classes apart, and stems that its clips are the sum of."""
    source = open_dataset(case.layout)
    every = np.arange(len(source.clips))
    architecture = {
        "name": "cnn",
        "filters": [8, 16],
        "dense": [16],
        "n_classes": len(CLASSES),
        "input_shape": [32, 16],
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.build(**architecture)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(source.inputs(every)), source.targets(every)).backward()
            optimizer.step()
    models.save(case.layout.model("main"), network, architecture, CLASSES, CONFIG["frontend"], {})
    samples = np.load(case.layout.clips)
    length = int(source.clips["recording_samples"].max())
    stems = np.zeros((2, len(samples)), np.int16)
    for clip in every:
        start = int(source.clips["recording_offset"].iloc[clip])
        spectrum = np.fft.rfft(samples[start : start + length])
        cut = round(2000 * length / 16000)
        for place, part in enumerate((slice(cut, None), slice(0, cut))):
            kept = spectrum.copy()
            kept[part] = 0
            stems[place, start : start + length] = np.fft.irfft(kept, length)
    np.save(case.layout.stems, stems)
    named = {cls.name: [{"name": "low"}, {"name": "high"}] for cls in source.classes}
    case.layout.truth.write_text(json.dumps({"objects": named}))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Return a network that recognises all classes: what it answers can be changed in copies."""
    folder = tmp_path_factory.mktemp("heard")
    case = Case(Layout(folder, "mine"), recordings(tmp_path_factory.mktemp("recordings")))
    case.run(ingest, split="")
    trained(case)
    case.run(predict)
    return case


def copied(case: Case, folder: Path) -> Case:
    shutil.copytree(case.layout.root, folder / "mine")
    return Case(Layout(folder, "mine"), case.root)


@pytest.fixture(scope="module")
def complete(heard: Case, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Return all results where two classes cannot be explained, and a third not on validation clips."""
    case = copied(heard, tmp_path_factory.mktemp("complete"))
    case.mishear("mute", TEST)
    case.mishear("shy", "training")
    case.mishear("blind", VALIDATION)
    case.run(choose)
    case.run(collect, layer=LAYER)
    case.run(ablate)
    case.run(composites)
    for at in places():
        if at["method"] in FITTED:
            known = FITTED[:-1] if at["method"] == "oracle" else []
            case.run(fit, **at, starts=known)
        for stage in (explain, sonify, score, objects):
            case.run(stage, **at)
        if at["method"] in CONFIG["evaluate"]["cross"]:
            case.run(cross, **at)
        if at["method"] in CONFIG["stability"]["methods"]:
            case.run(stability, **at)
    for method in TRIED:
        case.run(sanity, **at_of(method))
    shutil.copytree(case.layout.split("main"), case.layout.split("net1"))
    case.run(agree, layer=LAYER, k=K)
    case.run(compare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 20)  # finer ones take most of the time
        case.run(draw)
    return case


# --- who is left out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "missed"), [("mute", TEST), ("shy", "training"), ("deep", VALIDATION)])
def test_a_class_is_left_out_by_every_use_or_by_none(heard, tmp_path, cls, missed):
    case = copied(heard, tmp_path)
    case.mishear(cls, missed)
    case.run(choose)
    found = chosen.read(case.layout, "main")
    assert found.reason(cls) == REASONS.get(cls, "")
    used = {use: len(found.clips(cls, use)) for use in (GALLERY, SCORED, RULES, *map(truth, (VALIDATION, TEST)))}
    if cls in REASONS:
        assert set(used.values()) == {0}
        assert found.left_out(cls, SCORED) > 0
    else:
        assert (used[SCORED] > 0, used[RULES], used[truth(VALIDATION)]) == (True, 0, 0)
    assert not found.reason("high") and len(found.clips("high", RULES))


def test_what_a_clip_was_taken_for_is_told_all_the_same(complete):
    rows = chosen.read(complete.layout, "main").rows
    reasons = rows[(rows["cls"] == "mute") & (rows["use"] == SCORED)]["reason"]
    assert len(reasons) and reasons.str.startswith("classified as").all()
    assert set(rows[(rows["cls"] == "mute") & (rows["use"] == RULES)]["reason"]) == {REASONS["mute"]}
    assert set(rows[rows["cls"] == "shy"]["reason"]) == {REASONS["shy"]}


def test_a_warning_names_class_model_and_reason(heard, tmp_path, caplog):
    case = copied(heard, tmp_path)
    case.mishear("mute", TEST)
    case.run(choose)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"mute of mine/main is left out, its files hold no clips: {REASONS['mute']}"]


def test_the_run_stops_where_there_is_nothing_at_all(heard, tmp_path):
    case = copied(heard, tmp_path)
    for cls in CLASSES:
        case.mishear(cls, *([TEST] if cls == "mute" else ["training"]))
    with pytest.raises(EarmarkError, match=r"of none of blind, deep, high, mute, shy; see .*confusion\.csv") as caught:
        case.run(choose)
    assert "\n" not in str(caught.value)
    assert not case.layout.chosen("main").exists()


def test_who_looks_at_what_is_said_in_one_place(complete):
    source, answers = open_dataset(complete.layout), predictions.Predictions(_logits(complete))
    told = {cls.slug: answers.lacking(source, "main", cls) for cls in source.classes}
    assert told == {cls: REASONS.get(cls, "") for cls in CLASSES}


def _logits(case: Case) -> np.ndarray:
    return artifacts.read_csv(case.layout.predictions("main")).iloc[:, 1:].to_numpy(np.float32)


# --- its files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", REASONS)
def test_pairs_and_fits_hold_none_and_say_why(complete, cls):
    path = complete.layout.pairs("main", LAYER, cls)
    own, about = artifacts.read_tensors(path)
    other, _ = artifacts.read_tensors(complete.layout.pairs("main", LAYER, "deep"))
    assert {name: (tensor.dtype, *tensor.shape[1:]) for name, tensor in own.items()} == {
        name: (tensor.dtype, *tensor.shape[1:]) for name, tensor in other.items()
    }
    assert {len(tensor) for tensor in own.values()} == {0}
    assert about["reason"] == REASONS[cls]
    for method in FITTED:
        folder = complete.layout.concept("main", LAYER, method, K, cls)
        found = basis.load(folder)
        assert torch.equal(found.projections.sum(dim=0), torch.eye(16))
        report = json.loads((folder / "fit.json").read_text())
        assert (report["pairs"], report["warnings"], report["restarts"]) == (0, [REASONS[cls]], [])
        assert (report["drsa_objective"], report["objective"], report["relevance"]) == (None, None, None)


@pytest.mark.parametrize("at", places(), ids=lambda at: at["method"])
def test_explanations_hold_none_and_say_why(complete, at):
    for cls in CLASSES:
        folder = complete.layout.concept("main", *at.values(), cls)
        found = explanation.read(folder / explanation.NAME)
        clips = artifacts.read_rows(folder / "sounds/clips.csv")
        cards = artifacts.read_rows(folder / "sounds/cards.csv")
        assert found.reason == REASONS.get(cls, "")
        if cls in REASONS:
            assert found.heatmaps.shape == (0, at["k"], 1, 32, 16)
            assert not found.checks
            assert clips == cards == []
            assert {path.name for path in (folder / "sounds").iterdir()} == {
                f"{name}{end}" for name in ("clips.csv", "cards.csv") for end in ("", ".json")
            }
        else:
            assert len(clips) == 2 and len(cards) == min(3, len(found.clips)) * at["k"]
            assert ("sum_error" in found.checks) == ("sums_to_standard" in method_of(at["method"]).promises)


def test_a_picture_says_why(complete, tmp_path, monkeypatch):
    case, said = copied(complete, tmp_path), []
    monkeypatch.setattr(style, "DPI", 20)
    monkeypatch.setattr(picture, "nothing", lambda *given: said.append(given) or nothing(*given))
    case.run(picture, layer=LAYER, method="info", k=K)
    assert [words for _, words in said] == list(REASONS.values())
    assert "mute: info at conv2, K = 2" in said[0][0]
    assert all((case.layout.concept("main", LAYER, "info", K, cls) / "heatmaps.png").is_file() for cls in CLASSES)


@pytest.mark.parametrize("method", ["info", "standard"])
def test_rows_are_of_the_others_alone(complete, method):
    folder = complete.layout.method("main", *(("input", method, 1) if method == "standard" else (LAYER, method, K)))
    assert {row["cls"] for row in artifacts.read_rows(folder / "scores.csv")} == set(HEARD)
    measured = {(row["set"], row["cls"]) for row in artifacts.read_rows(folder / "objects.csv")}
    assert measured == {(which, cls) for which in (VALIDATION, TEST) for cls in HEARD} - {(VALIDATION, "blind")}
    ablated = artifacts.read_rows(complete.layout.split("main") / "ablation.csv")
    assert {(row["set"], row["cls"]) for row in ablated} == measured
    assert {row["cls"] for row in artifacts.read_rows(complete.layout.composites("main"))} == {"deep", "high"}
    if method == "info":
        assert {row["cls"] for row in artifacts.read_rows(folder / "stability.csv")} == set(HEARD)
        held_out = {(row["cls"], row["set"]) for row in artifacts.read_rows(folder / "held_out.csv")}
        assert ("blind", "training") in held_out and ("blind", VALIDATION) not in held_out
        again = artifacts.read_rows(complete.layout.agreement("main", LAYER, K))
        assert {row["cls"] for row in again} == set(HEARD)


def likeness(case: Case, method: str) -> dict[str, list[float]]:
    """Read the cosines of every check, clip by clip."""
    at = at_of(method)
    rows = artifacts.read_rows(case.layout.method("main", at["layer"], method, at["k"]) / "sanity.csv")
    assert {row["cls"] for row in rows} == set(HEARD)
    found: dict[str, list[float]] = {check: [] for check in CHECKS}
    for row in rows:
        found[row["check"]].append(float(row["cosine"] or "nan"))
    scored = [len(chosen.read(case.layout, "main").clips(cls, SCORED)) for cls in HEARD]
    assert {len(values) for values in found.values()} == {sum(min(3, count) for count in scored)}
    return found


def test_what_maps_depend_on_is_told_of_the_others(complete):
    noise, energy = likeness(complete, "noise~0"), likeness(complete, "energy")
    for check in ("network", "class", "noise"):  # it knows the clip's number alone
        assert noise[check] == pytest.approx([1] * len(noise[check]))
    for check in ("seed", "shift"):
        assert max(map(abs, noise[check])) < 0.3
    for check in ("network", "class", "seed"):  # the clip's energy knows no model
        assert energy[check] == pytest.approx([1] * len(energy[check]))
    assert min(energy["noise"] + energy["shift"]) > 0.9
    for method in ("standard", "drsa"):
        found = likeness(complete, method)
        assert found["seed"] == pytest.approx([1] * len(found["seed"]))
        assert np.median(found["network"]) < np.median(found["noise"])
        assert np.median(found["class"]) < np.median(found["noise"])
    table = complete.table("sanity")
    assert {row["cls"] for row in table if row["estimate"]} == {*HEARD, "all"}


def test_its_row_and_column_among_the_classes_are_empty(complete):
    rows = artifacts.read_rows(complete.layout.method("main", LAYER, "info", K) / "cross_class.csv")
    assert [row["attributed"] for row in rows] == CLASSES
    for row in rows:
        for cls in CLASSES:
            empty = cls in REASONS or row["attributed"] in REASONS
            assert (row[cls] == "") == empty
            assert empty or math.isfinite(float(row[cls]))


# --- tables and figures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flipping", "concepts", "stability", "ground_truth", "networks", "agreement"])
def test_tables_name_it_with_the_reason(complete, name):
    text = (complete.layout.tables / f"{name}.md").read_text(encoding="utf-8")
    listed = "; ".join(f"{cls} ({reason})" for cls, reason in REASONS.items())
    assert text.count(f"Without clips in `main`, and in no mean: {listed}.") == 1
    assert "nan" not in text.lower().replace("resonan", "")
    for cls in REASONS:
        assert not [line for line in text.splitlines() if line.startswith(("#", "|")) and cls in line]


def test_the_others_have_their_numbers(complete):
    known = {(row["method"], row["cls"]) for row in complete.table("flipping") if row["estimate"]}
    methods = {name.partition("~")[0] for name in (*FITTED, *UNLAYERED)}
    assert known == {(method, cls) for method in methods for cls in (*HEARD, "all")}
    for name in ("concepts", "cross_class", "conservation", "stability", "agreement", "networks"):
        table = complete.table(name)
        assert {row["cls"] for row in table} == {*HEARD, *(() if name == "conservation" else ["all"])}, name
        for cls in HEARD:
            assert any(row["estimate"] for row in table if row["cls"] == cls), (name, cls)
    of_rules = [row for row in complete.table("composites") if row["estimate"]]
    assert {row["cls"] for row in of_rules} == {"deep", "high", "all"}


def test_what_would_be_assigned_on_validation_clips_stays_empty_without_any(complete):
    table = complete.table("ground_truth")
    for metric, known in (("nmi", HEARD), ("capture", ["deep", "high"]), ("nmi, validation", ["deep", "high"])):
        found = {row["cls"] for row in table if row["metric"] == metric and row["method"] == "info" and row["estimate"]}
        assert found == {*known, "all"}, metric


def test_figures_are_of_the_others(complete):
    names = {path.stem for path in complete.layout.figures.glob("*.png")}
    assert {f"cards_{LAYER}_info_K{K}_{cls}" for cls in HEARD} <= names
    assert {f"cross_class_K{K}", f"flipping_K{K}", f"recovery_info_K{K}", "choice", "composites", "confusion"} <= names
    assert not [name for name in names if name.endswith(tuple(REASONS)) and not name.startswith("objects_")]


def test_another_network_may_lack_another_class(complete, tmp_path):
    case = copied(complete, tmp_path)
    for at in places():
        folder = case.layout.method("net1", *at.values())
        path = folder / "scores.csv"
        if path.exists():
            path.write_text("".join(line for line in path.open() if not line.startswith("high,")))
    path = case.layout.chosen("net1")
    path.write_text("".join(line.replace("\n", "left out\n") if ",high," in line else line for line in path.open()))
    case.run(agree, layer=LAYER, k=K)
    case.run(compare)
    text = (case.layout.tables / "networks.md").read_text(encoding="utf-8")
    assert "Without clips in `net1`, and in no mean: high (no test clip of it is recognised); mute" in text
    known = {row["cls"] for row in case.table("networks") if row["metric"] == "fair_zero"}
    assert known == {"deep", "blind", "all"}
    assert "No clip of high is recognised by all networks." in (case.layout.tables / "agreement.md").read_text()
