"""Stage ``compare``: tables and figures of what was computed (thesis, sections 4.1.3, 4.2.3, A.3, C.1)."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from earmark import statistics
from earmark.data.chosen import RULES, SCORED
from earmark.data.dataset import ClassInfo, open_dataset, read_table
from earmark.explainers.explanation import profiles, relevances, scored, strongest
from earmark.figures.cards import Card, cards
from earmark.figures.curves import flipping_curves, learning_curves, training_curves
from earmark.figures.heatmaps import explanation_grid, objects
from earmark.figures.matrices import confusion, cross_class
from earmark.figures.scores import choice, scores_over_layers
from earmark.figures.style import save, unwritable
from earmark.job import Job
from earmark.metrics.scores import SCORES
from earmark.plan.methods import ORACLE
from earmark.sound.logmel import LogMel
from earmark.statistics import ALL, Clusters, Interval
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER
from earmark.tables import ground_truth, stability
from earmark.tables.concepts import shares
from earmark.tables.study import LEVELS, Study
from earmark.tables.summary import (
    ADVANTAGE,
    COLUMNS,
    FLIPPED,
    MEDIANS,
    OWN_CLASS,
    At,
    Clips,
    Label,
    Row,
    Summaries,
    Values,
    comparisons,
    control_comparisons,
    flipping_report,
    number,
    own_class,
    rows,
    rule_comparisons,
    scores,
    subtract,
    summarise,
    summarise_scores,
)

log = logging.getLogger(__name__)

GALLERY = 3
"""Clips in a figure of concepts, as in Fig. 4.3."""

PANELS = {
    "thesis": "thesis score [logit]\nconcepts distinct and relevant?",
    "fair_zero": "fair score, replaced by 0\njoint order faithful?",
    "fair_floor": "fair score, replaced by the minimum\njoint order faithful?",
    "overlap": "overlap [mean cosine]\nconcepts on the same cells?",
}

REPLACED = {"zero": "patches replaced by 0", "floor": "patches replaced by the minimum"}

CONSERVATION = ("sum_error", "absorbed_share")
"""What `explain` measured, class by class; see :func:`earmark.explainers.base.conservation`."""


def run(job: Job) -> None:
    """Write ``tables/`` and ``figures/``; what is missing of the grid leaves empty cells and no figure.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``evaluate``, ``composites``, ``frontend``, ``stability``,
        ``cross_validation``, ``seed``.
    """
    study = Study(job.layout, open_dataset(job.layout), LogMel.from_config(job.config), job.config, job.split)

    _warn_of_boxes([cls.name for cls in study.source.classes])
    clips, values = read_scores(study)
    found = summarise_scores(values, clips, study.draws, study.seed)
    pairs = comparisons(study.grid)
    compared = summarise(subtract(pairs, values), clips, study.draws, study.seed, test=True)
    labels = scores([*LEVELS, *study.grid])
    written = [*rows(labels, found, clips), *rows(pairs, compared, clips)]
    artifacts.write_csv(job.layout.tables / "flipping.csv", COLUMNS, written, job.made)
    title = f"Patch flipping: {job.dataset}, {job.split}"
    text = flipping_report(title, study.grid, list(LEVELS), clips, found, compared)
    artifacts.write_text(job.layout.tables / "flipping.md", text)
    artifacts.write_csv(job.layout.tables / "model.csv", ("split", *COLUMNS), model_rows(study), job.made)
    labels, gained, ours = cross_classes(study, clips)
    artifacts.write_csv(job.layout.tables / "cross_class.csv", COLUMNS, rows(labels, gained, ours), job.made)
    artifacts.write_csv(job.layout.tables / "composites.csv", COLUMNS, composite_rows(study), job.made)
    artifacts.write_csv(job.layout.tables / "conservation.csv", COLUMNS, conservation_rows(study), job.made)
    measures = write_stability(study, job.made)

    recovered = ground_truth.measure(study)
    written = ground_truth.rows(study, recovered)
    artifacts.write_csv(job.layout.tables / "ground_truth.csv", ground_truth.COLUMNS, written, job.made)
    text = ground_truth.report(study, recovered, f"Concepts and known sound objects: {job.dataset}, {job.split}")
    artifacts.write_text(job.layout.tables / "ground_truth.md", text)

    with artifacts.replacing_directory(job.layout.figures) as folder:
        drawn = draw(study, {**found, **gained}, measures, recovered)
        for name, figure in chain(drawn, ground_truth.draw(study, recovered)):
            save(figure, folder / name)


def _warn_of_boxes(names: Sequence[str]) -> None:
    """Say which classes' names figures cannot write."""
    lacking = {name: unwritable(name) for name in names}
    boxed = [name for name, characters in lacking.items() if characters]
    if boxed:
        log.warning(
            "figures show boxes in the names of classes (%s): no font of this machine has the characters %s; "
            "with one that has, such as Noto Sans, they show the names",
            *(", ".join(boxed), "".join(dict.fromkeys("".join(lacking.values())))),
        )


def read_scores(study: Study) -> tuple[Clips, dict[Label, Values]]:
    """Read every ``scores.csv`` of the grid that exists.

    Returns
    -------
    clips : Clips
        The n clips that any of them scores.
    values : dict
        Per quantity an array [n]; NaN where it lacks a clip. The seeds of ``random`` are averaged clip by clip.
    """
    files = {at: [_scores(study, at, name) for name in study.folders(at)] for at in [*LEVELS, *study.grid]}
    read = {at: [part for part in parts if part is not None] for at, parts in files.items()}
    index = pd.concat([part["group"] for parts in read.values() for part in parts] or [_empty_groups()])
    index = index[~index.index.duplicated()].sort_index()  # group by (class, clip)
    values = {
        Label(at, metric): np.mean([part[metric].reindex(index.index).to_numpy(float) for part in parts], axis=0)
        for at, parts in read.items()
        for metric in SCORES
        if len(parts) == len(files[at])
    }
    cls = index.index.get_level_values("cls").to_numpy(str)
    return Clips(cls, index.to_numpy(str), study.left_out(SCORED)), values


def model_rows(study: Study) -> Iterator[Row]:
    """Yield accuracy and the like of every trained split, and their mean over the folds (first column: split)."""
    folds: dict[tuple[str, str], list[float]] = {}
    for split in _splits(study):
        metrics = json.loads((study.layout.split(split) / "metrics.json").read_text(encoding="utf-8"))
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        counts = _confusion(study, split)
        of_class = np.diag(counts) / np.where(counts.sum(axis=1) > 0, counts.sum(axis=1), np.nan)
        measured = [(ALL, name, float(value), counts.sum()) for name, value in numbers.items()]
        for cls, value, total in zip(study.source.classes, of_class, counts.sum(axis=1), strict=True):
            measured.append((cls.slug, "test_accuracy", float(value), total))
        for cls_name, metric, value, total in measured:
            n = int(total) if metric.startswith("test_") else ""
            yield (split, "", "", "", cls_name, metric, number(value), "", "", "", n, "")
            if split != "main":
                folds.setdefault((cls_name, metric), []).append(value)
    for (cls_name, metric), per_fold in folds.items():
        values = np.array(per_fold)[~np.isnan(per_fold)]
        (interval,) = statistics.bootstrap(values[:, None], Clusters.of(range(len(values))), study.draws, study.seed)
        bounds = map(number, (interval.estimate, interval.low, interval.high))
        yield ("folds", "", "", "", cls_name, metric, *bounds, "", len(values), "")


def cross_classes(study: Study, clips: Clips) -> tuple[list[Label], Summaries, Clips]:
    """Compare own with other classes' subspaces, row by row of the cross-class matrices (eq. 4.5).

    Parameters
    ----------
    study : Study
        What is compared.
    clips : Clips
        Of the flipping table; who was left out is the same here.

    Returns
    -------
    labels : list of Label
        Of the table.
    found : Summaries
        Per attributed class and over all.
    clips : Clips
        That they are taken over.
    """
    asked = [At(layer, method, k) for k in study.ks for layer in study.layers for method in study.crossed]
    read = {at: _cross_clips(study, at) for at in asked}
    deltas = {at: found[0] for at, found in read.items() if found is not None}
    index = pd.concat([found[1] for found in read.values() if found is not None] or [_empty_groups()])
    index = index[~index.index.duplicated()].sort_index()
    cls = index.index.get_level_values("cls").to_numpy(str)
    slugs = np.array([info.slug for info in study.source.classes])
    values = own_class(
        {at: (slugs, frame.reindex(index.index)[slugs].to_numpy(float)) for at, frame in deltas.items()}, cls
    )
    ours = Clips(cls, index.to_numpy(str), clips.left_out)
    controls = control_comparisons(asked)
    tested = {label: value for label, value in values.items() if label.metric == ADVANTAGE}
    tested |= subtract(controls, values)
    found = summarise(values, ours, study.draws, study.seed)
    found |= summarise(tested, ours, study.draws, study.seed, test=True)
    labels = [Label(at, metric) for at in asked for metric in OWN_CLASS]
    return [*labels, *controls], found, ours


def composite_rows(study: Study) -> list[Row]:
    """Compare LRP rules with the configured ones (Fig. B.1); no row where no candidate is named."""
    path = study.layout.composites(study.split)
    clips = Clips(np.array([]), np.array([]), dict.fromkeys(cls.slug for cls in study.source.classes))
    values: dict[Label, Values] = {}
    if study.candidates and path.exists():
        frame = read_table(path).astype({"clip": np.int64}).set_index(["cls", "clip"])
        groups = frame["group"][~frame.index.duplicated()].sort_index()
        cls = groups.index.get_level_values("cls").to_numpy(str)
        clips = Clips(cls, groups.to_numpy(str), study.left_out(RULES))
        for at in study.candidates:
            scores = frame[frame["candidate"] == at.method].reindex(groups.index)
            values |= {Label(at, metric): scores[metric].to_numpy(float) for metric in FLIPPED}
    pairs = rule_comparisons(study.candidates)
    found = summarise_scores(values, clips, study.draws, study.seed)
    compared = summarise(subtract(pairs, values), clips, study.draws, study.seed, test=True)
    labels = [Label(at, metric) for at in study.candidates for metric in (*FLIPPED, *MEDIANS)]
    return [*rows(labels, found, clips), *rows(pairs, compared, clips)]


def conservation_rows(study: Study) -> Iterator[Row]:
    """Yield how exactly the concepts sum to the standard heatmap, and what share of the logit biases absorb."""
    left_out = study.left_out(SCORED)
    for layer, method, k in [At(INPUT_LAYER, "standard", 1), *study.grid]:
        for folder in study.folders(At(layer, method, k)):
            for cls in study.source.classes:
                path = study.heatmaps(layer, folder, k, cls.slug)
                metadata = artifacts.read_metadata(path) if path.exists() else {}
                for metric in CONSERVATION:
                    value = number(metadata.get(metric, math.nan))
                    count = left_out[cls.slug] if metadata else ""
                    yield (layer, folder, k, cls.slug, metric, value, "", "", "", "", count)


def write_stability(study: Study, made: Mapping[str, Any]) -> stability.Measures:
    """Write what was measured of the subspaces' stability as table and as text, and warn of unstable concepts."""
    asked = [At(layer, method, k) for k in study.ks for layer in study.layers for method in study.stable]
    measures = stability.read({at: study.layout.method(study.split, *at) for at in asked})
    slugs = [cls.slug for cls in study.source.classes]
    artifacts.write_csv(
        study.layout.tables / "stability.csv", stability.COLUMNS, stability.rows(asked, slugs, measures), made
    )
    title = f"Stability: {study.layout.dataset}, {study.split}"
    artifacts.write_text(study.layout.tables / "stability.md", stability.report(title, asked, slugs, measures))
    for at, keys in stability.unstable(measures).items():
        concepts = len({(key.cls, key.concept) for key in keys})
        log.warning(
            "%s at %s, K = %d: %d unstable concepts, see tables/stability.md", at.method, at.layer, at.k, concepts
        )
    return measures


def draw(
    study: Study, found: Summaries, measures: stability.Measures, recovered: ground_truth.Recovery | None
) -> Iterator[tuple[str, Figure]]:
    """Yield name and figure of everything whose results exist."""
    for cls in study.source.classes:
        yield from _draw_objects(study, cls)
    for k in study.ks:
        for cls in study.source.classes:
            for method in study.shown:
                yield from _draw_concepts(study, method, k, cls)
            yield from _draw_layers(study, study.shown[0], k, cls)
            yield from _draw_cards(study, study.shown[0], k, cls, measures)
        for method in study.methods:
            yield from _draw_learning(study, method, k)
        yield from _draw_cross_class(study, k, found)
        yield from _draw_flipping(study, k, found)
    yield from _draw_composites(study)
    yield from _draw_choice(study, found, measures, {} if recovered is None else recovered.summaries)
    yield from _draw_training(study)


def _draw_objects(study: Study, cls: ClassInfo) -> Iterator[tuple[str, Figure]]:
    """Draw a clip with all objects, and each object at its level in it (Fig. 4.1, 4.2, 4.4, C.2)."""
    clips = study.source.held_out("all-test")
    clips = clips[study.source.targets(clips).numpy() == cls.index][:1]
    stems = study.source.stems(clips) if len(clips) else None
    if stems is None:
        return
    sounds = torch.cat([study.source.waveforms(clips), stems[0]])  # [1 + O, S]
    front = study.frontend
    # Scaled by the clip's peak, all of them, so that objects keep their level in the clip.
    logmels = front.compressed(front.mel(sounds / sounds[0].abs().max()))
    names = study.source.object_names(cls)
    title = f"{cls.name}: a clip and the sound objects in it"
    yield f"objects_{cls.slug}", objects(front, logmels[0], logmels[1:], names, title)


def _draw_concepts(study: Study, method: str, k: int, cls: ClassInfo) -> Iterator[tuple[str, Figure]]:
    """Draw concepts of some clips at the middle layer (Fig. 4.3, 4.5, C.1)."""
    layer = study.layers[len(study.layers) // 2]
    standard = _gallery(study.heatmaps(INPUT_LAYER, "standard", 1, cls.slug))
    concepts = _gallery(study.heatmaps(layer, method, k, cls.slug))
    clips = [clip for clip in standard if clip in concepts][:GALLERY]
    if clips:
        figure = explanation_grid(
            study.frontend,
            study.source.logmel(clips)[:, 0],
            torch.stack([standard[clip][0] for clip in clips]),
            torch.stack([concepts[clip] for clip in clips]),
            f"{cls.name}: {method} at {layer}, K = {k}",
        )
        yield f"concepts_{layer}_{method}_K{k}_{cls.slug}", figure


def _draw_layers(study: Study, method: str, k: int, cls: ClassInfo) -> Iterator[tuple[str, Figure]]:
    """Draw concepts of one clip at every layer (Fig. C.3)."""
    standard = _gallery(study.heatmaps(INPUT_LAYER, "standard", 1, cls.slug))
    by_layer = {layer: _gallery(study.heatmaps(layer, method, k, cls.slug)) for layer in study.layers}
    by_layer = {layer: maps for layer, maps in by_layer.items() if maps}
    common = [clip for clip in standard if all(clip in maps for maps in by_layer.values())]
    if common and by_layer:
        clip = common[0]
        figure = explanation_grid(
            study.frontend,
            study.source.logmel([clip] * len(by_layer))[:, 0],
            standard[clip].expand(len(by_layer), -1, -1),
            torch.stack([maps[clip] for maps in by_layer.values()]),
            f"{cls.name}: {method} at every layer, K = {k}, one clip",
            rows=list(by_layer),
        )
        yield f"layers_{method}_K{k}_{cls.slug}", figure


def _draw_cards(
    study: Study, method: str, k: int, cls: ClassInfo, measures: stability.Measures
) -> Iterator[tuple[str, Figure]]:
    """Draw what each concept of a class is, at the middle layer: its profile and the clips in which it weighs most."""
    layer = study.layers[len(study.layers) // 2]
    path = study.heatmaps(layer, method, k, cls.slug)
    clips, heatmaps, _ = scored(path) if path.exists() else ([], torch.empty(0), None)
    if not clips:
        return
    relevance = relevances(heatmaps)  # [n, K]
    groups = study.source.clips["group"].to_numpy(str)[clips]
    parts = shares(relevance.numpy(), groups, study.draws, study.seed)
    heaviest = strongest(relevance)  # [K, m]
    inputs = study.source.logmel(clips)[:, 0]  # [n, F, T]
    at = At(layer, method, k)
    drawn = [
        Card(
            stability.card_text(at, cls.slug, concept + 1, share, measures),
            profile,
            inputs[places],
            heatmaps[places, concept, 0],
            [
                f"clip {clips[place]}\nΣᵢ Rᵢ = {relevance[place, concept]:.2f} of {relevance[place].sum():.2f}"
                for place in places.tolist()
            ],
        )
        for concept, (share, profile, places) in enumerate(zip(parts, profiles(heatmaps), heaviest, strict=True))
    ]
    title = f"{cls.name}: the concepts of {method} at {layer}, K = {k}"
    yield f"cards_{layer}_{method}_K{k}_{cls.slug}", cards(study.frontend, drawn, title)


def _draw_choice(
    study: Study, found: Summaries, measures: stability.Measures, recovered: Summaries
) -> Iterator[tuple[str, Figure]]:
    """Draw what K and layer of the first method may be chosen by, and, to be looked at afterwards, a test score."""
    method = study.methods[0]
    grid = [at for at in study.grid if at.method == method]

    def over_classes(summaries: Summaries, metric: str) -> dict[At, Interval]:
        return {at: summaries[key].interval for at in grid if (key := (Label(at, metric), ALL)) in summaries}

    panels = stability.panels(
        grid, measures, over_classes(found, "fair_zero"), over_classes(recovered, ground_truth.CHOSEN_BY)
    )
    if any(panel.lines for panel in panels):
        yield "choice", choice(panels, study.layers, f"Which K and which layer? {method}; bars: 95 % intervals")


def _draw_learning(study: Study, method: str, k: int) -> Iterator[tuple[str, Figure]]:
    """Draw the objective of every start over the iterations (Fig. B.2)."""
    histories: dict[tuple[str, str], list[tuple[str, Sequence[float]]]] = {}
    for cls in study.source.classes:
        for layer in study.layers:
            path = study.layout.concept(study.split, layer, method, k, cls.slug) / "fit.json"
            starts = json.loads(path.read_text(encoding="utf-8"))["restarts"] if path.exists() else []
            if starts:
                histories[cls.name, layer] = [(str(start["start"]), start["history"]) for start in starts]
    if histories:
        title = f"Learning curves of {method}, K = {k}"
        quantity = "information on objects" if method == ORACLE else "objective (eq. 2.19)"
        yield f"learning_{method}_K{k}", learning_curves(histories, title, quantity)


def _draw_flipping(study: Study, k: int, found: Summaries) -> Iterator[tuple[str, Figure]]:
    """Draw scores over the layers (Table 4.4)."""

    def interval(at: At, metric: str) -> dict[str, Interval]:
        summary = found.get((Label(at, metric), ALL))
        return {} if summary is None else {at.layer: summary.interval}

    panels: dict[str, dict[str, dict[str, Interval]]] = {}
    levels: dict[str, dict[str, Interval]] = {}
    for metric, title in PANELS.items():
        grid = [at for at in study.grid if at.k == k]
        lines: dict[str, dict[str, Interval]] = {method: {} for method in study.methods}
        for at in grid:
            lines[at.method] |= interval(at, metric)
        if metric == "thesis":
            first = [at for at in grid if at.method == study.methods[0]]
            control = {layer: bar for at in first for layer, bar in interval(at, "matched_budget").items()}
            lines[f"standard, budget of {study.methods[0]}"] = control
        panels[title] = {method: line for method, line in lines.items() if line}
        # Noise at K = 1 says nothing about the thesis score at another K, and would flatten the rest.
        shown = [at for at in LEVELS if metric != "thesis" or at.method != "noise"]
        across = {at.method: bar for at in shown for bar in interval(at, metric).values()}
        levels[title] = {f"{method} (K = 1)": bar for method, bar in across.items()}
    if any(panels.values()):
        title = f"Patch flipping, K = {k}: lower is better; bars: 95 % intervals"
        yield f"flipping_K{k}", scores_over_layers(panels, study.layers, levels, title)


def _draw_cross_class(study: Study, k: int, found: Summaries) -> Iterator[tuple[str, Figure]]:
    """Draw the gain over the standard heatmap by attributed class and class of the subspaces (Fig. 4.10)."""
    slugs = [cls.slug for cls in study.source.classes]  # in the order of rows and columns
    matrices: dict[str, dict[str, NDArray[np.float64]]] = {}
    gains: dict[tuple[str, str], list[Interval]] = {}
    for layer in study.layers:
        for method in study.crossed:
            label = Label(At(layer, method, k), ADVANTAGE)
            if (label, ALL) in found:
                path = study.layout.method(study.split, layer, method, k) / "cross_class.csv"
                # By place: a class may bear the name of the first column.
                matrix = read_table(path).iloc[:, 1:].to_numpy(float)
                matrices.setdefault(layer, {})[method] = matrix
                gains[layer, method] = [found[label, cls].interval for cls in (*slugs, ALL)]
    if matrices:
        title = f"Cross-class ΔAUPC, K = {k}: higher is better"
        names = [cls.name for cls in study.source.classes]
        yield f"cross_class_K{k}", cross_class(matrices, gains, names, title)


def _draw_composites(study: Study) -> Iterator[tuple[str, Figure]]:
    """Draw flipping curves of LRP rules (Fig. B.1)."""
    path = study.layout.composites_curves(study.split)
    if not study.candidates or not path.exists():
        return
    numbers = ["fraction", "ratio", "low", "high"]
    frame = read_table(path)
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    panels: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (kind, name), curve in frame.groupby(["replacement", "candidate"], sort=False):
        panels.setdefault(REPLACED[kind], {})[name] = curve[numbers].to_numpy(float)
    title = f"LRP rules on validation clips of {study.layout.dataset}: lower is better; bands: 95 % intervals"
    yield "composites", flipping_curves(panels, title)


def _draw_training(study: Study) -> Iterator[tuple[str, Figure]]:
    """Draw learning curves and confusion matrix, over the folds where there are any (Fig. A.1, A.2)."""
    splits = _splits(study)
    folds = [split for split in splits if split != "main"]
    chosen = folds or splits
    if not chosen:
        return
    of = f"over {len(folds)} folds" if folds else "in main"
    histories = [pd.read_csv(study.layout.split(split) / "history.csv").to_dict("list") for split in chosen]
    yield "training", training_curves(histories, f"Training curves {of}")
    counts = np.sum([_confusion(study, split) for split in chosen], axis=0)
    names = [cls.name for cls in study.source.classes]
    yield "confusion", confusion(counts, names, f"Test clips {of}, % of the true class")


def _scores(study: Study, at: At, method: str) -> pd.DataFrame | None:
    """Read one ``scores.csv``, indexed by class and clip."""
    path = study.layout.method(study.split, at.layer, method, at.k) / "scores.csv"
    if not path.exists():
        log.info("%s is missing: its cells stay empty", path)
        return None
    frame = read_table(path).astype({"clip": np.int64})
    frame[list(SCORES)] = frame[list(SCORES)].astype(float)
    return frame.set_index(["cls", "clip"])


def _cross_clips(study: Study, at: At) -> tuple[pd.DataFrame, pd.Series] | None:
    """Read one ``cross_class_clips.csv``: Delta-AUPC by (class, clip) and class of the subspaces, and the groups."""
    path = study.layout.method(study.split, at.layer, at.method, at.k) / "cross_class_clips.csv"
    if not path.exists():
        log.info("%s is missing: its cells stay empty", path)
        return None
    frame = read_table(path).astype({"clip": np.int64, "delta": float}).rename(columns={"attributed": "cls"})
    deltas = frame.pivot(index=["cls", "clip"], columns="subspaces", values="delta")
    groups = frame.drop_duplicates(["cls", "clip"]).set_index(["cls", "clip"])["group"]
    return deltas, groups  # apart: a class may be called "group"


def _empty_groups() -> pd.Series:
    return pd.Series([], dtype=str, name="group", index=pd.MultiIndex.from_arrays([[], []], names=["cls", "clip"]))


def _gallery(path: Path) -> dict[int, Tensor]:
    """Read the heatmaps [K, F, T] of the clips to be shown, by clip; none where there is no file."""
    if not path.exists():
        return {}
    tensors, _ = artifacts.read_tensors(path)
    shown = tensors["gallery"].bool()
    return dict(zip(tensors["clips"][shown].tolist(), tensors["heatmaps"][shown][:, :, 0], strict=True))


def _splits(study: Study) -> list[str]:
    """List the splits with a trained model: the explained one, and those of the cross-validation if asked for."""
    folds = [f"cv{fold}" for fold in range(study.source.n_folds)] if study.config["cross_validation"] else []
    return [name for name in ["main", *folds] if (study.layout.split(name) / "metrics.json").exists()]


def _confusion(study: Study, split: str) -> NDArray[np.int64]:
    """Read a confusion matrix [C, C], rows true class."""
    return read_table(study.layout.split(split) / "confusion.csv").iloc[:, 1:].to_numpy(np.int64)
