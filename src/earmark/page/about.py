"""What every page says of a model, and of the methods that explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from earmark.data.dataset import DataSet
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend


def described(dataset: str, frontend: Frontend, source: DataSet, multi_label: bool) -> dict[str, Any]:
    """Say what a model hears, and what it answers."""
    frequencies, times = frontend.frequencies, frontend.times
    return {
        "dataset": dataset,
        "kind": frontend.title,
        "unit": frontend.unit,
        "rate": frontend.sample_rate,
        "hertz": None if frequencies is None else [round(hertz, 2) for hertz in frequencies.tolist()],
        "times": None if times is None else [float(times[0]), float(times[-1])],
        "answers": [cls.name for cls in source.classes],
        "multi_label": multi_label,
    }


def method_entry(name: str, heard: Sequence[str]) -> dict[str, Any]:
    """Describe a method, and say whether it is one of those that are heard."""
    method = method_of(name)
    return {
        "name": name,
        "title": method.says,
        "layered": method.layered,
        "control": method.control,
        "heard": name in heard,
    }
