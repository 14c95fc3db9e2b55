"""An explainer of one's own is two files beside the others: everything else follows from what they say."""

import csv
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.workflow.conftest import TINY

BLOCK = TINY["datasets"]["synthetic"]

MODULE = '''
"""Family ``loudness``: where the clip is loud, whatever the network makes of it."""

from collections.abc import Mapping
from typing import Any

from earmark.explainers.base import Batch, Explainer, Parts
from earmark.models.base import Model


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: None, seed: int) -> Explainer:
    """Make ``loudness``: cells to a power."""
    power = settings["explainers"]["loudness"]["power"]
    return lambda batch: Parts(batch.inputs.double().pow(power).to(batch.inputs)[:, None])
'''

RECORD = """
says: where the clip is loud
methods:
  loudness:
    says: the cells of the clip, to a power
    promises: [signed]
settings:
  power:
    description: of every cell
    type: integer
    minimum: 1
    default: 3
"""


@pytest.fixture(scope="module")
def extended(complete, tmp_path_factory):
    """Return a project after a complete run that two files were added to."""
    project = complete.copy(tmp_path_factory.mktemp("extended") / "project")
    (project.folder / "src/earmark/explainers/loudness.py").write_text(MODULE)
    (project.folder / "src/earmark/explainers/loudness.yaml").write_text(RECORD)
    return project


def asked(**settings):
    """Return a configuration that has the method in its grid."""
    grid = BLOCK["grid"] | {"methods": [*BLOCK["grid"]["methods"], "loudness"]}
    block = BLOCK | {"grid": grid, "explainers": BLOCK["explainers"] | settings}
    return TINY | {"datasets": {"synthetic": block}}


def python(project, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project.folder,
        env={"PYTHONPATH": "src", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_it_is_in_the_help_and_in_the_reference(extended):
    assert "loudness" in python(extended, "earmark", "explain", "--help")
    section = python(extended, "earmark.plan.reference").split("## `datasets.NAME.explainers.loudness`\n")[1]
    assert "`power`" in section.split("\n## ")[0]


def test_a_mistake_in_its_settings_or_its_name_is_a_sentence(extended):
    extended.configure(asked(loudness={"powr": 2}))
    called = extended.snakemake("--dry-run")
    assert called.status != 0
    assert "explainers.loudness" in called.output
    extended.configure(asked(loudness={"power": 0}))
    assert "explainers.loudness.power" in extended.snakemake("--dry-run").output
    extended.configure(TINY)
    assert "did you mean loudness" in extended.snakemake("--dry-run", PATH.replace("loudness", "loudnes")).output


PATH = "results/synthetic/main/input/loudness/K~1/scores.csv"


def test_nothing_is_made_again_for_it(extended):
    extended.configure(TINY)
    assert extended.snakemake("--dry-run").jobs == {}
    extended.configure(asked())
    jobs = {"explain_synthetic": 1, "score": 1, "objects": 1, "compare": 1, "draw": 1, "report": 1}
    assert extended.snakemake("--dry-run").jobs == jobs
    assert extended.snakemake("--dry-run", PATH).jobs == {"explain_synthetic": 1, "score": 1}


def test_it_is_scored_and_stands_in_the_tables(extended):
    extended.configure(asked(loudness={"power": 5}))
    called = extended.snakemake("--cores", "2", "results/synthetic/tables/flipping.csv")
    assert called.status == 0, called.output
    for name in ("flipping", "ground_truth"):
        with (extended.folder / f"results/synthetic/tables/{name}.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["method"] == "loudness"]
        assert rows, name
    assert "loudness" in (extended.folder / "results/synthetic/tables/flipping.md").read_text()
    inputs = load_file(extended.folder / "results/synthetic/logmel.safetensors")["logmel"]
    found = load_file(extended.folder / "results/synthetic/main/input/loudness/K~1/class2/heatmaps.safetensors")
    expected = inputs[found["clips"]].double().pow(5).float()  # [B, 1, F, T]
    assert torch.equal(found["heatmaps"][:, 0], expected)
