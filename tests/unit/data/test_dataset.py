"""What the later stages read must be what generation and ingestion meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from earmark.data import dataset
from earmark.data.dataset import DataSet, open_dataset, split_folds
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import config
from earmark.sound.logmel import LogMel
from earmark.sources.synthetic import OBJECTS
from earmark.stages import generate, ingest
from earmark.store.layout import Layout

CLIP = 15120


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """40 labelled clips and 4 + 4 with all objects, per class."""
    results = tmp_path_factory.mktemp("synthetic")
    block = {"synthetic": {"clips_per_class": 40, "all_objects_clips": 4}}
    settings = {**config.fill(block), "seed": 1, "torch_threads": 1}
    generate.run(Job("generate", results, "toy", settings))
    ingest.run(Job("ingest", results, "toy", settings))
    return open_dataset(Layout(results, "toy"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Two classes of four recordings each; numbered samples say where a crop comes from."""
    root = tmp_path_factory.mktemp("recorded")
    for cls in ("na", "Class 2"):
        (root / cls).mkdir()
        for number in range(4):
            ramp = np.arange(4000, dtype=np.int16) + 4000 * number + (17000 if cls == "na" else 0)
            soundfile.write(root / cls / f"{number}.wav", ramp if number else ramp[:900], 16000)
    (root / "na" / "empty.wav").touch()
    block = {"source": "folder", "root": str(root), "frontend": {"n_frames": 5}, "clips_per_recording": 3}
    settings = {**config.fill(block), "seed": 1, "torch_threads": 1}
    results = tmp_path_factory.mktemp("results")
    ingest.run(Job("ingest", results, "mine", settings))
    return open_dataset(Layout(results, "mine"))


def test_a_synthetic_clip_is_the_beginning_of_its_recording(synthetic):
    assert (synthetic.clip_samples, synthetic.n_folds) == (CLIP, 10)
    assert len(synthetic.clips) == len(synthetic.manifest) == 2 * (40 + 8)
    rows = [3, 90, 41]
    waveforms = synthetic.waveforms(rows)
    assert waveforms.shape == (3, CLIP)
    assert waveforms.dtype == torch.float32
    for waveform, path in zip(waveforms, synthetic.clips["path"][rows], strict=True):
        original, rate = soundfile.read(synthetic.layout.generated / path, dtype="float32")
        assert rate == 16000
        np.testing.assert_array_equal(waveform.numpy(), original[:CLIP])


def test_stems_belong_to_their_clips(synthetic):
    rows = list(range(0, 96, 7))
    stems = synthetic.stems(rows)
    assert stems.shape == (len(rows), 4, CLIP)
    for info in synthetic.classes:
        assert synthetic.object_names(info) == [sound.name for sound in OBJECTS[info.name]]
    truth = json.loads(synthetic.layout.truth.read_text())["clips"]
    rest = synthetic.waveforms(rows) - stems.sum(dim=1)
    for row, clip_stems, clip_rest in zip(rows, stems, rest, strict=True):
        path = synthetic.clips["path"][row]
        clip = next(one for one in truth if one["path"] == path)
        assert [one["object"] for one in clip["objects"]] == [o + 1 for o in range(4) if clip_stems[o].any()]
        distractors = sum(
            (one["alpha"] + 2) / 3 if "modulation_hz" in one else one["alpha"] for one in clip["distractors"]
        )
        loudest = clip["gain"] * (distractors + 5 * clip["noise"])
        assert clip_rest.abs().max() < loudest + 1e-3


def test_held_out_sets_are_in_no_split(synthetic):
    main = synthetic.split("main")
    assert [len(part) for part in (main.train, main.validation, main.test)] == [56, 8, 16]
    everything = np.concatenate([main.train, main.validation, main.test])
    assert len(set(everything)) == 80
    for which, folds in (("all-validation", {2}), ("all-test", {0, 1})):
        rows = synthetic.held_out(which)
        assert len(rows) == 8
        assert not set(rows) & set(everything)
        assert set(synthetic.clips["fold"][rows]) == folds
        assert (synthetic.stems(rows).abs().amax(dim=2) > 0).all()
        assert set(synthetic.manifest["status"][synthetic.clips["recording"][rows]]) == {"held-out"}
        assert set(synthetic.manifest["reason"][synthetic.clips["recording"][rows]]) == {which}
    with pytest.raises(ValueError, match="no held-out set"):
        synthetic.held_out("all")


def test_targets_follow_the_names_in_order(synthetic, recorded):
    assert [(one.slug, one.name, one.index) for one in synthetic.classes] == [
        ("class1", "class1", 0),
        ("class2", "class2", 1),
    ]
    assert [(one.slug, one.name) for one in recorded.classes] == [("class-2", "Class 2"), ("na", "na")]
    targets = synthetic.targets(np.arange(96))
    assert targets.dtype == torch.int64
    assert [synthetic.classes[target].slug for target in targets] == list(synthetic.clips["class"])


def test_splits_follow_the_folds(synthetic):
    fold = synthetic.clips["fold"].to_numpy()
    for number in range(10):
        split = synthetic.split(f"cv{number}")
        assert set(fold[split.test]) == {number}
        assert set(fold[split.validation]) == {(number + 1) % 10}
        assert set(fold[split.train]) == set(range(10)) - {number, (number + 1) % 10}
        assert len(split.train) + len(split.validation) + len(split.test) == 80
        assert split.train.dtype == np.int64
    assert split_folds("main", 9) == ([1], [0])
    assert split_folds("cv2", 3) == ([0], [2])


@pytest.mark.parametrize("name", ["cv3", "cv10", "test", "cv", ""])
def test_an_unknown_split_is_named(recorded, name):
    with pytest.raises(EarmarkError, match=r"^There is no split '.*': this data set has main and cv0 to cv2\.$"):
        DataSet.split(_with_folds(recorded, 3), name)


def _with_folds(dataset: DataSet, folds: int) -> DataSet:
    """The data set with its folds counted modulo `folds`."""
    clips = dataset.clips.assign(fold=dataset.clips["fold"] % folds)
    return DataSet(dataset.layout, dataset.classes, dataset.manifest, clips, dataset.clip_samples)


def test_crops_come_from_where_they_should(recorded):
    training = recorded.training_recordings("main")
    split = recorded.split("main")
    assert recorded.n_folds == 4
    assert len(training) == 4  # two folds of two recordings
    assert set(training["recording"]) == set(recorded.clips["recording"][split.train])
    assert recorded.clip_samples == 960
    for one in training.itertuples():
        room = one.recording_samples - 960
        crops = recorded.crop([one.recording] * 2, [0, room])
        path = Path(recorded.manifest["path"][one.recording])
        first = 4000 * int(path.stem) + (17000 if path.parts[0] == "na" else 0)
        assert crops.shape == (2, 960)
        assert crops[0, 0] * 32768 == first
        assert crops[1, 0] * 32768 == first + room
        assert recorded.classes[one.class_index].name == path.parts[0]
        with pytest.raises(IndexError):
            recorded.crop([one.recording], [room + 1])
        with pytest.raises(IndexError):
            recorded.crop([one.recording], [-1])


def test_tables_are_read_as_they_were_meant(recorded):
    """A class may be called ``na``, and an unreadable recording has neither fold nor duration."""
    excluded = recorded.manifest[recorded.manifest["status"] == "excluded"]
    assert list(excluded["path"]) == ["na/empty.wav"]
    assert excluded["fold"].isna().all()
    assert excluded["seconds"].isna().all()
    assert (recorded.manifest["class"] == "na").sum() == 5
    padded = recorded.clips[recorded.clips["samples"] < 960]
    assert len(padded) == 2
    assert (padded["samples"] == 900).all()
    assert len(recorded.clips) == 2 * (1 + 3 * 3)
    assert recorded.stems([0]) is None
    assert len(recorded.held_out("all-test")) == 0


def test_logmels_are_those_of_the_waveforms_in_any_order(synthetic):
    frontend = LogMel.from_config({})
    rows = torch.tensor([70, 2, 2, 33])
    logmel = synthetic.inputs(rows)
    assert logmel.shape == (4, 1, 64, 64)
    torch.testing.assert_close(logmel, frontend(synthetic.waveforms(rows)), rtol=1e-4, atol=1e-4)
    logmel += 1  # a copy: the file stays as it is
    torch.testing.assert_close(synthetic.inputs(rows), logmel - 1)


def test_a_data_set_that_was_not_ingested_is_named(tmp_path):
    with pytest.raises(
        EarmarkError, match=r"^The data set 'none' has not been ingested: '.*manifest.csv' is missing\.$"
    ):
        open_dataset(Layout(tmp_path, "none"))
    with pytest.raises(EarmarkError, match="data set 'none' has not been ingested"):
        dataset.of(Job("train", tmp_path, "none", {}))
