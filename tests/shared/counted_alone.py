"""
What is counted once for the whole process, apart for one test.

Lives here: `nothing_unparsed`. Does not: anything that counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metaproxy.support.unparsed import UNPARSED


@pytest.fixture(autouse=True)
def nothing_unparsed() -> Iterator[None]:
    """SQL that other tests had not understood is not counted by what reads all counts of a process."""
    before = UNPARSED.copy()
    UNPARSED.clear()
    yield
    UNPARSED.clear()
    UNPARSED.update(before)
