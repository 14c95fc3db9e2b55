"""A mistake ends Snakemake with one sentence: no traceback, no job."""

import subprocess
import sys

import pytest
import yaml

from tests.workflow.conftest import TINY, Called, new_project


@pytest.fixture
def project(shared):
    shared.configure(TINY)
    return shared


def said(called):
    """Return the sentence that a call failed with."""
    assert called.status != 0
    assert "Traceback" not in called.output
    assert "Job stats" not in called.output
    return next(line for line in called.output.splitlines() if line.startswith("earmark: "))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"datasets": {"synthetic": {"train": {"epoch": 3}}}},
            "earmark: config: datasets.synthetic.train.epoch is not a known key; did you mean epochs?",
        ),
        (
            {"datasets": {"synthetic": {"train": {"epochs": "forty"}}}},
            "earmark: config: datasets.synthetic.train.epochs must be an integer, not 'forty'",
        ),
        ({"run": ["gtsan"]}, "earmark: config: run names gtsan, which is no data set; did you mean gtzan?"),
        ({"run": ["gtzan"]}, "earmark: config: datasets.gtzan.root must name the folder"),
        ({"run": ["spoken-digits"]}, "earmark: config: datasets.spoken-digits.root must name the folder"),
        (
            {"run": ["spoken-digits"], "datasets": {"spoken-digits": {"root": "nowhere"}}},
            "earmark: The folder of recordings 'nowhere' does not exist.",
        ),
        (
            {"run": ["spoken-digits"], "datasets": {"spoken-digits": {"root": "workflow"}}},
            "earmark: The class sub-folder 'report' of 'workflow' holds no recording",
        ),
    ],
)
def test_in_the_configuration(project, changes, sentence):
    project.configure(changes)
    assert said(project.snakemake("--dry-run")).startswith(sentence)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("synthetic/main/conv9/drsa/K~4/class1/heatmaps.safetensors", "the model has no layer conv9; allowed: conv1"),
        ("synthetic/main/conv4/drsa/K~3/class1/heatmaps.safetensors", "K = 3 does not divide the 16 channels of conv4"),
        ("synthetic/main/conv4/drsa/K~4/class7/heatmaps.safetensors", "there is no class7; did you mean class"),
        ("spoken-digits/main/metrics.json", "datasets.spoken-digits.root must name the folder"),
    ],
)
def test_in_a_path(project, path, sentence):
    assert sentence in said(project.snakemake("--dry-run", f"results/{path}"))


def test_in_the_way_a_path_is_named(project):
    named = project.folder / "results/synthetic/main/metrics.json"
    called = project.snakemake("--dry-run", str(named))
    assert said(called).endswith("ask for it by its path in the project's folder: results/synthetic/main/metrics.json")
    called = project.snakemake("--dry-run", str(named.with_name("metrix.json")))
    assert "there is no metrix.json; did you mean metrics.json?" in said(called)


def test_in_the_order_of_arguments(tmp_path):
    project = new_project(tmp_path / "project")
    path = project.folder / "results/synthetic/main/metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "changes.yaml", path]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
    assert said(Called(done.returncode, done.stderr)).endswith("name what you want before --configfile")


def test_in_the_groups_of_recordings(digits):
    changes = {"root": "recordings/spoken-digits", "group": "(ann|bob|cyd)"}
    digits.configure({"run": ["spoken-digits"], "datasets": {"spoken-digits": changes}})
    assert "'(ann|bob|cyd)' does not name a group for the recording" in said(digits.snakemake("--dry-run"))


def test_recordings_that_are_gone_do_not_stop_other_data_sets(project):
    project.configure(TINY | {"datasets": TINY["datasets"] | {"spoken-digits": {"root": "nowhere"}}})
    assert project.plan()["compare"] == 1
    called = project.snakemake("--dry-run", "results/spoken-digits/manifest.csv")
    assert said(called) == "earmark: The folder of recordings 'nowhere' does not exist."


def test_a_failing_stage_shows_its_sentence(tmp_path):
    project = new_project(tmp_path / "project")
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    assert config["run"] == ["synthetic"]
    (project.folder / "src/earmark/stages/generate.py").write_text(
        "from earmark.errors import EarmarkError\n\n\n"
        "def run(job):\n"
        "    raise EarmarkError('the disk is full of owls')\n"
    )
    called = project.snakemake("--cores", "1", "results/synthetic/generated.csv")
    assert called.status != 0
    assert "earmark: the disk is full of owls" in called.output
    assert not list((project.folder / "results").glob("synthetic/*"))
