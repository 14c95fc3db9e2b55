"""Table ``frequency``: where relevance lies in frequency, beside where the sound does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.chosen import SCORED
from earmark.explainers import explanation
from earmark.metrics.frequency import edges_of, shares
from earmark.sound.base import Frontend
from earmark.tables import markdown, summary
from earmark.tables.labels import STANDARD, Label
from earmark.tables.study import Study
from earmark.tables.summary import Clips, Row, Summaries, Values, clips_of, groups_of, number, subtract, summarise
from earmark.tables.written import BAR, numbers

COLUMNS = (*summary.COLUMNS, "from_hz", "to_hz")

METRICS = FOR, AGAINST, ENERGY = "relevance_for", "relevance_against", "energy_share"

BATCH = 64
"""Clips whose energy is measured at once; bounds memory and decides nothing."""

Band = tuple[float, float]
"""Where a band begins and ends, in Hz."""


@dataclass(frozen=True)
class Spread:
    """Bands, the scored clips, and the shares in each band; no bands where nobody says where heatmaps' cells lie."""

    bands: list[Band]
    clips: Clips
    found: Summaries


def measure(study: Study) -> Spread:
    """Measure the standard heatmaps of scored clips, and the clips."""
    bands = bands_of(study.source.frontend)
    labels = [Label(STANDARD, metric, part=name(band)) for metric in METRICS for band in bands]
    frames = [frame for cls in study.slugs if bands and (frame := _of_class(study, cls, bands)) is not None]
    groups = groups_of([frame["group"] for frame in frames])
    values: dict[Label, Values] = {}
    if frames:
        whole = pd.concat(frames).reindex(groups.index)
        values = {label: whole[place].to_numpy(float) for place, label in enumerate(labels)}
    clips = clips_of(groups, study.left_out(SCORED))
    differences = subtract(comparisons(bands), values)
    found = summarise(values, clips, study.draws, study.seed)
    return Spread(bands, clips, found | summarise(differences, clips, study.draws, study.seed, test=True))


def bands_of(frontend: Frontend) -> list[Band]:
    """Divide what a front end hears into bands; none where it does not say where the cells of heatmaps lie."""
    if frontend.frequencies is None or frontend.times is None:
        return []
    return list(itertools.pairwise(edges_of(frontend.frequencies, frontend.sample_rate / 2)))


def name(band: Band) -> str:
    """Name a band in whole Hz."""
    return f"{band[0]:.0f}-{band[1]:.0f} Hz"


def comparisons(bands: list[Band]) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences: relevance less the clip's energy, band by band."""
    of = {metric: [Label(STANDARD, metric, part=name(band)) for band in bands] for metric in METRICS}
    return {one.less(ENERGY): (one, other) for one, other in zip(of[FOR], of[ENERGY], strict=True)}


def _of_class(study: Study, cls: str, bands: list[Band]) -> pd.DataFrame | None:
    """Measure the clips of a class, by class and clip: a column per metric and band, and the group."""
    path = study.heatmaps(STANDARD, cls)
    if not study.has(path):
        return None
    found = explanation.read(path)
    found = found.only(found.scored)
    if not len(found.clips):
        return None
    clips, maps = found.clips.tolist(), found.heatmaps[:, 0, 0]  # [n, F, T]
    index = pd.MultiIndex.from_product([[cls], clips], names=["cls", "clip"])
    parts = maps.clamp_min(0), maps.neg().clamp_min(0), _energies(study, clips, maps)
    frequencies, edges = study.source.frontend.frequencies, [bands[0][0], *(high for _, high in bands)]
    assert frequencies is not None  # there are bands
    columns = np.concatenate([shares(part, frequencies, edges) for part in parts], axis=1)  # [n, 3 bands]
    return pd.DataFrame(columns, index).assign(group=study.source.clips["group"].to_numpy(str)[clips])


def _energies(study: Study, clips: list[int], like: Tensor) -> Tensor:
    """Measure the energy in every cell of clips, as many as `like` has, ``[n, F, T]``."""
    found = torch.empty_like(like)
    for places in torch.arange(len(clips)).split(BATCH):
        waveforms = study.source.waveforms([clips[place] for place in places.tolist()])
        found[places] = study.source.frontend.energies(waveforms)
    return found


def rows(study: Study, spread: Spread) -> Iterator[Row]:
    """Yield a row per metric, or difference, band and class; columns of their own say which band it is."""
    known = {name(band): band for band in spread.bands}
    labels = [Label(STANDARD, metric, part=part) for metric in METRICS for part in known]
    for label in (*labels, *comparisons(spread.bands)):
        metric = label._replace(part="").text
        for *at, cls, _, estimate, low, high, p, n, left_out in summary.rows([label], spread.found, spread.clips):
            yield (*at, cls, metric, estimate, low, high, p, n, left_out, *map(number, known[label.part]))


def curves(frame: pd.DataFrame) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Read the rows that are known: by class and metric ``[bands, 5]``, where a band is, its share and the bounds."""
    known = frame[(frame["estimate"] != "") & frame["metric"].isin(METRICS)]
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (cls, metric), part in known.groupby(["cls", "metric"], sort=False):
        found.setdefault(str(cls), {})[str(metric)] = np.array(numbers(part, ("from_hz", "to_hz", *BAR)))
    return found


def report(study: Study, spread: Spread) -> str:
    """Write the table for people, class by class (Markdown)."""
    lines = [f"# Where relevance lies in frequency: {study.name}", ""]
    if not spread.bands:
        return "\n".join([*lines, "The front end does not say where the cells of its heatmaps lie.", ""])
    lines += [NOTES, *markdown.absent(study.split, study.without)]
    counted = "; ".join(markdown.counted(spread.clips, cls) for cls in spread.clips.left_out)
    lines += [f"Clips, by class: {counted}.", ""]
    for cls in study.slugs:
        lines += [f"## {cls}", ""]
        body = []
        for band in spread.bands:
            relevance, against, energy = (Label(STANDARD, metric, part=name(band)) for metric in METRICS)
            labels = (relevance, energy, relevance.less(ENERGY), against)
            body.append([name(band), *(markdown.cell(spread.found, label, cls) for label in labels)])
        lines += markdown.table(["band", FOR, ENERGY, f"{FOR} - {ENERGY}", AGAINST], body)
    return "\n".join(lines).rstrip() + "\n"


NOTES = f"""Shares of bands, clip by clip, then means over clips, with 95 % intervals (groups of clips resampled); `p`
is the sign-flip test over groups, corrected by Holm over the whole of `frequency.csv`. Bands are third octaves, wider
where the rows of heatmaps lie further apart. All this is of one network: another training may listen to something
else. A dash: not known.

{markdown.notes(METRICS)}
"""
