"""Concepts against the known sound objects of clips: a row per concept and object that sounds."""

from __future__ import annotations

import math

from earmark.metrics.recovery import MEASURED, recovery
from tests.unit.metrics.test_objects import FRONTEND, tones


def found(ranked: bool, heard: int = 1) -> list[list[dict[str, float | str]]]:
    """Two clips, in the second of which the other tone is silent; a concept per tone, and the sounds of some clips."""
    stems = 0.5 * tones(600.0, 3000.0).repeat(2, 1, 1)  # [2, 2, S]
    stems[1, 1] = 0
    energies = FRONTEND.energies(stems.flatten(0, 1)).unflatten(0, (2, 2))  # [B, K, F, T]
    measured = recovery(FRONTEND, stems.sum(dim=1), stems, energies, iter(2 * stems[:heard].flip(1)), ranked)
    return [[dict(zip(MEASURED, row, strict=True)) for row in rows] for rows in measured]


def test_an_object_that_is_silent_has_no_row() -> None:
    both, alone = found(ranked=True)
    assert [(row["concept"], row["object"]) for row in both] == [(c, o) for c in (1, 2) for o in (0, 1, 2)]
    assert [(row["concept"], row["object"]) for row in alone] == [(c, o) for c in (1, 2) for o in (0, 1)]
    cells = math.prod(FRONTEND.grid)
    for rows in (both, alone):
        assert sum(row["cells"] for row in rows if row["concept"] == 1) == cells
    own, other = both[1], both[2]
    assert own["relevance"] > 100 * other["relevance"] and own["rank_accuracy"] > other["rank_accuracy"]


def test_what_was_not_computed_is_empty() -> None:
    both, alone = found(ranked=False)
    assert {row["rank_accuracy"] for row in [*both, *alone]} == {""}
    assert {row["si_sdr"] for row in alone} == {""} == {row["si_sdr"] for row in both if row["object"] == 0}
    for row in both:  # the concepts' sounds are those of each other's objects
        if row["object"] != 0:
            assert (float(row["si_sdr"]) > 60) == (row["concept"] != row["object"])
