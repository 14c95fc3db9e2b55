"""What the page shows and plays of a recording that is explained as a whole; it plays in pieces, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.dataset import ClassInfo, DataSet
from earmark.job import Job
from earmark.models.base import Network, answered
from earmark.page import files
from earmark.page.about import described, method_entry
from earmark.page.sounds import AUDIBLE
from earmark.sound.tracks import Tiling
from earmark.store import artifacts

PIECE = 10
"""Seconds of sound in a file."""

BATCH = 16
"""Clips that are answered at a time."""

OUTLINE = 100
"""Points of the drawn waveform per second: its lowest and highest samples between them."""


@dataclass
class Reel:
    """The page of one recording.

    Parameters
    ----------
    folder : Path
        The page's ``files``; ``index.html`` lies beside it.
    model : Network
        What is explained.
    about : dict
        ``name``, ``file``, ``seconds`` and ``remarks`` of the recording.
    answers : Tensor [n, C]
        Logits of its clips.
    tiling : Tiling
        Of which the clips are.
    """

    folder: Path
    model: Network
    about: dict[str, Any]
    answers: Tensor
    tiling: Tiling
    _entries: list[dict[str, Any]] = field(default_factory=list, init=False, repr=False)

    def put(self, job: Job, cls: ClassInfo, written: Path) -> None:
        """Store what is shown and played of the explanation for a class, which lies in a folder as `track` wrote it."""
        entry = {
            "id": f"{self.about['name']}.{cls.slug}.{job.layer}.{job.method}.K{job.k}",
            "track": self.about["name"],
            "file": self.about["file"],
            "seconds": self.about["seconds"],
            "cls": cls.slug,
            "layer": job.layer,
            "method": job.method,
            "k": job.k,
        }
        self._entries.append(entry)
        rate = self.model.frontend.sample_rate
        names = [path.stem for path in sorted(written.glob("*.flac"), key=_place)]
        told = artifacts.read_csv(written / "score.csv", {"second": float, "concept": int, "relevance": float})
        scores = told.pivot(index="concept", columns="second", values="relevance")
        relevance = scores.to_numpy(np.float64)  # [K, n]
        seconds = scores.columns.to_numpy(np.float64)
        middles = self.tiling.middles(self.model.frontend)
        largest = float(np.abs(relevance).max()) or 1.0
        logits = self.answers.numpy()
        sounds = [self._sound(written / f"{name}.flac", f"{files.TRACKS}/{entry['id']}/{name}") for name in names]
        loud = sounds[0]
        for sound in sounds:
            level, peak = sound.pop("rms"), sound.pop("peak")
            if sound is loud:
                whole = level, peak
            sound["matched"] = min(whole[0] / level, whole[1] / peak) if level and peak else 0.0
        value = {
            **entry,
            "piece": PIECE,
            "wave": _outline(written / "input.flac", rate // OUTLINE),
            "wave_step": (rate // OUTLINE) / rate,
            "scores": files.cells(relevance, -largest, largest),
            "score_times": [float(seconds[0]), float(seconds[-1])],
            "shares": [float(f"{share:.5g}") for share in _shares(relevance)],
            "answers": files.cells(logits.T, float(logits.min()), float(logits.max())),
            "answer_times": [float(f"{middle:.6g}") for middle in middles],
            "mean": [round(float(logit), 4) for logit in logits.mean(axis=0)],
            "sounds": sounds,
            "remarks": self.about["remarks"],
        }
        files.put(self.folder, f"{files.TRACKS}/{entry['id']}", value)

    def _sound(self, path: Path, key: str) -> dict[str, Any]:
        """Store a sound piece by piece, and measure it, with what the model answers to it on the whole."""
        rate, power, peak, samples = self.model.frontend.sample_rate, 0.0, 0.0, 0
        pieces: list[dict[str, Any]] = []
        for number, wave in enumerate(_pieces(path, PIECE * rate)):
            loudest = float(np.abs(wave).max(initial=0.0))
            power, peak, samples = power + float(np.square(wave).sum()), max(peak, loudest), samples + len(wave)
            own = f"{key}/{number:04d}" if loudest >= AUDIBLE else None
            gain = files.put_sound(self.folder, own, wave, rate) if own else 0.0
            pieces.append({"key": own, "gain": gain})
        return {
            "name": path.stem,
            "key": next((piece["key"] for piece in pieces if piece["key"]), None),
            "gain": 1.0,
            "heard": [round(float(logit), 4) for logit in self._heard(path)],
            "pieces": pieces,
            "rms": (power / max(samples, 1)) ** 0.5,
            "peak": peak,
        }

    def _heard(self, path: Path) -> NDArray[np.float64]:
        """Answer every clip of a sound, at the level at which the model heard that of the recording: mean ``[C]``."""
        if path.stem == "input":
            return self.answers.double().mean(dim=0).numpy()
        device = next(self.model.network.parameters()).device
        total = torch.zeros(len(self.model.classes), dtype=torch.float64)
        for waves, clips in zip(self._clips(path), self._clips(path.with_name("input.flac")), strict=True):
            inputs = self.model.frontend(waves, like=clips).to(device)
            total += answered(self.model, inputs).cpu().double().sum(dim=0)
        return (total / len(self.tiling.starts)).numpy()

    def _clips(self, path: Path) -> Iterator[Tensor]:
        """Cut a sound into the clips of the recording, some at a time, ``[B, S]``."""
        samples, starts = self.model.frontend.clip_samples, self.tiling.starts
        with soundfile.SoundFile(path) as file:
            for first in range(0, len(starts), BATCH):
                clips = []
                for start in starts[first : first + BATCH]:
                    file.seek(start * self.tiling.hop)
                    clips.append(file.read(samples, "float32", fill_value=0.0))
                yield torch.from_numpy(np.stack(clips))

    def close(self, job: Job, source: DataSet) -> None:
        """Write the rest of the page: what there is to choose from, and what every page has."""
        entries = self._entries
        views = [{name: entry[name] for name in ("id", "cls", "layer", "method", "k")} for entry in entries]
        known = {cls.slug: cls for cls in source.classes}
        classes = [{"slug": view["cls"], "name": known[view["cls"]].name, **NOTHING} for view in views]
        for view in views:
            files.put(self.folder, f"views/{view['id']}", {**view, **EMPTY})
        about = {
            **described(job.dataset, self.model.frontend, source, self.model.multi_label),
            "split": job.split,
            "accuracy": None,
            "sections": ["tracks", "notes"],
            "classes": classes,
            "layers": [job.layer],
            "methods": [method_entry(job.method, [job.method])],
            "ks": [job.k],
            "views": views,
            "tracks": entries,
            "notes": NOTES,
            **{name: [] for name in ("others", "explanations", "tables", "figures")},
        }
        files.put(self.folder, "data", about)
        files.furnish(self.folder)
        (self.folder.parent / "index.html").write_text(files.start(), encoding="utf-8")
        artifacts.write_json(self.folder / files.TRACKS / files.ENTRIES, {"entries": entries}, job.made)


NOTHING = {"clips": 0, "left_out": 0, "reason": ""}
"""Of a class: this page shows none of its clips."""

EMPTY: dict[str, list[Any]] = {name: [] for name in ("summary", "clips", "concepts", "notes")}
"""Of a view: this page shows recordings alone."""

NOTES = [
    "The recording is heard by the model in clips that overlap by half. Their maps are cross-faded to one, and one set "
    "of masks is made of that for the whole recording: a part that is quiet here is quiet beside the rest of it.",
    "The score of a concept is the relevance of its cells in a tenth of a second; its share is that of scores above 0.",
]


def _place(path: Path) -> tuple[int, int]:
    """Order sounds as the page does: the input, the standard explanation, concepts by number, what is left."""
    order = ("input", "standard", "concept", "bypass", "rest")
    number = path.stem.removeprefix("concept")
    return order.index("concept" if number.isdigit() else path.stem), int(number) if number.isdigit() else 0


def _pieces(path: Path, samples: int) -> Iterator[NDArray[np.float32]]:
    with soundfile.SoundFile(path) as file:
        yield from file.blocks(samples, dtype="float32")


def _outline(path: Path, step: int) -> dict[str, Any]:
    """Draw a waveform by its lowest and highest samples, two rows of cells."""
    lows, highs = [], []
    for wave in _pieces(path, 1000 * step):
        padded = np.pad(wave, (0, -len(wave) % step), mode="edge").reshape(-1, step)
        lows.append(padded.min(axis=1))
        highs.append(padded.max(axis=1))
    both = np.stack([np.concatenate(lows), np.concatenate(highs)])
    largest = float(np.abs(both).max()) or 1.0
    return files.cells(both, -largest, largest)


def _shares(relevance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each concept ``[K, n]`` in what speaks for the class, tenth by tenth."""
    sums = relevance.clip(0).sum(axis=1)
    return sums / (sums.sum() or 1.0)
