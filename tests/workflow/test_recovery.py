"""Jobs and Snakemake itself are killed at random moments, and the results are those of an undisturbed run.

`make test` kills each kind twice; EARMARK_KILLS asks for more (`make soak`), EARMARK_SEED repeats the moments of a run.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.conftest import in_namespace
from tests.workflow.conftest import MEASURED, Called, Project, new_project

KILLS = int(os.environ.get("EARMARK_KILLS", "2"))
SEED = int(os.environ.get("EARMARK_SEED", random.SystemRandom().randrange(10**6)))

METHOD = "main/conv4/drsa/K~4"
JOBS = {
    "train": ("main/train", ["main/model.safetensors", "main/history.csv"]),
    "predict": ("main/predict", ["main/predictions.csv", "main/metrics.json", "main/confusion.csv"]),
    "collect": ("main/conv4/collect", [f"main/conv4/pairs/{cls}.safetensors" for cls in ("class1", "class2")]),
    "fit": (
        f"{METHOD}/fit",
        [f"{METHOD}/{cls}/{name}" for cls in ("class1", "class2") for name in ("subspaces.safetensors", "fit.json")],
    ),
    "sonify": (f"{METHOD}/sonify", [f"{METHOD}/{cls}/sounds" for cls in ("class1", "class2")]),
}
"""Log, and results, of the jobs that take part."""


@pytest.fixture(scope="module")
def moments():
    print(f"\nEARMARK_SEED={SEED} EARMARK_KILLS={KILLS}")
    return random.Random(SEED)


@pytest.fixture
def disturbed(complete, tmp_path):
    """Copy the complete run; whatever still runs there at the end of the test is killed."""
    project = complete.copy(tmp_path / "project")
    yield project
    for job in jobs_in(project):
        with contextlib.suppress(psutil.NoSuchProcess):
            job.kill()


@dataclass
class Running:
    """A call of Snakemake that has not ended."""

    project: Project
    process: subprocess.Popen

    def wait(self) -> Called:
        return Called(self.process.wait(), self.log.read_text())

    @property
    def log(self) -> Path:
        return self.project.folder / "call.log"

    def reaches(self, stage: str, seconds: float) -> psutil.Process | None:
        """Wait until a job of this call has computed for some seconds; None if it ends before."""
        seen = None
        while self.process.poll() is None:
            time.sleep(0.01 if seen else 0.1)
            with contextlib.suppress(psutil.NoSuchProcess):
                seen = seen or self._job(stage)
                if seen and sum(seen.cpu_times()[:2]) >= seconds:
                    return seen
            if seen and not seen.is_running():
                return None
        return None

    def _job(self, stage: str) -> psutil.Process | None:
        below = psutil.Process(self.process.pid).children(recursive=True)
        return next((job for job in below if is_job(job) and stage in job.cmdline()), None)


def is_job(process):
    return "earmark" in process.cmdline()


def jobs_in(project):
    """Return the processes of the package that run in a project's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if is_job(process) and process.cwd() == str(project.folder.resolve()):
                found.append(process)
    return found


def targets(*stages):
    return ["--cores", "1", *(f"results/synthetic/{JOBS[stage][1][0]}" for stage in stages)]


def make(project, *stages):
    """Call for the results of stages; each job is a process of its own."""
    return project.snakemake(*targets(*stages), cold=True)


def start(project, *stages):
    """Call for the results of stages, and do not wait for them."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "changes.yaml", *targets(*stages)]
    running = Running(project, None)
    with running.log.open("w") as log:
        running.process = subprocess.Popen(command, cwd=project.folder, stdout=log, stderr=subprocess.STDOUT)
    return running


def drop(project, *stages):
    """Remove the results of stages."""
    for stage in stages:
        for name in JOBS[stage][1]:
            path = project.folder / "results/synthetic" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def seconds(complete, tmp_path_factory):
    """CPU seconds of the jobs that take part, by stage: each is a process of its own here, as where it is killed."""
    project = complete.copy(tmp_path_factory.mktemp("seconds") / "project")
    drop(project, *JOBS)
    called = make(project, *JOBS)
    assert called.status == 0, called.output
    assert JOBS.keys() <= {rule.removesuffix("_synthetic") for rule in called.jobs}
    logs = {stage: project.folder / f"logs/synthetic/{log}.tsv" for stage, (log, _) in JOBS.items()}
    return {stage: float(pd.read_csv(log, sep="\t")["cpu_time"][0]) for stage, log in logs.items()}


def contents(project):
    """Return every result's bytes, but of those that hold seconds none."""
    root = project.folder / "results"
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): b"" if path.name == MEASURED else path.read_bytes() for path in files}


def assert_same(project, complete):
    found, wanted = contents(project), contents(complete)
    assert found.keys() == wanted.keys()
    assert [name for name, content in found.items() if content != wanted[name]] == []


def kill(project, target, stage, moment, snakemake=False):
    """Call for the results of `target` and kill a job, or Snakemake, at a moment of the job; 0 if it ended before."""
    running = start(project, target)
    job = running.reaches(stage, moment)
    if job:
        print(f"kill -9 of {'Snakemake' if snakemake else 'the job'} after {moment:.2f} s of {stage}")
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            (running.process if snakemake else job).kill()
    called = running.wait()
    killed = called.status != 0
    assert job or not killed, called.output
    return int(killed)


@pytest.mark.parametrize("stage", ["train", "fit", "sonify"])
def test_a_killed_job_is_made_by_the_same_command(complete, disturbed, moments, seconds, stage):
    killed = 0
    while killed < KILLS:
        drop(disturbed, stage)
        for _ in range(2):
            killed += kill(disturbed, stage, stage, moments.uniform(0, seconds[stage]))
        assert make(disturbed, stage).status == 0
        assert_same(disturbed, complete)


def test_a_killed_snakemake_needs_one_more_command(complete, disturbed, moments, seconds):
    """Its jobs run on, beside those of the next call."""
    chain, killed = ("train", "predict", "collect", "fit"), 0
    while killed < KILLS:
        drop(disturbed, *chain)
        for _ in range(2):
            stage = moments.choice(chain)
            hit = kill(disturbed, "fit", stage, moments.uniform(0, seconds[stage]), snakemake=True)
            if hit:
                assert "--unlock" in make(disturbed, "fit").output
                assert disturbed.snakemake("--unlock").status == 0
            killed += hit
        completed = make(disturbed, "fit")
        assert completed.status == 0, completed.output
        psutil.wait_procs(jobs_in(disturbed))
        assert_same(disturbed, complete)
    assert disturbed.plan() == {}


def test_a_second_user_is_told_to_wait(complete, disturbed):
    drop(disturbed, "fit")
    first = start(disturbed, "fit")
    assert first.reaches("fit", 0.0)
    second = make(disturbed, "fit")
    assert second.status == 1
    assert "no other Snakemake process" in second.output
    assert "Traceback" not in second.output
    assert first.wait().status == 0
    assert_same(disturbed, complete)


CALL = f'"{sys.executable}" -m snakemake --configfile changes.yaml --cores 1 results/synthetic/generated.csv'


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ("mount -t tmpfs -o size=2m none results", "cannot be written: the disk is full."),
        (
            "mount --bind results results && mount -o remount,ro,bind results",
            "earmark: 'results' cannot be written: it is read-only, or you have no permission.",
        ),
    ],
)
def test_a_disk_that_takes_no_results_is_said_in_a_sentence(tmp_path, mount, sentence):
    project = new_project(tmp_path / "project")
    (project.folder / "results").mkdir()
    done = in_namespace(project.folder, f"{mount} && {CALL} 2>&1")
    assert done.returncode == 1
    assert sum(line.endswith(sentence) for line in done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stdout


def test_a_run_that_filled_the_disk_goes_on_where_there_is_room_again(tmp_path):
    """30 MB hold what is generated, but not what ingestion makes of it."""
    project = new_project(tmp_path / "project")
    (project.folder / "results").mkdir()
    call = CALL.replace("generated.csv", "clips.csv")
    done = in_namespace(
        project.folder,
        f"mount -t tmpfs -o size=30m none results && ! {call} > full 2>&1"
        f" && mount -o remount,size=100m results && {call} > again 2>&1",
    )
    full, again = (Called(0, (project.folder / name).read_text()) for name in ("full", "again"))
    assert done.returncode == 0, full.output + again.output
    assert full.jobs == {"generate": 1, "ingest": 1}
    assert sum(line.endswith("cannot be written: the disk is full.") for line in full.output.splitlines()) == 1
    assert again.jobs == {"ingest": 1}
