"""The workflow on a SLURM cluster of one node: what is asked of it, and what becomes of jobs that come to harm."""

import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
import wave
from dataclasses import dataclass

import pytest
import torch
import yaml

from earmark.plan.stages import STAGES
from earmark.store.artifacts import read_tensors
from tests.workflow.conftest import TINY, Called, Project, new_project

from ..slurm import cluster

REQUIRED = "EARMARK_REQUIRE_SLURM"
"""Set where these tests must run: a machine without SLURM is then an error."""

absent = cluster.missing()
pytestmark = pytest.mark.skipif(
    bool(absent) and REQUIRED not in os.environ,
    reason=f"SLURM is not installed ({', '.join(absent)}); in Debian: apt-get install slurm-wlm munge",
)

SYNTHETIC = TINY["datasets"]["synthetic"] | {
    "grid": {"layers": ["conv4"], "methods": ["drsa"], "k": [4]},
    "composites": {"candidates": {}},
}
ENDLESS = {"extends": "synthetic", "synthetic": {"clips_per_class": 20, "all_objects_clips": 2}}
UNREADABLE = {"extends": "spoken-digits", "root": "recordings"}
TARGETS = (
    "all",
    "results/unreadable/manifest.csv",
    "results/endless/cv0/metrics.json",
    "results/endless/cv1/metrics.json",
)
EAGER = """
from snakemake import cli
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

interval = property(lambda executor: 1, lambda executor, longer: None)
RemoteExecutor.next_seconds_between_status_checks = interval
cli.main()
"""
"""Snakemake that looks every second whether a job has ended, and not ten seconds later each time that none has."""

LONGEST = 900
"""Seconds after which a call is given up."""


def configure(project: Project, epochs: int) -> None:
    """Configure the tiny synthetic data, a data set of training runs with so many epochs, and one of recordings."""
    endless = ENDLESS | {"train": SYNTHETIC["train"] | {"epochs": epochs}}
    datasets = {"synthetic": SYNTHETIC, "endless": endless, "unreadable": UNREADABLE}
    project.configure(TINY | {"datasets": datasets})


def record(project: Project, readable: bool) -> None:
    """Write two classes of three recordings: short noises, or files without content."""
    for number, path in enumerate(f"{cls}/{take}.wav" for cls in ("high", "low") for take in range(3)):
        path = project.folder / "recordings" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        if readable:
            samples = [int(9000 * math.sin((number + 1) * 0.01 * step)) for step in range(16000)]
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def edit_profile(project: Project, minutes: int) -> None:
    """Set what a user sets, and on the first of the long training runs a limit of time."""
    path = project.folder / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["default-resources"]["slurm_account"] = "lab"
    for stage in profile["set-resources"].values():
        stage["gpu_model"] = "a100"
    profile["set-resources"]["train"] = profile["set-resources"]["train"] | {
        "runtime": f"{minutes} if wildcards.split == 'cv0' else 240 * attempt"
    }
    # Nobody keeps accounts on this cluster, and its jobs are short; a job that comes to harm shall not be sent again.
    profile |= {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 1, "retries": 0}
    path.write_text(yaml.safe_dump(profile))


def start(project: Project, node: cluster.Cluster, attempt: int) -> subprocess.Popen:
    """Call Snakemake on the cluster; what it sends counts as sent for the second time, say."""
    command = [sys.executable, "-c", EAGER, *TARGETS, "--configfile", "changes.yaml"]
    command += ["--workflow-profile", "profiles/slurm", "--attempt", str(attempt)]
    with (project.folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            command, cwd=project.folder, env=node.environment, stdout=output, stderr=subprocess.STDOUT
        )


def end(project: Project, call: subprocess.Popen) -> Called:
    """Wait for a call and return what it came to."""
    try:
        status = call.wait(timeout=LONGEST)
    finally:
        if call.poll() is None:
            call.kill()
    return Called(status, (project.folder / "output.txt").read_text())


def training(project: Project, node: cluster.Cluster, split: str, call: subprocess.Popen) -> str:
    """Wait until a long training run has said how far it is, and return its job's number."""
    log = project.folder / f"logs/endless/{split}/train.log"
    while not (log.exists() and "train endless" in log.read_text()):
        assert call.poll() is None, (project.folder / "output.txt").read_text()
        time.sleep(0.5)
    return next(job["JobId"] for job in node.jobs() if job.get("Comment") == f"rule_train_wildcards_endless_{split}")


@dataclass(frozen=True)
class Story:
    """What happened on the cluster."""

    project: Project
    first: Called
    second: Called
    jobs: list[dict[str, str]]
    """What SLURM was asked for by the first call."""
    resumed: list[dict[str, str]]
    """What it was asked for by the second."""


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Run everything, with three jobs that come to harm; mend what harmed them; and call again."""
    assert not absent, f"{REQUIRED} is set, and SLURM is not installed: {', '.join(absent)}"
    project = new_project(tmp_path_factory.mktemp("slurm") / "project")
    with (project.folder / "src/earmark/models/base.py").open("a") as file:
        file.write(  # the GPUs of this cluster are pretended
            "\n\ndef device(gpu: int) -> torch.device:\n    assert gpu == 1\n    return torch.device('cpu')\n"
        )
    with cluster.running(cpu_partition="cpu", gpu_partition="gpu", gpu_model="a100", gpus=4, memory_mb=64000) as node:
        before = len(node.jobs())
        record(project, readable=False)
        configure(project, epochs=100_000)
        edit_profile(project, minutes=1)
        call = start(project, node, attempt=1)
        node.client("scancel", training(project, node, "cv1", call))
        for process in node.processes(training(project, node, "cv0", call)):
            os.kill(process, signal.SIGSTOP)  # it hangs until its time is over, and computes nothing meanwhile
        first = end(project, call)
        jobs = node.jobs()[before:]

        record(project, readable=True)
        configure(project, epochs=2)
        edit_profile(project, minutes=10)
        second = end(project, start(project, node, attempt=2))
        resumed = node.jobs()[before + len(jobs) :]
    return Story(project, first, second, jobs, resumed)


def stages(job: dict[str, str]) -> set[str]:
    """Return the stages that a submission runs, as its comment names them."""
    return set(re.split(r"[_ ]", job["Comment"].split("_wildcards_")[0])) & set(STAGES)


def of_stage(jobs: list[dict[str, str]], stage: str) -> list[dict[str, str]]:
    return [job for job in jobs if stage in stages(job)]


def errors(called: Called) -> dict[str, str]:
    """Return what was said of each failed job, under the path of its log."""
    said = re.split(r"^(?=Error in \S+ \S+:\n    message: SLURM-job )", called.output, flags=re.MULTILINE)[1:]
    return {re.search(r"^    log: ([^,\n]*)", one, re.MULTILINE)[1]: one for one in said}


def test_it_runs_to_the_end(story):
    results = story.project.folder / "results/synthetic"
    assert (results / "tables/flipping.csv").stat().st_size > 0
    assert list((results / "figures").glob("*.png"))
    assert (results / "main/conv4/drsa/K~4/class1/sounds/clips.csv").exists()


def test_from_scratch_by_processes_of_their_own_the_results_are_the_same(story, complete):
    """Those of the other tests are forks of one that has imported everything."""
    method = "results/synthetic/main/conv4/drsa/K~4"
    one, other = (project.folder / method for project in (story.project, complete))
    assert (one / "scores.csv").read_bytes() == (other / "scores.csv").read_bytes()
    for name in ("class1/subspaces", "class2/heatmaps"):
        first, second = (read_tensors(folder / f"{name}.safetensors")[0] for folder in (one, other))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first), name


def test_every_stage_is_sent_but_the_cheapest(story):
    planned = {rule.removesuffix("_synthetic") for rule in story.project.plan("--forceall")}
    assert set().union(*map(stages, story.jobs)) == planned - {"generate", "choose"}
    assert (story.project.folder / "results/synthetic/generated.csv").exists()


def test_gpu_rules_and_only_they_ask_for_a_gpu_and_its_partition(story):
    for job in story.jobs:
        with_gpu = {"gpu" in STAGES[stage].coordinates for stage in stages(job)}
        assert len(with_gpu) == 1, job["Comment"]
        asked = (job["Partition"], job.get("TresPerJob"))
        assert asked == (("gpu", "gres:gpu:a100:1") if with_gpu.pop() else ("cpu", None)), job["Comment"]


def test_every_job_asks_for_memory_and_time_in_the_account_that_is_set(story):
    for job in story.jobs:
        assert job["Account"] == "lab"
        side_by_side = stages(job) == {"picture", "sonify"}
        assert job["MinMemoryNode"] in (("8000M",) if side_by_side else ("4000M", "6000M"))
    for job in of_stage(story.jobs, "train"):
        limited = "cv0" in job["Comment"]
        assert (job["MinMemoryNode"], job["TimeLimit"]) == ("6000M", "00:01:00" if limited else "04:00:00")
    for job in of_stage(story.jobs, "ingest"):
        assert (job["MinMemoryNode"], job["TimeLimit"]) == ("4000M", "01:00:00")


def test_short_jobs_share_a_submission(story):
    (fit,) = of_stage(story.jobs, "fit")
    assert stages(fit) == {"fit", "explain", "score"}
    assert fit["TimeLimit"] == "04:00:00"  # 2 + 1 + 1 hours, one after the other
    maps_of_input = [job for job in of_stage(story.jobs, "score") if stages(job) == {"explain", "score"}]
    assert len(maps_of_input) == 2


def test_a_job_that_fails_is_reported_with_its_reason(story):
    said = errors(story.first)["logs/unreadable/ingest.log"]
    assert "SLURM status is: 'FAILED'" in said
    assert re.search(r"^earmark: .*high", said, re.MULTILINE), said


def test_a_job_that_runs_out_of_time_is_reported_with_the_tail_of_its_log(story):
    said = errors(story.first)["logs/endless/cv0/train.log"]
    assert "SLURM status is: 'TIMEOUT'" in said
    assert "DUE TO TIME LIMIT" in said
    assert re.search(r"INFO train endless/cv0: \d+/100000", said), said


def test_a_job_that_is_cancelled_is_reported_with_the_tail_of_its_log(story):
    said = errors(story.first)["logs/endless/cv1/train.log"]
    assert "SLURM status is: 'CANCELLED'" in said
    assert "CANCELLED AT" in said
    assert re.search(r"INFO train endless/cv1: \d+/100000", said), said


def test_nothing_else_failed(story):
    assert story.first.status == 1
    assert len(errors(story.first)) == 3
    states = sorted(job["JobState"] for job in story.jobs if job["JobState"] != "COMPLETED")
    assert states == ["CANCELLED", "FAILED", "TIMEOUT"]


def test_a_second_call_completes_the_rest_and_no_more(story):
    assert story.second.status == 0, story.second.output
    sent = sorted(job["Comment"] for job in story.resumed)
    splits = [f"rule_{stage}_wildcards_endless_{split}" for stage in ("predict", "train") for split in ("cv0", "cv1")]
    assert sent == ["rule_ingest_wildcards_unreadable", *splits]
    assert all((story.project.folder / target).exists() for target in TARGETS[1:])


def test_what_is_sent_again_asks_for_more(story):
    asked = {job["Comment"]: (job["MinMemoryNode"], job["TimeLimit"]) for job in story.resumed}
    assert asked["rule_ingest_wildcards_unreadable"] == ("8000M", "02:00:00")
    assert asked["rule_train_wildcards_endless_cv1"] == ("12000M", "08:00:00")


def test_without_the_cluster_nothing_is_stale(story):
    again = story.project.snakemake("--dry-run", *TARGETS)
    assert "Nothing to be done" in again.output, again.output
