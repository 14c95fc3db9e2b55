"""What a configuration says of a network of the user's: its classes, recordings, code and paths."""

import re
from pathlib import Path

import pytest

from earmark.errors import EarmarkError
from earmark.plan import folder, foreign, targets, tracks
from earmark.plan.config import AUTO, validate
from earmark.plan.datasets import class_slugs, explained, fold_count, known_classes
from earmark.plan.methods import methods, spelled
from earmark.store.layout import NO_LAYERS

CLASSES = ["Great Tit", "wren"]


def raw(root=".", **keys):
    """Configure a data set with a network of the user's; `keys` merge over its block, section by section."""
    block = {
        "source": "folder",
        "root": str(root),
        "model": {"network": "my_net.py:build", "classes": CLASSES, "layers": {"late": "features.7"}},
    }
    for key, value in keys.items():
        block[key] = {**block[key], **value} if isinstance(value, dict) and key in block else value
    return {"run": ["mine"], "datasets": {"mine": block}}


def block_of(root=".", **keys):
    return validate(raw(root, **keys))["datasets"]["mine"]


def refused(**keys):
    with pytest.raises(EarmarkError) as caught:
        validate(raw(**keys))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def listed(block):
    """List the paths that a data set consists of, and the reasons why some are left out."""
    paths = [path for path, _ in folder.listed(block)]
    return paths, folder.departures(paths, block)


# --- classes from a file ----------------------------------------------------------------------------------------------


def test_classes_of_a_file_are_its_lines(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffwren\r\n\r\n  Great Tit \n\u00e9tourneau\n\n".encode())
    block = block_of(model={"classes": str(path)})
    assert block["model"]["classes"] == ["wren", "Great Tit", "\u00e9tourneau"]
    assert class_slugs(block) == ["wren", "great-tit", "etourneau"]  # the order of the logits, not of the alphabet


def test_a_file_of_classes_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "classes.txt").write_text("a\nb\n")
    assert block_of(model={"classes": "~/classes.txt"})["model"]["classes"] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"wren\ntit\n\nwren\n", "names wren twice"),
        ("caf\u00e9\ncafe\u0301\n".encode(), "names caf\u00e9 twice"),  # one name in two spellings
        (b"\xff\xfe\x00", "cannot be read: it is no text in UTF-8"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_does_not_list_classes(tmp_path, content, sentence):
    path = tmp_path / "classes.txt"
    if content is not None:
        path.write_bytes(content)
    told = refused(model={"classes": str(path)})
    assert told == f"config: datasets.mine.model.classes: the file '{path}' {sentence}"


def test_a_file_without_a_line_names_no_classes(tmp_path):
    (tmp_path / "classes.txt").write_text("\n \n")
    assert "model.classes must name the classes of my_net.py:build in the order of its outputs" in refused(
        model={"classes": str(tmp_path / "classes.txt")}
    )


# --- what goes together -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"model": {"weights": "net.pt"}}, "model.weights is for an adopted network: set model.network too"),
        ({"model": {"classes": ["a", "b"]}}, "model.classes is for an adopted network: set model.network too"),
        ({"model": {"layers": {"late": "a.1"}}}, "model.layers is for an adopted network: set model.network too"),
        ({"labels": "predictions"}, "labels: predictions is for an adopted network: set model.network too"),
    ],
)
def test_what_only_a_network_of_the_user_s_has(keys, sentence):
    with pytest.raises(EarmarkError, match=f"^config: datasets.mine.{re.escape(sentence)}$"):
        validate({"run": ["mine"], "datasets": {"mine": {"source": "folder", "root": ".", **keys}}})


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"source": "synthetic"}, "model.network needs recordings of yours: set source: folder and root"),
        ({"source": "band"}, "model.network needs recordings of yours: set source: folder and root"),
        (
            {"model": {"classes": []}},
            "model.classes must name the classes of my_net.py:build in the order of its outputs",
        ),
        (
            {"model": {"layers": {}}},
            "grid.layers names no layer of my_net.py:build: `earmark inspect my_net.py:build` lists them and "
            "suggests some",
        ),
        (
            {"grid": {"layers": ["late", "input"]}},
            "grid.layers cannot call a layer 'input', whose folder holds other things: give it another name in "
            "datasets.mine.model.layers",
        ),
        (
            {"model": {"layers": {"scaled": "features.7"}}},
            "model.layers cannot call a layer 'scaled', whose folder holds other things: give it another name in "
            "datasets.mine.model.layers",
        ),
        (
            {"model": {"layers": {"..": "features.7"}}},
            "model.layers cannot call a layer '..', whose folder holds other things: give it another name in "
            "datasets.mine.model.layers",
        ),
        (
            {"lrp": {"rules": "occlusion"}, "grid": {"methods": ["occlusion", "noise~1", "info"]}},
            "lrp.rules = occlusion leaves grid.methods that look at a network's answers only, such as "
            f"{', '.join(spelled(methods(lambda method: method.needs_answers_only)))}; info looks inside",
        ),
        ({"networks": 2}, "networks trains networks anew, which an adopted one is not"),
        ({"cross_validation": True}, "cross_validation trains networks anew, which an adopted one is not"),
    ],
)
def test_what_a_network_of_the_user_s_needs_and_lacks(keys, sentence):
    assert refused(**keys) == f"config: datasets.mine.{sentence}"


def test_a_layer_whose_name_is_taken_has_another():
    """A module may be called ``input``."""
    assert block_of(model={"layers": {"stem": "input"}})["grid"]["layers"] == ["stem"]


def test_no_folder_of_a_split_can_be_taken_for_a_layer():
    """Whatever is written beside the layers is a file with an ending, or a name that no layer has."""
    files = (
        *targets.TRAINED_FILES,
        *targets.ADOPTED_FILES,
        *targets.SPLIT_FILES,
        *targets.SCALING_FILES,
        *targets.STIMULI_FILES,
    )
    assert {name for name in files if "." not in name} <= NO_LAYERS


def test_a_network_that_names_no_function():
    assert "model.network" in refused(model={"network": "my_net.py"})


def test_rules_are_left_to_the_network_and_layers_to_their_names():
    block = block_of()
    assert block["lrp"]["rules"] == AUTO == "auto"
    assert block["grid"]["layers"] == ["late"]
    for rules in (None, "auto"):
        assert block_of(lrp={"rules": rules})["lrp"]["rules"] == "auto"
    own = [{"layers": "*", "rule": "epsilon"}]
    assert block_of(lrp={"rules": own})["lrp"]["rules"] == own
    assert block_of(grid={"layers": ["features.3", "late"]})["grid"]["layers"] == ["features.3", "late"]


def test_a_network_that_lrp_is_not_asked_of_needs_no_layers():
    block = block_of(model={"layers": {}}, lrp={"rules": "occlusion"}, grid={"methods": ["occlusion"]})
    assert (block["lrp"]["rules"], block["grid"]["layers"], block["sonify"]["methods"]) == ("occlusion", [], [])


def test_a_network_of_earmark_s_keeps_its_rules_and_layers():
    block = validate({"datasets": {"synthetic": {"grid": {"layers": None}, "lrp": {"rules": None}}}})
    filled = block["datasets"]["synthetic"]
    assert filled["grid"]["layers"] == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert [rule["rule"] for rule in filled["lrp"]["rules"]] == ["flat", "gamma", "epsilon"]


# --- which classes are explained --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "slugs"),
    [
        ([], ["great-tit", "wren"]),
        (["wren"], ["wren"]),
        (["Great Tit"], ["great-tit"]),
        (["great-tit"], ["great-tit"]),
        (["wren", "Great Tit"], ["great-tit", "wren"]),  # the order of the logits
    ],
)
def test_classes_are_asked_for_by_name_or_slug(tmp_path, asked, slugs):
    config = validate(raw(tmp_path, explain={"classes": asked}))
    assert explained(config, "mine") == slugs
    assert known_classes(config) == {"mine": slugs}
    assert class_slugs(config["datasets"]["mine"]) == ["great-tit", "wren"]


def test_a_class_that_is_none_is_named_with_those_that_are(tmp_path):
    with pytest.raises(
        EarmarkError,
        match=r"datasets.mine.explain.classes names wran, which is no class; did you mean wren\? Allowed: Great Tit",
    ):
        explained(validate(raw(tmp_path, explain={"classes": ["wren", "wran"]})), "mine")


@pytest.mark.parametrize("cls", ["wren", "Great Tit", "great-tit", "cafe\u0301", "cafe"])
def test_classes_of_tracks_are_asked_for_as_those_that_are_explained(tmp_path, cls):
    tracks.check(tracked(tmp_path, cls), "mine")


def test_a_class_of_a_track_is_no_class_in_other_letters(tmp_path):
    with pytest.raises(
        EarmarkError, match=r"song is to be explained for Wren, no class; did you mean wren\? Allowed: "
    ):
        tracks.check(tracked(tmp_path, "Wren"), "mine")


def tracked(tmp_path, cls):
    changes = {"model": {"classes": [*CLASSES, "caf\u00e9"]}, "tracks": [{"file": "song.wav", "classes": [cls]}]}
    return validate(raw(tmp_path, **changes))


# --- recordings -------------------------------------------------------------------------------------------------------


def test_sub_folders_that_are_no_class_are_left_out_with_their_reason(tmp_path):
    touch(tmp_path, "wren/a.wav", "wren/deep/b.wav", "robin/c.wav", "loose.wav", "wren/d.m4a")
    paths, reasons = listed(block_of(tmp_path))
    assert paths == ["loose.wav", "robin/c.wav", "wren/a.wav", "wren/d.m4a", "wren/deep/b.wav"]
    stranger = "extra: its sub-folder is none of the model's classes"
    assert reasons == {
        "loose.wav": "extra: it lies beside the sub-folders of the classes, in none of them",
        "robin/c.wav": stranger,
        "wren/d.m4a": "cannot be decoded: M4A is not supported",
    }


def test_folders_of_which_none_bears_a_class_s_name(tmp_path):
    touch(tmp_path, "robin/c.wav")
    with pytest.raises(EarmarkError) as caught:
        folder.listed(block_of(tmp_path))
    assert str(caught.value) == (
        f"No recording in '{tmp_path}' lies in a sub-folder that bears the name of one of the model's classes, such as "
        "Great Tit, wren: name them so, or set `labels: predictions`."
    )


def test_a_class_s_folder_without_a_recording(tmp_path):
    """There are recordings, but none is of a class."""
    touch(tmp_path, "wren/notes.txt", "robin/c.wav")
    with pytest.raises(EarmarkError, match=r"^No recording in .* lies in a sub-folder that bears"):
        fold_count(block_of(tmp_path))


@pytest.mark.parametrize("names", [("a.wav", "b.flac"), ("one/a.wav", "one/two/b.wav", "c.wav")])
def test_without_labels_recordings_lie_anywhere(tmp_path, names):
    touch(tmp_path, *names, ".hidden.wav", "notes.txt")
    block = block_of(tmp_path, labels="predictions")
    assert listed(block) == (sorted(names), {})
    assert set(folder.labels_of(names, block).values()) == {""}


@pytest.mark.parametrize("labels", ["folders", "predictions"])
def test_a_folder_without_recordings(tmp_path, labels):
    touch(tmp_path, "wren/notes.txt", "wren/a.m4a")
    with pytest.raises(EarmarkError, match=f"^The folder '{re.escape(str(tmp_path))}' holds no recording "):
        folder.listed(block_of(tmp_path, labels=labels))


@pytest.mark.parametrize(("counts", "folds"), [((2, 5), 1), ((5, 1), 1), ((3, 5), 3), ((0, 5), 5), ((12, 12), 10)])
def test_fewer_than_three_groups_of_a_class_are_one_fold(tmp_path, counts, folds):
    """Nothing is trained: all clips are then fitted to and explained. A class without recordings divides nothing."""
    for cls, count in zip(CLASSES, counts, strict=True):
        touch(tmp_path, *(f"{cls}/{number}.wav" for number in range(count)))
    assert fold_count(block_of(tmp_path)) == folds


def test_folds_without_labels_are_of_all_recordings(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    assert fold_count(block_of(tmp_path, labels="predictions")) == 1
    touch(tmp_path, "c.wav", "d.wav")
    assert fold_count(block_of(tmp_path, labels="predictions")) == 4


def test_folds_that_are_asked_for_and_cannot_be(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    with pytest.raises(EarmarkError, match="has 2 groups of usable recordings"):
        fold_count(block_of(tmp_path, labels="predictions", folds=3))


# --- code -------------------------------------------------------------------------------------------------------------


def sources(folder, files, first="my_net.py"):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {str(Path(path).relative_to(folder)) for path in foreign.sources(f"{folder / first}:build", "model.network")}


def test_code_is_the_file_and_what_it_imports_from_its_folder_in_turn(tmp_path):
    files = {
        "my_net.py": "import torch, blocks\ndef build():\n    from heads import Head\n",
        "blocks.py": "from sizes import WIDTH\n",
        "sizes.py": "import my_net\nWIDTH = 4\n",  # a circle
        "heads.py": "",
        "unused.py": "",
        "torch.txt": "",
    }
    assert sources(tmp_path, files) == {"my_net.py", "blocks.py", "sizes.py", "heads.py"}


@pytest.mark.parametrize(
    "line",
    ["import parts.blocks", "from parts.blocks import Block", "from parts import blocks", "import parts.blocks as b"],
)
def test_code_of_packages_is_theirs_from_the_top(tmp_path, line):
    """Python runs every ``__init__`` on the way, and what stands in them."""
    files = {
        "my_net.py": line,
        "parts/__init__.py": "from .sizes import WIDTH\n",
        "parts/sizes.py": "",
        "parts/blocks.py": "from . import norms\nfrom .deep.inner import x\n",
        "parts/norms.py": "",
        "parts/deep/__init__.py": "",
        "parts/deep/inner.py": "from .. import shared\nfrom ..sizes import WIDTH\n",
        "parts/shared.py": "",
        "parts/unused.py": "",
        "norms.py": "",
    }
    assert sources(tmp_path, files) == set(files) - {"parts/unused.py", "norms.py"}


def test_code_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my_net.py").touch()
    assert foreign.sources("~/my_net.py:build", "model.network") == [str(tmp_path / "my_net.py")]


def test_an_installed_package_has_no_file_of_the_user_s():
    assert foreign.sources("torchvision.models:resnet18", "model.network") == []
    assert foreign.file_of("torchvision.models:resnet18") is None


def test_code_that_is_not_there(tmp_path):
    path = tmp_path / "my_net.py"
    with pytest.raises(
        EarmarkError, match=f"^config: model.network: the file '{re.escape(str(path))}' does not exist$"
    ):
        foreign.sources(f"{path}:build", "model.network")


@pytest.mark.parametrize("content", [b"import torch\ndef build(:\n", b"import torch\n\0"])
def test_code_that_is_no_python(tmp_path, content):
    (tmp_path / "my_net.py").write_text("import blocks\n")
    (tmp_path / "blocks.py").write_bytes(content)
    with pytest.raises(EarmarkError, match=r"^config: model.network: '.*blocks.py' is no Python: .*$"):
        foreign.sources(f"{tmp_path / 'my_net.py'}:build", "model.network")


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "manifest.csv",
        "main/model.safetensors",
        "main/layers.csv",
        "main/metrics.json",
        "main/late/drsa/K~4/wren/subspaces.safetensors",
        "main/features.3/info/K~7/wren/sounds",  # any layer, any K: only the network knows
        "main/features.3/pairs/wren.safetensors",
        "main/input/occlusion/K~1/wren/heatmaps.safetensors",
        "tables/flipping.csv",
    ],
)
def test_paths_that_can_be_made(tmp_path, path):
    targets.check_path(validate(raw(tmp_path, explain={"classes": ["wren"]})), f"results/mine/{path}")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("main/history.csv", "there is no history.csv; allowed: model.safetensors, layers.csv"),
        ("cv0/metrics.json", "there is no cv0; "),
        ("net1/metrics.json", "there is no net1; "),
        ("stems.npy", "there is no stems.npy"),
        ("main/late/drsa/K~4/great-tit/fit.json", "there is no great-tit; "),  # a class, but not explained
        ("main/late/pairs/great-tit.safetensors", "there is no great-tit.safetensors; "),
        ("main/late/drsa/K~0/wren/fit.json", "there is no K~0; "),
        ("main/late/oracle/K~4/wren/fit.json", "needs every recording's stems"),
        ("main/late/agreement/K~4.csv", "networks are compared for main, where `networks` asks for several"),
    ],
)
def test_paths_that_cannot(tmp_path, path, sentence):
    with pytest.raises(EarmarkError, match=re.escape(sentence)):
        targets.check_path(validate(raw(tmp_path, explain={"classes": ["wren"]})), f"results/mine/{path}")
