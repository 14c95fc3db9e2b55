"""Show how far a long step is, in its log and on the terminal."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import TextIO

log = logging.getLogger(__name__)

DESCRIPTOR = "EARMARK_PROGRESS_FD"
"""A rule sends stdout and stderr to its log; this variable names the descriptor of the terminal."""


def terminal() -> TextIO | None:
    """Open the terminal that a rule hands on, None where there is none."""
    try:
        return os.fdopen(os.dup(int(os.environ[DESCRIPTOR])), "w", buffering=1)
    except (KeyError, ValueError, OSError):
        return None


class Progress:
    """Report a step's progress every few seconds, at its start and at its end.

    Parameters
    ----------
    label : str
        What is being done, for the reader: ``train synthetic/main``.
    total : int
        Number of units.
    every : float
        Seconds between two reports.
    """

    def __init__(self, label: str, total: int, every: float = 10.0) -> None:
        self.label, self.total, self.every = label, total, every
        self.started = self.reported = time.monotonic()

    def __call__(self, done: int, note: str = "") -> None:
        """Say that `done` of the units are finished, with a `note` on the state."""
        now = time.monotonic()
        if done < self.total and now - self.reported < self.every:
            return
        self.reported = now
        left = (now - self.started) / max(done, 1) * (self.total - done)
        line = f"{self.label}: {done}/{self.total} ({done / max(self.total, 1):.0%}), {left:.0f} s left"
        line += f", {note}" if note else ""
        log.info("%s", line)
        screen = terminal()
        if screen is not None:
            with suppress(OSError), screen:  # of a Snakemake that was killed: its job goes on
                print(f"  {line}", file=screen)
