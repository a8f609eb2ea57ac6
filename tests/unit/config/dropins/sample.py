"""Plugins for the tests of the configuration, in a drop-in folder: so no real codec matters to them."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec, IEndpoint, IExchange, IFilter, ILoadBalancer, IOnRequest
from metaproxy.message import Reply, Side
from metaproxy.plugins import Declaration, OptionError
from metaproxy.units import Seconds


class Framed(Codec):
    """Messages of a byte that tells the length, and so many bytes."""

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        return LengthFramed(1, lambda data, at: data[at] + 1, None, max_frame)  # type: ignore[arg-type]


class Dubbo(Framed):
    """A codec whose messages can be changed. depth: at least 1."""

    name = "dubbo"
    mutable = ""

    def __init__(self, depth: int = 8, password: str = "") -> None:
        if depth < 1:
            raise ValueError(f"depth {depth} is below 1; the password is {password}")


class Mute(Framed):
    """A codec whose messages can't be changed."""

    name = "mute"
    mutable = "the protocol has no place for metadata"


class Held(Framed):
    """A codec whose clients need connections of their own. size: even, as its constructor says of the option itself."""

    name = "held"
    connections = "pinned"

    def __init__(self, size: int = 2) -> None:
        if size % 2:
            raise OptionError("size", f"{size} is odd")


class NoCodec:
    """Not what it is declared to be."""


@implementer(IOnRequest)
class Gate:
    """wait: how long; only the second argument is an option."""

    def __init__(self, clock: IReactorTime, wait: Seconds, tags: list[str] | None = None) -> None:
        self._until = clock.seconds() + wait
        self._tag = (tags or ["none"])[0]
        if tags == []:
            raise LookupError("no tag")

    def on_request(self, exchange: IExchange) -> Reply | None:
        return None


@implementer(IOnRequest)
class Interpreter:
    """Makes requests of another protocol."""

    def __init__(self, into: str) -> None:
        self.translates = (into,)

    def on_request(self, exchange: IExchange) -> Reply | None:
        return None


@implementer(IOnRequest)
class Unreadable:
    """Its author named a type that can't be found."""

    def __init__(self, limit: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    def on_request(self, exchange: IExchange) -> Reply | None:
        return None


@implementer(ILoadBalancer)
class Narrow:
    """A balancer for at most `most` endpoints."""

    uses_hash = True

    def __init__(self, endpoints: Sequence[IEndpoint], most: int = 1) -> None:
        if len(endpoints) > most:
            raise ValueError(f"{len(endpoints)} endpoints; it serves {most} at most")
        self._endpoints = endpoints

    def pick(self, hash_value: int) -> IEndpoint:
        return self._endpoints[0]


dubbo = Declaration(ICodec, "dubbo", Dubbo)
mute = Declaration(ICodec, "mute", Mute)
held = Declaration(ICodec, "held", Held)
no_codec = Declaration(ICodec, "no_codec", NoCodec)
missing = Declaration(ICodec, "missing", "metaproxy.codecs.nowhere.Nothing")
gate = Declaration(IFilter, "gate", Gate)
interpreter = Declaration(IFilter, "interpreter", Interpreter)
unreadable = Declaration(IFilter, "unreadable", Unreadable)
narrow = Declaration(ILoadBalancer, "narrow", Narrow)
