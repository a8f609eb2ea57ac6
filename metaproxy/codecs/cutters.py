"""
The cutters that come with metaproxy, where they are compiled: see `cutter` of `metaproxy.interfaces.ISession`. And what
sends the plain messages of two protocols, which is one copy where Python makes three.

Lives here: `compiled_cutter`, `compiled_send`. Does not: what they do (`_cut.pyx`), the loops (each codec's session).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from metaproxy.codecs.framing import Cutter

_cut: ModuleType | None
try:
    _cut = import_module("metaproxy.codecs._cut")
except ModuleNotFoundError:  # see setup.py
    _cut = None

COMPILED = _cut is not None


postgres_rows: Cutter | None = getattr(_cut, "postgres_rows", None)
"""One that has no options."""


mysql_rows: Callable[[bytes, int], tuple[int, int]] | None = getattr(_cut, "mysql_rows", None)
"""No cutter, as rows are counted: (data, at) -> where it stopped, and how many rows that were."""


def compiled_cutter(name: str, *options: object) -> Cutter | None:
    """The cutter of this name, made with its options; None where nothing is compiled."""
    if _cut is None:
        return None
    made: Cutter = getattr(_cut, name)(*options)
    return made


def compiled_send(name: str, *options: object) -> Any:
    """
    What takes the place of `send` in a class of sessions: (session, message, id) -> Written. None where nothing is
    compiled.
    """
    return None if _cut is None else getattr(_cut, name)(*options)
