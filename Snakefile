# Earmark: concept explanations of audio classifiers that you can hear.
# This file is the table of contents; the steps are in workflow/rules, the arithmetic is in src/earmark.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


# Used only with --software-deployment-method apptainer; made of envs/earmark.def.
container: "envs/earmark.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/subspaces.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        TRACK or [wanted(dataset) for dataset in config["run"]],


onsuccess:
    for folder in [TRACK] if TRACK else [f"results/{dataset}/report" for dataset in config["run"]]:
        if os.path.exists(made := f"{folder}/index.html"):
            print(f"To see and hear it, open {os.path.abspath(made)}", file=sys.stderr)
