"""The command ``python -m benchmarks.workflow BEFORE AFTER``: what each stage of two runs of the workflow cost.

Both folders hold a run from scratch, made one after the other on the same idle machine; a single one holds a run of the
present. The figures go into ``benchmarks/latest.json`` and ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.run import LATEST, write


def main() -> None:
    """Read what Snakemake noted of runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workflow", description=__doc__)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="of a run from scratch: before, after; or of today's"
    )
    figures: dict[str, Any] = json.loads(LATEST.read_text())
    found = [costs(folder) for folder in parser.parse_args().folders]
    places = slice(2, None) if len(found) == 1 else slice(0, len(found))
    figures["workflow"][places] = found
    write(figures)
    print(report.stages(*figures["workflow"]))


def costs(folder: Path) -> dict[str, Any]:
    """Sum up a run.

    Parameters
    ----------
    folder : Path
        With ``logs`` and ``.snakemake/log``, of one call from scratch.

    Returns
    -------
    dict
        ``wall_s``, and per stage ``jobs``, ``seconds`` of all of them, and ``memory_mb``, the most of one.
    """
    (log,) = (folder / ".snakemake/log").glob("*.log")
    found = re.search(r"^Elapsed time: (\d+):(\d\d):(\d\d(?:\.\d+)?)$", log.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{log}: this run did not come to its end")
    hours, minutes, seconds = map(float, found.groups())
    stages: dict[str, dict[str, float]] = {}
    for path in sorted((folder / "logs").rglob("*.tsv")):
        with path.open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        stage = stages.setdefault(path.stem, {"jobs": 0, "seconds": 0.0, "memory_mb": 0.0})
        stage["jobs"] += 1
        stage["seconds"] += float(row["s"])
        if row["max_rss"] != "NA":  # of a job too short to be looked at
            stage["memory_mb"] = max(stage["memory_mb"], float(row["max_rss"]))
    return {"wall_s": 3600 * hours + 60 * minutes + seconds, "stages": stages}


if __name__ == "__main__":
    main()
