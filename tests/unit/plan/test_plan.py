"""What a configuration makes possible: classes, splits, sections, paths."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from earmark.errors import EarmarkError
from earmark.plan import folder, targets
from earmark.plan.config import fill, validate
from earmark.plan.datasets import (
    check_listener,
    check_outside,
    check_scaling,
    class_slugs,
    fingerprint,
    fold_count,
    known_classes,
    networks,
    planned_folds,
    splits,
)
from earmark.plan.methods import by_ear, families, method_of, methods, spelled
from earmark.plan.stages import STAGES, compared_config, named_rules, rules_of, stage_config, threads
from earmark.sources.band.styles import STYLES
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def full():
    return validate(yaml.safe_load((ROOT / "config.yaml").read_text()))


def block_of(root, **keys):
    return fill({"source": "folder", "root": str(root), **keys})


@pytest.fixture
def speakers(tmp_path):
    """Two classes of six recordings by three speakers."""
    for number, name in enumerate(["Two Hands", "one"]):
        for speaker in ("ann", "bob", "cyd"):
            for take in range(2):
                path = tmp_path / name / f"{number}_{speaker}_{take}.wav"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"")
    return tmp_path


def test_a_stage_has_one_rule_or_one_per_data_set_that_it_works_on(full):
    rules = rules_of(["gtzan", "synthetic"])
    assert rules["train"] == ["train"]
    assert rules["fit"] == ["fit_gtzan", "fit_synthetic"]
    assert list(rules) == list(STAGES)


def test_stages_are_replaced_by_their_rules(full):
    rules = rules_of(["gtzan", "synthetic"])
    named = {"fit", "train", "sonify_gtzan", "results/gtzan/manifest.csv", "all"}
    expected = {"fit_gtzan", "fit_synthetic", "train", "sonify_gtzan", "results/gtzan/manifest.csv", "all"}
    assert named_rules(rules, "--until", named) == expected


def test_a_stage_without_data_sets_is_a_mistake(full):
    """Snakemake takes no rules at all for all of them."""
    with pytest.raises(EarmarkError, match=r"^--until fit: there is no data set with recordings that fit works on$"):
        named_rules(rules_of([]), "--until", ["fit"])
    with pytest.raises(EarmarkError, match=r"^--until: there is no rule fit_gtzan; allowed: fit_synthetic$"):
        named_rules(rules_of(["synthetic"]), "--until", ["fit_gtzan"])


def test_a_stage_gets_its_sections_the_seed_and_the_threads(full):
    block = full["datasets"]["synthetic"]
    shared = {"seed": 0, "torch_threads": 1, "lrp": block["lrp"], "explain": {"classes": []}}
    for method, family in {"dsa": "drsa", "oracle": "oracle"}.items():
        settings = {"explainers": {family: block["explainers"][family]}}
        assert json.loads(stage_config(full, "synthetic", "fit", method)) == shared | settings
    assert json.loads(stage_config(full, "synthetic", "fit", "random~3")) == shared
    assert json.loads(stage_config(full, "synthetic", "train"))["torch_threads"] == 2
    for one in methods():  # what a method is made with is told its settings too
        given = json.loads(stage_config(full, "synthetic", "explain", one.spelled.replace("SEED", "0")))
        with_settings = {other for other in (one, *map(method_of, one.beside)) if families()[other.family].settings}
        assert set(given.get("explainers", {})) == {other.family for other in with_settings}


@pytest.mark.parametrize("dataset", ["synthetic", "band", "voices"])
def test_generation_gets_its_source_s_section_and_as_many_processes_as_others_threads(full, dataset):
    given = json.loads(stage_config(full, dataset, "generate"))
    assert set(given) == {"seed", "torch_threads", "source", "frontend", dataset}
    assert given[dataset] == full["datasets"][dataset][dataset]
    assert (given["torch_threads"], threads(full, "generate")) == (1, 2)
    assert threads({**full, "torch_threads": 5}, "generate") == 5


def test_classes_are_slugs(full, speakers):
    assert class_slugs(full["datasets"]["synthetic"]) == ["class1", "class2"]
    assert class_slugs(full["datasets"]["band"]) == sorted(STYLES)
    assert class_slugs(block_of(speakers)) == ["two-hands", "one"]
    assert set(known_classes(full)) == {"synthetic", "band", "voices"}  # spoken-digits has no root yet


def test_splits_follow_the_groups(full, speakers):
    assert splits(0) == ["main"]
    assert splits(3) == ["main", "cv0", "cv1", "cv2"]
    assert planned_folds(full, "synthetic") == 0
    assert networks(full["datasets"]["synthetic"]) == ["main"]
    assert networks({"networks": 3}) == ["main", "net1", "net2"]
    for keys, folds in (({}, 6), ({"group": "_([a-z]+)_"}, 3), ({"folds": 4}, 4)):
        mine = {"datasets": {"mine": block_of(speakers, cross_validation=True, **keys)}}
        assert planned_folds(mine, "mine") == folds
    few = config_of_band({"tracks_per_style": 8, "artists": 4})
    assert (fold_count(full["datasets"]["band"]), fold_count(few)) == (10, 4)


def config_of_band(section, **keys):
    return fill({"source": "band", "band": section, **keys})


def test_more_folds_than_groups_are_one_sentence(full, speakers):
    sentence = (
        "`folds` asks for 4 folds, but the class 'Two Hands' has 3 groups of usable recordings: ask for 3 at most"
    )
    with pytest.raises(EarmarkError, match=re.escape(sentence)):
        fold_count(block_of(speakers, group="_([a-z]+)_", folds=4))
    with pytest.raises(EarmarkError, match="but there are 4 groups"):
        fold_count(config_of_band({"tracks_per_style": 8, "artists": 4}, folds=5))
    assert fold_count(full["datasets"]["synthetic"] | {"folds": 5}) == 5


@pytest.fixture
def ingested(speakers, tmp_path_factory, monkeypatch):
    """Results of the speakers' recordings, divided into four folds; their names promise six."""
    monkeypatch.chdir(tmp_path_factory.mktemp("project"))
    config = {
        "seed": 0,
        "torch_threads": 1,
        "datasets": {"mine": block_of(speakers, cross_validation=True)},
    }
    layout = Layout(Path("results"), "mine")
    made = artifacts.provenance(json.loads(stage_config(config, "mine", "ingest")))
    paths = [path for path, _ in folder.listing(speakers)]
    rows = [(path, number % 4) for number, path in enumerate(paths)]
    artifacts.write_csv(layout.clip_index, ("path", "fold"), rows[1:], made)
    artifacts.write_csv(layout.manifest, ("path", "reason"), [*((path, "") for path in paths), ("x", "missing")], made)
    return config, layout


def test_folds_are_those_that_the_recordings_were_divided_into(ingested):
    config, _ = ingested
    assert fold_count(config["datasets"]["mine"]) == 6
    assert planned_folds(config, "mine") == 4
    targets.check_path(config, "results/mine/cv3/metrics.json")
    with pytest.raises(EarmarkError, match=r"there is no cv4; .* cv2/, cv3/$"):
        targets.check_path(config, "results/mine/cv4/metrics.json")


@pytest.mark.parametrize("what", ["key", "recording", "index", "manifest", "version"])
def test_folds_of_what_is_there_no_more_do_not_count(ingested, speakers, what):
    config, layout = ingested
    if what == "key":
        config["datasets"]["mine"]["clips_per_recording"] = 3
    elif what == "recording":
        (speakers / "one" / "1_dan_0.wav").write_bytes(b"")
    elif what == "version":
        layout.clip_index.write_text("clip,path\n0,a\n")
    else:
        (layout.clip_index if what == "index" else layout.manifest).unlink()
    assert planned_folds(config, "mine") == 6


def test_a_folder_is_told_by_names_and_contents(full, speakers):
    before = fingerprint(block_of(speakers))
    assert fingerprint(block_of(speakers)) == before
    added = speakers / "one" / "1_dan_0.wav"
    added.write_bytes(b"RIFF")
    more = fingerprint(block_of(speakers))
    added.write_bytes(b"RIFX")  # of the same size
    other = fingerprint(block_of(speakers))
    added.rename(added.with_name("1_eve_0.wav"))
    assert len({before, more, other, fingerprint(block_of(speakers))}) == 4
    assert fingerprint(full["datasets"]["synthetic"]) == fingerprint(full["datasets"]["band"]) == ""


def test_a_folder_is_told_wherever_it_lies_and_however_old_it_is(speakers, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    table = elsewhere / "groups.csv"
    table.write_text("path,group\none/1_ann_0,ann\n")
    before = fingerprint(block_of(speakers)), fingerprint(block_of(speakers, groups=str(table)))
    assert before[0] != before[1]
    moved = elsewhere / "moved"
    shutil.copytree(speakers, moved, copy_function=shutil.copy)
    renamed = table.rename(elsewhere / "artists.csv")
    assert (fingerprint(block_of(moved)), fingerprint(block_of(moved, groups=str(renamed)))) == before


def test_a_link_that_gets_its_target_is_another_recording(speakers):
    link = speakers / "one" / "1_fay_0.wav"
    link.symlink_to(speakers / "store")
    before = fingerprint(block_of(speakers))
    (speakers / "store").touch()
    assert fingerprint(block_of(speakers)) != before


def test_places_are_not_compared(full):
    given, compared = (json.loads(function(full, "gtzan", "ingest")) for function in (stage_config, compared_config))
    assert set(given) - set(compared) == {"root", "groups"}
    assert compared == {key: given[key] for key in compared}


def test_recordings_that_cannot_be_used_do_not_count_for_the_folds(speakers):
    by_speaker = {"group": "_([a-z]+)_"}
    for number, name in enumerate(["Two Hands", "one"]):
        (speakers / name / f"{number}_gil_0.m4a").write_bytes(b"ftyp")
        (speakers / name / f"{number}_hal_0.wav").symlink_to("gone")
        (speakers / name / "theme.mp4").write_bytes(b"ftyp")  # its name gives no group
    assert fold_count(block_of(speakers, **by_speaker)) == 3
    assert fold_count(block_of(speakers)) == 6


@pytest.mark.parametrize(
    "path",
    [
        "manifest.csv",
        "generated",
        "tables/flipping.csv",
        "figures",
        "main/model.safetensors",
        "cv9/metrics.json",
        "cv9/composites_curves.csv",
        "tables/composites.csv",
        "main/conv5/pairs/class2.safetensors",
        "main/conv1/drsa/K~8/class1/subspaces.safetensors",  # not in the grid, but the model has it
        "main/conv5/random~7/K~16/class2/sounds",
        "main/conv2/pca/K~1/cross_class_clips.csv",
        "main/conv2/pca/K~1/held_out.csv",
        "tables/stability.md",
        "main/input/standard/K~1/class1/heatmaps.png",
        "main/input/noise~3/K~1/scores.csv",
        "main/conv5/drsa/K~4/outside.csv",
        "main/input/energy/K~1/outside_clips.csv",
        "tables/outside.md",
        "listening-test",
        "listening-test.csv",
        "main/stimuli",
        "cv9/key.csv",
        "main/trained/l2i/model.safetensors",
        "cv2/trained/l2i-by-design/removed.csv",
        "main/input/l2i/K~1/masking.csv",
        "main/input/l2i-parts/K~7/class1/sounds",  # any K, at no layer
        "main/input/l2i-by-design/K~1/class1/heatmaps.png",
    ],
)
def test_paths_that_can_be_made(full, path):
    targets.check_path(full, f"results/synthetic/{path}")


def test_clips_are_contaminated_with_other_sounds_that_are_there(full, tmp_path):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["datasets"]["ears"] = {"extends": "synthetic", "evaluate": {"outside_speech": None}}
    raw["datasets"]["words"] = {"source": "folder", "root": str(tmp_path / "words")}
    raw["datasets"]["copies"] = {"source": "folder", "root": f"{tmp_path}/words/../words"}
    for cls in ("a", "b"):
        (tmp_path / "words" / cls).mkdir(parents=True)
        (tmp_path / "words" / cls / "1.wav").write_bytes(b"")

    def asked(name, other):
        raw["datasets"][name]["evaluate"] = {"outside_speech": other}
        return validate(raw)

    check_outside(full, "synthetic")
    for name, other in (("synthetic", "voices"), ("voices", "words"), ("words", "synthetic")):
        check_outside(asked(name, other), name)
    for name, other in (("synthetic", "ears"), ("words", "copies")):
        with pytest.raises(
            EarmarkError, match=f"names {other}, whose recordings are those of {name}: name a data set of"
        ):
            check_outside(asked(name, other), name)
    (tmp_path / "words").rename(tmp_path / "gone")
    with pytest.raises(EarmarkError, match="words"):
        targets.check_path(asked("voices", "words"), "results/voices/main/input/energy/K~1/outside.csv")


def test_who_listens_guesses_among_the_same_classes_and_to_one_network(full):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["datasets"]["ears"] = {"extends": "voices", "model": {"filters": [16] * 5}}
    raw["datasets"]["voices"]["evaluate"] = {"listener": "ears"}
    raw["datasets"]["ears"]["evaluate"] = {"listener": None}
    asked = validate(raw)
    check_listener(asked, "voices")
    targets.check_path(asked, "results/voices/main/listened.csv")
    for config, path, sentence in (
        (full, "voices/main/listened.csv", "evaluate.listener must name the data set whose network listens"),
        (asked, "voices/cv1/listened.csv", "there is no listened.csv"),
        (asked, "voices/main/stimuli/001.wav", "stimuli is made as a whole"),
    ):
        with pytest.raises(EarmarkError, match=re.escape(sentence)):
            targets.check_path(config, f"results/{path}")
    raw["datasets"]["ears"]["voices"] = {"labels": "sex"}
    with pytest.raises(
        EarmarkError, match=r"= ears has 2 classes and voices 10, which must be the same: they differ in "
    ):
        targets.check_path(validate(raw), "results/voices/manifest.csv")


def test_people_rate_explanations_that_there_are():
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())

    def asked(**changes):
        raw["datasets"]["synthetic"] |= {"listening_test": changes}
        return validate(raw)

    assert by_ear(asked()["datasets"]["synthetic"]) == {
        "info": ("conv3", 4),
        "standard": (INPUT_LAYER, 1),
        "cells~0": (INPUT_LAYER, 1),
    }
    heard = by_ear(asked(methods=["drsa", "gradcam", "energy"], layer="conv4", k=8)["datasets"]["synthetic"])
    assert heard["drsa"] == ("conv4", 8) and heard["gradcam"] == ("conv4", 1) and heard["energy"] == (INPUT_LAYER, 1)
    raw["datasets"]["synthetic"]["evaluate"]["masking"] = ["standard", "energy", "gradcam", "drsa", "cells~0"]
    assert list(by_ear(asked()["datasets"]["synthetic"])) == ["gradcam", "drsa", "standard", "cells~0"]
    for changes, sentence in (
        ({"methods": ["drso"]}, "listening_test.methods: there is no method drso; did you mean drsa?"),
        ({"methods": ["standard"]}, "listening_test.methods names standard, which every test has: remove it"),
        ({"methods": ["cells~0"]}, "listening_test.methods names cells~0, which every test has: remove it"),
        ({"layer": "conv9"}, "listening_test.layer: the model has no layer conv9; allowed: conv1"),
        ({"layer": "conv3", "k": 3, "methods": ["drsa"]}, "listening_test.k: K = 3 does not divide the 16 channels"),
        ({"clips": 0}, "listening_test.clips"),
        ({"methods": [f"noise~{seed}" for seed in range(9)]}, "listening_test.methods"),
    ):
        with pytest.raises(EarmarkError, match=re.escape(sentence)):
            asked(**changes)
    with pytest.raises(EarmarkError, match=r"listening-test: listening_test.methods must name the methods whose"):
        targets.check_path(asked(methods=[]), "results/synthetic/listening-test")


@pytest.mark.parametrize("path", ["generated", "stems.npy", "cv9/metrics.json", "main/conv5/drsa/K~4/skank/sounds"])
def test_paths_of_the_band_that_can_be_made(full, path):
    targets.check_path(full, f"results/band/{path}")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("syntetic/manifest.csv", "there is no data set syntetic; did you mean synthetic?"),
        ("spoken-digits/manifest.csv", "datasets.spoken-digits.root must name the folder"),
        ("synthetic/manifests.csv", "there is no manifests.csv; did you mean manifest.csv?"),
        ("synthetic", "this is a folder of several results; name one below it: manifest.csv"),
        ("synthetic/cv10/metrics.json", "there is no cv10; did you mean"),
        ("synthetic/tables/flippin.csv", "there is no flippin.csv; did you mean flipping.csv?"),
        ("synthetic/listening-test/index.html", "listening-test is made as a whole; ask for it"),
        ("synthetic/generated/class1", "generated is made as a whole; ask for it, without what follows"),
        ("synthetic/main/model.pt", "there is no model.pt; allowed: model.safetensors"),
        ("synthetic/main/conv3", "this is a folder of several results"),
        ("synthetic/main/metrics.json/accuracy", "metrics.json is made as a whole; ask for it"),
        ("synthetic/main/scaled.csv", "clips are scaled where evaluate.scaling names their classes"),
        (
            "synthetic/main/conv9/drsa/K~4/class1/heatmaps.safetensors",
            "the model has no layer conv9; allowed: conv1, conv2, conv3, conv4, conv5",
        ),
        ("synthetic/main/conv9/pairs/class1.safetensors", "the model has no layer conv9; allowed: conv1"),
        (
            "synthetic/main/conv3/drso/K~4/class1/fit.json",
            "there is no method drso; did you mean drsa? Allowed: "
            + ", ".join(spelled(methods(lambda method: method.layered))),
        ),
        (
            "synthetic/main/conv3/drsa/K~3/class1/fit.json",
            "K = 3 does not divide the 16 channels of conv3; allowed: 1, 2, 4, 8, 16",
        ),
        ("synthetic/main/conv3/drsa/4/class1/fit.json", "there is no 4; allowed: K~1/, K~2/, K~4/, K~8/, K~16/"),
        ("synthetic/main/conv3/drsa/K~4/class3/fit.json", "there is no class3; did you mean class"),
        ("synthetic/main/conv3/drsa/K~4/class1/fits.json", "there is no fits.json; did you mean fit.json?"),
        ("synthetic/main/conv3/drsa/K~4/class1/sounds/000", "sounds is made as a whole; ask for it"),
        ("synthetic/main/flipped.csv", "there is no flipped.csv; allowed: "),
        ("synthetic/main/conv3/oracle/K~4/stability.csv", "there is no stability.csv; did you mean sanity.csv?"),
        (
            "synthetic/main/input/standard/K~1/held_out.csv",
            "there is no held_out.csv; did you mean outside.csv? Allowed: scores.csv",
        ),
        ("synthetic/main/conv3/pairs/class3.safetensors", "there is no class3.safetensors; did you mean class"),
        (
            "synthetic/main/input/drsa/K~1/scores.csv",
            f"drsa works at a hidden layer; allowed: {', '.join(spelled(methods(lambda method: not method.layered)))}",
        ),
        ("synthetic/main/input/standard/K~2/scores.csv", "there is no K~2; allowed: K~1/"),
        ("synthetic/main/input/standard/K~1/class1/fit.json", "there is no fit.json; allowed: heatmaps.safetensors"),
        ("synthetic/main/input/standard/K~1/cross_class.csv", "there is no cross_class.csv"),
        (
            "synthetic/main/trained/l2i-parts/model.safetensors",
            "l2i-parts learns nothing of the model itself",
        ),
        ("synthetic/main/trained/l2i/flipped.csv", "there is no flipped.csv; did you mean imitated.csv?"),
        ("synthetic/main/input/l2i/K~4/masking.csv", "there is no K~4; allowed: K~1/"),
        (
            "synthetic/main/input/l2i-by-design/K~1/masking.csv",
            "there is no masking.csv; allowed: sounds.csv, cost.csv",
        ),
        ("synthetic/main/beside.csv", "networks of other data sets are compared for main, where evaluate.beside names"),
    ],
)
def test_a_wrong_path_is_one_sentence_with_the_allowed_names(full, path, sentence):
    with pytest.raises(EarmarkError, match=re.escape(sentence)) as caught:
        targets.check_path(full, f"results/{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", ["sex", "digit"])
def test_classes_are_scaled_that_there_are_and_that_are_explained(labels):
    block = {"source": "voices", "voices": {"labels": labels}, "frontend": {"sample_rate": 8000}}
    scaling = {"evaluate": {"scaling": {"male": 1.5, "female": 0.66}}}
    full = validate({"run": ["x"], "datasets": {"x": {**block, **scaling}}})
    if labels == "digit":
        for check in (lambda: check_scaling(full, "x"), lambda: targets.check_path(full, "results/x/main/scaled.csv")):
            with pytest.raises(EarmarkError, match=r"scaling names male, which is no class that is explained; allowed"):
                check()
        return
    check_scaling(full, "x")
    for path in ("scaled.csv", "scaled_sounds.csv", "scaled"):
        targets.check_path(full, f"results/x/main/{path}")
    with pytest.raises(EarmarkError, match=r"scaled is made as a whole"):
        targets.check_path(full, "results/x/main/scaled/male/000/scaled.wav")
    full["datasets"]["x"]["explain"]["classes"] = ["female"]
    with pytest.raises(EarmarkError, match=r"x.evaluate.scaling names male, .* is explained; .*[aA]llowed: female$"):
        check_scaling(full, "x")


@pytest.mark.parametrize(
    "path", ["results/synthetic/main/metrics.json", "./results//synthetic/main/../main/metrics.json"]
)
def test_a_target_may_be_written_in_many_ways(full, path):
    targets.check_target(full, path, "/home/ann/project")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "/home/ann/project/results/synthetic/main/metrics.json",
            "ask for it by its path in the project's folder: results/",
        ),
        ("/home/ann/project/results/synthetic/main/metrix.json", "did you mean metrics.json?"),
        ("./results/synthetic/main/metrix.json", "did you mean metrics.json?"),
        ("results", "this is a folder of several results; name one below it: "),
    ],
)
def test_a_target_that_cannot_be_made(full, target, sentence):
    with pytest.raises(EarmarkError, match=re.escape(sentence)):
        targets.check_target(full, target, "/home/ann/project")


@pytest.mark.parametrize(
    "argument", ["--cores", "8", "/home/ann/other/results/x", "examples/results.yaml", "results.yaml"]
)
def test_other_arguments_are_none_of_its_business(full, argument):
    targets.check_target(full, argument, "/home/ann/project")
    targets.check_configuration_file(argument, "/home/ann/project")


def test_a_configuration_may_lie_among_the_results():
    for name in ("results/wide.yaml", "results/synthetic/wide.yml", "/home/ann/project/results/wide.yaml"):
        targets.check_configuration_file(name, "/home/ann/project")


def test_a_result_is_no_configuration_file():
    with pytest.raises(EarmarkError, match="name what you want before --configfile"):
        targets.check_configuration_file("/home/ann/project/results/synthetic/main/metrics.json", "/home/ann/project")
