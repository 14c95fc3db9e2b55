"""The configuration: what may stand in it, what it means, and one clear sentence for every mistake.

``config.schema.yaml`` beside this module is where keys, types and defaults are written down; those of explainers
stand in the files beside their modules.
Read while the workflow is being parsed, hence without NumPy or torch.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from earmark.errors import EarmarkError
from earmark.plan.architectures import architecture_of, architectures, brought
from earmark.plan.generated import is_generated
from earmark.plan.methods import (
    LOADER,
    Method,
    adopts,
    by_lot,
    channels,
    check_k,
    check_method,
    families,
    hears_samples,
    in_common,
    layers_of,
    method_of,
    methods,
    spelled,
)
from earmark.plan.sentences import choices, dotted, sentence, shown
from earmark.store.layout import NO_LAYERS, STANDARD, composed

SHARED = ("seed", "torch_threads")
"""Keys of the whole configuration that every stage gets beside its sections of the data set's block."""

CONFIGURED, CHANCE = "configured", "random"
"""What `composites` calls the rules of ``lrp.rules`` and patches flipped in random order, beside the candidates."""


OF_THE_MODEL = (
    lambda method: not method.own_network,
    "explains a network of its own, not the one that is explained here: name it in evaluate.fidelity alone",
)
"""Which methods are compared with all others, and why not another."""

KINDS: dict[str, tuple[Callable[[Method], bool], str]] = {
    "grid.methods": OF_THE_MODEL,
    "sonify.methods": (lambda method: method.parts, "has no concepts"),
    "evaluate.cross": (lambda method: method.has_basis, "has no subspaces of every class"),
    "evaluate.masking": OF_THE_MODEL,
    "evaluate.sanity": OF_THE_MODEL,
    "evaluate.outside": OF_THE_MODEL,
    "evaluate.fidelity": (lambda method: method.answers, "gives no answers of its own"),
    "listening_test.methods": OF_THE_MODEL,
    "stability.methods": (lambda method: method.refits, "is not fitted to clips alone"),
}
"""Keys that list methods: which may stand there, the schema's ``examples`` of them, and why not another."""


AUTO = "auto"
"""Stands for the LRP rules that fit a network, layer by layer."""

OCCLUSION = "occlusion"
"""Stands for no LRP rules: the standard explanation is by occlusion, for networks that LRP cannot look into."""

RATED = 8
"""Methods that a listening test compares at most: with the clip, the rest and two explanations to compare with, no more
than 12 sounds (ITU-R BS.1534-3)."""

CROSSED = 2
"""Methods of a grid that classes are crossed by, besides a control, where `evaluate.cross` leaves it to the grid."""


WIDEST = {"hamming": 1.0, "hann": 0.75}
"""Largest hop, as a part of the window, whose frames still give every sample back."""


SEEING = ("logmel", "stft")
"""Front ends of networks that can be shown a picture of sound."""


@functools.cache
def load_schema() -> dict[str, Any]:
    """Read the JSON Schema (draft 2020-12) of the configuration; the result is shared, not to be changed."""
    text = resources.files("earmark.plan").joinpath("config.schema.yaml").read_text(encoding="utf-8")
    schema = yaml.load(text, LOADER)
    schema["$defs"]["dataset"]["properties"]["explainers"]["properties"] = {
        family.name: {
            "description": family.says,
            "type": "object",
            "additionalProperties": False,
            "properties": dict(family.settings),
        }
        for family in families().values()
        if family.settings
    }
    schema["$defs"]["dataset"]["properties"]["model"]["properties"]["architecture"]["enum"] = list(architectures())
    for key, (which, _) in KINDS.items():
        section, name = key.split(".")
        properties = schema["$defs"]["dataset"]["properties"][section]["properties"]
        properties[name]["examples"] = spelled(methods(which))
    return schema


def validate(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check a whole configuration and complete it.

    Parameters
    ----------
    config : mapping
        As read from ``config.yaml``, with whatever was merged over it.

    Returns
    -------
    dict
        The configuration with every ``extends`` resolved and every default filled in.

    Raises
    ------
    EarmarkError
        If a key is unknown, lacks, or has a value of the wrong type or without meaning.
    """
    schema = load_schema()
    _check(config, schema)
    full = _filled(config, schema)
    full["datasets"] = {
        name: _filled(_resolved(config["datasets"], name), schema["$defs"]["dataset"]) for name in config["datasets"]
    }
    for name, block in full["datasets"].items():
        own = {key: value for key, value in config["datasets"][name].items() if key != "extends"}
        _check_fits(own, block, schema["$defs"]["dataset"], ("datasets", name))
        _read_classes(f"datasets.{name}", block)
        _check_methods(f"datasets.{name}", block)
        _choose(block)
        _check_block(f"datasets.{name}", block)
    for name in full["datasets"]:
        _check_beside(name, full["datasets"])
        _check_listener(name, full["datasets"])
        _check_outside(name, full["datasets"])
    for name in full["run"]:
        if name not in full["datasets"]:
            raise EarmarkError(f"config: run names {name}, which is no data set{choices(name, full['datasets'])}")
        require_root(full, name)
    return full


def read(paths: Sequence[Path]) -> dict[str, Any]:
    """Read a whole configuration from files, each merged over those before it, as Snakemake does; see :func:`validate`.

    Raises
    ------
    EarmarkError
        As :func:`validate`; also if a file cannot be read, or is no YAML.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise EarmarkError(f"the configuration file '{path}' cannot be read: {error}") from error
        merged = _merged(merged, found or {})
    return validate(merged)


def fill(block: Mapping[str, Any]) -> dict[str, Any]:
    """Check one data set's block by itself and fill in every default.

    Parameters
    ----------
    block : mapping
        A raw block, or what a stage gets: some of its sections with ``seed`` and ``torch_threads``.

    Returns
    -------
    dict
        Every section with every key.

    Raises
    ------
    EarmarkError
        If a key is unknown or a value has the wrong type.
    """
    if "extends" in block:
        raise EarmarkError("config: extends can only be resolved within a whole configuration")
    schema = load_schema()
    shared = {key: block[key] for key in SHARED if key in block}
    own = {key: value for key, value in block.items() if key not in SHARED}
    _check(own, {**schema["$defs"]["dataset"], "$defs": schema["$defs"]})
    full = _filled(_merged(brought(own), own), schema["$defs"]["dataset"])
    _check_fits(own, full, schema["$defs"]["dataset"])
    _choose(full)
    return {**shared, **full}


def require_root(config: Mapping[str, Any], name: str) -> None:
    """Raise unless the data set `name` of a validated configuration knows where its recordings are.

    Raises
    ------
    EarmarkError
        If it is a folder data set without ``root``.
    """
    block = config["datasets"][name]
    if block["source"] == "folder" and block["root"] is None:
        raise EarmarkError(f"config: datasets.{name}.root must name the folder that holds the recordings of {name}")


def _resolved(blocks: Mapping[str, Mapping[str, Any]], name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a block merged over what its architecture brings, and that over those that it extends, or they in turn."""
    block = blocks[name]
    if "extends" not in block:
        return _merged(brought(block), block)
    parent = block["extends"]
    if parent not in blocks:
        others = [other for other in blocks if other != name]
        raise EarmarkError(
            f"config: datasets.{name}.extends names {parent}, which is no data set{choices(parent, others)}"
        )
    chain = (*seen, name)
    if parent in chain:
        raise EarmarkError(f"config: datasets.{name}.extends goes round in a circle: {' -> '.join((*chain, parent))}")
    own = {key: value for key, value in block.items() if key != "extends"}
    return _merged(_merged(_resolved(blocks, parent, chain), brought(own)), own)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another: mappings merge, everything else replaces."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else copy.deepcopy(value)
    return merged


def _filled(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a valid value with the schema's defaults for what it leaves out, without what does not fit the rest.

    Two keywords are ours: ``fits`` names the values of keys before a key that it goes with, ``defaults`` those with a
    default of their own.
    """
    if schema.get("type") == "integer":
        return int(value)  # JSON Schema takes 4.0 for an integer
    if "items" in schema and isinstance(value, list):
        return [_filled(item, schema["items"]) for item in value]
    if "properties" not in schema:
        return copy.deepcopy(value)
    full: dict[str, Any] = {}
    for key, below in schema["properties"].items():
        if _misfit(below, full) is not None:
            continue
        if key in value:
            full[key] = _filled(value[key], below)
        elif "default" in below:
            own = (values.get(full[other]) for other, values in below.get("defaults", {}).items())
            full[key] = copy.deepcopy(next((found for found in own if found is not None), below["default"]))
        elif "properties" in below:
            full[key] = _filled({}, below)
    return full


def _misfit(key: Mapping[str, Any], rest: Mapping[str, Any]) -> str | None:
    """Name the key of the rest that a key does not go with; None if it fits."""
    return next((other for other, values in key.get("fits", {}).items() if rest.get(other) not in values), None)


def _check_fits(
    own: Mapping[str, Any], full: Mapping[str, Any], schema: Mapping[str, Any], path: tuple[str, ...] = ()
) -> None:
    """Check that every key that a block sets itself fits the rest of it."""
    for key, value in own.items():
        below = schema.get("properties", {}).get(key, {})
        other = _misfit(below, full)
        if other is not None:
            allowed = " or ".join(below["fits"][other])
            here = f", not {full[other]}" if other in full else ""
            raise EarmarkError(
                f"config: {dotted((*path, key))} goes with {dotted((*path, other))} = {allowed} only{here}: remove one"
            )
        if isinstance(value, Mapping) and isinstance(full.get(key), Mapping):
            _check_fits(value, full[key], below, (*path, key))


def _check_methods(where: str, block: Mapping[str, Any]) -> None:
    """Check that there is every method that a data set names, and that it may stand there."""
    for key, (which, what) in KINDS.items():
        section, name = key.split(".")
        for method in block[section][name] or ():
            check_method(f"config: {where}.{key}", method, block, which, what)
    for section in ("sonify", "stability"):
        for method in block[section]["methods"] or ():
            if method not in block["grid"]["methods"]:
                raise EarmarkError(
                    f"config: {where}.{section}.methods names {method}, which {where}.grid.methods lacks"
                )


def _read_classes(where: str, block: dict[str, Any]) -> None:
    """Replace the file of an adopted model's classes by what it lists."""
    named = block["model"]["classes"]
    if not isinstance(named, str):
        return
    try:
        lines = Path(named).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise EarmarkError(f"config: {where}.model.classes: the file '{named}' cannot be read: {why}") from error
    found = [composed(line.strip()) for line in lines if line.strip()]
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise EarmarkError(f"config: {where}.model.classes: the file '{named}' names {twice} twice")
    block["model"]["classes"] = found


def _choose(block: dict[str, Any]) -> None:
    """Fill in what a block leaves to the rest of it: layers, rules, methods that are heard or that classes cross."""
    if block["grid"]["layers"] is None:
        block["grid"]["layers"] = list(block["model"]["layers"] if adopts(block) else layers_of(block))
    if block["lrp"]["rules"] is None:
        block["lrp"]["rules"] = AUTO if adopts(block) else copy.deepcopy(list(architecture_of(block).rules))
    named = {name: method_of(name) for name in block["grid"]["methods"]}
    if block["sonify"]["methods"] is None:
        block["sonify"]["methods"] = [name for name, method in named.items() if method.parts][:1]
    if block["evaluate"]["cross"] is None:
        bases = {name: method for name, method in named.items() if method.has_basis and method.fitted_to != "stems"}
        found = [name for name, method in bases.items() if not method.control]
        controls = [name for name, method in bases.items() if method.control]
        block["evaluate"]["cross"] = [*found[:CROSSED], *controls[:1]]
    _choose_heard(block)


def _choose_heard(block: dict[str, Any]) -> None:
    """Fill in which explanations a listening test is of."""
    asked, layers = block["listening_test"], block["grid"]["layers"]
    if asked["methods"] is None:
        masked = [name for name in block["evaluate"]["masking"] if not method_of(name).control and name != STANDARD]
        asked["methods"] = (masked or block["sonify"]["methods"])[:RATED]
    if asked["layer"] is None and layers:
        asked["layer"] = layers[len(layers) // 2]
    if asked["k"] is None:
        asked["k"] = block["grid"]["k"][0]


def _check_block(where: str, block: Mapping[str, Any]) -> None:
    """Check what a schema cannot say about one data set."""
    grid = f"config: {where}.grid"
    for layer in block["grid"]["layers"]:
        width = channels(f"{grid}.layers", layer, block)
        for k in block["grid"]["k"]:
            check_k(f"{grid}.k", k, layer, width)
    for family, settings in block["explainers"].items():
        for layer in settings.get("layers") or ():
            channels(f"config: {where}.explainers.{family}.layers", layer, block)
    _check_adopted(where, block)
    _check_frontend(f"config: {where}.frontend", block["frontend"])
    if block["sonify"]["inverse"] == "mel-nnls" and block["frontend"]["kind"] != "logmel":
        raise EarmarkError(f"config: {where}.sonify.inverse = mel-nnls needs frontend.kind = logmel; use additive")
    if not adopts(block):
        _check_own_network(where, block)
    _check_occlusion(where, block)
    _check_rules(f"{where}.lrp.rules", block["lrp"]["rules"])
    for name, rules in block["composites"]["candidates"].items():
        if name in (CONFIGURED, CHANCE):
            raise EarmarkError(
                f"config: {where}.composites.candidates cannot name {name}, which stands for "
                + ("lrp.rules" if name == CONFIGURED else "patches in random order")
            )
        _check_rules(f"{where}.composites.candidates.{name}", rules)
    _check_ranges(where, block["augment"])
    _check_heard(f"config: {where}.listening_test", block)
    _check_rising(f"config: {where}.evaluate.budgets", block["evaluate"]["budgets"])
    _check_flips(f"config: {where}.evaluate.flips", block)
    _check_labels(where, block)
    if block["group"] is not None and block["groups"] is not None:
        raise EarmarkError(f"config: {where} sets both group and groups; a recording has one group")
    if block["group"] is not None:
        try:
            re.compile(block["group"])
        except re.error as error:
            raise EarmarkError(f"config: {where}.group is not a regular expression: {error}") from error


def _check_heard(where: str, block: Mapping[str, Any]) -> None:
    """Check that the model has the layer that people hear explanations at, and as many concepts there."""
    asked = block["listening_test"]
    for name in asked["methods"]:
        if name in (STANDARD, by_lot()):
            raise EarmarkError(f"{where}.methods names {name}, which every test has: remove it")
    if any(method_of(name).layered for name in asked["methods"]):
        width = channels(f"{where}.layer", asked["layer"], block)
        if any(method_of(name).layered and method_of(name).parts for name in asked["methods"]):
            check_k(f"{where}.k", asked["k"], asked["layer"], width)


def _check_beside(name: str, blocks: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the data sets whose networks a data set's are compared with are there, and have concepts alike."""
    where = f"config: datasets.{name}.evaluate.beside names"
    for other in blocks[name]["evaluate"]["beside"]:
        if other == name:
            raise EarmarkError(f"{where} {other} itself: name another data set of the same recordings, or remove it")
        if other not in blocks:
            others = [known for known in blocks if known != name]
            raise EarmarkError(f"{where} {other}, which is no data set{choices(other, others)}")
        methods, ks = in_common(blocks[name]["grid"], blocks[other]["grid"])
        if not (methods and ks):
            lacking = "K" if methods else "method of subspaces"
            raise EarmarkError(
                f"{where} {other}, and no {lacking} is in the grids of both: set grid.{'k' if methods else 'methods'} "
                "of one as of the other"
            )


def _check_labels(where: str, block: Mapping[str, Any]) -> None:
    """Check that labels that names of files tell are asked of a folder, and that its sub-folders are no classes."""
    if block["labels"] in ("folders", "predictions"):
        return
    if is_generated(block):
        raise EarmarkError(f"config: {where}.labels: {block['labels']} needs source: folder and root")
    if block["expected"]["classes"] or block["expected"]["recordings"]:
        key = "classes" if block["expected"]["classes"] else "recordings"
        raise EarmarkError(f"config: {where}.expected.{key} goes with labels: folders only: remove one")


def _check_adopted(where: str, block: Mapping[str, Any]) -> None:
    """Check that what only an adopted model has, or lacks, is said of one alone, and that it is complete."""
    model = block["model"]
    if not adopts(block):
        wanted = [f"model.{key}" for key in ("weights", "classes", "layers") if model[key]]
        wanted += [
            f"model.{key}: {model[key]}" for key in ("task", "outputs") if model[key] in ("multi", "probabilities")
        ]
        wanted += ["labels: predictions"] * (block["labels"] == "predictions")
        if wanted:
            raise EarmarkError(f"config: {where}.{wanted[0]} is for an adopted network: set model.network too")
        return
    if block["source"] != "folder":
        raise EarmarkError(f"config: {where}.model.network needs recordings of yours: set source: folder and root")
    if not model["classes"]:
        raise EarmarkError(
            f"config: {where}.model.classes must name the classes of {model['network']} in the order of its outputs"
        )
    for layer in layers_of(block):
        if layer in NO_LAYERS or not layer.strip("."):
            key = "model" if layer in model["layers"] else "grid"
            raise EarmarkError(
                f"config: {where}.{key}.layers cannot call a layer '{layer}', whose folder holds other things: "
                f"give it another name in {where}.model.layers"
            )
    layered = [name for name in block["grid"]["methods"] if method_of(name).layered]
    if layered and not block["grid"]["layers"]:
        raise EarmarkError(
            f"config: {where}.grid.layers names no layer of {model['network']}: "
            f"`earmark inspect {model['network']}` lists them and suggests some"
        )
    if block["networks"] > 1 or block["cross_validation"]:
        key = "networks" if block["networks"] > 1 else "cross_validation"
        raise EarmarkError(f"config: {where}.{key} trains networks anew, which an adopted one is not")


def _check_occlusion(where: str, block: Mapping[str, Any]) -> None:
    """Check that nothing divides the relevance of a network that LRP is not asked of."""
    parts = [name for name in block["grid"]["methods"] if method_of(name).propagates]
    if block["lrp"]["rules"] == OCCLUSION and parts:
        outside = ", ".join(spelled(methods(lambda method: method.needs_answers_only)))
        raise EarmarkError(
            f"config: {where}.lrp.rules = occlusion leaves grid.methods that look at a network's answers only, such as "
            f"{outside}; {parts[0]} looks inside"
        )


def _check_rules(where: str, rules: Sequence[Mapping[str, Any]] | str) -> None:
    """Check that every rule has what it needs."""
    for number, rule in enumerate(() if isinstance(rules, str) else rules):
        if rule["rule"] == "gamma" and "gamma" not in rule:
            raise EarmarkError(f"config: {where}[{number}] lacks gamma, which the rule gamma needs")


def _check_ranges(where: str, augment: Mapping[str, Any]) -> None:
    """Check that ranges begin with their lowest value, and that what must be positive is."""
    for key, value in augment.items():
        if not isinstance(value, list):
            continue
        lowest, highest = value
        if lowest > highest:
            raise EarmarkError(f"config: {where}.augment.{key} must name the lowest value first, not {shown(value)}")
        if key not in ("gain", "pitch") and lowest <= 0:
            raise EarmarkError(f"config: {where}.augment.{key} must be greater than 0, not {shown(value)}")


def _check_rising(where: str, shares: Sequence[float]) -> None:
    """Check that shares rise, as areas under curves over them need."""
    if list(shares) != sorted(shares):
        raise EarmarkError(f"{where} must rise from the smallest share to the largest, not {shown(shares)}")


def _check_flips(where: str, block: Mapping[str, Any]) -> None:
    """Check that samples are flipped where a model hears them and their relevance is known."""
    flips = block["evaluate"]["flips"]
    _check_rising(where, flips)
    if flips and not hears_samples(block):
        raise EarmarkError(
            f"{where} = {shown(flips)} sets samples to 0, which a network of waveforms hears, not one of "
            f"frontend.kind = {block['frontend']['kind']}: set it to []"
        )
    if flips and block["lrp"]["rules"] == OCCLUSION:
        raise EarmarkError(
            f"{where} = {shown(flips)} takes samples by their relevance, which lrp.rules = {OCCLUSION} does not tell: "
            "set it to []"
        )


def _check_listener(name: str, datasets: Mapping[str, Any]) -> None:
    """Check that who listens to a data set's explanations is another network that hears the same and can see."""
    block, other = datasets[name], datasets[name]["evaluate"]["listener"]
    where = f"config: datasets.{name}.evaluate.listener"
    if other is None:
        return
    others = [one for one in datasets if one != name]
    if other == name:
        raise EarmarkError(f"{where} names {name} itself, which knows its own answers{choices(other, others)}")
    if other not in datasets:
        raise EarmarkError(f"{where} names {other}, which is no data set{choices(other, others)}")
    theirs = datasets[other]
    for whose, one in ((name, block), (other, theirs)):
        if one["model"]["task"] == "multi" or one["labels"] == "predictions":
            key = "model.task = multi" if one["model"]["task"] == "multi" else "labels = predictions"
            raise EarmarkError(f"{where} asks for one answer, right or wrong; datasets.{whose} has {key}: remove one")
    if all(block[key] == theirs[key] for key in ("frontend", "model")):
        raise EarmarkError(
            f"{where} = {other} has the frontend and the model of {name}, whose network it would be once more: give it "
            "another one, such as other model.filters"
        )
    rates = [one["frontend"]["sample_rate"] for one in (block, theirs)]
    if rates[0] != rates[1]:
        raise EarmarkError(
            f"{where} = {other} hears {rates[1]} samples a second and {name} {rates[0]}: set both "
            "frontend.sample_rate alike"
        )
    if theirs["frontend"]["kind"] not in SEEING:
        raise EarmarkError(
            f"{where} = {other} must see spectrograms, frontend.kind = {' or '.join(SEEING)}, not "
            f"{theirs['frontend']['kind']}"
        )


def _check_outside(name: str, datasets: Mapping[str, Any]) -> None:
    """Check that the data set whose clips others are contaminated with is another one, and there."""
    other = datasets[name]["evaluate"]["outside_speech"]
    where = f"config: datasets.{name}.evaluate.outside_speech names"
    if other is None:
        return
    others = [one for one in datasets if one != name]
    if other == name:
        raise EarmarkError(f"{where} {name} itself, whose clips are mixed anyway{choices(name, others)}")
    if other not in datasets:
        raise EarmarkError(f"{where} {other}, which is no data set{choices(other, others)}")


def _check_frontend(where: str, frontend: Mapping[str, Any]) -> None:
    """Check that frames cover a clip, and that frequencies and rows are there."""
    n_fft, hop = frontend["n_fft"], frontend["hop"]
    widest = WIDEST[frontend["window"]]
    if hop > widest * n_fft:
        raise EarmarkError(
            f"{where}.hop = {hop} must be at most {widest * n_fft:g}, {widest:.0%} of n_fft, so that no sample is lost"
        )
    if frontend["kind"] == "module" and frontend["module"] is None:
        raise EarmarkError(
            f"{where}.module must name the function that makes your front end, as in my_front_end.py:build"
        )
    if "n_samples" in frontend:
        return
    samples = (frontend["n_frames"] - 1) * hop
    if frontend["padding"] == "reflect" and samples <= n_fft // 2:
        raise EarmarkError(
            f"{where}.n_frames = {frontend['n_frames']} makes clips of {samples} samples, too short to be mirrored for "
            f"n_fft = {n_fft}: raise it, or set padding: constant"
        )
    nyquist, bins = frontend["sample_rate"] / 2, n_fft // 2 + 1
    if (frontend.get("n_bins") or 0) > bins:
        raise EarmarkError(f"{where}.n_bins = {frontend['n_bins']} must be at most the {bins} bins of n_fft = {n_fft}")
    highest = nyquist if frontend.get("f_max") is None else frontend["f_max"]
    if not frontend.get("f_min", 0) < highest <= nyquist:
        raise EarmarkError(f"{where}.f_max must lie between f_min and the Nyquist frequency, {nyquist:g} Hz")
    rows = frontend.get("n_mels") or frontend.get("n_bins") or bins
    for key in ("mean", "std"):
        if isinstance(frontend[key], list) and len(frontend[key]) != rows:
            raise EarmarkError(f"{where}.{key} must be one number or {rows}, one per row, not {len(frontend[key])}")


def _check_own_network(where: str, block: Mapping[str, Any]) -> None:
    """Check that Earmark's network gets what it is for, as large as it needs, and has as many filters as it can."""
    frontend, architecture, filters = block["frontend"], architecture_of(block), block["model"]["filters"]
    for key, allowed in architecture.reads.items():
        if frontend.get(key) not in allowed:
            raise EarmarkError(
                f"config: {where}.frontend.{key} must be {' or '.join(allowed)}, on which Earmark trains its network "
                f"{architecture.name}, not {frontend[key]}; other front ends are for another model.architecture, or a "
                "network of your own, model.network"
            )
    smallest = architecture.smallest(len(filters))
    for key in ("n_mels", "n_bins", "n_frames", "n_samples"):
        cells = frontend.get(key)
        if cells is not None and cells < smallest:
            raise EarmarkError(
                f"config: {where}.frontend.{key} = {cells} must be at least {smallest} for the {len(filters)} "
                f"convolutions of {architecture.name}"
            )
    multiple = architecture.multiple
    if len(filters) != (architecture.depth or len(filters)) or any(width % multiple for width in filters):
        raise EarmarkError(
            f"config: {where}.model.filters must be {architecture.depth} multiples of {multiple} for "
            f"{architecture.name}, not {shown(filters)}"
        )
    _check_changes(where, block)


def _check_changes(where: str, block: Mapping[str, Any]) -> None:
    """Check that training changes nothing of waveforms that it can change of spectrograms only."""
    if not hears_samples(block):
        return
    asked = {f"train.{key}": block["train"][key] for key in ("time_mask", "mel_mask")}
    asked |= {f"augment.{key}": value for key, value in block["augment"].items() if key.endswith("_probability")}
    asked["augment.stretch"] = block["augment"]["stretch"] if block["augment"]["stretch"] != [1, 1] else 0
    for key, value in asked.items():
        if value:
            none = "[1, 1]" if key == "augment.stretch" else 0
            raise EarmarkError(
                f"config: {where}.{key} = {shown(value)} changes spectrograms, and the network hears waveforms: set it "
                f"to {none}"
            )


def _check(value: object, schema: Mapping[str, Any]) -> None:
    """Raise the first violation of the schema as a sentence."""
    errors = sorted(
        Draft202012Validator(schema).iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path]
    )
    if errors:
        raise EarmarkError(f"config: {sentence(errors[0])}")
