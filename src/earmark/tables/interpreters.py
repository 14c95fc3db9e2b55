"""Table ``interpreters``: how explainers were trained, and whether what they learned beats what learned nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from earmark import statistics
from earmark.plan.methods import methods
from earmark.statistics import ALL, Clusters, Interval
from earmark.store.layout import INPUT_LAYER
from earmark.tables import markdown, summary
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.summary import Row, number

COLUMNS = ("what", *summary.COLUMNS, "errors")

OWN = "interpreter"
"""What ``validation.csv`` calls the interpreter itself."""

TRAINING = EPOCHS, BEST, PARAMETERS, CLIPS, SECONDS = "epochs", "best_epoch", "parameters", "training_clips", "training"

LOSS, BELOW = "interpreter_loss", "below_all"

METRICS = (*TRAINING, LOSS, BELOW)

MARGIN = 2.0
"""Standard errors by which a loss must lie below another one."""


@dataclass(frozen=True)
class Rival:
    """What an interpreter is compared with, on validation clips.

    Attributes
    ----------
    loss : Interval
        Its own, in the interpreter's loss.
    difference : Interval
        The interpreter's loss less its own, clip by clip.
    errors : float
        Standard errors by which the interpreter's is lower; NaN where a single group speaks.
    clips, groups : int
        Over how many.
    """

    loss: Interval
    difference: Interval
    errors: float
    clips: int
    groups: int


@dataclass(frozen=True)
class Trained:
    """What is known of a training: numbers by metric, the own loss, and rivals by name."""

    told: dict[str, float]
    loss: Interval
    clips: int
    rivals: dict[str, Rival] = field(default_factory=dict)

    @property
    def trivial(self) -> dict[str, Rival]:
        """Rivals that explain nothing: a method that does is there to tell what could be reached."""
        explaining = {method.name for method in methods(lambda one: not one.control)}
        return {name: rival for name, rival in self.rivals.items() if name not in explaining}

    @property
    def below(self) -> list[str]:
        """Trivial rivals that the interpreter's loss lies below by more than `MARGIN` standard errors."""
        return [name for name, rival in self.trivial.items() if rival.errors > MARGIN]


def measure(study: Study) -> dict[At, Trained]:
    """Read what every training wrote; nothing of those that are not there."""
    found = {}
    for name in study.trained:
        folder = study.layout.trained(study.split, name)
        types = {"epoch": int, "best": int}
        history = study.read_csv(folder / "history.csv", types)
        spent = study.read_csv(folder / "cost.csv", {"clips": int, "parameters": int, "seconds": float})
        losses = study.read_csv(folder / "validation.csv", {"clip": int, "loss": float})
        if history is not None and spent is not None and losses is not None:
            best = int(history.loc[history["best"] == 1, "epoch"].iloc[-1])
            numbers = len(history), best, *(spent[key].iloc[0] for key in ("parameters", "clips", "seconds"))
            told = dict(zip(TRAINING, map(float, numbers), strict=True))
            found[At(INPUT_LAYER, name, 1)] = compared(losses, told, study.draws, study.seed)
    return found


def compared(losses: pd.DataFrame, told: dict[str, float], draws: int, seed: int) -> Trained:
    """Compare the loss of an interpreter with that of its rivals, on the clips that both are known of."""
    by_what = losses.pivot(index="clip", columns="what", values="loss")
    groups = losses.drop_duplicates("clip").set_index("clip")["group"]
    own = by_what[OWN]

    def resampled(values: pd.DataFrame) -> tuple[list[Interval], np.ndarray, int]:
        clusters = Clusters.of(groups.loc[values.index].to_numpy(str))
        both = values.to_numpy(float)
        found = statistics.bootstrap(both, clusters, draws, seed)
        return found, statistics.standard_errors(both, clusters, draws, seed), clusters.n_groups

    rivals = {}
    for what in (name for name in losses["what"].unique() if name != OWN):
        known = by_what[what].dropna()
        pairs = pd.DataFrame({"loss": known, "difference": own.loc[known.index] - known})
        (loss, difference), errors, count = resampled(pairs)
        lead = -difference.estimate / errors[1] if errors[1] > 0 else math.copysign(math.inf, -difference.estimate)
        rivals[str(what)] = Rival(loss, difference, lead if count > 1 else math.nan, len(known), count)
    (loss,), _, _ = resampled(own.to_frame())
    return Trained(told, loss, len(own), rivals)


def rows(study: Study, found: dict[At, Trained]) -> Iterator[Row]:
    """Yield a row per training and number, and per rival its loss and the difference to it."""
    for at in (At(INPUT_LAYER, name, 1) for name in study.trained):
        trained = found.get(at)
        if trained is None:
            yield from ((OWN, *at, ALL, metric, "", "", "", "", 0, "", "") for metric in METRICS)
            continue
        for metric, value in trained.told.items():
            yield (OWN, *at, ALL, metric, number(value), "", "", "", "", "", "")
        yield (OWN, *at, ALL, LOSS, *_bounds(trained.loss), "", trained.clips, "", "")
        if trained.trivial:
            is_below = int(len(trained.below) == len(trained.trivial))
            yield (OWN, *at, ALL, BELOW, str(is_below), "", "", "", trained.clips, "", "")
        for what, rival in trained.rivals.items():
            yield (what, *at, ALL, LOSS, *_bounds(rival.loss), "", rival.clips, "", "")
            text = f"{LOSS} - {what}"
            yield (what, *at, ALL, text, *_bounds(rival.difference), "", rival.clips, "", number(rival.errors))


def losses(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Read the losses of rivals, by method and name."""
    known = frame[(frame["metric"] == LOSS) & (frame["what"] != OWN)]
    found: dict[str, dict[str, float]] = {}
    for method, what, estimate in zip(known["method"], known["what"], known["estimate"], strict=True):
        found.setdefault(method, {})[what] = float(estimate)
    return found


def _bounds(interval: Interval) -> tuple[str, ...]:
    return tuple(map(number, interval))


def report(study: Study, found: dict[At, Trained]) -> str:
    """Write the table for people (Markdown)."""
    lines = [f"# How explainers were trained: {study.name}", ""]
    if not study.trained:
        return "\n".join([*lines, "None is asked for (keys `grid.methods`, `evaluate.masking`).", ""])
    lines += [NOTES, "## Trainings", ""]
    body = [
        [name, *(f"{found[at].told[metric]:.6g}" if at in found else markdown.MISSING for metric in TRAINING)]
        for name in study.trained
        for at in [At(INPUT_LAYER, name, 1)]
    ]
    lines += markdown.table(["method", *TRAINING], body)
    for at, trained in found.items():
        lines += [f"## {at.method} against what learned nothing", "", said(trained), ""]
        body = [[OWN, str(trained.clips), markdown.bounded(trained.loss), markdown.MISSING, markdown.MISSING]]
        body += [
            [
                *(what, str(rival.clips), markdown.bounded(rival.loss), markdown.bounded(rival.difference)),
                number(rival.errors) or markdown.MISSING,
            ]
            for what, rival in trained.rivals.items()
        ]
        lines += markdown.table(["what", "clips", LOSS, "interpreter less this", "standard errors below"], body)
    return "\n".join(lines).rstrip() + "\n"


def said(trained: Trained) -> str:
    """Say in a sentence whether what was learned beats all that learned nothing."""
    if not trained.trivial:
        return "It is compared with nothing that learned nothing."
    missed = [f"`{name}`" for name in trained.trivial if name not in trained.below]
    if missed:
        return f"Its loss does **not** lie below that of {', '.join(missed)} by more than {MARGIN:g} standard errors."
    return f"Its loss lies below that of all {len(trained.trivial)} by more than {MARGIN:g} standard errors."


NOTES = f"""On validation clips, which also say which epoch is kept; differences are taken clip by clip. Brackets hold
95 % intervals, and standard errors are those of the mean, groups of clips resampled. Losses of different methods are
not of one kind: compare those below one heading. Methods that explain are no trivial rivals: they tell what could be
reached. All this is of one training: another one may end elsewhere.

{markdown.notes(METRICS)}
"""
