"""Names beside what they name in a figure, each where it covers nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from earmark.figures.style import SMALL

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


def name_points(
    axis: Axes,
    points: Mapping[str, tuple[float, float]],
    colours: Mapping[str, str],
    others: Sequence[tuple[float, float]] = (),
) -> None:
    """Write names beside points, the most crowded first, each at the nearest place that is free.

    Parameters
    ----------
    axis : Axes
        Whose layout is done.
    points : mapping of str to (x, y)
        By name.
    colours : mapping of str to str
        Of the names.
    others : sequence of (x, y)
        Points that names keep off too.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None  # the axes are a figure's
    per_point = figure.dpi / 72  # pixels
    at = {name: axis.transData.transform(point).tolist() for name, point in points.items()}
    off = axis.transData.transform(others).tolist() if len(others) else []
    taken = [_around(point, MARK * per_point) for point in (*at.values(), *off)]
    whole = axis.get_window_extent()
    for name in sorted(at, key=lambda name: sum(math.dist(at[name], other) for other in at.values())):
        text = axis.annotate(
            name,
            points[name],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=SMALL,
            color=colours[name],
            annotation_clip=False,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        text.set_in_layout(False)
        box = text.get_window_extent()
        step, (x, y) = _free(at[name], box, whole, taken, per_point)
        text.set_position(((x - at[name][0]) / per_point, (y - at[name][1]) / per_point))
        taken.append(Bbox.from_bounds(x, y, box.width, box.height))
        if step >= FAR:
            _lead(axis, at[name], taken[-1], colours[name])


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


def _lead(axis: Axes, point: Sequence[float], box: Bbox, colour: str) -> None:
    """Draw a line from a point to the nearest place of its name's box."""
    near = min(max(point[0], box.x0), box.x1), min(max(point[1], box.y0), box.y1)
    ends = axis.transData.inverted().transform([point, near])
    axis.plot(*ends.T, color=colour, linewidth=0.5, scalex=False, scaley=False)
