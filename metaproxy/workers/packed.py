"""
The sections of a configuration on their way to a worker.

Lives here: `Packed`. Does not: the message that they are in (`messages`), who works in slices (`supervisor`, `worker`).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from metaproxy.config.slices import checkpoint

S = TypeVar("S")

ROUTES_AT_ONCE = 100
"""Routes of a listener that are pickled together, which takes about a millisecond."""


class Packed(Generic[S]):
    """
    Listeners or clusters, each pickled by itself, and of a listener with many routes some at a time: both the one who
    makes it and the one who walks over it may do other work in between. The message that it is in is made and read at
    once, which 10,000 routes as they are would take a tenth of a second for, and copies as many bytes now.
    """

    def __init__(self, sections: Iterable[S]) -> None:
        self._sections = [_pickled(section) for section in sections]

    def __len__(self) -> int:
        return len(self._sections)

    def __iter__(self) -> Iterator[S]:
        return map(_section, self._sections)


def _pickled(section: Any) -> list[bytes]:
    checkpoint()
    routes = getattr(section, "routes", ())
    if len(routes) <= ROUTES_AT_ONCE:
        return [_dumped(section)]
    starts = range(0, len(routes), ROUTES_AT_ONCE)
    return [
        _dumped(replace(section, routes=())), *(_dumped(routes[start : start + ROUTES_AT_ONCE]) for start in starts)
    ]  # fmt: skip


def _dumped(value: object) -> bytes:
    checkpoint()
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _section(parts: list[bytes]) -> Any:
    section, *groups = map(_loaded, parts)
    return replace(section, routes=tuple(route for group in groups for route in group)) if groups else section


def _loaded(data: bytes) -> Any:
    checkpoint()
    return pickle.loads(data)
