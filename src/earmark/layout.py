"""Where every result lies: the paths are the interface between stages, and with the user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

INPUT_LAYER = "input"
"""Layer name under which the maps that need no subspaces are filed (``standard``, ``noise~SEED``)."""


def slug(name: str) -> str:
    """Turn a class name into the ``[a-z0-9-]+`` form that paths use."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


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
        """Sound objects of every generated recording at their level in the mixture."""
        return self.root / "stems.npy"

    @property
    def truth(self) -> Path:
        """Drawn parameters of every generated recording."""
        return self.root / "truth.json"

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
        """Log-mel spectrograms of all evaluation clips."""
        return self.root / "logmel.safetensors"

    @property
    def tables(self) -> Path:
        """Folder of the summary tables."""
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        """Folder of the summary figures."""
        return self.root / "figures"

    def split(self, split: str) -> Path:
        """Folder of one split: its model and everything explained with it."""
        return self.root / split

    def model(self, split: str) -> Path:
        """Weights of the best epoch, with the architecture in the metadata."""
        return self.split(split) / "model.safetensors"

    def composites(self, split: str) -> Path:
        """Scores of the candidate LRP rules, clip by clip."""
        return self.split(split) / "composites.csv"

    def composites_curves(self, split: str) -> Path:
        """Flipping curves of the candidate LRP rules."""
        return self.split(split) / "composites_curves.csv"

    def pairs(self, split: str, layer: str, cls: str) -> Path:
        """Activation and context vectors of one class at one layer."""
        return self.split(split) / layer / "pairs" / f"{cls}.safetensors"

    def method(self, split: str, layer: str, method: str, k: int) -> Path:
        """Folder of one (layer, method, K)."""
        return self.split(split) / layer / method / f"K~{k}"

    def concept(self, split: str, layer: str, method: str, k: int, cls: str) -> Path:
        """Folder of one (layer, method, K, class)."""
        return self.method(split, layer, method, k) / cls
