"""Stage ``adopt``: check a trained network of the user's, and store it."""

from __future__ import annotations


def run(job):
    raise NotImplementedError
