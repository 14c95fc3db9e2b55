"""Table ``networks``: what holds of a recipe, and not of one training of it.

Each method is judged in several networks, trained alike but from other weights and in another order. What is compared
are their estimates, one per network; intervals are Student's over networks, whose clips are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.chosen import SCORED
from earmark.metrics.scores import METRICS
from earmark.plan.methods import named
from earmark.statistics import ALL, Interval, exact_sign_flip, students
from earmark.tables import flipping, ground_truth, markdown, summary
from earmark.tables.flipping import BETWEEN, BUDGET, JOINT
from earmark.tables.ground_truth import NMI, RATIO
from earmark.tables.labels import At, Label, rivals
from earmark.tables.markdown import bounded
from earmark.tables.study import Study
from earmark.tables.summary import Row, Summaries, Values, number

COLUMNS = (*summary.COLUMNS, "networks", "wins")

RECOVERED = (NMI, "capture")

COMPARED = (NMI, RATIO, "capture", *BETWEEN, "thesis", BUDGET, *JOINT)
"""What methods are compared by."""

FEWEST = 6
"""Networks that a p-value needs: of fewer no pattern of signs is rare enough."""


@dataclass(frozen=True)
class Found:
    """A quantity in N networks.

    Attributes
    ----------
    values : array [N]
        Its estimates, in the order of the networks.
    wins : int or None
        Networks in which the method is the best of its layer and K, ceilings aside; of a difference, in which it is
        on the better side. None where neither side is better.
    n : int
        Fewest clips behind an estimate.
    p : float
        Of a difference, by sign flips over networks; not corrected. NaN without.
    """

    values: Values
    wins: int | None
    n: int
    p: float = math.nan

    @property
    def interval(self) -> Interval:
        """Mean over networks with Student's interval."""
        return students(self.values)


@dataclass(frozen=True)
class Measured:
    """What is known of several networks.

    Attributes
    ----------
    found : dict
        By label, or difference, and class.
    left_out : dict of str to int
        Of every class the most test clips that a network leaves out.
    networks : int
        How many there are.
    """

    found: dict[tuple[Label, str], Found]
    left_out: dict[str, int | str]
    networks: int


def measure(study: Study) -> Measured:
    """Judge every method in every network; nothing where there is one network."""
    if len(study.networks) == 1:
        return Measured({}, {}, 1)
    each = [study.of_network(split) for split in study.networks]
    judged = [_judged(one) for one in each]
    plain = {
        key: (np.array([of[key].interval.estimate for of in judged]), min(of[key].n for of in judged))
        for key in judged[0]
        if key[0].metric in COMPARED and not (key[0].minus or key[0].part or key[0].clips)
        if all(key in of for of in judged)
    }
    found: dict[tuple[Label, str], Found] = {}
    for (label, cls), (values, n) in plain.items():
        others = [(label._replace(at=at), cls) for at in _peers(study, label.at)]
        wins = _wins(label.metric, values, [plain[key][0] for key in others if key in plain])
        found[label, cls] = Found(values, wins, n)
    for difference, terms in comparisons(study).items():
        for cls in (*study.slugs, ALL):
            keys = [(term, cls) for term in terms]
            if all(key in plain for key in keys):
                (ours, n), (theirs, m) = (plain[key] for key in keys)
                p = exact_sign_flip(ours - theirs) if len(ours) >= FEWEST else math.nan
                found[difference, cls] = Found(ours - theirs, _wins(difference.metric, ours, [theirs]), min(n, m), p)
    return Measured(found, _left_out(each), len(judged))


def comparisons(study: Study) -> dict[Label, tuple[Label, Label]]:
    """List the differences between methods, and to explanations without layers and controls."""
    found = flipping.comparisons(study.grid, study.levels)
    for first, second in rivals(study.judged):
        for metric in RECOVERED:
            found[Label(first, metric).less(second.method)] = Label(first, metric), Label(second, metric)
    return found


def _left_out(studies: Sequence[Study]) -> dict[str, int | str]:
    counts = [study.left_out(SCORED) for study in studies]
    known = {cls: [count for of in counts if (count := of.get(cls)) is not None] for cls in counts[0]}
    most: dict[str, int | str] = {cls: max(of_class, default="") for cls, of_class in known.items()}
    return most | {ALL: sum(count for count in most.values() if isinstance(count, int))}


def _judged(study: Study) -> Summaries:
    """Estimate the scores of one network, and what its concepts know of the objects, where these are known."""
    clips, values = flipping.read(study)
    found = summary.summarise_scores(values, clips, study.draws, study.seed)
    gathered = ground_truth.gather(study)
    return found if gathered is None else found | ground_truth.estimates(study, gathered)


def _peers(study: Study, at: At) -> Iterator[At]:
    """List the other methods of a layer and K that someone could choose, who does not know the stems."""
    for other in study.judged:
        if (other.layer, other.k) == (at.layer, at.k) and other != at and named(other.method).fitted_to != "stems":
            yield other


def _wins(metric: str, ours: Values, others: Sequence[Values]) -> int | None:
    direction = METRICS[metric].direction
    if direction == "none" or not others:
        return None
    sign = 1 if direction == "higher" else -1
    return int((sign * ours > np.max([sign * theirs for theirs in others], axis=0)).sum())


def rows(study: Study, measured: Measured) -> Iterator[Row]:
    """Yield a row per quantity, or difference, and class."""
    for (label, cls), found in measured.found.items():
        values = (*map(number, found.interval), number(found.p))
        wins = "" if found.wins is None else found.wins
        yield (*label.at, cls, label.text, *values, found.n, measured.left_out[cls], measured.networks, wins)


def report(study: Study, measured: Measured) -> str:
    """Write the table for people (Markdown)."""
    title = f"# Methods over networks: {study.layout.dataset}"
    if not measured.found:
        return f"""{title}

One network: what the other tables say holds of this one training. `networks: 6` in the data set's block trains six
alike, from other weights and in another order, and compares the methods over them.
"""
    count = measured.networks
    lines = [title, notes(study, count)]
    lines += [line for split in study.networks for line in markdown.absent(split, study.of_network(split).without)]
    metrics = [name for name in COMPARED if any(label.metric == name for label, _ in measured.found)]
    for k in study.ks:
        for cls in (ALL, *study.slugs):
            lines += [f"## K = {k}, {'all classes' if cls == ALL else cls}", ""]
            body = [
                [at.layer, at.method, *(_cell(measured, Label(at, metric), cls) for metric in metrics)]
                for at in (*study.levels, *(at for at in study.judged if at.k == k))
            ]
            lines += markdown.table(["layer", "method", *metrics], body)
            minus = dict.fromkeys(
                label.minus for label, _ in measured.found if label.at.method == study.methods[0] and label.minus
            )
            leads = [
                [at.layer, f"{at.method} - {' - '.join(less)}", *(_cell(measured, label, cls) for label in labels)]
                for at in study.over_grid(study.methods[:1])
                if at.k == k
                for less in minus
                for labels in [[Label(at, metric, less) for metric in metrics]]
            ]
            lines += markdown.table(["layer", "difference", *metrics], leads)
    return "\n".join(lines).rstrip() + "\n"


def _cell(measured: Measured, label: Label, cls: str) -> str:
    found = measured.found.get((label, cls))
    if found is None:
        return "–"
    wins = "" if found.wins is None else f", {found.wins}/{measured.networks}"
    return f"{bounded(found.interval)}{wins}"


def notes(study: Study, count: int) -> str:
    """Say what the numbers are over."""
    return f"""
Means over {count} networks, trained alike but from other weights and in another order, with Student's 95 % interval
**over networks**; all are judged on the same test clips, as far as each recognises them. Behind an estimate stands in
how many networks the method is the best of its layer and K (methods that know the stems do not compete), behind a
difference in how many it is on the better side. `networks.csv` has p-values by sign flips over networks, from {FEWEST}
networks on; they are not corrected for their number.{markdown.averaged(study.judged, before=" ", after=".")}

{markdown.notes([name for name in COMPARED if METRICS[name].shows])}
"""
