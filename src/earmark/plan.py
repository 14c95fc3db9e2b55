"""What a configuration asks for: classes, splits, each stage's sections, and which paths under results/ there are.

Read while the workflow is being parsed, hence without NumPy or torch.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from earmark import folder
from earmark.band_styles import STYLES
from earmark.config import (
    FITTED_METHOD,
    METHODS,
    ORACLE,
    SHARED,
    SUBSPACE_METHOD,
    channels,
    check_k,
    check_oracle,
    choices,
    divisors,
    has_stems,
    require_root,
)
from earmark.contents import digests
from earmark.errors import EarmarkError
from earmark.layout import INPUT_LAYER, Layout, composed, slugs

SECTIONS: dict[str, tuple[str, ...]] = {
    "generate": ("source", "frontend"),
    "ingest": ("source", "root", "group", "groups", "folds", "expected", "clips_per_recording", "frontend"),
    "train": ("frontend", "model", "augment", "train"),
    "collect": ("lrp", "pairs"),
    "fit": ("fit",),
    "oracle": ("lrp", "frontend", "oracle"),
    "explain": ("lrp", "explain", "frontend"),
    "sonify": ("sonify", "frontend"),
    "score": ("evaluate.patch",),
    "cross": ("lrp", "evaluate.patch"),
    "ablate": ("frontend", "objects"),
    "objects": ("lrp", "frontend", "sonify.percentile", "sonify.inverse", "objects"),
    "composites": ("lrp", "evaluate.patch", "evaluate.bootstrap", "composites"),
    "stability": ("lrp", "pairs", "fit", "evaluate.bootstrap", "stability.draws", "stability.splits"),
    "compare": ("grid", "evaluate", "composites", "frontend", "stability", "cross_validation"),
}
"""The sections of a data set's block, or keys in them, that a stage uses: a change elsewhere does not make it stale.
`generate` also takes the section that bears its source's name."""

PLACES = ("root", "groups")
"""Keys that say where something lies: what is there counts, by :func:`fingerprint`."""

PER_DATASET = ("collect", "fit", "oracle", "explain", "sonify")
"""Stages with a rule per data set, which bears both names: ``fit_synthetic``."""

THREADED = ("ingest", "train")
"""Stages that compute on `torch_threads` threads. The others are many: their jobs run side by side, on one thread each,
because two jobs of two threads on two cores wait for each other at every operation (30 times slower, measured)."""

SIDE_BY_SIDE = ("generate",)
"""Stages that start `torch_threads` processes of one thread each; no result depends on how many."""

GENERATED_CLASSES = {"synthetic": ("class1", "class2"), "band": tuple(STYLES)}
"""Classes of each source whose recordings are generated, in the order of the model's logits."""

INPUT_METHOD = re.compile(r"standard|noise~\d+")
"""Heatmaps without subspaces, filed under the layer ``input``."""

INPUT_METHODS = ("standard", "noise~0")
"""Those that every comparison holds beside the grid."""

RESULTS = Path("results")
"""The folder of results, below that of the project."""

DATASET_FILES = ("manifest.csv", "classes.csv", "clips.npy", "clips.csv", "logmel.safetensors", "figures")
GENERATED_FILES = ("generated.csv", "stems.npy", "truth.json", "generated")
TABLES = (
    "flipping.csv",
    "flipping.md",
    "model.csv",
    "cross_class.csv",
    "composites.csv",
    "conservation.csv",
    "ground_truth.csv",
    "ground_truth.md",
    "stability.csv",
    "stability.md",
)
SPLIT_FILES = ("model.safetensors", "metrics.json", "history.csv", "confusion.csv")
COMPOSITES_FILES = ("composites.csv", "composites_curves.csv")
HEATMAP_FILES = ("heatmaps.safetensors", "heatmaps.png")
CONCEPT_FILES = ("subspaces.safetensors", "fit.json", *HEATMAP_FILES, "sounds")
METHOD_FILES = ("scores.csv", "cross_class.csv", "cross_class_clips.csv")
STABILITY_FILES = ("stability.csv", "held_out.csv")
STEM_SPLIT_FILES = ("ablation.csv",)
STEM_METHOD_FILES = ("objects.csv",)
"""What else there is of a split, and of a method, where the sound objects are known."""


def stage_config(config: Mapping[str, Any], dataset: str, stage: str) -> str:
    """Return what a stage gets of a validated configuration, as JSON."""
    return json.dumps(_stage_sections(config, dataset, stage))


def _stage_sections(config: Mapping[str, Any], dataset: str, stage: str) -> dict[str, Any]:
    block = config["datasets"][dataset]
    shared = {key: config[key] for key in SHARED} | {"torch_threads": 1}
    if stage in THREADED:
        shared["torch_threads"] = config["torch_threads"]
    used: dict[str, Any] = {}
    for name in (*SECTIONS[stage], *([block["source"]] if stage == "generate" else [])):
        section, _, key = name.partition(".")
        used[section] = {**used.get(section, {}), key: block[section][key]} if key else block[section]
    return {**shared, **used}


def rules_of(config: Mapping[str, Any], datasets: Iterable[str]) -> dict[str, list[str]]:
    """Map each stage to its rules: one of its name, or those of the given data sets that it works on."""
    datasets = list(datasets)
    generated = [name for name in datasets if has_stems(config["datasets"][name])]
    return {
        stage: [f"{stage}_{name}" for name in (generated if stage == ORACLE else datasets)]
        if stage in PER_DATASET
        else [stage]
        for stage in SECTIONS
    }


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
    return config["torch_threads"] if stage in THREADED + SIDE_BY_SIDE else 1


def class_slugs(block: Mapping[str, Any]) -> list[str]:
    """List a data set's classes as paths write them, in the order of the model's logits.

    Parameters
    ----------
    block : mapping
        The data set's validated block.

    Raises
    ------
    EarmarkError
        If the folder of recordings is missing or has no classes.
    """
    if has_stems(block):
        return list(GENERATED_CLASSES[block["source"]])
    return list(slugs(map(composed, folder.classes_in(block["root"], block["expected"]["classes"]))).values())


def known_classes(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Map every data set whose recordings are there to its classes; the others are left out."""
    known = {}
    for name, block in config["datasets"].items():
        with contextlib.suppress(EarmarkError):
            known[name] = class_slugs(block)
    return known


def compared_config(config: Mapping[str, Any], dataset: str, stage: str) -> str:
    """Return what of :func:`stage_config` a stage's results depend on: all but where recordings and tables lie."""
    return json.dumps(
        {key: value for key, value in _stage_sections(config, dataset, stage).items() if key not in PLACES}
    )


def fingerprint(block: Mapping[str, Any], memory: Path | None = None) -> str:
    """Digest a folder's recordings and their table of groups, wherever they lie; empty for generated data.

    Parameters
    ----------
    block : mapping
        The data set's validated block.
    memory : Path, optional
        As for :func:`earmark.contents.digests`.
    """
    if has_stems(block):
        return ""
    groups = None if block["groups"] is None else folder.table_of_groups(block["groups"])
    root, found = folder.home(block["root"], block["expected"]["classes"]), _listing(block)
    usable = [path for path, size in found if folder.is_there(path, size)]
    contents = dict(zip(usable, digests([root / path for path in usable], memory), strict=True))
    told = [[path, contents.get(path)] for path, _ in found]
    return hashlib.sha256(json.dumps([told, groups]).encode()).hexdigest()


def splits(n_folds: int) -> list[str]:
    """List the splits that a plain call trains: ``main``, and one per fold of a cross-validation."""
    return ["main", *(f"cv{fold}" for fold in range(n_folds))]


def planned_folds(config: Mapping[str, Any], dataset: str) -> int:
    """Return how many folds a plain call trains a network for; 0 without ``cross_validation``."""
    return folds(config, dataset) if config["datasets"][dataset]["cross_validation"] else 0


def check_splits(name: str, block: Mapping[str, Any]) -> None:
    """Raise unless a data set has the splits whose subspaces its own are to be compared with.

    Raises
    ------
    EarmarkError
        If there are fewer folds, or as :func:`fold_count`.
    """
    known = splits(fold_count(block))
    for split in block["stability"]["splits"]:
        if split not in known:
            raise EarmarkError(
                f"config: datasets.{name}.stability.splits names {split}, which is no split{choices(split, known)}"
            )


def fold_count(block: Mapping[str, Any]) -> int:
    """Count the folds of a data set, as far as the names of its recordings tell.

    Raises
    ------
    EarmarkError
        If the folder of recordings is missing, lacks those of a class, or allows fewer folds than are asked for, or
        than training needs.
    """
    if block["source"] == "synthetic":
        return folder.folds_of(folder.MOST_FOLDS, block["folds"])
    if block["source"] == "band":
        return folder.folds_of(min(block["band"]["tracks_per_style"], block["band"]["artists"]), block["folds"])
    paths = [path for path, size in _listing(block) if folder.is_there(path, size)]
    return folder.fold_count(folder.members(paths, block), block["folds"])


def folds(config: Mapping[str, Any], dataset: str) -> int:
    """Count the folds that a data set was divided into or, before it has been ingested, :func:`fold_count`.

    Recordings that cannot be used or are copies of others, and groups that do not divide, can leave fewer folds than
    names promise.
    """
    block = config["datasets"][dataset]
    return fold_count(block) if has_stems(block) else _folds_made(config, dataset) or fold_count(block)


def _folds_made(config: Mapping[str, Any], dataset: str) -> int | None:
    """Count the folds that a folder's recordings were divided into; None if they were not, or by other settings."""
    layout = Layout(RESULTS, dataset)
    try:
        made = json.loads(Path(f"{layout.clip_index}.json").read_text(encoding="utf-8"))["provenance"]["config"]
        recordings = {row["path"] for row in _rows(layout.manifest) if row["reason"] != "missing"}
        found = 1 + max(int(row["fold"]) for row in _rows(layout.clip_index))
    except (OSError, ValueError, KeyError):  # there is none, or another version's
        return None
    there = {path for path, _ in _listing(config["datasets"][dataset])}
    wanted = json.loads(compared_config(config, dataset, "ingest"))
    same = recordings == there and {key: made.get(key) for key in wanted} == wanted
    return found if same else None


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _listing(block: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    return folder.listing(block["root"], block["expected"]["classes"])


def check_configuration_file(path: str, base: str) -> None:
    """Raise for a configuration file below results/ of the project's folder `base`, unless it is YAML: no result is.

    Raises
    ------
    EarmarkError
        ``--configfile`` takes all that follows it, up to the next option.
    """
    inside = _below_results(path, base)
    if inside and not inside.endswith((".yaml", ".yml")):
        raise EarmarkError(
            f"--configfile takes {inside} for a configuration file, as it takes all that follows it: "
            "name what you want before --configfile"
        )


def check_target(config: Mapping[str, Any], target: str, base: str) -> None:
    """Check what is asked for: a result by :func:`check_path`, and how it is named.

    Raises
    ------
    EarmarkError
        If it cannot be made, is not named by its path in the project's folder `base`, or is a stage.
    """
    inside = _below_results(target, base)
    if inside:
        check_path(config, inside)
        if posixpath.isabs(target):
            raise EarmarkError(f"{target}: ask for it by its path in the project's folder: {inside}")
    stage = target.partition("_")[0]
    if stage in SECTIONS:
        raise EarmarkError(
            f"{target}: a stage makes many results; ask for one by its path, results/..., "
            f"or for all that is made up to it: --until {stage}"
        )


def _below_results(path: str, base: str) -> str | None:
    """Return a path relative to `base` if it lies below results/, or is that folder."""
    inside = posixpath.relpath(path, base) if posixpath.isabs(path) else posixpath.normpath(path)
    return inside if inside.split("/")[0] == "results" else None


def check_path(config: Mapping[str, Any], path: str) -> None:
    """Raise unless a path under results/ can be made.

    Parameters
    ----------
    config : mapping
        The validated configuration. Layers, methods and K outside its grid are welcome as long as
        the model has them.
    path : str
        A path that begins with ``results/``.

    Raises
    ------
    EarmarkError
        With the allowed names in the place of the first one that is wrong.
    """
    parts = PurePosixPath(path).parts[1:]
    if not parts:
        _reject(path, [], (), config["datasets"])
    dataset, *rest = parts
    if dataset not in config["datasets"]:
        raise EarmarkError(f"{path}: there is no data set {dataset}{choices(dataset, config['datasets'])}")
    require_root(config, dataset)
    block = config["datasets"][dataset]
    folders = splits(folds(config, dataset))
    files = DATASET_FILES + (GENERATED_FILES if has_stems(block) else ())
    if rest in [[name] for name in files]:
        return
    if rest[:1] == ["tables"]:
        if rest[1:] not in [[name] for name in TABLES]:
            _reject(path, rest[1:], TABLES)
        return
    if not rest or rest[0] not in folders:
        _reject(path, rest, files, ("tables", *folders))
    _check_below_split(path, rest[1:], block)


def _check_below_split(path: str, rest: list[str], block: Mapping[str, Any]) -> None:
    """Check what follows ``results/{dataset}/{split}/``."""
    allowed = SPLIT_FILES + COMPOSITES_FILES + (STEM_SPLIT_FILES if has_stems(block) else ())
    scores = METHOD_FILES + (STEM_METHOD_FILES if has_stems(block) else ())
    if rest in [[name] for name in allowed]:
        return
    if len(rest) < 2:
        layers = [f"conv{number}" for number, _ in enumerate(block["model"]["filters"], start=1)]
        _reject(path, rest, allowed, (INPUT_LAYER, *layers))
    classes = class_slugs(block)
    layer, method, *below = rest
    if layer == INPUT_LAYER:
        if not INPUT_METHOD.fullmatch(method):
            raise EarmarkError(f"{path}: {INPUT_LAYER} has no {method}{choices(method, ('standard', 'noise~SEED'))}")
        _check_method_folder(path, below, classes, [1], (scores[0], *scores[len(METHOD_FILES) :]), HEATMAP_FILES)
        return
    width = channels(path, layer, block["model"]["filters"])
    if method == "pairs":
        files = [f"{cls}.safetensors" for cls in classes]
        if below not in [[name] for name in files]:
            _reject(path, below, files)
        return
    if not SUBSPACE_METHOD.fullmatch(method):
        raise EarmarkError(f"{path}: there is no method {method}{choices(method, (*METHODS, 'pairs'))}")
    check_oracle(path, method, block)
    count = re.fullmatch(r"K~([1-9]\d*)", below[0]) if below else None
    if count:
        check_k(path, int(count[1]), layer, width)
    fitted = STABILITY_FILES if FITTED_METHOD.fullmatch(method) else ()
    _check_method_folder(path, below, classes, divisors(width), scores + fitted, CONCEPT_FILES)


def _check_method_folder(
    path: str,
    rest: list[str],
    classes: list[str],
    counts: list[int],
    method_files: tuple[str, ...],
    concept_files: tuple[str, ...],
) -> None:
    """Check what follows the method: ``K~k/file`` or ``K~k/class/file``."""
    folders = [f"K~{count}" for count in counts]
    if not rest or rest[0] not in folders:
        _reject(path, rest, (), folders)
    if rest[1:] in [[name] for name in method_files]:
        return
    if not rest[1:] or rest[1] not in classes:
        _reject(path, rest[1:], method_files, classes)
    if rest[2:] not in [[name] for name in concept_files]:
        _reject(path, rest[2:], concept_files)


def _reject(path: str, rest: list[str], files: Iterable[str], folders: Iterable[str] = ()) -> NoReturn:
    """Raise for a path whose next name, the first of `rest`, is wrong, lacks, or is no folder."""
    files, folders = list(files), list(folders)
    names = [*files, *(f"{name}/" for name in folders)]
    if not rest or rest[0] in folders:
        raise EarmarkError(f"{path}: this is a folder of several results; name one below it: {', '.join(names)}")
    if rest[0] in files:
        raise EarmarkError(f"{path}: {rest[0]} is made as a whole; ask for it, without what follows")
    raise EarmarkError(f"{path}: there is no {rest[0]}{choices(rest[0], names)}")
