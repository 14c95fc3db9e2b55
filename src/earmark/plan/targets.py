"""Which paths below results/ there are, and a sentence for each that cannot be made."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, NoReturn

from earmark.errors import EarmarkError
from earmark.plan import stems, tracks
from earmark.plan.config import require_root
from earmark.plan.datasets import (
    check_beside,
    check_listener,
    check_outside,
    check_scaling,
    explained,
    folds,
    networks,
    splits,
)
from earmark.plan.generated import has_separated, has_stems, is_generated
from earmark.plan.methods import (
    adopts,
    channels,
    check_k,
    check_method,
    divisors,
    hears_samples,
    layers_of,
    method_of,
    methods,
    spelled,
)
from earmark.plan.sentences import choices
from earmark.plan.stages import STAGES
from earmark.store.layout import AGREEMENT, INPUT_LAYER, LEARNED, TRACKS

DATASET_FILES = (
    "manifest.csv",
    "classes.csv",
    "clips.npy",
    "clips.csv",
    "logmel.safetensors",
    "figures",
    "figures.csv",
)

GENERATED_FILES = ("generated.csv", "generated")

LISTENING_FILES = ("listening-test", "listening-test.csv")

STEM_FILES = ("stems.npy", "truth.json")

SEPARATED_FILES = ("separated.npy", "separated.json")

TABLES = (
    "flipping.csv",
    "flipping.md",
    "model.csv",
    "cross_class.csv",
    "composites.csv",
    "composites_curves.csv",
    "conservation.csv",
    "concepts.csv",
    "concepts.md",
    "ground_truth.csv",
    "ground_truth.md",
    "recovery.csv",
    "networks.csv",
    "networks.md",
    "agreement.csv",
    "agreement.md",
    "stability.csv",
    "stability.md",
    "masking.csv",
    "masking.md",
    "cost.csv",
    "cost.md",
    "interpreters.csv",
    "interpreters.md",
    "sanity.csv",
    "sanity.md",
    "sample_flipping.csv",
    "sample_flipping.md",
    "frequency.csv",
    "frequency.md",
    "scaling.csv",
    "scaling.md",
    "beside.csv",
    "beside.md",
    "listening.csv",
    "listening.md",
    "outside.csv",
    "outside.md",
    "fidelity.csv",
    "fidelity.md",
    "components.csv",
    "components.md",
    "components_spectra.csv",
)

REPORT_FILES = ("index.html", "files")

TRAINED_FILES = ("model.safetensors", "history.csv")

ADOPTED_FILES = ("model.safetensors", "layers.csv")

SPLIT_FILES = (
    "predictions.csv",
    "metrics.json",
    "confusion.csv",
    "chosen.csv",
)

BESIDE_FILES = ("beside.csv",)
LISTENER_FILES = ("listened.csv",)

STIMULI_FILES = ("stimuli", "key.csv")

COMPOSITES_FILES = ("composites.csv", "composites_curves.csv")

FLIPPED_FILES = ("flipped.csv",)
"""What else there is of a split where the model hears samples."""
SCALING_FILES = ("scaled.csv", "scaled_sounds.csv", "scaled")

LEARNED_FILES = ("model.safetensors", "history.csv", "validation.csv", "cost.csv")

IMITATED_FILES = ("imitated.csv", "removed.csv", "components.csv", "spectra.csv")
"""Of a method that answers by itself, beside what it learned."""

HEATMAP_FILES = ("heatmaps.safetensors", "heatmaps.png")

CLASS_FILES = (*HEATMAP_FILES, "sounds")

FITTED_FILES = ("subspaces.safetensors", "fit.json", *CLASS_FILES)

MASKING_FILES = ("masking.csv", "masking_concepts.csv", "truth.csv")

MASKED_FILES = ("masked", "masked.csv")
"""Sounds that the model heard, and the list of them."""

OUTSIDE_FILES = ("outside.csv", "outside_clips.csv")

METHOD_FILES = ("scores.csv", "sounds.csv", *MASKING_FILES, *MASKED_FILES, "sanity.csv", *OUTSIDE_FILES, "cost.csv")

OWN_FILES = ("sounds.csv", "cost.csv")
"""Of a method that explains a network of its own, which the model's answers say nothing of."""

CROSS_FILES = ("cross_class.csv", "cross_class_clips.csv")

STABILITY_FILES = ("stability.csv", "held_out.csv")

STEM_SPLIT_FILES = ("ablation.csv",)

STEM_METHOD_FILES = ("objects.csv",)
"""What else there is of a split, and of a method, where the sound objects are known."""


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
    if stage in STAGES:
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
    check_beside(config, dataset)
    block = config["datasets"][dataset]
    trained = [] if adopts(block) else splits(folds(config, dataset))
    folders = list(dict.fromkeys([*trained, *networks(block)]))
    stems.check(block)
    check_scaling(config, dataset)
    check_listener(config, dataset)
    check_outside(config, dataset)
    tracks.check(config, dataset)
    files = DATASET_FILES + (GENERATED_FILES if is_generated(block) else ())
    files += LISTENING_FILES
    files += (STEM_FILES if has_stems(block) else ()) + (SEPARATED_FILES if has_separated(block) else ())
    if rest in [[name] for name in files]:
        if rest[0] in LISTENING_FILES:
            _check_listening_test(path, block)
        return
    for name, made in (("tables", TABLES), ("report", REPORT_FILES)):
        if rest[:1] == [name]:
            if rest[1:] not in [[file] for file in made]:
                _reject(path, rest[1:], made)
            return
    if not rest or rest[0] not in folders:
        _reject(path, rest, files, ("tables", "report", *folders))
    _check_below_split(path, rest[0], rest[1:], block, explained(config, dataset))


def _check_listening_test(path: str, block: Mapping[str, Any]) -> None:
    """Check that people have explanations to rate."""
    if not block["listening_test"]["methods"]:
        raise EarmarkError(f"{path}: listening_test.methods must name the methods whose explanations are rated")


def _check_below_split(path: str, split: str, rest: list[str], block: Mapping[str, Any], classes: list[str]) -> None:
    """Check what follows ``results/{dataset}/{split}/``."""
    made = ADOPTED_FILES if adopts(block) else TRAINED_FILES
    allowed = made + SPLIT_FILES + COMPOSITES_FILES + (STEM_SPLIT_FILES if has_stems(block) else ())
    allowed += FLIPPED_FILES if hears_samples(block) else ()
    scaled = bool(block["evaluate"]["scaling"])
    allowed += SCALING_FILES if scaled else ()
    if rest in [[name] for name in BESIDE_FILES] and (split != "main" or not block["evaluate"]["beside"]):
        raise EarmarkError(
            f"{path}: networks of other data sets are compared for main, where evaluate.beside names them"
        )
    allowed += BESIDE_FILES if block["evaluate"]["beside"] else ()
    listened = block["evaluate"]["listener"] is not None
    allowed += STIMULI_FILES + (LISTENER_FILES if split == "main" and listened else ())
    if rest == list(LISTENER_FILES) and not listened:
        raise EarmarkError(f"{path}: evaluate.listener must name the data set whose network listens")
    scores = METHOD_FILES + (STEM_METHOD_FILES if has_stems(block) else ())
    if rest in [[name] for name in allowed]:
        return
    if not scaled and rest in [[name] for name in SCALING_FILES]:
        raise EarmarkError(f"{path}: clips are scaled where evaluate.scaling names their classes, each with its factor")
    trained = spelled(methods(lambda one: one.learns))
    if len(rest) < 2 or rest[0] in allowed:
        folders = (INPUT_LAYER, *layers_of(block), *([LEARNED] if trained else []))
        _reject(path, rest, allowed, folders)
    layer, method, *below = rest
    if layer == LEARNED:
        check_method(path, method, block, lambda one: one.learns, "learns nothing of the model itself")
        learned = LEARNED_FILES + (IMITATED_FILES if method_of(method).answers else ())
        if below not in [[name] for name in learned]:
            _reject(path, below, learned)
        return
    if layer == INPUT_LAYER:
        check_method(path, method, block, lambda one: not one.layered, "works at a hidden layer")
        asked = method_of(method)
        scores = OWN_FILES if asked.own_network else scores
        counts = asked.counts(counted(None, below))
        explained = _tracks(path, split, method, below, block)
        _check_method_folder(path, below, classes, counts, scores, CLASS_FILES, explained)
        return
    width = channels(path, layer, block)
    if method == "pairs":
        files = [f"{cls}.safetensors" for cls in classes]
        if below not in [[name] for name in files]:
            _reject(path, below, files)
        return
    if method == AGREEMENT:
        if split != "main" or not networks(block)[1:]:
            raise EarmarkError(f"{path}: networks are compared for main, where `networks` asks for several")
        files = [f"K~{k}.csv" for k in counted(width, below)]
        if below not in [[name] for name in files]:
            _reject(path, below, files)
        return
    what = f"knows no layer: it lies under {INPUT_LAYER}"
    check_method(path, method, block, lambda one: one.layered, what, ["pairs", AGREEMENT])
    count = re.fullmatch(r"K~([1-9]\d*)", below[0]) if below else None
    if count:
        check_k(path, int(count[1]), layer, width)
    asked = method_of(method)
    crossed, refitted = CROSS_FILES if asked.has_basis else (), STABILITY_FILES if asked.refits else ()
    of_class = FITTED_FILES if asked.has_basis else CLASS_FILES
    counts = asked.counts(counted(width, below))
    explained = _tracks(path, split, method, below, block)
    _check_method_folder(path, below, classes, counts, scores + crossed + refitted, of_class, explained)


def _tracks(path: str, split: str, method: str, below: list[str], block: Mapping[str, Any]) -> list[str]:
    """List the tracks that a method explains; `below` is what follows it in the path.

    Raises
    ------
    EarmarkError
        If the path leads below ``tracks`` and there are none.
    """
    known = list(tracks.named(block))
    explains = split == "main" and tracks.explains(method_of(method))
    if below[1:2] == [TRACKS]:
        if not explains:
            why = f"{method} {tracks.WHY_NOT}" if split == "main" else "tracks are explained for main"
            raise EarmarkError(f"{path}: {why}")
        if not known:
            raise EarmarkError(f"{path}: the data set has no tracks: list recordings in `tracks`, or use make track")
    return known if explains else []


def counted(width: int | None, below: list[str]) -> list[int]:
    """List the numbers of concepts that a layer allows; that which a path names, where only the model knows."""
    if width is not None:
        return divisors(width)
    named = re.match(r"K~([1-9]\d*)(?:\.csv)?$", below[0]) if below else None
    return [int(named[1])] if named else [1]


def _check_method_folder(
    path: str,
    rest: list[str],
    classes: list[str],
    counts: list[int],
    method_files: tuple[str, ...],
    concept_files: tuple[str, ...],
    tracks: list[str],
) -> None:
    """Check what follows the method: ``K~k/file``, ``K~k/class/file`` or ``K~k/tracks/track``."""
    folders = [f"K~{count}" for count in counts]
    if not rest or rest[0] not in folders:
        _reject(path, rest, (), folders)
    if rest[1:] in [[name] for name in method_files]:
        return
    if tracks and rest[1:2] == [TRACKS]:
        if rest[2:] not in [[name] for name in tracks]:
            _reject(path, rest[2:], tracks)
        return
    if not rest[1:] or rest[1] not in classes:
        _reject(path, rest[1:], method_files, [*classes, *([TRACKS] if tracks else [])])
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
