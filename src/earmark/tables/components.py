"""Table ``components``: what each component of a dictionary is, and what it adds to an imitation's answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from earmark.statistics import ALL
from earmark.tables import components_spectra, markdown, summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import Clips, Row, Summaries, clips_of, groups_of, summarise

COLUMNS = ("component", "learned_from", *summary.COLUMNS)

METRICS = CONTRIBUTION, SHARE = "contribution", "component_share"

WRITTEN = {CONTRIBUTION: "contribution", SHARE: "share"}
"""Columns of ``components.csv`` of the stage `imitate`."""


@dataclass(frozen=True)
class Known:
    """The clips that components were heard in, by method; what is known of them there; and their spectra."""

    clips: dict[At, Clips]
    found: Summaries
    spectra: dict[At, pd.DataFrame]

    def learned_from(self, at: At) -> dict[str, str]:
        """Map the numbers of components to the classes that they were learned from."""
        components, classes, _, _ = components_spectra.dictionary(self.spectra[at])
        return dict(zip(components, classes, strict=True))


def measure(study: Study) -> Known:
    """Read what the stage `imitate` wrote of the components of every method that was asked for."""
    clips: dict[At, Clips] = {}
    found: Summaries = {}
    spectra = components_spectra.measure(study)
    for at in spectra:
        path = study.layout.trained(study.split, at.method) / "components.csv"
        frame = study.read_csv(path, {"clip": int, **dict.fromkeys(WRITTEN.values(), float)})
        if frame is None:
            continue
        frame = frame.set_index(["cls", "clip"])
        groups = groups_of([frame["group"]])
        clips[at] = clips_of(groups, dict.fromkeys(study.model_classes, 0))
        values = {
            Label(at, metric, part=str(number)): part[column].reindex(groups.index).to_numpy(float)
            for number, part in frame.groupby("component")
            for metric, column in WRITTEN.items()
        }
        found |= summarise(values, clips[at], study.draws, study.seed)
    return Known(clips, found, spectra)


def rows(study: Study, known: Known) -> Iterator[Row]:
    """Yield a row per method, component, quantity and class."""
    for at, clips in known.clips.items():
        for number, cls in known.learned_from(at).items():
            for metric in METRICS:
                for row in summary.rows([Label(at, metric, part=number)], known.found, clips):
                    yield (number, cls, *row[:4], metric, *row[5:])


def contributions(frame: pd.DataFrame, method: str) -> Mapping[str, dict[str, float]]:
    """Read what the components of a method add to the answers, by class and component."""
    own = frame[(frame["method"] == method) & (frame["metric"] == CONTRIBUTION) & (frame["estimate"] != "")]
    found: dict[str, dict[str, float]] = {}
    for cls, component, estimate in zip(own["cls"], own["component"], own["estimate"], strict=True):
        if cls != ALL:
            found.setdefault(cls, {})[component] = float(estimate)
    return found


def report(study: Study, known: Known) -> str:
    """Write the table for people (Markdown)."""
    lines = [f"# Components of sound: {study.name}", ""]
    if not study.config["evaluate"]["fidelity"]:
        return "\n".join([*lines, "None were asked for (key `evaluate.fidelity`).", ""])
    lines += [NOTES]
    for at in known.clips:
        peaks = components_spectra.peaks(known.spectra[at])
        classes = study.model_classes
        lines += [f"## {at.method}", ""]
        body = []
        for number, cls in known.learned_from(at).items():
            share = markdown.cell(known.found, Label(at, SHARE, part=number), ALL)
            added = [markdown.cell(known.found, Label(at, CONTRIBUTION, part=number), of) for of in classes]
            body.append([number, cls, f"{peaks[number]:.0f}", share, *added])
        lines += markdown.table(["component", "learned from", "loudest at [Hz]", SHARE, *classes], body)
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""Means over the test clips of each answer, and of the share over all classes, with 95 % intervals (groups of
clips resampled). The columns of classes hold the contribution to the answer of that class. A dash: not known.

{markdown.notes(METRICS)}
"""
