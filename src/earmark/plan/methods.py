"""The methods by name: which split a layer, which do without, and what each needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan.generated import has_stems
from earmark.plan.sentences import choices

FITTED_METHOD = re.compile(r"drsa|dsa|pca|prca|random~\d+")
"""Methods that split a layer into subspaces, knowing nothing but the model and its inputs."""

ORACLE = "oracle"
"""The subspaces that someone would choose who knows the sound objects; for data with stems only."""

SUBSPACE_METHOD = re.compile(rf"{FITTED_METHOD.pattern}|{ORACLE}")

METHODS = ("drsa", "dsa", "pca", "prca", "random~SEED", ORACLE)


def check_method(where: str, method: str) -> None:
    """Raise unless `method` is one that splits a layer into subspaces.

    Raises
    ------
    EarmarkError
        Otherwise; `where` says where it was named.
    """
    if not SUBSPACE_METHOD.fullmatch(method):
        raise EarmarkError(f"{where}: there is no method {method}{choices(method, METHODS)}")


def check_oracle(where: str, method: str, block: Mapping[str, Any]) -> None:
    """Raise if `method` is the oracle and the data set has no stems.

    Raises
    ------
    EarmarkError
        `where` says where the method was named.
    """
    if method == ORACLE and not has_stems(block):
        raise EarmarkError(f"{where}: the method oracle needs every recording's stems, which only generated data have")


def channels(where: str, layer: str, filters: list[int]) -> int:
    """Return the number of channels of a layer.

    Raises
    ------
    EarmarkError
        If the model has no such layer; `where` says where it was named.
    """
    layers = {f"conv{number}": width for number, width in enumerate(filters, start=1)}
    if layer not in layers:
        raise EarmarkError(f"{where}: the model has no layer {layer}; allowed: {', '.join(layers)}")
    return layers[layer]


def check_k(where: str, k: int, layer: str, width: int) -> None:
    """Raise unless `k` subspaces of equal dimension fill the `width` channels of `layer`.

    Raises
    ------
    EarmarkError
        Otherwise; `where` says where K was named.
    """
    if width % k:
        allowed = ", ".join(str(n) for n in divisors(width))
        raise EarmarkError(f"{where}: K = {k} does not divide the {width} channels of {layer}; allowed: {allowed}")


def divisors(width: int) -> list[int]:
    """List the numbers of equal subspaces that `width` channels can be split into."""
    return [k for k in range(1, width + 1) if width % k == 0]


INPUT_METHOD = re.compile(r"standard|noise~\d+")
"""Heatmaps without subspaces, filed under the layer ``input``."""

INPUT_METHODS = ("standard", "noise~0")
"""Those that every comparison holds beside the grid."""
