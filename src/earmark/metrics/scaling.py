"""What a model answers to clips whose frequency axis is scaled, and to their controls."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.dataset import ClassInfo, DataSet
from earmark.store.layout import asked_for

CONDITIONS = AS_IS, BACK, SCALED, AWAY = "as it is", "there and back", "scaled", "scaled away"
"""How clips are heard: not scaled, scaled by a factor and then by its inverse, by the factor, and by the inverse alone.

The second has gone through the same filters as the third, and the fourth through the same as well, but away from what
the factor is for.
"""


def factors_of(scaling: Mapping[str, float], source: DataSet) -> list[tuple[ClassInfo, float]]:
    """List the classes whose clips are scaled, in the order of the model's logits, each with its factor.

    Parameters
    ----------
    scaling : mapping of str to float
        Factors by names or slugs of classes.
    source : DataSet
        Which classes there are.
    """
    called = {cls.name: cls.slug for cls in source.classes}
    factors = {slug: factor for name, factor in scaling.items() for slug in asked_for(called, [name])}
    return [(cls, factors[cls.slug]) for cls in source.classes if cls.slug in factors]


def answered(logits: Tensor, multi_label: bool) -> Tensor:
    """Say which classes a model answers to n clips, bool ``[n, C]``, by its logits ``[n, C]``.

    The class of the largest logit, or of a multi-label model those of positive ones.
    """
    return logits > 0 if multi_label else torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).bool()


def margins(logits: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
    """Subtract the largest of the other logits ``[n, C]`` from that of each clip's own class ``[n]``; NaN if C is 1."""
    others = logits.copy()
    np.put_along_axis(others, own[:, None], math.nan, axis=1)
    of_own = np.take_along_axis(logits, own[:, None], axis=1)[:, 0]
    return of_own - np.fmax.reduce(others, axis=1)
