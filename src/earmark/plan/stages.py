"""What each stage does, where it works and which part of the configuration it gets.

A rule, its subcommand and its module in ``earmark.stages`` share the stage's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan.config import SHARED
from earmark.plan.methods import Method, families, method_of
from earmark.plan.sentences import choices
from earmark.store.layout import STANDARD


@dataclass(frozen=True)
class Stage:
    """One step of the workflow.

    Attributes
    ----------
    what : str
        What it does, for the command line's help.
    sections : tuple of str
        Sections of a data set's block, or keys in them, that it uses: a change elsewhere does not make it stale.
    coordinates : tuple of str
        Options that it takes beside the data set.
    threaded : bool
        Whether it computes on `torch_threads` threads. The others are many: their jobs run side by side, on one
        thread each, because two jobs of two threads on two cores wait for each other at every operation (30 times
        slower, measured).
    side_by_side : bool
        Whether it starts `torch_threads` processes of one thread each; no result depends on how many.
    torch : bool
        Whether it needs torch; the others are spared the import.
    explains : bool
        Whether it runs the method's own code: then it gets the settings of the method's family too.
    beside : tuple of str
        Methods whose explainers it builds beside the job's own; their code and their families' settings are its too.
    expensive : tuple of str
        Sections that it uses too where the job's own method asks the model hundreds of times per clip.
    others : tuple of str
        Sections that it uses of the blocks of other data sets, those that ``evaluate.beside`` names.
    """

    what: str
    sections: tuple[str, ...]
    coordinates: tuple[str, ...] = ()
    threaded: bool = False
    side_by_side: bool = False
    torch: bool = True
    explains: bool = False
    beside: tuple[str, ...] = ()
    expensive: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def methods(self, own: str | None) -> list[Method]:
        """List the methods whose code it runs in a job of the method `own`, if it has one."""
        names = ([own] if self.explains and own is not None else []) + list(self.beside)
        named = [method_of(name) for name in names]
        return list(dict.fromkeys([*named, *(method_of(name) for one in named for name in one.beside)]))


CONCEPTS = ("split", "layer", "method", "k")

STAGES = {
    "generate": Stage(
        "generate the recordings of a data set that has none",
        ("source", "frontend"),
        ("processes",),
        side_by_side=True,
        torch=False,
    ),
    "ingest": Stage(
        "check, decode and index the recordings of a data set",
        (
            *("source", "root", "labels", "group", "groups", "folds", "expected", "clips_per_recording", "frontend"),
            *("model.network", "model.classes"),
        ),
        threaded=True,
    ),
    "gather": Stage("put the stems of recordings where these lie", ("root", "expected", "stems")),
    "borrow": Stage(
        "put what another program separated recordings into where these lie", ("root", "expected", "separated")
    ),
    "train": Stage(
        "train the classifier of a split",
        ("frontend", "model", "augment", "train"),
        ("split", "folds", "gpu"),
        threaded=True,
    ),
    "adopt": Stage(
        "check a trained network of the user's, and store it",
        ("frontend", "model"),
        ("split",),
    ),
    "predict": Stage("compute the logits of every clip", (), ("split", "gpu"), threaded=True),
    "choose": Stage(
        "choose the clips to explain, to score and to measure on",
        ("explain.classes", "explain.clips", "explain.gallery", "objects.clips", "composites.clips"),
        ("split",),
        torch=False,
    ),
    "collect": Stage(
        "collect activation and context vectors at a layer",
        ("lrp", "pairs", "explain.classes"),
        ("split", "layer", "gpu"),
    ),
    "fit": Stage(
        "fit a method to every class at a layer",
        ("lrp", "explain.classes"),
        (*CONCEPTS, "starts", "gpu"),
        explains=True,
    ),
    "learn": Stage(
        "train an interpreter of the model",
        (),
        ("split", "method", "gpu"),
        threaded=True,
        explains=True,
    ),
    "imitate": Stage(
        "compare the answers of an interpreter with the model's, and what these lose without its components",
        (),
        ("split", "method", "gpu"),
        explains=True,
    ),
    "explain": Stage(
        "compute a heatmap per clip and part",
        ("lrp", "explain.classes"),
        (*CONCEPTS, "gpu"),
        explains=True,
        expensive=("explain.expensive",),
    ),
    "picture": Stage("draw the heatmaps of the gallery's clips", ("frontend", "explain.classes"), CONCEPTS),
    "sonify": Stage(
        "render the concepts of the gallery's clips as sound", ("sonify", "frontend", "explain.classes"), CONCEPTS
    ),
    "track": Stage(
        "explain a recording of any length, and make its page",
        ("lrp", "sonify.percentile", "tracks", "explain.classes"),
        (*CONCEPTS, "track", "gpu"),
        explains=True,
        beside=(STANDARD,),
    ),
    "score": Stage("score heatmaps by patch flipping", ("evaluate.patch", "explain.classes"), (*CONCEPTS, "gpu")),
    "mask": Stage(
        "score explanations by what the model says when it hears them alone, and the clips without them",
        ("sonify.percentile", "sonify.inverse", "evaluate.budgets", "explain.classes"),
        (*CONCEPTS, "gpu"),
    ),
    "sanity": Stage(
        "compare maps with those of another network or class, of another seed and of clips that hardly differ",
        ("lrp", "evaluate.sanity_clips", "explain.classes"),
        (*CONCEPTS, "gpu"),
        explains=True,
    ),
    "outside": Stage(
        "score explanations of clips that are contaminated by another sound",
        ("lrp", "evaluate.budgets", "evaluate.outside_clips", "evaluate.outside_speech", "explain.classes"),
        (*CONCEPTS, "gpu"),
        explains=True,
        expensive=("explain.expensive",),
    ),
    "flip": Stage(
        "ask the model for clips some of whose samples are 0",
        ("evaluate.flips", "explain.classes"),
        ("split", "gpu"),
    ),
    "cross": Stage(
        "score every class with every class's subspaces",
        ("lrp", "evaluate.patch", "explain.classes"),
        (*CONCEPTS, "gpu"),
        explains=True,
    ),
    "ablate": Stage("measure the logit without each known sound object", ("explain.classes",), ("split", "gpu")),
    "objects": Stage(
        "measure where concepts lie among the known sound objects",
        ("lrp", "sonify.percentile", "sonify.inverse", "objects.sounds", "explain.classes"),
        (*CONCEPTS, "gpu"),
        explains=True,
        beside=(STANDARD,),
    ),
    "scale": Stage(
        "answer test clips whose frequency axis is scaled, and controls",
        ("evaluate.scaling",),
        ("split", "gpu"),
    ),
    "composites": Stage(
        "compare LRP rules on validation clips",
        ("lrp", "evaluate.patch", "composites.candidates", "explain.classes"),
        ("split", "gpu"),
    ),
    "stability": Stage(
        "measure how stable the subspaces are",
        ("lrp", "pairs", "stability.draws", "explain.classes"),
        (*CONCEPTS, "gpu"),
        explains=True,
    ),
    "agree": Stage(
        "measure which concepts other networks find too",
        ("lrp", "grid.methods", "networks", "explain.classes"),
        ("split", "layer", "k", "gpu"),
    ),
    "relate": Stage(
        "measure which concepts networks of other data sets find too",
        ("grid", "evaluate.beside", "explain.classes"),
        ("split", "gpu"),
        others=("lrp", "grid", "explain.classes"),
    ),
    "listen": Stage(
        "let another network guess what the model answered, from clips and from their explanations",
        (
            *("lrp", "sonify.percentile", "sonify.inverse", "evaluate.listener", "evaluate.listener_clips"),
            "explain.classes",
        ),
        ("split", "gpu"),
        explains=True,
        beside=(STANDARD,),
    ),
    "blind": Stage(
        "write clips and explanations as sounds and pictures for people to guess by, under names that tell nothing",
        ("lrp", "sonify.percentile", "sonify.inverse", "evaluate.listener_clips", "explain.classes"),
        ("split", "gpu"),
        explains=True,
        beside=(STANDARD,),
    ),
    "compare": Stage(
        "make the tables of a data set",
        ("grid", "evaluate", "composites", "stability", "cross_validation", "networks", "explain.classes"),
        ("split",),
        others=("grid", "explain.classes"),
    ),
    "draw": Stage(
        "draw the figures of a data set",
        (
            "grid",
            "evaluate.cross",
            "evaluate.masking",
            "evaluate.outside",
            "evaluate.beside",
            "evaluate.fidelity",
            "frontend",
            "cross_validation",
            "explain.classes",
        ),
        ("split",),
    ),
    "report": Stage(
        "make the page to listen to",
        ("grid", "sonify.methods", "tracks", "evaluate.masking", "evaluate.budgets", "explain.classes"),
        ("split", "beside"),
    ),
    "export": Stage(
        "make the kit of a listening test, in which people rate explanations under names that tell nothing",
        ("source", "licence", "listening_test", "explain.classes"),
        ("split",),
    ),
}
"""In the order of the workflow. `generate` also gets the section that bears its source's name."""


PLACES = ("root", "groups", "stems", "separated")
"""Keys that say where something lies, as `folds` may: what is there counts, by
:func:`earmark.plan.datasets.fingerprint` and that of :mod:`earmark.plan.stems`."""

PER_DATASET = ("collect", "fit", "explain", "picture", "sonify", "track")
"""Stages with a rule per data set, which bears both names: ``fit_synthetic``."""


def stage_config(
    config: Mapping[str, Any],
    dataset: str,
    stage: str,
    method: str | None = None,
    track: Mapping[str, Any] | None = None,
) -> str:
    """Return what a stage, and the method that it runs, get of a validated configuration, as JSON; of tracks one."""
    found = _stage_sections(config, dataset, stage, method)
    return json.dumps(found if track is None else {**found, "tracks": [track]})


def compared_config(config: Mapping[str, Any], dataset: str, stage: str) -> str:
    """Return what of :func:`stage_config` a stage's results depend on: all but where recordings and tables lie."""
    sections = _stage_sections(config, dataset, stage, None)
    places = {*PLACES, "folds"} if isinstance(sections.get("folds"), str) else set(PLACES)
    return json.dumps({key: value for key, value in sections.items() if key not in places})


def _stage_sections(config: Mapping[str, Any], dataset: str, stage: str, method: str | None) -> dict[str, Any]:
    block = config["datasets"][dataset]
    shared = {key: config[key] for key in SHARED} | {"torch_threads": 1}
    if STAGES[stage].threaded:
        shared["torch_threads"] = config["torch_threads"]
    names = list(STAGES[stage].sections)
    if stage == "generate":
        names.append(block["source"])
    used_families = dict.fromkeys(one.family for one in STAGES[stage].methods(method))
    names += [f"explainers.{family}" for family in used_families if families()[family].settings]
    if method is not None and method_of(method).expensive:
        names += STAGES[stage].expensive
    used = _sections(block, names)
    others = block["evaluate"]["beside"] if STAGES[stage].others else ()
    if others:
        used["others"] = {other: _sections(config["datasets"][other], STAGES[stage].others) for other in others}
    return {**shared, **used}


def _sections(block: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Take some sections of a data set's block, or keys in them."""
    used: dict[str, Any] = {}
    for name in names:
        section, _, key = name.partition(".")
        used[section] = {**used.get(section, {}), key: block[section][key]} if key else block[section]
    return used


def rules_of(datasets: Iterable[str]) -> dict[str, list[str]]:
    """Map each stage to its rules: one of its name, or one per data set."""
    datasets = list(datasets)
    return {stage: [f"{stage}_{name}" for name in datasets] if stage in PER_DATASET else [stage] for stage in STAGES}


def named_rules(rules: Mapping[str, list[str]], option: str, names: Iterable[str]) -> set[str]:
    """Replace stages by their rules among what an option of Snakemake names; paths and rules stay as they are.

    Parameters
    ----------
    rules : mapping
        The rules of each stage, as :func:`rules_of` lists them.
    option : str
        The option, for the sentence that tells a mistake.
    names : iterable of str

    Raises
    ------
    EarmarkError
        If a stage has no such rule, or none at all.
    """
    found: set[str] = set()
    for name in names:
        stage = name.partition("_")[0]
        if stage not in rules:
            found.add(name)
        elif not rules[stage]:
            raise EarmarkError(f"{option} {name}: there is no data set with recordings that {stage} works on")
        elif name == stage:
            found.update(rules[stage])
        elif name in rules[stage]:
            found.add(name)
        else:
            raise EarmarkError(f"{option}: there is no rule {name}{choices(name, rules[stage])}")
    return found


def threads(config: Mapping[str, Any], stage: str) -> int:
    """Return how many threads, its processes' together, a stage computes on."""
    several = STAGES[stage].threaded or STAGES[stage].side_by_side
    return config["torch_threads"] if several else 1
