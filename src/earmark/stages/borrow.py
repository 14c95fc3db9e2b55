"""Stage ``borrow``: put what another program separated recordings into where the recordings' samples lie."""

from __future__ import annotations

from earmark.data import stems
from earmark.job import Job
from earmark.plan.stems import SEPARATED
from earmark.store import artifacts

LOUDEST = 0.0
"""What may remain of a recording without the sources, in dB of its energy: as much as without any."""


def run(job: Job) -> None:
    """Write ``separated.npy``, and what the sources are called.

    Parameters
    ----------
    job : Job
        Of its configuration: ``root``, ``expected``, ``separated``.

    Raises
    ------
    EarmarkError
        If a recording's sources are missing or louder than it; see :func:`earmark.data.stems.put`.
    """
    names = stems.put(job, SEPARATED, job.layout.separated, LOUDEST)
    artifacts.write_json(job.layout.separated_names, {"sources": names}, job.made)
