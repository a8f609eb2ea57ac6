"""
The cutters that come with metaproxy, where they are compiled: see `cutter` of `metaproxy.interfaces.ISession`. And
methods of sessions that send plain messages with one copy where Python makes three, and read them with fewer calls.

Lives here: `compiled_cutter`, `compiled_methods`, `compiled_function`. Does not: what they do (`_cut.pyx`), the loops
(each codec's session).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from metaproxy.codecs.framing import Cutter

F = TypeVar("F", bound=Callable[..., object])
S = TypeVar("S")

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


def compiled_function(maker: str, *options: object) -> Callable[[F], F]:
    """
    A decorator: where it is compiled, what the maker of this name gives for the function and these options takes its
    place.
    """

    def replace(function: F) -> F:
        made: F = getattr(_cut, maker)(function, *options) if _cut is not None else function
        return made

    return replace


def compiled_methods(maker: str, *options: object) -> Callable[[type[S]], type[S]]:
    """
    A decorator for a class of sessions: where it is compiled, some methods take the place of the class's own, which the
    maker of this name gives for the class and these options.
    """

    def replace(sessions: type[S]) -> type[S]:
        for name, method in getattr(_cut, maker)(sessions, *options).items() if _cut is not None else ():
            setattr(sessions, name, method)
        return sessions

    return replace
