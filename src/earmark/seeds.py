"""Independent random streams from the one seed of the configuration."""

from __future__ import annotations

import hashlib


def derive(seed: int, *labels: str | int) -> int:
    """Return a 63-bit seed for one use of randomness.

    Parameters
    ----------
    seed : int
        The configuration's seed.
    *labels : str or int
        What the stream is for; different labels give unrelated streams, in every Python version alike.
    """
    text = "\0".join(str(part) for part in (seed, *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
