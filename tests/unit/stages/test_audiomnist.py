"""AudioMNIST's folder, with its faults: names tell digit and speaker, a file tells sexes, the authors tell folds."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from earmark.data.dataset import open_dataset, split_folds
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import audiomnist, config, folder, stages
from earmark.plan.datasets import class_slugs, fingerprint, fold_count, planned_folds
from earmark.sources.voices.recordings import Recordings
from earmark.stages import ingest
from earmark.store.layout import Layout

ROOT = Path(__file__).parents[3]
RATE = 8000
FRONTEND = {"sample_rate": RATE, "n_fft": 256, "hop": 128, "n_mels": 32, "n_frames": 63}
SPEAKERS = {f"{number:02d}": "female" if number % 2 else "male" for number in range(1, 9)}


def settings(root: Path, labels: str = "audiomnist-digit", **block) -> dict:
    block = {
        "source": "folder",
        "root": str(root),
        "labels": labels,
        "frontend": FRONTEND,
        "clips_per_recording": 1,
        **block,
    }
    return {**config.fill(block), "seed": 5, "torch_threads": 1}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(path: Path, folds: dict[str, int]) -> str:
    path.write_text("group,fold\n" + "".join(f"{group},{fold}\n" for group, fold in folds.items()))
    return str(path)


def tell(root: Path, speakers: dict[str, str]) -> None:
    about = {speaker: {"gender": gender, "age": "30"} for speaker, gender in speakers.items()}
    (root / audiomnist.META).write_text(json.dumps(about))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight speakers who say every digit once, by the voices of ours."""
    root = tmp_path_factory.mktemp("audiomnist") / "data"
    source = Recordings(
        {"voices": {"labels": "digit", "speakers": 8, "takes": 1}, "frontend": {"sample_rate": RATE, "n_samples": RATE}}
        | {"seed": 5}
    )
    for item in source.items():
        speaker = item.group.removeprefix("speaker")
        digit = audiomnist.DIGITS.index(item.cls)
        path = root / speaker / f"{digit}_{speaker}_0.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, source.render(item).mixture / 32768, RATE)
    tell(root, SPEAKERS)
    return root


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "data"))


FOLDS = {speaker: (number // 2) % 3 for number, speaker in enumerate(SPEAKERS)}
"""Three folds, of two speakers at least: an odd and an even one."""


def ingested(block: dict, folder: Path) -> tuple[Layout, dict[str, dict[str, str]]]:
    ingest.run(Job("ingest", folder, "mine", block))
    layout = Layout(folder, "mine")
    return layout, {row["path"]: row for row in rows(layout.manifest)}


# --- what there is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [("audiomnist-digit", sorted(audiomnist.DIGITS)), ("audiomnist-sex", ["female", "male"])],
)
def test_names_tell_digit_and_speaker_and_the_file_the_sex(root, tmp_path, labels, classes):
    block = settings(root, labels, folds=table(tmp_path / "folds.csv", FOLDS))
    assert class_slugs(block) == classes
    assert fold_count(block) == 3
    layout, found = ingested(block, tmp_path / "results")
    source = open_dataset(layout)
    assert [one.name for one in source.classes] == classes
    assert Counter(row["status"] for row in found.values()) == {"ok": 80}
    for path, row in found.items():
        speaker, digit = path.split("/")[0], int(path.split("/")[1][0])
        assert row["group"] == speaker
        assert row["fold"] == str(FOLDS[speaker])
        assert row["class"] == (SPEAKERS[speaker] if labels == "audiomnist-sex" else audiomnist.DIGITS[digit])
    assert (source.n_folds, split_folds("cv2", 3)) == (3, ([0], [2]))  # test N, validation N + 1


def test_without_a_file_speakers_are_divided(root, tmp_path):
    block = settings(root, "audiomnist-sex")
    assert fold_count(block) == 4
    _, found = ingested(block, tmp_path / "results")
    assert len({(row["group"], row["fold"]) for row in found.values()}) == 8
    assert all(row["group"] == path.split("/")[0] for path, row in found.items())


def test_what_is_at_fault_is_excluded_with_its_reason_or_used_as_far_as_it_goes(root, tmp_path, caplog):
    tell(root, {speaker: sex for speaker, sex in SPEAKERS.items() if speaker != "07"})
    samples, _ = soundfile.read(root / "01/3_01_0.wav")
    soundfile.write(root / "01/3_01_0.wav", np.repeat(samples, 6), 6 * RATE)  # as distributed: 48 kHz
    content = (root / "02/4_02_0.wav").read_bytes()
    (root / "02/4_02_0.wav").write_bytes(content[: len(content) - 1000])
    (root / "02/5_02_0.wav").write_bytes(content[:20])
    shutil.copy(root / "03/0_03_0.wav", root / "03/0_04_0.wav")  # another speaker's name
    shutil.copy(root / "03/0_03_0.wav", root / "03/copy of 0_03_0.wav")
    folds = table(tmp_path / "folds.csv", {speaker: fold for speaker, fold in FOLDS.items() if speaker != "08"})
    block = settings(root, "audiomnist-sex", folds=folds)
    with caplog.at_level(logging.WARNING):
        _, found = ingested(block, tmp_path / "results")
    assert found["01/3_01_0.wav"]["status"] == "ok"
    assert (found["01/3_01_0.wav"]["sample_rate"], found["01/3_01_0.wav"]["seconds"]) == ("48000", "1.0")
    assert found["02/4_02_0.wav"]["status"] == "padded"
    assert "cut short" in found["02/4_02_0.wav"]["reason"]
    assert found["02/5_02_0.wav"]["status"] == "excluded"
    reasons = {row["reason"] for path, row in found.items() if path.startswith("07/")}
    assert reasons == {"unlabelled: audioMNIST_meta.txt tells no gender of speaker 07"}
    reasons = {row["reason"] for path, row in found.items() if path.startswith("08/")}
    assert reasons == {f"left out: its group 08 is in no fold of {folds}"}
    for name in ("03/0_04_0.wav", "03/copy of 0_03_0.wav"):
        assert found[name]["reason"] == "extra: its name is none of AudioMNIST's, such as 01/0_01_0.wav"
    assert Counter(row["status"] for row in found.values()) == {"excluded": 23, "padded": 1, "ok": 58}
    assert any("23 of 82 recordings excluded" in line for line in caplog.messages)
    assert any("1 of the 7 groups in" in line and line.endswith(": 07") for line in caplog.messages)


def test_copies_in_two_folds_come_together(root, tmp_path, caplog):
    shutil.copy(root / "01/0_01_0.wav", root / "03/0_03_0.wav")
    folds = FOLDS | {"07": 1, "08": 1}
    with caplog.at_level(logging.WARNING):
        _, found = ingested(settings(root, folds=table(tmp_path / "folds.csv", folds)), tmp_path / "results")
    assert {row["fold"] for row in found.values() if row["group"] == "01"} == {"0"}
    assert {found[f"{speaker}/1_{speaker}_0.wav"]["group"] for speaker in ("01", "03")} == {"01"}
    assert any("are another group's by copies: 03" in line for line in caplog.messages)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def refused(block: dict) -> str:
    with pytest.raises(EarmarkError) as caught:
        fold_count(block)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


def test_sexes_that_nobody_tells(root):
    tell(root, {"01": " Female", "02": "unknown", "03": ""})
    assert audiomnist.sexes_in(root) == {"01": "female"}
    (root / audiomnist.META).write_text("01: female")
    assert refused(settings(root, "audiomnist-sex")).endswith("is no JSON in UTF-8: get it anew.")
    (root / audiomnist.META).write_text('["01"]')
    assert "holds no mapping of speakers" in refused(settings(root, "audiomnist-sex"))
    (root / audiomnist.META).unlink()
    assert "or set `labels: audiomnist-digit`" in refused(settings(root, "audiomnist-sex"))
    assert fold_count(settings(root)) == 8  # what is said needs no file


def test_a_folder_of_something_else(root):
    assert "set `root` to the folder that holds the speakers' folders" in refused(settings(root.parent))
    shutil.rmtree(root)
    root.mkdir()
    assert "holds no recording" in refused(settings(root))


def test_a_digit_that_nobody_says(root, tmp_path):
    for path in root.glob("*/7_*.wav"):
        path.unlink()
    with pytest.raises(EarmarkError, match=r"^The class 'seven' has no usable recording"):
        ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("speaker,fold\n01,0\n", "needs the columns group and fold in its first line."),
        ("group,fold\n01,0\n02,1\n03,2\n01,1\n", "gives '01' two folds."),
        ("group,fold\n01,first\n", "gives '01' the fold 'first', which is no number."),
        ("group,fold\n01,\n", "lacks a group or a fold in line 2."),
        ("group,fold\n01,0\n02,1\n", "has 2 folds; 3 to 10 are possible."),
        ("group,fold\n01,1\n02,2\n03,3\n", "has 3 folds but no fold 0: number them from 0 to 2."),
        (
            "group,fold\n01,0\n03,1\n05,2\n02,0\n04,1\n",
            "leaves fold 2 without a usable recording of the class ",
        ),
        ("group,fold\n\xff", "is no CSV file in UTF-8."),
    ],
)
def test_files_of_folds_that_are_none(root, tmp_path, content, sentence):
    path = tmp_path / "folds.csv"
    path.write_bytes(content.encode("latin-1"))
    told = refused(settings(root, "audiomnist-sex", folds=str(path)))
    assert told.startswith(f"The file of folds '{path}' {sentence}")


def test_a_file_of_folds_that_is_not_there(root, tmp_path):
    told = refused(settings(root, folds=str(tmp_path / "none.csv")))
    assert told == f"The file of folds '{tmp_path / 'none.csv'}' cannot be read: No such file or directory."


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"source": "voices"}, "labels: audiomnist-sex needs source: folder and root"),
        ({"source": "folder", "expected": {"classes": ["a"]}}, "expected.classes goes with labels: folders only"),
        ({"source": "folder", "expected": {"recordings": 3}}, "expected.recordings goes with labels: folders only"),
    ],
)
def test_labels_that_do_not_fit(keys, sentence):
    with pytest.raises(EarmarkError, match=f"^config: datasets.x.{sentence}"):
        config.validate({"run": ["x"], "datasets": {"x": {"labels": "audiomnist-sex", "root": "x", **keys}}})


# --- folds of any data set --------------------------------------------------------------------------------------------


def generated(path: str | None) -> dict:
    return config.fill({"source": "voices", "voices": {"speakers": 6, "takes": 1}, "frontend": FRONTEND, "folds": path})


def test_generated_groups_take_the_folds_of_a_file(tmp_path):
    folds = {f"speaker{number:02d}": number % 3 for number in range(1, 7)}
    block = generated(table(tmp_path / "folds.csv", folds))
    assert fold_count(block) == 3
    found = [folder_row(group) for group in folds]
    placed = ingest.with_folds(found, block, seed=0)
    assert {one.group: one.fold for one in placed} == folds
    with pytest.raises(EarmarkError, match=r"lacks the group 'speaker07', and generated recordings cannot be left out"):
        ingest.with_folds([*found, folder_row("speaker07")], block, seed=0)


def folder_row(group: str) -> ingest.Recording:
    return ingest.Recording(f"zero/zero_{group}_0.wav", "zero", group)


def test_the_file_s_content_counts_and_not_its_place(root, tmp_path):
    one, same = (table(tmp_path / name, FOLDS) for name in ("a.csv", "b.csv"))
    other = table(tmp_path / "c.csv", FOLDS | {"08": 2})
    for make in (lambda folds: settings(root, folds=folds), generated):
        assert fingerprint(make(one)) == fingerprint(make(same)) != fingerprint(make(other))
        compared = [
            stages.compared_config({"seed": 0, "torch_threads": 1, "datasets": {"x": make(folds)}}, "x", "ingest")
            for folds in (one, same, 4)
        ]
        assert compared[0] == compared[1] != compared[2]
    before = fingerprint(settings(root, "audiomnist-sex"))
    tell(root, SPEAKERS | {"08": "female"})
    assert fingerprint(settings(root, "audiomnist-sex")) != before


# --- the example ------------------------------------------------------------------------------------------------------


def test_the_example_holds_the_authors_folds(monkeypatch, root):
    """Digit: 60 speakers in 5 folds of 12. Sex: 24 in 4 of 6. Known to be female, of these: the first three of each."""
    monkeypatch.chdir(ROOT)
    example = yaml.safe_load((ROOT / "examples/audiomnist.yaml").read_text())
    blocks = yaml.safe_load((ROOT / "config.yaml").read_text())
    full = config.validate({"run": example["run"], "datasets": blocks["datasets"] | example["datasets"]})
    digit, sex = (folder.given_folds(full["datasets"][name]) for name in example["run"])
    assert sorted(digit) == [f"{number:02d}" for number in range(1, 61)]
    assert Counter(digit.values()) == dict.fromkeys(range(5), 12)
    assert Counter(sex.values()) == dict.fromkeys(range(4), 6)
    assert set(sex) < set(digit)
    women = {12, 26, 28, 36, 43, 47, 52, 56, 57, 58, 59, 60}
    assert Counter(fold for speaker, fold in sex.items() if int(speaker) in women) == dict.fromkeys(range(4), 3)
    for name in example["run"]:
        full["datasets"][name]["root"] = str(root)
    assert planned_folds(full, "audiomnist-digit") == 5  # of speakers 1 to 8 one at least lies in each
    with pytest.raises(EarmarkError, match=r"leaves fold 1 without a usable recording of the class 'female'"):
        fold_count(full["datasets"]["audiomnist-sex"])
