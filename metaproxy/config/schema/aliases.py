"""
How much a text of YAML is once its aliases are replaced, counted before anything is.

Lives here: `too_many`. Does not: replacing them (`load`).
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from metaproxy.config.slices import checkpoint

MAX_ALIASED = 100_000
"""Values that all aliases of a text stand for together."""


def too_many(events: Iterator[yaml.Event], most: int = MAX_ALIASED) -> yaml.AliasEvent | None:
    """
    The event of the alias with which they are more than `most`; None if they never are. Work in proportion to the text.
    """
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = [(None, 0)]  # anchor and size so far of each list or mapping that is open
    aliased = 0
    for event in events:
        checkpoint()
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            within.append((event.anchor, 1))
            continue
        size = 0
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), 0)
            aliased += size
            if aliased > most:
                return event
        elif isinstance(event, yaml.ScalarEvent):
            size = _defined(sizes, event.anchor, 1)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            size = _defined(sizes, *within.pop())
        anchor, before = within[-1]
        within[-1] = (anchor, before + size)
    return None


def _defined(sizes: dict[str, int], anchor: str | None, size: int) -> int:
    if anchor is not None:
        sizes[anchor] = size
    return size
