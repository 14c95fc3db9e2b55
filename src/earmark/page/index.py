"""What a page opens with: what there is to choose from, and the tables and figures beside the views."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from earmark.data import chosen
from earmark.data.chosen import SCORED
from earmark.data.predictions import Predictions
from earmark.page import files
from earmark.page.about import described, method_entry
from earmark.page.views import Place
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER
from earmark.tables import markdown
from earmark.tables.labels import STANDARD, At
from earmark.tables.study import Study

KEYED = ("layer", "method", "k", "cls")
"""Columns of tables by which rows belong to views."""


def index(
    study: Study, frontend: Frontend, predictions: Predictions, places: Sequence[Place], heard: Sequence[str]
) -> dict[str, Any]:
    """Say what a page shows.

    Parameters
    ----------
    study : Study
        Results.
    frontend : Frontend
        The model's.
    predictions : Predictions
        Its answers.
    places : sequence of Place
        Views that there are, the first of which is shown first.
    heard : sequence of str
        Methods whose concepts were rendered as sound.
    """
    metrics = study.read_json(study.layout.split(study.split) / "metrics.json")
    return {
        **described(study.layout.dataset, frontend, study.source, predictions.multi_label),
        "classes": list(_classes(study)),
        "split": study.split,
        "accuracy": metrics.get("test_accuracy"),
        "layers": sorted({place.at.layer for place in places}, key=[*study.layers, INPUT_LAYER].index),
        "methods": [method_entry(name, heard) for name in dict.fromkeys(place.at.method for place in places)],
        "ks": sorted({place.at.k for place in places}),
        "views": [place.key for place in places],
        "notes": list(_notes(study, predictions)),
    }


def _notes(study: Study, predictions: Predictions) -> Iterator[str]:
    """Yield what a reader should know of all views."""
    recognised = "its logit is positive" if predictions.multi_label else "it has the largest logit, and a positive one"
    yield f"Explained are clips whose class the model recognises: {recognised}. An answer not given has no reasons."
    yield "Numbers in brackets are intervals of 95 %, over groups of test clips such as recordings."
    if study.source.has_stems:
        yield "A concept bears the name of the sound object most of which it holds, with the number beside it."
    else:
        yield "Nobody told what sounds there are: a concept's name says what its sound was measured to be like."
    yield from filter(None, markdown.too_few(study.fitted))
    yield from filter(None, markdown.absent(study.split, study.without))


def _classes(study: Study) -> Iterator[dict[str, Any]]:
    """Describe the classes that are explained, those without clips too."""
    choice = chosen.read(study.layout, study.split)
    for cls in study.asked:
        yield {
            "slug": cls.slug,
            "name": cls.name,
            "clips": len(choice.clips(cls.slug, SCORED)),
            "left_out": choice.left_out(cls.slug, SCORED),
            "reason": choice.reason(cls.slug),
        }


def tables(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """Store the tables of a data set that have rows, and describe them."""
    for path in sorted(study.layout.tables.glob("*.csv")):
        name, frame = path.stem, artifacts.read_csv(path)
        if frame.empty:
            continue
        columns = [str(column) for column in frame.columns]
        files.put(folder, f"tables/{name}", {"columns": columns, "rows": _cells(frame)})
        said = (importlib.import_module(f"earmark.tables.{name}").__doc__ or "").split("\n")[0]
        yield {
            "key": f"tables/{name}",
            "name": name,
            "title": said.partition(": ")[2] or said,
            "columns": columns,
            "rows": len(frame),
            "keyed": [column for column in KEYED if column in columns],
        }


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    return frame.astype(str).to_numpy().tolist()


def figures(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """Copy the figures that stand beside views, and describe them."""
    for name, title, about in _figures(study):
        drawn = study.layout.figures / f"{name}.png"
        if drawn.exists():
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(drawn, folder / "figures" / drawn.name)
            yield {"file": f"figures/{drawn.name}", "title": title, "alt": title, **dict.fromkeys(KEYED), **about}


def _figures(study: Study) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name the figures that a page shows, with what they show and the views that they belong to."""
    for cls in study.classes:
        yield f"objects_{cls.slug}", f"A clip of {cls.name} and the sound objects in it", {"cls": cls.slug}
    for k in study.ks:
        of = f"K = {k}"
        yield f"flipping_K{k}", f"Patch flipping, {of}: scores of all methods and layers", {"k": k}
        yield f"ground_truth_K{k}", f"How well concepts recover the sound objects, {of}", {"k": k}
        yield f"cross_class_K{k}", f"Whether concepts are of their own class, {of}", {"k": k}
        for method in study.methods:
            about = {"method": method, "k": k}
            yield f"recovery_{method}_K{k}", f"Where each object's relevance lies: {method}, {of}", about
            yield f"learning_{method}_K{k}", f"History of the fits of {method}, {of}", about
    for path in sorted(study.layout.figures.glob("beside_*.png")):
        yield path.stem, "Whether networks of other data sets find the concepts too, in the same recordings", {}
    for path in sorted(study.layout.figures.glob("components_*.png")):
        yield path.stem, "Components of sound that an interpreter answers by, and what each adds to the answers", {}
    yield "choice", "Which K and which layer", {}
    yield "masking", "Explanations that the model hears: which of them beat loudest, quietest and random cells", {}
    yield "cost", "What explanations find, and what they cost", {}
    yield "interpreters", "History of the fits of explainers that are trained, beside what learned nothing", {}
    yield "sample_flipping", "Which samples matter: what is still answered while some are 0", {}
    yield "frequency", "Where relevance lies in frequency, and where the sound does", {}
    yield "scaling", "What the model answers to clips whose frequency axis is scaled", {}
    yield "listening", "What a network that listens knows of the model's answers", {}
    yield "composites", "Rules of relevance propagation compared on validation clips", {}
    yield "training", "Learning curves of the model", {}
    yield "confusion", "Confusion matrix of the test clips", {}


def places(study: Study, heard: Sequence[str], drawn: Sequence[str]) -> list[Place]:
    """List the views whose heatmaps exist: of methods that are heard or drawn, the middle layer first."""
    parts = [name for name in dict.fromkeys([*heard, *drawn]) if method_of(name).parts]
    wanted = [
        At(layer, method, k)
        for method in parts
        for k in study.ks
        for layer in sorted(study.layers_of(method), key=lambda layer: layer != study.middle)
    ] or [STANDARD]
    found = [Place(cls, at) for at in wanted for cls in study.classes]
    return [place for place in found if study.has(study.heatmaps(place.at, place.cls.slug))]
