"""The one exception that a user is meant to read."""


class EarmarkError(Exception):
    """A mistake in the input that one sentence explains; the command line prints it and exits 1."""
