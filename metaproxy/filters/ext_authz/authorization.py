"""
What an authorization service is sent of a request, and what it says.

Lives here: `Asked`, `Decision`, what of an exchange goes into the one and how the other changes it. Does not: whom to
ask and when (`ext_authz`), in which words (`authz_grpc`, `authz_http`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from metaproxy.interfaces import IExchange
from metaproxy.message import ErrorKind

MOST_CHANGES = 64
"""Keys that a decision may set, append to or remove, each."""
MAX_TEXT = 1024


class TooMuch(Exception):
    """The request has more metadata than may be sent. Nothing is left out: a client could hide something behind it."""


class Asked(NamedTuple):
    """A request. Peers are (address, port), port 0 for a socket in the file system; started: Unix time."""

    source: tuple[str, int]
    destination: tuple[str, int]
    identity: str
    id: int
    protocol: str
    operation: str
    size: int
    started: float
    metadata: Mapping[str, str]
    context: Mapping[str, str]

    @property
    def service(self) -> str:
        return self.operation.rpartition("/")[0]

    @property
    def method(self) -> str:
        return self.operation.rpartition("/")[2]


class Decision(NamedTuple):
    """
    passed: whether the request goes on; kind, text: what the client is answered when it does not. set, append, remove:
    changes of the request's metadata, append behind a comma; answer: metadata for the answer.
    """

    passed: bool
    kind: ErrorKind = ErrorKind.DENIED
    text: str = ""
    set: Mapping[str, str] = {}
    append: Mapping[str, str] = {}
    remove: Sequence[str] = ()
    answer: Mapping[str, str] = {}


_KINDS = {404: ErrorKind.NOT_FOUND, 429: ErrorKind.LIMITED, 503: ErrorKind.OVERLOAD, 504: ErrorKind.TIMEOUT}


def denied(status: int, text: str, answer: Mapping[str, str]) -> Decision:
    """What a refusal with this HTTP status, 0 for none, is in other protocols."""
    line = " ".join(text.split())[:MAX_TEXT]
    return Decision(False, _KINDS.get(status, ErrorKind.DENIED), line or "denied", answer=answer)


def asked(exchange: IExchange, keys: Iterable[str], context: Mapping[str, str], most: int) -> Asked:
    """
    What is sent of an exchange. keys: of its metadata, none for all. Raises TooMuch beyond `most` characters of
    metadata, and FrameError when they can't be decoded.
    """
    get = exchange.get
    return Asked(
        _peer(get("source.address"), get("source.port")),
        _peer(get("destination.address"), get("destination.port")),
        get("source.identity") or "",
        exchange.message.id,
        exchange.protocol,
        get("operation") or "",
        len(exchange.message.frame),
        exchange.started,
        _metadata(exchange, keys, most),
        {"listener": exchange.listener, "route": exchange.route, **context},
    )


def _peer(address: str | None, port: str | None) -> tuple[str, int]:
    return address or "", int(port) if port and port.isdecimal() else 0


def _metadata(exchange: IExchange, keys: Iterable[str], most: int) -> dict[str, str]:
    """Keys in lower case; where a client wrote one in several ways, what it wrote in lower case."""
    found: dict[str, str] = {}
    named = list(keys)
    if not named:
        exchange.message.get("")  # a key of no message: all that is there is decoded, or found to be broken
        named = sorted({key.lower() for key in (*exchange.message.known(), *(exchange.learnt or ()))})
    size = 0
    for key in named:
        value = exchange.get(key)
        if value is None:
            continue
        size += len(key) + len(value)
        if size > most:
            raise TooMuch
        found[key.lower()] = value
    return found


def change(exchange: IExchange, decision: Decision) -> None:
    """Applies what a service that lets a request pass wants changed in it. Later filters see it so."""
    message = exchange.message
    values = dict(decision.set)
    for key, value in decision.append.items():
        before = values.get(key) or exchange.get(key)
        values[key] = f"{before},{value}" if before else value
    for key in (*decision.remove, *values):
        for spelling in message.spellings(key):
            exchange.remove(spelling)
    for key in decision.remove:
        exchange.learn(key, None)
    for key, value in values.items():
        exchange.learn(key, value)
        exchange.set(key, value)
