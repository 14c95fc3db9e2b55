"""What is said of concepts in other networks, from made-up correlations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from earmark.stages.agree import COLUMNS
from earmark.statistics import students
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import agreement
from earmark.tables.labels import At

AT = At("conv3", "info", 2)
NETWORKS = ["main", "net1", "net2"]


@pytest.fixture
def study(tmp_path) -> Any:
    """Concept 1 is found in both other networks, concept 2 in one; random subspaces reach .2."""
    layout = Layout(tmp_path, "demo")
    rows = []
    for network in NETWORKS:
        for other in NETWORKS:
            for concept in (1, 2) if network != other else ():
                lost = concept == 2 and other == "net2"
                value = (0.1 if lost else 0.8) + 0.01 * NETWORKS.index(network)
                rows.append(["a", "info", network, other, concept, value, 0.2, 0.3, 40])
    artifacts.write_csv(layout.agreement("main", "conv3", 2), COLUMNS, rows, {})
    return SimpleNamespace(
        networks=NETWORKS,
        ks=[2],
        layers=["conv3"],
        grid=[AT],
        split="main",
        slugs=["a"],
        layout=layout,
        folders=lambda at: (at.method,),
        read_csv=lambda path, types: artifacts.read_csv(path, types),
        of_network=lambda split: SimpleNamespace(without={"b": "none of it"} if split == "net1" else {}),
    )


def test_concepts_are_counted_in_other_networks(study: Any) -> None:
    found = agreement.measure(study)[AT, "a"]
    assert found.again == [1.0, 0.5]
    assert (found.networks, found.clips) == (3, 40)
    means = [(0.8 + 0.8 + 0.8 + 0.1) / 4, (0.8 + 0.8 + 0.8 + 0.1) / 4 + 0.01, 0.8 + 0.02]
    assert found.correlation == pytest.approx(students(means))
    assert found.random == pytest.approx(0.2)
    assert found.gain.estimate == pytest.approx(found.correlation.estimate - 0.2)


def test_the_table_reads_back(study: Any) -> None:
    measured = agreement.measure(study)
    written = [list(map(str, row)) for row in agreement.rows(study, measured)]
    frame = pd.DataFrame(written, columns=list(agreement.COLUMNS))
    own = frame[frame["cls"] == "a"]
    assert agreement.found_again(own) == {
        "1": "found again in 2 of 2 networks",
        "2": "found again in 1 of 2 networks",
    }
    assert float(frame[frame["cls"] == "all"]["estimate"].iloc[0]) == 0.75
    assert "| conv3 | 2 | `info` |" in agreement.report(study, measured)
    assert "2, 1 of 2" in agreement.report(study, measured)
    assert agreement.report(study, measured).count("Without clips in `net1`, and in no mean: b (none of it).") == 1


def test_of_one_network_nothing_is_said(study: Any) -> None:
    study.networks = ["main"]
    assert agreement.measure(study) == {}
    assert "Not computed" in agreement.report(study, {})
    assert not list(agreement.rows(study, {}))
