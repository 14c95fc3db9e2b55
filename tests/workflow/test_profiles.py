"""The profiles: what they name exists, and both say the same where they must."""

import json
import re

import pytest
import yaml

from earmark.plan.stages import STAGES
from tests.workflow.conftest import ROOT

PROFILES = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("profiles/*/config.yaml"))}
ON_GPU = {stage for stage, one in STAGES.items() if "gpu" in one.coordinates}

GROUPS = """
include: "Snakefile"

import json

for one in workflow.rules:
    print("RULE", json.dumps([one.name, one._group, one.name in workflow._localrules]))
"""


@pytest.fixture(scope="module")
def project(shared):
    return shared


@pytest.fixture(scope="module")
def rules(project):
    """Map every rule to its group, and to whether it runs where Snakemake does."""
    (project.folder / "groups.smk").write_text(GROUPS)
    output = project.snakemake("--snakefile", "groups.smk", "--list-rules").output
    listed = [json.loads(line.removeprefix("RULE ")) for line in output.splitlines() if line.startswith("RULE ")]
    return {name: (group, local) for name, group, local in listed}


def stage(rule):
    return rule.split("_")[0]


def test_profiles_name_rules_that_exist(project):
    listed = project.snakemake("--list-rules").output.split()
    known = {*listed, *(stage(rule) for rule in listed)}
    for name, profile in PROFILES.items():
        for option in ("set-resources", "set-threads", "groups"):
            assert set(profile.get(option, {})) <= known, (name, option)


def test_a_misspelt_rule_is_a_mistake(project):
    called = project.snakemake("--dry-run", "--set-resources", "trian:mem_mb=1")
    assert called.status != 0
    assert "earmark: --set-resources: there is no rule trian; did you mean train? Allowed: generate" in called.output


def test_what_is_set_for_a_stage_holds_for_each_data_set(project):
    called = project.snakemake("--dry-run", "--resources", "gpu=1", "--set-resources", "fit:gpu=0")
    assert set(re.findall(r"earmark fit .* --gpu (\d)", called.output)) == {"0"}
    assert set(re.findall(r"earmark train .* --gpu (\d)", called.output)) == {"1"}


def test_locally_there_are_as_many_gpus_as_the_call_says(project):
    for arguments, gpus in (((), "0"), (("--resources", "gpu=1"), "1")):
        called = project.snakemake("--dry-run", "--workflow-profile", "profiles/default", *arguments)
        assert set(re.findall(r" --gpu (\d)", called.output)) == {gpus}


def test_slurm_sends_what_computes_on_a_gpu_and_nothing_else_to_gpus():
    profile = PROFILES["slurm"]
    assert set(profile["set-resources"]) == ON_GPU
    for asked in profile["set-resources"].values():
        assert asked["gpu"] == 1
        assert asked["slurm_partition"] != profile["default-resources"]["slurm_partition"]


def test_groups_are_of_gpu_rules_or_of_others(rules):
    groups = {group for group, _ in rules.values() if group}
    assert groups
    for group in groups:
        assert len({stage(rule) in ON_GPU for rule, (other, _) in rules.items() if other == group}) == 1
    assert set(PROFILES["slurm"]["group-components"]) <= groups


def test_only_cheap_rules_are_kept_from_the_cluster(rules):
    assert {rule for rule, (_, local) in rules.items() if local} == {"generate", "choose"}


def test_slurm_repeats_what_the_default_profile_says():
    for option, value in PROFILES["default"].items():
        if option != "resources":  # the GPUs of this machine
            assert PROFILES["slurm"][option] == value, option
