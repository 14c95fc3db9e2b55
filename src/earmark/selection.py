"""Which clips of a class a stage looks at."""

from __future__ import annotations

import numpy as np
import torch

from earmark.data import ClassInfo, DataSet
from earmark.errors import EarmarkError
from earmark.train import logits_of


def spread(recordings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose clips at random, spread evenly over their recordings.

    Parameters
    ----------
    recordings : numpy.ndarray
        Recording of every candidate, ``[N]``.
    count : int
        How many to choose; all candidates if there are fewer.
    seed : int
        Of the choice.

    Returns
    -------
    numpy.ndarray
        Ascending positions among the candidates; no recording gives two clips more than another one
        that has as many.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(recordings))
    _, first, member = np.unique(recordings[shuffled], return_index=True, return_inverse=True)
    turn = np.empty(len(recordings), np.int64)  # a clip's place among those of its recording
    for recording in range(len(first)):
        rows = np.flatnonzero(member == recording)
        turn[rows] = np.arange(len(rows))
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:count]])


def recognised(
    network: torch.nn.Module, source: DataSet, clips: np.ndarray, cls: int, device: torch.device
) -> tuple[np.ndarray, torch.Tensor]:
    """Say which clips are classified as `cls` with a positive logit.

    Returns
    -------
    recognised : numpy.ndarray
        bool ``[N]``.
    logits : torch.Tensor
        Of `cls`, ``[N]``.
    """
    if not len(clips):
        return np.zeros(0, bool), torch.zeros(0)
    logits = logits_of(network, source.logmel(clips), device)
    own = logits[:, cls]
    return ((logits.argmax(dim=1) == cls) & (own > 0)).numpy(), own


def require_recognised(known: np.ndarray, source: DataSet, split: str, cls: ClassInfo, which: str) -> None:
    """Raise unless there is a clip of a class to explain.

    Parameters
    ----------
    known : numpy.ndarray
        Whether each clip looked at is recognised, bool ``[N]``.
    source : DataSet
        The data set.
    split : str
        The explained model.
    cls : ClassInfo
        The clips' class.
    which : str
        Of which set they are: ``test`` or ``validation``.

    Raises
    ------
    EarmarkError
        If none is; the sentence names class and split.
    """
    if known.any():
        return
    model = f"{source.layout.dataset}/{split}"
    why = f"{model} has none"
    if len(known):
        why = (
            f"the model of {model} recognises none of the {len(known)} that were looked at "
            "(classified correctly, with a positive logit)"
        )
    raise EarmarkError(f"no {which} clip of {cls.name} can be explained and scored: {why}")
