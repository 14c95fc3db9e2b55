"""GTZAN as it is distributed, with its known faults, on files made to its format."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from torchaudio.datasets import gtzan as published

from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import config, folder
from earmark.plan.datasets import class_slugs, fingerprint, fold_count
from earmark.plan.stages import stage_config
from earmark.stages import ingest
from earmark.store.layout import Layout
from tests.unit.sources.music import music

RATE = 22050
SECONDS = 3.2
ROOT = Path(__file__).parents[3]
BLOCK = config.validate(yaml.safe_load((ROOT / "config.yaml").read_text()))["datasets"]["gtzan"]
EXPECTED = BLOCK["expected"]
GENRES = EXPECTED["classes"]


def block_of(root: Path, expected=(), **keys) -> dict:
    return {**BLOCK, "root": str(root), **keys, "expected": {**EXPECTED, **dict(expected)}}


def settings(root: Path, expected=(), **keys) -> dict:
    chosen = block_of(root, expected, **keys)
    whole = {"seed": 5, "torch_threads": 1, "datasets": {"gtzan": chosen}}
    return json.loads(stage_config(whole, "gtzan", "ingest"))


def write(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")


def track(genre: str, number: int, seconds: float = SECONDS) -> np.ndarray:
    return music(1000 * GENRES.index(genre) + number, seconds)


def coded(samples: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="MP3")
    file.seek(0)
    return soundfile.read(file)[0]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- contents ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> tuple[Path, dict[str, dict[str, str]], list[str]]:
    """Four tracks per genre and every fault, ingested; the folder, the manifest by path, and what the log warned of."""
    root = tmp_path_factory.mktemp("gtzan")
    home = root / "genres_original"
    for genre in GENRES:
        for number in range(4):
            write(home / genre / f"{genre}.{number:05d}.wav", track(genre, number))
    (home / "jazz" / "jazz.00054.wav").write_bytes(b"\x00\x01no sound" * 999)
    silent = track("rock", 4)
    silent[30000:55000] = 0
    write(home / "rock" / "rock.00004.wav", silent)
    write(home / "rock" / "rock.00005.wav", track("rock", 5, 2.5))
    shutil.copy(home / "pop" / "pop.00001.wav", home / "pop" / "pop.00004.wav")
    longer = track("disco", 90, 5.0)
    write(home / "disco" / "disco.00002.wav", longer[: round(SECONDS * RATE)])
    write(home / "metal" / "metal.00004.wav", coded(0.3 * longer[11025:])[: round(SECONDS * RATE)])
    write(home / "blues" / "blues.00100.wav", track("blues", 100))
    write(home / "blues" / "blues.00003.au", track("blues", 3))
    write(home / "folk" / "folk.00000.wav", track("blues", 101))
    (home / "blues" / "bextract_single.mf").write_text("a list of files")
    (root / "images_original" / "blues").mkdir(parents=True)
    logger, said = logging.getLogger("earmark.data.recordings"), []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    results = tmp_path_factory.mktemp("results")
    ingest.run(Job("ingest", results, "gtzan", settings(root, {"seconds": 3})))
    logger.removeHandler(handler)
    manifest = rows(Layout(results, "gtzan").manifest)
    return results, {row["path"]: row for row in manifest}, said


def test_every_track_is_listed_whether_it_is_there_or_not(faulty):
    _, manifest, _ = faulty
    assert len(manifest) == 1000 + 3
    assert list(manifest) == sorted(manifest, key=lambda path: ((*GENRES, "folk").index(path.split("/")[0]), path))
    used = [path for path, row in manifest.items() if row["status"] == "ok"]
    assert len(used) == 10 * 4 + 2  # pop.00004 and metal.00004 are copies, which are used
    missing = [path for path, row in manifest.items() if row["reason"] == "missing"]
    assert len(missing) == 1000 - len(used) - 3  # jazz.00054, rock.00004, rock.00005
    assert "classical/classical.00099.wav" in missing


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("jazz/jazz.00054.wav", "cannot be decoded: "),
        ("rock/rock.00004.wav", "silent in part: 1.134 s of zeros from 1.361 s on"),
        ("rock/rock.00005.wav", "too short: 2.500 s, at least 3 s are expected"),
        ("blues/blues.00100.wav", "extra: its name is none of the expected ones"),
        ("blues/blues.00003.wav", "extra: blues/blues.00003.au is the recording of this name"),
        ("folk/folk.00000.wav", "extra: its sub-folder is none of the expected classes"),
    ],
)
def test_what_is_left_out_has_its_reason(faulty, path, reason):
    row = faulty[1][path]
    assert row["status"] == "excluded" and row["fold"] == ""
    assert row["reason"].startswith(reason)


def test_an_exact_copy_stays_in_the_fold_of_its_original(faulty):
    copy, original = faulty[1]["pop/pop.00004.wav"], faulty[1]["pop/pop.00001.wav"]
    assert copy["reason"] == "same sound as pop/pop.00001.wav"
    assert (copy["group"], copy["fold"]) == (original["group"], original["fold"])


def test_another_excerpt_of_a_recording_stays_in_its_fold_across_genres(faulty):
    """Half a second later, at a third of the level, and by way of MP3."""
    copy, original = faulty[1]["metal/metal.00004.wav"], faulty[1]["disco/disco.00002.wav"]
    words = copy["reason"].split()
    assert words[:2] == ["agrees", "to"] and words[-1] == "disco/disco.00002.wav"
    assert float(words[2]) > 0.7
    assert float(words[4]) == pytest.approx(0.5, abs=0.08)
    assert (copy["group"], copy["fold"]) == (original["group"], original["fold"])


def test_other_tracks_are_groups_of_their_own(faulty):
    groups = [row["group"] for row in faulty[1].values() if row["status"] == "ok"]
    assert len(set(groups)) == 40


def test_departures_are_said_aloud(faulty):
    said = faulty[2]
    assert any(line.startswith("961 of 1003 recordings excluded: ") for line in said)
    assert "2 of 1003 recordings are copies of another, see the manifest" in said


def test_the_audio_of_one_genre_is_that_of_its_files(faulty):
    results, manifest, _ = faulty
    clips = [row for row in rows(Layout(results, "gtzan").clip_index) if row["path"] == "reggae/reggae.00002.wav"]
    assert len(clips) == 10
    first = int(clips[0]["recording_offset"])
    stored = np.load(Layout(results, "gtzan").clips, mmap_mode="r")[first : first + int(clips[0]["recording_samples"])]
    assert len(stored) == round(SECONDS * 16000)
    assert float(manifest["reggae/reggae.00002.wav"]["seconds"]) == SECONDS
    spectrum = np.abs(np.fft.rfft(stored / 32768))
    original = np.abs(np.fft.rfft(track("reggae", 2)))[: len(spectrum)] * 16000 / RATE
    low = slice(0, 20000)  # 6.2 kHz
    assert np.abs(spectrum - original)[low].max() < 0.02 * original.max()


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_published_split_is_within_the_names_that_are_expected():
    names = [f"{genre}/{genre}.{number:05d}.wav" for genre in published.gtzan_genres for number in range(100)]
    assert folder.departures(names, BLOCK) == {}
    assert published.gtzan_genres == sorted(GENRES) == GENRES
    split = [published.filtered_train, published.filtered_valid, published.filtered_test]
    assert [len(part) for part in split] == [443, 197, 290]
    listed = {f"{name.split('.')[0]}/{name}.wav" for part in split for name in part}
    assert len(listed) == 930 and listed <= set(names)
    found = folder.departures(sorted(listed), BLOCK)
    assert set(found) == set(names) - listed and set(found.values()) == {"missing"}
    assert "jazz/jazz.00054.wav" in listed, "whoever made the split could read it"


def test_the_older_distribution_is_read_as_well(tmp_path):
    few = {"classes": ["blues", "jazz", "rock"], "recordings": 3, "seconds": 3}
    for genre in few["classes"]:
        for number in range(3):
            write(tmp_path / "genres" / genre / f"{genre}.{number:05d}.au", track(genre, number))
    ingest.run(Job("ingest", tmp_path / "results", "gtzan", settings(tmp_path, few)))
    manifest = rows(Layout(tmp_path / "results", "gtzan").manifest)
    assert [row["status"] for row in manifest] == ["ok"] * 9
    assert {row["sample_rate"] for row in manifest} == {"22050"}
    assert manifest[0]["path"] == "blues/blues.00000.au"
    for root in (tmp_path, tmp_path / "genres"):
        assert fold_count(block_of(root, few)) == 3
        assert class_slugs(block_of(root, few)) == few["classes"]


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def names(tmp_path) -> Path:
    """Three empty files per genre, two folders down."""
    for genre in GENRES:
        for number in range(3):
            path = tmp_path / "archive" / "Data" / "genres_original" / genre / f"{genre}.{number:05d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path / "archive" / "Data"


def refused(root: Path, **keys) -> str:
    with pytest.raises(EarmarkError) as caught:
        fold_count(block_of(root, **keys))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_root_at_the_wrong_level_is_told_the_right_one(names):
    assert fold_count(block_of(names)) == fold_count(block_of(names / "genres_original")) == 3
    assert f"'{names / 'genres_original'}' does: set `root` to it." in refused(names.parent)
    assert f"'{names / 'genres_original'}' does: set `root` to it." in refused(names / "genres_original" / "jazz")
    assert "set `root` to the folder that does, or to the one above it." in refused(names.parent.parent)
    shutil.copytree(names / "genres_original", names / "genres")
    assert "holds the classes in 'genres' and 'genres_original': set `root` to one of them." in refused(names)


def test_a_genre_that_is_missing_is_named(names):
    shutil.rmtree(names / "genres_original" / "jazz")
    assert "lacks the class sub-folder jazz; expected are blues, classical, " in refused(names)
    shutil.rmtree(names / "genres_original" / "pop")
    assert "lacks the class sub-folders jazz, pop; " in refused(names)
    (names / "genres_original" / "jazz").mkdir()
    (names / "genres_original" / "pop").mkdir()
    assert "The class sub-folder 'jazz' of " in refused(names)


def test_fewer_tracks_than_folds_are_an_error(names):
    (names / "genres_original" / "rock" / "rock.00001.wav").rename(names / "genres_original" / "rock" / "one.wav")
    assert refused(names).startswith("The class 'rock' has 2 groups of usable recordings; ")


# --- artists ----------------------------------------------------------------------------------------------------------


def test_a_table_of_artists_makes_the_groups(names, tmp_path):
    table = tmp_path / "artists.csv"
    lines = ["path,group,source"]
    for genre in GENRES:
        for number in range(3):
            ending = ".au" if genre == "pop" else "" if genre == "jazz" else ".wav"
            lines.append(f"{genre}/{genre}.{number:05d}{ending},{genre} artist {number // 2},somewhere")
    table.write_text("\n".join(lines))
    paths = [path for path, _ in folder.listing(names, GENRES)]
    groups = folder.groups_of(paths, block_of(names, groups=str(table)))
    assert {groups["jazz/jazz.00000.wav"], groups["jazz/jazz.00001.wav"]} == {"jazz artist 0"}
    assert groups["pop/pop.00002.wav"] == "pop artist 1"
    assert refused(names, groups=str(table)).startswith("The class 'blues' has 2 groups")
    before = fingerprint(block_of(names, groups=str(table)))
    table.write_text("\n".join([*lines[:1], *lines[2:]]))
    assert folder.groups_of(paths, block_of(names, groups=str(table)))["blues/blues.00000.wav"] == (
        "blues/blues.00000.wav"
    )
    assert fingerprint(block_of(names, groups=str(table))) != before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read: No such file or directory."),
        ("track,artist\n", "needs the columns path and group in its first line."),
        ("path,group\na,\n", "lacks a path or a group in line 2."),
        ("path,group\na,b\na,c\n", "gives 'a' two groups."),
        ("path,group\nnowhere,b\n", "names none of the recordings, such as 'blues/blues.00000.wav'; its column path"),
        (b"path,group\n\xff,b\n", "is no CSV file in UTF-8."),
    ],
)
def test_a_table_of_artists_that_is_none(names, tmp_path, text, sentence):
    table = tmp_path / "artists.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert sentence in refused(names, groups=str(table))
