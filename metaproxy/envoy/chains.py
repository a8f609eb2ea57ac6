"""
Listeners of Envoy with several filter chains, or that hand connections to each other.

Lives here: `chain_match`, and `fronted`: the listener that accepts, with those that its chains become. Does not: what a
chain does with a connection (`listeners`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.report import Unusable
from metaproxy.envoy.tables import Context, Plain

_TRANSPORTS = {"": None, "tls": True, "raw_buffer": False}
_WAIT, _LONGEST = 15.0, 300.0
"""Seconds that a client has to say what chains look at, where the message does not say it; and at most."""

MakeChain = Callable[[Fields, str, "list[str]"], Plain]
"""(chain, name, addresses that it listens at itself) -> the listener that it becomes. Raises Unusable."""


class Front(NamedTuple):
    """
    What a listener is besides its chains. name; listen: its addresses; bound: whether it listens there, and is not only
    handed connections that were meant for them; hands_over: whether it does so with others; redirected: whether its
    connections were, to where they were meant to go.
    """

    name: str
    listen: list[str]
    bound: bool
    hands_over: bool
    redirected: bool


def chain_match(chain: Fields) -> Plain:
    """`match:` of a chain: {} for every connection."""
    match = chain.message_at("filter_chain_match")
    if match is None:
        return {}
    transport = match.text("transport_protocol")
    if transport not in _TRANSPORTS:
        match.essential("transport_protocol", f"metaproxy tells tls from raw_buffer, and knows no {transport!r}")
    plain: Plain = {
        "port": match.whole("destination_port"),
        "destination": _networks(match, "prefix_ranges"),
        "source": _networks(match, "source_prefix_ranges"),
        "server_names": match.texts("server_names"),
        "alpn": match.texts("application_protocols"),
        "encrypted": _TRANSPORTS.get(transport),
    }
    if match.given("source_type"):
        match.essential("source_type", "metaproxy does not ask where on this host a connection comes from")
    for name in ("address_suffix", "suffix_len", "direct_source_prefix_ranges", "source_ports"):
        if match.given(name):
            match.essential(name, "metaproxy's chains look at ports, networks, server names, TLS and ALPN")
    return {key: value for key, value in plain.items() if value is False or value not in (None, 0, [])}


def _networks(match: Fields, name: str) -> list[str]:
    return [f"{one.text('address_prefix')}/{one.whole('prefix_len')}" for one in match.each(name)]


def is_plain(chains: Sequence[Fields], default: Fields | None, front: Front) -> bool:
    """Whether a listener is just its one chain."""
    return len(chains) == 1 and default is None and not front.hands_over and not chains[0].given("filter_chain_match")


def fronted(
    fields: Fields, chains: Sequence[Fields], default: Fields | None, front: Front, context: Context, make: MakeChain
) -> list[Plain]:
    """
    The listener in front of several chains, and one for each of these. Where the report is lenient a chain that can't
    be used becomes one that closes its connections: no other chain may have them.
    """
    found: list[Plain] = []
    listed: list[Plain] = []
    errors: list[str] = []
    for place, chain in enumerate([*chains, *([default] if default is not None else [])]):
        name = f"{front.name}/{chain.text('name') or 'chain'}/{place}"
        match = chain_match(chain) if chain is not default else {}
        try:
            found.append(make(chain, name, []))
        except Unusable as error:
            chain.give_up()
            errors.append(str(error))
            found.append({"name": name, "listen": [], "protocol": "tcp", "routes": []})
        listed.append(without_empty({"match": match, "listener": name}))
    if len(errors) == len(found) and not front.hands_over:
        raise Unusable(errors[0] if errors else f"{fields.path}: no chain that could be used")
    plain: Plain = {"name": front.name, "protocol": {"name": "auto", "wait": _wait(fields)}, "chains": listed}
    if front.redirected or front.hands_over:
        plain["original_destination"] = True
    if front.hands_over:
        plain["hand_over"] = True
    plain.update(where(front))
    return [*found, context.place(plain, fields.path)]


def where(front: Front) -> Plain:
    """Where its connections come from."""
    return {"listen": front.listen} if front.bound else {"meant_for": front.listen}


def _wait(fields: Fields) -> float:
    given = fields.seconds("listener_filters_timeout", _WAIT)
    fields.ignore("continue_on_listener_filters_timeout")  # who says nothing counts as a client without TLS
    if not given:
        return _LONGEST  # Envoy would wait for ever
    if 0.1 <= given <= _LONGEST:
        return given
    fields.unhonoured("listener_filters_timeout", f"metaproxy waits for {shown_seconds(_LONGEST)} at most")
    return _LONGEST
