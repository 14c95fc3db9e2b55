"""Everything that is told of one explanation when its model hears it; see :mod:`earmark.metrics.masking`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from earmark.metrics.masking import CURVES, both_ends, heard, log_odds, odds, played, replaced
from earmark.models.base import Model
from earmark.sound.masks import apply_masks


def masked(
    model: Model,
    clip: Tensor,
    inputs: Tensor,
    target: Tensor,
    cells: Tensor,
    seed: int,
    budgets: Sequence[float],
    filling: Tensor,
    own: Tensor | None = None,
    leveled: bool = False,
) -> pd.DataFrame:
    """Score an explanation at every share of the clip's energy, and the sound that its method made itself.

    Parameters
    ----------
    model : Model
        What is explained.
    clip, inputs : Tensor
        ``[S]`` and ``[1, *I]``.
    target : Tensor
        The class, a scalar.
    cells : Tensor
        Relevance ``[F, T]``, of either sign.
    seed : int
        Of the order of equally relevant cells.
    budgets : sequence of float
        M shares of the energy, the last of which is 1.
    filling : Tensor
        Stands for the training clips, ``[*I]``.
    own : Tensor or None
        The sound that the method makes itself, ``[S]``.
    leveled : bool
        Whether what is left is heard at its own peak besides.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`played` and `CURVES`, which a method's own sound lacks; a row per sound, that one last.
    """
    frontend = model.frontend
    most, least = both_ends(frontend, clip, cells, seed, budgets)  # [M, F, T] each
    sounds, others = (apply_masks(frontend, clip, masks) for masks in (most, least))  # [M, S]
    repeated, targets = inputs.expand(len(budgets), *inputs.shape[1:]), target.expand(len(budgets))
    without = {
        "logodds_least": odds(model, clip - others, clip, target),
        "mean_out": replaced(model, repeated, targets, most, filling),
        "mean_least": replaced(model, repeated, targets, least, filling),
    }
    for name, taken in (("own_out", sounds), ("own_least", others)) if leveled else ():
        without[name] = log_odds(heard(model, clip - taken, clip - taken), targets, model.multi_label)
    told = played(model, clip, target, sounds, budgets, own)
    return told.join(pd.DataFrame({name: without[name].cpu().numpy() for name in without}, columns=CURVES[1:]))
