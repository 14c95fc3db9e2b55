"""Table ``outside``: explanations of clips as a network never learned from, and whether they find the clip in them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from earmark.data.chosen import SCORED
from earmark.data.contaminants import CLEAN, CONDITIONS, DECIBELS, MIXTURE, SPEECH, WHITE
from earmark.metrics.masking import NATIVE, SCORES, USED, shares, written
from earmark.metrics.outside import asked
from earmark.metrics.scores import with_medians
from earmark.statistics import ALL
from earmark.tables import markdown, summary
from earmark.tables.labels import At, Label
from earmark.tables.masking import LEAD, MUST, WHERE, Heard, beats, leads, of_every_seed, place
from earmark.tables.study import Study
from earmark.tables.summary import (
    SIGNIFICANT,
    Row,
    Values,
    clips_of,
    groups_of,
    subtract,
    summarise,
    summarise_scores,
    testable,
)

COLUMNS = ("condition", *summary.COLUMNS)

MOVED, UNTOLD = "moved", "untold"
"""Part of the clips whose answer is no longer the class, and that of the others of which truth cannot be asked."""

FOUND, PRECISION, GAIN = "source_auc", "source_ap", "source_gain"
"""Whether an explanation finds the clip: by its cells, twice, and by its sound."""

METRICS = (MOVED, UNTOLD, FOUND, PRECISION, GAIN)

FALLEN = ("without_clip", "without_contaminant")
"""Log-odds that are lost without either sound, as ``outside_clips.csv`` names them."""

CLAIMED = "logodds_in"
"""What a claim is made by."""

AT_SHARE = ("ai", "ad", "ag", "ff", "ff_median", "fid_in", "sps", "comp")
"""What the table for people shows at one share of the energy."""

OF_CLIPS, OF_SOUNDS = (MOVED, UNTOLD, FOUND, PRECISION, GAIN), (*SCORES, GAIN)
"""What is known of clips, and of every sound that an explanation was heard as."""


@dataclass(frozen=True)
class Outside(Heard):
    """The scored clips, what is known of their explanations in every condition, and of differences.

    Attributes
    ----------
    tried : dict
        By condition how many clips were contaminated, of how many of them the answer moved, and of how many of the
        others truth cannot be asked.
    """

    tried: dict[str, tuple[int, int, int]]


def measure(study: Study) -> Outside:
    """Read every ``outside.csv`` that was asked for, and compare with controls."""
    asked = study.config["evaluate"]["outside"]
    known = of_every_seed(study, asked, "outside_clips.csv", (MOVED, *FALLEN, FOUND, PRECISION, GAIN))
    heard = of_every_seed(study, asked, "outside.csv", OF_SOUNDS)
    groups = groups_of([part["group"] for parts in known.values() for part in parts])
    clips = clips_of(groups, study.left_out(SCORED))
    values: dict[Label, Values] = {}
    for at, parts in known.items():
        values |= _averaged(at, [_of_clips(part, groups.index) for part in parts])
    for at, parts in heard.items():
        values |= _averaged(at, [_of_sounds(part, groups.index) for part in parts])
    differences = subtract(comparisons(study), values) | _ahead(study, values)
    return Outside(
        clips,
        summarise_scores(values, clips, study.draws, study.seed),
        summarise(differences, clips, study.draws, study.seed, test=True),
        {condition: _counted(values, condition) for condition in CONDITIONS},
    )


Key = tuple[str, str, str]
"""A condition, a metric, and at which share of energy."""


def _of_clips(frame: pd.DataFrame, index: pd.Index) -> dict[Key, Values]:
    """Take apart one ``outside_clips.csv``: an array [n] per quantity; NaN where a clip has none."""
    told = asked(torch.from_numpy(frame[list(FALLEN)].to_numpy(float))).numpy()
    contaminated = (frame[MOVED] == 0) & (frame["condition"] != CLEAN)
    frame = frame.assign(**{UNTOLD: pd.Series(1.0 - told, frame.index).where(contaminated)})
    parts = {str(condition): part.reindex(index) for condition, part in frame.groupby("condition")}
    return {(condition, name, ""): part[name].to_numpy(float) for condition, part in parts.items() for name in OF_CLIPS}


def _of_sounds(frame: pd.DataFrame, index: pd.Index) -> dict[Key, Values]:
    """Take apart one ``outside.csv``, as :func:`_of_clips` does the other."""
    parts = {key: part.reindex(index) for key, part in frame.groupby(["condition", "budget"])}
    return {
        (condition, name, place(share)): part[name].to_numpy(float)
        for (condition, share), part in parts.items()
        for name in OF_SOUNDS
    }


def _averaged(at: At, seeds: Sequence[Mapping[Key, Values]]) -> dict[Label, Values]:
    """Average the seeds of a method clip by clip, over those clips that all of them have."""
    keys = dict.fromkeys(key for seed in seeds for key in seed)
    return {
        Label(at, name, part=where, clips=condition): np.mean([seed[condition, name, where] for seed in seeds], axis=0)
        for condition, name, where in keys
        if all((condition, name, where) in seed for seed in seeds)
    }


def _ahead(study: Study, values: Mapping[Label, Values]) -> dict[Label, Values]:
    """Compare methods' own sounds with the loudest cells of equal energy, condition by condition."""
    budgets = shares(study.config["evaluate"]["budgets"])
    found: dict[Label, Values] = {}
    heard = {label: value for label, value in values.items() if label.part}
    for condition in CONDITIONS:
        own = {label._replace(clips=""): value for label, value in heard.items() if label.clips == condition}
        found |= {label._replace(clips=condition): value for label, value in leads(own, budgets).items()}
    return found


def _counted(values: Mapping[Label, Values], condition: str) -> tuple[int, int, int]:
    """Count clips that some method was tried on: all, those that moved, and those of the others that are untold."""

    def count(name: str) -> tuple[int, int]:
        own = [value for label, value in values.items() if (label.metric, label.clips) == (name, condition)]
        known = np.stack(own) if own else np.empty((1, 0))  # [methods, n]
        return int((~np.isnan(known)).any(axis=0).sum()), int((known == 1).any(axis=0).sum())

    return (*count(MOVED), count(UNTOLD)[1])


def at_share(study: Study) -> str:
    """Name the share of energy that is compared and shown, the middle one of the budgets."""
    budgets = study.config["evaluate"]["budgets"]
    return place(written(budgets[len(budgets) // 2]))


def comparisons(study: Study) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences: what tells whom to believe, less the same of what must be beaten."""
    share = at_share(study)
    return {
        Label(at, name, (rival.method,), where, condition): (
            Label(at, name, part=where, clips=condition),
            Label(rival, name, part=where, clips=condition),
        )
        for condition in CONDITIONS
        for name, where in ((CLAIMED, share), (FOUND, ""), (GAIN, ""))
        for at in study.contaminated
        for rival in study.contaminated
        if rival.method in MUST and at != rival
    }


def labels_of(study: Study, at: At, condition: str) -> list[Label]:
    """List what is known of a method in a condition."""
    heard = (*map(written, shares(study.config["evaluate"]["budgets"])), NATIVE)
    of_sounds = [(name, place(share)) for share in heard for name in (*with_medians(SCORES), GAIN)]
    return [Label(at, name, part=where, clips=condition) for name, where in [*((n, "") for n in OF_CLIPS), *of_sounds]]


def rows(study: Study, outside: Outside) -> Iterator[Row]:
    """Yield a row per condition, score, or difference, and class."""
    compared = comparisons(study)
    for condition in CONDITIONS:
        known = [label for at in study.contaminated for label in labels_of(study, at, condition)]
        tested = [label for label in compared if label.clips == condition]
        tested += [Label(at, LEAD, clips=condition) for at in study.contaminated]
        for labels, found in ((known, outside.found), (tested, outside.compared)):
            for label in labels:
                for row in summary.rows([label], found, outside.clips):
                    yield (condition, *row[:METRIC], label._replace(clips="").text, *row[METRIC + 1 :])


METRIC = summary.COLUMNS.index("metric")


def claim(outside: Outside, at: At, rivals: Sequence[At], share: str, condition: str) -> bool | None:
    """Tell whether a method beats all controls that it must; None where one of them was not heard, or there is none."""
    labels = [Label(at, CLAIMED, (rival.method,), share, condition) for rival in rivals]
    found = [beats(outside, label) for label in labels]
    return None if not found or None in found else all(found)


def report(study: Study, outside: Outside) -> str:
    """Write the table for people, condition by condition (Markdown)."""
    lines = [f"# Explanations of contaminated clips: {study.name}", ""]
    if not study.contaminated:
        return "\n".join([*lines, "None was asked for (key `evaluate.outside`).", ""])
    lines += [NOTES, markdown.of_one(study.networks), "", *markdown.too_few(study.fitted)]
    lines += markdown.absent(study.split, study.without)
    counted = [[condition, *map(str, outside.tried[condition])] for condition in CONDITIONS]
    lines += markdown.table(["condition", "clips", MOVED, UNTOLD], counted)
    for condition in CONDITIONS:
        lines += _of_condition(study, outside, condition)
    return "\n".join(lines).rstrip() + "\n"


def _of_condition(study: Study, outside: Outside, condition: str) -> list[str]:
    """Write what is known in a condition, in lines; none where no clip is."""
    share = at_share(study)
    rivals = [at for at in study.contaminated if at.method in MUST]
    write = functools.partial(markdown.cell, cls=ALL)
    verdict = functools.partial(markdown.verdict, testable=testable(outside.compared, outside.clips))

    def label(at: At, name: str, where: str = share, *minus: str) -> Label:
        return Label(at, name, minus, where, condition)

    def where_of(at: At, name: str, where: str = share) -> list[str]:
        counted = outside.found.get((label(at, name, where), ALL))
        return [at.layer, at.method, str(at.k), str(counted.n if counted else 0)]

    def table(head: Sequence[str], body: list[list[str]]) -> list[str]:
        return markdown.table([*WHERE, *head], body) if body else []

    known = [at for at in study.contaminated if (label(at, CLAIMED), ALL) in outside.found]
    if not known:
        return []
    body = [
        [
            *where_of(at, CLAIMED),
            *(write(outside.found, label(at, name)) for name in (*AT_SHARE, CLAIMED)),
            *(write(outside.compared, label(at, CLAIMED, share, rival.method)) for rival in rivals),
            verdict(claim(outside, at, [rival for rival in rivals if rival != at], share, condition)),
        ]
        for at in known
    ]
    less = [f"less {rival.method}" for rival in rivals]
    lines = [f"## {condition}, {share.removeprefix('at ')} of the energy", ""]
    lines += table([*AT_SHARE, CLAIMED, *less, "claim"], body)
    told = [at for at in known if (label(at, FOUND, ""), ALL) in outside.found]
    body = [
        [
            *where_of(at, FOUND, ""),
            write(outside.found, label(at, FOUND, "")),
            *(write(outside.compared, label(at, FOUND, "", rival.method)) for rival in rivals),
            write(outside.found, label(at, PRECISION, "")),
            write(outside.found, label(at, GAIN, "")),
            *(write(outside.compared, label(at, GAIN, "", rival.method)) for rival in rivals),
            write(outside.found, label(at, GAIN)),
        ]
        for at in told
    ]
    if told:
        lines += [f"### Do they find the clip in it? ({condition})", ""]
    lines += table([FOUND, *less, PRECISION, GAIN, *less, f"{GAIN} {share}"], body)
    native = place(NATIVE)
    alone = [at for at in known if (label(at, CLAIMED, native), ALL) in outside.found]
    body = [
        [
            *where_of(at, CLAIMED, native),
            *(write(outside.found, label(at, name, native)) for name in ("energy", *AT_SHARE, CLAIMED)),
            write(outside.compared, label(at, LEAD, "")),
            verdict(beats(outside, label(at, LEAD, ""))),
            write(outside.found, label(at, GAIN, native)),
        ]
        for at in alone
    ]
    if alone:
        lines += [f"### Sounds that methods made themselves ({condition})", ""]
    return lines + table(["energy", *AT_SHARE, CLAIMED, LEAD, "claim", GAIN], body)


NOTES = f"""Scored clips at a peak of 1: as they are (`{CLEAN}`), with a recognised test clip of another class
(`{MIXTURE}`, the clip {DECIBELS[MIXTURE]:g} dB above it), with white noise (`{WHITE}`, {DECIBELS[WHITE]:g} dB) and with
a clip of another data set (`{SPEECH}`, {DECIBELS[SPEECH]:g} dB). Levels are of the frames in which each of the two
sounds is there, so that silence does not count. What a clip is mixed with depends on the clip alone: all methods
explain the same sounds. Clips whose answer is no longer the class (`{MOVED}`) are neither explained nor scored. So each
condition has clips of its own: compare methods within one, not one condition with another. Whether an
explanation finds the clip in the mixture is asked only where the model uses the clip, its log-odds falling by more than
{USED:g} nats without it, and does not use the contaminant: what the model goes by, a faithful explanation must show.
The others are `{UNTOLD}`.

Explanations are heard as those of `masking.md`, and its notes hold here too. Methods that need sound objects or
separated sources get the clip and the contaminant as such. Brackets hold 95 % intervals (groups of the clips
resampled); `p` is the sign-flip test over groups, corrected by Holm over the whole of `outside.csv`. Methods with seeds
are means over them, clip by clip. A dash: not known. **A method has a claim** if the log-odds of its sound are above
those of {", ".join(f"`{name}`" for name in MUST)}, as far as these were asked for, at the same share of the energy,
all with p below {SIGNIFICANT:g}; a method's own sound, if they are above those of the loudest cells of equal energy.
Where there are too few groups for any p to be so small, the table says so.

{markdown.notes((*METRICS, *SCORES, LEAD))}
"""
