"""Progress and warnings reach the terminal although a rule's output goes to its log."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from earmark.progress import DESCRIPTOR, Progress


@pytest.fixture
def terminal(monkeypatch):
    """Hand on a pipe in the place of the terminal."""
    reading, writing = os.pipe()
    monkeypatch.setenv(DESCRIPTOR, str(writing))
    return lambda: (os.close(writing), os.fdopen(reading).read())[1]


def test_first_reports_come_in_time_and_the_last_always(terminal) -> None:
    progress = Progress("train x", 3, every=3600)
    for done in range(1, 4):
        progress(done, "loss 0.1")
    said = terminal()
    assert said.count("\n") == 1
    assert "train x: 3/3 (100%), 0 s left, loss 0.1" in said


def test_without_a_terminal_only_the_log_is_told(monkeypatch, caplog) -> None:
    monkeypatch.delenv(DESCRIPTOR, raising=False)
    with caplog.at_level("INFO"):
        Progress("fit", 2, every=0)(1)
    assert "fit: 1/2 (50%)" in caplog.text


def test_warnings_are_said_aloud() -> None:
    code = "import logging; from earmark import cli; cli._log(); logging.warning('1 of 9 recordings excluded')"
    shell = f'{DESCRIPTOR}=3 "{sys.executable}" -c "{code}" 3>&1 > /dev/null 2>&1'
    done = subprocess.run(shell, shell=True, executable="/bin/bash", capture_output=True, text=True, check=True)
    assert done.stdout == "  warning: 1 of 9 recordings excluded\n"
