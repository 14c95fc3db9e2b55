"""The one exception that a user is meant to read."""

from __future__ import annotations


class EarmarkError(Exception):
    """A mistake in the input that one sentence explains; the command line prints it and exits 1."""
