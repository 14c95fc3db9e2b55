"""Stage ``mask``: what the model says of every scored clip's explanation when it hears it alone, and of the rest."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from earmark.data import dataset
from earmark.data.dataset import ClassInfo, DataSet, stems_of
from earmark.data.selection import spread
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.job import Job
from earmark.metrics.masked import masked
from earmark.metrics.masking import (
    CURVES,
    SCORES,
    USED,
    drops,
    first_cells,
    greedy,
    listened_at,
    ranks,
    shares,
)
from earmark.metrics.scores import ties_seeds
from earmark.metrics.truth import TRUTHS, truth
from earmark.models import base as models
from earmark.plan.methods import method_of
from earmark.sound import wav
from earmark.sound.base import Frontend
from earmark.sound.masks import apply_masks, render
from earmark.store import artifacts

log = logging.getLogger(__name__)

CLIP = ("cls", "clip", "path", "group")

COLUMNS = (*CLIP, "budget", *SCORES, *CURVES)

TRUTH = (*CLIP, "used", *TRUTHS)

KEPT = 6
"""Clips of a class whose sounds are kept."""

CONCEPTS = (*CLIP, "count", "concept", "logodds", "logodds_in", "logodds_out")


def run(job: Job) -> None:
    """Write ``masking.csv``, a row per clip and share of its energy, ``masking_concepts.csv`` and ``truth.csv``.

    Sounds of a few clips, the same by all methods, go to the folder ``masked``, which ``masked.csv`` lists.

    Parameters
    ----------
    job : Job
        Of its configuration: ``sonify``, ``evaluate.budgets``, ``explain.classes``, ``seed``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source = dataset.of(job)
    classes = dataset.explained(job.config, source)
    filling = explainers.background_of(job).inputs.mean(dim=0)
    parts = method_of(job.method).parts
    heard = shares(job.config["evaluate"]["budgets"])
    options = job.config["sonify"]["percentile"], job.config["sonify"]["inverse"]
    budget = listened_at(job.config["evaluate"]["budgets"])
    sounds: dict[str, Tensor] = {}
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    orders: list[tuple[Any, ...]] = []
    truths: list[tuple[Any, ...]] = []
    for done, cls in enumerate(classes, start=1):
        found = explanation.of(job, cls.slug)
        found = found.only(found.scored)
        clips = found.clips.tolist()
        index = source.clips.iloc[clips]
        seeds = ties_seeds(job.config["seed"], index["path"])
        whole = explanation.standard(job, cls.slug)
        standards = whole.of(clips).heatmaps[:, 0] if parts else None  # [n, 1, F, T]
        kept = compared(job, source, cls, whole)
        for row, (clip, path, group) in enumerate(zip(clips, index["path"], index["group"], strict=True)):
            about = cls.slug, clip, path, group
            one = found.only(torch.tensor([row]))
            waveform, inputs = source.waveforms([clip])[0].to(device), source.inputs([clip]).to(device)
            target = torch.tensor(cls.index, device=device)
            cells = explanation.joined(one.heatmaps)[0].to(waveform)
            own = None if one.sounds is None else explanation.heard(one)[0].to(waveform)
            asked = waveform, inputs, target, cells, seeds[row], heard, filling, own
            told = masked(model, *asked, leveled=clip in kept)[list(COLUMNS[len(CLIP) :])]
            rows.extend((*about, *map(_written, values)) for values in told.itertuples(index=False, name=None))
            if clip in kept:
                sound = first_sound(model.frontend, waveform, cells, seeds[row], budget) if own is None else own
                sounds[f"{cls.slug}/{clip}"] = sound.cpu()
            if source.has_stems:
                stems = stems_of(source, [clip])[0].to(device)
                fallen = drops(model, waveform, target, stems)
                known = truth(model.frontend, waveform, stems, fallen, cells, seeds[row])
                truths.append((*about, int((fallen > USED).sum()), *map(_written, known.values())))
            if standards is not None:
                maps = standards[row], one.heatmaps[0]
                made = render(model.frontend, waveform.cpu(), *maps, *options) if one.sounds is None else one.sounds[0]
                certain = float(told["logodds"].iloc[0])
                added = enumerate(greedy(model, waveform, target, made.to(device)), start=1)
                orders.extend((*about, count, concept, certain, *odds) for count, (concept, *odds) in added)
        progress(done, cls.slug)
    artifacts.write_csv(job.folder / "masking.csv", COLUMNS, rows, job.made)
    artifacts.write_csv(job.folder / "masking_concepts.csv", CONCEPTS, orders, job.made)
    artifacts.write_csv(job.folder / "truth.csv", TRUTH, truths, job.made)
    with artifacts.replacing_directory(job.folder / "masked") as folder:
        for name, sound in sounds.items():
            (folder / name).parent.mkdir(exist_ok=True)
            wav.write(folder / f"{name}.wav", sound, model.frontend.sample_rate)
    artifacts.write_contents(job.folder / "masked.csv", [job.folder / "masked"], job.made)
    log.info("%d sounds heard", len(rows))


def compared(job: Job, source: DataSet, cls: ClassInfo, standard: Explanation) -> set[int]:
    """Choose the clips of a class whose sounds are kept: scored ones, that expensive methods explain too."""
    clips = standard.clips[standard.scored].numpy()
    recordings = source.clips["recording"].to_numpy()[clips]
    return set(clips[spread(recordings, KEPT, job.seed("gallery", cls.slug))].tolist())


def first_sound(frontend: Frontend, waveform: Tensor, cells: Tensor, seed: int, budget: float) -> Tensor:
    """Return the sound ``[S]`` of the most relevant cells ``[F, T]`` that hold a share of the energy of a clip."""
    spectrum = frontend.stft(waveform.unsqueeze(0))[0]
    return apply_masks(frontend, waveform, first_cells(frontend, spectrum, ranks(cells, seed), [budget]))[0]


def _written(value: Any) -> Any:
    """Leave what is not a number empty."""
    return "" if value != value else value
