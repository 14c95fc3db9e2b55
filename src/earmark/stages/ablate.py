"""Stage ``ablate``: which sound objects the model uses at all, told by its logit without each of them."""

from __future__ import annotations

from typing import Any

import torch

from earmark.data import chosen, dataset
from earmark.data.chosen import SETS
from earmark.data.dataset import require_stems, stems_of
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import logits_of
from earmark.sound.base import Frontend
from earmark.store import artifacts

COLUMNS = ("set", "cls", "clip", "path", "group", "object", "logit", "without", "left_out")


def run(job: Job) -> None:
    """Write ``ablation.csv``: a clip's logit with all its objects, and without each.

    Parameters
    ----------
    job : Job
        Of its configuration: ``seed``.

    Raises
    ------
    EarmarkError
        If the data set has no stems.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source, choice = dataset.of(job), chosen.of(job)
    require_stems(source)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes) * len(SETS))
    rows: list[tuple[Any, ...]] = []
    for which, cls, clips, logits, left_out in choice.truths(classes, progress):
        index = source.clips.iloc[clips]
        for number, (clip, path, group) in enumerate(zip(clips, index["path"], index["group"], strict=True)):
            stems = stems_of(source, [clip])[0]
            reduced = logits_of(model.network, without(model.frontend, source.waveforms([clip])[0], stems), device)
            for place in torch.nonzero(stems.abs().amax(dim=1) > 0).squeeze(1).tolist():
                values = float(logits[number]), float(reduced[place, cls.index])
                rows.append((which, cls.slug, clip, path, group, place + 1, *values, left_out))
    artifacts.write_csv(job.layout.split(job.split) / "ablation.csv", COLUMNS, rows, job.made)


def without(frontend: Frontend, waveform: torch.Tensor, stems: torch.Tensor) -> torch.Tensor:
    """Take each object out of a clip, the rest staying at the level at which the model heard it.

    Parameters
    ----------
    frontend : Frontend
        The model's.
    waveform : torch.Tensor
        ``[S]``.
    stems : torch.Tensor
        ``[O, S]``, at their level in the clip.

    Returns
    -------
    torch.Tensor
        Inputs ``[O, *I]``, all scaled by the whole clip's peak.
    """
    return frontend(waveform - stems, like=waveform)
