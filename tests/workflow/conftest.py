"""A project folder of its own for every test, and Snakemake as a user calls it."""

from __future__ import annotations

import compileall
import fcntl
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

TINY = {
    "torch_threads": 1,  # other tests run beside these
    "datasets": {
        "synthetic": {
            "synthetic": {"clips_per_class": 80, "all_objects_clips": 4},
            "train": {"epochs": 40, "batch_size": 16, "learning_rate": 3e-3, "time_mask": 8, "mel_mask": 8},
            "pairs": {"clips": 20},
            "explainers": {
                "drsa": {"restarts": 1, "max_iterations": 50},
                "oracle": {"clips": 20, "units": 2000, "starts": 1, "iterations": 20},
            },
            "grid": {"layers": ["conv2", "conv4"], "methods": ["drsa", "random~0", "oracle"], "k": [4]},
            "explain": {"clips": 10, "gallery": 2},
            "evaluate": {"bootstrap": 50, "cross": ["drsa"]},
            "composites": {"clips": 6, "candidates": {"epsilon": [{"layers": "*", "rule": "epsilon"}]}},
        }
    },
}
"""A grid of 2 layers x 3 methods that runs within minutes."""


JOBLESS = frozenset({"--dry-run", "--list-rules"})
"""Options of calls that run no job."""


MEASURED = "cost.csv"
"""Name of results that hold seconds: they differ between runs, and nothing else does."""


@dataclass(frozen=True)
class Called:
    """What a call of Snakemake came to."""

    status: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Number of jobs per rule, from the table that Snakemake prints."""
        table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)\n\n", self.output, re.DOTALL | re.MULTILINE)
        rows = [row.split() for row in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}


@dataclass(frozen=True)
class Project:
    """A folder that Snakemake runs in."""

    folder: Path

    def configure(self, changes: dict) -> None:
        """Write the file that the calls merge over config.yaml."""
        (self.folder / "changes.yaml").write_text(yaml.safe_dump(changes))

    def snakemake(self, *arguments: str, cold: bool = False) -> Called:
        """Call Snakemake with the changes and return what it printed; unless they are cold, its jobs are forks too."""
        served = {} if cold or JOBLESS.intersection(arguments) else warm()[1]
        return forked(self.folder, ["--configfile", "changes.yaml", *arguments], served)

    def copy(self, folder: Path) -> Project:
        """Return a new clone with the results copied in; all files are as old as the copy."""
        other = new_project(folder)
        for name in ("results", "logs", ".snakemake"):
            shutil.copytree(self.folder / name, folder / name, copy_function=shutil.copy)
        shutil.copy(self.folder / "changes.yaml", folder)
        return other

    def plan(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule a call would run."""
        called = self.snakemake("--dry-run", *arguments)
        assert called.status == 0, called.output
        return called.jobs


@functools.cache
def server() -> subprocess.Popen[str]:
    """Start the process that others are forked from; it ends when its input does, with the tests."""
    command = [sys.executable, str(Path(__file__).with_name("forks.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def forked(folder: Path, arguments: list[str], environment: dict[str, str]) -> Called:
    """Call Snakemake as a fork of a process that has imported it, in half the time."""
    asked, told = server().stdin, server().stdout
    assert asked and told
    with tempfile.NamedTemporaryFile("r") as output:
        call = [str(folder), arguments, output.name, os.environ | environment]
        print(json.dumps(call), file=asked, flush=True)
        return Called(int(told.readline()), output.read())


@functools.cache
def warm() -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start the process that jobs are forked from, which spares each a second or two; and how jobs find it."""
    folder, path = Path(__file__).with_name("warm"), f"{tempfile.mkdtemp(prefix='warm-')}/socket"
    command = [sys.executable, str(folder / "server.py"), path]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout and started.stdout.readline() == "ready\n"
    given = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return started, {"EARMARK_WARM": path, "PYTHONPATH": os.pathsep.join(given)}


@functools.cache
def compiled() -> None:
    """Compile the package, so that each project's jobs need not."""
    compileall.compile_dir(ROOT / "src", quiet=2)


def new_project(folder: Path) -> Project:
    """Copy what a project holds, and configure the tiny grid."""
    compiled()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "workflow", "profiles", "envs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    project = Project(folder)
    project.configure(TINY)
    return project


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the tiny grid after a complete run, made once for all test processes: change only copies of it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "complete"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "results/synthetic/figures").is_dir():
            called = new_project(folder).snakemake("--cores", "2")
            assert called.status == 0, called.output
    return Project(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project without results."""
    return new_project(tmp_path / "project")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project without results for all tests of a module, of which they change no more than what it is told."""
    return new_project(tmp_path_factory.mktemp("shared") / "project")


@pytest.fixture
def digits(project: Project) -> Project:
    """Add recordings to the project, as far as a dry-run looks at them: 10 digits by 4 speakers, 3 times."""
    for number, name in enumerate("zero one two three four five six seven eight nine".split()):
        for speaker in ("ann", "bob", "cyd", "dee"):
            for take in range(3):
                path = project.folder / f"recordings/spoken-digits/{name}/{number}_{speaker}_{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
    return project
