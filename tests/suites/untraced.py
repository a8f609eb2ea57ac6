"""
A plugin for redis-py's tests, which have Python trace all that it allocates: without, they take a tenth of the time.

Lives here: that. Does not: how the tests are run (`drivers`).
"""

from __future__ import annotations

import tracemalloc


def pytest_configure() -> None:
    tracemalloc.start = tracemalloc.stop = lambda *frames: None  # type: ignore[assignment]
