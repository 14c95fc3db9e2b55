"""Stage ``picture``: the heatmaps of the gallery's clips as a picture."""

from __future__ import annotations

from earmark.data import dataset
from earmark.explainers import explanation
from earmark.figures.heatmaps import explanation_grid, nothing
from earmark.figures.style import save
from earmark.job import Job
from earmark.metrics.overlap import apart
from earmark.sound.kinds import from_config


def run(job: Job) -> None:
    """Write ``heatmaps.png`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``frontend``.
    """
    source = dataset.of(job)
    frontend = from_config(job.config)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        folder = job.of_class(cls.slug)
        whole = explanation.of(job, cls.slug)
        found = whole.only(whole.gallery)
        clips, heatmaps = found.clips.tolist(), found.heatmaps[:, :, 0]  # [n, K, F, T]
        standard = explanation.standard(job, cls.slug).of(clips).heatmaps[:, 0, 0]  # [n, F, T]
        title = f"{job.dataset}, {cls.name}: {job.method} at {job.layer}, K = {job.k}"
        if job.k > 1 and whole.scored.any():
            title += f" ({apart(whole.only(whole.scored).heatmaps).text})"
        if clips:
            figure = explanation_grid(frontend, frontend.picture(source.inputs(clips)), standard, heatmaps, title)
        else:
            figure = nothing(title, whole.reason or "no clip to show")
        save(figure, folder / "heatmaps.png")
        progress(done, cls.slug)
