"""What the two ends of a protocol say in `bench.replay`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metaproxy.interfaces import ILayout

Request = Callable[[int], bytes]
Answers = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Protocol:
    """
    match: a route's, with the number of the route; cluster: more of it; peers: (body, routes) -> both sides. layout:
    what the servers say of themselves, where they are asked.
    """

    codec: str
    match: Callable[[int], str]
    cluster: str
    peers: Callable[[bytes, int], tuple[Request, Answers]]
    layout: Callable[[], ILayout] | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """
    codec: as in a configuration; cluster: more of the cluster. hello: what a server says first. login: what a client
    says before its requests, in steps; each is given what the client has got since the last. request: of a number,
    whole; answers: to all that a server got. in_order: a connection has its own numbers, 1 and up; else all differ.
    outcome: what the proxy counts when a request was answered well.
    """

    codec: str
    cluster: str
    login: tuple[Callable[[bytes], bytes], ...]
    request: Callable[[int], bytes]
    answers: Callable[[bytes], bytes]
    hello: bytes = b""
    in_order: bool = False
    outcome: str = "ok"


def say(*steps: bytes) -> tuple[Callable[[bytes], bytes], ...]:
    """A login whose words do not depend on the server's."""
    return tuple(lambda _, said=said: said for said in steps)
