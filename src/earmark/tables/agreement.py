"""Table ``agreement``: which concepts other networks find too.

What the stage `agree` measured on clips that all networks recognise, for every method that has subspaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from earmark.statistics import ALL, Interval, students
from earmark.tables import markdown, summary
from earmark.tables.labels import At
from earmark.tables.markdown import bounded
from earmark.tables.study import Study
from earmark.tables.summary import Row, number
from earmark.tables.written import numbers

COLUMNS = (*summary.COLUMNS, "concept", "random", "networks")

METRICS = CORRELATION, AGAIN = "correlation", "found_again"


@dataclass(frozen=True)
class Measured:
    """How alike concepts of several networks are.

    Attributes
    ----------
    correlation : Interval
        Mean over pairs of networks, and over matched concepts; over networks, each compared with all others.
    random : float
        What random subspaces of the other network come to.
    gain : Interval
        The difference, paired by network.
    again : list of float
        Of each concept of the explained network, the part of the other networks that find it again.
    networks, clips : int
        How many there are, and that all of them recognise.
    """

    correlation: Interval
    random: float
    gain: Interval
    again: list[float]
    networks: int
    clips: int


def measure(study: Study) -> dict[tuple[At, str], Measured]:
    """Read every ``agreement/K~{k}.csv``, the seeds of a method as one; nothing where there is one network."""
    found: dict[tuple[At, str], Measured] = {}
    if len(study.networks) == 1:
        return found
    types = {"concept": int, "correlation": float, "random": float, "level": float, "clips": int}
    for k in study.ks:
        for layer in study.layers:
            frame = study.read_csv(study.layout.agreement(study.split, layer, k), types)
            if frame is None:
                continue
            for at in (at for at in study.grid if (at.layer, at.k) == (layer, k)):
                of_method = frame[frame["method"].isin(study.folders(at))]
                for cls, part in of_method.groupby("cls"):
                    found[at, str(cls)] = _measured(part, study)
    return found


def _measured(frame: pd.DataFrame, study: Study) -> Measured:
    by_network = frame.groupby("network")[["correlation", "random"]].mean()
    own = frame[frame["network"] == study.split]
    again = (own["correlation"] > own["level"]).groupby(own["concept"]).mean()
    return Measured(
        students(by_network["correlation"]),
        float(by_network["random"].mean()),
        students(by_network["correlation"] - by_network["random"]),
        again.tolist(),
        len(by_network),
        int(frame["clips"].iloc[0]),
    )


def rows(study: Study, measured: dict[tuple[At, str], Measured]) -> Iterator[Row]:
    """Yield the rows of every place and class, and of the mean over classes; an empty concept stands for all."""
    for at in dict.fromkeys(at for at, _ in measured):
        of_classes = {cls: found for (place, cls), found in measured.items() if place == at}
        parts = [float(np.mean(found.again)) for found in of_classes.values()]
        any_of = next(iter(of_classes.values()))
        yield (*at, ALL, AGAIN, number(float(np.mean(parts))), "", "", "", "", "", "", "", any_of.networks)
        for cls, found in of_classes.items():
            about = "", found.clips, ""
            for name, values, random in (
                (CORRELATION, found.correlation, number(found.random)),
                (f"{CORRELATION} - random", found.gain, ""),
            ):
                yield (*at, cls, name, *map(number, values), *about, "", random, found.networks)
            yield (*at, cls, AGAIN, number(float(np.mean(found.again))), "", "", *about, "", "", found.networks)
            for concept, part in enumerate(found.again, start=1):
                yield (*at, cls, AGAIN, number(part), "", "", *about, concept, "", found.networks)


def found_again(frame: pd.DataFrame) -> dict[str, str]:
    """Say of each concept, by its number, in how many other networks it is found; from rows of a place and class."""
    known = frame[(frame["metric"] == AGAIN) & (frame["concept"] != "")]
    return {
        concept: f"found again in {round(part * (int(count) - 1))} of {int(count) - 1} networks"
        for concept, (part, count) in zip(known["concept"], numbers(known, ("estimate", "networks")), strict=True)
    }


def report(study: Study, measured: dict[tuple[At, str], Measured]) -> str:
    """Write the table for people (Markdown)."""
    title = f"# Concepts in other networks: {study.layout.dataset}"
    if len(study.networks) == 1:
        return f"{title}\n\nNot computed: there is one network. `networks: 6` in the data set's block trains six.\n"
    lines = [title, NOTES]
    lines += [line for split in study.networks for line in markdown.absent(split, study.of_network(split).without)]
    known = {name for _, name in measured}
    lines += [f"No clip of {cls} is recognised by all networks.\n" for cls in study.slugs if cls not in known]
    for cls in (slug for slug in study.slugs if slug in known):
        lines += [f"## {cls}", ""]
        body = [
            [
                at.layer,
                str(at.k),
                f"`{at.method}`",
                bounded(found.correlation),
                f"{found.random:.3f}",
                bounded(found.gain),
                ", ".join(f"{round(part * (found.networks - 1))}" for part in found.again)
                + f" of {found.networks - 1}",
                str(found.clips),
            ]
            for (at, name), found in measured.items()
            if name == cls
        ]
        head = ["layer", "K", "method", "correlation", "random", "difference", "concepts found again", "clips"]
        lines += markdown.table(head, body)
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""
Channels of two networks have no common meaning; heatmaps of the same clips have. Concepts of every two networks,
trained alike but from other weights and in another order, are paired by where their relevance lies. The random level is
what the same concepts reach with random subspaces of the other network, whose heatmaps are alike to some degree too.
Brackets hold Student's 95 % intervals over networks, each compared with all others; as every pair counts for both its
networks, they are somewhat too narrow. The last but one column counts, concept by concept of the explained network, the
other networks that find it again.

{markdown.notes(METRICS)}
"""
