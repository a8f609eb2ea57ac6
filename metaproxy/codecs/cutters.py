"""
What cuts the plain frames of a read in C, where that is compiled; each is None where it is not.

Codecs call these before their own loops, which go on where they stop, and give the same messages without them: so a
frame that is incomplete, unusual or wrong is looked at in one place only.

Lives here: their names. Does not: what they do (`_cut.pyx`), the loops (each codec's session).
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_cut: ModuleType | None
try:
    _cut = import_module("metaproxy.codecs._cut")
except ModuleNotFoundError:  # see setup.py
    _cut = None

dubbo = getattr(_cut, "DubboCutter", None)
"""(client, most, more) -> a cutter: (data, at, messages) -> where it stopped."""
redis_commands = getattr(_cut, "redis_commands", None)
redis_replies = getattr(_cut, "redis_replies", None)
thrift_framed = getattr(_cut, "thrift_framed", None)
