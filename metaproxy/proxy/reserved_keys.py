"""
Metadata keys that only proxies may set: what a client writes under them is taken away before anybody looks.

Lives here: which keys these are, `ReservedKeyStripper`, the route table of a listener with `reserved_keys: strip`. Does
not: what the keys mean (tracing, metadata exchange).

A listener inside the mesh must keep them: there they come from the proxy of the other side.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from metaproxy.cluster.routes import Route, RouteTable
from metaproxy.interfaces import ICodec
from metaproxy.message import Message, Mutation

KEYS = frozenset(("x-request-id", "x-client-trace-id", "x-forwarded-client-cert"))
PREFIXES = ("x-envoy-", "x-meta-protocol-")
"""In lower case; clients may spell them in any. What services tell each other (traceparent, b3) is not reserved."""


def is_reserved(key: str) -> bool:
    lower = key.lower()
    return lower in KEYS or lower.startswith(PREFIXES)


class ReservedKeyStripper(RouteTable):
    """
    Takes reserved keys out of a request, its frame included, and then finds its route: no filter sees a request before
    its route table does. Listeners that keep the keys have an ordinary table, and nothing is looked at.
    """

    __slots__ = ("_codec",)

    def __init__(self, routes: Sequence[Route], random: random.Random, codec: ICodec) -> None:
        super().__init__(routes, random)
        self._codec = codec

    def match(self, message: Message, facts: Mapping[str, str]) -> Route | None:
        strip(message, self._codec)
        return super().match(message, facts)


def strip(message: Message, codec: ICodec) -> None:
    """
    Takes reserved keys out of a message in place, which nothing else has seen yet. Raises FrameError when its metadata
    can't be decoded: what is not seen can't be taken away.
    """
    while (more := message.more) is not None:
        message.more = None
        more(message)
    metadata = message.metadata
    if not metadata:
        return
    found = tuple(key for key in metadata if is_reserved(key))
    if found:
        message.frame = codec.mutate(message, Mutation(remove=found))
        message.metadata = {key: value for key, value in metadata.items() if key not in found}
