"""
What a proxy has counted, as JSON, for the process that takes its place: so that a counter never goes back.

Lives here: `export`, `take`. Does not: the walk over what is counted (`workers.counted`), when that is done
(`predecessor`, `successor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaproxy.app.service import ProxyService
from metaproxy.workers.counted import CountReader, Key, add, places

Exported = dict[str, Any]
"""By place, by attribute: numbers, and mappings of numbers."""

BETWEEN = "\n"
"""Between the words of a place."""
_HERE: frozenset[Key] = frozenset({("unparsed",)})
"""What begins at 0: it is counted by pairs, which are no keys of JSON."""


def export(reader: CountReader) -> Exported:
    """Return what was counted since the reader's last look, but for what is 0."""
    return {BETWEEN.join(key): added for key, added in reader.read().items() if key not in _HERE}


def take(proxy: ProxyService, exported: Mapping[str, Any]) -> list[str]:
    """Add an export to what is counted here. Return the places that are not there any more."""
    here = {BETWEEN.join(key): counts for key, counts in places(proxy).items() if key not in _HERE}
    for place, added in exported.items():
        if place in here:
            add(here[place], added)
    return [place for place in exported if place not in here]
