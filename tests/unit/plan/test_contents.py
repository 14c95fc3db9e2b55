"""Digests of contents: right after any edit, and remembered as long as a file is the same."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from earmark.plan import contents


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return three files whose last edit is long ago."""
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 5000)
    return paths


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every edit be long ago."""
    monkeypatch.setattr(contents, "SETTLED", -(10**18))


def plain(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that every file which is read is added to."""
    read: list[Path] = []
    digest = contents._digest
    monkeypatch.setattr(contents, "_digest", lambda path: (read.append(path), digest(path))[1])
    return read


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once(files, tmp_path, monkeypatch):
    memory, read = tmp_path / "kept/digests.json", counted(monkeypatch)
    assert contents.digests(files, memory) == contents.digests(files, memory) == plain(files)
    assert sorted(read) == files
    assert [path.name for path in memory.parent.iterdir()] == ["digests.json"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("place", [0, 2500, 4999])
@pytest.mark.parametrize("age", [None, 10**18])
def test_an_edit_anywhere_is_seen_though_size_and_date_stay(files, tmp_path, place, age):
    memory = tmp_path / "digests.json"
    before = contents.digests(files, memory)
    stat = files[1].stat()
    with files[1].open("r+b") as file:
        file.seek(place)
        file.write(b"\xff")
    if age is not None:
        os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = contents.digests(files, memory)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    assert after == plain(files)


def test_a_file_that_has_just_been_written_is_read_again(files, tmp_path, monkeypatch):
    """An edit within the same tick of the clock would leave no trace."""
    monkeypatch.setattr(contents, "SETTLED", 10**18)
    memory, read = tmp_path / "digests.json", counted(monkeypatch)
    contents.digests(files, memory)
    contents.digests(files, memory)
    assert len(read) == 6


@pytest.mark.usefixtures("settled")
def test_what_is_gone_is_forgotten(files, tmp_path):
    memory = tmp_path / "digests.json"
    contents.digests(files, memory)
    assert contents.digests(files[:1], memory) == plain(files[:1])
    assert list(json.loads(memory.read_text()).values()) == plain(files[:1])


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("kept", ["", "[]", "no JSON", "\udc80"])
def test_a_memory_that_is_none(files, tmp_path, kept):
    memory = tmp_path / "digests.json"
    memory.write_bytes(kept.encode("utf-8", "surrogateescape"))
    assert contents.digests(files, memory) == plain(files)
    assert list(json.loads(memory.read_text()).values()) == plain(files)


def test_a_memory_that_cannot_be_written(files, tmp_path):
    (tmp_path / "file").touch()
    assert contents.digests(files, tmp_path / "file" / "digests.json") == plain(files)
    assert contents.digests(files) == plain(files)


def test_a_file_that_cannot_be_read(files, tmp_path, monkeypatch):
    gone = tmp_path / "gone.wav"
    monkeypatch.setattr(contents, "_digest", lambda path: None)
    assert contents.digests([gone, files[0]], tmp_path / "digests.json") == [None, None]
