"""Stage ``draw``: the figures of a data set, from its tables and heatmaps."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.answered import RIGHT, WRONG
from earmark.data.dataset import ClassInfo
from earmark.explainers import explanation
from earmark.explainers.explanation import TOP
from earmark.figures import components as dictionaries
from earmark.figures import matrices, scores
from earmark.figures.cards import Affinity, Card, cards, text
from earmark.figures.cost import against_cost
from earmark.figures.curves import flipping_curves, interpreter_curves, learning_curves, training_curves
from earmark.figures.frequency import Kind, shares
from earmark.figures.heatmaps import explanation_grid, objects
from earmark.figures.listening import guessed
from earmark.figures.masking import Named, Panel, heard
from earmark.figures.samples import remaining
from earmark.figures.scaling import turned
from earmark.figures.style import BLUE, GREY, VERMILION, save, unwritable
from earmark.job import Job
from earmark.metrics.listening import CONTROLS, STIMULI
from earmark.metrics.scaling import CONDITIONS
from earmark.metrics.scores import METRICS
from earmark.plan.methods import named
from earmark.sound.base import Frontend
from earmark.sound.kinds import from_config
from earmark.statistics import ALL, Bar, Bars
from earmark.store import artifacts
from earmark.tables import (
    agreement,
    components,
    components_spectra,
    composites_curves,
    concepts,
    cost,
    frequency,
    interpreters,
    listening,
    masking,
    recovery,
    sample_flipping,
    scaling,
    stability,
)
from earmark.tables.cross_class import advantage
from earmark.tables.ground_truth import chosen_by
from earmark.tables.labels import STANDARD, At, Label
from earmark.tables.model import confusion
from earmark.tables.study import Study
from earmark.tables.written import Tables, bars

log = logging.getLogger(__name__)

GALLERY = 3
"""Clips in a figure of concepts, as in Fig. 4.3."""

UNITS = {name: metric.unit for name, metric in METRICS.items()}

UNKNOWN = (math.nan, math.nan, math.nan)

REPLACED = {"zero": "patches replaced by 0", "floor": "patches replaced by the minimum"}

RANKS = masking.HEADLINE, f"symmetric relevance gain [{UNITS[masking.HEADLINE]}]", 0.0
FINDS = masking.FOUND, "AUC of used objects' cells", 0.5
"""What ranks explanations, and what tells whether they find the objects that the model uses: title, and chance."""

SPREAD = {
    frequency.ENERGY: Kind("the clips' energy", GREY, filled=True),
    frequency.AGAINST: Kind("relevance against the class", VERMILION),
    frequency.FOR: Kind("relevance for the class", BLUE),
}
"""What is shown over frequency."""

HEARD_BY = "What a network that listens knows of the answers: black, the clip; blue, its explanation; grey, controls"

Drawn = Iterator[tuple[str, Figure | None]]


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
    first = study.shown[:1]
    for cls in study.asked:
        yield f"objects_{cls.slug}", _objects(study, front, cls)
    for k in study.ks if study.methods else ():  # else there are no concepts to draw
        for cls in study.classes:
            for method in study.shown:
                middle = study.middle_of(method)
                figure = _concepts(study, front, tables, At(middle, method, k), cls)
                yield f"concepts_{middle}_{method}_K{k}_{cls.slug}", figure
            for method in first:
                middle = study.middle_of(method)
                yield f"layers_{method}_K{k}_{cls.slug}", _layers(study, front, method, k, cls)
                figure = _cards(study, front, tables, At(middle, method, k), cls)
                yield f"cards_{middle}_{method}_K{k}_{cls.slug}", figure
        for method in study.methods:
            yield f"learning_{method}_K{k}", _learning(study, method, k)
        yield f"cross_class_K{k}", _cross_class(study, tables.bars("cross_class"), k)
        yield (
            f"flipping_K{k}",
            scores.flipping(
                tables.bars("flipping"),
                study.layers,
                study.methods,
                k,
                [at.method for at in study.levels],
                study.controls,
                UNITS,
            ),
        )
        for method in (name for name in study.methods if name in first or _is_bound(name)):
            yield f"recovery_{method}_K{k}", _recovery(study, tables, method, k)
        yield (
            f"ground_truth_K{k}",
            scores.recovered(tables.bars("ground_truth"), study.layers, study.methods, k, study.controls, UNITS),
        )
    yield "composites", _composites(study, tables)
    yield "masking", _masking(study, tables)
    yield "cost", _cost(study, tables)
    yield "interpreters", _interpreters(study, tables)
    for name in masking.BY_CLASS:
        yield f"masking_{name}", _by_class(study, tables, name)
    yield "sample_flipping", _sample_flipping(study, tables)
    for other in study.config["evaluate"]["beside"]:
        for k in study.ks:
            yield f"beside_{other}_K{k}", _beside(study, tables, other, k)
    yield "listening", _listening(tables)
    for method in study.config["evaluate"]["fidelity"]:
        yield f"components_{method}", _components(study, tables, method)
    for method in study.methods[:1]:
        yield "choice", _choice(study, tables, method)
    yield "frequency", _frequency(study, tables)
    yield "scaling", _scaling(study, tables)
    yield from _training(study)


def _masking(study: Study, tables: Tables) -> Figure | None:
    """Draw whom to believe: what ranks explanations, and whether they find the objects that the model uses."""
    known = tables.bars("masking") if study.masked else {}
    panels = [_panel(study, known, *one) for one in (RANKS, FINDS)]
    drawn = [panel for panel in panels if panel.bars]
    if not drawn:
        return None
    ranked = sorted(drawn[0].bars, key=lambda at: drawn[0].bars[at][0], reverse=True)
    return heard(ranked, drawn, _controls(study), masking.claims(tables.frame("masking")))


def _panel(study: Study, known: Bars, name: str, title: str, chance: float) -> Panel:
    """Collect one score of all explanations that the model hears."""
    return Panel(title, {at: known[*at, ALL, name] for at in study.masked if (*at, ALL, name) in known}, chance)


def _controls(study: Study) -> set[str]:
    """List the methods that the model hears and that explain nothing."""
    return {at.method for at in study.masked if named(at.method).control}


def _cost(study: Study, tables: Tables) -> Figure | None:
    """Draw what explanations find against what they cost: the objects that the model uses, else what it answers to."""
    known, spent = (tables.bars(name) if study.masked else {} for name in ("masking", "cost"))
    seconds: dict[Named, float] = {
        at: found[0] for at in study.masked if (found := spent.get((*at, ALL, cost.SECONDS))) and found[0] > 0
    }
    for panel in (_panel(study, known, *one) for one in (FINDS, RANKS)):
        if seconds.keys() & panel.bars.keys():
            return against_cost(seconds, panel, _controls(study), masking.claims(tables.frame("masking")))
    return None


def _interpreters(study: Study, tables: Tables) -> Figure | None:
    """Draw the learning curves of explainers that are trained, beside what learned nothing."""
    paths = {name: study.layout.trained(study.split, name) / "history.csv" for name in study.trained}
    read = {name: artifacts.read_csv(path) for name, path in paths.items() if study.has(path)}
    histories = {name: frame.astype(float).to_dict("list") for name, frame in read.items()}
    if not histories:
        return None
    rivals = interpreters.losses(tables.frame("interpreters"))
    return interpreter_curves(histories, rivals, "Explainers while they are trained")


def _by_class(study: Study, tables: Tables, name: str) -> Figure | None:
    """Draw a score of explanations for each class by itself, where there are several: one may be right of some only."""
    known = tables.bars("masking") if study.masked and study.slugs[1:] else {}
    means = {at: known[*at, ALL, name][0] for at in study.masked if (*at, ALL, name) in known}
    if not means:
        return None
    ranked = sorted(means, key=lambda at: means[at], reverse=True)
    unit = f" [{UNITS[name]}]" if UNITS[name] else ""
    panels = [
        Panel(f"{cls}: {name}{unit}", {at: known[*at, cls, name] for at in means if (*at, cls, name) in known}, 0.0)
        for cls in study.slugs
    ]
    return heard(ranked, panels, _controls(study), masking.claims(tables.frame("masking")))


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


def _beside(study: Study, tables: Tables, other: str, k: int) -> Figure | None:
    """Draw how far another data set's network finds the concepts too, and whose tell sound objects apart."""
    frame = tables.frame("beside")
    found = frame[(frame["other"] == other) & (frame["concept"] == "")]
    by_layer = {str(layer): part for layer, part in found.groupby("other_layer", sort=False)}
    compared = {layer: bars(part) for layer, part in by_layer.items()}
    random = {
        layer: bars(part[part["random"] != ""].assign(estimate=part["random"], low="", high=""))
        for layer, part in by_layer.items()
    }
    return scores.beside(compared, random, other, study.layers, study.methods, k, study.controls)


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


def _components(study: Study, tables: Tables, method: str) -> Figure | None:
    """Draw the spectra of a method's components, and what they add to each answer."""
    spectra = tables.frame("components_spectra")
    own = spectra[spectra["method"] == method]
    added = components.contributions(tables.frame("components"), method)
    if own.empty or not added:
        return None
    title = f"Components of {method} in {study.layout.dataset}, and what they add to the answers"
    return dictionaries.dictionary(*components_spectra.dictionary(own), added, title)


def _is_bound(method: str) -> bool:
    """Tell whether a method shows what could be had: at least, by chance, or at most, by someone who knows."""
    return named(method).control or named(method).fitted_to == "stems"


def _objects(study: Study, front: Frontend, cls: ClassInfo) -> Figure | None:
    """Draw a clip with all objects, and each object at its level in it (Fig. 4.1, 4.2, 4.4, C.2)."""
    clips = study.source.held_out("all-test")
    clips = clips[study.source.targets(clips).numpy() == cls.index][:1]
    stems = study.source.stems(clips) if len(clips) else None
    if stems is None:
        return None
    sounds = torch.cat([study.source.waveforms(clips), stems[0]])  # [1 + O, S]
    # Scaled by the clip's peak, all of them, so that objects keep their level in the clip.
    pictures = front.picture(front(sounds, like=sounds[0]))
    names = study.source.object_names(cls)
    return objects(front, pictures[0], pictures[1:], names, f"{cls.name}: a clip and the sound objects in it")


def _concepts(study: Study, front: Frontend, tables: Tables, at: At, cls: ClassInfo) -> Figure | None:
    """Draw concepts of some clips (Fig. 4.3, 4.5, C.1)."""
    standard, parts = (_gallery(study, place, cls) for place in (STANDARD, at))
    clips = [clip for clip in standard if clip in parts][:GALLERY]
    if not clips:
        return None
    known = concepts.read(tables.rows("concepts", at, cls.slug), at.k)
    title = f"{cls.name}: {at.method} at {at.layer}, K = {at.k}"
    return explanation_grid(
        front,
        front.picture(study.source.inputs(clips)),
        torch.stack([standard[clip][0] for clip in clips]),
        torch.stack([parts[clip] for clip in clips]),
        title if known is None else f"{title} ({known.apart.text})",
    )


def _layers(study: Study, front: Frontend, method: str, k: int, cls: ClassInfo) -> Figure | None:
    """Draw concepts of one clip at every layer (Fig. C.3)."""
    standard = _gallery(study, STANDARD, cls)
    of_layers = {layer: _gallery(study, At(layer, method, k), cls) for layer in study.layers_of(method)}
    known = {layer: maps for layer, maps in of_layers.items() if maps}
    common = [clip for clip in standard if all(clip in maps for maps in known.values())]
    if not (common and known):
        return None
    clip = common[0]
    return explanation_grid(
        front,
        front.picture(study.source.inputs([clip] * len(known))),
        standard[clip].expand(len(known), -1, -1),
        torch.stack([maps[clip] for maps in known.values()]),
        f"{cls.name}: {method} at every layer, K = {k}, one clip",
        rows=list(known),
    )


def _gallery(study: Study, at: At, cls: ClassInfo) -> dict[int, Tensor]:
    path = study.heatmaps(at, cls.slug)
    if not study.has(path):
        return {}
    found = explanation.read(path)
    found = found.only(found.gallery)
    return dict(zip(found.clips.tolist(), found.heatmaps[:, :, 0], strict=True))


def _cards(study: Study, front: Frontend, tables: Tables, at: At, cls: ClassInfo) -> Figure | None:
    """Draw what each concept of a class is: its profile and the clips in which it weighs most."""
    path = study.heatmaps(at, cls.slug)
    if not study.has(path):
        return None
    found = explanation.read(path)
    found = found.only(found.scored)
    clips, heatmaps, relevance = found.clips.tolist(), found.heatmaps, found.relevance  # [n, K]
    known = concepts.read(tables.rows("concepts", at, cls.slug), at.k)
    if known is None:
        return None
    inputs = front.picture(study.source.inputs(clips))  # [n, F, T]
    stable = stability.affinities(tables.rows("stability", at, cls.slug))
    affinities = {concept: {kind: Affinity(*known) for kind, known in of.items()} for concept, of in stable.items()}
    again = agreement.found_again(tables.rows("agreement", at, cls.slug))

    def remarks_on(concept: int) -> list[str]:
        return [said for said in (known.apart.of_concept(concept), again.get(str(concept))) if said]

    drawn = [
        Card(
            text(concept, share, remarks_on(concept), affinities.get(str(concept), {})),
            profile,
            inputs[places],
            heatmaps[places, concept - 1, 0],
            [
                f"clip {clips[place]}\nΣᵢ Rᵢ = {relevance[place, concept - 1]:.2f} of {relevance[place].sum():.2f}"
                for place in places.tolist()
            ],
        )
        for concept, (share, profile, places) in enumerate(
            zip(known.shares, found.profiles()[:, 0], found.strongest(TOP), strict=True), start=1
        )
    ]
    title = f"{cls.name}: the concepts of {at.method} at {at.layer}, K = {at.k} ({known.apart.text})"
    return cards(front, drawn, title)


def _learning(study: Study, method: str, k: int) -> Figure | None:
    """Draw the objective of every start over the iterations (Fig. B.2)."""
    histories: dict[tuple[str, str], list[tuple[str, Sequence[float]]]] = {}
    for cls in study.classes if named(method).maximises else ():
        for layer in study.layers:
            fit = study.read_json(study.layout.concept(study.split, layer, method, k, cls.slug) / "fit.json")
            starts = fit.get("restarts")
            if starts:
                histories[cls.name, layer] = [(str(start["start"]), start["history"]) for start in starts]
    if not histories:
        return None
    return learning_curves(histories, f"Learning curves of {method}, K = {k}", named(method).maximises)


def _cross_class(study: Study, gains: Bars, k: int) -> Figure | None:
    """Draw the gain over the standard heatmap by attributed class and class of the subspaces (Fig. 4.10)."""
    shown: dict[str, dict[str, NDArray[np.float64]]] = {}
    bars_of: dict[tuple[str, str], list[Bar]] = {}
    with_clips = [place for place, cls in enumerate(study.asked) if cls in study.classes]
    for at in (at for at in study.crossed if at.k == k):
        keys = [(*at, cls, advantage(at).text) for cls in (*study.slugs, ALL)]
        matrix = study.read_csv(study.method(at) / "cross_class.csv") if keys[-1] in gains else None
        if matrix is not None:
            # By place: a class may bear the name of the first column.
            cells = matrix.iloc[:, 1:].to_numpy()[np.ix_(with_clips, with_clips)]
            shown.setdefault(at.layer, {})[at.method] = cells.astype(float)
            bars_of[at.layer, at.method] = [gains.get(key, UNKNOWN) for key in keys]
    if not shown:
        return None
    names = [cls.name for cls in study.classes]
    return matrices.cross_class(shown, bars_of, names, f"Cross-class ΔAUPC, K = {k}: higher is better")


def _recovery(study: Study, tables: Tables, method: str, k: int) -> Figure | None:
    """Draw which concept holds which sound object."""
    panels, names = {}, {}
    for cls in study.slugs:
        for at in (At(layer, method, k) for layer in study.layers_of(method)):
            rows = tables.rows("recovery", at, cls)
            if len(rows):
                names[cls], shares = recovery.matrix(rows)
                nmi, _, _ = tables.bars("ground_truth").get((*at, cls, Label(at, "nmi").text), UNKNOWN)
                panels[cls, at.layer] = shares, nmi
    if not panels:
        return None
    return matrices.recovery(panels, names, f"Where each object's relevance lies: {method}, K = {k}")


def _composites(study: Study, tables: Tables) -> Figure | None:
    """Draw flipping curves of LRP rules (Fig. B.1)."""
    panels: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (kind, name), curve in composites_curves.curves(tables.frame("composites_curves")):
        panels.setdefault(REPLACED[kind], {})[name] = curve
    if not panels:
        return None
    title = f"LRP rules on validation clips of {study.layout.dataset}: lower is better; bands: 95 % intervals"
    return flipping_curves(panels, title)


def _sample_flipping(study: Study, tables: Tables) -> Figure | None:
    """Draw what is still answered while samples are 0."""
    known = sample_flipping.curves(tables.frame("sample_flipping"))
    if not known:
        return None
    return remaining(known, f"Which samples matter in {study.layout.dataset}; bands: 95 % intervals")


def _choice(study: Study, tables: Tables, method: str) -> Figure | None:
    """Draw what K and layer of a method may be chosen by, and, to be looked at afterwards, a test score."""
    stable = tables.frame("stability")
    random = stable.assign(estimate=stable["random"])[stable["concept"] == ""]
    numbers = tables.bars("concepts")
    panels = scores.choice_panels(
        tables.bars("flipping"),
        numbers,
        tables.bars("ground_truth"),
        tables.bars("stability"),
        bars(random),
        tables.bars("agreement"),
        chosen_by(STANDARD).text,
        *(study.layers, study.ks, method),
    )
    if not any(panel.lines for panel in panels):
        return None
    ks = {layer: scores.proposed(numbers, layer, study.ks, method) for layer in study.layers}
    by_number = ", ".join(f"{k} at {layer}" for layer, k in ks.items() if k) if study.ks[1:] else ""
    proposal = f"; by the concepts in effect K = {by_number}" if by_number else ""
    return scores.choice(panels, study.layers, f"Which K and which layer? {method}; bars: 95 % intervals{proposal}")


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
