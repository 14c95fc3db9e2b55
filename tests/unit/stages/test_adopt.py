"""A network of the user's, from its file to what is explained: stored as it answers, and asked for its labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from earmark.data import chosen, dataset, predictions
from earmark.data.chosen import RULES, SCORED
from earmark.data.dataset import ClassInfo, DataSet, open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.lrp.attributor import heatmaps
from earmark.lrp.rules import Rules, from_config
from earmark.lrp.suggest import suggested
from earmark.models import base as models
from earmark.models.graph import fused
from earmark.plan.config import validate
from earmark.stages import adopt, choose, collect, compare, explain, fit, ingest, predict
from earmark.store import artifacts
from earmark.store.layout import Layout
from tests.unit.stages.test_ingest import FRONTEND, tone, write

CLASSES = ("Low", "high")
SLUGS = ("low", "high")

CODE = """
from torch import nn

def body():
    return [
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(4),
        nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 1)), nn.Flatten(), nn.Linear(32, 2),
    ]

def build():
    return nn.Sequential(*body())

def probable():
    return nn.Sequential(*body(), nn.Sigmoid())

def signed():
    '''Its second convolution gets what is negative for quiet cells only.'''
    first = nn.Conv2d(1, 1, 1)
    nn.init.ones_(first.weight)
    nn.init.constant_(first.bias, 1.0)
    return nn.Sequential(first, nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 14, 2))
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write tones with some noise, low and high, a group each."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for number in range(20):
        cls = CLASSES[number % 2]
        samples = tone((300, 3000)[number % 2] + 7 * number, 0.3) + 1e-3 * rng.standard_normal(4800)
        write(folder / cls / f"{number:02d}.wav", samples)
    return folder


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """Write a folder with the network's code and, after a short training, its weights."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_net.py").write_text(CODE)
    source = ingested(Case(folder, recordings, folder / "results"))
    code: dict = {}
    exec(CODE, code)
    inputs, targets = source.inputs(range(20)), source.targets(range(20))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = code["build"]()
        torch.save(code["signed"]().state_dict(), folder / "signed.pt")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    network.eval()
    assert (network(inputs).argmax(dim=1) == targets).all()
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder


class Case:
    """A data set with a network of the user's; `keys` replace those of its block, `model` those of that section."""

    def __init__(self, user: Path, recordings: Path, results: Path, model: dict | None = None, **keys) -> None:
        given = {
            "network": f"{user / 'my_net.py'}:build",
            "weights": str(user / "weights.pt"),
            "classes": list(CLASSES),
            "layers": {"late": "4"},
            **(model or {}),
        }
        block = {
            "source": "folder",
            "root": str(recordings),
            "clips_per_recording": 1,
            "frontend": FRONTEND,
            "model": given,
            "grid": {"methods": ["random~0"], "k": [2]},
            **keys,
        }
        self.layout = Layout(results, "mine")
        self.config = validate({"run": ["mine"], "datasets": {"mine": block}, "torch_threads": 1})["datasets"]["mine"]
        self.config |= {"seed": 0, "torch_threads": 1}

    def job(self, stage: str, **place) -> Job:
        return Job(stage, self.layout.results, "mine", self.config, split="main", **place)


def ingested(case: Case) -> DataSet:
    ingest.run(case.job("ingest"))
    return open_dataset(case.layout)


@pytest.fixture
def case(user, recordings, tmp_path):
    """Return a function that ingests and adopts, with changes."""

    def make(**changes) -> Case:
        made = Case(user, changes.pop("recordings", recordings), tmp_path / "results", **changes)
        ingested(made)
        adopt.run(made.job("adopt"))
        return made

    return make


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def own(user: Path, name: str = "build") -> nn.Module:
    """Make the network as its user does."""
    code: dict = {}
    exec((user / "my_net.py").read_text(), code)
    network = code[name]()
    network.load_state_dict(torch.load(user / "weights.pt", weights_only=True))
    return network.eval()


def metrics_of(case: Case) -> dict:
    found = json.loads((case.layout.split("main") / "metrics.json").read_text())
    found.pop("provenance")
    return found


# --- adopt ------------------------------------------------------------------------------------------------------------


def test_what_is_stored_answers_as_the_user_s_network_bit_by_bit(case, user):
    layout = case().layout
    inputs = open_dataset(layout).inputs(range(20))
    model = models.load(layout.model("main"))
    with torch.no_grad():
        assert torch.equal(model.network(inputs), own(user)(inputs))
    assert (model.classes, model.multi_label) == (SLUGS, False)
    assert not any(module.training for module in model.network.modules())


def test_layers_are_listed_with_those_first_that_have_a_name(case):
    layout = case(model={"layers": {"late": "4", "b": "2"}}, grid={"layers": ["late"], "k": [2]}).layout
    rows = table(layout.split("main") / "layers.csv")
    assert rows[:3] == [["layer", "module", "channels", "share"], ["late", "4", "8", "1"], ["b", "2", "4", "1"]]
    others = [
        ["0", "0", "4", "1"],
        ["1", "1", "4", "1"],
        ["3", "3", "4", "1"],
        ["5", "5", "8", "1"],
        ["6", "6", "8", "1"],
    ]
    assert [row for row in rows[3:] if row in others] == others
    assert not [row for row in rows[3:] if row[0] in ("4", "2")]  # once each
    model = models.load(layout.model("main"))
    inputs = open_dataset(layout).inputs([0])
    by_name, by_path = (model.watched(inputs, layer)[0] for layer in ("late", "5"))
    assert by_name.shape[1] == model.layers["late"] == 8
    assert torch.equal(by_name, by_path)  # a convolution read by a ReLU alone stands for it


class Beside(nn.Module):
    """Something of its input passes its second layer by; `read` is called on what it answers from."""

    def __init__(self, read: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.read, self.last = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), read, nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found = self.first(inputs).relu()
        return self.last(self.read((found + self.second(found)).mean(dim=(2, 3))))


@pytest.mark.parametrize(("read", "known"), [(nn.Identity(), True), (nn.LayerNorm(4), False)])
def test_a_layer_has_the_share_of_relevance_that_goes_through_it(read, known):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Beside(read).eval()
        inputs = torch.rand(3, 1, 4, 4)
    model = SimpleNamespace(network=network, suggested=suggested(fused(network, inputs)[1], inputs.shape[1:]))
    shares, fault = adopt.explained(model, inputs)
    assert (fault is None) == known
    if known:
        assert shares["first"] == pytest.approx(1) and 0.05 < shares["second"] < 0.95
    else:
        assert shares == {}


def test_probabilities_are_taken_off(case, user):
    made = case(model={"network": f"{user / 'my_net.py'}:probable", "outputs": "probabilities"})
    inputs = open_dataset(made.layout).inputs(range(20))
    with torch.no_grad():
        found = models.load(made.layout.model("main")).network(inputs)
        assert torch.equal(found, own(user)(inputs))
        torch.testing.assert_close(found.sigmoid(), own(user, "probable")(inputs))


def test_the_task_says_whether_labels_exclude_each_other(case):
    made = case(model={"task": "multi"})
    assert models.load(made.layout.model("main")).multi_label
    predict.run(made.job("predict"))
    assert predictions.of(made.job("choose")).multi_label


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"classes": ["Low", "high", "loud"]},
            r"^the network answers 2 numbers and 3 classes are named; list the classes in the order of its logits$",
        ),
        (
            {"layers": {"late": "44"}},
            r"^model.layers.late names 44, which is no layer of the network; did you mean 4\? Allowed: 0, 1, ",
        ),
        ({"weights": "gone.pt"}, r"^there is no file 'gone.pt' to read weights from"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(case, tmp_path, model, sentence):
    with pytest.raises(EarmarkError, match=sentence) as caught:
        case(model=model)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("model.safetensors"))


# --- rules ------------------------------------------------------------------------------------------------------------


def test_rules_are_suggested_once_and_fit_whatever_clip_comes_first(case, user, tmp_path):
    """By a loud noise alone the second convolution has no negative inputs; by all clips it has."""
    rng = np.random.default_rng(1)
    for number in range(8):
        quiet = tone((300, 3000)[number % 2] + 9 * number, 0.3)
        loud = 0.2 * rng.standard_normal(4800)
        write(tmp_path / "sounds" / CLASSES[number % 2] / f"{number}.wav", loud if number < 2 else quiet)
    model = {"network": f"{user / 'my_net.py'}:signed", "weights": str(user / "signed.pt"), "layers": {"late": "1"}}
    made = case(model=model, recordings=tmp_path / "sounds")
    source, rules = open_dataset(made.layout), from_config(made.config)
    assert rules.auto
    found = models.load(made.layout.model("main"))
    named = {entry["layers"]: entry["rule"] for entry in found.suggested}
    assert named["1"] == "generalised-gamma"

    noise = [clip for clip, path in enumerate(source.clips["path"]) if path[-5] in "01"]
    tones = [clip for clip in range(8) if clip not in noise]
    alone = suggested(fused(found.network, source.inputs(noise))[1], found.frontend.shape)
    assert alone == list(found.suggested), "what is positive in these clips alone is not always so"
    targets = torch.zeros(8, dtype=torch.int64)
    maps = heatmaps(found, source.inputs(noise + tones), targets, rules)
    others = heatmaps(found, source.inputs(tones + noise), targets, rules)
    torch.testing.assert_close(maps[len(noise) :], others[: len(tones)], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps[: len(noise)], others[len(tones) :], rtol=1e-4, atol=1e-5)
    patterns = tuple((entry["layers"], entry["rule"], entry.get("gamma", 0.0)) for entry in found.suggested)
    by_name = heatmaps(found, source.inputs(noise + tones), targets, Rules(patterns, rules.stabilizer))
    assert torch.equal(maps, by_name)


# --- predict ----------------------------------------------------------------------------------------------------------


def test_metrics_of_one_label_are_of_the_test_clips(case):
    made = case()
    predict.run(made.job("predict"))
    source = open_dataset(made.layout)
    test = source.split("main").test
    assert metrics_of(made) | {"test_loss": 0} == {
        "test_accuracy": 1,
        "test_recording_accuracy": 1,
        "test_loss": 0,
        "test_clips": len(test),
    }
    counts = [int((source.targets(test) == cls).sum()) for cls in (0, 1)]
    assert table(made.layout.split("main") / "confusion.csv") == [
        ["true", *SLUGS],
        ["low", str(counts[0]), "0"],
        ["high", "0", str(counts[1])],
    ]


def test_metrics_of_several_labels_ask_each_by_itself(case):
    """A clip's label is recognised where its own logit is positive, whatever the other one is."""
    made = case(model={"task": "multi"})
    predict.run(made.job("predict"))
    source = open_dataset(made.layout)
    test = source.split("main").test
    logits = torch.from_numpy(predictions.of(made.job("predict")).logits[test])
    targets = source.targets(test)
    told = logits[torch.arange(len(test)), targets] > 0
    found = metrics_of(made)
    assert found["test_accuracy"] == found["test_recording_accuracy"] == float(told.double().mean())
    counts = [[str(int((logits[targets == true, answer] > 0).sum())) for answer in (0, 1)] for true in (0, 1)]
    assert table(made.layout.split("main") / "confusion.csv")[1:] == [
        [slug, *row] for slug, row in zip(SLUGS, counts, strict=True)
    ]


def test_labels_add_up_where_clips_have_several_answers():
    logits = torch.tensor([[2.0, 1.0], [-1.0, -3.0], [1.0, 4.0], [3.0, -0.5]])
    targets = torch.tensor([0, 0, 1, 1])
    found = predict.of_labels(logits, targets, np.array([0, 0, 1, 2]))
    assert found["test_accuracy"] == 0.5
    assert found["test_recording_accuracy"] == pytest.approx(1 / 3)  # half of a recording's clips are not most
    own = torch.tensor([2.0, -1.0, 4.0, -0.5])
    assert found["test_loss"] == pytest.approx(float(nn.functional.softplus(-own).mean()))


# --- labels: predictions ----------------------------------------------------------------------------------------------


@pytest.fixture
def flat(tmp_path):
    """Return a function that writes recordings without labels: so many low tones, then so many high ones."""

    def fill(low: int, high: int) -> Path:
        for number in range(low + high):
            hertz = 300 if number < low else 3000
            write(tmp_path / "flat" / f"{number:02d}.wav", tone(hertz + 7 * number, 0.3))
        return tmp_path / "flat"

    return fill


def answered(case: Case, *stages) -> tuple[DataSet, chosen.Chosen]:
    predict.run(case.job("predict"))
    choose.run(case.job("choose"))
    return open_dataset(case.layout), chosen.of(case.job("choose"))


def test_without_labels_a_clip_is_of_the_class_that_the_model_answers(case, flat):
    made = case(recordings=flat(12, 12), labels="predictions")
    source, found = answered(made)
    assert not source.labelled
    answers = predictions.of(made.job("choose")).answers(range(24))
    test = source.split("main").test
    assert 0 < len(test) < 24
    for cls in source.classes:
        looked_at = found.rows[(found.rows["cls"] == cls.slug) & (found.rows["use"] == SCORED)]["clip"]
        divided = predictions.of(made.job("choose")).split(source, "main", cls)
        assert looked_at.tolist() == [clip for clip in divided.test if answers[clip] == cls.index]
        assert len(looked_at)
    assert metrics_of(made) == {"test_clips": len(test)}  # how many are right nobody knows
    assert table(made.layout.split("main") / "confusion.csv") == [["true", *SLUGS]]


def test_of_several_labels_a_clip_is_of_all_that_the_model_answers(case, flat):
    made = case(recordings=flat(6, 6), labels="predictions", model={"task": "multi"})
    predict.run(made.job("predict"))
    path = made.layout.predictions("main")
    lines = [path.read_text().splitlines()[0], *(f"{clip},2.0,{1.0 if clip % 2 else -1.0}" for clip in range(12))]
    path.write_text("\n".join(lines) + "\n")
    source, answers = open_dataset(made.layout), predictions.of(made.job("choose"))
    low, high = (answers.of_class(source, range(12), cls).tolist() for cls in source.classes)
    assert (low, high) == (list(range(12)), list(range(1, 12, 2)))


def test_too_few_clips_to_divide_are_all_fitted_to_and_all_scored_and_tables_say_so(case, flat):
    made = case(recordings=flat(18, 2), labels="predictions")
    source, found = answered(made)
    low, high = source.classes
    answers = predictions.of(made.job("choose"))
    assert found.clips("high", SCORED).tolist() == found.clips("high", RULES).tolist()
    assert len(found.clips("high", SCORED)) == 2
    assert answers.training(source, "main", high).tolist() == found.clips("high", SCORED).tolist()
    assert not set(answers.training(source, "main", low)) & set(found.clips("low", SCORED))
    assert (
        found.clips("low", SCORED).tolist()
        == source.split("main").test[np.isin(source.split("main").test, answers.known(source, range(20), low))].tolist()
    )
    compare.run(made.job("compare"))
    said = (made.layout.tables / "flipping.md").read_text()
    assert "The clips of high are too few to divide: concepts were fitted to the same ones that are scored." in said


def test_where_folds_divide_nothing_is_said(case):
    made = case()
    answered(made)
    compare.run(made.job("compare"))
    assert "too few to divide" not in (made.layout.tables / "flipping.md").read_text()


@pytest.mark.parametrize("labels", ["folders", "predictions"])
def test_two_recordings_of_a_class_are_fitted_to_and_scored(case, recordings, tmp_path, labels):
    """There are fewer than three groups, hence a single fold."""
    for number in (0, 1, 2, 3) if labels == "folders" else (0, 1):
        path = Path(CLASSES[number % 2], f"{number:02d}.wav")
        (tmp_path / "few" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "few" / path).write_bytes((recordings / path).read_bytes())
    made = case(recordings=tmp_path / "few", labels=labels)
    source, found = answered(made)
    assert source.n_folds == 1
    for cls in source.classes:
        scored = found.clips(cls.slug, SCORED).tolist()
        assert len(scored) == (2 if labels == "folders" else 1)
        assert predictions.of(made.job("choose")).training(source, "main", cls).tolist() == scored
    compare.run(made.job("compare"))
    assert "The clips of low, high are too few to divide" in (made.layout.tables / "flipping.md").read_text()


# --- explain.classes --------------------------------------------------------------------------------------------------


def test_only_the_classes_that_are_asked_for_have_files(case):
    made = case(explain={"classes": ["high"], "clips": 2, "gallery": 1})
    source, found = answered(made)
    assert dataset.explained(made.config, source) == [ClassInfo("high", "high", 1)]
    assert set(found.rows["cls"]) == {"high"}
    place = {"layer": "late", "method": "random~0", "k": 2}
    collect.run(made.job("collect", layer="late"))
    fit.run(made.job("fit", **place))
    explain.run(made.job("explain", layer="input", method="standard", k=1))
    explain.run(made.job("explain", **place))
    written = {
        path.relative_to(made.layout.split("main")).as_posix()
        for path in made.layout.root.rglob("*.safetensors")
        if path.parent != made.layout.root
    }
    assert written == {
        "model.safetensors",
        "late/pairs/high.safetensors",
        "late/random~0/K~2/high/subspaces.safetensors",
        "late/random~0/K~2/high/heatmaps.safetensors",
        "input/standard/K~1/high/heatmaps.safetensors",
    }
    checks = artifacts.read_metadata(
        made.layout.concept("main", "late", "random~0", 2, "high") / "heatmaps.safetensors"
    )
    assert checks["sum_error"] < 1e-4  # there is one way through this network


def test_drops_of_the_logit_are_not_summed_to_it(case):
    made = case(lrp={"rules": "occlusion"}, grid={"layers": [], "methods": ["occlusion"]}, explain={"clips": 2})
    answered(made)
    explain.run(made.job("explain", layer="input", method="standard", k=1))
    written = artifacts.read_metadata(
        made.layout.concept("main", "input", "standard", 1, "high") / "heatmaps.safetensors"
    )
    assert "absorbed_share" not in written and "sum_error" not in written
