"""Test processes compute on one thread each and draw to files; namespaces stand for full and read-only disks.

Pages are opened in a browser, where there is one.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # two of them share two cores, and wait for each other at every operation otherwise
os.environ["MPLBACKEND"] = "Agg"


WORKFLOW = Path(__file__).with_name("workflow")
LONG = [
    WORKFLOW / f"test_{name}.py"
    for name in "slurm band end_to_end adopted recovery masking added_explainer reruns".split()
]
"""Files that take long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that the last to end are short, and no core is left idle."""
    items.sort(key=lambda item: LONG.index(item.path) if item.path in LONG else len(LONG))


def in_namespace(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount file systems for itself, in a folder; skip where the system forbids that."""
    command = ["unshare", "--mount", "--map-root-user", "--"]
    try:
        subprocess.run([*command, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a file system in a namespace of its own: {error}")
    return subprocess.run([*command, "sh", "-c", script, *arguments], cwd=folder, capture_output=True, text=True)


OPTIONS = [
    "--no-sandbox",  # for a browser that runs as root, as in a container
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def missing(what: str) -> None:
    """Skip for want of something, or fail where it must be there."""
    if os.environ.get("EARMARK_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what}, and EARMARK_REQUIRE_BROWSER=1 asks for it")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    try:
        import axe_playwright_python  # noqa: F401
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        missing(f"{error.name} is not installed: pip install playwright axe-playwright-python")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("no chromium is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield opened
        opened.close()
