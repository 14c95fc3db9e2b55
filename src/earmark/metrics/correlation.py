"""Pearson's correlation from sums that may be added up, group by group."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TERMS = ("first", "first_squares", "second", "second_squares", "products")
"""Sums that a correlation over some cells is made of, beside their number."""

ROUNDING = 1e-9
"""What is left of a constant row's variance, as a part of its squares."""


def pearson(cells: ArrayLike, terms: ArrayLike) -> NDArray[np.float64]:
    """Correlate two rows of numbers.

    Parameters
    ----------
    cells : array [...]
        How many numbers each of the two has.
    terms : array [..., 5]
        Their sums in the order of ``TERMS``.

    Returns
    -------
    array [...]
        0 where one of them is constant.
    """
    first, first_squares, second, second_squares, products = np.moveaxis(np.asarray(terms, dtype=float), -1, 0)
    count = np.maximum(np.asarray(cells, dtype=float), 1)
    scale = _lengths(count, first, first_squares) * _lengths(count, second, second_squares)
    return np.divide(products - first * second / count, scale, out=np.zeros_like(scale), where=scale > 0)


def _lengths(
    count: NDArray[np.float64], sums: NDArray[np.float64], squares: NDArray[np.float64]
) -> NDArray[np.float64]:
    left = squares - sums**2 / count
    return np.sqrt(np.where(left > ROUNDING * squares, left, 0.0))
