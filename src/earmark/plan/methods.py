"""The methods that explain, read from the YAML file beside each family's module.

A family is a module in ``earmark.explainers``. The file beside it is data: its methods, what each needs and promises,
and the schema of the settings that stand in a configuration under ``datasets.NAME.explainers.FAMILY``. A new method is
two files, and everything else follows: paths, rules, help, schema.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from earmark.errors import EarmarkError
from earmark.plan.generated import has_separated, has_stems
from earmark.plan.sentences import choices
from earmark.store.layout import INPUT_LAYER, STANDARD

PACKAGE = Path(__file__).parents[1]
FOLDER = PACKAGE / "explainers"

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads the package's own YAML, in C where PyYAML has that."""

SUBSPACES = ("pairs", "clips", "stems")
"""What methods are fitted to whose state is a basis per class: pairs of activations and contexts, whole clips, or clips
and their stems. ``model`` stands for explainers that are trained, ``nothing`` for the others."""

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["says", "methods"],
    "properties": {
        "says": {"type": "string"},
        "settings": {"type": "object"},
        "methods": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z][a-z0-9-]*$"},
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["says"],
                "properties": {
                    "says": {"type": "string"},
                    "variants": {"enum": ["seed"]},
                    "always": {"type": "array", "items": {"type": "integer"}},
                    "hears": {"type": "boolean"},
                    "layered": {"type": "boolean"},
                    "parts": {"type": "boolean"},
                    "per_class": {"type": "boolean"},
                    "fitted_to": {"enum": ["nothing", *SUBSPACES, "model"]},
                    "needs": {"type": "array", "items": {"enum": ["gradients", "training", "stems", "separated"]}},
                    "depends_on": {"type": "array", "items": {"enum": ["pairs", "seed"]}},
                    "beside": {"type": "array", "items": {"type": "string"}},
                    "starts_from": {"type": "string"},
                    "learned_by": {"type": "string"},
                    "answers": {"type": "boolean"},
                    "own_network": {"type": "boolean"},
                    "control": {"type": "boolean"},
                    "orders": {"enum": ["loudest", "quietest", "lot"]},
                    "expensive": {"type": "boolean"},
                    "maximises": {"type": "string"},
                    "promises": {"type": "array", "items": {"enum": ["signed", "sums_to_standard"]}},
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Method:
    """What a family's file says of one of its methods.

    Attributes
    ----------
    name, family, module : str
        Its name, its family's, and the family's module below the package.
    says : str
        What it is, in a line.
    variants : str
        ``seed`` if it is written ``name~SEED``, each seed a method by itself, averaged in tables; else empty.
    always : tuple of int
        Variants, or one 0 where there are none, that every comparison holds whatever a grid lists.
    hears : bool
        Whether it needs the clips' waveforms beside the network's inputs.
    layered : bool
        Whether it works at a hidden layer; the others lie once under the layer ``input``, with K = 1.
    parts : bool
        Whether it gives K parts; else K is 1.
    per_class : bool
        Whether it is fitted to each class by itself.
    fitted_to : str
        ``nothing``, ``pairs``, ``clips``, ``stems`` or ``model``.
    needs : frozenset of str
        What it asks for: ``gradients`` of the network, ``training`` clips to compare with, ``stems`` of the clips, or
        what another program ``separated`` them into.
    depends_on : tuple of str
        Which of ``pairs`` and ``seed`` can change what is fitted.
    beside : tuple of str
        Methods whose explainers it is made with: their code and their families' settings are its too.
    starts_from : str
        Of methods that are trained: another one, whose training this one goes on from; empty: none.
    learned_by : str
        Of methods that are trained: another one, which learns for this one too; empty: it learns itself.
    answers : bool
        Whether it answers as the model does, by parts of its own: its module has ``imitation``.
    own_network : bool
        Whether it explains a network of its own, which learned with it, and not the model's.
    control : bool
        Whether it explains nothing: what every explanation must beat.
    orders : str
        Of the controls that a claim must beat, how it takes the cells of any clip: ``loudest`` or ``quietest`` first,
        or by ``lot``; else empty.
    expensive : bool
        Whether it asks the model hundreds of times per clip: ``explain.expensive`` says for how many clips.
    maximises : str
        What its fit maximises; empty without a search.
    promises : frozenset of str
        ``signed``: relevance of either sign; ``sums_to_standard``: its parts sum to the standard heatmap.
    """

    name: str
    family: str
    module: str
    says: str
    variants: str = ""
    always: tuple[int, ...] = ()
    hears: bool = False
    layered: bool = False
    parts: bool = False
    per_class: bool = False
    fitted_to: str = "nothing"
    needs: frozenset[str] = frozenset()
    depends_on: tuple[str, ...] = ("pairs", "seed")
    beside: tuple[str, ...] = ()
    starts_from: str = ""
    learned_by: str = ""
    answers: bool = False
    own_network: bool = False
    control: bool = False
    orders: str = ""
    expensive: bool = False
    maximises: str = ""
    promises: frozenset[str] = frozenset()

    @property
    def spelled(self) -> str:
        """Its name as a user writes it: ``noise~SEED``."""
        return f"{self.name}~{self.variants.upper()}" if self.variants else self.name

    @property
    def pattern(self) -> str:
        """Regular expression of its names."""
        return re.escape(self.name) + (r"~\d+" if self.variants else "")

    @property
    def has_basis(self) -> bool:
        """Whether what is fitted is a basis per class, in ``subspaces.safetensors``."""
        return self.fitted_to in SUBSPACES

    @property
    def is_trained(self) -> bool:
        """Whether it is trained to explain the model, before it explains."""
        return self.fitted_to == "model"

    @property
    def learns(self) -> bool:
        """Whether there is a training of its own."""
        return self.is_trained and not self.learned_by

    @property
    def propagates(self) -> bool:
        """Whether it rests on LRP: its parts are parts of the standard explanation."""
        return "sums_to_standard" in self.promises and self.name != STANDARD

    @property
    def needs_answers_only(self) -> bool:
        """Whether it explains networks that nothing can look into, whatever clips they hear."""
        inside = self.layered or self.is_trained or "gradients" in self.needs or "sums_to_standard" in self.promises
        return not (inside or self.control or self.needs_stems or self.needs_separated)

    @property
    def needs_stems(self) -> bool:
        """Whether the sound objects of clips must be known."""
        return self.fitted_to == "stems" or "stems" in self.needs

    @property
    def needs_separated(self) -> bool:
        """Whether another program must have separated clips."""
        return "separated" in self.needs

    def counts(self, asked: Sequence[int]) -> list[int]:
        """List the numbers of parts that it has where a grid asks for some."""
        return list(asked) if self.parts else [1]

    @property
    def refits(self) -> bool:
        """Whether its basis can be fitted again to other clips, of which nothing but the class is known."""
        return self.fitted_to in ("pairs", "clips")


@dataclass(frozen=True)
class Family:
    """A module of explainers: what it is, its methods by name, and the schema of its settings' properties."""

    name: str
    says: str
    methods: Mapping[str, Method]
    settings: Mapping[str, Any]


@functools.cache
def families() -> dict[str, Family]:
    """Read every family's file.

    Raises
    ------
    ValueError
        If a file has no module beside it, holds what it must not, or names a method that another one has.
    """
    found: dict[str, Family] = {}
    for path in sorted(FOLDER.rglob("*.yaml")):
        content, problems = described(path, SCHEMA)
        if path.stem in found:
            problems.append("there is a family of its name already")
        for name in {} if problems else content["methods"]:
            if any(name in family.methods for family in found.values()):
                problems.append(f"another family has the method {name}")
        if problems:
            raise ValueError(f"{path}: {problems[0]}")
        found[path.stem] = _family(path, content)
    return found


def described(path: Path, schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Read the file that describes the module beside it, and say what is wrong with the two, if anything."""
    content = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    problems = [error.message for error in Draft202012Validator(schema).iter_errors(content)]
    if not path.with_suffix(".py").is_file():
        problems.append("there is no module of its name beside it")
    return content, problems


def _family(path: Path, content: Mapping[str, Any]) -> Family:
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    methods = {
        name: Method(
            name,
            path.stem,
            module,
            **{
                **said,
                "always": tuple(said.get("always", ())),
                "beside": tuple(said.get("beside", ())),
                "depends_on": tuple(said.get("depends_on", ("pairs", "seed"))),
                "needs": frozenset(said.get("needs", ())),
                "promises": frozenset(said.get("promises", ())),
            },
        )
        for name, said in content["methods"].items()
    }
    return Family(path.stem, content["says"], methods, content.get("settings", {}))


def methods(which: Callable[[Method], bool] = lambda method: True) -> list[Method]:
    """List all methods, or those of a kind."""
    return [method for family in families().values() for method in family.methods.values() if which(method)]


@functools.cache
def method_of(name: str) -> Method:
    """Return the method that a name such as ``drsa`` or ``noise~0`` stands for.

    Raises
    ------
    EarmarkError
        If there is none; the sentence lists what there is.
    """
    for method in methods():
        if re.fullmatch(method.pattern, name):
            return method
    raise EarmarkError(f"there is no method {name}{choices(name, spelled(methods()))}")


def learner_of(name: str) -> str:
    """Name the method whose training a trained one rests on: itself, if no other one learns for it."""
    return method_of(name).learned_by or name


def learners(block: Mapping[str, Any]) -> list[str]:
    """List the methods that are trained for what a data set asks for."""
    evaluate = block["evaluate"]
    asked = [*block["grid"]["methods"], *(name for key in ("masking", "outside", "fidelity") for name in evaluate[key])]
    return list(dict.fromkeys(learner_of(name) for name in asked if method_of(name).is_trained))


def base_of(name: str) -> str:
    """Return a method's name without its variant: ``noise`` of ``noise~0``."""
    return name.partition("~")[0]


def named(base: str) -> Method:
    """Return the method of a name without variant, as tables write it.

    Raises
    ------
    KeyError
        If there is none.
    """
    return next(family.methods[base] for family in families().values() if base in family.methods)


def ordering(how: str) -> str:
    """Name the control that takes cells ``loudest`` first, ``quietest`` first or by ``lot``, without its variant."""
    (control,) = methods(lambda method: method.orders == how)
    return control.name


def in_common(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """List the methods of subspaces and the numbers of concepts that two grids have in common, as the first has them.

    Parameters
    ----------
    first, second : mapping
        The sections ``grid`` of two data sets' blocks.
    """
    methods = [name for name in first["methods"] if name in second["methods"] and method_of(name).has_basis]
    return methods, [k for k in first["k"] if k in second["k"]]


def shown(names: Sequence[str]) -> list[str]:
    """List the methods of a grid whose concepts are drawn: the first, and the first control to compare."""
    parts = [name for name in names if method_of(name).parts]
    return [*parts[:1], *[name for name in parts[1:] if method_of(name).control][:1]]


def by_lot() -> str:
    """Name the control that orders cells by lot, of the first seed."""
    return f"{ordering('lot')}~0"


def by_ear(block: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Say of every explanation in a data set's listening test at which layer, and of how many parts, it is.

    The methods that are compared come first, then the two that they are compared with: the standard explanation, and
    cells by lot.
    """
    asked = block["listening_test"]
    return {
        name: (asked["layer"] if method_of(name).layered else INPUT_LAYER, method_of(name).counts([asked["k"]])[0])
        for name in dict.fromkeys([*asked["methods"], STANDARD, by_lot()])
    }


def spelled(chosen: Iterable[Method]) -> list[str]:
    """Write methods as a user does."""
    return [method.spelled for method in chosen]


def pattern(chosen: Iterable[Method]) -> str:
    """Return a regular expression that the names of methods meet, and nothing else if there are none."""
    return "|".join(method.pattern for method in chosen) or "(?!)"


def always() -> list[str]:
    """List the methods that every comparison holds beside a grid: the standard explanation first, and a control."""
    names = [
        f"{method.name}~{variant}" if method.variants else method.name
        for method in methods()
        for variant in method.always
    ]
    return sorted(names, key=lambda name: name != STANDARD)


def check_method(
    where: str,
    name: str,
    block: Mapping[str, Any],
    which: Callable[[Method], bool],
    what: str,
    beside: Iterable[str] = (),
) -> None:
    """Raise unless a method is of a kind and can be had of a data set.

    Parameters
    ----------
    where : str
        Where it was named.
    name : str
        The method.
    block : mapping
        The data set's.
    which : callable
        Whether a method is of the kind.
    what : str
        Why another method cannot stand there, to end a sentence that begins with its name.
    beside : iterable of str
        Names that may stand there and are no methods.

    Raises
    ------
    EarmarkError
        If there is no such method, it is none of the kind, or it needs stems or separated sources that the data set
        lacks.
    """
    allowed = [*spelled(methods(which)), *beside]
    try:
        method = method_of(name)
    except EarmarkError:
        raise EarmarkError(f"{where}: there is no method {name}{choices(name, allowed)}") from None
    if not which(method):
        raise EarmarkError(f"{where}: {name} {what}{choices(name, allowed)}")
    if method.needs_stems and not has_stems(block):
        raise EarmarkError(
            f"{where}: the method {name} needs every recording's stems, which generated data have: set `stems` to a "
            "folder of them"
        )
    if method.needs_separated and not has_separated(block):
        raise EarmarkError(
            f"{where}: the method {name} needs what another program separated every recording into: set `separated` to "
            "a folder of that, of a data set with source = folder"
        )


def adopts(block: Mapping[str, Any]) -> bool:
    """Say whether a data set's model is one of the user's, of which nothing is known before it is run."""
    return block["model"]["network"] is not None


def hears_samples(block: Mapping[str, Any]) -> bool:
    """Say whether the inputs of a data set's model are samples, and no spectrograms."""
    return block["frontend"]["kind"] == "waveform"


def layers_of(block: Mapping[str, Any]) -> dict[str, int | None]:
    """Map the layers of a data set's model to their numbers of channels; of an adopted one those that are named."""
    if adopts(block):
        return dict.fromkeys([*block["model"]["layers"], *(block["grid"]["layers"] or ())])
    return {f"conv{number}": width for number, width in enumerate(block["model"]["filters"], start=1)}


def channels(where: str, layer: str, block: Mapping[str, Any]) -> int | None:
    """Return the number of channels of a layer of a data set's model; None if only the adopted model knows.

    Raises
    ------
    EarmarkError
        If the model has no such layer; `where` says where it was named.
    """
    layers = layers_of(block)
    if adopts(block):
        return None
    if layer not in layers:
        raise EarmarkError(f"{where}: the model has no layer {layer}; allowed: {', '.join(layers)}")
    return layers[layer]


def check_k(where: str, k: int, layer: str, width: int | None) -> None:
    """Raise unless `k` subspaces of equal dimension fill the `width` channels of `layer`, as far as it is known.

    Raises
    ------
    EarmarkError
        Otherwise; `where` says where K was named.
    """
    if width is not None and width % k:
        allowed = ", ".join(str(n) for n in divisors(width))
        raise EarmarkError(f"{where}: K = {k} does not divide the {width} channels of {layer}; allowed: {allowed}")


def divisors(width: int) -> list[int]:
    """List the numbers of equal subspaces that `width` channels can be split into."""
    return [k for k in range(1, width + 1) if width % k == 0]
