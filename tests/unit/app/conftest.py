"""What holds for all tests of the application."""

import pytest
from counted_alone import nothing_unparsed

from metaproxy.config import slices

__all__ = ["no_slices", "nothing_unparsed"]


@pytest.fixture(autouse=True)
def no_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small configuration is checked and built at once, also where the machine is busy: tests see what came of it."""
    monkeypatch.setattr(slices, "FIRST", 60.0)
