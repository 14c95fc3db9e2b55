"""Rules that fit a network, for those who do not want to choose them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from earmark.lrp.operations import is_rectified
from earmark.models.graph import ACTIVATIONS, LINEAR, Graph

GAMMA = 0.25


def suggested(graph: Graph, shape: Sequence[int]) -> list[dict[str, Any]]:
    """Choose a rule for every module that needs one.

    Flat where an input of two dimensions, a spectrogram, enters by one linear module; gamma for convolutions whose
    inputs are never negative, generalised gamma for the others that read no network input; epsilon for the
    rest; activations other than ReLU pass relevance on. Epsilon alone lets relevance grow without bound where inputs
    are signed: of a network of five convolutions behind batch normalisations ten times the logit arrived.

    Parameters
    ----------
    graph : Graph
        Who reads what in the network.
    shape : sequence of int
        Of an input, ``*I``.

    Returns
    -------
    list of dict
        Entries as ``lrp.rules`` of a configuration takes them.
    """
    linear = list(dict.fromkeys(call.name for call in graph.leaves if isinstance(call.module, LINEAR)))
    entry = graph.entry()
    first = entry.name if entry is not None and len(shape) == 3 else None
    rectified = (call.name for call in graph.leaves if all(is_rectified(value.node) for value in call.reads))
    signed = set(linear) - set(rectified)
    kinds = {call.name: call.module for call in graph.leaves}
    reading = {*graph.input_readers(), *([entry.name] if entry is not None else [])}
    convolutions = [name for name in linear if name != first and not isinstance(kinds[name], nn.Linear)]
    gammas = {
        "gamma": [name for name in convolutions if name not in signed],
        "generalised-gamma": [name for name in convolutions if name in signed - reading],
    }
    entries: list[dict[str, Any]] = [{"layers": first, "rule": "flat"}] if first is not None else []
    for rule, names in gammas.items():
        others = [name for name in linear if name != first and name not in names]
        entries += [{"layers": pattern, "rule": rule, "gamma": GAMMA} for pattern in patterns(names, others)]
    if set(linear) - {first, *gammas["gamma"], *gammas["generalised-gamma"]}:
        entries.append({"layers": "*", "rule": "epsilon"})
    if any(isinstance(module, ACTIVATIONS) for module in kinds.values()):
        entries.append({"layers": "*", "rule": "pass"})
    return entries


def patterns(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Write names as shell patterns, any numbers in them at once, where these fit none of the others."""
    found: list[str] = []
    for name in names:
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in found):
            wide = re.sub(r"\d+", "*", name)
            found.append(name if any(fnmatch.fnmatchcase(other, wide) for other in others) else wide)
    return found
