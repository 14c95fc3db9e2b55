"""What an edit makes stale: docs/reruns.md says so, and every row of its tables is tried by a dry-run."""

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
import yaml

from earmark.plan.code import files
from earmark.plan.methods import methods
from earmark.plan.stages import STAGES
from tests.workflow.conftest import ROOT, TINY, Called, new_project

RULES = """
    generate ingest train predict choose collect fit explain picture sonify score cross ablate objects composites
    compare draw report
""".split()
BLOCK = TINY["datasets"]["synthetic"]

CHANGES = {
    "synthetic": {"noise": 0.1},
    "band": {"tracks_per_style": 11},
    "voices": {"takes": 3},
    "frontend": {"floor": -5.0},
    "model": {"dropout": 0.1},
    "train": {"epochs": 41},
    "augment": {"gain_probability": 0.5},
    "lrp": {"stabilizer": 1e-6},
    "pairs": {"positions": 9},
    "explainers": {"drsa": {"restarts": 2, "max_iterations": 50}, "oracle": BLOCK["explainers"]["oracle"]},
    "explain": {"clips": 9},
    "sonify": {"percentile": 80},
    "evaluate": {"patch": 16},
    "objects": {"clips": 7},
    "composites": {"clips": 5},
    "stability": {"draws": 6},
    "tracks": [{"file": "config.yaml"}],
    "licence": "CC0-1.0",
    "listening_test": {"clips": 4},
    "root": "recordings",
    "group": "class",
    "groups": "artists.csv",
    "folds": 5,
    "expected": {"seconds": 0.5},
    "clips_per_recording": 3,
}
"""Another value for every key of a data set's block that has a row of its own."""


def rows(heading):
    """Return the table below a heading of docs/reruns.md: what is edited, and the rules that become stale."""
    section = (ROOT / "docs/reruns.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE)
    table = {name: stale for names, stale in cells for name in re.findall(r"`([^`]+)`", names)}
    return {name: rules_in(stale) for name, stale in table.items()}


def rules_in(cell):
    """Return the rules that a cell names: several, one `and all that follows`, or `nothing`."""
    if cell.split("; ")[0].startswith("nothing"):  # of what was asked for here
        return set()
    if cell.endswith(" and all that follows"):
        return set(RULES[RULES.index(cell.split()[0]) :])
    return set(cell.split(", "))


PACKAGE = ROOT / "src/earmark"
PARAMETERS = rows("Parameters")
CODE = rows("Code")
"""Stale rules by the patterns of the files below the package."""
ROOTS = [f"stages.{stage}" for stage in STAGES] + sorted({method.module for method in methods()})


def below(pattern):
    return sorted(path for path in PACKAGE.glob(pattern) if path.is_file())


def edits():
    """Yield a file of every row, and more where its files do not concern the same modules: the rest is as they are."""
    seen = set()
    for pattern, expected in CODE.items():
        for path in below(pattern):
            concerned = (frozenset(root for root in ROOTS if path in files(root)), frozenset(expected))
            if concerned not in seen:
                seen.add(concerned)
                module = str(path.relative_to(PACKAGE))
                yield pytest.param(module, expected, id=module)


@pytest.fixture(scope="module")
def copied(complete, tmp_path_factory):
    return complete.copy(tmp_path_factory.mktemp("reruns") / "project")


def stale(called):
    assert called.status == 0, called.output
    return {rule.removesuffix("_synthetic") for rule in called.jobs}


def test_the_tables_are_complete():
    listed = [path for pattern in CODE for path in below(pattern)]
    present = {path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml", ".html", ".css", ".js")}
    assert len(listed) == len(set(listed))
    assert set(listed) == present
    schema = yaml.safe_load((ROOT / "src/earmark/plan/config.schema.yaml").read_text())
    other_data_or_wishes = {"source", "labels", "extends", "grid", "networks", "cross_validation", "stems", "separated"}
    assert set(CHANGES) == set(schema["$defs"]["dataset"]["properties"]) - other_data_or_wishes
    assert set(PARAMETERS) == {*CHANGES, "seed", "torch_threads"}


@pytest.mark.parametrize("profile", sorted(path.name for path in (ROOT / "profiles").iterdir()))
@pytest.mark.parametrize("arguments", [(), ("--cores", "1"), ("--cores", "16", "--resources", "gpu=1")])
def test_after_a_complete_run_nothing_is_stale(copied, profile, arguments):
    called = copied.snakemake("--dry-run", "--workflow-profile", f"profiles/{profile}", *arguments)
    assert stale(called) == set()
    assert "Nothing to be done" in called.output


def test_a_touch_of_every_file_makes_nothing_stale(copied):
    for path in sorted(copied.folder.rglob("*")):  # sources after results
        if ".snakemake" not in path.parts:
            path.touch()
    assert stale(copied.snakemake("--dry-run")) == set()


def test_results_without_their_records_are_stale_once_touched(complete, tmp_path):
    """The checksums are what tells a touch from an edit; without them the files' ages do."""
    copied = complete.copy(tmp_path / "project")
    (copied.folder / ".snakemake").rename(tmp_path / "records")
    for path in (copied.folder / "src").rglob("*.py"):
        path.touch()
    assert stale(copied.snakemake("--dry-run")) == set(RULES)


COUNTING = """
import hashlib, os

digest = hashlib.file_digest

def counted(file, *arguments):
    with open(os.environ["READ"], "a") as names:
        print(file.name, file=names)
    return digest(file, *arguments)

hashlib.file_digest = counted
"""


def test_what_a_job_read_is_read_once_for_its_record(complete, tmp_path, monkeypatch):
    """Snakemake itself would read all heatmaps once for each of the tables."""
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("READ", str(tmp_path / "read"))
    call = "--configfile changes.yaml --cores 2 --forcerun compare --until compare".split()
    folder = complete.copy(tmp_path / "project").folder
    done = subprocess.run([sys.executable, "-m", "snakemake", *call], cwd=folder, capture_output=True, text=True)
    assert Called(done.returncode, done.stderr).jobs == {"compare": 1}
    read = (tmp_path / "read").read_text().splitlines()
    maps = [name for name in read if name.endswith("heatmaps.safetensors")]
    assert len(maps) == len(set(maps)) > 10


@contextmanager
def edited(project, name):
    """Add a line to a file of the package for a while."""
    path = project.folder / "src/earmark" / name
    content = path.read_bytes()
    path.write_bytes(content + b"\n# edited\n")
    try:
        yield
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(("module", "expected"), list(edits()))
def test_an_edited_module(copied, module, expected):
    with edited(copied, module):
        assert stale(copied.snakemake("--dry-run")) == expected


PARTS = {
    "controls": {"explain": 1, "score": 1},
    "subspaces/oracle": {"fit": 2, "explain": 2, "score": 2, "objects": 2},
    # The oracle starts from what the others found.
    "subspaces/baselines": {"fit": 4, "explain": 4, "score": 4, "objects": 4},
    "subspaces/drsa": {"fit": 4, "explain": 4, "score": 4, "objects": 4, "cross": 2, "picture": 2, "sonify": 2},
}


@pytest.mark.parametrize("module", PARTS)
def test_an_edited_explainer_costs_its_own_results(copied, module):
    """The grid has 2 layers of three methods, beside the standard heatmaps and a control."""
    with edited(copied, f"explainers/{module}.py"):
        found = copied.snakemake("--dry-run").jobs
    assert {rule.removesuffix("_synthetic"): jobs for rule, jobs in found.items()} == {
        **PARTS[module],
        "compare": 1,
        "draw": 1,
        "report": 1,
    }


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_changed_parameter(copied, key):
    if key in CHANGES:
        new = BLOCK.get(key, {}) | CHANGES[key] if isinstance(CHANGES[key], dict) else CHANGES[key]
        copied.configure(TINY | {"datasets": {"synthetic": BLOCK | {key: new}}})
    else:
        copied.configure(TINY | {key: 5})
    try:
        assert stale(copied.snakemake("--dry-run")) == PARAMETERS[key]
    finally:
        copied.configure(TINY)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """Return a project with a folder of recordings that has been ingested, and a table of their groups."""
    project = new_project(tmp_path_factory.mktemp("folder") / "project")
    for cls in ("a", "b"):
        for number in range(4):
            samples = np.random.default_rng([ord(cls), number]).uniform(-0.5, 0.5, 16000)
            path = project.folder / f"recordings/{cls}/{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, 16000)
    (project.folder / "groups.csv").write_text("path,group\na/0,ann\n")
    project.configure(of_folder("recordings", "groups.csv"))
    called = project.snakemake("--cores", "1", MANIFEST)
    assert called.status == 0, called.output
    return project


MANIFEST = "results/mine/manifest.csv"


def of_folder(root, groups):
    block = {"source": "folder", "root": str(root), "groups": str(groups), "frontend": BLOCK.get("frontend", {})}
    return {"run": ["mine"], "torch_threads": 1, "datasets": {"mine": block}}


def test_the_same_recordings_in_another_place_make_nothing_stale(ingested, tmp_path):
    assert stale(ingested.snakemake("--dry-run", MANIFEST)) == set()
    shutil.copytree(ingested.folder / "recordings", tmp_path / "moved", copy_function=shutil.copy)
    shutil.copy(ingested.folder / "groups.csv", tmp_path / "artists.csv")
    ingested.configure(of_folder(tmp_path / "moved", tmp_path / "artists.csv"))
    assert stale(ingested.snakemake("--dry-run", MANIFEST)) == set()


@pytest.mark.parametrize("edited", ["a/1.wav", "groups.csv"])
def test_other_contents_of_the_same_size_make_ingest_stale(ingested, tmp_path, edited):
    shutil.copytree(ingested.folder / "recordings", tmp_path / "recordings")
    table = shutil.copy(ingested.folder / "groups.csv", tmp_path / "recordings")
    path = tmp_path / "recordings" / edited
    path.write_bytes(path.read_bytes()[:-2] + b"b\n")
    ingested.configure(of_folder(tmp_path / "recordings", table))
    assert stale(ingested.snakemake("--dry-run", MANIFEST)) == {"ingest"}


@pytest.mark.parametrize(
    ("grid", "jobs"),
    [
        (
            {"methods": ["drsa", "random~1", "oracle"]},  # the oracle starts from what was fitted
            {"fit": 4, "explain": 4, "score": 4, "objects": 4, "compare": 1, "draw": 1, "report": 1},
        ),
        ({"layers": ["conv2"]}, {"compare": 1, "draw": 1, "report": 1}),
        (
            {"layers": ["conv4", "conv5"]},
            {
                "collect": 1,
                "fit": 3,
                "explain": 3,
                "picture": 1,
                "sonify": 1,
                "score": 3,
                "cross": 1,
                "objects": 3,
                "compare": 1,
                "draw": 1,
                "report": 1,
            },
        ),
    ],
)
def test_another_grid_adds_what_it_lacks(copied, grid, jobs):
    copied.configure(TINY | {"datasets": {"synthetic": BLOCK | {"grid": BLOCK["grid"] | grid}}})
    try:
        found = copied.snakemake("--dry-run").jobs
        assert {rule.removesuffix("_synthetic"): count for rule, count in found.items()} == jobs
    finally:
        copied.configure(TINY)
