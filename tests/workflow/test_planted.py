"""examples/planted.yaml: what its script writes is planned like anybody's recordings, stems and network."""

import subprocess
import sys

import yaml

from tests.workflow.conftest import ROOT


def test_what_is_planted_is_explained_by_all_that_the_example_names(project):
    command = [sys.executable, "-m", "examples.planted.recordings", "--count", "3"]
    subprocess.run(command, check=True, cwd=project.folder, capture_output=True)
    example = yaml.safe_load((ROOT / "examples/planted.yaml").read_text())
    project.configure(example)
    jobs = project.plan()
    asked = example["datasets"]["planted"]["evaluate"]
    assert (jobs["adopt"], jobs["gather"], jobs["mask"], jobs["sanity"]) == (1, 1, *map(len, asked.values()))
    assert "train" not in jobs
