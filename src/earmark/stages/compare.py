"""Stage ``compare``: the tables of a data set (thesis, sections 4.1.3, 4.2.3, A.3, C.1)."""

from __future__ import annotations

from types import ModuleType

from earmark.job import Job
from earmark.store import artifacts
from earmark.tables import (
    agreement,
    beside,
    components,
    components_spectra,
    composites,
    composites_curves,
    concepts,
    conservation,
    cost,
    cross_class,
    fidelity,
    flipping,
    frequency,
    ground_truth,
    interpreters,
    listening,
    masking,
    model,
    networks,
    outside,
    recovery,
    sample_flipping,
    sanity,
    scaling,
    stability,
)
from earmark.tables.study import Study

TABLES: tuple[ModuleType, ...] = (
    concepts,
    flipping,
    model,
    cross_class,
    composites,
    composites_curves,
    conservation,
    stability,
    ground_truth,
    recovery,
    networks,
    agreement,
    masking,
    cost,
    interpreters,
    sanity,
    sample_flipping,
    frequency,
    scaling,
    beside,
    listening,
    outside,
    fidelity,
    components,
    components_spectra,
)
"""Each has ``COLUMNS``, ``measure(study)`` and, of what that returns, ``rows`` and, for people, ``report``. What
`concepts` comes to stands in others too: it is written first."""


def run(job: Job) -> None:
    """Write ``tables/``; what is missing of the grid leaves empty cells.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``evaluate``, ``composites``, ``stability``, ``cross_validation``, ``seed``.
    """
    study = Study.of(job)
    progress = job.progress(len(TABLES))
    for done, table in enumerate(TABLES, start=1):
        name = table.__name__.rpartition(".")[2]
        measured = table.measure(study)
        artifacts.write_csv(job.layout.tables / f"{name}.csv", table.COLUMNS, table.rows(study, measured), job.made)
        if hasattr(table, "report"):
            artifacts.write_text(job.layout.tables / f"{name}.md", table.report(study, measured))
        progress(done, name)
