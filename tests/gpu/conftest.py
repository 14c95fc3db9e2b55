"""The network that the unit tests share, on both devices."""

from tests.unit.conftest import trained

__all__ = ["trained"]
