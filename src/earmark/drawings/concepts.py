"""Figures of concepts: what they look like, how they were found, and which sound objects they hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from earmark.data.dataset import ClassInfo
from earmark.drawings.drawing import UNKNOWN, Drawn
from earmark.explainers import explanation
from earmark.explainers.explanation import TOP
from earmark.figures import matrices
from earmark.figures.cards import Affinity, Card, cards, text
from earmark.figures.curves import learning_curves
from earmark.figures.heatmaps import explanation_grid, objects
from earmark.plan.methods import named
from earmark.sound.base import Frontend
from earmark.tables import agreement, concepts, recovery, stability
from earmark.tables.labels import STANDARD, At, Label
from earmark.tables.study import Study
from earmark.tables.written import Tables

GALLERY = 3
"""Clips in a figure of concepts, as in Fig. 4.3."""


def draw(study: Study, front: Frontend, tables: Tables) -> Drawn:
    """Yield ``objects``, ``concepts``, ``layers``, ``cards``, ``learning`` and ``recovery`` of what is shown."""
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
        for method in (name for name in study.methods if name in first or _is_bound(name)):
            yield f"recovery_{method}_K{k}", _recovery(study, tables, method, k)


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


def _is_bound(method: str) -> bool:
    """Tell whether a method shows what could be had: at least, by chance, or at most, by someone who knows."""
    return named(method).control or named(method).fitted_to == "stems"
