"""
Metadata keys that only proxies may set: what a client writes under them is taken away before anybody looks.

Lives here: which keys these are, `ReservedKeyStripper`, the route table of a listener that takes some away. Does not:
what the keys mean (tracing, metadata exchange).

A listener inside the mesh must keep them: there they come from the proxy of the other side.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from metaproxy.cluster.routes import Route, RouteTable
from metaproxy.interfaces import ICodec
from metaproxy.message import Message, Mutation
from metaproxy.routing.table import nothing

CERTIFICATE = "x-forwarded-client-cert"
"""What a proxy says of its client's certificate."""
KEYS = frozenset(("x-request-id", "x-client-trace-id", CERTIFICATE))
PREFIXES = ("x-envoy-", "x-meta-protocol-")
"""In lower case; clients may spell them in any. What services tell each other (traceparent, b3) is not reserved."""


def is_reserved(key: str) -> bool:
    lower = key.lower()
    return lower in KEYS or lower.startswith(PREFIXES)


def is_certificate(key: str) -> bool:
    return key.lower() == CERTIFICATE


def is_other(key: str) -> bool:
    """Whether a key is reserved, and not the one of certificates."""
    return is_reserved(key) and not is_certificate(key)


ALWAYS, WITH_CERTIFICATE, NEVER = "always", "with_certificate", "never"


class ReservedKeyStripper(RouteTable):
    """
    Takes reserved keys out of a request, its frame included, and then finds its route: no filter sees a request before
    its route table does. Listeners that keep the keys have an ordinary table, and nothing is looked at.

    all: whether all reserved keys go; certificate: whose key of certificates stays, that of clients that showed one, or
    ALWAYS, or NEVER.
    """

    __slots__ = ("_all", "_certificate", "_codec")

    def __init__(
        self,
        routes: Sequence[Route],
        random: random.Random,
        codec: ICodec,
        all: bool = True,
        certificate: str = NEVER,
        between: Callable[[], None] = nothing,
    ) -> None:
        super().__init__(routes, random, between)
        self._codec = codec
        self._all = all
        self._certificate = certificate

    def match(self, message: Message, facts: Mapping[str, str]) -> Route | None:
        way = self._certificate
        keeps = way != NEVER and (way == ALWAYS or "source.subject" in facts or "source.identity" in facts)
        if self._all:
            strip(message, self._codec, is_other if keeps else is_reserved)
        elif not keeps and message.get(CERTIFICATE) is not None:
            strip(message, self._codec, is_certificate)
        return super().match(message, facts)


def strip(message: Message, codec: ICodec, goes: Callable[[str], bool] = is_reserved) -> None:
    """
    Takes keys out of a message in place, which nothing else has seen yet. goes: whether a key does. Raises FrameError
    when its metadata can't be decoded: what is not seen can't be taken away.
    """
    while (more := message.more) is not None:
        message.more = None
        more(message)
    metadata = message.metadata
    if not metadata:
        return
    found = tuple(key for key in metadata if goes(key))
    if found:
        message.frame = codec.mutate(message, Mutation(remove=found))
        message.metadata = {key: value for key, value in metadata.items() if key not in found}
