"""Where every result lies: the paths are the interface between stages, and with the user."""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

INPUT_LAYER = "input"
"""Layer name under which the maps that need no subspaces are filed (``standard``, ``noise~SEED``)."""

STANDARD = "standard"
"""Method of the explanation that all parts are parts of, and that masks and scores refer to."""

AGREEMENT = "agreement"
"""Folder of a layer that says what other networks find too."""

LEARNED = "trained"
"""Folder of a split that holds what methods learned of its network."""

TRACKS = "tracks"
"""Folder of a method, layer and K that holds recordings explained as a whole."""

RESERVED = frozenset({"all", "files", "masked", "pairs", TRACKS, LEARNED})
"""Slugs that no class has: ``all`` stands for all classes together in tables, the others for folders, such as those
beside the folders of classes: a method's sounds (``masked``) and its tracks, and what the page of a track loads
(``files``)."""

NO_LAYERS = frozenset({INPUT_LAYER, "scaled", "stimuli", "trained"})
"""Names that no layer has: folders of other things beside those of the layers."""

LONGEST = 100
"""Letters of a slug, behind which names of files go on: file systems allow 255 bytes in all."""

LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ŋ": "ng", "ı": "i"}
)
"""Letters of the Latin script that are no a-z with a mark, in lower case."""


def composed(name: str) -> str:
    """Spell a name in one way (Unicode's form NFC): file systems differ in how they store ``é``."""
    return unicodedata.normalize("NFC", name)


def slug(name: str) -> str:
    """Turn a name into the ``[a-z0-9-]*`` form that paths use, at most `LONGEST` letters of it.

    Letters lose their marks, other scripts leave none.
    """
    parts = unicodedata.normalize("NFKD", name.casefold().translate(LETTERS))
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return re.sub(r"[^a-z0-9]+", "-", plain.casefold()).strip("-")[:LONGEST].rstrip("-")


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Give every class of a data set a slug of its own.

    Parameters
    ----------
    names : iterable of str
        The classes, each once.

    Returns
    -------
    dict of str to str
        Slug by name, in the order of the names. Where :func:`slug` gives nothing, the same for two names or what is
        reserved, the class's number in this order, from 1, stands in its place or behind it.
    """
    ordered = sorted(names)
    short = {name: slug(name) for name in ordered}
    often = collections.Counter(short.values())
    found = {name: own for name, own in short.items() if own and own not in RESERVED and often[own] == 1}
    for number, name in enumerate(ordered, start=1):
        if name not in found:
            own = f"{short[name]}-{number}" if short[name] else f"class{number}"
            while own in found.values():
                own = f"{own}-{number}"
            found[name] = own
    return {name: found[name] for name in ordered}


def asked_for(called: Mapping[str, str], asked: Iterable[str]) -> list[str]:
    """List the slugs of classes, in the order of `called`, which maps names to slugs.

    Parameters
    ----------
    called : mapping of str to str
        All classes.
    asked : iterable of str
        Names or slugs of those that are wanted; none of them: all are.
    """
    wanted = {called.get(composed(name), name) for name in asked}
    return [own for own in called.values() if not wanted or own in wanted]


@dataclass(frozen=True)
class Layout:
    """Paths of one data set's results.

    Parameters
    ----------
    results : Path
        The results folder (``results``).
    dataset : str
        Name of the data set, a key of ``datasets`` in the configuration.
    """

    results: Path
    dataset: str

    @property
    def root(self) -> Path:
        """Folder of the data set."""
        return Path(self.results) / self.dataset

    @property
    def generated(self) -> Path:
        """Folder of generated recordings, one sub-folder per class (generated data only)."""
        return self.root / "generated"

    @property
    def generated_index(self) -> Path:
        """List of generated recordings with their set and checksum."""
        return self.root / "generated.csv"

    @property
    def stems(self) -> Path:
        """Sound objects of every recording at their level in it, where they are known."""
        return self.root / "stems.npy"

    @property
    def truth(self) -> Path:
        """What sound objects there are, and what was drawn for every generated recording."""
        return self.root / "truth.json"

    @property
    def separated(self) -> Path:
        """What another program separated every recording into, at its level in it."""
        return self.root / "separated.npy"

    @property
    def separated_names(self) -> Path:
        """What it called that."""
        return self.root / "separated.json"

    @property
    def manifest(self) -> Path:
        """One row per recording found."""
        return self.root / "manifest.csv"

    @property
    def classes(self) -> Path:
        """Slug, name and number of recordings per class."""
        return self.root / "classes.csv"

    @property
    def clips(self) -> Path:
        """Decoded audio of all recordings, one after the other."""
        return self.root / "clips.npy"

    @property
    def clip_index(self) -> Path:
        """One row per evaluation clip: which samples of which recording."""
        return self.root / "clips.csv"

    @property
    def logmel(self) -> Path:
        """Inputs of all evaluation clips, where they are spectrograms, and the settings of the front end."""
        return self.root / "logmel.safetensors"

    @property
    def tables(self) -> Path:
        """Folder of the summary tables."""
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        """Folder of the summary figures."""
        return self.root / "figures"

    @property
    def report(self) -> Path:
        """Page to listen to."""
        return self.root / "report" / "index.html"

    @property
    def report_files(self) -> Path:
        """Folder of what that page loads."""
        return self.root / "report" / "files"

    @property
    def listening_test(self) -> Path:
        """Folder of a test in which people rate explanations."""
        return self.root / "listening-test"

    @property
    def listening_key(self) -> Path:
        """List of what its sounds are."""
        return self.root / "listening-test.csv"

    def split(self, split: str) -> Path:
        """Folder of one split: its model and everything explained with it."""
        return self.root / split

    def model(self, split: str) -> Path:
        """Weights of the best epoch, with the architecture in the metadata."""
        return self.split(split) / "model.safetensors"

    def predictions(self, split: str) -> Path:
        """Logits of every evaluation clip."""
        return self.split(split) / "predictions.csv"

    def chosen(self, split: str) -> Path:
        """Clips that are looked at, and those left out with the reason why."""
        return self.split(split) / "chosen.csv"

    def composites(self, split: str) -> Path:
        """Scores of the candidate LRP rules, clip by clip."""
        return self.split(split) / "composites.csv"

    def composites_curves(self, split: str) -> Path:
        """Flipping curves of the candidate LRP rules."""
        return self.split(split) / "composites_curves.csv"

    def flipped(self, split: str) -> Path:
        """Answers to clips some of whose samples are 0."""
        return self.split(split) / "flipped.csv"

    def beside(self, split: str) -> Path:
        """How far networks of other data sets find the concepts of this one too, in the same clips."""
        return self.split(split) / "beside.csv"

    def listened(self, split: str) -> Path:
        """Guesses of a network that listens."""
        return self.split(split) / "listened.csv"

    def stimuli(self, split: str) -> Path:
        """Folder of sounds for people to guess by."""
        return self.split(split) / "stimuli"

    def key(self, split: str) -> Path:
        """List of what those sounds are."""
        return self.split(split) / "key.csv"

    def trained(self, split: str, method: str) -> Path:
        """Folder of what a method learned of a split's network."""
        return self.split(split) / LEARNED / method

    def pairs(self, split: str, layer: str, cls: str) -> Path:
        """Activation and context vectors of one class at one layer."""
        return self.split(split) / layer / "pairs" / f"{cls}.safetensors"

    def method(self, split: str, layer: str, method: str, k: int) -> Path:
        """Folder of one (layer, method, K)."""
        return self.split(split) / layer / method / f"K~{k}"

    def track(self, split: str, layer: str, method: str, k: int, track: str) -> Path:
        """Folder of one recording that is explained as a whole."""
        return self.method(split, layer, method, k) / TRACKS / track

    def agreement(self, split: str, layer: str, k: int) -> Path:
        """How far further networks find the K concepts of a layer too, for every method of the grid."""
        return self.split(split) / layer / AGREEMENT / f"K~{k}.csv"

    def concept(self, split: str, layer: str, method: str, k: int, cls: str) -> Path:
        """Folder of one (layer, method, K, class)."""
        return self.method(split, layer, method, k) / cls
