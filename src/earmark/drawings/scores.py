"""Figures of what concepts score, method by method and layer by layer, and of what may be chosen by that."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from earmark.drawings.drawing import UNITS, UNKNOWN, Drawn
from earmark.figures import matrices, scores
from earmark.figures.curves import flipping_curves
from earmark.sound.base import Frontend
from earmark.statistics import ALL, Bar, Bars
from earmark.tables import composites_curves
from earmark.tables.cross_class import advantage
from earmark.tables.ground_truth import chosen_by
from earmark.tables.labels import STANDARD
from earmark.tables.study import Study
from earmark.tables.written import Tables, bars

REPLACED = {"zero": "patches replaced by 0", "floor": "patches replaced by the minimum"}


def draw(study: Study, front: Frontend, tables: Tables) -> Drawn:
    """Yield ``cross_class``, ``flipping``, ``ground_truth``, ``composites``, ``beside`` and ``choice``."""
    for k in study.ks if study.methods else ():  # else there are no concepts to draw
        yield f"cross_class_K{k}", _cross_class(study, tables.bars("cross_class"), k)
        yield (
            f"flipping_K{k}",
            scores.flipping(
                tables.bars("flipping"),
                study.layers,
                study.methods,
                k,
                [at.method for at in study.levels],
                study.controls,
                UNITS,
            ),
        )
        yield (
            f"ground_truth_K{k}",
            scores.recovered(tables.bars("ground_truth"), study.layers, study.methods, k, study.controls, UNITS),
        )
    yield "composites", _composites(study, tables)
    for other in study.config["evaluate"]["beside"]:
        for k in study.ks:
            yield f"beside_{other}_K{k}", _beside(study, tables, other, k)
    for method in study.methods[:1]:
        yield "choice", _choice(study, tables, method)


def _cross_class(study: Study, gains: Bars, k: int) -> Figure | None:
    """Draw the gain over the standard heatmap by attributed class and class of the subspaces (Fig. 4.10)."""
    shown: dict[str, dict[str, NDArray[np.float64]]] = {}
    bars_of: dict[tuple[str, str], list[Bar]] = {}
    with_clips = [place for place, cls in enumerate(study.asked) if cls in study.classes]
    for at in (at for at in study.crossed if at.k == k):
        keys = [(*at, cls, advantage(at).text) for cls in (*study.slugs, ALL)]
        matrix = study.read_csv(study.method(at) / "cross_class.csv") if keys[-1] in gains else None
        if matrix is not None:
            # By place: a class may bear the name of the first column.
            cells = matrix.iloc[:, 1:].to_numpy()[np.ix_(with_clips, with_clips)]
            shown.setdefault(at.layer, {})[at.method] = cells.astype(float)
            bars_of[at.layer, at.method] = [gains.get(key, UNKNOWN) for key in keys]
    if not shown:
        return None
    names = [cls.name for cls in study.classes]
    return matrices.cross_class(shown, bars_of, names, f"Cross-class ΔAUPC, K = {k}: higher is better")


def _composites(study: Study, tables: Tables) -> Figure | None:
    """Draw flipping curves of LRP rules (Fig. B.1)."""
    panels: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (kind, name), curve in composites_curves.curves(tables.frame("composites_curves")):
        panels.setdefault(REPLACED[kind], {})[name] = curve
    if not panels:
        return None
    title = f"LRP rules on validation clips of {study.layout.dataset}: lower is better; bands: 95 % intervals"
    return flipping_curves(panels, title)


def _beside(study: Study, tables: Tables, other: str, k: int) -> Figure | None:
    """Draw how far another data set's network finds the concepts too, and whose tell sound objects apart."""
    frame = tables.frame("beside")
    found = frame[(frame["other"] == other) & (frame["concept"] == "")]
    by_layer = {str(layer): part for layer, part in found.groupby("other_layer", sort=False)}
    compared = {layer: bars(part) for layer, part in by_layer.items()}
    random = {
        layer: bars(part[part["random"] != ""].assign(estimate=part["random"], low="", high=""))
        for layer, part in by_layer.items()
    }
    return scores.beside(compared, random, other, study.layers, study.methods, k, study.controls)


def _choice(study: Study, tables: Tables, method: str) -> Figure | None:
    """Draw what K and layer of a method may be chosen by, and, to be looked at afterwards, a test score."""
    stable = tables.frame("stability")
    random = stable.assign(estimate=stable["random"])[stable["concept"] == ""]
    numbers = tables.bars("concepts")
    panels = scores.choice_panels(
        tables.bars("flipping"),
        numbers,
        tables.bars("ground_truth"),
        tables.bars("stability"),
        bars(random),
        tables.bars("agreement"),
        chosen_by(STANDARD).text,
        *(study.layers, study.ks, method),
    )
    if not any(panel.lines for panel in panels):
        return None
    ks = {layer: scores.proposed(numbers, layer, study.ks, method) for layer in study.layers}
    by_number = ", ".join(f"{k} at {layer}" for layer, k in ks.items() if k) if study.ks[1:] else ""
    proposal = f"; by the concepts in effect K = {by_number}" if by_number else ""
    return scores.choice(panels, study.layers, f"Which K and which layer? {method}; bars: 95 % intervals{proposal}")
