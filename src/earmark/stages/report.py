"""Stage ``report``: the page on which a data set's explanations are seen, heard and compared."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import earmark.page
from earmark.data import predictions
from earmark.job import Job
from earmark.models import base as models
from earmark.page import files, index
from earmark.page.beside import Beside
from earmark.page.pictures import Pictures
from earmark.page.sounds import Library
from earmark.page.views import Views
from earmark.plan.methods import shown
from earmark.store import artifacts
from earmark.tables.study import Study
from earmark.tables.written import Tables

log = logging.getLogger(__name__)

PAGE = Path(earmark.page.__file__).parent
"""Where the files lie that every page has."""

PARTS = (".css", ".js")
"""What those end in that the page loads."""


def run(job: Job) -> None:
    """Write ``report/index.html`` and, beside it, ``report/files/``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``sonify.methods``, ``evaluate.masking``, ``evaluate.budgets``.
    """
    study, model, answered = Study.of(job), models.load(job.layout.model(job.split)), predictions.of(job)
    heard = job.config["sonify"]["methods"]
    found = index.places(study, heard, shown(job.config["grid"]["methods"]))
    start = (PAGE / "index.html").read_text(encoding="utf-8")
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
        about["others"] = [name for name in job.beside if name != job.dataset]
        about["tables"] = list(index.tables(study, folder))
        about["figures"] = list(index.figures(study, folder))
        files.put(folder, "data", about)
        artifacts.write_json(folder / "made.json", {"views": len(found)}, job.made)
        for path in (path for path in sorted(PAGE.iterdir()) if path.suffix in PARTS):
            shutil.copyfile(path, folder / path.name)
        log.info("%d views, %.1f MB", len(found), sum(path.stat().st_size for path in folder.rglob("*.*")) / 1e6)
        # A report of Snakemake takes the folder alone.
        (folder / "index.html").write_text(start.replace(f"{folder.name}/", ""), encoding="utf-8")
    with artifacts.replacing(job.layout.report) as page:
        page.write_text(start, encoding="utf-8")
