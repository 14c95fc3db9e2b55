"""What a call of Snakemake may say: stages by name, files of its own among the results, the memory there is."""

import re

import pytest

from tests.workflow.conftest import TINY
from tests.workflow.test_mistakes import said

TWO = TINY | {
    "run": ["synthetic", "wide"],
    "datasets": TINY["datasets"] | {"wide": {"extends": "synthetic", "model": {"filters": [16] * 5}}},
}
PER_DATASET = ("collect", "fit", "explain", "picture", "sonify")
FIRST = {"generate", "ingest", "train"}

QUEUE = """
include: "Snakefile"


rule both:
    input:
        expand("{number}.txt", number=[1, 2]),


rule one:
    output:
        "{number}.txt",
    resources:
        mem_mb=SIZE,
    shell:
        "echo begins >> order; sleep 1; echo ends >> order; touch {output}"
"""
"""Two jobs of one size; without a message, so that Snakemake prints what they ask for."""

FORCED = """
include: "Snakefile"


rule show:
    output:
        "shown",
    params:
        forced=lambda wildcards: sorted(workflow.dag_settings.forcerun),
        first=lambda wildcards: sorted(workflow.scheduling_settings.prioritytargets),
    shell:
        "echo FORCED {params.forced} FIRST {params.first}"
"""

THREADS = """
include: "Snakefile"

for one in workflow.rules:
    print("RULE", one.name, one.resources["_cores"].raw)
"""


@pytest.fixture(scope="module")
def project(shared):
    shared.configure(TWO)
    return shared


def rules_of(*stages):
    return {f"{stage}_{dataset}" for stage in stages for dataset in ("synthetic", "wide")}


def test_a_stage_stands_for_its_rules_of_all_data_sets(project):
    for option, stage, rules in (
        ("--until", "fit", FIRST | rules_of("collect", "fit")),
        ("--until", "fit_wide", FIRST | {"collect_wide", "fit_wide"}),
        ("--until", "train", FIRST),
        ("--omit-from", "explain", FIRST | rules_of("collect", "fit")),
    ):
        jobs = set(project.snakemake("--dry-run", option, stage).jobs)
        assert {job for job in jobs if job in FIRST or job.partition("_")[0] in PER_DATASET} == rules, (option, stage)


def test_a_stage_is_forced_and_preferred_for_all_data_sets(project):
    (project.folder / "forced.smk").write_text(FORCED)
    call = ["--snakefile", "forced.smk", "shown", "--forcerun", "explain", "train", "--prioritize", "collect_wide"]
    shown = project.snakemake("--dry-run", *call).output
    assert "FORCED explain_band explain_synthetic explain_voices explain_wide train FIRST collect_wide" in shown


def test_threads_set_for_a_stage_hold_for_each_data_set(project):
    (project.folder / "threads.smk").write_text(THREADS)
    call = ["--list-rules", "--snakefile", "threads.smk", "--set-threads", "collect=3", "collect_wide=2", "train=4"]
    output = project.snakemake(*call).output
    found = dict(re.findall(r"^RULE (\w+) (\d+)$", output, re.MULTILINE))
    expected = {"collect_synthetic": "3", "collect_band": "3", "collect_voices": "3", "collect_wide": "2", "train": "4"}
    assert {name: count for name, count in found.items() if count != "1"} == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--until", "score_wide"], "earmark: --until: there is no rule score_wide; did you mean score?"),
        (["--forcerun", "fit_wibe"], "earmark: --forcerun: there is no rule fit_wibe; did you mean fit_wide?"),
        (["--omit-from", "fit_gtzan"], "earmark: --omit-from: there is no rule fit_gtzan"),
        (["--set-threads", "trian=2"], "earmark: --set-threads: there is no rule trian; did you mean train?"),
        (["--groups", "trian=one"], "earmark: --groups: there is no rule trian; did you mean train?"),
        (["fit"], "earmark: fit: a stage makes many results; ask for one by its path, results/..., or for all that"),
        (
            ["--until", "results/wide/main/metrix.json"],
            "earmark: results/wide/main/metrix.json: there is no",
        ),
    ],
)
def test_a_wrong_name_is_a_mistake(project, arguments, sentence):
    assert said(project.snakemake("--dry-run", *arguments)).startswith(sentence)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--report", "results/report.html"],
        ["--report", "results/wide/report.zip"],
        ["--report-stylesheet", "results/looks.css"],
        ["--cleanup-metadata", "results/wide/no-longer-there.csv"],
        ["--logger-snkmt-db", "results/log.db"],
    ],
)
def test_files_of_snakemake_may_lie_beside_the_results(project, arguments):
    output = project.snakemake("--dry-run", "results/wide/manifest.csv", *arguments).output
    assert not re.search("^earmark: ", output, re.MULTILINE), output


@pytest.fixture
def small(project):
    """Let the project find a machine of 3 GB; return a function that writes a workflow of two jobs of a size in MB."""
    path = project.folder / "src/earmark/plan/machine.py"
    whole = path.read_text()
    path.write_text("def memory():\n    return 3000\n")
    yield lambda size: (project.folder / "queue.smk").write_text(QUEUE.replace("SIZE", str(size)))
    path.write_text(whole)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((), "3000"),
        (("--resources", "mem=6GB"), "5000"),
        (("--resources", "gpu=1"), "3000"),
        (("--workflow-profile", "profiles/slurm"), "5000"),  # of the cluster's memory this machine knows nothing
    ],
)
def test_a_job_asks_for_no_more_memory_than_there_is(project, small, arguments, asked):
    small(5000)
    called = project.snakemake("--dry-run", "both", "--snakefile", "queue.smk", *arguments)
    assert called.jobs == {"both": 1, "one": 2}
    assert set(re.findall(r"resources: .*mem_mb=(\d+)", called.output)) == {asked}, called.output


def test_no_more_jobs_run_than_the_memory_holds(project, small):
    small(2000)
    called = project.snakemake("--snakefile", "queue.smk", "both", "--cores", "4")
    assert called.status == 0, called.output
    assert (project.folder / "order").read_text().split() == ["begins", "ends"] * 2


def test_gpus_are_for_those_who_say_so(project):
    """Whoever gives resources of their own takes the profile's place, which says that there is none."""
    called = project.snakemake("--dry-run", "--until", "train", "--resources", "mem_mb=8000")
    assert set(re.findall(r" --gpu (\d)", called.output)) == {"0"}
