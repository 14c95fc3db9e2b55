"""Pictures of clips on a page: each stored once, however many views show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earmark.data.dataset import DataSet
from earmark.page import files
from earmark.sound.base import Frontend


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a page go.

    Parameters
    ----------
    folder : Path
        The page's ``files``.
    source : DataSet
        Whose clips they show.
    frontend : Frontend
        What the model hears them through.
    """

    folder: Path
    source: DataSet
    frontend: Frontend
    _kept: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    def of(self, clip: int) -> dict[str, Any]:
        """Store the picture of a clip, a row of the clip index, and refer to it."""
        key = f"pictures/{clip}"
        if clip not in self._kept:
            picture = self.frontend.picture(self.source.inputs([clip]))[0]  # [F, T]
            files.put(self.folder, key, files.cells(picture, float(picture.min()), float(picture.max())))
            self._kept.add(clip)
        return files.stored(key)
