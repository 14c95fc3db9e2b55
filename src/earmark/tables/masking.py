"""Table ``masking``: whom the model's own answers bear out, beside controls and at equal shares of a clip's energy."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from earmark.data.chosen import SCORED
from earmark.metrics.masking import CURVES, NATIVE, SCORES, area, shares, written
from earmark.metrics.scores import with_medians
from earmark.metrics.truth import TRUTHS
from earmark.plan.methods import named, ordering
from earmark.statistics import ALL
from earmark.tables import markdown, summary
from earmark.tables.labels import STANDARD, At, Label
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import (
    SIGNIFICANT,
    Clips,
    Row,
    Summaries,
    Values,
    clips_of,
    groups_of,
    subtract,
    summarise,
    summarise_scores,
    testable,
)

AREAS = HEADLINE, *SENSITIVITY = "srg", "srg_mean", "srg_own_level"
"""What ranks explanations; the same where the training mean, not silence, stands for what is taken out, and where what
is left is heard at its own peak."""

CURVED = (("logodds_out", "logodds_least"), ("mean_out", "mean_least"), ("own_out", "own_least"))
"""Log-odds without the most and without the least relevant cells, of each area."""

FOUND = TRUTHS[0]
"""What tells, beside the headline, whether used sound objects are found."""

BY_CLASS = HEADLINE, "ap"
"""What is shown class by class: a method may be right of one and wrong of another."""

LEAD = "native_lead"
"""What a method's own sound is ahead of the clip's loudest cells of equal energy."""

MUST = LOUDEST, QUIETEST, CHANCE = ordering("loudest"), ordering("quietest"), ordering("lot")
"""Controls that a method must beat: loudest cells first, and, where they were heard, quietest first, and cells by lot.

What a share of the energy is worth hangs on how many cells hold it; an order of cells gains what its reverse loses.
"""

AT_SHARES = ("fid_in", "ff", "ff_median", "logodds_in", "logodds_out", "ad", "ag", "ai", "sps", "comp")
"""What it shows at each."""

AT_STEPS = {"logodds_in": "alone", "logodds_out": "the clip without them"}
"""What it shows while concepts are added up."""

AT_NATIVE = ("energy", "logodds_in", "fid_in", "ff")
"""What it shows of sounds that methods made themselves."""


@dataclass(frozen=True)
class Heard:
    """The scored clips, what is known of explanations that the model heard, and of their differences."""

    clips: Clips
    found: Summaries
    compared: Summaries


def measure(study: Study) -> Heard:
    """Read every ``masking.csv`` that was asked for, and compare with controls."""
    clips, values = read(study)
    leads = {label: lead for label, lead in values.items() if label.metric == LEAD}
    differences = subtract(comparisons(study.masked), values) | leads
    return Heard(
        clips,
        summarise_scores(values, clips, study.draws, study.seed),
        summarise(differences, clips, study.draws, study.seed, test=True),
    )


def rows(study: Study, heard: Heard) -> list[Row]:
    """Write a row per score, or difference, and class."""
    compared = [*comparisons(study.masked), *(Label(at, LEAD) for at in study.masked)]
    labels = [label for at in study.masked for label in labels_of(at, heard_at(study))]
    return [*summary.rows(labels, heard.found, heard.clips), *summary.rows(compared, heard.compared, heard.clips)]


def heard_at(study: Study) -> tuple[float, ...]:
    """List the shares of a clip's energy at which explanations were heard, 1 the last."""
    return shares(study.config["evaluate"]["budgets"])


def shown(budgets: Sequence[float]) -> list[float]:
    """Choose the budgets that the table for people shows: one of the small, and one of the large."""
    return list(dict.fromkeys(budgets[third * len(budgets) // 3] for third in (1, 2)))


def labels_of(at: At, heard: Sequence[float]) -> list[Label]:
    """List what is known of an explanation: areas, and scores at every share of energy."""
    places = (*map(written, heard), NATIVE)
    scores = [Label(at, name, part=place(share)) for share in places for name in with_medians(SCORES)]
    return [*(Label(at, name) for name in (*AREAS, *TRUTHS)), *scores, *steps_of(at)]


def steps_of(at: At) -> list[Label]:
    """List what is known of concepts that are added up, one after the other; of what has no concepts nothing."""
    counts = range(1, at.k + 1) if named(at.method).parts else ()
    return [Label(at, name, part=step(count)) for name in AT_STEPS for count in counts]


def step(count: int) -> str:
    """Say how many concepts are meant."""
    return f"of the first {count}"


def place(share: str) -> str:
    """Say at which share of energy a score is meant."""
    return f"at {share}"


def comparisons(places: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences: what tells whom to believe, less the same of what must be beaten."""
    return {
        Label(at, name, (rival.method,)): (Label(at, name), Label(rival, name))
        for name in (HEADLINE, FOUND)
        for at in places
        for rival in places
        if rival.method in MUST and at != rival
    }


def read(study: Study) -> tuple[Clips, dict[Label, Values]]:
    """Read every ``masking.csv`` that was asked for.

    Returns
    -------
    clips : Clips
        The n clips that any of them scores.
    values : dict
        Per quantity an array [n]; NaN where it lacks a clip. The seeds of a method are averaged clip by clip.
    """
    frames = _files(study, "masking.csv", (*SCORES, *CURVES))
    groups = groups_of([part["group"] for parts in frames.values() for part in parts])
    values: dict[Label, Values] = {}
    for at, parts in frames.items():
        seeds = [_of_clips(part, groups.index, heard_at(study)) for part in parts]
        for key in dict.fromkeys(key for seed in seeds for key in seed):
            values[Label(at, *key)] = np.mean([seed[key] for seed in seeds], axis=0)
    values |= _truths(study, groups.index) | _steps(study, groups.index)
    return clips_of(groups, study.left_out(SCORED)), values | leads(values, heard_at(study))


def _files(study: Study, name: str, columns: Sequence[str]) -> dict[At, list[pd.DataFrame]]:
    return of_every_seed(study, study.config["evaluate"]["masking"], name, columns)


def of_every_seed(
    study: Study, methods: Sequence[str], name: str, columns: Sequence[str]
) -> dict[At, list[pd.DataFrame]]:
    """Read a file of clips of every seed of methods, by class and clip; all that have clips, or none.

    Parameters
    ----------
    study : Study
        Of what.
    methods : sequence of str
        As asked for.
    name : str
        Of the file in a method's folder.
    columns : sequence of str
        Those of it that are numbers, beside the clip.
    """
    types = {"clip": int, **dict.fromkeys(columns, float)}
    found: dict[At, list[pd.DataFrame]] = {}
    for at in study.places(methods):
        names = study.spelled(at, methods)
        read = [study.read_csv(study.method(at._replace(method=one)) / name, types) for one in names]
        parts = [part.set_index(["cls", "clip"]) for part in read if part is not None and len(part)]
        if parts and len(parts) == len(names):
            found[at] = parts
    return found


def _truths(study: Study, index: pd.Index) -> dict[Label, Values]:
    """Read every ``truth.csv``, as :func:`read` does."""
    return {
        Label(at, name): np.mean([part.reindex(index)[name] for part in parts], axis=0)
        for at, parts in _files(study, "truth.csv", TRUTHS).items()
        for name in TRUTHS
    }


def _steps(study: Study, index: pd.Index) -> dict[Label, Values]:
    """Read every ``masking_concepts.csv``, as :func:`read` does."""
    found: dict[Label, Values] = {}
    for at, parts in _files(study, "masking_concepts.csv", ("count", *AT_STEPS)).items():
        for name in AT_STEPS:
            seeds = [part.set_index("count", append=True)[name].unstack().reindex(index) for part in parts]
            for count in seeds[0].columns:
                found[Label(at, name, part=step(int(count)))] = np.mean([seed[count] for seed in seeds], axis=0)
    return found


def _of_clips(
    frame: pd.DataFrame, index: pd.Index, heard: Sequence[float]
) -> dict[tuple[str, tuple[str, ...], str], Values]:
    """Take apart one ``masking.csv`` by what is known of each clip: metric, nothing subtracted, and where."""
    by_share = {share: part.reindex(index) for share, part in frame.groupby("budget")}
    found: dict[tuple[str, tuple[str, ...], str], Values] = {}
    for name, columns in zip(AREAS, CURVED, strict=True):
        most, last = (_area(by_share, column, heard) for column in columns)
        found[name, (), ""] = last - most
    for share, part in by_share.items():
        for name in SCORES:
            found[name, (), place(share)] = part[name].to_numpy(float)
    return found


def _area(by_share: Mapping[str, pd.DataFrame], column: str, heard: Sequence[float]) -> Values:
    """Area under each clip's log-odds over the share of energy that is taken out, from none to all."""
    parts = [by_share[written(share)] for share in heard]
    curves = np.stack([parts[0]["logodds"], *(part[column] for part in parts)], axis=1)  # [n, 1 + M]
    return area((0.0, *heard), torch.from_numpy(curves)).numpy()


def leads(values: Mapping[Label, Values], heard: Sequence[float]) -> dict[Label, Values]:
    """Compare what methods made themselves with the loudest cells, interpolated at the same share of energy."""
    loudest = next((label.at for label in values if label.at.method == LOUDEST), None)
    native = [label.at for label in values if label.metric == "logodds_in" and label.part == place(NATIVE)]
    if loudest is None:
        return {}

    def curve(name: str) -> Values:
        return np.stack([values[Label(loudest, name, part=place(written(share)))] for share in heard], axis=1)  # [n, M]

    silence = values[Label(loudest, "logodds_out", part=place(written(heard[-1])))][:, None]
    energies = np.concatenate([np.zeros_like(silence), curve("energy")], axis=1)  # [n, 1 + M]
    odds = np.concatenate([silence, curve("logodds_in")], axis=1)
    found = {}
    for at in native:
        own, shares = (values[Label(at, name, part=place(NATIVE))] for name in ("logodds_in", "energy"))
        equal = [np.interp(*one) for one in zip(shares, energies, odds, strict=True)]
        found[Label(at, LEAD)] = own - np.array(equal)
    return found


def beats(heard: Heard, label: Label, cls: str = ALL) -> bool | None:
    """Tell whether a difference is above 0 and its corrected p-value small; None where there is none."""
    difference = heard.compared.get((label, cls))
    return None if difference is None else difference.interval.estimate > 0 and difference.p < SIGNIFICANT


def claim(heard: Heard, at: At, places: Sequence[At]) -> bool | None:
    """Tell whether an explanation beats all controls that it must; None where the loudest cells were not heard."""
    told = {
        rival.method: beats(heard, Label(at, HEADLINE, (rival.method,))) for rival in places if rival.method in MUST
    }
    return None if told.get(LOUDEST) is None else all(told.values())


def claims(frame: pd.DataFrame) -> set[At]:
    """Read from the table's rows who has a claim."""
    rows = frame[(frame["cls"] == ALL) & (frame["p"] != "")]
    beaten = []
    for rival in MUST:
        compared = rows[rows["metric"] == Label(STANDARD, HEADLINE, (rival,)).text]
        sure = compared[(compared["estimate"].astype(float) > 0) & (compared["p"].astype(float) < SIGNIFICANT)]
        if len(compared) or rival == LOUDEST:
            where = zip(sure["layer"], sure["method"], sure["k"], strict=True)
            beaten.append({At(layer, method, int(k)) for layer, method, k in where})
    return set.intersection(*beaten)


def report(study: Study, heard: Heard) -> str:
    """Write the table for people, with what each score can and cannot show (Markdown)."""
    lines = [f"# Explanations that the model hears: {study.name}", ""]
    if not study.masked:
        return "\n".join([*lines, "None was asked for (key `evaluate.masking`).", ""])
    lines += [NOTES, markdown.of_one(study.networks), "", *markdown.too_few(study.fitted)]
    lines += markdown.absent(study.split, study.without)
    lines += ["Clips, by class: " + "; ".join(markdown.counted(heard.clips, cls) for cls in heard.clips.left_out) + "."]
    write = functools.partial(markdown.cell, heard.found, cls=ALL)
    compare = functools.partial(markdown.cell, heard.compared, cls=ALL)
    verdict = functools.partial(markdown.verdict, testable=testable(heard.compared, heard.clips))

    def place_of(at: At, name: str, where: str = "") -> list[str]:
        counted = heard.found.get((Label(at, name, part=where), ALL))
        return [at.layer, at.method, str(at.k), str(counted.n if counted else 0)]

    def headline(at: At) -> float:
        found = heard.found.get((Label(at, HEADLINE), ALL))
        return -np.inf if found is None else found.interval.estimate

    ranked = sorted(study.masked, key=headline, reverse=True)
    places = [at for at in study.masked if at.method in MUST]
    lines += ["", "## Whom to believe", ""]
    lines += markdown.table(
        [*WHERE, HEADLINE, *(f"less {at.method}" for at in places), "claim", *SENSITIVITY],
        [
            [
                *(*place_of(at, HEADLINE), write(label=Label(at, HEADLINE))),
                *(compare(label=Label(at, HEADLINE, (rival.method,))) for rival in places),
                verdict(claim(heard, at, places)),
                *(write(label=Label(at, name)) for name in SENSITIVITY),
            ]
            for at in ranked
        ],
    )
    if any((Label(at, FOUND), ALL) in heard.found for at in ranked):
        lines += ["## The sound objects that the model uses", ""]
        lines += markdown.table(
            [*WHERE, *TRUTHS, *(f"{FOUND} less {at.method}" for at in places)],
            [
                [
                    *place_of(at, FOUND),
                    *(write(label=Label(at, name)) for name in TRUTHS),
                    *(compare(label=Label(at, FOUND, (rival.method,))) for rival in places),
                ]
                for at in ranked
            ],
        )
    for share in shown(study.config["evaluate"]["budgets"]):
        where = place(written(share))
        lines += [f"## {100 * share:g} % of a clip's energy", ""]
        body = [
            [*place_of(at, AT_SHARES[0], where), *(write(label=Label(at, one, part=where)) for one in AT_SHARES)]
            for at in ranked
        ]
        lines += markdown.table([*WHERE, *AT_SHARES], body)
    lines += _step_by_step(heard, ranked)
    own = [at for at in ranked if (Label(at, LEAD), ALL) in heard.compared]
    if own:
        lines += ["## Sounds that methods made themselves", ""]
        lines += markdown.table(
            [*WHERE, *AT_NATIVE, LEAD, "claim"],
            [
                [
                    *place_of(at, AT_NATIVE[0], place(NATIVE)),
                    *(write(label=Label(at, one, part=place(NATIVE))) for one in AT_NATIVE),
                    compare(label=Label(at, LEAD)),
                    verdict(beats(heard, Label(at, LEAD))),
                ]
                for at in own
            ],
        )
    lines += _by_class(study, heard, ranked)
    return "\n".join(lines).rstrip() + "\n"


WHERE = ("layer", "method", "K", "n")
"""Columns that say of which explanation a row is, and of how many clips."""


def _step_by_step(heard: Heard, ranked: Sequence[At]) -> list[str]:
    """Write what the model answers to concepts that are added up, in lines; none where none has concepts."""
    stepped = [at for at in ranked if any((label, ALL) in heard.found for label in steps_of(at))]
    if not stepped:
        return []
    counts = range(1, max(at.k for at in stepped) + 1)
    lines = ["## Concepts, one after the other", ""]
    for name, what in AT_STEPS.items():
        body = [
            [
                *(at.layer, at.method, str(at.k), str(heard.found[Label(at, name, part=step(1)), ALL].n)),
                *(markdown.cell(heard.found, Label(at, name, part=step(count)), ALL) for count in counts),
            ]
            for at in stepped
        ]
        lines += [f"`{name}`, {what}:", ""]
        lines += markdown.table([*WHERE, *(f"first {count}" for count in counts)], body)
    return lines


def _by_class(study: Study, heard: Heard, ranked: Sequence[At]) -> list[str]:
    """Write what is known of each class, in lines; none where there is one class."""
    lines: list[str] = []
    for name in BY_CLASS if study.slugs[1:] else ():
        body = [
            [at.layer, at.method, str(at.k), *(markdown.cell(heard.found, Label(at, name), cls) for cls in study.slugs)]
            for at in ranked
            if (Label(at, name), ALL) in heard.found
        ]
        if body:
            lines += [f"## {name}, class by class", ""]
            lines += markdown.table(["layer", "method", "K", *study.slugs], body)
    return lines


NOTES = f"""Each explanation becomes a sound, the cells that it calls most relevant until they hold a share of the
clip's energy, and the model hears that sound alone and the clip without it, through its own front end and at the clip's
level. Brackets hold 95 % intervals (groups of clips resampled); `p` is the sign-flip test over groups, corrected by
Holm over the whole of `masking.csv`. Methods with seeds are means over them, clip by clip. Each row is of `n`
clips: methods that ask the model often may be heard for fewer of them (key `explain.expensive`), and are compared with
others on the clips that both have. A dash: not known.

**A method has a claim** only if its `{HEADLINE}` is above that of `{LOUDEST}`, the loudest cells of the clip, and,
where they were heard, of `{QUIETEST}`, the quietest first, and of `{CHANCE}`, cells by lot, all with p below
{SIGNIFICANT:g}; where there are too few groups, such as speakers or artists, for any p to be so small, the table says
so, and the intervals are all there is. Where `{QUIETEST}` is high, to take out many quiet cells does more than to take
out a few loud ones of equal energy, and `{HEADLINE}` says more of how loud a map's cells are than of the model. A
method's own sound has a claim if its log-odds are above those of the loudest cells of equal energy.

**Concepts, one after the other**: their sounds are added up, at each step the one with which the model is surest of
the class. Where two of four are as good as all, two are enough; hold them against random subspaces of the same layer,
which are added up in the same way.

{markdown.notes((*AREAS, *TRUTHS, LEAD, *SCORES))}
"""
