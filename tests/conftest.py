"""Test processes compute on one thread each and draw to files; namespaces stand for full and read-only disks."""

import os
import subprocess
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # two of them share two cores, and wait for each other at every operation otherwise
os.environ["MPLBACKEND"] = "Agg"


def in_namespace(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount file systems for itself, in a folder; skip where the system forbids that."""
    command = ["unshare", "--mount", "--map-root-user", "--"]
    try:
        subprocess.run([*command, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a file system in a namespace of its own: {error}")
    return subprocess.run([*command, "sh", "-c", script, *arguments], cwd=folder, capture_output=True, text=True)
