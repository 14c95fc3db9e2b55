"""The columns of a dictionary of spectra, and what each adds to the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from earmark.figures.style import LOUDNESS, MEDIUM, RELEVANCE, SMALL, new, style_bar

COLUMN = 0.16
"""Inches that a component takes."""

FAINT = 1e-3
"""Of a column's loudest bin: what lies below is drawn alike."""


def dictionary(
    components: Sequence[str],
    learned_from: Sequence[str],
    frequencies: NDArray[np.float64],
    spectra: NDArray[np.float64],
    contributions: Mapping[str, Mapping[str, float]],
    title: str,
) -> Figure:
    """Draw spectra above what they add to each class's answers.

    Parameters
    ----------
    components, learned_from : sequence of str [K]
        Numbers, and the classes that they were learned from.
    frequencies : array [F]
        In Hz.
    spectra : array [F, K]
        Amplitudes.
    contributions : mapping of class to mapping of component to float
        In units of the logit.
    title : str
        Of the figure.
    """
    count, classes = len(components), list(contributions)
    figure = new(max(4.0, 2.0 + COLUMN * count), 3.6 + 0.2 * len(classes), title)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, max(0.6, 0.2 * len(classes))])
    decibels = 20 * np.log10(np.maximum(spectra / spectra.max(axis=0).clip(min=1e-12), FAINT))  # [F, K]
    edges = (-0.5, count - 0.5, frequencies[0] / 1000, frequencies[-1] / 1000)
    image = above.imshow(decibels, cmap=LOUDNESS, aspect="auto", origin="lower", extent=edges, interpolation="nearest")
    above.set_ylabel("kHz", fontsize=MEDIUM)
    style_bar(figure.colorbar(image, ax=above, pad=0.01), "dB below the loudest bin")
    added = np.array([[contributions[cls].get(number, np.nan) for number in components] for cls in classes])  # [C, K]
    limit = float(np.nanmax(np.abs(added), initial=0.0)) or 1.0
    image = below.imshow(added, cmap=RELEVANCE, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    below.set_yticks(range(len(classes)), classes, parse_math=False)
    every = max(1, count // 40)
    below.set_xticks(range(0, count, every), components[::every], rotation=90)
    below.set_xlabel("component", fontsize=MEDIUM)
    style_bar(figure.colorbar(image, ax=below, pad=0.01), "added logit")
    for place in range(1, count):
        if learned_from[place] != learned_from[place - 1]:
            for axis in (above, below):
                axis.axvline(place - 0.5, color="white" if axis is above else "black", linewidth=0.8)
    for axis in (above, below):
        axis.tick_params(labelsize=SMALL, length=2, pad=2)
    return figure
