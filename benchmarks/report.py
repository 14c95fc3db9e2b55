"""``docs/benchmarks.md`` and the growth plot, made from ``latest.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from earmark.plan.stages import STAGES

HEAD = """# Benchmarks

Made by `make bench` from `benchmarks/latest.json`; edit neither by hand. `make bench ARGS=--full` also runs the
published fit at D = 128 to its end, `ARGS="--only flipping"` measures one case anew.

*Published* is the procedure that the papers describe, written from the description (`benchmarks/baselines.py`):
subspaces by autograd, unit step and eigendecomposition, 3 runs of 5000 steps; concept heatmaps by repeating each clip
K + 1 times through zennit's own rules; patch flipping one clip and one step at a time. Of gradient maps it is captum
(`benchmarks/attributions.py`), in the batches that suit it best. Both sides run in one process, in turn (A B A B ...),
on the same inputs, nothing kept between runs; figures are medians of five runs after a warm-up.
A row is met only if the results agree too. *Floor*: the operations that the method needs over the peak measured on this
machine, or the bytes that it must move over the measured bandwidth, whichever takes longer; the last column says how
many times longer Earmark takes. The inputs are clips of simulated patterns and networks trained on them a little
(`benchmarks/inputs.py`), of the sizes in the thesis.
"""
WORKFLOW = """
## The default run, stage by stage

A plain call of Snakemake from scratch after installing, on two cores, before and after the package was given its
rooms; one after the other on the same machine: `python -m benchmarks.workflow BEFORE AFTER`, from the two folders.
Seconds are those of all jobs of a stage, of which two run at a time, starting Python included. *Before*, `train` also
predicted all clips, the oracle was a stage of its own, `explain` drew its heatmaps, `compare` all figures, and ground
truth was judged on 200 clips and 50 sounds of a class, now on 100 and 20. Intervals of the
concepts' information on sound objects then reach .009 either way over both classes, and .015 to .018 for one; below .01
for one they are with 300 clips (`objects.clips` and `synthetic.all_objects_clips`), for some 80 seconds of jobs more.
*Now* is the default run as it is today, on another day (`python -m benchmarks.workflow FOLDER`): with `info` in its
grid and its matrices, structural similarity in its scores and tables, and the page.

"""
ON_GPU = """
What is asked for was set for two cores. Batches of two to four clips keep a GPU waiting for its kernels to be launched:
that is what the factors over the floor are. So do gradient maps, which are computed clip by clip, at most 64 places at
once: captum's larger batches are two to four times as fast there, and a third to a sixth as fast on two cores.
In single precision, rounding decides now and then which of two equal cells a pool hands on: on the CPU alone one clip
of eight differs by 4e-4 of the largest value between single and double precision, the other seven by 2e-7 at most. In
double precision GPU and CPU agree to 1e-9, and every method gives the same explanations on both, to 1e-4 of the largest
value (`make test-gpu`).
"""
RUNS = ("before", "after", "now")
COLUMNS = ("case", "published", "Earmark", "ratio", "asked for", "met", "results", "floor", "x floor")


def duration(seconds: float | None) -> str:
    """Write a duration in the unit that suits it."""
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"


def cells(row: dict[str, Any]) -> list[str]:
    """Write one measured row."""
    ratio = f"{row['ratio']:.1f}x" if row["ratio"] else ""
    results = "; ".join(part for part in (row["agreement"], row["note"]) if part)
    floor = f"{duration(row['floor_s'])} ({row['floor']})" if row["floor_s"] else ""
    times = f"{row['times_floor']:.1f}" if row["times_floor"] else ""
    met = "yes" if row["met"] else "**no**"
    published, ours = duration(row["published_s"]), duration(row["ours_s"])
    return [row["name"], published, ours, ratio, row["required"], met, results, floor, times]


def table(rows: list[dict[str, Any]]) -> str:
    """Render rows as Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    limits = machine["limits"]
    return (
        f"{machine['device']}; {machine['cores']} cores, {machine['threads']} threads of torch; {versions}. "
        f"Measured peak {limits['flops'] / 1e9:.0f} Gflop/s, {limits['bytes'] / 1e9:.0f} GB/s, single precision.\n"
    )


def page(figures: dict[str, Any]) -> str:
    """Render the whole page.

    Parameters
    ----------
    figures : dict
        ``latest.json``: per device (``cpu``, ``gpu``) a ``machine`` and ``rows`` by case, or None.
    """
    parts = [HEAD]
    for device, title in (("cpu", "CPU"), ("gpu", "GPU")):
        parts.append(f"\n## {title}\n\n")
        measured = figures.get(device)
        if measured is None:
            names = [row["name"] for row in _rows(figures.get("cpu"))]
            parts.append(
                "\n".join(["| case | Earmark |", "| --- | --- |", *(f"| {n} | not measured |" for n in names)])
            )
            parts.append("\n")
            continue
        parts += [_machine(measured["machine"]), "\n", table(_rows(measured))]
        if device == "gpu":
            parts.append(ON_GPU)
        if device == "cpu" and "growth" in measured["rows"]:
            parts.append("\n![How time grows; dashed: the arithmetic](img/benchmark-growth.png)\n")
    if "workflow" in figures:
        parts += [WORKFLOW, stages(*figures["workflow"])]
    return "".join(parts)


def stages(*costs: dict[str, Any]) -> str:
    """Render what each stage cost in the runs of `RUNS`, see :func:`benchmarks.workflow.costs`, as Markdown."""
    runs = [cost["stages"] for cost in costs]
    others = " |" * len(runs)
    lines = [f"| stage | jobs{others} seconds{others} most MB{others}", f"|---{'|---' * 3 * len(runs)}|"]
    lines.append(f"| | {' | '.join(3 * RUNS[: len(runs)])} |")
    for stage in [stage for stage in dict.fromkeys([*STAGES, *runs[0]]) if any(stage in run for run in runs)]:
        lines.append(_columns(stage, *(run.get(stage) for run in runs)))
    totals = [
        {
            "jobs": sum(cost["jobs"] for cost in run.values()),
            "seconds": sum(cost["seconds"] for cost in run.values()),
            "memory_mb": max(cost["memory_mb"] for cost in run.values()),
        }
        for run in runs
    ]
    lines.append(_columns("**all**", *totals))
    walls = " | ".join(f"**{cost['wall_s']:.0f}**" for cost in costs)
    lines.append(f"| **on the clock** |{others} {walls} |{others}")
    return "\n".join(lines) + "\n"


def _columns(name: str, *costs: dict[str, float] | None) -> str:
    values = ["" if cost is None else f"{cost[key]:.0f}" for key in ("jobs", "seconds", "memory_mb") for cost in costs]
    return f"| {name} | {' | '.join(values)} |"


def _rows(measured: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [row for rows in measured["rows"].values() for row in rows] if measured else []


def plot_growth(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw how time grows with each size, beside what the arithmetic demands."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 3
    height = -(-len(rows) // columns)
    figure, axes = pyplot.subplots(
        height, columns, figsize=(4 * columns, 3 * height), squeeze=False, layout="constrained"
    )
    for axis, row in zip(axes.flat, rows, strict=False):
        xs, seconds = zip(*row["points"], strict=True)
        axis.loglog(xs, [1e3 * value for value in seconds], "o-", label="measured")
        demanded = [1e3 * seconds[0] * (x / xs[0]) ** row["power"] for x in xs]
        axis.loglog(xs, demanded, "--", color="grey", label="arithmetic")
        axis.set_xlabel(row["axis"], fontsize=8)
        axis.set_ylabel("ms")
        axis.set_xticks(xs, [str(x) for x in xs])
        axis.minorticks_off()
        shown = [*demanded, *(1e3 * value for value in seconds)]
        axis.set_ylim(min(shown) / 3, max(shown) * 3)  # so that a flat course looks flat
    axes[0, 0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
