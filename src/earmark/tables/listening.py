"""Table ``listening``: whether those who hear, or see, an explanation know what the model answered, right or wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.data import submissions
from earmark.data.answered import RIGHT, WRONG
from earmark.errors import EarmarkError
from earmark.metrics.listening import (
    RIVALS,
    SIGNAL,
    STIMULI,
    contingency,
    informedness,
    markedness,
    mean_of_known,
)
from earmark.statistics import ALL, Clusters, Interval, bootstrap_sums, percentiles
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import markdown, summary
from earmark.tables.labels import STANDARD, Label
from earmark.tables.study import Study
from earmark.tables.summary import Row, Summaries, Summary, cells

COLUMNS = (*summary.COLUMNS, "undefined")

METRICS = INFORMEDNESS, MARKEDNESS = "informedness", "markedness"

PARTS = {ALL: "all answers", RIGHT: "right answers", WRONG: "wrong answers"}
"""Which answers of the model are asked for, in words."""


@dataclass(frozen=True)
class Judged:
    """What guesses know of the model's answers.

    Attributes
    ----------
    found : Summaries
        By quantity and class; ``all`` stands for the mean over the classes where it is defined.
    undefined : dict of (Label, str) to int
        Of each the number of classes of which it is not defined.
    classes : list of str
        All that could be guessed.
    clusters : dict of str to int
        How many clusters the guesses of each of ``PARTS`` come from.
    """

    found: Summaries
    undefined: dict[tuple[Label, str], int]
    classes: list[str]
    clusters: dict[str, int]


def measure(study: Study) -> Judged:
    """Read what the proxy guessed, if one was asked; its clips' groups are what is resampled."""
    classes = [cls.slug for cls in study.source.classes]
    asked = study.config["evaluate"]["listener"] is not None
    guesses = study.read_csv(study.layout.listened(study.split)) if asked else None
    if guesses is None:
        return Judged({}, {}, classes, {})
    return judged(guesses, guesses["group"], classes, study.draws, study.seed)


def judged(guesses: pd.DataFrame, clusters: pd.Series, classes: Sequence[str], draws: int, seed: int) -> Judged:
    """Judge guesses, of right answers and of wrong ones, and compare explanations with what they must beat.

    Parameters
    ----------
    guesses : pandas.DataFrame
        A row per guess: ``cls``, the clip's class; ``answer``, the model's; ``stimulus``; ``guess``.
    clusters : pandas.Series
        What each guess belongs with: clips of a group, or guesses of a listener, are resampled together.
    classes : sequence of str
        All that could be guessed.
    draws, seed
        Of the bootstrap.
    """
    right = guesses["cls"] == guesses["answer"]
    whole = Judged({}, {}, list(classes), {})
    for name, chosen in ((ALL, pd.Series(True, right.index)), (RIGHT, right), (WRONG, ~right)):
        if chosen.any():
            _judge(whole, name, guesses[chosen], Clusters.of(clusters[chosen].to_numpy(str)), draws, seed)
    return whole


def _judge(whole: Judged, name: str, guesses: pd.DataFrame, clusters: Clusters, draws: int, seed: int) -> None:
    """Add what is known of one of ``PARTS``; the same clusters are drawn for every stimulus."""
    whole.clusters[name] = clusters.n_groups
    ones = contingency(guesses["answer"].tolist(), guesses["guess"].tolist(), whole.classes)  # [n, C, C]
    found: dict[Label, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    answered = {}
    for stimulus in (one for one in STIMULI if (guesses["stimulus"] == one).any()):
        own = (guesses["stimulus"] == stimulus).to_numpy()[:, None, None] * ones
        estimates, resampled = bootstrap_sums(own, clusters, _measured, draws, seed)  # [1, 2, 1 + C], of draws too
        answered[stimulus] = own.sum(axis=(0, 2))  # [C]
        for place, metric in enumerate(METRICS):
            label = Label(STANDARD, metric, part=stimulus, clips=PARTS[name])
            found[label] = estimates[0, place], resampled[:, 0, place]
    for label in [label for label in found if label.metric == INFORMEDNESS]:
        for rival in (one for one in RIVALS.get(label.part, ()) if one in answered):
            (ours, drawn), (theirs, others) = found[label], found[label._replace(part=rival)]
            found[label.less(rival)] = ours - theirs, drawn - others
    for label, (estimate, drawn) in found.items():
        lacking = np.isnan(estimate)
        for column, cls in enumerate((ALL, *whole.classes)):
            n = int(answered[label.part].sum() if cls == ALL else answered[label.part][column - 1])
            whole.found[label, cls] = Summary(
                _interval(float(estimate[column]), drawn[:, column], clusters.n_groups), n
            )
            whole.undefined[label, cls] = int(lacking[1:].sum() if cls == ALL else lacking[column])


def _measured(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure contingency tables ``[..., C, C]``: ``[..., 2, 1 + C]``, the mean over classes first."""
    of_classes = np.stack([informedness(counts), markedness(counts)], axis=-2)
    return np.concatenate([mean_of_known(of_classes)[..., None], of_classes], axis=-1)


def _interval(estimate: float, resampled: NDArray[np.float64], clusters: int) -> Interval:
    """Put an interval around an estimate; none where it is not defined, or one cluster speaks."""
    if math.isnan(estimate) or clusters < 2:
        return Interval(estimate, math.nan, math.nan)
    return Interval(estimate, *map(float, percentiles(resampled)))


def rows(study: Study, found: Judged) -> Iterator[Row]:
    """Yield a row per quantity and class; of what is not defined the estimate is empty."""
    for (label, cls), one in found.found.items():
        yield (*label.at, cls, label.text, *cells(one), "", found.undefined[label, cls])


def report(study: Study, found: Judged) -> str:
    """Write the table for people (Markdown)."""
    lines = [f"# Seen or heard: {study.name}", ""]
    listener = study.config["evaluate"]["listener"]
    if listener is None:
        return "\n".join([*lines, "Nobody was asked (key `evaluate.listener`).", ""])
    whose = PROXY.format(listener=listener, split=study.split)
    return "\n".join([*lines, whose, *written(found, "groups of clips")]).rstrip() + "\n"


def written(found: Judged, over: str) -> list[str]:
    """Write what guesses know, in lines of Markdown.

    Parameters
    ----------
    found : Judged
        What is known.
    over : str
        What was resampled, in words.
    """
    lines = [
        NOTES.format(over=over),
        *(f"- `{name}`: {says}." for name, says in STIMULI.items() if name in _names(found)),
    ]
    lines += ["", "## The model's answer", "", *headlines(found), ""]
    for name in found.clusters:
        lines += [f"## {PARTS[name].capitalize()}", ""]
        lines += markdown.table(["stimulus", "n", over, *METRICS, f"without {MARKEDNESS}"], _body(found, name, over))
        lines += _differences(found, name)
    for metric in METRICS:
        lines += [f"## {metric.capitalize()}, class by class", ""]
        for name in found.clusters:
            body = [
                [stimulus, *(markdown.cell(known(found), _label(name, stimulus, metric), cls) for cls in found.classes)]
                for stimulus in _names(found)
            ]
            lines += markdown.table([PARTS[name], *found.classes], body)
    return lines


def known(found: Judged) -> Summaries:
    """Leave out what is not defined."""
    return {key: one for key, one in found.found.items() if not math.isnan(one.interval.estimate)}


def headlines(found: Judged) -> Iterator[str]:
    """Say whether explanations tell the model's answer better than the clip alone does, a line each."""
    for name in (one for one in (RIGHT, WRONG) if one in found.clusters):
        for stimulus in _names(found):
            one = known(found).get((_label(name, stimulus).less(SIGNAL), ALL))
            if one is not None:
                told = f"{markdown.bounded(one.interval)}, n = {one.n}"
                yield f"- Of {PARTS[name]} `{stimulus}` tells {verdict(one.interval)} the clip alone: {told}."


def verdict(difference: Interval) -> str:
    """Say what an interval of a difference allows to say."""
    if math.isnan(difference.low):
        return "nobody knows whether more than"  # one cluster has no interval
    return "more than" if difference.low > 0 else "less than" if difference.high < 0 else "as much, for all we know, as"


def of_people(layout: Layout, split: str, files: Sequence[Path], draws: int) -> str:
    """Judge answers that people filled in, and say what could not be counted (Markdown).

    Parameters
    ----------
    layout, split
        Of which model it was that people heard and saw explanations.
    files : sequence of Path
        One per listener.
    draws : int
        Resamples behind every interval: of listeners, or, of a single one, of groups of clips.

    Raises
    ------
    EarmarkError
        If there is no key, or a file cannot be read.
    """
    if not layout.key(split).exists():
        raise EarmarkError(
            f"nobody can tell what was heard and seen: '{layout.key(split)}' is missing; ask Snakemake for it"
        )
    key = artifacts.read_csv(layout.key(split)).set_index("file")
    classes = artifacts.read_csv(layout.classes)["slug"].tolist()
    heard, twice = submissions.read(files, key.index.tolist(), classes)
    told = [(one.listener, name, guess) for one in heard for name, guess in one.guesses.items()]
    guesses = pd.DataFrame(told, columns=["listener", "file", "guess"]).join(key, on="file")
    several = guesses["listener"].nunique() > 1
    over = "listeners" if several else "groups of clips"
    found = judged(guesses, guesses["listener" if several else "group"], classes, draws, 0)
    remarks = [f"- {one.listener}: {remark}." for one in heard for remark in one.remarks()]
    lines = [f"# Seen or heard by people: {layout.dataset}, {split}", ""]
    lines += [f"{len(heard)} listeners, {len(guesses)} guesses of {len(key) * len(heard)}.", ""]
    lines += [*remarks, *(f"- {remark}." for remark in twice), ""] if remarks or twice else []
    return "\n".join([*lines, *written(found, over)]).rstrip() + "\n"


def _names(found: Judged) -> list[str]:
    """List the stimuli that were guessed by."""
    there = {label.part for label, _ in found.found}
    return [stimulus for stimulus in STIMULI if stimulus in there]


def _body(found: Judged, name: str, over: str) -> Iterator[list[str]]:
    for stimulus in _names(found):
        labels = [_label(name, stimulus, metric) for metric in METRICS]
        if (labels[0], ALL) in found.found:
            values = [markdown.cell(known(found), label, ALL) for label in labels]
            never = str(found.undefined[labels[1], ALL])
            yield [stimulus, str(found.found[labels[0], ALL].n), str(found.clusters[name]), *values, never]


def _differences(found: Judged, name: str) -> list[str]:
    """Write by how much stimuli tell more than others, in lines; none where there is nothing to compare."""
    stimuli = [one for one in _names(found) if one in RIVALS]
    rivals = [one for one in _names(found) if any(one in RIVALS[stimulus] for stimulus in stimuli)]
    body = [
        [stimulus, *(markdown.cell(known(found), _label(name, stimulus).less(rival), ALL) for rival in rivals)]
        for stimulus in stimuli
    ]
    told = [line for line in body if any(cell != markdown.MISSING for cell in line[1:])]
    return markdown.table(["stimulus", *(f"{INFORMEDNESS} less `{rival}`" for rival in rivals)], told) if told else []


def _label(name: str, stimulus: str, metric: str = INFORMEDNESS) -> Label:
    return Label(STANDARD, metric, part=stimulus, clips=PARTS[name])


PROXY = """**A proxy, no people.** The listener is the network of `{listener}`, `{split}`, which learned from
recordings in other folds. It hears each sound at a peak of its own, as people hear all equally loud. It has one sense:
to see a clip and to hear it is the same to it, and `seen` means that the mask is applied to a picture's brightness and
not to a sound's amplitude. It never learned from masked sounds: people may be told what tells it nothing, and the other
way round.
"""

NOTES = f"""A listener guesses which class the *model* answered, be that right or wrong. Brackets hold 95 % intervals,
{{over}} resampled, not corrected for their number. Means are over the classes of which a measure is defined: one that
is never guessed has no markedness, and the last column counts those without. Whoever says one word everywhere has an
informedness of 0 and no markedness.

{markdown.notes(METRICS)}
"""
