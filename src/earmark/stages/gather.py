"""Stage ``gather``: put the stems of a folder of recordings where the recordings' samples lie."""

from __future__ import annotations

from earmark.data import dataset, stems
from earmark.job import Job
from earmark.plan.stems import STEMS
from earmark.store import artifacts

LOUDEST = -30.0
"""What may remain of a recording without its stems, in dB of its energy."""


def run(job: Job) -> None:
    """Write ``stems.npy``, and which objects there are: the same for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``root``, ``expected``, ``stems``.

    Raises
    ------
    EarmarkError
        If a recording's stems are missing or do not sum to it; see :func:`earmark.data.stems.put`.
    """
    names = stems.put(job, STEMS, job.layout.stems, LOUDEST)
    objects = {cls.name: [{"name": name} for name in names] for cls in dataset.of(job).classes}
    artifacts.write_json(job.layout.truth, {"objects": objects}, job.made)
