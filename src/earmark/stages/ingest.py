"""Stage ``ingest``: decode recordings once, divide them into folds and clips, compute the networks' inputs."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from earmark.data.clips import inputs_of, store
from earmark.data.decode import Decoded
from earmark.data.recordings import (
    Listing,
    Recording,
    count_aloud,
    evaluation_clips,
    generated,
    in_folder,
    read,
    with_folds,
    with_replicas,
)
from earmark.job import Job
from earmark.plan import config, folder, foreign
from earmark.plan.generated import is_generated
from earmark.plan.methods import adopts
from earmark.sound.kinds import from_settings
from earmark.sound.module import Module
from earmark.sound.spectrogram import Spectrogram
from earmark.store import artifacts
from earmark.store.layout import Layout, slug, slugs


def run(job: Job, listing: Listing | None = None) -> None:
    """Write manifest, classes, decoded audio, evaluation clips and their inputs.

    Parameters
    ----------
    job : Job
        Of its configuration: ``source``, ``root``, ``labels``, ``group``, ``groups``, ``folds``,
        ``clips_per_recording``, ``model.network``, ``model.classes``, sections ``expected`` and ``frontend``, ``seed``
        and ``torch_threads``.
    listing : sequence of (str, int or None), optional
        Recordings below ``root`` as :func:`earmark.plan.folder.listing` returns them; by default what the folder holds
        now.

    Raises
    ------
    EarmarkError
        If the folder is no folder of classes, the group pattern names no group for a
        recording, a class has too few groups of usable recordings, or groups cannot be divided into folds. Nothing is
        written then.
    """
    settings = config.fill({"frontend": job.config["frontend"]})["frontend"]
    frontend = from_settings(settings)
    workers = job.config["torch_threads"]
    if is_generated(job.config):
        (found, limit), root = generated(job.layout), job.layout.generated
    else:
        found, limit = in_folder(job.config, listing), None
        root = folder.home_of(job.config)

    def decoded(one: Recording) -> Decoded:
        return read(one, root, frontend.sample_rate, job.config["expected"], job.layout.root)

    with artifacts.replacing(job.layout.clips) as temporary:
        with temporary.open("wb") as file:
            recordings = store(found, decoded, frontend, limit, file, workers, f"ingest {job.dataset}: decode")
        count_aloud(recordings)
        if job.config["source"] == "folder":
            recordings = with_replicas(recordings, temporary, frontend.sample_rate, workers)
        recordings = with_folds(recordings, job.config, job.config["seed"])
    if adopts(job.config):
        called = folder.called(folder.names_of(job.config))
    else:
        called = slugs({one.cls for one in recordings if one.labelled})
    clips = evaluation_clips(recordings, called, frontend.clip_samples, job.config["clips_per_recording"])
    _write_manifest(job.layout, recordings, called, job.made)
    artifacts.write_csv(job.layout.clip_index, list(clips[0]), [list(clip.values()) for clip in clips], job.made)
    inputs = {}
    if isinstance(frontend, Spectrogram):  # waveforms are in the clips
        offsets = [clip["offset"] for clip in clips]
        inputs["logmel"] = inputs_of(job.layout.clips, offsets, frontend, f"ingest {job.dataset}: {frontend.title}s")
    about = {"clip_samples": frontend.clip_samples, "frontend": settings}
    if isinstance(frontend, Module):
        about["code"] = foreign.contents(frontend.module, "frontend.module")
    artifacts.write_tensors(job.layout.logmel, inputs, job.made, **about)


def _write_manifest(
    layout: Layout, recordings: Sequence[Recording], called: Mapping[str, str], made: Mapping[str, Any]
) -> None:
    """Write what is known of every recording and class; `called` are the slugs of the classes."""
    classes = {cls: called.get(cls) or slug(cls) for cls in {one.cls for one in recordings}}
    columns = ("path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason")
    rows = [
        (
            one.path,
            classes[one.cls],
            one.group,
            one.fold,
            one.seconds,
            one.sample_rate,
            one.sha256,
            one.status,
            one.reason,
        )
        for one in recordings
    ]
    artifacts.write_csv(layout.manifest, columns, rows, made)
    counts = collections.Counter(one.cls for one in recordings if one.labelled)
    listed = [(short, name, counts[name]) for name, short in called.items()]
    artifacts.write_csv(layout.classes, ("slug", "name", "recordings"), listed, made)
