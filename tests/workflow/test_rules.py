"""What every rule must have, and what keeps the workflow and its environment in order."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from earmark.plan.methods import method_of, methods
from earmark.plan.stages import STAGES
from earmark.store.layout import AGREEMENT, NO_LAYERS, RESERVED, STANDARD
from tests.workflow.conftest import ROOT

LISTING = """
include: "Snakefile"

import json


class Named(dict):
    __getattr__ = dict.get


# Where the code depends on the method: of every method.
def declared(rule):
    found = getattr(rule.input, "code", [])
    if not callable(found):
        return {"": found}
    names = [f"{one.name}~0" if one.variants else one.name for one in methods()]
    return {name: found(Named(dataset="synthetic", method=name)) for name in names}


for one in workflow.rules:
    print("RULE", json.dumps({
        "name": one.name,
        "log": bool(one.log),
        "benchmark": bool(one.benchmark),
        "conda": bool(one.conda_env),
        "message": bool(one.message),
        "resources": sorted(one.resources),
        "params": sorted(one.params.keys()),
        "job": one.params.get("job", ""),
        "code": {method: [str(path) for path in files] for method, files in declared(one).items()},
        "shell": one.shellcmd,
        "output": [str(path) for path in one.output],
    }))
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    from tests.workflow.conftest import new_project

    project = new_project(tmp_path_factory.mktemp("rules") / "project")
    (project.folder / "listing.smk").write_text(LISTING)
    output = project.snakemake("--snakefile", "listing.smk", "--list-rules").output
    listed = [json.loads(line.removeprefix("RULE ")) for line in output.splitlines() if line.startswith("RULE ")]
    return {rule["name"]: rule for rule in listed if rule["name"] != "all"}


def stage_of(name):
    """Rules with an output per class exist once per data set, whose name they end in."""
    return name.partition("_")[0]


def test_a_rule_bears_the_name_of_its_stage(rules):
    assert {stage_of(name) for name in rules} == set(STAGES)
    for name, rule in rules.items():
        assert rule["job"].startswith(f"{stage_of(name)} --dataset ")
        assert rule["shell"].startswith("earmark {params.job} ")


def test_every_rule_has_what_it_must_have(rules):
    for name, rule in rules.items():
        assert rule["log"], name
        assert rule["benchmark"], name
        assert rule["conda"], name
        assert rule["message"], name
        assert {"_cores", "mem_mb", "runtime"} <= set(rule["resources"]), name
        assert "config" in rule["params"], name
        assert rule["shell"].endswith("> {log} 2>&1"), name


def test_rules_that_compute_on_a_gpu_ask_for_one(rules):
    for name, rule in rules.items():
        takes = "gpu" in STAGES[stage_of(name)].coordinates
        assert ("gpu" in rule["resources"]) == takes, name
        assert ("--gpu {resources.gpu}" in rule["shell"]) == takes, name


def files_of(rule, method=""):
    """Name the files below the package that a rule declares, of a method where they depend on it."""
    found = rule["code"]
    return {path.removeprefix("src/earmark/") for path in found[method if method in found else ""]}


def file_of(method):
    return f"{method.module.replace('.', '/')}.py"


def test_rules_declare_the_code_that_they_run(rules):
    def code(name):
        return files_of(rules[name], "drsa")

    for name in rules:
        assert f"stages/{stage_of(name)}.py" in code(name)
        assert not code(name) & {"cli.py", "plan/config.py", "plan/targets.py", "__main__.py"}
    subspaces = "explainers/subspaces"
    assert {f"{subspaces}/drsa.py", f"{subspaces}/basis.py"} <= code("fit_synthetic")
    assert {"lrp/rules.py", "lrp/attributor.py"} <= code("collect_synthetic")
    for stage in ("generate", "ingest", "train", "collect_synthetic", "score", "composites"):
        assert f"{subspaces}/drsa.py" not in code(stage)
    sources = {name for name in code("generate") if name.startswith("sources/")}
    assert sources == {"sources/__init__.py", "sources/base.py"}  # an edit of one source leaves the others' data alone


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_an_edit_of_a_family_concerns_its_own_jobs_and_those_that_build_its_explainers(rules, method):
    def families(rule):
        return files_of(rule, f"{method.name}~0" if method.variants else method.name) & {
            file_of(one) for one in methods()
        }

    # the search for places starts from eq. 2.19; the standard explanation may be by occlusion
    others = {"info": "drsa", STANDARD: "occlusion"}
    own = {file_of(method)} | ({file_of(method_of(others[method.name]))} if method.name in others else set())
    standard = {file_of(method_of(name)) for name in (STANDARD, "occlusion")}
    own |= standard if method.beside else set()
    for name, rule in rules.items():
        expected = dict.fromkeys(("fit", "learn", "imitate", "explain", "cross", "stability", "sanity", "outside"), own)
        expected |= dict.fromkeys(("objects", "listen", "blind", "track"), own | standard)
        assert families(rule) == expected.get(stage_of(name), set()), name


def test_no_folder_can_be_taken_for_that_of_a_class_a_layer_or_a_method(rules):
    inside = {}  # what rules write into each folder
    wild = {"synthetic": "{dataset}", "class1": "{cls}", "class2": "{cls}"}
    for path in {path for rule in rules.values() for path in rule["output"]}:
        parts = [wild.get(part, part) for part in re.sub(r"\{(\w+),[^{}]*\}", r"{\1}", path).split("/")]  # constrained
        for depth in range(1, len(parts)):
            inside.setdefault(tuple(parts[:depth]), set()).add(parts[depth])

    def beside(wildcard):
        names = set().union(*(names for names in inside.values() if wildcard in names))
        return {name for name in names if "." not in name and "{" not in name}

    assert {"masked", "tracks"} <= beside("{cls}") <= RESERVED
    assert {"scaled", "trained"} <= beside("{layer}") <= NO_LAYERS
    assert {"pairs", AGREEMENT} <= beside("{method}")
    assert beside("{method}").isdisjoint(one.name for one in methods())
    assert {"figures", "generated"} <= beside("{split}")
    assert not any(name.startswith(("main", "cv", "net")) for name in beside("{split}"))


def test_the_linter_is_content():
    done = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 60


def locked(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_the_conda_environment_is_the_lock():
    environment = yaml.safe_load((ROOT / "envs/earmark.yaml").read_text())
    assert environment["dependencies"][-1]["pip"] == locked(ROOT / "envs/requirements.lock"), "run `make lock`"


def test_the_lock_pins_everything_that_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    pinned = {line.split("==")[0].lower() for line in locked(ROOT / "envs/requirements.lock")}
    assert all("==" in line for line in locked(ROOT / "envs/requirements.lock"))
    assert set(asked) <= pinned


def test_no_rate_limits_how_often_a_local_job_starts(project):
    """With a limit Snakemake polls for jobs, and takes half a core for it."""
    (project.folder / "watched.smk").write_text(
        'include: "Snakefile"\n\n\nonsuccess:\n    print("LIMIT", workflow.scheduler.job_rate_limiter)\n'
    )
    called = project.snakemake("--snakefile", "watched.smk", "--cores", "1", "results/synthetic/generated.csv")
    assert "LIMIT None" in called.output, called.output
