"""Tables and figures of a small made-up results tree whose means are known."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch

from earmark import statistics
from earmark.data.chosen import COLUMNS as CHOSEN_COLUMNS
from earmark.data.chosen import RULES, SCORED
from earmark.data.dataset import open_dataset
from earmark.drawings import scores as drawings
from earmark.figures import style
from earmark.job import Job
from earmark.metrics.scores import METRICS, SCORES
from earmark.plan.stages import STAGES
from earmark.stages import agree, compare, draw
from earmark.stages import composites as rules
from earmark.stages.score import COLUMNS
from earmark.statistics import ALL, Interval
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import cross_class, flipping, summary
from earmark.tables.labels import STANDARD, At, Label
from earmark.tables.study import Study
from earmark.tables.summary import Clips
from earmark.tables.written import Tables

FRONTEND = {"sample_rate": 16000, "n_fft": 256, "hop": 64, "n_mels": 16, "n_frames": 16, "offset": 1e-7, "floor": -4.0}
CONFIG = {
    "frontend": FRONTEND,
    "grid": {"layers": ["conv1", "conv2"], "methods": ["drsa", "dsa", "random~0", "random~1"], "k": [2]},
    "evaluate": {
        "patch": 4,
        "cross": ["drsa", "random~0"],
        "masking": [],
        "budgets": [0.5],
        "sanity": [],
        "outside": [],
        "fidelity": [],
        "flips": [],
        "scaling": {},
        "beside": [],
        "listener": None,
        "bootstrap": 200,
    },
    "composites": {"clips": 6, "candidates": {name: [{"layers": "*", "rule": "epsilon"}] for name in ("nan", "late")}},
    "cross_validation": True,
    "networks": 1,
    "stability": {"methods": ["drsa"], "draws": 2},
    "explain": {"clips": 6, "gallery": 1, "classes": []},
    "lrp": {},
    "seed": 0,
    "torch_threads": 1,
}
CLASSES = ["nan", "wind"]  # names that a careless reader of CSV files loses
PER_CLASS = 6
LEFT_OUT = {"nan": 3, "wind": 1}


def write_csv(path, columns, rows):
    artifacts.write_csv(path, columns, rows, {})


read_csv = artifacts.read_rows


def ingested(layout):
    """The files of a data set: two classes, two clips per group."""
    columns = [
        "clip",
        "path",
        "class",
        "group",
        "fold",
        "set",
        "offset",
        "samples",
        "recording_offset",
        "recording_samples",
        "recording",
    ]
    samples = (FRONTEND["n_frames"] - 1) * FRONTEND["hop"]
    rows = []
    for clip in range(2 * PER_CLASS):
        cls, group = CLASSES[clip // PER_CLASS], f"{clip // 2:03d}"
        path = f"{cls}/{clip}.wav"
        rows.append(
            [clip, path, cls, group, clip // 2 % 3, "main", clip * samples, samples, clip * samples, samples, clip]
        )
    write_csv(layout.clip_index, columns, rows)
    write_csv(layout.classes, ["slug", "name", "recordings"], [[cls, cls.title(), PER_CLASS] for cls in CLASSES])
    manifest = ["path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason"]
    write_csv(layout.manifest, manifest, [[row[1], row[2], row[3], 0, 1.0, 16000, "", "ok", ""] for row in rows])
    np.save(layout.clips, np.zeros(len(rows) * samples, np.int16))
    logmel = torch.randn(len(rows), 1, 16, 16, generator=torch.Generator().manual_seed(0))
    artifacts.write_tensors(layout.logmel, {"logmel": logmel}, {}, clip_samples=samples, frontend=FRONTEND)


def value(at, metric, clip):
    """A score that any test can compute again."""
    rng = np.random.default_rng([sum(map(ord, "".join(map(str, at)) + metric)), clip])
    if metric in flipping.BETWEEN and at[2] == 1:
        return float("nan")
    return float(rng.uniform(0, 1) + (0.5 if "random" in at[1] else 0.0))


def scores(layout, at):
    rows = []
    for clip in range(2 * PER_CLASS):
        cls = CLASSES[clip // PER_CLASS]
        numbers = [value(at, metric, clip) for metric in SCORES]
        rows.append([cls, clip, f"{cls}/{clip}.wav", f"{clip // 2:03d}", 1.0, *numbers])
    write_csv(layout.method("main", at.layer, at.method, at.k) / "scores.csv", COLUMNS, rows)


def heatmaps(layout, at):
    for number, cls in enumerate(CLASSES):
        clips = torch.arange(number * PER_CLASS, (number + 1) * PER_CLASS)
        first = torch.arange(PER_CLASS) == 0
        content = {
            # for the class, in sum
            "heatmaps": torch.randn(PER_CLASS, at.k, 1, 16, 16, generator=torch.Generator().manual_seed(1)) + 0.5,
            "clips": clips,
            "logits": torch.ones(PER_CLASS),
            "gallery": first,
            "scored": torch.ones(PER_CLASS, dtype=torch.bool),
        }
        path = layout.concept("main", at.layer, at.method, at.k, cls) / "heatmaps.safetensors"
        artifacts.write_tensors(path, content, {}, left_out=LEFT_OUT[cls])


def cross(layout, at, gain):
    """Own subspaces gain so much more than the other class's."""
    rows = []
    for clip in range(2 * PER_CLASS):
        cls = CLASSES[clip // PER_CLASS]
        for other in CLASSES:
            delta = 0.01 * clip + (gain if other == cls else 0.0)
            rows.append([cls, other, clip, f"{cls}/{clip}.wav", f"{clip // 2:03d}", 1.0, 1.0 - delta, delta])
    folder = layout.method("main", at.layer, at.method, at.k)
    names = ["attributed", "subspaces", "clip", "path", "group", "standard", "thesis", "delta"]
    write_csv(folder / "cross_class_clips.csv", names, rows)
    write_csv(folder / "cross_class.csv", ["attributed", *CLASSES], [[CLASSES[0], 0.5, 0.1], [CLASSES[1], 0.2, 0.6]])


COMPOSITES, KINDS = ("configured", "nan", "random"), ("zero", "floor")


def height(name, clip):
    """Where the curve of a clip begins."""
    return 1.0 + COMPOSITES.index(name) + 0.1 * clip


def composites(layout):
    """Scores under the configured rules, one candidate and chance; another candidate was never computed."""
    rows, curves = [], []
    for clip in range(2 * PER_CLASS):
        cls = CLASSES[clip // PER_CLASS]
        for name in COMPOSITES:
            numbers = [value(At("input", name, 1), metric, clip) for metric in SCORES[:3]]
            rows.append([cls, clip, f"{cls}/{clip}.wav", f"{clip // 2:03d}", name, 1.0, *numbers, LEFT_OUT[cls] + 1])
            about = cls, clip, f"{clip // 2:03d}", name
            curves += [[*about, kind, at, height(name, clip) * (1 - at)] for kind in KINDS for at in (0, 0.5, 1)]
    write_csv(layout.composites("main"), rules.COLUMNS, rows)
    write_csv(layout.composites_curves("main"), rules.CURVE_COLUMNS, curves)


def chosen(layout):
    """Who was left out of the scores, and one clip more of each class of the comparison of rules."""
    counts = {(cls, use): LEFT_OUT[cls] + (use == RULES) for cls in CLASSES for use in (SCORED, RULES)}
    rows = [[100 + n, cls, -1.0, use, "why"] for (cls, use), count in counts.items() for n in range(count)]
    rows += [[clip, CLASSES[clip // PER_CLASS], 1.0, SCORED, ""] for clip in range(2 * PER_CLASS)]
    write_csv(layout.chosen("main"), CHOSEN_COLUMNS, rows)


def affinities(layout, at, value):
    """All concepts are found again in two draws, but the second class's second one."""
    rows = [
        [cls, concept, "seed", draw, value if (cls, concept) != ("wind", 2) else 0.5, 0.55]
        for cls in CLASSES
        for concept in (1, 2)
        for draw in (1, 2)
    ]
    folder = layout.method("main", at.layer, at.method, at.k)
    write_csv(folder / "stability.csv", ["cls", "concept", "kind", "draw", "affinity", "random"], rows)


def trained(layout, split, accuracy):
    folder = layout.split(split)
    artifacts.write_json(folder / "metrics.json", {"test_accuracy": accuracy, "best_epoch": 2, "test_clips": 12}, {})
    names = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "best"]
    write_csv(folder / "history.csv", names, [[1, 0.9, 0.5, 0.8, 0.6, 0], [2, 0.5, 0.8, 0.6, 0.7, 1]])
    write_csv(folder / "confusion.csv", ["true", *CLASSES], [[CLASSES[0], 5, 1], [CLASSES[1], 2, 4]])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Results of a grid whose `dsa` at conv2 was never computed, compared."""
    results = tmp_path_factory.mktemp("results")
    layout = Layout(results, "demo")
    ingested(layout)
    for name, accuracy in (("main", 0.75), ("cv0", 0.6), ("cv1", 0.8)):
        trained(layout, name, accuracy)
    for at in (At("input", "standard", 1), At("input", "noise~0", 1)):
        scores(layout, at)
        heatmaps(layout, at)
    for layer in CONFIG["grid"]["layers"]:
        for method in CONFIG["grid"]["methods"]:
            if (layer, method) == ("conv2", "dsa"):
                continue
            scores(layout, At(layer, method, 2))
            if method != "dsa":
                heatmaps(layout, At(layer, method, 2))
        cross(layout, At(layer, "drsa", 2), 0.3)
        cross(layout, At(layer, "random~0", 2), 0.1)
        affinities(layout, At(layer, "drsa", 2), 0.99 if layer == "conv1" else 0.6)
        for cls in CLASSES:
            starts = [{"start": "data", "objective": 1.0, "iterations": 2, "history": [0.1, 0.5, 1.0]}]
            artifacts.write_json(layout.concept("main", layer, "drsa", 2, cls) / "fit.json", {"restarts": starts}, {})
    composites(layout)
    chosen(layout)
    run(layout)
    return layout


def run(layout, config=CONFIG, stages=(compare, draw)):
    """Write tables and figures, each stage given no more of the configuration than it says that it uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 20)  # finer ones take most of the time
        for stage in stages:
            name = stage.__name__.split(".")[-1]
            sections = {section.partition(".")[0] for section in STAGES[name].sections} | {"seed", "torch_threads"}
            given = {key: value for key, value in config.items() if key in sections}
            stage.run(Job(name, layout.results, "demo", given, split="main"))


def row(table, **labels):
    (found,) = (line for line in table if all(line[name] == str(wanted) for name, wanted in labels.items()))
    return found


def expected(at, metric, cls, methods=None):
    clips = range(CLASSES.index(cls) * PER_CLASS, (CLASSES.index(cls) + 1) * PER_CLASS)
    variants = [At(at.layer, method, at.k) for method in methods or [at.method]]
    return np.array([np.mean([value(variant, metric, clip) for variant in variants]) for clip in clips])


def test_flipping_table_holds_the_means(tree):
    table = read_csv(tree.tables / "flipping.csv")
    at = At("conv1", "drsa", 2)
    for cls in CLASSES:
        line = row(table, layer="conv1", method="drsa", k=2, cls=cls, metric="thesis")
        assert float(line["estimate"]) == pytest.approx(expected(at, "thesis", cls).mean(), rel=1e-5)
        assert float(line["low"]) < float(line["estimate"]) < float(line["high"])
        assert (line["n"], line["left_out"], line["p"]) == ("6", str(LEFT_OUT[cls]), "")
    line = row(table, layer="conv1", method="drsa", k=2, cls=ALL, metric="fair_floor")
    over_classes = np.mean([expected(at, "fair_floor", cls).mean() for cls in CLASSES])
    assert float(line["estimate"]) == pytest.approx(over_classes, rel=1e-5)
    assert (line["n"], line["left_out"]) == ("12", "4")


def test_medians_stand_beside_the_means_of_fair(tree):
    table = read_csv(tree.tables / "flipping.csv")
    at = At("conv1", "drsa", 2)
    of_classes = [np.median(expected(at, "fair_zero", cls)) for cls in CLASSES]
    for cls, wanted in zip([*CLASSES, ALL], [*of_classes, np.mean(of_classes)], strict=True):
        line = row(table, layer="conv1", method="drsa", k=2, cls=cls, metric="fair_zero_median")
        assert float(line["estimate"]) == pytest.approx(wanted, rel=1e-5)
        assert float(line["low"]) <= float(line["estimate"]) <= float(line["high"])
        assert line["p"] == ""
    assert not [line for line in table if line["metric"].startswith("thesis_median")]


def test_random_is_the_mean_of_its_seeds_and_differences_are_paired(tree):
    table = read_csv(tree.tables / "flipping.csv")
    at, seeds = At("conv2", "random", 2), ["random~0", "random~1"]
    line = row(table, layer="conv2", method="random", k=2, cls="wind", metric="overlap")
    assert float(line["estimate"]) == pytest.approx(expected(at, "overlap", "wind", seeds).mean(), rel=1e-5)
    difference = expected(At("conv2", "drsa", 2), "thesis", "wind") - expected(at, "thesis", "wind", seeds)
    line = row(table, layer="conv2", method="drsa", k=2, cls="wind", metric="thesis - random")
    assert float(line["estimate"]) == pytest.approx(difference.mean(), rel=1e-5)
    assert 0 < float(line["p"]) <= 1
    assert not [line for line in table if line["method"].startswith("random~")]


def test_every_agreed_quantity_is_there(tree):
    table = read_csv(tree.tables / "flipping.csv")
    metrics = {line["metric"] for line in table if line["method"] == "drsa"}
    pairs = {f"{score} - {other}" for score in ("thesis", "fair_zero", "fair_floor") for other in ("random", "dsa")}
    standard = {"thesis - standard", "thesis - matched_budget", "fair_zero - standard", "fair_floor - standard"}
    assert metrics >= {*SCORES, *pairs, *standard, "overlap - random", "fair_zero - noise"}
    for method in ("standard", "noise"):
        assert row(table, layer="input", method=method, k=1, cls=ALL, metric="fair_zero")["estimate"]
    own = row(table, layer="input", method="standard", k=1, cls=ALL, metric="thesis - noise")
    assert own["p"]


def test_what_was_not_computed_is_an_empty_labelled_cell(tree):
    table = read_csv(tree.tables / "flipping.csv")
    for metric in ("thesis", "fair_zero - standard"):
        line = row(table, layer="conv2", method="dsa", k=2, cls=ALL, metric=metric)
        assert (line["estimate"], line["low"], line["p"], line["n"]) == ("", "", "", "0")
    assert row(table, layer="conv2", method="drsa", k=2, cls=ALL, metric="thesis - dsa")["estimate"] == ""
    for metric in ("overlap", "ssim"):
        assert row(table, layer="input", method="standard", k=1, cls=ALL, metric=metric)["estimate"] == ""
    names = {path.name for path in tree.figures.iterdir()}
    assert not [name for name in names if "dsa" in name.replace("drsa", "")]
    cells = ["not computed"] * len(flipping.REPORTED)
    text = (tree.tables / "flipping.md").read_text(encoding="utf-8")
    assert text.count(f"| conv2 | dsa | – | {' | '.join(cells)} |") == 3  # all classes, and each
    assert "| input | standard |" in text and "| – |" in text  # the overlap of one map is not missing


def test_a_seed_of_random_that_is_missing_leaves_its_mean_empty(tree, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(tree.root, results / "demo")
    layout = Layout(results, "demo")
    (layout.method("main", "conv1", "random~1", 2) / "scores.csv").unlink()
    run(layout, stages=[compare])
    table = read_csv(layout.tables / "flipping.csv")
    assert row(table, layer="conv1", method="random", k=2, cls=ALL, metric="thesis")["estimate"] == ""
    assert row(table, layer="conv1", method="drsa", k=2, cls=ALL, metric="thesis - random")["estimate"] == ""
    assert row(table, layer="conv2", method="random", k=2, cls=ALL, metric="thesis")["estimate"]


def made_up(differences):
    """Intervals of differences, by (method, score, rival)."""
    return {
        (Label(STANDARD if method == "standard" else At("conv1", method, 4), metric).less(other), ALL): summary.Summary(
            Interval((low + high) / 2, low, high), 10
        )
        for (method, name), (low, high) in differences.items()
        for metric, other in [name.split(" - ")]
    }


LED = [
    # drsa below both others: the only one in bold
    ({("drsa", "thesis - dsa"): (-2, -1), ("drsa", "thesis - random"): (-3, -1)}, {("drsa", "thesis")}),
    # an interval that holds 0 against one rival is enough to lose it
    ({("drsa", "thesis - dsa"): (-2, 0.1), ("drsa", "thesis - random"): (-3, -1)}, set()),
    # the second of a pair leads where the difference is clearly positive
    ({("drsa", "thesis - dsa"): (1, 2), ("dsa", "thesis - random"): (-3, -1)}, {("dsa", "thesis")}),
    # thesis: the standard heatmap has another K, and its budget is no rival
    ({("drsa", "thesis - standard"): (-2, -1), ("drsa", "thesis - matched_budget"): (-2, -1)}, set()),
    # fair: better than the other methods is not enough, the standard heatmap counts
    ({("drsa", "fair_zero - dsa"): (-2, -1), ("drsa", "fair_zero - standard"): (-1, 1)}, set()),
    (
        {("drsa", "fair_zero - dsa"): (-2, -1), ("drsa", "fair_zero - standard"): (1, 2)},
        {("standard", "fair_zero")},
    ),
    # one group has no interval, and no winner
    ({("drsa", "thesis - dsa"): (float("nan"), float("nan"))}, set()),
]


@pytest.mark.parametrize(("differences", "winners"), LED)
def test_bold_is_what_beats_every_rival_beyond_its_interval(differences, winners):
    grid = [At("conv1", method, 4) for method in ("drsa", "dsa", "random")]
    found = flipping.leaders(grid, [ALL], made_up(differences))
    assert {(label.at.method, label.metric) for label, _ in found} == winners


def test_the_report_sets_leaders_in_bold():
    clips = Clips(np.repeat(["a"], 8), np.arange(8).astype(str), {"a": 0})
    grid = [At("conv1", "drsa", 4), At("conv1", "dsa", 4)]
    values = {Label(at, "thesis"): np.linspace(0, 1, 8) + place for place, at in enumerate(grid)}
    compared = summary.summarise(summary.subtract(flipping.comparisons(grid), values), clips, 200, 0, test=True)
    found = summary.summarise_scores(values, clips, 200, 0)
    text = flipping.write("title", grid, [], flipping.Scored(clips, found, compared))
    assert "| conv1 | drsa | – | **0.500 [" in text and "| conv1 | dsa | – | 1.500 [" in text


def test_markdown_says_what_the_scores_can_show(tree):
    text = (tree.tables / "flipping.md").read_text(encoding="utf-8")
    table = read_csv(tree.tables / "flipping.csv")
    assert "between methods of equal K only" in " ".join(text.split())
    assert "nan 6 scored in 3 groups, 3 left out" in text
    for cls in CLASSES:
        assert f"## K = 2, {cls}" in text
    line = row(table, layer="conv1", method="drsa", k=2, cls=ALL, metric="thesis")
    there = row(
        read_csv(tree.tables / "concepts.csv"), layer="conv1", method="drsa", cls=ALL, metric="effective_number"
    )
    score = f"{float(line['estimate']):.3f} [{float(line['low']):.3f}, "
    assert f"| conv1 | drsa | {float(there['estimate']):.1f} | {score}" in text
    widths = {
        len(line.split("|")) for line in text.split("\n## K = 2, nan")[1].split("\n## ")[0].splitlines()[2:] if line
    }
    assert len(widths) == 1  # one table, all rows equally wide


def test_every_metric_of_every_table_is_declared(tree):
    """A label begins with its metric: what is subtracted, the part of the clip and the clips come behind it."""
    written = {path.stem: {line.get("metric") for line in read_csv(path)} for path in tree.tables.glob("*.csv")}
    named = {label for labels in written.values() for label in labels if label is not None}
    assert {"thesis", "fair_zero - noise", "own - others", "test_accuracy", "best_epoch"} <= named
    for label in named:
        first = label.lstrip("(").split(" - ")[0]
        assert re.split(r", | object | \d", first)[0] in METRICS, label


def test_model_table_averages_the_folds(tree):
    table = read_csv(tree.tables / "model.csv")
    assert float(row(table, split="main", cls=ALL, metric="test_accuracy")["estimate"]) == 0.75
    assert float(row(table, split="main", cls="nan", metric="test_accuracy")["estimate"]) == pytest.approx(
        5 / 6, rel=1e-5
    )
    folds = row(table, split="folds", cls=ALL, metric="test_accuracy")
    assert (float(folds["estimate"]), float(folds["low"]), float(folds["high"])) == pytest.approx((0.7, 0.6, 0.8))
    assert folds["n"] == "2"  # folds, and never the main split among them


def test_methods_are_compared_over_networks(tree, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(tree.root, results / "demo")
    layout = Layout(results, "demo")
    shutil.copytree(layout.split("main"), layout.split("net1"))
    path = layout.method("net1", "conv1", "drsa", 2) / "scores.csv"
    lines = read_csv(path)
    for line in lines:
        line["thesis"] = float(line["thesis"]) + 0.2
    write_csv(path, COLUMNS, [list(line.values()) for line in lines])
    pairs = [("main", "net1"), ("net1", "main")]
    for layer in CONFIG["grid"]["layers"]:
        found = [
            [cls, "drsa", *pair, concept, 0.6 if concept == 1 else 0.1, 0.2, 0.3, PER_CLASS]
            for cls in CLASSES
            for pair in pairs
            for concept in (1, 2)
        ]
        write_csv(layout.agreement("main", layer, 2), agree.COLUMNS, found)
    run(layout, CONFIG | {"networks": 2})
    again = read_csv(layout.tables / "agreement.csv")
    own = row(again, layer="conv1", method="drsa", cls="nan", metric="found_again", concept="1")
    assert (own["estimate"], own["networks"]) == ("1", "2")
    assert row(again, layer="conv1", method="drsa", cls=ALL, metric="found_again")["estimate"] == "0.5"
    assert (layout.figures / "choice.png").exists()
    for cls in CLASSES:
        mean = expected(At("conv1", "drsa", 2), "thesis", cls).mean()
        found = row(read_csv(layout.tables / "networks.csv"), layer="conv1", method="drsa", cls=cls, metric="thesis")
        assert float(found["estimate"]) == pytest.approx(mean + 0.1, rel=1e-5)
        assert found["networks"] == "2"
        one = row(read_csv(layout.tables / "flipping.csv"), layer="conv1", method="drsa", cls=cls, metric="thesis")
        assert float(one["estimate"]) == pytest.approx(mean, rel=1e-5)
    models = read_csv(layout.tables / "model.csv")
    assert row(models, split="net1", cls=ALL, metric="test_accuracy")["estimate"] == "0.75"
    assert row(models, split="folds", cls=ALL, metric="test_accuracy")["n"] == "2"
    assert not read_csv(tree.tables / "networks.csv")  # of one network


def test_cross_class_table_holds_the_diagonals_advantage(tree):
    table = read_csv(tree.tables / "cross_class.csv")
    for cls, clips in (("nan", range(6)), ("wind", range(6, 12))):
        line = row(table, layer="conv1", method="drsa", k=2, cls=cls, metric="own - others")
        bounds = [float(line[name]) for name in ("estimate", "low", "high")]
        assert bounds == pytest.approx([0.3, 0.3, 0.3])
        own = row(table, layer="conv1", method="drsa", k=2, cls=cls, metric="own")
        assert float(own["estimate"]) == pytest.approx(0.3 + 0.01 * np.mean(clips), rel=1e-5)
    assert row(table, layer="conv1", method="drsa", k=2, cls=ALL, metric="own - others")["p"]


def renamed(path, names):
    """Rename classes in a table: in the columns that hold them, and in the header of a matrix."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *body = csv.reader(file)
    places = [
        place for place, column in enumerate(head) if column in {"cls", "class", "slug", "attributed", "subspaces"}
    ]
    for line in body:
        for place in places:
            line[place] = names.get(line[place], line[place])
    write_csv(path, [names.get(column, column) for column in head], body)


def test_classes_may_bear_the_names_of_columns(tree, tmp_path):
    """Of two trees that differ in the names of their classes, tables and matrices hold the same numbers."""
    names = {"nan": "attributed", "wind": "group"}
    copied = Layout(tmp_path, "demo")
    shutil.copytree(tree.root, copied.root)
    for path in sorted(copied.root.rglob("*"), reverse=True):
        if path.suffix == ".csv":
            renamed(path, names)
        elif path.is_dir() and path.name in names:
            path.rename(path.with_name(names[path.name]))
    studies = [Study(layout, open_dataset(layout), CONFIG, "main") for layout in (tree, copied)]
    before, after = (cross_class.rows(study, cross_class.measure(study)) for study in studies)
    wanted = [(*line[:3], names.get(line[3], line[3]), *line[4:]) for line in before]
    assert wanted == after
    assert any(line[3] == "group" and line[5] for line in wanted)
    write_csv(copied.tables / "cross_class.csv", summary.COLUMNS, after)
    figure = drawings._cross_class(studies[1], Tables(copied.tables).bars("cross_class"), 2)
    matrix = read_csv(tree.method("main", "conv1", "drsa", 2) / "cross_class.csv")
    wanted = [[float(line[cls]) for cls in CLASSES] for line in matrix]
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), wanted)


def test_cross_class_table_holds_the_control(tree):
    table = read_csv(tree.tables / "cross_class.csv")
    for cls in (*CLASSES, ALL):
        control = row(table, layer="conv2", method="random~0", k=2, cls=cls, metric="own - others")
        assert float(control["estimate"]) == pytest.approx(0.1, rel=1e-5)
        line = row(table, layer="conv2", method="drsa", k=2, cls=cls, metric="(own - others) - random~0")
        assert [float(line[name]) for name in ("estimate", "low", "high")] == pytest.approx([0.2, 0.2, 0.2])
        assert 0 < float(line["p"]) <= 1
    assert not [line for line in table if line["method"] == "random~0" and line["metric"].endswith("random~0")]


def test_rules_are_compared_with_the_configured_ones(tree):
    table = read_csv(tree.tables / "composites.csv")
    assert set(table[0]) == set(summary.COLUMNS)
    for cls in CLASSES:
        scores = {name: expected(At("input", name, 1), "fair_zero", cls) for name in COMPOSITES}
        for name in COMPOSITES:
            line = row(table, layer="input", method=name, k=1, cls=cls, metric="fair_zero")
            assert float(line["estimate"]) == pytest.approx(scores[name].mean(), rel=1e-5)
            assert (line["n"], line["left_out"], line["p"]) == ("6", str(LEFT_OUT[cls] + 1), "")
            median = row(table, method=name, cls=cls, metric="fair_zero_median")
            assert float(median["estimate"]) == pytest.approx(np.median(scores[name]), rel=1e-5)
        for name in COMPOSITES[1:]:
            line = row(table, method=name, cls=cls, metric="fair_zero - configured")
            assert float(line["estimate"]) == pytest.approx((scores[name] - scores["configured"]).mean(), rel=1e-5)
            assert 0 < float(line["p"]) <= 1
    assert row(table, method="late", cls=ALL, metric="thesis - configured")["estimate"] == ""
    assert not [line for line in table if line["method"] == "configured" and "-" in line["metric"]]


def test_curves_of_rules_are_means_over_clips_then_classes(tree):
    table = read_csv(tree.tables / "composites_curves.csv")
    places = [(name, kind, at) for name in COMPOSITES for kind in KINDS for at in ("0", "0.5", "1")]
    assert [(line["candidate"], line["replacement"], line["fraction"]) for line in table] == places
    for line in table:
        begins = [height(line["candidate"], clip) for clip in range(2 * PER_CLASS)]
        begin = np.mean([np.mean(begins[:PER_CLASS]), np.mean(begins[PER_CLASS:])])
        low, ratio, high = (float(line[name]) for name in ("low", "ratio", "high"))
        assert ratio == pytest.approx(begin * (1 - float(line["fraction"])), rel=1e-5)
        assert low < ratio < high or low == ratio == high == 0


def test_shares_of_concepts_stand_in_a_table(tree):
    table = read_csv(tree.tables / "concepts.csv")
    # layers, methods; the mean over classes, and of each a number, two shares, a cosine and a similarity
    assert len(table) == 2 * 4 * (1 + len(CLASSES) * 5)
    rows = [line for line in table if (line["layer"], line["method"], line["cls"]) == ("conv1", "drsa", "wind")]
    assert [line["metric"] for line in rows] == ["effective_number", "share", "share", "cosine", "ssim"]
    assert 1 <= float(rows[0]["estimate"]) <= 2
    lines = [line for line in rows if line["metric"] == "share"]
    maps, _ = artifacts.read_tensors(tree.concept("main", "conv1", "drsa", 2, "wind") / "heatmaps.safetensors")
    sums = maps["heatmaps"].double().sum(dim=(0, 2, 3, 4))
    for line, share in zip(lines, (sums / sums.sum()).tolist(), strict=True):
        assert float(line["estimate"]) == pytest.approx(share, rel=1e-3)
        assert float(line["low"]) <= float(line["estimate"]) <= float(line["high"])
        assert (line["metric"], line["n"], line["left_out"]) == ("share", "6", str(LEFT_OUT["wind"]))
    missing = [line for line in table if line["method"] == "dsa"]  # whose heatmaps are not there
    assert {(line["estimate"], line["n"], line["left_out"]) for line in missing} == {("", "0", "")}


def test_what_is_missing_is_named_once(tree, caplog):
    caplog.set_level("INFO")
    run(tree)
    said = [line for line in caplog.messages if "is missing" in line]
    path = tree.method("main", "conv2", "dsa", 2) / "scores.csv"
    assert said.count(f"{path} is missing: what is made of it stays empty") == 1


def test_p_values_of_rules_are_corrected_for_their_number(tree):
    table = read_csv(tree.tables / "composites.csv")
    p_values = [float(line["p"]) for line in table if line["p"]]
    # 3 scores of 2 compared sets, by class and over all: none below the smallest p-value times their number
    assert len(p_values) == 18
    groups = 6  # of two clips each: 2 of 2 ** 6 sign patterns are as extreme as the clearest effect
    assert min(p_values) >= min(1.0, 18 * 2 / 2**groups) * 0.5


def test_stability_stands_in_a_table_and_in_a_warning(tree, caplog):
    table = read_csv(tree.tables / "stability.csv")
    found = row(table, layer="conv1", method="drsa", k=2, cls="nan", metric="affinity_seed", concept=1)
    assert (found["estimate"], found["low"], found["n"], found["unstable"]) == ("0.99", "0.99", "2", "no")
    text = (tree.tables / "stability.md").read_text(encoding="utf-8")
    warned = [line for line in text.splitlines() if line.startswith("- drsa")]
    assert warned == [
        "- drsa at conv1, K = 2, wind: seed 2",
        "- drsa at conv2, K = 2, nan: seed 1, 2",
        "- drsa at conv2, K = 2, wind: seed 1, 2",
    ]
    compare.run(Job("compare", tree.results, "demo", CONFIG, split="main"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "drsa at conv1, K = 2: 1 unstable concepts, see tables/stability.md",
        "drsa at conv2, K = 2: 4 unstable concepts, see tables/stability.md",
    ]


def test_stability_that_is_not_asked_for_leaves_a_header_and_a_sentence(tree, tmp_path):
    layout = Layout(tmp_path, "demo")
    ingested(layout)
    run(layout, CONFIG | {"stability": {"methods": [], "draws": 2}})
    lines = (layout.tables / "stability.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["layer,method,k,cls,metric,estimate,low,high,p,n,left_out,concept,random,unstable"]
    assert "names no method" in (layout.tables / "stability.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_thesis(tree):
    names = {path.stem for path in tree.figures.iterdir()}
    assert names == {
        *(f"concepts_conv2_{method}_K2_{cls}" for method in ("drsa", "random~0") for cls in CLASSES),
        *(f"layers_drsa_K2_{cls}" for cls in CLASSES),
        *(f"cards_conv2_drsa_K2_{cls}" for cls in CLASSES),
        "choice",
        "frequency",
        "learning_drsa_K2",
        "flipping_K2",
        "cross_class_K2",
        "composites",
        "training",
        "confusion",
    }
    assert {path.suffix for path in tree.figures.iterdir()} == {".png", ".pdf"}


def test_a_data_set_without_any_result_gives_empty_tables(tmp_path):
    layout = Layout(tmp_path, "demo")
    ingested(layout)
    run(layout)
    table = read_csv(layout.tables / "flipping.csv")
    assert table and all(line["estimate"] == "" and line["left_out"] == "" for line in table)
    assert read_csv(layout.tables / "model.csv") == []
    table = read_csv(layout.tables / "composites.csv")
    assert table and all(line["estimate"] == "" and line["left_out"] == "" for line in table)
    assert all(line["estimate"] == "" for line in read_csv(layout.tables / "stability.csv"))
    assert (layout.tables / "stability.md").read_text(encoding="utf-8").count("Not computed.") == 2
    assert list(layout.figures.iterdir()) == []


def test_a_table_that_nobody_asked_for_has_its_header_only(tmp_path):
    layout = Layout(tmp_path, "demo")
    ingested(layout)
    composites(layout)  # made by hand earlier, and not part of the study any more
    nothing = CONFIG | {"composites": {"clips": 6, "candidates": {}}}
    run(layout, nothing | {"evaluate": CONFIG["evaluate"] | {"cross": []}})
    for name in ("composites", "cross_class"):
        assert (layout.tables / f"{name}.csv").read_text(encoding="utf-8") == ",".join(summary.COLUMNS) + "\n"
    assert list(layout.figures.iterdir()) == []


def test_p_values_of_a_table_are_corrected_for_their_number():
    rng = np.random.default_rng(0)
    clips = Clips(np.repeat(["a", "b"], 20), np.arange(40).astype(str), {"a": 0, "b": 0})
    at = At("conv1", "drsa", 4)
    values = {Label(at, str(number)): rng.normal(0.6 * (number == 0), 1, 40) for number in range(30)}
    together = summary.summarise(values, clips, 200, 0, test=True)
    alone = summary.summarise({Label(at, "0"): values[Label(at, "0")]}, clips, 18000, 0, test=True)
    raw = statistics.sign_flip(
        values[Label(at, "0")][:, None], statistics.Clusters.of(clips.group, clips.cls), 200 * 90, 0
    )
    assert together[Label(at, "0"), ALL].p == pytest.approx(min(1.0, 90 * raw[0]), rel=0.35)
    assert alone[Label(at, "0"), ALL].p <= 3 * raw[0] + 1e-12
    # Draws grow with the table: a clear effect stays significant however long the table is.
    values[Label(at, "0")] = 5 + values[Label(at, "0")]
    assert summary.summarise(values, clips, 200, 0, test=True)[Label(at, "0"), ALL].p < 0.01


def test_quantities_that_lack_clips_are_summarised_over_the_others():
    clips = Clips(np.array(["a", "a", "b"]), np.array(["1", "2", "3"]), {"a": 0, "b": 0})
    label, full = Label(At("conv1", "drsa", 2), "thesis"), Label(At("conv1", "dsa", 2), "thesis")
    values = {label: np.array([1.0, np.nan, np.nan]), full: np.array([1.0, 3.0, 4.0])}
    found = summary.summarise(values, clips, 100, 0)
    assert (found[label, ALL].interval.estimate, found[label, ALL].n) == (1.0, 1)
    assert (label, "b") not in found
    assert found[full, ALL].interval.estimate == pytest.approx(3.0)


def test_metrics_file_is_plain_json(tree):
    """The table reads numbers only: provenance beside them must not become a row."""
    assert "provenance" in json.loads((tree.split("main") / "metrics.json").read_text(encoding="utf-8"))
    assert {line["metric"] for line in read_csv(tree.tables / "model.csv")} == {
        "test_accuracy",
        "best_epoch",
        "test_clips",
    }
