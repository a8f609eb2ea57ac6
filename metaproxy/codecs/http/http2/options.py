"""
What is configured for connections of HTTP/2, and what a session asks the codec for.

Lives here: `Options`. Does not: how the options are written in a configuration (`metaproxy.codecs.http.codec`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metaproxy.codecs.http.forwarding import Forwarding
from metaproxy.codecs.http.rules import Rules

_RULES = Rules()


@dataclass(frozen=True)
class Options:
    """
    rules: those of both versions; `max_head` counts as HTTP/2 does, 32 bytes more a field. window: bytes that a peer
    may send on a stream before they left the proxy. streams: exchanges at a time on a connection. ping_interval,
    ping_timeout: seconds of silence before a PING, and before a connection without its answer is given up; 0: never.
    max_age: seconds after which clients are asked to open another connection; 0: never. clock: monotonic seconds.
    forwarding: makes, of the facts of a client's connection, what is added to its requests; None: nothing.
    """

    rules: Rules = _RULES
    window: int = 262144
    streams: int = 100
    ping_interval: float = 0.0
    ping_timeout: float = 20.0
    max_age: float = 0.0
    clock: Callable[[], float] = time.monotonic
    forwarding: Callable[[Mapping[str, str]], Forwarding] | None = None
