"""Figures of what the model learned and answers: to its clips, in part and changed, and who can tell."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earmark.data.answered import RIGHT, WRONG
from earmark.drawings.drawing import Drawn
from earmark.figures import matrices
from earmark.figures.curves import training_curves
from earmark.figures.frequency import Kind, shares
from earmark.figures.listening import guessed
from earmark.figures.samples import remaining
from earmark.figures.scaling import turned
from earmark.figures.style import BLUE, GREY, VERMILION
from earmark.metrics.listening import CONTROLS, STIMULI
from earmark.metrics.scaling import CONDITIONS
from earmark.sound.base import Frontend
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.tables import frequency, listening, sample_flipping, scaling
from earmark.tables.labels import STANDARD, Label
from earmark.tables.model import confusion
from earmark.tables.study import Study
from earmark.tables.written import Tables

SPREAD = {
    frequency.ENERGY: Kind("the clips' energy", GREY, filled=True),
    frequency.AGAINST: Kind("relevance against the class", VERMILION),
    frequency.FOR: Kind("relevance for the class", BLUE),
}
"""What is shown over frequency."""

HEARD_BY = "What a network that listens knows of the answers: black, the clip; blue, its explanation; grey, controls"


def draw(study: Study, front: Frontend, tables: Tables) -> Drawn:
    """Yield ``sample_flipping``, ``listening``, ``frequency``, ``scaling``, ``training`` and ``confusion``."""
    yield "sample_flipping", _sample_flipping(study, tables)
    yield "listening", _listening(tables)
    yield "frequency", _frequency(study, tables)
    yield "scaling", _scaling(study, tables)
    yield from _training(study)


def _sample_flipping(study: Study, tables: Tables) -> Figure | None:
    """Draw what is still answered while samples are 0."""
    known = sample_flipping.curves(tables.frame("sample_flipping"))
    if not known:
        return None
    return remaining(known, f"Which samples matter in {study.layout.dataset}; bands: 95 % intervals")


def _listening(tables: Tables) -> Figure | None:
    """Draw what a listener knows of the model's answers, right and wrong ones, by each stimulus."""
    known = tables.bars("listening")
    panels = {
        (part, metric): {
            stimulus: known[key]
            for stimulus in STIMULI
            if (key := (*STANDARD, ALL, Label(STANDARD, metric, part=stimulus, clips=part).text)) in known
        }
        for part in (listening.PARTS[which] for which in (RIGHT, WRONG))
        for metric in listening.METRICS
    }
    drawn = {key: bars for key, bars in panels.items() if bars}
    return guessed(drawn, STIMULI, CONTROLS, HEARD_BY) if drawn else None


def _frequency(study: Study, tables: Tables) -> Figure | None:
    """Draw where relevance lies in frequency, class by class, beside where the sound does."""
    found = frequency.curves(tables.frame("frequency"))
    panels = {cls.name: found[cls.slug] for cls in study.classes if cls.slug in found}
    if not panels:
        return None
    title = "Where relevance lies in frequency, and where the sound does; shaded: 95 % intervals"
    return shares(panels, SPREAD, title)


def _scaling(study: Study, tables: Tables) -> Figure | None:
    """Draw what is answered to clips whose frequency axis is scaled."""
    panels = scaling.answers(tables.frame("scaling"))
    if not panels:
        return None
    return turned(panels, CONDITIONS, f"Clips of {study.layout.dataset} whose frequency axis is scaled")


def _training(study: Study) -> Drawn:
    """Draw learning curves and confusion matrix, over the folds where there are any (Fig. A.1, A.2)."""
    splits = [study.split, *study.folds]
    trained = {split: counts for split in splits if (counts := confusion(study, split)) is not None}
    folds = [split for split in trained if split != study.split]
    chosen = folds or list(trained)
    if not chosen:
        return
    of = f"over {len(folds)} folds" if folds else "in main"
    paths = [study.layout.split(split) / "history.csv" for split in chosen]
    histories = [artifacts.read_csv(path).astype(float).to_dict("list") for path in paths if study.has(path)]
    yield "training", training_curves(histories, f"Training curves {of}") if histories else None
    names = [cls.name for cls in study.source.classes]
    counts = np.sum([trained[split] for split in chosen], axis=0)
    yield (
        "confusion",
        matrices.confusion(counts, names, f"Test clips {of}, % of the true class") if len(counts) else None,
    )
