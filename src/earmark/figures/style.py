"""What all figures share: colours, type, and how they are written."""

from __future__ import annotations

import functools
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from earmark.store import artifacts

LOUDNESS, RELEVANCE, AMOUNT = "magma", "RdBu_r", "viridis"

# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#8C8C8C",
)

OTHERS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, GREY, BLACK)
"""Colours of lines of one kind, in their order, and their markers."""

MARKERS = ("o", "s", "^", "v", "*", "P", "h", "d")

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

GAP = 0.1
"""Between the panels of a mosaic, in parts of a panel."""

TICKS_HZ = (250, 1000, 2000, 4000, 8000)

DPI = 150

SMALL, MEDIUM, LARGE = 7, 8.5, 11
"""Sizes of type in points: ticks, titles of panels, title of the figure."""

NO_TEXT = ("Last Resort", "cm", "STIXNonUnicode", "STIXSize", "Noto Color Emoji", "Apple Color Emoji")
"""How the names of fonts begin that hold boxes, other characters than they say, or pictures that are not drawn here."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure, equal ones to equal bytes.

    Parameters
    ----------
    figure : Figure
        What to write.
    path : Path
        With ``.png`` or ``.pdf`` that file; without a suffix of the two, both beside each other.
    """
    path = Path(path)
    _set_fonts(figure)
    paths = [path] if path.suffix in (".png", ".pdf") else [path.with_name(f"{path.name}{s}") for s in (".png", ".pdf")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # `unwritable` tells, once
        if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
            # The layout is what costs: once for both files. Nothing is rendered at that.
            figure.draw_without_rendering()
            figure.set_layout_engine(None)  # any other has every file drawn once more
        for target in paths:
            # Neither a date nor the library's version, which would make equal pictures differ.
            metadata = {"Software": None} if target.suffix == ".png" else {"CreationDate": None, "Producer": None}
            picture = io.BytesIO()  # the PNG writer does not say why a file cannot be written
            figure.savefig(picture, format=target.suffix[1:], metadata=metadata)
            with artifacts.replacing(target) as temporary:
                temporary.write_bytes(picture.getvalue())


def unwritable(text: str) -> str:
    """Return the characters of a text that no font of this machine holds: figures show boxes in their place."""
    lacking = frozenset(map(ord, text)) - _characters(font_manager.findfont(font_manager.FontProperties()))
    _, never = _fallbacks(lacking) if lacking else ((), frozenset())
    return "".join(dict.fromkeys(character for character in text if ord(character) in never))


def _set_fonts(figure: Figure) -> None:
    """Let texts whose characters the usual font lacks be written with other fonts of this machine, where those do."""
    usual = _characters(font_manager.findfont(font_manager.FontProperties()))
    for text in figure.findobj(Text):
        lacking = frozenset(map(ord, text.get_text())) - usual
        if lacking:
            text.set_fontfamily(["sans-serif", *_fallbacks(lacking)[0]])


@functools.cache
def _characters(font: str) -> frozenset[int]:
    """List the characters that a font's file holds; none where it cannot be drawn with. A line end needs no glyph."""
    try:
        face = FT2Font(font)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset({ord("\n"), *face.get_charmap()}) if face.scalable else frozenset()


@functools.cache
def _fallbacks(lacking: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Choose fonts that hold what another lacks, those with most of it first; and say what none holds."""
    held = {
        font.name: _characters(font.fname) & lacking
        for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname))
        if (font.style, font.weight) == ("normal", 400) and not font.name.startswith(NO_TEXT)
    }
    chosen: list[str] = []
    while lacking:
        best = max(held, key=lambda name: len(held[name] & lacking), default="")
        if not best or not held[best] & lacking:
            break
        chosen.append(best)
        lacking -= held[best]
    return tuple(chosen), lacking


def new(width: float, height: float, title: str) -> Figure:
    """Create a figure of some inches, wide enough for its title."""
    figure = Figure(figsize=(max(width, 0.088 * len(title) + 0.4), height), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=LARGE, parse_math=False)  # a class may be called "$"
    return figure


def limit_of(maps: NDArray[Any]) -> float:
    """Bound of a symmetric colour scale that single extreme cells do not flatten."""
    limit = float(np.quantile(np.abs(maps[np.isfinite(maps)]), 0.995)) if np.isfinite(maps).any() else 0.0
    return limit if limit > 0 else 1.0


def range_of(values: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest of the values that are numbers."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def style_bar(bar: Any, label: str) -> None:
    """Label a colour bar."""
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, length=2, pad=2)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()


def style_lines(axis: Axes) -> None:
    """Give a panel of lines its small ticks and a pale grid."""
    axis.tick_params(labelsize=SMALL, length=2, pad=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#E5E5E5", linewidth=0.6)
    axis.set_axisbelow(True)


def wrap(text: str, width: int) -> str:
    """Break a label at blanks so that no line exceeds `width` where words allow it."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
    return "\n".join(lines)
