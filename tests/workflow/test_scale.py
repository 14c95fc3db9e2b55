"""A plan stays small: as many jobs for thirty classes as for ten, and little memory."""

import re
import subprocess
import sys

import pytest
import yaml

from tests.workflow.conftest import Called


def gtzan(root):
    """Return the whole experiment on a folder of recordings: all layers, three K, all methods, a model per fold."""
    methods = ["drsa", "dsa", "pca", "prca", "random~0", "random~1", "random~2"]
    block = {
        "source": "folder",
        "root": root,
        "grid": {"layers": ["conv1", "conv2", "conv3", "conv4", "conv5"], "methods": methods, "k": [2, 4, 8]},
        "model": {"filters": [32, 32, 64, 64, 128]},
        "cross_validation": True,
    }
    return {"run": ["large"], "datasets": {"large": block}}


def planned(project, classes):
    """Plan for a hundred empty recordings per class: the call, and the most memory it took."""
    for cls in range(classes):
        folder = project.folder / f"recordings/class{cls}"
        folder.mkdir(parents=True)
        for number in range(100):
            (folder / f"{number:05d}.wav").touch()
    (project.folder / "changes.yaml").write_text(yaml.safe_dump(gtzan("recordings")))
    measured = (
        "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:]); "
        "print('kB', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"
    )
    command = [sys.executable, "-m", "snakemake", "--configfile", "changes.yaml", "--dry-run", "--quiet", "rules"]
    done = subprocess.run(
        [sys.executable, "-c", measured, *command], cwd=project.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Called(0, done.stdout + done.stderr), int(re.search(r"kB (\d+)", done.stdout)[1]) / 1024


@pytest.mark.parametrize(("classes", "most_megabytes"), [(10, 200), (30, 300)])
def test_the_number_of_jobs_does_not_grow_with_the_classes(project, classes, most_megabytes):
    called, megabytes = planned(project, classes)
    combinations = 5 * 7 * 3
    assert called.jobs == {
        "ingest": 1,
        "train": 1 + 10,
        "predict": 1 + 10,
        "choose": 1,
        "collect_large": 5,
        "fit_large": combinations,
        "explain_large": combinations + 2,
        "picture_large": 5 * 3 + 1,
        "sonify_large": 5 * 3,
        "score": combinations + 2,
        "cross": 5 * 3 * 3,
        "compare": 1,
        "draw": 1,
        "report": 1,
    }
    assert megabytes < most_megabytes


def test_jobs_of_the_configuration_as_it_comes_are_few(project):
    project.configure({})
    assert sum(project.plan().values()) <= 300
