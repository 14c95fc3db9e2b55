"""Stage ``report``: the page on which a data set's explanations are seen, heard and compared."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from earmark.data import predictions
from earmark.job import Job
from earmark.models import base as models
from earmark.page import files, index
from earmark.page.beside import Beside
from earmark.page.pictures import Pictures
from earmark.page.sounds import Library
from earmark.page.views import Views
from earmark.plan import tracks
from earmark.plan.methods import shown
from earmark.store import artifacts
from earmark.tables.study import Study
from earmark.tables.written import Tables

log = logging.getLogger(__name__)


SECTIONS = ("listen", "concepts", "beside", "tracks", "tables", "figures", "notes")
"""Of a page, in their order."""

NEEDS = {"beside": "explanations", "tracks": "tracks"}
"""What there must be something of, for a section to be there."""


def run(job: Job) -> None:
    """Write ``report/index.html`` and, beside it, ``report/files/``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``sonify.methods``, ``tracks``, ``evaluate.masking``, ``evaluate.budgets``.
    """
    study, model, answered = Study.of(job), models.load(job.layout.model(job.split)), predictions.of(job)
    heard = job.config["sonify"]["methods"]
    found = index.places(study, heard, shown(job.config["grid"]["methods"]))
    progress = job.progress(len(found))
    with artifacts.replacing_directory(job.layout.report_files) as folder:
        library, pictures = Library(folder, model), Pictures(folder, study.source, model.frontend)
        views = Views(study, model.frontend, answered, Tables(job.layout.tables), library, pictures)
        for done, place in enumerate(found, start=1):
            files.put(folder, f"views/{place.name}", views.view(place))
            progress(done, place.name)
        about = index.index(study, model.frontend, answered, found, heard)
        beside = Beside(study, views.tables, library, pictures)
        about["explanations"] = beside.explanations() if study.masked else []
        for cls in study.classes if study.masked else ():
            files.put(folder, f"beside/{cls.slug}", beside.of_class(cls))
        about["tracks"] = [entry for path in tracks_of(job) for entry in files.copied(folder, path)]
        about["sections"] = [name for name in SECTIONS if about.get(NEEDS.get(name, ""), True)]
        about["others"] = [name for name in job.beside if name != job.dataset]
        about["tables"] = list(index.tables(study, folder))
        about["figures"] = list(index.figures(study, folder))
        files.put(folder, "data", about)
        artifacts.write_json(folder / "made.json", {"views": len(found)}, job.made)
        files.furnish(folder)
        log.info("%d views, %.1f MB", len(found), sum(path.stat().st_size for path in folder.rglob("*.*")) / 1e6)
        # A report of Snakemake takes the folder alone.
        (folder / "index.html").write_text(files.start().replace(f"{folder.name}/", ""), encoding="utf-8")
    with artifacts.replacing(job.layout.report) as page:
        page.write_text(files.start(), encoding="utf-8")


def tracks_of(job: Job) -> list[Path]:
    """List the folders of the recordings that were explained as a whole."""
    grid, names = job.config["grid"], map(tracks.name_of, job.config["tracks"])
    wanted = itertools.product(names, tracks.heard(job.config), grid["k"], grid["layers"])
    return [job.layout.track(job.split, layer, method, k, name) for name, method, k, layer in wanted]
