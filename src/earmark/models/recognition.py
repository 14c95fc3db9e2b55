"""Which clips the model recognises, and which of them a stage looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.selection import spread
from earmark.errors import EarmarkError
from earmark.models.base import logits_of
from earmark.seeds import derive


@dataclass(frozen=True)
class Chosen:
    """The clips of one class that are explained.

    Attributes
    ----------
    clips : numpy.ndarray
        Rows of the clip index, ``[B]``.
    logits : torch.Tensor
        Of the class, ``[B]``.
    gallery, scored : numpy.ndarray
        bool ``[B]``: shown as picture and sound; counted in the scores.
    left_out : int
        Test clips of the class that were looked at but are not recognised.
    """

    clips: np.ndarray
    logits: torch.Tensor
    gallery: np.ndarray
    scored: np.ndarray
    left_out: int


def choose_explained(
    network: nn.Module, source: DataSet, split: str, cls: ClassInfo, config: dict[str, Any], device: Any
) -> Chosen:
    """Choose a class's test clips to score, and a gallery to look at and to listen to.

    The gallery comes from the clips that hold all objects, where the data set has such a set, else from the
    scored ones.

    Raises
    ------
    EarmarkError
        If no test clip of the class is recognised: no table could hold it.
    """
    settings, recordings = config["explain"], source.clips["recording"].to_numpy()

    def take(clips: np.ndarray, count: int, purpose: str) -> np.ndarray:
        return clips[spread(recordings[clips], count, derive(config["seed"], purpose, cls.slug))]

    def of_class(clips: np.ndarray) -> np.ndarray:
        return clips[source.targets(clips).numpy() == cls.index]

    test = take(of_class(source.split(split).test), settings["clips"], "scored")
    known, logits = recognised(network, source, test, cls.index, device)
    require_recognised(known, source, split, cls, "test")
    showcase = of_class(source.held_out("all-test"))
    shown, shown_logits = recognised(network, source, showcase, cls.index, device)
    if len(showcase):
        picked = take(showcase[shown], settings["gallery"], "gallery")
        return Chosen(
            np.concatenate([picked, test[known]]),
            torch.cat([shown_logits[torch.from_numpy(np.isin(showcase, picked))], logits[torch.from_numpy(known)]]),
            np.repeat([True, False], [len(picked), known.sum()]),
            np.repeat([False, True], [len(picked), known.sum()]),
            int((~known).sum()),
        )
    picked = take(test[known], settings["gallery"], "gallery")
    return Chosen(
        test[known],
        logits[torch.from_numpy(known)],
        np.isin(test[known], picked),
        np.ones(known.sum(), bool),
        int((~known).sum()),
    )


VALIDATION, TEST = "validation", "test"

SETS = (VALIDATION, TEST)
"""Choices are made on the first, reported is the second."""


def clips_of(source: DataSet, split: str, which: str) -> NDArray[np.int64]:
    """Rows of the clips on which ground truth is measured.

    Parameters
    ----------
    source : DataSet
        With stems.
    split : str
        The explained model's.
    which : {"validation", "test"}
        Clips that hold all objects, where the data set has such a set; else the split's own.
    """
    showcase = source.held_out(f"all-{which}")
    return showcase if len(showcase) else np.asarray(getattr(source.split(split), which))


def choose_for_truth(
    network: nn.Module,
    source: DataSet,
    split: str,
    which: str,
    cls: ClassInfo,
    config: Mapping[str, Any],
    device: torch.device,
) -> tuple[NDArray[np.int64], torch.Tensor, int]:
    """Choose the clips of a class on which ground truth is measured.

    Parameters
    ----------
    network, source, split, which
        The explained model, and as in :func:`clips_of`.
    cls : ClassInfo
        The class.
    config : mapping
        ``objects`` and ``seed``.
    device : torch.device
        Of the network.

    Returns
    -------
    clips : array of int [B]
        Rows of the clip index, all recognised.
    logits : torch.Tensor
        Of the class, ``[B]``.
    left_out : int
        Clips that were looked at but are not recognised.

    Raises
    ------
    EarmarkError
        If none is recognised.
    """
    clips = clips_of(source, split, which)
    clips = clips[source.targets(clips).numpy() == cls.index]
    recordings = source.clips["recording"].to_numpy()[clips]
    clips = clips[spread(recordings, config["objects"]["clips"], derive(config["seed"], "objects", which, cls.slug))]
    known, logits = recognised(network, source, clips, cls.index, device)
    require_recognised(known, source, split, cls, which)
    return clips[known], logits[torch.from_numpy(known)], int((~known).sum())


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
