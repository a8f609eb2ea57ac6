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

_ELSEWHERE = ("routes", "filters", "access_log", "statements", "tracing")
"""What exchanges pass: a listener with `protocol: auto` has none."""


def _candidates(listener: model.Listener, reading: Reading) -> tuple[str, ...] | None:
    """Who its clients may be handed to by what they speak; None: it hands them to none."""
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
        taken.update(chain.listener for chain in listener.chains)
    for listener in config.listeners:
        if not listener.listen and not listener.meant_for and listener.name not in taken:
            text = "no listen: write an address, or name it in the candidates or chains of one with protocol: auto"
            reading.problem(reading.at(listener), text)


def _tells(listener: model.Listener, reading: Reading) -> bool:
    codec = reading.codec(listener.protocol)
    if codec is None:
        return True
    return bool(getattr(codec, "alpn", ())) or getattr(type(codec), "detect", None) is not Codec.detect


@RULES.of(model.Listener)
def _one_thing_decides(listener: model.Listener, reading: Reading) -> None:
    candidates = _candidates(listener, reading)
    for key in ("chains", "hand_over"):
        if getattr(listener, key) and candidates is None:
            reading.problem(reading.at(listener, key), "has no effect; write protocol: auto, or leave it out")
    if listener.hand_over and not listener.original_destination:
        text = "has no effect without original_destination: true, which says where connections were meant to go"
        reading.problem(reading.at(listener, "hand_over"), text)
    if listener.hand_over and listener.meant_for:
        reading.problem(reading.at(listener, "meant_for"), "a listener with hand_over takes none of others")
    if candidates is None:
        return
    if listener.chains and candidates:
        text = "chains and candidates exclude each other: name a listener with candidates in a chain"
        reading.problem(reading.at(listener, "chains"), text)
    elif not (candidates or listener.chains or listener.hand_over):
        text = "auto needs candidates, which are told by their bytes, or the listener's chains"
        reading.problem(reading.at(listener, "protocol"), text)
    if listener.chains and listener.tls is not None:
        text = "has no effect: write it at the listeners of its chains, which begin TLS"
        reading.problem(reading.at(listener, "tls"), text)
    if any(chain.listener == listener.name for chain in listener.chains):
        reading.problem(reading.at(listener, "chains"), "a chain leads to the listener itself; name another one")


@RULES.of(model.Config)
def _an_address_has_one_listener(config: model.Config, reading: Reading) -> None:
    first: dict[str, str] = {}
    for listener in config.listeners:
        for where in listener.meant_for:
            if first.setdefault(where, listener.name) != listener.name:
                text = f"connections for {where} go to listener {first[where]!r} already"
                reading.problem(reading.at(listener, "meant_for"), text)


@RULES.of(model.Config)
def _chains_come_to_an_end(config: model.Config, reading: Reading) -> None:
    with_chains = {one.name for one in config.listeners if one.chains}
    for listener in config.listeners:
        for chain in listener.chains:
            if chain.listener in with_chains and chain.listener != listener.name:
                text = f"listener {chain.listener!r} has chains itself; put them all into one list"
                reading.problem(reading.at(chain, "listener"), text)


@RULES.of(model.Listener)
def _what_exchanges_pass_is_elsewhere(listener: model.Listener, reading: Reading) -> None:
    if _candidates(listener, reading) is None:
        return
    for key in _ELSEWHERE:
        if reading.gives(listener, key):
            text = "has no effect: clients are handed to the candidates; write it at these"
            reading.problem(reading.at(listener, key), text)
