"""Figures of explainers side by side: whom to believe, what they cost, and how those that are trained learn."""

from __future__ import annotations

from matplotlib.figure import Figure

from earmark.drawings.drawing import UNITS, Drawn
from earmark.figures import components as dictionaries
from earmark.figures.cost import against_cost
from earmark.figures.curves import interpreter_curves
from earmark.figures.masking import Named, Panel, heard
from earmark.plan.methods import named
from earmark.sound.base import Frontend
from earmark.statistics import ALL, Bars
from earmark.store import artifacts
from earmark.tables import components, components_spectra, cost, interpreters, masking
from earmark.tables.study import Study
from earmark.tables.written import Tables

RANKS = masking.HEADLINE, f"symmetric relevance gain [{UNITS[masking.HEADLINE]}]", 0.0
FINDS = masking.FOUND, "AUC of used objects' cells", 0.5
"""What ranks explanations, and what tells whether they find the objects that the model uses: title, and chance."""


def draw(study: Study, front: Frontend, tables: Tables) -> Drawn:
    """Yield ``masking``, by class too, ``cost``, ``interpreters`` and ``components``."""
    yield "masking", _masking(study, tables)
    yield "cost", _cost(study, tables)
    yield "interpreters", _interpreters(study, tables)
    for name in masking.BY_CLASS:
        yield f"masking_{name}", _by_class(study, tables, name)
    for method in study.config["evaluate"]["fidelity"]:
        yield f"components_{method}", _components(study, tables, method)


def _masking(study: Study, tables: Tables) -> Figure | None:
    """Draw whom to believe: what ranks explanations, and whether they find the objects that the model uses."""
    known = tables.bars("masking") if study.masked else {}
    panels = [_panel(study, known, *one) for one in (RANKS, FINDS)]
    drawn = [panel for panel in panels if panel.bars]
    if not drawn:
        return None
    ranked = sorted(drawn[0].bars, key=lambda at: drawn[0].bars[at][0], reverse=True)
    return heard(ranked, drawn, _controls(study), masking.claims(tables.frame("masking")))


def _panel(study: Study, known: Bars, name: str, title: str, chance: float) -> Panel:
    """Collect one score of all explanations that the model hears."""
    return Panel(title, {at: known[*at, ALL, name] for at in study.masked if (*at, ALL, name) in known}, chance)


def _controls(study: Study) -> set[str]:
    """List the methods that the model hears and that explain nothing."""
    return {at.method for at in study.masked if named(at.method).control}


def _cost(study: Study, tables: Tables) -> Figure | None:
    """Draw what explanations find against what they cost: the objects that the model uses, else what it answers to."""
    known, spent = (tables.bars(name) if study.masked else {} for name in ("masking", "cost"))
    seconds: dict[Named, float] = {
        at: found[0] for at in study.masked if (found := spent.get((*at, ALL, cost.SECONDS))) and found[0] > 0
    }
    for panel in (_panel(study, known, *one) for one in (FINDS, RANKS)):
        if seconds.keys() & panel.bars.keys():
            return against_cost(seconds, panel, _controls(study), masking.claims(tables.frame("masking")))
    return None


def _interpreters(study: Study, tables: Tables) -> Figure | None:
    """Draw the learning curves of explainers that are trained, beside what learned nothing."""
    paths = {name: study.layout.trained(study.split, name) / "history.csv" for name in study.trained}
    read = {name: artifacts.read_csv(path) for name, path in paths.items() if study.has(path)}
    histories = {name: frame.astype(float).to_dict("list") for name, frame in read.items()}
    if not histories:
        return None
    rivals = interpreters.losses(tables.frame("interpreters"))
    return interpreter_curves(histories, rivals, "Explainers while they are trained")


def _by_class(study: Study, tables: Tables, name: str) -> Figure | None:
    """Draw a score of explanations for each class by itself, where there are several: one may be right of some only."""
    known = tables.bars("masking") if study.masked and study.slugs[1:] else {}
    means = {at: known[*at, ALL, name][0] for at in study.masked if (*at, ALL, name) in known}
    if not means:
        return None
    ranked = sorted(means, key=lambda at: means[at], reverse=True)
    unit = f" [{UNITS[name]}]" if UNITS[name] else ""
    panels = [
        Panel(f"{cls}: {name}{unit}", {at: known[*at, cls, name] for at in means if (*at, cls, name) in known}, 0.0)
        for cls in study.slugs
    ]
    return heard(ranked, panels, _controls(study), masking.claims(tables.frame("masking")))


def _components(study: Study, tables: Tables, method: str) -> Figure | None:
    """Draw the spectra of a method's components, and what they add to each answer."""
    spectra = tables.frame("components_spectra")
    own = spectra[spectra["method"] == method]
    added = components.contributions(tables.frame("components"), method)
    if own.empty or not added:
        return None
    title = f"Components of {method} in {study.layout.dataset}, and what they add to the answers"
    return dictionaries.dictionary(*components_spectra.dictionary(own), added, title)
