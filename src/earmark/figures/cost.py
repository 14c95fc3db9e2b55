"""What explanations find against what they cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from earmark.figures.masking import Named, Panel, written
from earmark.figures.style import BLUE, GREY, MEDIUM, ORANGE, SMALL, new
from earmark.statistics import Bar

GAP = 4.0
"""Points between a mark and its name, and between a step outwards and the next."""

STEPS = 40
"""Steps outwards at which there is room for a name at last."""

ANGLES = 16
"""Directions in which a name is tried at each step."""

FAR = 2
"""Steps from which a line leads from a name to its mark."""

MARK = 2.5
"""Points from the centre of a mark to its edge, that names keep off."""


def against_cost(
    seconds: Mapping[Named, float], truth: Panel, controls: Collection[str], claims: Collection[Named]
) -> Figure:
    """Draw a point per explanation of which both are known, each with its name; no name covers another, or a point.

    Parameters
    ----------
    seconds : mapping of (layer, method, K) to float
        Per clip, above 0.
    truth : Panel
        What they find.
    controls : collection of str
        Methods that explain nothing: grey squares.
    claims : collection of (layer, method, K)
        Those with a claim: blue; the others orange.

    Returns
    -------
    Figure
    """
    title = "What explanations find, and what they cost"
    figure = new(8.0, 5.5, title)
    axis = figure.subplots()
    places = [place for place in seconds if place in truth.bars]
    for place in places:
        _point(axis, seconds[place], truth.bars[place], _colour(place, controls, claims), place[1] in controls)
    axis.set_xscale("log")
    axis.margins(x=0.12, y=0.08)
    axis.axhline(truth.reference, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_xlabel("seconds per clip", fontsize=MEDIUM)
    axis.set_ylabel(truth.title, fontsize=MEDIUM)
    axis.tick_params(labelsize=SMALL)
    axis.grid(linewidth=0.3)
    kinds = (("beats loudest, quietest and random cells", BLUE, "o"), ("does not", ORANGE, "o"), ("control", GREY, "s"))
    handles = [Line2D([], [], color=colour, marker=mark, ls="", ms=4, label=kind) for kind, colour, mark in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False)
    figure.draw_without_rendering()  # where points are depends on the layout
    points = {place: (seconds[place], truth.bars[place][0]) for place in places}
    _name(axis, points, {place: _colour(place, controls, claims) for place in places})
    return figure


def _colour(place: Named, controls: Collection[str], claims: Collection[Named]) -> str:
    return GREY if place[1] in controls else BLUE if place in claims else ORANGE


def _point(axis: Axes, seconds: float, bar: Bar, colour: str, control: bool) -> None:
    estimate, low, high = bar
    axis.plot(seconds, estimate, "s" if control else "o", color=colour, markersize=4, zorder=3)
    if math.isfinite(low):
        axis.plot((seconds, seconds), (low, high), color=colour, linewidth=0.8, alpha=0.6)


def _name(axis: Axes, points: Mapping[Named, tuple[float, float]], colours: Mapping[Named, str]) -> None:
    """Write names beside points, the most crowded first, each at the nearest place that is free."""
    figure = axis.get_figure(root=True)
    assert figure is not None  # the axes are a figure's
    per_point = figure.dpi / 72  # pixels
    at = {place: axis.transData.transform(point).tolist() for place, point in points.items()}
    taken = [_around(point, MARK * per_point) for point in at.values()]
    whole = axis.get_window_extent()
    for place in sorted(at, key=lambda place: sum(math.dist(at[place], other) for other in at.values())):
        name = axis.annotate(
            written(place),
            points[place],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=SMALL,
            color=colours[place],
            annotation_clip=False,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        name.set_in_layout(False)
        box = name.get_window_extent()
        step, (x, y) = _free(at[place], box, whole, taken, per_point)
        name.set_position(((x - at[place][0]) / per_point, (y - at[place][1]) / per_point))
        taken.append(Bbox.from_bounds(x, y, box.width, box.height))
        if step >= FAR:
            _lead(axis, name, at[place], taken[-1], colours[place])


def _free(
    point: Sequence[float], box: Bbox, whole: Bbox, taken: Sequence[Bbox], per_point: float
) -> tuple[int, tuple[float, float]]:
    """Find the nearest corner, and its step, from which a box is inside the axes and covers nothing."""
    places = list(_corners(point, box, per_point))
    for step, corner in places:
        tried = Bbox.from_bounds(*corner, box.width, box.height)
        inside = whole.x0 <= tried.x0 and tried.x1 <= whole.x1 and whole.y0 <= tried.y0 and tried.y1 <= whole.y1
        if inside and not tried.count_overlaps(taken):
            return step, corner
    return places[0]


def _corners(point: Sequence[float], box: Bbox, per_point: float) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield lower left corners of a box around a point, by step: to the right of it first."""
    x, y = point
    for step, turn in itertools.product(range(1, STEPS + 1), range(ANGLES)):
        side = -1 if turn % 2 else 1
        angle = 2 * math.pi * side * ((turn + 1) // 2) / ANGLES
        reach = step * GAP * per_point
        right, up = math.cos(angle), math.sin(angle)
        # The box's centre lies as much further out as the box reaches in that direction.
        middle = x + right * (reach + box.width / 2), y + up * (reach + box.height / 2)
        yield step, (middle[0] - box.width / 2, middle[1] - box.height / 2)


def _around(point: Sequence[float], reach: float) -> Bbox:
    x, y = point
    return Bbox.from_extents(x - reach, y - reach, x + reach, y + reach)


def _lead(axis: Axes, name: Annotation, point: Sequence[float], box: Bbox, colour: str) -> None:
    """Draw a line from a point to the nearest place of its name's box."""
    near = min(max(point[0], box.x0), box.x1), min(max(point[1], box.y0), box.y1)
    ends = axis.transData.inverted().transform([point, near])
    axis.plot(*ends.T, color=colour, linewidth=0.5, scalex=False, scaley=False)
