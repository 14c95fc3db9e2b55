"""Stage ``draw``: the figures of a data set, from its tables and heatmaps."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from earmark.drawings import answers, concepts, explainers, scores
from earmark.drawings.drawing import Drawn
from earmark.figures.style import save, unwritable
from earmark.job import Job
from earmark.sound.base import Frontend
from earmark.sound.kinds import from_config
from earmark.store import artifacts
from earmark.tables.study import Study
from earmark.tables.written import Tables

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write ``figures/``: one of everything whose results exist; and ``figures.csv``, which lists them.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``evaluate`` (``cross``, ``masking``, ``beside``, ``fidelity``), ``frontend``,
        ``cross_validation``.
    """
    study = Study.of(job)
    warn_of_boxes([cls.name for cls in study.asked])
    with artifacts.replacing_directory(job.layout.figures) as folder:
        for name, figure in draw(study, from_config(job.config)):
            if figure is not None:
                save(figure, folder / name)
    artifacts.write_contents(job.layout.figures.with_suffix(".csv"), [job.layout.figures], job.made)


def warn_of_boxes(names: Sequence[str]) -> None:
    """Say which classes' names figures cannot write."""
    lacking = {name: unwritable(name) for name in names}
    boxed = [name for name, characters in lacking.items() if characters]
    if boxed:
        log.warning(
            "figures show boxes in the names of classes (%s): no font of this machine has the characters %s; "
            "with one that has, such as Noto Sans, they show the names",
            *(", ".join(boxed), "".join(dict.fromkeys("".join(lacking.values())))),
        )


def draw(study: Study, front: Frontend) -> Drawn:
    """Yield name and figure of everything; None where its results are missing."""
    tables = Tables(study.layout.tables)
    for part in (concepts, scores, explainers, answers):
        yield from part.draw(study, front, tables)
