"""Results are written whole or not at all, and what killed writers leave behind goes."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from earmark.store import artifacts
from tests.conftest import in_namespace

WRITER = """
import sys, time
from pathlib import Path
from earmark.store import artifacts
with artifacts.replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of it")
    print(flush=True)
    sys.stdin.read()
    temporary.write_text("from another process")
"""


@pytest.fixture
def writer(tmp_path):
    """Start a process that is half through with ``result.csv`` and goes on when its stdin is closed."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "result.csv")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_writer_that_fails_changes_nothing(tmp_path) -> None:
    (tmp_path / "result.csv").write_text("old")

    def fail() -> None:
        with artifacts.replacing(tmp_path / "result.csv") as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]
    assert (tmp_path / "result.csv").read_text() == "old"


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, writer) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(hidden(tmp_path)) == 1
    artifacts.write_text(tmp_path / "other.csv", "")
    assert len(hidden(tmp_path)) == 1, "another file's business"
    artifacts.write_text(tmp_path / "result.csv", "whole")
    assert hidden(tmp_path) == []


def test_a_writer_that_lives_is_left_alone(tmp_path, writer) -> None:
    artifacts.write_text(tmp_path / "result.csv", "whole")
    assert len(hidden(tmp_path)) == 1
    assert (tmp_path / "result.csv").read_text() == "whole"
    writer.stdin.close()
    assert writer.wait() == 0
    assert (tmp_path / "result.csv").read_text() == "from another process"
    assert hidden(tmp_path) == []


def test_a_writer_on_another_machine_is_given_a_day(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    folder, lock = artifacts._locked_folder(tmp_path / "result.csv")
    os.close(lock)  # as a file system looks that keeps locks to a machine
    monkeypatch.undo()
    artifacts.write_text(tmp_path / "result.csv", "whole")
    assert folder.exists()
    os.utime(folder, (0, 0))
    artifacts.write_text(tmp_path / "result.csv", "whole")
    assert not folder.exists()


def test_a_folder_that_was_never_locked_goes(tmp_path) -> None:
    (tmp_path / f".result.csv-{platform.node()}-abc").mkdir()
    artifacts.write_text(tmp_path / "result.csv", "whole")
    assert hidden(tmp_path) == []


def test_writers_that_race_for_a_folder_leave_one_of_theirs(tmp_path) -> None:
    errors = []

    def write(name: str) -> None:
        try:
            for _ in range(30):
                with artifacts.replacing_directory(tmp_path / "sounds") as folder:
                    for number in range(5):
                        (folder / f"{number}.wav").write_text(name)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({path.read_text() for path in (tmp_path / "sounds").iterdir()}) == 1
    assert len(list((tmp_path / "sounds").iterdir())) == 5
    assert hidden(tmp_path) == []


def test_results_have_the_permissions_of_any_new_file(tmp_path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    artifacts.write_text(tmp_path / "text", "")
    artifacts.write_tensors(tmp_path / "tensors", {"a": torch.zeros(1)}, {})
    with artifacts.replacing_directory(tmp_path / "sounds"):
        pass
    mode = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert mode["text"] == mode["tensors"] == mode["plain"]
    assert mode["sounds"] == mode["folder"]


LARGE = """
import sys, resource, torch
from pathlib import Path
from earmark.store import artifacts
from earmark.errors import EarmarkError
if sys.argv[1] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for write in (
    lambda: artifacts.write_tensors(Path("results/a.safetensors"), {"a": torch.zeros(100_000)}, {}),
    lambda: artifacts.write_text(Path("results/a.csv"), 400_000 * "x"),
):
    try:
        write()
    except EarmarkError as error:
        print(error)
print([str(path) for path in Path("results").rglob("*")])
"""


def test_a_file_that_is_too_large_is_said_in_a_sentence(tmp_path) -> None:
    (tmp_path / "results").mkdir()
    command = [sys.executable, "-c", LARGE, "limited"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    reason = "cannot be written: files of this size are not allowed here (see `ulimit -f`)."
    assert said == [f"'results/a.safetensors' {reason}", f"'results/a.csv' {reason}", "[]"]


def test_a_full_disk_is_said_in_a_sentence(tmp_path) -> None:
    (tmp_path / "results").mkdir()
    command = ["mount -t tmpfs -o size=60k none results", f'"{sys.executable}" -c "$0" unlimited']
    said = in_namespace(tmp_path, " && ".join(command), LARGE).stdout.splitlines()
    reason = "cannot be written: the disk is full."
    assert said == [f"'results/a.safetensors' {reason}", f"'results/a.csv' {reason}", "[]"]


READ_ONLY = (
    "from earmark.store import artifacts",
    "from pathlib import Path",
    "artifacts.write_text(Path('results/a.csv'), '')",
)


def test_a_folder_that_is_read_only_is_said_in_a_sentence(tmp_path) -> None:
    (tmp_path / "results").mkdir()
    mount = "mount --bind results results && mount -o remount,ro,bind results"
    said = in_namespace(tmp_path, f'{mount} && "{sys.executable}" -c "$0"', "; ".join(READ_ONLY)).stderr
    assert said.splitlines()[-1].endswith("'results/a.csv' cannot be written: the file system is read-only.")


def test_tables_read_back_as_they_were_written(tmp_path):
    path = tmp_path / "table.csv"
    artifacts.write_csv(path, ["cls", "group", "n", "value"], [["nan", "007", 3, 0.1 + 0.2], ["NA", "", 4, ""]], {})
    frame = artifacts.read_csv(path, {"n": int, "value": float})
    assert frame["cls"].tolist() == ["nan", "NA"] and frame["group"].tolist() == ["007", ""]
    assert (
        frame["n"].sum() == 7
        and frame["value"].iloc[0] == 0.1 + 0.2
        and frame["value"].isna().tolist() == [False, True]
    )
    assert artifacts.read_rows(path)[1] == {"cls": "NA", "group": "", "n": "4", "value": ""}


def test_contents_are_told_by_files_and_not_by_dates_nor_provenance(tmp_path):
    folder = tmp_path / "sounds" / "000"
    folder.mkdir(parents=True)
    (folder / "input.wav").write_bytes(b"sound")
    artifacts.write_csv(folder / "clips.csv", ["clip"], [[1]], {"versions": "old"})

    def told():
        artifacts.write_contents(tmp_path / "sounds.csv", [tmp_path / "sounds"], {})
        return artifacts.read_rows(tmp_path / "sounds.csv")

    first = told()
    assert [row["file"] for row in first] == ["sounds/000/clips.csv", "sounds/000/input.wav"]
    os.utime(folder / "input.wav", (0, 0))
    artifacts.write_csv(folder / "clips.csv", ["clip"], [[1]], {"versions": "new"})
    assert told() == first
    (folder / "input.wav").write_bytes(b"other")
    assert [row["file"] for row, old in zip(told(), first, strict=True) if row != old] == ["sounds/000/input.wav"]
