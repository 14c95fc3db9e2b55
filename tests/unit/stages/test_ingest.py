"""Ingestion of folders as users have them: odd rates, damaged files, few speakers, wrong paths."""

from __future__ import annotations

import csv
import errno
import logging
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from sklearn.model_selection import StratifiedGroupKFold

from earmark.data import folds
from earmark.data.dataset import open_dataset
from earmark.data.decode import decode
from earmark.data.recordings import clip_starts
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import config, folder
from earmark.plan.datasets import class_slugs, fold_count
from earmark.sound.kinds import from_config
from earmark.sound.logmel import LogMel
from earmark.stages import ingest
from earmark.store import artifacts
from earmark.store.layout import Layout

RATE = 16000
FRONTEND = {"n_fft": 480, "hop": 240, "n_mels": 32, "n_frames": 16}
CLIP = 15 * 240


def settings(root: Path | None, **block) -> dict:
    block = {"source": "folder", "root": None if root is None else str(root), "frontend": FRONTEND, **block}
    return {**config.fill(block), "seed": 5, "torch_threads": 2}


def tone(hz: float, seconds: float, rate: int = RATE, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **how)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fill(root: Path, classes: tuple[str, ...], count: int, seconds: float = 0.3, start: int = 0) -> None:
    """Write `count` different recordings per class."""
    for place, cls in enumerate(classes):
        for number in range(start, start + count):
            write(root / cls / f"r{number:02d}.wav", tone(200 + 50 * place + number, seconds))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Layout, list[str]]:
    """A folder with everything that users have in theirs, ingested; and what the log warned of."""
    root = tmp_path_factory.mktemp("my recordings")
    fill(root, ("Bird Song", "nan"), 12)
    birds = root / "Bird Song"
    stereo = np.stack([tone(440, 1.0, 44100, 0.8), tone(440, 1.0, 44100, 0.2)], axis=1)
    write(birds / "deep" / "er" / "stereo.WAV", stereo, 44100)
    write(birds / "eight.flac", tone(440, 1.0, 8000), 8000)
    write(birds / "vorbis.ogg", tone(440, 1.0, 22050), 22050)
    write(birds / "sun.au", tone(440, 1.0))
    write(birds / "layer3.mp3", tone(440, 1.0, 44100), 44100)
    write(birds / "apple.aiff", tone(440, 1.0, 48000), 48000)
    write(birds / "short.wav", tone(440, 0.1))
    write(birds / "long.wav", tone(440, 3.0))
    write(birds / "loud.wav", tone(440, 1.0, level=3.0), subtype="FLOAT")
    square = np.sign(tone(441, 1.0, 44100))
    write(birds / "square.wav", square, 44100)
    (birds / "corrupt.wav").write_bytes(b"RIFF this is no sound")
    (birds / "zero.wav").touch()
    write(birds / "header only.wav", np.empty(0))
    write(birds / "silent.wav", np.zeros(RATE))
    broken = tone(440, 1.0)
    broken[77] = np.nan
    write(birds / "not a number.wav", broken, subtype="FLOAT")
    shutil.copy(birds / "r03.wav", root / "nan" / "copy.wav")
    (birds / ".hidden.wav").write_bytes(b"not looked at")
    (birds / "notes.txt").write_text("not audio")
    (root / ".git").mkdir()
    (root / "readme.md").touch()
    (birds / "around").symlink_to(birds)
    results = tmp_path_factory.mktemp("results")
    logger, said = logging.getLogger("earmark.data.recordings"), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    ingest.run(Job("ingest", results, "mine", settings(root, clips_per_recording=4)))
    logger.removeHandler(handler)
    return root, Layout(results, "mine"), said


def manifest_of(layout: Layout) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in rows(layout.manifest)}


def stored(layout: Layout, path: str) -> np.ndarray:
    row = next(row for row in rows(layout.clip_index) if row["path"] == path)
    first = int(row["recording_offset"])
    return np.load(layout.clips)[first : first + int(row["recording_samples"])].astype(float) / 32768


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["deep/er/stereo.WAV", "eight.flac", "vorbis.ogg", "sun.au", "layer3.mp3", "apple.aiff"]
)
def test_a_tone_keeps_its_pitch_and_level_in_every_format(mixed, name):
    """The stereo file's channels are at .8 and .2: mono is their mean, .5 like everywhere."""
    samples = stored(mixed[1], f"Bird Song/{name}")
    assert len(samples) == pytest.approx(RATE, abs=2500 if name.endswith("mp3") else 2)  # MP3 pads to whole frames
    middle = samples[4000:12000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(8000)))
    assert np.argmax(spectrum) * 2 == 440
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.02 if name.endswith(("ogg", "mp3")) else 0.002)


def test_sixteen_bit_audio_at_the_right_rate_is_kept_bit_by_bit(mixed):
    root, layout, _ = mixed
    original, _ = soundfile.read(root / "Bird Song" / "long.wav", dtype="int16")
    row = next(row for row in rows(layout.clip_index) if row["path"] == "Bird Song/long.wav")
    first = int(row["recording_offset"])
    np.testing.assert_array_equal(np.load(layout.clips)[first : first + len(original)], original)


@pytest.mark.parametrize("name", ["loud.wav", "square.wav"])
def test_nothing_is_clipped(mixed, name):
    """Resampling a square wave overshoots, a float file may be louder than 1: both are scaled down as a whole."""
    samples = stored(mixed[1], f"Bird Song/{name}")
    assert np.abs(samples).max() == pytest.approx(1, abs=1e-4)
    assert (np.abs(samples) > 0.9999).sum() < (300 if name == "loud.wav" else 50)
    if name == "loud.wav":
        np.testing.assert_allclose(samples, tone(440, 1.0, level=32767 / 32768), atol=2e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corrupt.wav", "cannot be decoded: "),
        ("zero.wav", "cannot be decoded: "),
        ("header only.wav", "empty"),
        ("silent.wav", "silent"),
        ("not a number.wav", "holds values that are not finite"),
    ],
)
def test_unusable_files_are_excluded_with_the_reason(mixed, name, reason):
    row = manifest_of(mixed[1])[f"Bird Song/{name}"]
    assert row["status"] == "excluded"
    assert row["reason"].startswith(reason)
    assert row["fold"] == ""
    assert all(clip["path"] != row["path"] for clip in rows(mixed[1].clip_index))


def test_exclusions_are_counted_aloud(mixed):
    assert any(line.startswith("5 of 40 recordings excluded: Bird Song/corrupt.wav (cannot be") for line in mixed[2])
    assert any(line.startswith("1 of 40 recordings are shorter than a clip") for line in mixed[2])
    assert any(line.startswith("1 of 40 recordings are copies of another") for line in mixed[2])


def test_recordings_that_cannot_be_used_are_listed(tmp_path, caplog):
    """Endings of formats that libsndfile does not know, in either case, and links to what was not fetched."""
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    foreign = ("x.m4a", "x.WMA", "x.mp4", "x.aac", "deep/x.webm")
    for name in foreign:
        (root / "a" / name).parent.mkdir(exist_ok=True)
        (root / "a" / name).write_bytes(bytes(2000))
    (root / "b" / "gone.flac").symlink_to("../.git/annex/objects/gone")
    (root / "b" / "around.wav").symlink_to("around.wav")
    (root / "b" / "gone.txt").symlink_to("gone")
    (root / "b" / ".gone.wav").symlink_to("gone")
    (root / "b" / "folder.wav").mkdir()
    for number, ending in enumerate(("caf", "w64", "aifc", "wave", "snd", "rf64", "opus", "oga", "mp2")):
        how = {
            "format": {"opus": "OGG", "oga": "OGG", "snd": "AU", "wave": "WAV", "aifc": "AIFF", "mp2": "MP3"}.get(
                ending
            )
        }
        write(root / "b" / f"n.{ending}", tone(300 + 10 * number, 0.3), **(how if how["format"] else {}))
    with caplog.at_level(logging.WARNING):
        ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root, group=r"[rn]\d*\.\w+|gone|around")))
    found = manifest_of(Layout(tmp_path / "results", "mine"))
    assert found["a/x.WMA"]["reason"] == "cannot be decoded: WMA is not supported"
    unusable = {f"a/{name}" for name in foreign} | {"b/gone.flac", "b/around.wav"}
    assert {path for path, row in found.items() if row["status"] == "excluded"} == unusable
    assert len(found) == 6 + 9 + len(unusable)
    assert found["b/gone.flac"]["reason"] == "cannot be read: it is a link to what is not there"
    assert found["b/around.wav"]["reason"].startswith("cannot be read: ")
    assert "7 of 22 recordings excluded: " in caplog.text


def test_recordings_beside_the_classes_are_listed(tmp_path, caplog):
    """Nobody's pattern for groups fits them, and no fold counts them."""
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    write(root / "take.wav", tone(700, 0.3))
    (root / "tape.m4a").write_bytes(bytes(2000))
    (root / "gone.wav").symlink_to("nowhere")
    (root / "notes.txt").touch()
    with caplog.at_level(logging.WARNING):
        ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root, group=r"r\d+")))
    found = manifest_of(Layout(tmp_path / "results", "mine"))
    beside = {path: row for path, row in found.items() if "/" not in path}
    assert {path: (row["status"], row["class"]) for path, row in beside.items()} == dict.fromkeys(
        ("take.wav", "tape.m4a", "gone.wav"), ("excluded", "")
    )
    assert beside["take.wav"]["reason"] == "extra: it lies beside the sub-folders of the classes, in none of them"
    assert beside["tape.m4a"]["reason"] == "cannot be decoded: M4A is not supported"
    assert [row["slug"] for row in rows(Layout(tmp_path / "results", "mine").classes)] == ["a", "b"]
    assert "3 of 9 recordings excluded: " in caplog.text
    assert fold_count(settings(root, group=r"r\d+")) == 3


def test_recordings_that_a_table_of_groups_lacks_are_counted_aloud(tmp_path, caplog):
    """Those of which no group is asked do not count."""
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    write(root / "beside.wav", tone(700, 0.3))
    (root / "a" / "tape.m4a").write_bytes(bytes(2000))
    (tmp_path / "groups.csv").write_text(
        "path,group\n" + "".join(f"a/r0{number}.wav,g{number}\n" for number in range(3))
    )
    with caplog.at_level(logging.WARNING):
        ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root, groups=str(tmp_path / "groups.csv"))))
    assert "3 of 6 recordings are not in " in caplog.text


def test_damaged_recordings_are_used_and_counted_aloud(tmp_path, caplog):
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    for name, seconds in (("cut.wav", 1.0), ("cut and short.wav", 0.2)):
        write(root / "a" / name, tone(300 + 100 * seconds, seconds))
        content = (root / "a" / name).read_bytes()
        (root / "a" / name).write_bytes(content[: 44 + (len(content) - 44) // 2])
    with caplog.at_level(logging.WARNING):
        ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root)))
    found = manifest_of(Layout(tmp_path / "results", "mine"))
    assert found["a/cut.wav"]["status"] == "ok"
    assert "its header says 32036 bytes, 16036 are there" in found["a/cut.wav"]["reason"]
    assert found["a/cut and short.wav"]["status"] == "padded"
    assert found["a/cut and short.wav"]["reason"].endswith("3236 are there; 0.125 s of silence at the end")
    assert "2 of 8 recordings are damaged, and used as far as they go: a/cut and short.wav (" in caplog.text


def test_a_vanished_file_is_excluded(tmp_path):
    assert decode(tmp_path / "gone.wav", RATE).reason == "cannot be read: No such file or directory"


def test_a_short_recording_is_padded_with_silence_and_marked(mixed):
    row = manifest_of(mixed[1])["Bird Song/short.wav"]
    assert (row["status"], row["reason"]) == ("padded", "0.125 s of silence at the end")
    assert float(row["seconds"]) == 0.1
    samples = stored(mixed[1], "Bird Song/short.wav")
    assert len(samples) == CLIP
    assert not samples[1600:].any()
    clip = next(row for row in rows(mixed[1].clip_index) if row["path"] == "Bird Song/short.wav")
    assert int(clip["samples"]) == 1600


def test_a_long_recording_gives_evenly_spaced_clips(mixed):
    clips = [row for row in rows(mixed[1].clip_index) if row["path"] == "Bird Song/long.wav"]
    starts = [int(row["offset"]) - int(row["recording_offset"]) for row in clips]
    assert starts == [0, 14800, 29600, 44400]
    assert 44400 + CLIP == 48000 == int(clips[0]["recording_samples"])


@pytest.mark.parametrize(
    ("samples", "wanted", "starts"),
    [(100, 10, [0]), (103, 10, [0, 1, 2, 3]), (200, 1, [50]), (300, 3, [0, 100, 200]), (100, 1, [0])],
)
def test_clips_never_coincide(samples, wanted, starts):
    assert clip_starts(samples, 100, wanted) == starts


def test_manifest_tells_what_the_files_are(mixed):
    root, layout, _ = mixed
    found = manifest_of(layout)
    assert list(found) == [path for path, _ in folder.listing(root)]
    assert len(found) == 40  # nothing hidden, no text, the link back to its own folder not followed
    stereo = found["Bird Song/deep/er/stereo.WAV"]
    assert (stereo["class"], stereo["sample_rate"], float(stereo["seconds"])) == ("bird-song", "44100", 1.0)
    assert len({row["sha256"] for row in found.values()}) == 39  # one recording is there twice
    assert [(row["slug"], row["name"], row["recordings"]) for row in rows(layout.classes)] == [
        ("bird-song", "Bird Song", "22"),
        ("nan", "nan", "13"),
    ]


def test_copies_share_a_group_and_thereby_a_fold(mixed):
    found = manifest_of(mixed[1])
    copy, original = found["nan/copy.wav"], found["Bird Song/r03.wav"]
    assert copy["group"] == original["group"] == "Bird Song/r03.wav"
    assert copy["fold"] == original["fold"]
    assert copy["reason"] == "same sound as Bird Song/r03.wav"


def test_logmels_are_the_front_ends_of_the_stored_clips(mixed):
    layout = mixed[1]
    frontend = LogMel.from_config({"frontend": FRONTEND})
    samples = np.load(layout.clips)
    clips = rows(layout.clip_index)
    with safe_open(layout.logmel, framework="pt") as file:
        logmel = file.get_tensor("logmel")
    assert logmel.shape == (len(clips), 1, 32, 16)
    assert [int(row["clip"]) for row in clips] == list(range(len(clips)))
    for number in (0, 17, len(clips) - 1):
        first = int(clips[number]["offset"])
        clip = torch.from_numpy(samples[first : first + CLIP].astype(np.float32) / 32768)[None]
        torch.testing.assert_close(logmel[number : number + 1], frontend(clip), rtol=1e-4, atol=1e-4)


OTHERS = {
    "spectrogram": {"kind": "stft", "n_fft": 256, "hop": 200, "n_frames": 9, "layout": "time-frequency"},
    "waveform": {"kind": "waveform", "n_samples": 1600},
}
"""Front ends of other kinds, of clips as long."""


@pytest.mark.parametrize("block", OTHERS.values(), ids=OTHERS)
def test_inputs_of_other_kinds_are_stored_or_made_when_they_are_read(tmp_path, block):
    fill(tmp_path / "in", ("a", "b"), 3)
    config = settings(tmp_path / "in", frontend=block)
    ingest.run(Job("ingest", tmp_path, "mine", config))
    source = open_dataset(Layout(tmp_path, "mine"))
    frontend = from_config({"frontend": block})
    assert source.frontend == frontend
    assert source.clip_samples == 1600
    stored, _ = artifacts.read_tensors(source.layout.logmel)
    assert set(stored) == (set() if block["kind"] == "waveform" else {"logmel"})
    clips = [4, 0, 2]
    assert source.inputs(clips).shape == (3, *frontend.shape)
    torch.testing.assert_close(source.inputs(clips), frontend(source.waveforms(clips)))


def test_threads_and_repetition_change_nothing(mixed, tmp_path):
    root, layout, _ = mixed
    ingest.run(Job("ingest", tmp_path, "mine", {**settings(root, clips_per_recording=4), "torch_threads": 1}))
    for name in ("manifest", "classes", "clip_index", "clips"):
        assert getattr(Layout(tmp_path, "mine"), name).read_bytes() == getattr(layout, name).read_bytes()
    assert sorted(path.name for path in layout.root.iterdir()) == [
        *("classes.csv", "classes.csv.json", "clips.csv", "clips.csv.json", "clips.npy"),
        *("logmel.safetensors", "manifest.csv", "manifest.csv.json"),
    ]


# --- folds ------------------------------------------------------------------------------------------------------------


def test_single_recordings_spread_evenly():
    classes = ["a"] * 1000 + ["b"] * 95
    assigned = folds.assign(classes, [str(number) for number in range(1095)], 10, seed=0)
    assert set(np.bincount(assigned[:1000])) == {100}
    assert set(np.bincount(assigned[1000:])) == {9, 10}
    np.testing.assert_array_equal(assigned, folds.assign(classes, [str(number) for number in range(1095)], 10, seed=0))
    assert not np.array_equal(assigned, folds.assign(classes, [str(number) for number in range(1095)], 10, seed=1))


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_cross_folds_and_every_fold_holds_every_class(seed):
    rng = np.random.default_rng(seed)
    classes = rng.choice(["a", "b", "c"], 400)
    groups = np.char.add(np.where(classes == "a", "a", "x"), rng.integers(12, size=400).astype(str))
    assigned = folds.assign(list(classes), list(groups), 6, seed)
    for group in set(groups):
        assert len(set(assigned[groups == group])) == 1
    for cls in "abc":
        assert set(assigned[classes == cls]) == set(range(6))


def test_one_giant_group_does_not_swallow_the_folds():
    classes = ["a"] * 102 + ["b"] * 30
    groups = ["giant"] * 100 + ["s1", "s2"] + [f"b{number}" for number in range(30)]
    assigned = folds.assign(classes, groups, 3, seed=0)
    assert set(assigned[100:102]) | {assigned[0]} == {0, 1, 2}


@pytest.mark.parametrize(("classes", "speakers"), [(2, 12), (5, 12), (10, 20)])
def test_groups_of_several_classes_are_divided_into_as_many_folds_as_can_be(classes, speakers, caplog):
    """Speakers who are in most classes: few shuffles put every class into as many folds as the poorest has groups."""
    for trial in range(5):
        drawn = np.random.default_rng(trial).random((speakers, classes)) < 0.7
        members = [(f"c{cls}", f"s{speaker}") for speaker, cls in np.argwhere(drawn)]
        names, groups = map(np.array, zip(*members, strict=True))
        most = folder.fold_count(members)
        caplog.clear()
        assigned = folds.assign(list(names), list(groups), most, seed=0)
        count = assigned.max() + 1
        assert count >= (most if classes == 2 else most - 1)
        for group in set(groups):
            assert len(set(assigned[groups == group])) == 1
        for cls in set(names):
            assert set(assigned[names == cls]) == set(range(count))
        assert [f"{count} folds, not {most}: " in line for line in caplog.messages] == [True] * int(count < most)
        np.testing.assert_array_equal(assigned, folds.assign(list(names), list(groups), most, seed=0))


def test_two_classes_can_always_be_divided_into_as_many_folds_as_the_poorer_has_groups():
    """Four speakers in both, four in each alone: a fold per speaker of both, and one per pair of the others."""
    for both, alone in ((4, 4), (1, 8), (2, 6), (8, 2)):
        members = [(cls, f"both{number}") for cls in "ab" for number in range(both)]
        members += [(cls, f"{cls}{number}") for cls in "ab" for number in range(alone)]
        assigned = folds.assign(*map(list, zip(*members, strict=True)), min(10, both + alone), seed=3)
        assert assigned.max() + 1 == min(10, both + alone)


def test_a_shuffle_that_serves_is_taken_as_it_is():
    """The first of the shuffles that puts every class into every fold, by the splitter that makes them."""
    rng = np.random.default_rng(1)
    classes, groups = rng.choice(["a", "b"], 300), rng.integers(20, size=300).astype(str)
    shuffle = int(np.random.SeedSequence(9).generate_state(folds.TRIES)[0])
    splitter = StratifiedGroupKFold(10, shuffle=True, random_state=shuffle)
    wanted = np.empty(300, int)
    for fold, (_, held) in enumerate(splitter.split(classes, classes, groups)):
        wanted[held] = fold
    np.testing.assert_array_equal(folds.assign(list(classes), list(groups), 10, seed=9), wanted)


def test_groups_that_cannot_be_divided_are_an_error():
    """Groups 1, 2, 3 must part for class a and 1, 2, 4 for b; then 3 and 4 stay together, but c needs them apart."""
    members = ["a1", "b1", "c1", "a2", "b2", "a3", "c3", "b4", "c4"]
    with pytest.raises(EarmarkError, match=r"^The 4 groups cannot be divided into 3 folds that hold every class: "):
        folds.assign([member[0] for member in members], [member[1] for member in members], 3, seed=0)


def test_a_number_of_folds_that_is_asked_for(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a", "b"), 6)
    assert "`folds` asks for 7 folds, but the class 'a' has 6 groups" in refused(root, tmp_path, folds=7)
    ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root, folds=4)))
    assert {row["fold"] for row in rows(Layout(tmp_path / "results", "mine").manifest)} == set("0123")


def test_a_number_of_folds_that_groups_do_not_allow_is_not_made_smaller():
    """Five folds part 1 to 5 for class a; for b, 6 and 7 must join 4 and 5, which c needs apart from them."""
    members = (
        [f"a{group}" for group in "12345"] + [f"b{group}" for group in "12367"] + [f"c{group}" for group in "45671"]
    )
    names = [member[0] for member in members], [member[1] for member in members]
    assert folds.assign(*names, 5, seed=0).max() + 1 == 4
    with pytest.raises(
        EarmarkError, match=r"into 5 folds that hold every class: .*, and fewer `folds` may be possible"
    ):
        folds.assign(*names, 5, seed=0, fewest=5)


def test_speakers_stay_whole_and_are_the_same_in_every_class(tmp_path):
    root = tmp_path / "digits"
    for place, digit in enumerate(("zero", "one")):
        for number, speaker in enumerate(("ann", "bob", "cid", "dan")):
            for take in range(3):
                samples = tone(200 + 40 * place + 10 * number + take, 0.3)
                write(root / digit / f"{place}_{speaker}_{take}.wav", samples)
    ingest.run(Job("ingest", tmp_path / "results", "digits", settings(root, group="_([a-z]+)_")))
    found = rows(Layout(tmp_path / "results", "digits").manifest)
    fold_of = defaultdict(set)
    for row in found:
        fold_of[row["group"]].add(row["fold"])
    assert set(fold_of) == {"ann", "bob", "cid", "dan"}
    assert sorted(fold_of.values(), key=min) == [{"0"}, {"1"}, {"2"}, {"3"}]


def test_a_copy_joins_two_groups_that_were_named(tmp_path):
    root = tmp_path / "digits"
    for place, digit in enumerate(("zero", "one")):
        for number, speaker in enumerate(("ann", "bob", "cid", "dan")):
            write(root / digit / f"{place}_{speaker}_0.wav", tone(200 + 40 * place + 10 * number, 0.3))
    shutil.copy(root / "one" / "1_dan_0.wav", root / "zero" / "0_bob_1.wav")
    ingest.run(Job("ingest", tmp_path / "results", "digits", settings(root, group="_([a-z]+)_")))
    found = manifest_of(Layout(tmp_path / "results", "digits"))
    assert {row["group"] for row in found.values()} == {"ann", "bob", "cid"}
    assert found["one/1_dan_0.wav"]["group"] == "bob", "whatever else dan said goes with bob"
    assert {row["fold"] for row in found.values() if row["group"] == "bob"} == {found["zero/0_bob_1.wav"]["fold"]}


# --- mistakes ---------------------------------------------------------------------------------------------------------


def refused(root: Path | None, tmp_path: Path, **block) -> str:
    """Ingest, expect the one sentence, and see that nothing was written."""
    results = tmp_path / "results"
    with pytest.raises(EarmarkError) as caught:
        ingest.run(Job("ingest", results, "mine", settings(root, **block)))
    assert not results.exists() or not [path for path in results.rglob("*") if path.is_file()]
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_root_that_is_none(tmp_path):
    root = tmp_path / "root"
    assert "set the data set's `root`" in refused(None, tmp_path)
    assert f"'{root}' does not exist" in refused(root, tmp_path)
    root.touch()
    assert f"'{root}' is not a folder" in refused(root, tmp_path)
    root.unlink()
    root.mkdir()
    assert f"'{root}' is empty" in refused(root, tmp_path)
    write(root / "a.wav", tone(440, 0.3))
    assert "has no sub-folders" in refused(root, tmp_path)
    (root / "only").mkdir()
    assert "holds the single class 'only'" in refused(root, tmp_path)
    (root / "other").mkdir()
    assert "The class sub-folder 'only'" in refused(root, tmp_path)


def test_a_class_without_usable_recordings(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a",), 4)
    for number in range(4):
        write(root / "b" / f"{number}.wav", np.zeros(4000))
    assert refused(root, tmp_path).startswith("The class 'b' has no usable recording")


def test_a_class_of_recordings_that_cannot_be_used(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a",), 4)
    (root / "b").mkdir()
    (root / "b" / "x.m4a").touch()
    (root / "b" / "x.wav").symlink_to("gone")
    told = refused(root, tmp_path)
    assert "The class sub-folder 'b'" in told
    assert told.endswith(", but 2 in other formats or links to what is not there.")


@pytest.mark.parametrize("name", ["a", "a/private", "c"])
def test_a_folder_that_must_not_be_read(tmp_path, monkeypatch, name):
    """Root may read everything: the refusal is made."""
    root = tmp_path / "root"
    fill(root, ("a", "b"), 4)
    (root / name).mkdir(exist_ok=True)
    scandir = os.scandir

    def refusing(path):
        if Path(path) == root / name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    told = (
        f"The folder '{root / name}' among the recordings cannot be read: Permission denied; allow it, or move it away."
    )
    assert refused(root, tmp_path) == told


def test_a_root_that_must_not_be_read(tmp_path, monkeypatch):
    def refusing(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", refusing)
    told = f"The folder of recordings '{tmp_path}' cannot be read: Permission denied."
    with pytest.raises(EarmarkError, match=re.escape(told)):
        folder.listing(tmp_path)


@pytest.mark.parametrize("name", folder.NO_CLASSES)
def test_folders_that_nobody_made_are_no_classes(tmp_path, name):
    fill(tmp_path, ("a", "b"), 1)
    write(tmp_path / name / "x.wav", tone(440, 0.1))
    write(tmp_path / "a" / name / "x.wav", tone(440, 0.1))
    assert folder.classes_in(tmp_path) == ["a", "b"]
    assert [path for path, _ in folder.listing(tmp_path)] == ["a/r00.wav", "b/r00.wav"]


def test_a_class_with_too_few_groups(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a",), 4)
    fill(root, ("b",), 2)
    assert "The class 'b' has 2 groups of usable recordings" in refused(root, tmp_path)
    assert "The class 'a' has 1 group of" in refused(root, tmp_path, group="^[ab]/r")


def test_fewer_groups_give_fewer_folds(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root)))
    found = rows(Layout(tmp_path / "results", "mine").manifest)
    assert sorted(row["fold"] for row in found if row["class"] == "a") == ["0", "1", "2"]
    assert folder.fold_count((str(number % 2), str(number)) for number in range(50)) == 10


def test_a_group_pattern_that_does_not_fit(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    write(root / "a" / "stray.wav", tone(100, 0.3))
    assert "for the recording 'a/stray.wav'" in refused(root, tmp_path, group=r"r(\d+)\.")
    assert "is not a regular expression" in refused(root, tmp_path, group="(")
    assert folder.group_of("a/r07.wav", r"r\d+") == "r07"
    assert folder.group_of("a/r07.wav", r"r(\d+)") == "07"
    with pytest.raises(EarmarkError):
        folder.group_of("a/r07.wav", "(x)?r")


def test_a_file_name_that_is_no_text(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    try:
        (root / "a" / "caf\udce9.wav").touch()
    except OSError:
        pytest.skip("this file system allows no such name")
    assert "is not UTF-8: rename it" in refused(root, tmp_path)


def test_a_root_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "sounds", ("a", "b"), 3)
    ingest.run(Job("ingest", tmp_path / "results", "mine", settings(Path("~/sounds"))))
    assert len(rows(Layout(tmp_path / "results", "mine").manifest)) == 6


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("Bird Song", "bird-song"), {"Bird Song": "bird-song-1", "bird-song": "bird-song-2"}),
        (("a", "é"), {"a": "a", "é": "e"}),
        (("all", "none"), {"all": "all-1", "none": "none"}),
        (("джаз", "рок"), {"джаз": "class1", "рок": "class2"}),
    ],
)
def test_every_class_has_a_slug_of_its_own_everywhere(tmp_path, names, wanted):
    root = tmp_path / "root"
    fill(root, names, 3)
    ingest.run(Job("ingest", tmp_path / "results", "mine", settings(root)))
    layout = Layout(tmp_path / "results", "mine")
    assert {row["name"]: row["slug"] for row in rows(layout.classes)} == wanted
    assert class_slugs(settings(root)) == list(wanted.values())
    for table in (layout.manifest, layout.clip_index):
        assert all(row["class"] == wanted[row["path"].split("/")[0]] for row in rows(table))


def test_a_name_is_the_same_in_either_spelling(tmp_path):
    """Some file systems store ``é`` as one character, some as two: files are opened by what they store."""
    root, composed, decomposed = tmp_path / "root", "caf\u00e9", "cafe\u0301"
    fill(root, (decomposed, "tea"), 3)
    (tmp_path / "groups.csv").write_text(f"path,group\n{composed}/r00.wav,A\n{composed}/r01,B\n", encoding="utf-8")
    block = settings(root, groups=str(tmp_path / "groups.csv"), expected={"classes": [composed, "tea"]})
    ingest.run(Job("ingest", tmp_path / "results", "mine", block))
    layout = Layout(tmp_path / "results", "mine")
    assert [(row["slug"], row["name"]) for row in rows(layout.classes)] == [("cafe", composed), ("tea", "tea")]
    found = manifest_of(layout)
    assert [found[f"{decomposed}/r{number:02d}.wav"]["group"] for number in range(3)] == [
        *("A", "B", f"{decomposed}/r02.wav"),
    ]
    assert {row["status"] for row in found.values()} == {"ok"}
    fill(root, (composed,), 3)
    if len(list(root.iterdir())) == 2:
        pytest.skip("this file system knows one spelling only")
    assert "Two class sub-folders are called 'café'" in refused(root, tmp_path / "again")


@pytest.mark.parametrize("character", ["\r", "\n", "\t", "\x85"])
def test_control_characters_in_names_are_one_sentence(tmp_path, character):
    root = tmp_path / "root"
    fill(root, ("kick", "snare"), 3)
    (root / "kick" / f"{character}.txt").touch()  # no recording: nobody's business
    ingest.run(Job("ingest", tmp_path / "fine", "mine", settings(root)))
    (root / "kick" / "r00.wav").rename(root / "kick" / f"take{character}.wav")
    assert f"kick/take{character}.wav".encode("unicode_escape").decode() in refused(root, tmp_path)
    (root / "kick" / f"take{character}.wav").unlink()
    (root / "kick").rename(root / f"kick{character}")
    assert f"the class sub-folder {'kick' + character!r} holds a control character" in refused(root, tmp_path)


def test_a_line_end_in_the_name_of_a_group_is_one_sentence(tmp_path):
    root = tmp_path / "root"
    fill(root, ("a", "b"), 3)
    (tmp_path / "groups.csv").write_bytes(b'path,group\na/r00.wav,"one\rtwo"\n')
    assert "gives 'a/r00.wav' a group with a line end" in refused(root, tmp_path, groups=str(tmp_path / "groups.csv"))


def test_recordings_that_were_not_generated(tmp_path):
    assert "have not been generated" in refused(None, tmp_path, source="synthetic")


def test_the_folder_is_read_without_the_heavy_packages():
    code = (
        "import sys, earmark.plan.folder; print(sorted({'numpy', 'torch', 'pandas', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
