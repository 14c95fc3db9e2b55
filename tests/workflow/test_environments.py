"""The environment as an Apptainer image: it holds what the lock pins, and rules run in it."""

import os
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet

from tests.workflow.conftest import ROOT

STAND_IN = """#!/bin/sh
[ "$1" = --version ] && { echo "apptainer version 1.3.0"; exit; }
echo "$@" >> called.txt
for last; do :; done
exec bash -c "$last"
"""
"""Runs the command that is meant for the image, without the image."""


def sections(definition):
    """Split an Apptainer definition into its header, under "", and its sections."""
    parts = re.split(r"^%(\w+)\n", re.sub(r"^\s*#.*\n", "", definition, flags=re.MULTILINE), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def test_the_image_installs_the_lock_and_nothing_else():
    image = sections((ROOT / "envs/earmark.def").read_text())
    source, target = image["files"].split()
    assert source == "envs/requirements.lock"
    assert [line.split()[-2:] for line in image["post"].splitlines() if "pip install" in line] == [
        ["--requirement", target]
    ]


def test_every_environment_has_the_python_of_the_project():
    served = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    image = sections((ROOT / "envs/earmark.def").read_text())
    version = re.search(r"^From: python:(\d+\.\d+)-", image[""], re.MULTILINE)[1]
    assert f"python={version}" in yaml.safe_load((ROOT / "envs/earmark.yaml").read_text())["dependencies"]
    assert version in served
    assert platform.python_version() in served
    makefile = re.search(r"^SERVING := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert makefile == [f"3.{minor}" for minor in range(20, 0, -1) if f"3.{minor}" in served]


def test_rules_run_in_the_image_by_its_own_python(project, tmp_path):
    program = tmp_path / "bin/apptainer"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    (project.folder / "envs/earmark.sif").touch()
    command = [sys.executable, "-m", "snakemake", "results/synthetic/generated.csv", "--cores", "1"]
    command += ["--configfile", "changes.yaml", "--software-deployment-method", "apptainer"]
    path = f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(command, cwd=project.folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    called = (project.folder / "called.txt").read_text()
    assert " envs/earmark.sif bash -c " in called
    assert "earmark generate --dataset synthetic" in called
    assert "export PATH=" not in called
