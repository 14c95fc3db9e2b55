"""The whole workflow on a tiny grid: what it leaves behind, and what it does when called again."""

import json

import pandas as pd
import pytest
import soundfile
import torch

from earmark.metrics.scores import SCORES
from earmark.store.artifacts import read_tensors
from tests.workflow.conftest import TINY

CLASSES = ("class1", "class2")
LAYERS, METHODS, KS = TINY["datasets"]["synthetic"]["grid"].values()


@pytest.fixture(scope="module")
def finished(complete, tmp_path_factory):
    """Copy the complete run."""
    return complete.copy(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def changed(finished):
    """Yield the finished project, and take back what a test configures or edits."""
    sources = {path: path.read_bytes() for path in (finished.folder / "src").rglob("*.py")}
    yield finished
    finished.configure(TINY)
    for path, content in sources.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def results(project):
    return project.folder / "results/synthetic"


def test_everything_is_there(finished):
    root = results(finished)
    for name in ("manifest.csv", "classes.csv", "clips.npy", "logmel.safetensors", "tables/flipping.csv"):
        assert (root / name).stat().st_size > 0
    assert 0 <= json.loads((root / "main/metrics.json").read_text())["test_accuracy"] <= 1
    assert list((root / "figures").glob("*.png"))
    for layer in LAYERS:
        for method in METHODS:
            for k in KS:
                folder = root / "main" / layer / method / f"K~{k}"
                scores = pd.read_csv(folder / "scores.csv")
                assert set(scores["cls"]) == set(CLASSES)
                assert scores[list(SCORES)].notna().to_numpy().all()
                assert (folder / "cross_class.csv").exists() == (method == "drsa")
                for cls in CLASSES:
                    for shown in ("heatmaps.png", "sounds"):
                        assert (folder / cls / shown).exists() == (method == "drsa")


def test_rules_are_compared_on_validation_clips(finished):
    root = results(finished)
    clips = pd.read_csv(root / "clips.csv").set_index("clip")
    scored = pd.read_csv(root / "main/composites.csv")
    assert set(clips.loc[scored["clip"], "fold"]) == {2}
    assert scored["candidate"].unique().tolist() == ["configured", "epsilon", "random"]
    table = pd.read_csv(root / "tables/composites.csv")
    compared = table[table["metric"].str.endswith("- configured")]
    assert set(compared["method"]) == {"epsilon", "random"} and compared["p"].notna().all()
    assert {path.name for path in (root / "figures").glob("composites.*")} == {"composites.png", "composites.pdf"}


def test_every_job_leaves_a_log_and_its_cost(finished):
    logs = finished.folder / "logs/synthetic"
    for name in ("generate", "main/train", "main/conv2/collect", "main/conv4/drsa/K~4/fit", "compare", "draw"):
        assert (logs / f"{name}.log").exists()
        assert (logs / f"{name}.tsv").stat().st_size > 0


def test_concepts_add_up_to_the_standard_heatmap(finished):
    for cls in CLASSES:
        standard, _ = read_tensors(results(finished) / f"main/input/standard/K~1/{cls}/heatmaps.safetensors")
        row_of = {clip: row for row, clip in enumerate(standard["clips"].tolist())}
        for layer in LAYERS:
            for method in METHODS:
                concepts, _ = read_tensors(results(finished) / f"main/{layer}/{method}/K~4/{cls}/heatmaps.safetensors")
                rows = [row_of[clip] for clip in concepts["clips"].tolist()]
                wanted = standard["heatmaps"][rows, 0]  # [B, 1, F, T]
                error = (concepts["heatmaps"].sum(dim=1) - wanted).abs().max() / wanted.abs().max()
                assert error < 1e-5, (cls, layer, method)


def test_ground_truth_is_told_with_its_ceiling(finished):
    root = results(finished)
    table = pd.read_csv(root / "tables/ground_truth.csv").set_index(["layer", "method", "k", "cls", "metric"])
    for layer in LAYERS:
        for k in KS:
            rows = pd.read_csv(root / f"main/{layer}/drsa/K~{k}/objects.csv")
            assert set(rows["concept"]) == set(range(1, k + 1))
            assert set(rows["object"]) == set(range(5))
            for method in METHODS:
                row = table.loc[layer, method.split("~")[0], k, "all", "nmi"]
                assert 0 <= row["low"] <= row["estimate"] <= row["high"] <= 1
                assert row["nmi"] == row["estimate"]
            fitted = root / f"main/{layer}/oracle/K~{k}/class1/fit.json"
            assert [start["start"] for start in json.loads(fitted.read_text())["restarts"]] == [
                "drsa",
                "random~0",
                "random 1",
            ]
    ablation = pd.read_csv(root / "main/ablation.csv")
    assert set(ablation["object"]) == {1, 2, 3, 4}
    assert (root / "figures/recovery_oracle_K4.png").stat().st_size > 0
    assert "What the model uses" in (root / "tables/ground_truth.md").read_text()


def test_sounds_of_concepts_are_audible(finished):
    for cls in CLASSES:
        for name in ("input", "standard", "concept1", "concept4", "rest"):
            path = results(finished) / f"main/conv4/drsa/K~4/{cls}/sounds/000/{name}.wav"
            samples, rate = soundfile.read(path)
            assert rate == 16000
            assert len(samples) == 15120
        assert abs(soundfile.read(path.with_name("input.wav"))[0]).max() > 0.01


def test_cards_lie_beside_the_gallery(finished):
    for cls in CLASSES:
        folder = results(finished) / f"main/conv4/drsa/K~4/{cls}/sounds"
        listed = pd.read_csv(folder / "cards.csv")
        assert listed["concept"].tolist() == [concept for concept in range(1, 5) for _ in range(3)]
        assert {path.name for path in (folder / "cards/concept4/3").iterdir()} == {"input.wav", "concept.wav"}
        assert (results(finished) / f"figures/cards_conv4_drsa_K4_{cls}.png").stat().st_size > 0


def test_stability_of_one_set_of_subspaces(finished):
    folder = results(finished) / "main/conv4/drsa/K~4"
    called = finished.snakemake("--cores", "1", "results/synthetic/main/conv4/drsa/K~4/stability.csv")
    assert called.status == 0, called.output
    affinities = pd.read_csv(folder / "stability.csv")
    assert len(affinities) == 2 * 4 * 2 * 5  # classes, concepts, kinds, draws
    assert affinities["affinity"].between(0, 1 + 1e-6).all()
    held_out = pd.read_csv(folder / "held_out.csv")
    assert held_out.groupby(["cls", "set"]).size().index.tolist() == [
        (cls, which) for cls in CLASSES for which in ("training", "validation")
    ]
    assert (held_out[["pairs", "activations", "contexts"]] > 0).to_numpy().all()


def test_a_second_call_does_nothing(finished):
    called = finished.snakemake("--cores", "2")
    assert called.status == 0
    assert "Nothing to be done" in called.output


def test_another_layer_trains_nothing_again(finished):
    jobs = finished.plan("results/synthetic/main/conv3/drsa/K~8/scores.csv")
    assert jobs == {"collect_synthetic": 1, "fit_synthetic": 1, "explain_synthetic": 1, "score": 1}


AFTER_FIT = {  # of DRSA, and of the oracle that starts from it
    "fit_synthetic": 4,
    "explain_synthetic": 4,
    "picture_synthetic": 2,
    "sonify_synthetic": 2,
    "score": 4,
    "cross": 2,
    "objects": 4,
    "compare": 1,
    "draw": 1,
    "report": 1,
}


@pytest.mark.parametrize(
    ("section", "change", "jobs"),
    [
        ("explainers", {"drsa": {"restarts": 2}}, AFTER_FIT),
        ("evaluate", {"bootstrap": 60}, {"compare": 1, "draw": 1, "report": 1}),
        (
            "composites",
            {"candidates": {"epsilon": [{"layers": "conv1", "rule": "flat"}, {"layers": "*", "rule": "epsilon"}]}},
            {"composites": 1, "compare": 1, "draw": 1, "report": 1},
        ),
        ("sonify", {"percentile": 80}, {"sonify_synthetic": 2, "objects": 7, "compare": 1, "draw": 1, "report": 1}),
    ],
)
def test_a_changed_parameter_makes_stale_what_uses_it(changed, section, change, jobs):
    block = TINY["datasets"]["synthetic"]
    changed.configure(TINY | {"datasets": {"synthetic": block | {section: block.get(section, {}) | change}}})
    assert changed.plan() == jobs


def test_a_second_network_is_trained_explained_and_compared(complete, tmp_path):
    project = complete.copy(tmp_path / "project")
    grid = {"layers": ["conv4"], "methods": ["drsa", "random~0"], "k": [4]}
    project.configure(TINY | {"datasets": {"synthetic": TINY["datasets"]["synthetic"] | {"grid": grid, "networks": 2}}})
    called = project.snakemake("--cores", "2", "results/synthetic/tables/networks.csv")
    assert called.status == 0, called.output
    assert (called.jobs["train"], called.jobs["agree"]) == (1, 1)
    root = results(project)
    first, second = (read_tensors(root / f"{split}/model.safetensors")[0] for split in ("main", "net1"))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    table = pd.read_csv(root / "tables/networks.csv")
    assert set(table["networks"]) == {2}
    one = table[(table["layer"] == "conv4") & (table["method"] == "drsa") & (table["cls"] == "all")]
    assert {"nmi", "capture", "thesis", "fair_zero", "overlap", "nmi - random", "thesis - standard"} <= set(
        one["metric"]
    )
    assert one["estimate"].notna().all()
    pairs = pd.read_csv(root / "main/conv4/agreement/K~4.csv")
    assert set(zip(pairs["network"], pairs["other"], strict=True)) == {("main", "net1"), ("net1", "main")}
    assert "of 1" in (root / "tables/agreement.md").read_text()
