"""The Pythons that serve give the same results: another one runs the tiny grid, and its files are compared."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.workflow.conftest import MEASURED, new_project

SECOND = "EARMARK_SECOND_PYTHON"
"""Names the other Python, with the packages of the lock: `make test-second` sets it."""

pytestmark = pytest.mark.skipif(SECOND not in os.environ, reason=f"{SECOND} names none; make test-second does")


def without_versions(path):
    """Return a result's content, and its provenance apart from the versions of Python and its packages."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        content.get("provenance", {}).pop("versions", None)
        return content
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            described = {key: json.loads(text) for key, text in file.metadata().items()}
            for content in described.values():
                content["provenance"].pop("versions")
            return described, {name: (one.dtype, one.shape, one.tobytes()) for name, one in tensors(file)}
    return path.read_bytes()


def tensors(file):
    return ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118 - the file is no mapping


def contents(project):
    root = project.folder / "results"
    files = [path for path in root.rglob("*") if path.is_file() and path.name != MEASURED]
    return {str(path.relative_to(root)): without_versions(path) for path in files}


def version(python):
    command = [python, "-c", "import sys; print(sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_another_python_gives_the_same_results(complete, tmp_path):
    second = Path(os.environ[SECOND])
    assert version(second) != version(sys.executable)
    project = new_project(tmp_path / "project")
    command = [second, "-m", "snakemake", "--configfile", "changes.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=project.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    found, wanted = contents(project), contents(complete)
    assert found.keys() == wanted.keys()
    assert [name for name, content in found.items() if content != wanted[name]] == []
