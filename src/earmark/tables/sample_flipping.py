"""Table ``sample_flipping``: which samples a network of waveforms needs, and what relevance knows beyond their size."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from earmark.data.chosen import SCORED
from earmark.metrics.samples import AMPLITUDE, MATCHED, ORDERS, RANDOM, RELEVANCE, shares
from earmark.statistics import ALL, Bar
from earmark.store.layout import INPUT_LAYER
from earmark.tables import markdown, summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import (
    SIGNIFICANT,
    Clips,
    Row,
    Summaries,
    Values,
    clips_of,
    groups_of,
    number,
    subtract,
    summarise,
    testable,
)
from earmark.tables.written import BAR, numbers

COLUMNS = ("order", "less", "metric", "share", "cls", "estimate", "low", "high", "p", "n", "left_out")

ANSWERS = ANSWERED, LOGIT = "answered", "remaining_logit"
"""What is left of an answer."""

REMOVED = "removed"

READ = {ANSWERED: "answered", LOGIT: "logit", REMOVED: "removed"}
"""Where that stands in ``flipped.csv``."""

OVER = OVER_SAMPLES, OVER_ENERGY = "over_samples", "over_energy"
"""What areas are taken over."""

METRICS = (*ANSWERS, *(f"{name}_{over}" for name in ANSWERS for over in OVER), REMOVED)

PLACES = {order: At(INPUT_LAYER, order, 1) for order in ORDERS}


@dataclass(frozen=True)
class Flipped:
    """The clips, what is known of every order, and what relevance does more than its control."""

    clips: Clips
    found: Summaries
    compared: Summaries


def measure(study: Study) -> Flipped | None:
    """Read ``flipped.csv``; None where nobody asked for it."""
    flips = study.config["evaluate"]["flips"]
    types = {"clip": int, "share": float, "logit": float, "answered": float, "removed": float}
    frame = study.read_csv(study.layout.flipped(study.split), types) if flips else None
    if frame is None:
        return None
    frame = frame.set_index(["cls", "clip"])
    groups = groups_of([frame["group"]])
    clips, values = clips_of(groups, study.left_out(SCORED)), dict(_values(frame, groups.index, shares(flips)))
    differences = subtract(comparisons(flips), values)
    areas = {label: known for label, known in differences.items() if not label.part}
    together = replace(clips, left_out={})  # all classes as one: what single ones and shares show is not tested
    return Flipped(
        clips,
        summarise(values, clips, study.draws, study.seed),
        summarise(differences, clips, study.draws, study.seed)
        | summarise(areas, together, study.draws, study.seed, test=True),
    )


def _values(frame: pd.DataFrame, index: pd.Index, heard: Sequence[float]) -> Iterator[tuple[Label, Values]]:
    """Yield what is known of each clip, ``[n]``: at every share, and as areas."""
    for order, at in PLACES.items():
        by_share = {share: part.reindex(index) for share, part in frame[frame["order"] == order].groupby("share")}
        if not set(heard) <= set(by_share):
            continue
        curves = {name: np.stack([by_share[share][column] for share in heard], axis=1) for name, column in READ.items()}
        for name, curve in curves.items():  # [n, M]
            yield from ((Label(at, name, part=number(share)), curve[:, m]) for m, share in enumerate(heard))
        for name in ANSWERS:
            yield area(at, name, OVER_SAMPLES), np.trapezoid(curves[name], np.array(heard), axis=1)
            yield area(at, name, OVER_ENERGY), np.trapezoid(curves[name], curves[REMOVED], axis=1)


def area(at: At, name: str, over: str) -> Label:
    """Name the area under a curve."""
    return Label(at, f"{name}_{over}")


def labels_of(at: At, flips: Sequence[float]) -> list[Label]:
    """List what is known of an order."""
    points = [Label(at, name, part=number(share)) for name in READ for share in shares(flips)]
    return [*points, *(area(at, name, over) for name in ANSWERS for over in OVER)]


def comparisons(flips: Sequence[float]) -> dict[Label, tuple[Label, Label]]:
    """List what relevance does more than the same shuffled among samples of equal size, but where all orders agree."""
    own, control = PLACES[RELEVANCE], PLACES[MATCHED]
    kept = {*map(number, flips), ""}
    labels = [label for label in labels_of(own, flips) if label.metric != REMOVED and label.part in kept]
    return {label.less(MATCHED): (label, label._replace(at=control)) for label in labels}


def rows(study: Study, flipped: Flipped | None) -> list[Row]:
    """Write a row per order, or difference, metric, share and class."""
    if flipped is None:
        return []
    flips = study.config["evaluate"]["flips"]
    listed = [(label, flipped.found) for at in PLACES.values() for label in labels_of(at, flips)]
    listed += [(label, flipped.compared) for label in comparisons(flips)]
    return [
        (order, "".join(label.minus), label.metric, label.part, cls, *told)
        for label, known in listed
        for _, order, _, cls, _, *told in summary.rows([label], known, flipped.clips)
    ]


def curves(table: pd.DataFrame) -> dict[str, list[tuple[float, float, Bar]]]:
    """Read of every order, over all classes: shares of samples, shares of energy, and what is answered."""
    whole = table[(table["cls"] == ALL) & (table["less"] == "") & (table["share"] != "") & (table["estimate"] != "")]
    found = {}
    for order, part in whole.groupby("order", sort=False):
        answered, removed = (part[part["metric"] == name] for name in (ANSWERED, REMOVED))
        bars = [(estimate, low, high) for estimate, low, high in numbers(answered, BAR)]
        samples, energy = answered["share"].astype(float), removed["estimate"].astype(float)
        found[str(order)] = list(zip(samples, energy, bars, strict=True))
    return found


def claim(flipped: Flipped, label: Label) -> str:
    """Say whether relevance does more than its control, by an area over all classes; nothing is claimed of others."""
    difference = flipped.compared.get((label, ALL))
    if difference is None or not np.isfinite(difference.p):
        return markdown.MISSING
    sure = difference.interval.estimate < 0 and difference.p < SIGNIFICANT
    return markdown.verdict(sure, testable(flipped.compared, flipped.clips))


def report(study: Study, flipped: Flipped | None) -> str:
    """Write the table for people (Markdown)."""
    lines = [f"# Which samples matter: {study.name}", ""]
    if flipped is None:
        return "\n".join([*lines, "None was asked for (key `evaluate.flips`).", ""])
    lines += [NOTES, markdown.of_one(study.networks), "", *markdown.absent(study.split, study.without)]
    lines += ["Clips, by class: " + "; ".join(markdown.counted(flipped.clips, cls) for cls in flipped.clips.left_out)]
    lines[-1] += "."
    flips = study.config["evaluate"]["flips"]
    heard = shares(flips)
    for name, title in TITLES.items():
        lines += ["", f"## {title}", ""]
        labels = {percent(share): Label(PLACES[RELEVANCE], name, part=number(share)) for share in heard}
        compared = name in ANSWERS
        if compared:
            labels |= {over.replace("_", " "): area(PLACES[RELEVANCE], name, over) for over in OVER}
        lines += markdown.table(
            ["samples at 0", *ORDERS, *((DIFFERENCE, "claim") if compared else ())],
            [[where, *_line(flipped, label, compared)] for where, label in labels.items()],
        )[:-1]
    if study.slugs[1:]:
        lines += ["", f"## Class by class: {DIFFERENCE}", ""]
        lines += markdown.table(
            ["class", *(f"{name} {over}".replace("_", " ") for name in ANSWERS for over in OVER)],
            [[cls, *_by_class(flipped, cls)] for cls in study.slugs],
        )
    return "\n".join(lines).rstrip() + "\n"


def _line(flipped: Flipped, label: Label, compared: bool) -> list[str]:
    """Write what every order comes to, and what relevance does more than its control."""
    write = functools.partial(markdown.cell, cls=ALL)
    orders = [write(flipped.found, label._replace(at=at)) for at in PLACES.values()]
    difference = label.less(MATCHED)
    return [*orders, *((write(flipped.compared, difference), claim(flipped, difference)) if compared else ())]


def _by_class(flipped: Flipped, cls: str) -> list[str]:
    """Write the areas' differences of a class."""
    labels = [area(PLACES[RELEVANCE], name, over).less(MATCHED) for name in ANSWERS for over in OVER]
    return [markdown.cell(flipped.compared, label, cls) for label in labels]


def percent(share: float) -> str:
    """Write a share for people."""
    return f"{100 * share:g} %"


DIFFERENCE = f"{RELEVANCE} less {MATCHED}"

TITLES: Mapping[str, str] = {
    ANSWERED: "Clips whose class is still answered",
    LOGIT: "Logit of the class that is left",
    REMOVED: "Share of the energy that has gone",
}

NOTES = f"""Of every scored clip, a share of those samples that are not 0 is set to 0, in four orders: `{RANDOM}`, by
lot; `{AMPLITUDE}`, the largest first; `{RELEVANCE}`, those that speak most for the class first; `{MATCHED}`, the same
with relevance shuffled among samples of equal size, so that as many large and small ones go. Orders that are drawn are
means over draws. Brackets hold 95 % intervals (groups of clips resampled). A dash: not known, or not tested.

**Large samples do more than small ones, whatever a model listens to. Relevance may be credited with what it does more
than `{MATCHED}`, and with nothing else.** The areas over all classes decide: `claim` says whether that difference is
below 0 with p below {SIGNIFICANT:g}; `p` is the sign-flip test over groups, corrected by Holm over the four areas.
Where there are too few groups, such as speakers, for any p to be so small, it says so. What single shares and classes
show is not tested.

A sample that becomes 0 between others is a click: it takes something from the sound, and adds something to it. All
orders do that, and a logit may rise at first.

{markdown.notes(METRICS)}
"""
