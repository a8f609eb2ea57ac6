"""
The answer to hello as clients may have it: with addresses of the proxy in the place of the servers' own.

A driver takes the addresses of a replica set from the answer to its hello and connects to these. So that it goes on
talking to the proxy, they are translated one by one (`hosts`), or all of them are the one address at which the client
reached the proxy. Compression is not offered: what is compressed can't be routed by, and would be packed twice.

Lives here: `Addresses`, `rewrite`; what is asked in a hello. Does not: answering a hello, logins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from metaproxy.codecs.mongodb import bson
from metaproxy.codecs.mongodb.wire import Body
from metaproxy.message import FrameError

_LISTS: Final = (b"hosts", b"passives", b"arbiters")
_DROPPED: Final = (b"compression",)


class Addresses:
    """translated: a server's address -> the proxy's for it; empty: all are `own`, the address of the proxy itself."""

    __slots__ = ("own", "translated")

    def __init__(self, translated: Mapping[str, str], own: str) -> None:
        self.translated = translated
        self.own = own

    def of(self, address: str) -> str | None:
        """The proxy's address for that of a server; None for a server that is not reached through it."""
        return self.translated.get(address) if self.translated else self.own


def rewrite(frame: bytes, body: Body, addresses: Addresses, balanced: bool) -> bytes:
    """
    The document of a hello's answer for a client. balanced: it asked for loadBalanced, and wants to know which server
    it is connected to. Raises FrameError where the document is no BSON.
    """
    fields = {element.name: element for element in bson.elements(frame, *body)}
    written = list(_fields(frame, fields, addresses))
    if balanced and b"serviceId" not in fields:
        written.insert(0, b"\x07serviceId\0" + _process(frame, fields))
    return bson.join(written)


def _fields(frame: bytes, fields: dict[bytes, bson.Element], addresses: Addresses) -> Iterator[bytes]:
    me = _text(frame, fields, b"me")
    for name, element in fields.items():
        if name in _DROPPED:
            continue
        if name in _LISTS and element.type == bson.ARRAY:
            if name == b"hosts" or addresses.translated:
                yield bson.field(name.decode(), [*_addresses(frame, element, addresses)])
        elif name == b"me" or name == b"primary":
            address = bson.text(frame, element)
            known = addresses.translated or name == b"me" or address == me
            translated = addresses.of(address) if address is not None and known else None
            if translated is not None:
                yield bson.field(name.decode(), translated)
        else:
            yield frame[element.start : element.stop]


def _addresses(frame: bytes, element: bson.Element, addresses: Addresses) -> Iterator[str]:
    if not addresses.translated:
        yield addresses.own
        return
    for item in bson.elements(frame, element.at, element.stop):
        translated = addresses.of(bson.text(frame, item) or "")
        if translated is not None:
            yield translated


def _text(frame: bytes, fields: dict[bytes, bson.Element], name: bytes) -> str | None:
    return bson.text(frame, fields[name]) if name in fields else None


def _process(frame: bytes, fields: dict[bytes, bson.Element]) -> bytes:
    """Twelve bytes that are the server process's own: of its topologyVersion."""
    version = fields.get(b"topologyVersion")
    if version is not None and version.type == bson.DOCUMENT:
        process = bson.find(frame, version.at, version.stop, b"processId")
        if process is not None and process.type == bson.OBJECT_ID:
            return frame[process.at : process.stop]
    return b"metaproxy-00"


class Asked:
    """What a client says in its hello. application: "" if it says none; awaits: it waits for a change."""

    __slots__ = ("application", "awaits", "balanced")

    def __init__(self, frame: bytes, body: Body) -> None:
        self.application = ""
        self.awaits = self.balanced = False
        for element in bson.elements(frame, *body):
            if element.name == b"client" and element.type == bson.DOCUMENT:
                self.application = _application(frame, element)
            elif element.name == b"loadBalanced":
                self.balanced = bool(bson.number(frame, element))
            elif element.name == b"maxAwaitTimeMS":
                self.awaits = True


def _application(frame: bytes, client: bson.Element) -> str:
    application = bson.find(frame, client.at, client.stop, b"application")
    if application is None or application.type != bson.DOCUMENT:
        return ""
    name = bson.find(frame, application.at, application.stop, b"name")
    return (bson.text(frame, name) or "")[:128] if name is not None else ""


def serves_as(frame: bytes, body: Body) -> str:
    """What the server is that answers a hello so: primary (also a server alone, a mongos), secondary, or other."""
    fields = {element.name: element for element in bson.elements(frame, *body)}

    def is_true(name: bytes) -> bool:
        return name in fields and bool(bson.number(frame, fields[name]))

    if not is_true(b"ok"):
        raise FrameError("the server answers hello with an error")
    if is_true(b"isWritablePrimary") or is_true(b"ismaster"):
        return "primary"
    return "secondary" if is_true(b"secondary") else "other"
