"""Stems that lie in a folder of the user's: read as the recordings are, and refused where they are not theirs."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from earmark.data import decode
from earmark.data.dataset import DataSet, open_dataset
from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.job import Job
from earmark.plan import config, stems
from earmark.plan.datasets import known_classes
from earmark.stages import borrow, gather, ingest
from earmark.store.layout import Layout

RATE = 16000
FRONTEND = {"n_fft": 480, "hop": 240, "n_mels": 32, "n_frames": 16}
LONG, STEREO, LOUD, SHORT = "wren/deep/long.wav", "tit/stereo.flac", "tit/loud.wav", "wren/short.wav"


def tone(hertz: float, seconds: float, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)


def record(folder: Path, path: str, rate: int = RATE, subtype: str = "FLOAT", **objects: np.ndarray) -> None:
    """Write a recording, and what it is the sum of."""
    write(folder / "recordings" / path, sum(objects.values()), rate, subtype)
    for name, samples in objects.items():
        write(folder / "stems" / Path(path).with_suffix("") / f"{name}.wav", samples, rate)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two classes, and their stems: calls over wind, one of the two, or a drop."""
    folder = tmp_path_factory.mktemp("birds")
    for place, cls in enumerate(("tit", "wren")):
        for number in range(3):
            record(folder, f"{cls}/{number}.wav", call=tone(900 + 300 * place + 40 * number, 0.5), wind=tone(200, 0.5))
    record(folder, LONG, call=tone(2000, 1.5), drop=tone(3000, 1.5) * (np.arange(24000) > 20000))
    left_and_right = np.stack([tone(700, 0.6, 44100), tone(1300, 0.6, 44100)], axis=1)
    record(folder, STEREO, 44100, "PCM_16", call=left_and_right, wind=left_and_right[:, ::-1] / 4)
    record(folder, LOUD, call=tone(1000, 0.5, level=3.0), wind=tone(350, 0.5, level=1.0))
    record(folder, SHORT, call=tone(1500, 0.1))
    return folder


def settings(folder: Path, **block) -> dict:
    known = {"source": "folder", "root": str(folder / "recordings"), "frontend": FRONTEND, "clips_per_recording": 3}
    return {**config.fill({**known, **block}), "seed": 1, "torch_threads": 1}


def job_of(stage: str, results: Path, folder: Path, **block) -> Job:
    return Job(stage, results, "birds", settings(folder, **block))


def gathered(results: Path, folder: Path) -> DataSet:
    gather.run(job_of("gather", results, folder, stems=str(folder / "stems")))
    return open_dataset(Layout(results, "birds"))


@pytest.fixture(scope="module")
def ingested(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    ingest.run(job_of("ingest", results, written))
    return results


@pytest.fixture(scope="module")
def birds(written: Path, ingested: Path) -> DataSet:
    return gathered(ingested, written)


@pytest.fixture
def other(written: Path, ingested: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Folders of results and of what was written that a test may spoil."""
    shutil.copytree(written, tmp_path / "birds")
    shutil.copytree(ingested / "birds", tmp_path / "results/birds", ignore=shutil.ignore_patterns("stems.npy"))
    return tmp_path / "results", tmp_path / "birds"


def refuse(other: tuple[Path, Path], sentence: str) -> None:
    results, folder = other
    with pytest.raises(EarmarkError, match=sentence):
        gathered(results, folder)
    assert not Layout(results, "birds").stems.exists()


def of(source: DataSet, path: str) -> np.ndarray:
    return source.clips.index[source.clips["path"] == path].to_numpy(copy=True)


# What is read


def test_memory_does_not_grow_with_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK", 2**14)
    for number, seconds in enumerate((120, 1, 1)):
        for cls in ("tit", "wren"):
            record(tmp_path, f"{cls}/{number}.wav", call=tone(900 + number, seconds), wind=tone(200, seconds))
    ingest.run(job_of("ingest", tmp_path, tmp_path))
    tracemalloc.start()
    gathered(tmp_path, tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6_000_000  # a recording has 8 MB as float32


def test_stems_sum_to_their_clips_wherever_these_are_cut(birds: DataSet) -> None:
    clips = np.arange(len(birds.clips))
    rest = birds.waveforms(clips) - birds.stems(clips).sum(dim=1)
    assert len(of(birds, LONG)) == 3
    assert rest.abs().max() * 32768 <= 1.02  # clips are of 16 bits, and so is a file


def test_objects_are_named_by_the_files_over_the_whole_data_set(birds: DataSet) -> None:
    assert all(birds.object_names(cls) == ["call", "drop", "wind"] for cls in birds.classes)
    sounding = {path: birds.stems(of(birds, path)).abs().amax(dim=2) > 0 for path in (LONG, SHORT, "tit/0.wav")}
    assert sounding[LONG].tolist() == [[True, False, False], [True, False, False], [True, True, False]]
    assert sounding[SHORT].tolist() == [[True, False, False]]
    assert sounding["tit/0.wav"].tolist() == [[True, False, True]] * len(sounding["tit/0.wav"])


def test_stems_are_resampled_mixed_and_scaled_as_their_recording(birds: DataSet) -> None:
    calls = {path: birds.stems(of(birds, path)[:1])[0, 0] for path in (STEREO, LOUD)}
    mono = (tone(700, 0.6) + tone(1300, 0.6))[: birds.clip_samples] / 2
    assert np.abs(calls[STEREO].numpy() - mono)[50:].max() < 2e-3  # but for the ringing of the resampler at the begin
    assert birds.waveforms(of(birds, LOUD)).abs().max() == pytest.approx(32767 / 32768)
    peak = np.abs(tone(1000, 0.5, level=3.0) + tone(350, 0.5, level=1.0)).max()
    assert calls[LOUD].abs().max() == pytest.approx(3.0 / peak, rel=1e-3)


def test_there_is_silence_where_a_recording_is_padded(birds: DataSet) -> None:
    (short,) = birds.stems(of(birds, SHORT))
    assert short[0, :1600].abs().max() > 0.2 and not short[:, 1600:].any()


def test_stems_of_another_rate_fit_the_recording(other: tuple[Path, Path]) -> None:
    results, folder = other
    write(folder / "stems/tit/0/call.wav", tone(900, 0.5, 44100), 44100)
    source = gathered(results, folder)
    rest = source.waveforms(of(source, "tit/0.wav")) - source.stems(of(source, "tit/0.wav")).sum(dim=1)
    assert rest[:, 100:-100].abs().max() < 1e-3  # but at the ends


def test_names_that_are_spelled_in_other_characters_are_the_same(other: tuple[Path, Path]) -> None:
    results, folder = other
    for path in ("stems/tit/0/ca\u0301ll.wav", "stems/tit/1/c\u00e1ll.wav"):
        (folder / path).parent.joinpath("call.wav").rename(folder / path)
    assert gathered(results, folder).object_names(open_dataset(Layout(results, "birds")).classes[0]) == [
        "call",
        "c\u00e1ll",
        "drop",
        "wind",
    ]


def test_folders_of_no_recording_are_told(other: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    results, folder = other
    write(folder / "stems/tit/nobody/call.wav", tone(900, 0.5))
    with caplog.at_level(logging.WARNING, logger="earmark.data.stems"):
        gathered(results, folder)
    assert [record.getMessage() for record in caplog.records] == [
        f"1 folders of stems in {folder / 'stems'} belong to no recording: tit/nobody"
    ]


# What is refused


def test_a_recording_without_stems_is_refused(other: tuple[Path, Path]) -> None:
    shutil.rmtree(other[1] / "stems/wren/deep")
    refuse(other, r"^1 of 10 recordings have no stems, such as 'wren/deep/long.wav': put them into '.*wren/deep/long'")


@pytest.mark.parametrize(("seconds", "how"), [(0.7, "0.200 s longer"), (0.4, "0.100 s shorter")])
def test_a_stem_of_another_length_is_refused(other: tuple[Path, Path], seconds: float, how: str) -> None:
    write(other[1] / "stems/tit/1/wind.wav", tone(200, seconds))
    refuse(other, rf"^'.*tit/1/wind.wav' is {how} than the recording 'tit/1.wav', of 0.500 s: they must begin and end")


@pytest.mark.parametrize("kind", ["no sound", "not finite", "nowhere"])
def test_a_stem_that_cannot_be_read_is_refused(other: tuple[Path, Path], kind: str) -> None:
    path = other[1] / "stems/tit/1/wind.wav"
    path.unlink()
    if kind == "no sound":
        path.write_bytes(b"RIFF this is no sound")
    elif kind == "not finite":
        write(path, np.full(8000, np.nan))
    else:
        path.symlink_to("gone.wav")
    refuse(other, r"^'.*tit/1/wind.wav', of the recording 'tit/1.wav', cannot be used: (cannot be decoded|holds )")


def test_stems_that_do_not_sum_to_the_recording_are_refused(other: tuple[Path, Path]) -> None:
    write(other[1] / "stems/tit/1/wind.wav", 0.9 * tone(200, 0.5))  # -20 dB of half of the energy
    refuse(other, r"^The stems of 'tit/1.wav' do not sum to it: without them -23\.0 dB of it remain, -30 dB at most")


def test_one_object_in_two_files_is_refused(other: tuple[Path, Path]) -> None:
    soundfile.write(other[1] / "stems/tit/1/wind.flac", tone(200, 0.5), RATE)
    refuse(other, r"^The folder of stems '.*' has two files of one object: 'tit/1/wind.wav'")


# The plan


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("gone", r"^The folder of stems '.*gone' does not exist"),
        ("stems/tit/0/wind.wav", r"is not a folder; stems lie in a folder with one sub-folder per recording"),
        ("recordings", r"lies in that of the recordings, where it would be one of them"),
    ],
)
def test_a_folder_that_cannot_be_one_of_stems_is_told_before_anything_runs(written: Path, place: str, sentence) -> None:
    block = settings(written, stems=str(written / place))
    with pytest.raises(EarmarkError, match=sentence):
        stems.check(block)
    assert known_classes({"datasets": {"birds": block}}) == {}


def test_contents_and_names_of_stems_count_and_not_where_they_lie(written: Path, tmp_path: Path) -> None:
    def found(folder: Path) -> str:
        return stems.fingerprint(settings(written, stems=str(folder)), stems.STEMS)

    shutil.copytree(written / "stems", tmp_path / "a")
    assert found(tmp_path / "a") == found(written / "stems")
    (tmp_path / "a/tit/0/wind.wav").rename(tmp_path / "a/tit/0/storm.wav")
    renamed = found(tmp_path / "a")
    write(tmp_path / "a/tit/0/storm.wav", tone(201, 0.5))
    assert len({found(written / "stems"), renamed, found(tmp_path / "a")}) == 3


@pytest.mark.parametrize("key", ["stems", "separated"])
def test_only_a_folder_of_recordings_has_a_folder_of_stems(key: str) -> None:
    with pytest.raises(EarmarkError, match=rf"{key} goes with source = folder only"):
        config.fill({"source": "band", key: "anywhere"})


@pytest.mark.parametrize(
    ("method", "key"), [("oracle", "stems"), ("audiolime-stems", "stems"), ("audiolime-folder", "separated")]
)
def test_a_method_asks_for_the_folder_that_it_needs(written: Path, method: str, key: str) -> None:
    block = {"source": "folder", "root": str(written / "recordings"), "grid": {"methods": [method], "k": [4]}}
    other = {"stems": "separated", "separated": "stems"}[key]
    with pytest.raises(EarmarkError, match=rf"grid.methods: the method {method} needs .*: set `{key}` to a folder of"):
        config.validate({"run": ["birds"], "datasets": {"birds": {**block, other: "anywhere"}}})
    config.validate({"run": ["birds"], "datasets": {"birds": {**block, key: "anywhere"}}})


# Sources that another program separated


def separate(folder: Path, gain: float) -> None:
    """Separate as a program would: two sources, neither of them right, with all the rest missing."""
    for path in (folder / "recordings").rglob("*.*"):
        samples, rate = soundfile.read(path)
        place = (folder / "separated" / path.relative_to(folder / "recordings")).with_suffix("")
        write(place / "vocals.wav", gain * samples, rate)
        write(place / "other.wav", gain * samples / 4, rate)


def borrowed(other: tuple[Path, Path], gain: float) -> DataSet:
    results, folder = other
    separate(folder, gain)
    borrow.run(job_of("borrow", results, folder, separated=str(folder / "separated")))
    return open_dataset(Layout(results, "birds"))


def test_sources_need_not_sum_to_the_recording(other: tuple[Path, Path]) -> None:
    source = borrowed(other, 0.4)
    clips = of(source, STEREO)
    sources, waveforms = source.separated(clips), source.waveforms(clips)
    assert torch.allclose(sources[:, 1], 0.4 * waveforms, atol=1e-4)
    assert torch.allclose(sources[:, 0], 0.1 * waveforms, atol=1e-4)
    assert json.loads(source.layout.separated_names.read_text())["sources"] == ["other", "vocals"]
    assert not source.has_stems


def test_sources_that_leave_more_than_there_was_are_refused(other: tuple[Path, Path]) -> None:
    with pytest.raises(EarmarkError, match=re.escape("without them +3.5 dB of it remain, +0 dB at most are allowed")):
        borrowed(other, 2.0)


def test_explainers_get_the_sources_that_their_method_needs(other: tuple[Path, Path]) -> None:
    source = borrowed(other, 0.4)
    gather.run(job_of("gather", *other, stems=str(other[1] / "stems")))
    clips = of(source, "tit/0.wav")
    for method, expected in (("audiolime-folder", source.separated(clips)), ("audiolime-stems", source.stems(clips))):
        (batch,) = explainers.batches(source, clips, source.classes[0], method, torch.device("cpu"))
        assert torch.equal(batch.stems, expected)
