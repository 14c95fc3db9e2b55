"""A data set as the stages after `ingest` see it: clips, recordings, classes and splits."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.store import artifacts
from earmark.store.layout import Layout, asked_for

if TYPE_CHECKING:
    import torch

    from earmark.sound.base import Frontend

FULL_SCALE = 32768.0
"""16-bit samples are divided by it."""

TRAINING, VALIDATION, TEST = "training", "validation", "test"
"""What files call the sets of clips of a split."""

UNLABELLED = -1
"""Class index of clips whose class is what the model answers."""

HELD_OUT = ("all-validation", "all-test")
"""Sets of synthetic clips with all objects; they belong to no split."""

Rows: TypeAlias = "Sequence[int] | np.ndarray | torch.Tensor"


@dataclass(frozen=True)
class ClassInfo:
    """One class: its name in paths, its name as the user wrote it, its logit."""

    slug: str
    name: str
    index: int


@dataclass(frozen=True)
class Split:
    """Rows of the evaluation clips of a split, each int64 and ascending."""

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def is_further_network(split: str) -> bool:
    """Whether a split is that of a further network, trained on ``main``'s folds from another seed."""
    return re.fullmatch(r"net[1-9]\d*", split) is not None


def split_folds(name: str, n_folds: int) -> tuple[list[int], list[int]]:
    """Name the validation and the test folds of a split.

    Parameters
    ----------
    name : str
        ``main``: with ten folds test 0 and 1, validation 2; with fewer test 0, validation 1.
        ``netN``: as main, for further networks. ``cvN``: test N, validation N + 1, counted around. A single fold is
        all of them.
    n_folds : int
        Folds of the data set.

    Returns
    -------
    validation, test : list of int

    Raises
    ------
    EarmarkError
        If the data set has no such split.
    """
    if name == "main" or is_further_network(name):
        return ([2], [0, 1]) if n_folds >= 10 else ([1 % n_folds], [0])
    match = re.fullmatch(r"cv(\d)", name)
    if match is None or int(match[1]) >= n_folds:
        raise EarmarkError(f"There is no split '{name}': this data set has main and cv0 to cv{n_folds - 1}.")
    test = int(match[1])
    return [(test + 1) % n_folds], [test]


@dataclass(frozen=True)
class DataSet:
    """Read access to everything that `ingest` wrote. Samples and inputs stay on disk.

    A clip is named by its row in `clips`, a recording by its row in `manifest`.

    Attributes
    ----------
    layout : Layout
        Where the data set lies.
    classes : list of ClassInfo
        In the order of the model's logits.
    manifest : pandas.DataFrame
        One row per recording found.
    clips : pandas.DataFrame
        One row per evaluation clip; `class_index` beside the file's columns. `samples` counts
        what is not padding, offsets count samples of the decoded audio.
    clip_samples : int
        Samples of a clip.
    """

    layout: Layout
    classes: list[ClassInfo]
    manifest: pd.DataFrame
    clips: pd.DataFrame
    clip_samples: int

    @functools.cached_property
    def labelled(self) -> bool:
        """Whether clips have a class of their own; else it is what the model answers."""
        return bool((self.clips["class_index"] != UNLABELLED).all())

    @functools.cached_property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.clips["fold"].max()) + 1

    def waveforms(self, clips: Rows) -> torch.Tensor:
        """Read clips at their recorded level: float32 ``[B, S]`` in [-1, 1]."""
        return self._cut(self._samples, self._column("offset", clips))

    @functools.cached_property
    def frontend(self) -> Frontend:
        """What makes inputs of its clips."""
        from earmark.sound.kinds import from_settings  # here and below: who only chooses clips is spared torch

        return from_settings(artifacts.read_metadata(self.layout.logmel)["frontend"])

    def inputs(self, clips: Rows) -> torch.Tensor:
        """Read what networks get of clips, or make it where it is not stored: float32 ``[B, *I]``."""
        import torch

        if self._stored_inputs is None:
            return self.frontend(self.waveforms(clips))
        return self._stored_inputs[torch.from_numpy(_rows(clips))]

    def targets(self, clips: Rows) -> torch.Tensor:
        """Class index of clips: int64 ``[B]``."""
        import torch

        return torch.from_numpy(self._column("class_index", clips))

    def of_class(self, clips: Rows, cls: ClassInfo) -> np.ndarray:
        """Select the clips that are labelled as a class, in their order: rows of the clip index, int64."""
        return _rows(clips)[self._column("class_index", clips) == cls.index]

    @functools.cached_property
    def recordings(self) -> pd.DataFrame:
        """Where each recording lies in the decoded audio, indexed by its row of the manifest: columns as of `clips`."""
        return self.clips.drop_duplicates("recording").set_index("recording")

    def crop(self, recordings: Rows, starts: Rows) -> torch.Tensor:
        """Cut one clip from each recording.

        Parameters
        ----------
        recordings : sequence of int
            Rows of the manifest, ``[B]``.
        starts : sequence of int
            First sample within the recording, from 0 to `recording_samples` - `clip_samples`.

        Returns
        -------
        torch.Tensor
            float32 ``[B, S]`` in [-1, 1].

        Raises
        ------
        IndexError
            If a clip would reach beyond its recording.
        """
        stored = self.recordings.loc[_rows(recordings)]
        first = _rows(starts)
        if (first < 0).any() or (first + self.clip_samples > stored["recording_samples"].to_numpy()).any():
            raise IndexError("a crop reaches beyond its recording")
        return self._cut(self._samples, stored["recording_offset"].to_numpy() + first)

    def split(self, name: str) -> Split:
        """Select the clips of a split; see :func:`split_folds`. Held-out sets are in none."""
        validation, test = split_folds(name, self.n_folds)
        fold = self.clips["fold"].to_numpy()
        main = (self.clips["set"] == "main").to_numpy()
        rest = ~np.isin(fold, validation + test) | (self.n_folds == 1)
        return Split(
            name,
            train=np.flatnonzero(main & rest),
            validation=np.flatnonzero(main & np.isin(fold, validation)),
            test=np.flatnonzero(main & np.isin(fold, test)),
        )

    def training_recordings(self, split: Split | str) -> pd.DataFrame:
        """List the recordings that a split trains on.

        Returns
        -------
        pandas.DataFrame
            `recording` (row of the manifest), `class_index`, `recording_offset` (first sample
            in the decoded audio) and `recording_samples` (at least `clip_samples`).
        """
        chosen = self.split(split) if isinstance(split, str) else split
        columns = ["recording", "class_index", "recording_offset", "recording_samples"]
        return self.clips.loc[chosen.train, columns].drop_duplicates("recording").reset_index(drop=True)

    def held_out(self, which: str) -> np.ndarray:
        """Rows of a held-out set, ``all-validation`` or ``all-test``; empty where there is none."""
        if which not in HELD_OUT:
            raise ValueError(f"no held-out set {which!r}: there are {HELD_OUT}")
        return np.flatnonzero(self.clips["set"] == which)

    @property
    def has_stems(self) -> bool:
        """Whether its sound objects are known."""
        return self.layout.stems.exists()

    def stems(self, clips: Rows) -> torch.Tensor | None:
        """Read each sound object of clips at its level in the clip.

        Returns
        -------
        torch.Tensor or None
            float32 ``[B, O, S]`` on the scale of :meth:`waveforms`, 0 where an object is absent;
            None where the data set has no stems. :meth:`object_names` says what they are.
        """
        return self._cut(self._stems, self._column("offset", clips)) if self.has_stems else None

    def separated(self, clips: Rows) -> torch.Tensor:
        """Read what another program separated clips into: float32 ``[B, J, S]``, as :meth:`stems`."""
        return self._cut(self._separated, self._column("offset", clips))

    def object_names(self, cls: ClassInfo) -> list[str]:
        """Names of the sound objects of a class, in the order of :meth:`stems`; data with stems only."""
        truth = json.loads(self.layout.truth.read_text(encoding="utf-8"))
        return [described["name"] for described in truth["objects"][cls.name]]

    def _column(self, name: str, clips: Rows) -> np.ndarray:
        return self.clips[name].to_numpy(np.int64)[_rows(clips)]

    def _cut(self, stored: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
        """Cut clips out of the decoded audio ``[N]`` or its parts ``[O, N]``: ``[B, S]`` or ``[B, O, S]``."""
        import torch

        clips = np.empty((len(offsets), *stored.shape[:-1], self.clip_samples), np.float32)
        for row, offset in zip(clips, offsets, strict=True):
            row[:] = stored[..., offset : offset + self.clip_samples]
        return torch.from_numpy(clips) / FULL_SCALE

    @functools.cached_property
    def _samples(self) -> np.ndarray:
        return np.load(self.layout.clips, mmap_mode="r")

    @functools.cached_property
    def _stems(self) -> np.ndarray:
        return np.load(self.layout.stems, mmap_mode="r")

    @functools.cached_property
    def _separated(self) -> np.ndarray:
        return np.load(self.layout.separated, mmap_mode="r")

    @functools.cached_property
    def _stored_inputs(self) -> torch.Tensor | None:
        return artifacts.read_tensors(self.layout.logmel)[0].get("logmel")  # mapped: rows are read when asked for


def of(job: Job) -> DataSet:
    """Open the data set of a job; errors as :func:`open_dataset`."""
    return open_dataset(job.layout)


def explained(config: Mapping[str, Any], source: DataSet) -> list[ClassInfo]:
    """List the classes that are explained: those that ``explain.classes`` of a configuration names, or all."""
    wanted = asked_for({cls.name: cls.slug for cls in source.classes}, config["explain"]["classes"])
    return [cls for cls in source.classes if cls.slug in wanted]


def open_dataset(layout: Layout) -> DataSet:
    """Open an ingested data set.

    Raises
    ------
    EarmarkError
        If the data set has not been ingested.
    """
    for path in (layout.manifest, layout.classes, layout.clip_index, layout.clips, layout.logmel):
        if not path.exists():
            raise EarmarkError(f"The data set '{layout.dataset}' has not been ingested: '{path}' is missing.")
    listed = artifacts.read_csv(layout.classes)
    classes = [ClassInfo(row.slug, row.name, index) for index, row in enumerate(listed.itertuples(index=False))]
    numbers = ("clip", "fold", "offset", "samples", "recording_offset", "recording_samples", "recording")
    clips = artifacts.read_csv(layout.clip_index, dict.fromkeys(numbers, int))
    indices = clips["class"].map({cls.slug: cls.index for cls in classes})
    clips["class_index"] = indices.fillna(UNLABELLED).astype(np.int64)
    clip_samples = artifacts.read_metadata(layout.logmel)["clip_samples"]
    return DataSet(layout, classes, _read_manifest(layout.manifest), clips, clip_samples)


def _read_manifest(path: Path) -> pd.DataFrame:
    manifest = artifacts.read_csv(path)
    manifest["fold"] = pd.to_numeric(manifest["fold"]).astype("Int64")  # empty where excluded
    manifest["seconds"] = pd.to_numeric(manifest["seconds"])
    manifest["sample_rate"] = pd.to_numeric(manifest["sample_rate"]).astype("Int64")
    return manifest


def _rows(numbers: Rows) -> np.ndarray:
    return np.asarray(numbers, dtype=np.int64).reshape(-1)


def require_stems(source: DataSet) -> None:
    """Raise unless the data set's sound objects are known.

    Raises
    ------
    EarmarkError
        If the data set has no stems.
    """
    if not source.has_stems:
        raise EarmarkError(f"{source.layout.dataset} has no stems: its sound objects are not known")


def stems_of(source: DataSet, clips: Rows) -> torch.Tensor:
    """Read the stems ``[B, O, S]`` of clips.

    Raises
    ------
    EarmarkError
        If the data set has none.
    """
    require_stems(source)
    stems = source.stems(clips)
    assert stems is not None
    return stems
