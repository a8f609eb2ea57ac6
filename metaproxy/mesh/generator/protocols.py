"""
Which filter takes a port, as the port's name says: the second part of it is what Aeraki goes by.

Lives here: `PortProtocol`, `protocol_of`. Does not: the filters (`filters`, `native`, `redis`).
"""

from __future__ import annotations

from typing import NamedTuple

from metaproxy.mesh.generator.index import View
from metaproxy.mesh.objects.meta_router import ApplicationProtocol
from metaproxy.support.nearest_name import did_you_mean

METAPROTOCOL, DUBBO, THRIFT, REDIS, TCP = "metaprotocol", "dubbo", "thrift", "redis", "tcp"
_SNIFFED = ("kafka", "zookeeper", "mongo", "mysql")
"""Protocols that Aeraki or istiod only count; their bytes pass."""
CODECS = {
    "dubbo": "aeraki.meta_protocol.codec.dubbo",
    "thrift": "aeraki.meta_protocol.codec.thrift",
    "brpc": "aeraki.meta_protocol.codec.brpc",
    "trpc": "aeraki.meta_protocol.codec.trpc",
}
"""Protocols that need no ApplicationProtocol; one of the same name goes before."""


class PortProtocol(NamedTuple):
    """filter: which takes the port; protocol, codec: with METAPROTOCOL, what is spoken and what reads it."""

    filter: str
    protocol: str = ""
    codec: str = ""


def protocol_of(view: View, name: str) -> PortProtocol | str | None:
    """
    Return what takes a port of this name: None for a port that is none of Aeraki's, a text that says what is wrong
    for one that can be none.
    """
    parts = name.split("-")
    token = parts[1].lower() if len(parts) > 1 else ""
    if token in (DUBBO, THRIFT, REDIS):
        return PortProtocol(token)
    if token in _SNIFFED:
        return PortProtocol(TCP)
    if token != METAPROTOCOL:
        return None
    if len(parts) < 3:
        return f"the port name {name!r} names no protocol; write tcp-metaprotocol-dubbo or another"
    protocol = parts[2]
    given = view.find(ApplicationProtocol, "protocol", protocol)
    for other, _ in given[1:]:
        view.note(other, f"{given[0][0].key} is for the protocol {protocol}, too, and goes before it")
    codec = given[0][1].codec if given else CODECS.get(protocol)
    if codec is None:
        hint = did_you_mean(protocol, CODECS, "an ApplicationProtocol gives it a codec")
        return f"the port name {name!r}: no protocol {protocol!r}; {hint}"
    return PortProtocol(METAPROTOCOL, protocol, codec)
