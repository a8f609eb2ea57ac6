"""What holds for all tests of the admin API."""

import pytest

from metaproxy.config import slices


@pytest.fixture(autouse=True)
def no_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small configuration is checked and built at once, also where the machine is busy: tests see what came of it."""
    monkeypatch.setattr(slices, "FIRST", 60.0)
