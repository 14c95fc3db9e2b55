"""Sounds of a page: each stored once, with its gains and with what the model answers when it hears that sound alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile
from torch import Tensor

from earmark.models.base import Network
from earmark.page import files

DIGITS = 16
"""Of its digest, by which a sound is named: what several views play is stored once."""

INPUT = "input"
"""What the sound of the clip itself is called."""

AUDIBLE = 1e-7
"""Peak below which a sound is silence: what is left of it is rounding."""


@dataclass(frozen=True)
class Library:
    """Where the sounds of a page go.

    Parameters
    ----------
    folder : Path
        The page's ``files``.
    model : Network
        The one that is explained.
    """

    folder: Path
    model: Network
    _gains: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of_folder(self, folder: Path, names: list[str]) -> list[dict[str, Any]]:
        """Store the sounds of a clip, as `sonify` wrote them.

        Parameters
        ----------
        folder : Path
            Of the clip's sounds.
        names : list of str
            Which of them, in this order; ``input`` first.

        Returns
        -------
        list of dict
            A sound each, by ``name``: its ``key``, None for silence; its ``gain`` to its true level, and ``matched`` to
            the loudness of the input (eq. 3.19) as far as its peak allows; and ``heard``, the model's logits.
        """
        return self.of({name: read(folder / f"{name}.wav") for name in names})

    def of(self, waves: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """Store the sounds ``[S]`` of a clip, the first of which is the clip; as :meth:`of_folder`."""
        clip = next(iter(waves.values()))
        answers = self._heard(torch.stack(list(waves.values())), clip)
        return [
            {"name": name, **self._stored(wave, clip), "heard": [round(logit, 4) for logit in logits]}
            for (name, wave), logits in zip(waves.items(), answers.tolist(), strict=True)
        ]

    def _heard(self, waves: Tensor, clip: Tensor) -> Tensor:
        """Answer sounds ``[n, S]`` at the level at which the model heard the clip ``[S]``: logits ``[n, C]``."""
        with torch.inference_mode():
            return self.model.logits(self.model.frontend(waves, like=clip))

    def _stored(self, wave: Tensor, clip: Tensor) -> dict[str, Any]:
        samples = wave.numpy()
        if float(np.abs(samples).max()) < AUDIBLE:
            return {"key": None, "gain": 0.0, "matched": 0.0}
        key = f"sounds/{hashlib.sha256(samples.tobytes()).hexdigest()[:DIGITS]}"
        if key not in self._gains:
            self._gains[key] = files.put_sound(self.folder, key, samples, self.model.frontend.sample_rate)
        loudness = float(clip.square().mean().sqrt() / wave.square().mean().sqrt())
        room = float(clip.abs().max() / wave.abs().max())
        return {"key": key, "gain": self._gains[key], "matched": self._gains[key] * min(loudness, room)}


def read(path: Path) -> Tensor:
    """Read a WAV of one channel, ``[S]``."""
    return torch.from_numpy(wavfile.read(path)[1].copy())
