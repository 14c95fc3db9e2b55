"""The configuration: defaults, inheritance, and the sentence for every kind of mistake."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from earmark.errors import EarmarkError
from earmark.plan import config
from earmark.plan.methods import methods, spelled
from earmark.plan.reference import reference
from earmark.plan.stages import STAGES

ROOT = Path(__file__).parents[3]


@pytest.fixture
def raw():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def with_value(raw, path, value):
    """Set a key, named by its dotted path, in a copy."""
    changed = copy.deepcopy(raw)
    *above, last = path.split(".")
    section = changed
    for key in above:
        section = section.setdefault(key, {})
    section[last] = value
    return changed


def test_defaults_are_the_values_of_the_synthetic_block(raw):
    block = config.validate(raw)["datasets"]["synthetic"]
    written = raw["datasets"]["synthetic"]
    written["sonify"]["methods"], written["evaluate"]["cross"] = ["info"], ["info", "drsa", "random~0"]  # of the grid
    written["listening_test"] |= {"methods": ["info"], "layer": "conv3", "k": 4}
    assert {key: block[key] for key in written} == written
    block["grid"]["methods"].remove("oracle")  # recordings that are not generated have none
    assert config.fill({}) == block
    assert config.validate({"datasets": {"synthetic": {}}})["datasets"]["synthetic"] == block


@pytest.mark.parametrize(
    ("methods", "heard", "crossed"),
    [
        (["info", "drsa", "dsa", "oracle", "random~0"], ["info"], ["info", "drsa", "random~0"]),
        (["random~1", "random~0", "drsa"], ["random~1"], ["drsa", "random~1"]),
        (["oracle"], ["oracle"], []),
        (["standard", "prca"], ["prca"], ["prca"]),
        (["noise~1"], [], []),
    ],
)
def test_what_is_heard_and_crossed_is_left_to_the_grid(raw, methods, heard, crossed):
    raw["datasets"]["synthetic"]["grid"]["methods"] = methods
    block = config.validate(raw)["datasets"]["synthetic"]
    assert (block["sonify"]["methods"], block["evaluate"]["cross"]) == (heard, crossed)
    raw["datasets"]["synthetic"]["sonify"]["methods"] = []
    assert config.validate(raw)["datasets"]["synthetic"]["sonify"]["methods"] == []


def test_only_generated_recordings_have_an_oracle(raw):
    raw["datasets"]["spoken-digits"]["grid"]["methods"].append("oracle")
    with pytest.raises(
        EarmarkError, match=r"spoken-digits.grid.methods: the method oracle needs every recording's stems"
    ):
        config.validate(raw)


def test_only_recordings_with_stems_are_fine_tuned_on(raw):
    raw["datasets"]["spoken-digits"]["grid"]["methods"].append("lmac-ft")
    with pytest.raises(EarmarkError, match=r"grid.methods: the method lmac-ft needs every recording's stems"):
        config.validate(raw)


def test_layers_that_an_explainer_looks_at_are_those_of_the_network(raw):
    raw["datasets"]["synthetic"]["explainers"]["lmac"] = {"layers": ["conv2", "conv9"]}
    with pytest.raises(EarmarkError, match=r"explainers.lmac.layers: the model has no layer conv9; allowed: conv1, "):
        config.validate(raw)
    raw["datasets"]["synthetic"]["explainers"]["lmac"] = {"layers": ["conv2"]}
    assert config.validate(raw)["datasets"]["synthetic"]["explainers"]["lmac"]["layers"] == ["conv2"]


def test_fill_takes_what_a_stage_gets():
    filled = config.fill({"seed": 3, "torch_threads": 1, "lrp": {"stabilizer": 1e-5}})
    assert filled["seed"] == 3
    assert filled["lrp"]["stabilizer"] == 1e-5
    assert filled["lrp"]["rules"][0] == {"layers": "conv1", "rule": "flat"}
    assert filled["frontend"]["n_mels"] == 64


def test_a_front_end_has_the_keys_of_its_kind():
    waves = config.fill({"frontend": {"kind": "waveform", "n_samples": 8000}})["frontend"]
    assert list(waves) == ["kind", "sample_rate", "n_fft", "hop", "window", "n_samples", "peak_scaling", "peak"]
    assert (waves["n_fft"], waves["hop"]) == (256, 128)
    decibels = config.fill({"frontend": {"kind": "stft", "compression": "db"}})["frontend"]
    assert (decibels["n_fft"], decibels["floor_db"], decibels["n_bins"]) == (480, -100, None)
    assert not {"floor", "offset", "gain", "n_mels"} & set(decibels)
    per_row = config.fill({"frontend": {"n_mels": 2, "mean": [1, 2.5]}})["frontend"]
    assert per_row["mean"] == [1, 2.5]
    assert config.fill({"frontend": decibels})["frontend"] == decibels


def test_defaults_are_not_shared():
    config.fill({})["grid"]["layers"].append("conv9")
    assert config.fill({})["grid"]["layers"] == ["conv1", "conv2", "conv3", "conv4", "conv5"]


def test_a_whole_number_written_as_float_counts_as_integer():
    epochs = config.fill({"train": {"epochs": 40.0}})["train"]["epochs"]
    assert epochs == 40
    assert isinstance(epochs, int)


def test_extends_merges_mappings_and_replaces_lists():
    blocks = {
        "wide": {"extends": "base", "model": {"filters": [16, 32]}, "lrp": {"stabilizer": 1e-3}},
        "base": {"extends": "root", "model": {"dropout": 0.5}},
        "root": {"grid": {"layers": ["conv1", "conv2"]}, "train": {"epochs": 3}},
    }
    block = config.validate({"run": ["wide"], "datasets": blocks})["datasets"]["wide"]
    assert {key: block["model"][key] for key in ("filters", "dense", "dropout", "network")} == {
        "filters": [16, 32],
        "dense": [20, 20],
        "dropout": 0.5,
        "network": None,
    }
    assert block["train"]["epochs"] == 3
    assert block["lrp"]["stabilizer"] == 1e-3
    assert "extends" not in block


MISTAKES = [
    (
        "datasets.synthetic.evaluate.scaling",
        {"class1": 3},
        "datasets.synthetic.evaluate.scaling.class1 must be at most 2, not 3",
    ),
    (
        "datasets.synthetic.evaluate.scaling",
        {"class1": 0.1},
        "datasets.synthetic.evaluate.scaling.class1 must be at least 0.5, not 0.1",
    ),
    ("datasets.synthetic.evaluate.scaling", {1: 1.5}, "datasets.synthetic.evaluate.scaling must be text, not 1"),
    (
        "datasets.synthetic.train.epoch",
        3,
        "datasets.synthetic.train.epoch is not a known key; did you mean epochs? Allowed: epochs, batch_size, "
        "optimiser, momentum, learning_rate, schedule, step_every, step_factor, weight_decay, clip_gradient, "
        "batch_norm, time_mask, mel_mask",
    ),
    ("datasets.synthetic.train.zzz", 3, "datasets.synthetic.train.zzz is not a known key; allowed: epochs, batch_size"),
    ("sead", 3, "sead is not a known key; did you mean seed?"),
    ("datasets.synthetic.train.epochs", "forty", "datasets.synthetic.train.epochs must be an integer, not 'forty'"),
    ("datasets.synthetic.train.epochs", 2.5, "datasets.synthetic.train.epochs must be an integer, not 2.5"),
    ("datasets.synthetic.train.epochs", True, "datasets.synthetic.train.epochs must be an integer, not true"),
    ("datasets.synthetic.train.epochs", 0, "datasets.synthetic.train.epochs must be at least 1, not 0"),
    ("datasets.synthetic.model.dropout", 1.0, "datasets.synthetic.model.dropout must be less than 1, not 1.0"),
    ("datasets.synthetic.sonify.percentile", 101, "datasets.synthetic.sonify.percentile must be at most 100, not 101"),
    ("datasets.synthetic.frontend.offset", 0, "datasets.synthetic.frontend.offset must be greater than 0, not 0"),
    (
        "datasets.synthetic.train.learning_rate",
        "1e-3",
        "must be a number, not '1e-3' (YAML takes that for text; write 0.001)",
    ),
    ("datasets.synthetic.train", None, "datasets.synthetic.train must be a mapping of keys to values, not null"),
    ("datasets.synthetic.root", 3, "datasets.synthetic.root must be text or null, not 3"),
    (
        "datasets.synthetic.lrp.context",
        "ratios",
        "datasets.synthetic.lrp.context cannot be 'ratios'; did you mean ratio? Allowed: gradient, ratio",
    ),
    ("datasets.synthetic.lrp.rules", [], "datasets.synthetic.lrp.rules must not be empty"),
    ("datasets.synthetic.lrp.rules", [{"layers": "*"}], "datasets.synthetic.lrp.rules[0] lacks the key rule"),
    (
        "datasets.synthetic.lrp.rules",
        [{"layers": "*", "rule": "gamma"}],
        "datasets.synthetic.lrp.rules[0] lacks gamma, which the rule gamma needs",
    ),
    ("datasets.synthetic.grid.k", [4, 4], "datasets.synthetic.grid.k names something twice: [4, 4]"),
    (
        "datasets.synthetic.grid.k",
        [3],
        "datasets.synthetic.grid.k: K = 3 does not divide the 8 channels of conv1; allowed: 1, 2, 4, 8",
    ),
    (
        "datasets.synthetic.grid.layers",
        ["conv9"],
        "the model has no layer conv9; allowed: conv1, conv2, conv3, conv4, conv5",
    ),
    (
        "datasets.synthetic.grid.methods",
        ["drsaa"],
        "there is no method drsaa; did you mean drsa? Allowed: "
        + ", ".join(spelled(methods(lambda method: not method.own_network))),
    ),
    ("datasets.synthetic.grid.methods", ["random"], "there is no method random; did you mean random~SEED?"),
    (
        "datasets.synthetic.sonify.methods",
        ["pca"],
        "datasets.synthetic.sonify.methods names pca, which datasets.synthetic.grid.methods lacks",
    ),
    (
        "datasets.synthetic.evaluate.cross",
        ["noise~0"],
        "datasets.synthetic.evaluate.cross: noise~0 has no subspaces of every class; allowed: "
        + ", ".join(spelled(methods(lambda method: method.has_basis))),
    ),
    (
        "datasets.synthetic.evaluate.fidelity",
        ["l2i-parts"],
        "datasets.synthetic.evaluate.fidelity: l2i-parts gives no answers of its own; allowed: l2i, l2i-by-design",
    ),
    (
        "datasets.synthetic.grid.methods",
        ["l2i-by-design"],
        "l2i-by-design explains a network of its own, not the one that is explained here: name it in evaluate.fidelity",
    ),
    (
        "datasets.synthetic.composites.candidates",
        {"plus": [{"layers": "*", "rule": "gamma"}]},
        "datasets.synthetic.composites.candidates.plus[0] lacks gamma, which the rule gamma needs",
    ),
    (
        "datasets.synthetic.composites.candidates",
        {"plus": [{"layers": "*", "rule": "zplus"}]},
        "datasets.synthetic.composites.candidates.plus[0].rule cannot be 'zplus'; allowed: flat, wsquare, gamma",
    ),
    (
        "datasets.synthetic.composites.candidates",
        {"plus": []},
        "datasets.synthetic.composites.candidates.plus must not be empty",
    ),
    (
        "datasets.synthetic.composites.candidates",
        {"random": [{"layers": "*", "rule": "epsilon"}]},
        "datasets.synthetic.composites.candidates cannot name random, which stands for patches in random order",
    ),
    (
        "datasets.synthetic.composites.candidates",
        {"configured": [{"layers": "*", "rule": "epsilon"}]},
        "datasets.synthetic.composites.candidates cannot name configured, which stands for lrp.rules",
    ),
    (
        "datasets.synthetic.stability.methods",
        ["pca"],
        "datasets.synthetic.stability.methods names pca, which datasets.synthetic.grid.methods lacks",
    ),
    (
        "datasets.synthetic",
        {"grid": {"methods": ["drsa", "oracle"]}, "stability": {"methods": ["oracle"]}},
        "datasets.synthetic.stability.methods: oracle is not fitted to clips alone; allowed: "
        + ", ".join(spelled(methods(lambda method: method.refits))),
    ),
    (
        "datasets.synthetic.frontend.kind",
        "mel",
        "frontend.kind cannot be 'mel'; did you mean logmel?",
    ),
    ("datasets.synthetic.frontend.n_fft", 481, "datasets.synthetic.frontend.n_fft must be a multiple of 2, not 481"),
    (
        "datasets.synthetic.frontend.n_samples",
        16000,
        "datasets.synthetic.frontend.n_samples goes with datasets.synthetic.frontend.kind = waveform or module only, "
        "not logmel: remove one",
    ),
    (
        "datasets.synthetic.frontend.kind",
        "stft",
        "datasets.synthetic.frontend.n_mels goes with datasets.synthetic.frontend.kind = logmel only, not stft",
    ),
    (
        "datasets.waves",
        {"frontend": {"kind": "waveform", "offset": 1.0}},
        "datasets.waves.frontend.offset goes with datasets.waves.frontend.compression = log10 only: remove one",
    ),
    (
        "datasets.synthetic.frontend.gain",
        2.0,
        "datasets.synthetic.frontend.gain goes with datasets.synthetic.frontend.compression = log10p or log1p only, "
        "not log10",
    ),
    (
        "datasets.synthetic.frontend.hop",
        481,
        "synthetic.frontend.hop = 481 must be at most 480, 100% of n_fft",
    ),
    (
        "datasets.waves",
        {"frontend": {"kind": "module"}},
        "datasets.waves.frontend.module must name the function that makes your front end, as in my_front_end.py:build",
    ),
    (
        "datasets.waves",
        {"frontend": {"kind": "waveform", "window": "hann", "hop": 200}},
        "datasets.waves.frontend.hop = 200 must be at most 192, 75% of n_fft",
    ),
    (
        "datasets.synthetic.frontend.n_frames",
        2,
        "datasets.synthetic.frontend.n_frames = 2 makes clips of 240 samples, too short to be mirrored for n_fft = 480",
    ),
    (
        "datasets.synthetic.frontend.f_max",
        9000,
        "datasets.synthetic.frontend.f_max must lie between f_min and the Nyquist frequency, 8000 Hz",
    ),
    ("datasets.synthetic.frontend.f_min", 8000, "datasets.synthetic.frontend.f_max must lie between f_min and"),
    (
        "datasets.bins",
        {"frontend": {"kind": "stft", "n_bins": 300}},
        "datasets.bins.frontend.n_bins = 300 must be at most the 241 bins of n_fft = 480",
    ),
    (
        "datasets.synthetic.frontend.mean",
        [1, 2],
        "datasets.synthetic.frontend.mean must be one number or 64, one per row, not 2",
    ),
    ("datasets.synthetic.frontend.std", 0, "datasets.synthetic.frontend.std must be greater than 0, not 0"),
    ("datasets.synthetic.frontend.std", [1, 0], "datasets.synthetic.frontend.std[1] must be greater than 0, not 0"),
    (
        "datasets.waves",
        {"extends": "synthetic", "frontend": {"kind": "waveform"}},
        "datasets.waves.frontend.kind must be logmel, on which Earmark trains its network cnn, not waveform",
    ),
    (
        "datasets.synthetic.frontend.layout",
        "time-frequency",
        "datasets.synthetic.frontend.layout must be frequency-time, on which Earmark trains its network cnn",
    ),
    (
        "datasets.waves",
        {"frontend": {"kind": "stft"}, "sonify": {"inverse": "mel-nnls"}},
        "datasets.waves.sonify.inverse = mel-nnls needs frontend.kind = logmel; use additive",
    ),
    ("datasets.synthetic.evaluate.patch", 0, "datasets.synthetic.evaluate.patch must be at least 1, not 0"),
    (
        "datasets.synthetic.model.filters",
        [8] * 7,
        "datasets.synthetic.frontend.n_mels = 64 must be at least 128 for the 7 convolutions of cnn",
    ),
    (
        "datasets.synthetic.augment.gain",
        [3],
        "datasets.synthetic.augment.gain must be two numbers, the lowest and the highest, not [3]",
    ),
    (
        "datasets.synthetic.augment.gain",
        [1, 2, 3],
        "datasets.synthetic.augment.gain must be two numbers, the lowest and the highest, not [1, 2, 3]",
    ),
    (
        "datasets.synthetic.augment.pitch",
        [12, -12],
        "datasets.synthetic.augment.pitch must name the lowest value first, not [12, -12]",
    ),
    (
        "datasets.synthetic.augment.stretch",
        [0, 1],
        "datasets.synthetic.augment.stretch must be greater than 0, not [0, 1]",
    ),
    (
        "datasets.synthetic.evaluate.budgets",
        [0, 0.5],
        "datasets.synthetic.evaluate.budgets[0] must be greater than 0, not 0",
    ),
    (
        "datasets.synthetic.evaluate.budgets",
        [0.5, 1],
        "datasets.synthetic.evaluate.budgets[1] must be less than 1, not 1",
    ),
    (
        "datasets.synthetic.evaluate.budgets",
        [0.2, 0.2],
        "datasets.synthetic.evaluate.budgets names something twice: [0.2, 0.2]",
    ),
    (
        "datasets.synthetic.evaluate.budgets",
        [0.4, 0.2],
        "datasets.synthetic.evaluate.budgets must rise from the smallest share to the largest, not [0.4, 0.2]",
    ),
    (
        "datasets.synthetic.evaluate.flips",
        [0.01, 0.1],
        "datasets.synthetic.evaluate.flips = [0.01, 0.1] sets samples to 0, which a network of waveforms hears, not "
        "one of frontend.kind = logmel: set it to []",
    ),
    (
        "datasets.waves",
        {"model": {"architecture": "audionet-s"}, "evaluate": {"flips": [0.2, 0.1]}},
        "datasets.waves.evaluate.flips must rise from the smallest share to the largest, not [0.2, 0.1]",
    ),
    (
        "datasets.waves",
        {"model": {"architecture": "audionet-s"}, "evaluate": {"flips": [0.5, 1]}},
        "datasets.waves.evaluate.flips[1] must be less than 1, not 1",
    ),
    (
        "datasets.waves",
        {
            "model": {"architecture": "audionet-s"},
            "evaluate": {"flips": [0.1], "cross": []},
            "grid": {"methods": ["occlusion"]},
            "lrp": {"rules": "occlusion"},
        },
        "datasets.waves.evaluate.flips = [0.1] takes samples by their relevance, which lrp.rules = occlusion does not "
        "tell: set it to []",
    ),
    ("datasets.synthetic.evaluate.budgets", [], "datasets.synthetic.evaluate.budgets must not be empty"),
    (
        "datasets.synthetic.evaluate.listener",
        "synthetic",
        "datasets.synthetic.evaluate.listener names synthetic itself, which knows its own answers; ",
    ),
    (
        "datasets.synthetic.evaluate.listener",
        "bnad",
        "datasets.synthetic.evaluate.listener names bnad, which is no data set; did you mean band?",
    ),
    (
        "datasets.voices.evaluate.listener",
        "synthetic",
        "datasets.voices.evaluate.listener = synthetic hears 16000 samples a second and voices 8000: set both",
    ),
    (
        "datasets.ears",
        {"extends": "voices", "evaluate": {"listener": "voices"}, "train": {"epochs": 9}},
        "datasets.ears.evaluate.listener = voices has the frontend and the model of ears, whose network it would be",
    ),
    (
        "datasets.synthetic.evaluate.outside_speech",
        "synthetic",
        "datasets.synthetic.evaluate.outside_speech names synthetic itself, whose clips are mixed anyway; ",
    ),
    (
        "datasets.synthetic.evaluate.outside_speech",
        "voics",
        "datasets.synthetic.evaluate.outside_speech names voics, which is no data set; did you mean voices?",
    ),
    ("datasets.synthetic.evaluate.outside", ["enrgy"], "datasets.synthetic.evaluate.outside: there is no method enrgy"),
    ("datasets.synthetic.evaluate.outside_clips", 0, "datasets.synthetic.evaluate.outside_clips must be at least 1"),
    ("datasets.synthetic.group", "(", "datasets.synthetic.group is not a regular expression: missing )"),
    ("datasets.Two Words", {}, "datasets.Two Words is not a name for a data set: use a-z, 0-9 and -"),
    (
        "datasets.wide",
        {"extends": "syntetic"},
        "datasets.wide.extends names syntetic, which is no data set; did you mean synthetic?",
    ),
    ("datasets.wide", {"extends": "wide"}, "datasets.wide.extends goes round in a circle: wide -> wide"),
    ("datasets", [], "datasets must be a mapping of keys to values, not []"),
    ("run", ["syntetic"], "run names syntetic, which is no data set; did you mean synthetic?"),
    ("run", [], "run must not be empty"),
    ("run", ["spoken-digits"], "datasets.spoken-digits.root must name the folder that holds the recordings"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), MISTAKES, ids=[sentence[:60] for *_, sentence in MISTAKES])
def test_a_mistake_is_one_sentence_that_names_its_place(raw, path, value, sentence):
    with pytest.raises(EarmarkError, match=re.escape(sentence)) as caught:
        config.validate(with_value(raw, path, value))
    assert str(caught.value).startswith("config: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ears", "sentence"),
    [
        (
            {"model": {"architecture": "audionet-s"}},
            "must see spectrograms, frontend.kind = logmel or stft, not waveform",
        ),
        (
            {"model": {"network": "net.py:build", "classes": ["a", "b"], "task": "multi"}, "grid": {"layers": ["a"]}},
            "asks for one answer, right or wrong; datasets.ears has model.task = multi: remove one",
        ),
        (
            {
                "model": {"network": "net.py:build", "classes": ["a", "b"]},
                "labels": "predictions",
                "grid": {"layers": ["a"]},
            },
            "asks for one answer, right or wrong; datasets.ears has labels = predictions: remove one",
        ),
    ],
)
def test_a_listener_sees_and_guesses_one_class(ears, sentence):
    own = {"source": "folder", "root": "recordings"}
    listened = {**own, "frontend": {"sample_rate": 8000}, "evaluate": {"listener": "ears"}}
    with pytest.raises(EarmarkError) as caught:
        config.validate({"run": ["mine"], "datasets": {"mine": listened, "ears": own | ears}})
    assert str(caught.value).startswith("config: datasets.mine.evaluate.listener") and sentence in str(caught.value)


def test_groups_are_named_in_one_way(raw):
    raw["datasets"]["gtzan"] |= {"group": "^[a-z]+", "groups": "artists.csv"}
    with pytest.raises(EarmarkError, match=r"config: datasets.gtzan sets both group and groups"):
        config.validate(raw)


def test_a_configuration_without_datasets():
    with pytest.raises(EarmarkError, match="config: the whole lacks the key datasets"):
        config.validate({})


def test_a_circle_of_two(raw):
    raw["datasets"] |= {"a": {"extends": "b"}, "b": {"extends": "a"}}
    with pytest.raises(EarmarkError, match=re.escape("goes round in a circle: a -> b -> a")):
        config.validate(raw)


def test_fill_refuses_extends():
    with pytest.raises(EarmarkError, match="extends can only be resolved"):
        config.fill({"extends": "synthetic"})


def keys_of(schema, path=()):
    """Yield the path and the schema of every key."""
    for name, key in schema.get("properties", {}).items():
        yield (*path, name), key
        yield from keys_of(key, (*path, name))
        yield from keys_of(key.get("items", {}), (*path, name))


def every_key():
    schema = config.load_schema()
    yield from keys_of(schema)
    yield from keys_of(schema["$defs"]["dataset"], ("datasets", "*"))


REQUIRED = {("datasets",), ("datasets", "*", "extends"), ("datasets", "*", "tracks", "file")}


def test_every_key_is_described_and_closed_and_has_a_default():
    for path, key in every_key():
        assert key["description"], path
        if "properties" in key or "properties" in key.get("items", {}):
            assert key.get("items", key)["additionalProperties"] is False, path
        elif path not in REQUIRED and "rules" not in path[:-1]:
            assert "default" in key, path


def test_comments_of_config_yaml_are_the_descriptions_of_the_schema():
    described = {path: key["description"] for path, key in every_key()}
    path, compared = [], 0
    for line in (ROOT / "config.yaml").read_text().splitlines():
        found = re.fullmatch(r"( *)([a-z0-9_-]+):[^#]*?(?:\s+# (.*))?", line)
        if not found:
            continue
        path = [*path[: len(found[1]) // 2], found[2]]
        if found[3]:
            key = tuple("*" if position == 1 else name for position, name in enumerate(path))
            assert found[3] == described[key], ".".join(path)
            compared += 1
    assert compared > 30


def test_the_stages_are_named_that_compute_on_several_threads():
    (told,) = (key["description"] for path, key in every_key() if path == ("torch_threads",))
    named = set(re.findall(r"[a-z]+", told)) & set(STAGES)
    assert named == {name for name, stage in STAGES.items() if stage.threaded}


def test_every_method_is_listed_where_it_may_stand():
    listed = {".".join(path[-2:]): key["examples"] for path, key in every_key() if "examples" in key}
    assert set(listed) == set(config.KINDS)
    assert listed["grid.methods"] == spelled(methods(lambda method: not method.own_network))
    assert listed["evaluate.cross"] == spelled(methods(lambda method: method.has_basis))
    for names in listed.values():
        assert f": {' | '.join(names)} |".replace(" | ", " \\| ", len(names) - 1) in reference()


def test_the_reference_is_made_from_the_schema():
    assert (ROOT / "docs/config.md").read_text() == reference(), "run `make lock`"


def test_the_workflow_sees_the_same_schema():
    link = ROOT / "workflow/schemas/config.schema.yaml"
    assert link.resolve() == (ROOT / "src/earmark/plan/config.schema.yaml").resolve()
