"""
What is configured for connections of HTTP/2, and what a session asks the codec for.

Lives here: `Options`. Does not: how the options are written in a configuration (`metaproxy.codecs.http.codec`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metaproxy.codecs.http.forwarding import Forwarding
from metaproxy.codecs.http.model import Head, Pair
from metaproxy.message import Message


def failed(head: Head | None, trailers: list[Pair] | None) -> bool:
    """Whether an answer is one of failure by its status."""
    return head is not None and head.status >= 500


@dataclass(frozen=True)
class Options:
    """
    window: bytes that a peer may send on a stream before they left the proxy. streams: exchanges at a time on a
    connection. max_head: bytes of a list of fields, counted as HTTP/2 does (32 more a field). ping_interval,
    ping_timeout: seconds of silence before a PING, and before a connection without its answer is given up; 0: never.
    max_age: seconds after which clients are asked to open another connection; 0: never. more: reads the metadata of a
    message; failed: whether an answer with this head and these trailers, or what of both there is by now, reports
    failure; clock: monotonic seconds. forwarding: makes, of the facts of a client's connection, what is added to its
    requests; None: nothing.
    """

    window: int = 65536
    streams: int = 100
    max_head: int = 65536
    ping_interval: float = 0.0
    ping_timeout: float = 20.0
    max_age: float = 0.0
    more: Callable[[Message], None] | None = None
    failed: Callable[[Head | None, list[Pair] | None], bool] = failed
    clock: Callable[[], float] = time.monotonic
    forwarding: Callable[[Mapping[str, str]], Forwarding] | None = None
