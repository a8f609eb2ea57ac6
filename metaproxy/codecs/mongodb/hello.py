"""
The answer to hello as clients may have it: with addresses of the proxy in the place of the servers' own.

A driver takes the addresses of a replica set from the answer to its hello and connects to these. So that it goes on
talking to the proxy, they are translated one by one (`hosts`), or all of them are the one address at which the client
reached the proxy. Compression is between client and proxy, and none is offered but what the codec's `compressors` say.

Lives here: `Addresses`, `rewrite`; what is asked in a hello. Does not: answering a hello, logins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from metaproxy.codecs.mongodb import bson
from metaproxy.codecs.mongodb.wire import Body
from metaproxy.message import FrameError

_LISTS: Final = (b"hosts", b"passives", b"arbiters")
_MECHANISMS: Final = b"saslSupportedMechs"
_DROPPED: Final = frozenset((b"compression",))  # the server's own
_OF_ONE_SERVER: Final = _DROPPED | {
    b"topologyVersion",
    b"connectionId",
    _MECHANISMS,
    b"speculativeAuthenticate",
}
"""What is only true of the server, or the connection, that answered: clients that share connections may not have it."""
_OF_A_SET: Final = frozenset(
    (
        b"hosts", b"passives", b"arbiters", b"me", b"primary", b"setName", b"setVersion", b"electionId", b"secondary",
        b"arbiterOnly", b"passive", b"hidden", b"tags", b"lastWrite", b"isWritablePrimary", b"ismaster", b"msg",
        b"topologyVersion",
    )
)  # fmt: skip
"""What a mongos does not say."""
_ASKED: Final = frozenset((b"helloOk", b"comment", b"$db", b"apiVersion", b"apiStrict", b"apiDeprecationErrors"))
"""What goes on to a server of a hello whose client shares connections with others."""


class Addresses:
    """
    translated: a server's address -> the proxy's for it; empty: all are `own`, the address of the proxy itself. mongos:
    the proxy passes for a mongos, where there is a replica set behind it. shared: clients share connections.
    """

    __slots__ = ("mongos", "own", "shared", "translated")

    def __init__(self, translated: Mapping[str, str], own: str, mongos: bool = False, shared: bool = False) -> None:
        self.translated = translated
        self.own = own
        self.mongos = mongos
        self.shared = shared

    def of(self, address: str) -> str | None:
        """The proxy's address for that of a server; None for a server that is not reached through it."""
        return self.translated.get(address) if self.translated else self.own


def rewrite(frame: bytes, body: Body, addresses: Addresses, asked: Asked) -> bytes:
    """The document of a hello's answer for a client. Raises FrameError where the document is no BSON."""
    fields = {element.name: element for element in bson.elements(frame, *body)}
    dropped = _OF_ONE_SERVER if addresses.shared else _DROPPED
    if asked.passes_mechanisms:
        dropped -= {_MECHANISMS}
    written = []
    if addresses.mongos and b"setName" in fields:
        dropped |= _OF_A_SET if addresses.shared else _OF_A_SET - {b"topologyVersion"}
        writable = next((name for name in (b"isWritablePrimary", b"ismaster") if name in fields), b"isWritablePrimary")
        written = [bson.field(writable.decode(), True), bson.field("msg", "isdbgrid")]
    written += [*_fields(frame, fields, addresses, dropped), *asked.added]
    if asked.balanced and b"serviceId" not in fields:
        written.insert(0, b"\x07serviceId\0" + _process(frame, fields))
    return bson.join(written)


def _fields(
    frame: bytes, fields: dict[bytes, bson.Element], addresses: Addresses, dropped: frozenset[bytes]
) -> Iterator[bytes]:
    me = _text(frame, fields, b"me")
    for name, element in fields.items():
        if name in dropped:
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
    """
    What a client says in its hello. application: "" if it says none; awaits: it waits for a change; balanced: it takes
    the proxy for a load balancer, and wants to know which server it has; speculative: where the beginning of a login
    stands in it; mechanisms: it asks how a user may log in, `user`; compressors: those that it has. added: fields of
    its answer that are the proxy's own; passes_mechanisms: that of mechanisms is the server's.
    """

    __slots__ = (
        "added", "application", "awaits", "balanced", "compressors", "mechanisms", "passes_mechanisms", "speculative",
        "user",
    )  # fmt: skip

    def __init__(self, frame: bytes, body: Body) -> None:
        self.application = ""
        self.user = ""
        self.awaits = self.balanced = self.mechanisms = self.passes_mechanisms = False
        self.speculative: Body | None = None
        self.compressors: list[str] = []
        self.added: list[bytes] = []
        for element in bson.elements(frame, *body):
            if element.name == b"client" and element.type == bson.DOCUMENT:
                self.application = _application(frame, element)
            elif element.name == b"loadBalanced":
                self.balanced = bool(bson.number(frame, element))
            elif element.name == b"compression" and element.type == bson.ARRAY:
                named = (bson.text(frame, one) for one in bson.elements(frame, element.at, element.stop))
                self.compressors = [name for name in named if name]
            elif element.name == b"maxAwaitTimeMS":
                self.awaits = True
            elif element.name == _MECHANISMS:
                self.mechanisms = True
                self.user = (bson.text(frame, element) or "").partition(".")[2]
            elif element.name == b"speculativeAuthenticate" and element.type == bson.DOCUMENT:
                if self.speculative is not None:
                    raise FrameError("speculativeAuthenticate is there twice in a hello")
                self.speculative = Body(element.at, element.stop)


def _application(frame: bytes, client: bson.Element) -> str:
    application = bson.find(frame, client.at, client.stop, b"application")
    if application is None or application.type != bson.DOCUMENT:
        return ""
    name = bson.find(frame, application.at, application.stop, b"name")
    return (bson.text(frame, name) or "")[:128] if name is not None else ""


def without_login(frame: bytes, body: Body, mechanisms: bool = False) -> bytes:
    """
    The document of a hello whose client shares connections with others: what it asks, and nothing of who it is, how it
    would log in, what it could compress, or that it wants to wait. mechanisms: it asks those of a server's user.
    """
    asked = _ASKED | {_MECHANISMS} if mechanisms else _ASKED
    found = enumerate(bson.elements(frame, *body))
    return bson.join(frame[one.start : one.stop] for place, one in found if not place or one.name in asked)


def role(frame: bytes, body: Body) -> str:
    """What the server is that answers a hello so: primary (also one alone, a mongos), replica, or other."""
    return traits(frame, body)["role"]


def traits(frame: bytes, body: Body, behind: dict[str, float] | None = None) -> dict[str, str]:
    """
    The role of a server by its answer to hello, as ICodec.traits has it; and of a member of a set its term, or how far
    it is behind. behind: by the name of its set, how long ago the primary's last write was when it said so last: what a
    replica's last write is older than that, it is behind. Raises FrameError for an answer that is none.
    """
    fields = {element.name: element for element in bson.elements(frame, *body)}

    def is_true(name: bytes) -> bool:
        return name in fields and bool(bson.number(frame, fields[name]))

    if not is_true(b"ok"):
        raise FrameError("the server answers hello with an error")
    name = _text(frame, fields, b"setName")
    idle = _idle(frame, fields)
    position = _position(frame, fields)
    if is_true(b"isWritablePrimary") or is_true(b"ismaster"):
        found = {"role": "primary", **position}
        if b"electionId" in fields and fields[b"electionId"].type == bson.OBJECT_ID:
            found["term"] = str(
                int.from_bytes(frame[fields[b"electionId"].stop - 8 : fields[b"electionId"].stop], "big")
            )
        if behind is not None and name and idle is not None and (name in behind or len(behind) < _MOST_SETS):
            behind[name] = idle
        return found
    if not is_true(b"secondary"):
        return {"role": "other"}
    found = {"role": "replica", **position}
    if behind is not None and name in behind and idle is not None:
        found["lag"] = f"{max(0.0, idle - behind[name]):.3f}"
    return found


_MOST_SETS: Final = 64


def _position(frame: bytes, fields: dict[bytes, bson.Element]) -> dict[str, str]:
    """The place in the set's log of the last write that a member has executed: seconds and a number, as one number."""
    last = fields.get(b"lastWrite")
    if last is None or last.type != bson.DOCUMENT:
        return {}
    place = bson.find(frame, last.at, last.stop, b"opTime")
    time = bson.find(frame, place.at, place.stop, b"ts") if place is not None and place.type == bson.DOCUMENT else None
    if time is None or time.type != bson.TIMESTAMP:
        return {}
    return {"position": str(int.from_bytes(frame[time.at : time.stop], "little"))}


def _idle(frame: bytes, fields: dict[bytes, bson.Element]) -> float | None:
    """Seconds since the last write that a member has executed, by the clocks of the set's servers."""
    now, last = fields.get(b"localTime"), fields.get(b"lastWrite")
    if now is None or now.type != bson.DATE or last is None or last.type != bson.DOCUMENT:
        return None
    written = bson.find(frame, last.at, last.stop, b"lastWriteDate")
    if written is None or written.type != bson.DATE:
        return None
    return (bson.date(frame, now) - bson.date(frame, written)) / 1000
