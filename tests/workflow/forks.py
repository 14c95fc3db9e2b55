"""Snakemake by the dozen: it is imported once, and each call is a fork of that process.

Reads one JSON list per line, the folder, the arguments, the file for the output and the environment, and answers with
the exit status.
"""

import gc
import importlib
import json
import os
import sys

from snakemake import cli

for name in ("api", "workflow", "dag", "linting", "profiles", "storage", "report.html_reporter"):
    importlib.import_module(f"snakemake.{name}")
for name in ("smart_open", "jsonschema", "requests", "yaml"):  # what Snakemake and the rules import in the end
    importlib.import_module(name)
gc.freeze()


def call(folder: str, arguments: list[str], output: str, environment: dict[str, str]) -> None:
    """Be Snakemake."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["snakemake", *arguments]
    cli.main()


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        call(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
