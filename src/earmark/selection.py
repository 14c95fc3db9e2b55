"""Which clips of a class a stage looks at."""

from __future__ import annotations

import numpy as np
import torch

from earmark.data import DataSet
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
