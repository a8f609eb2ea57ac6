"""
What is configured for connections of HTTP/1.1, and what a session asks the codec for.

Lives here: `Rules`. Does not: how the options are written in a configuration (`codec`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.metadata import read
from metaproxy.codecs.http.model import Head
from metaproxy.message import Message


def failed(head: Head | None, trailers: list[Pair] | None) -> bool:
    """Whether an answer is one of failure by its status."""
    return head is not None and head.status >= 500


@dataclass(frozen=True, slots=True)
class Rules:
    """
    max_head: bytes of a head; max_fields: lines of it; max_target: bytes of a request's target; max_body: bytes of a
    request's body, 0 for any. upgrades: the protocols, in lower case, that clients may ask for. connect: whether
    CONNECT is let through. via: what this proxy calls itself. trusted_hops: proxies in front of this one that are
    believed what they say of the client. more: reads the metadata of a message; failed: whether an answer with this
    head and these trailers reports failure. head_timeout: seconds that the head of a request may take from its first
    byte to its last, 0 for any; clock: monotonic seconds.
    """

    max_head: int = 65536
    max_fields: int = 128
    max_target: int = 8192
    max_body: int = 0
    upgrades: frozenset[bytes] = frozenset((b"websocket",))
    connect: bool = False
    via: bytes = b"metaproxy"
    trusted_hops: int = 0
    more: Callable[[Message], None] = read
    failed: Callable[[Head | None, list[Pair] | None], bool] = failed
    head_timeout: float = 30.0
    clock: Callable[[], float] = time.monotonic
