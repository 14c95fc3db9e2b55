"""The command: measure, and write ``benchmarks/latest.json``, ``docs/benchmarks.md`` and the growth plot."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure, report
from benchmarks.cases import CASES, Setting
from earmark.models import base as models

ROOT = Path(__file__).parents[1]
LATEST = ROOT / "benchmarks" / "latest.json"


def main() -> None:
    """Run the cases asked for on the CPU and, with ``--gpu 1``, on a GPU as well."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False  # single precision means single precision
    figures: dict[str, Any] = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    for name in [*([] if arguments.skip_cpu else ["cpu"]), *(["gpu"] if arguments.gpu else [])]:
        figures[name] = _measured(arguments, figures, name)
    if arguments.quick:
        print("Small sizes, where fixed costs rule: what is asked for is asked at full size. Nothing was written.")
        return
    figures.setdefault("gpu", None)
    write(figures)
    if "growth" in figures["cpu"]["rows"]:
        report.plot_growth(figures["cpu"]["rows"]["growth"], ROOT / "docs" / "img" / "benchmark-growth.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--gpu", type=int, default=0, help="1: measure on a GPU too")
    parser.add_argument("--skip-cpu", action="store_true", help="the CPU's figures stay as they are")
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing written: does everything run?")
    parser.add_argument("--full", action="store_true", help="run the published fit at D = 128 to its end")
    parser.add_argument("--only", choices=CASES, action="append", help="this case (repeatable); the others keep theirs")
    parser.add_argument("--threads", type=int, default=2, help="of torch, for both sides (default 2)")
    return parser.parse_args()


def _measured(arguments: argparse.Namespace, figures: dict[str, Any], name: str) -> dict[str, Any]:
    device = models.device(name == "gpu")
    machine = measure.machine(device, arguments.threads)
    kept = (figures.get(name) or {}).get("rows", {})
    setting = Setting(
        device,
        machine["limits"],
        quick=arguments.quick,
        full=arguments.full,
        stored=_stored(figures),
        threads=arguments.threads,
    )
    rows = {}
    for case, call in CASES.items():
        if arguments.only and case not in arguments.only:
            if case in kept and not arguments.quick:
                rows[case] = kept[case]
            continue
        start = time.perf_counter()
        if measured := call(setting):
            rows[case] = measured
            print(f"{name}: {case}, {time.perf_counter() - start:.0f} s\n{report.table(measured)}", flush=True)
    return {"machine": machine, "rows": rows}


def _stored(figures: dict[str, Any]) -> dict[str, float]:
    """Objectives of published runs made to their end, by the fingerprint of their pairs."""
    rows = [row for name in ("cpu", "gpu") for row in ((figures.get(name) or {}).get("rows", {}).get("drsa", []))]
    return {row["published_key"]: row["published_objective"] for row in rows if row["published_objective"] is not None}


def write(figures: dict[str, Any]) -> None:
    """Write ``latest.json``, and the page that is made from it."""
    _replace(LATEST, json.dumps(figures, indent=1) + "\n")
    _replace(ROOT / "docs" / "benchmarks.md", report.page(figures))


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(text)
    os.replace(partial, path)


if __name__ == "__main__":
    main()
