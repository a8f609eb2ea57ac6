"""
Rules on listeners that find out what their clients speak: who they may hand them to.

Lives here: `RULES`. Does not: how it is found out (`proxy.detection`).
"""

from __future__ import annotations

from metaproxy.codecs.framing import Codec
from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading, near

RULES = Rules()

_ELSEWHERE = ("routes", "filters", "access_log", "tracing")
"""What exchanges pass: a listener with `protocol: auto` has none."""


def _candidates(listener: model.Listener, reading: Reading) -> tuple[str, ...] | None:
    codec = reading.codec(listener.protocol)
    found: tuple[str, ...] | None = getattr(codec, "candidates", None)
    return found


@RULES.of(model.Config)
def _candidates_are_listeners(config: model.Config, reading: Reading) -> None:
    by_name = {listener.name: listener for listener in config.listeners}
    taken: set[str] = set()
    for listener in config.listeners:
        for name in _candidates(listener, reading) or ():
            taken.add(name)
            other = by_name.get(name)
            at = reading.at(listener, "protocol")
            if other is None:
                reading.problem(at, f"candidates: there is no listener {name!r}; {near(name, by_name, 'listener')}")
            elif _candidates(other, reading) is not None:
                reading.problem(at, f"candidates: listener {name!r} has protocol: auto itself; name those behind it")
            elif not _tells(other, reading):
                text = f"candidates: {other.protocol.name} can't be told by a client's first bytes or by ALPN"
                reading.problem(at, text)
    for listener in config.listeners:
        if not listener.listen and listener.name not in taken:
            text = "no listen: write an address, or name it in the candidates of a listener with protocol: auto"
            reading.problem(reading.at(listener), text)


def _tells(listener: model.Listener, reading: Reading) -> bool:
    codec = reading.codec(listener.protocol)
    if codec is None:
        return True
    return bool(getattr(codec, "alpn", ())) or getattr(type(codec), "detect", None) is not Codec.detect


@RULES.of(model.Listener)
def _what_exchanges_pass_is_elsewhere(listener: model.Listener, reading: Reading) -> None:
    if _candidates(listener, reading) is None:
        return
    for key in _ELSEWHERE:
        if reading.gives(listener, key):
            text = "has no effect: clients are handed to the candidates; write it at these"
            reading.problem(reading.at(listener, key), text)
