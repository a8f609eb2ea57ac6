"""
A request that goes on at the server which another one named.

Lives here: `go_on`. Does not: what an error means (`ICodec.redirect`), whether it may go on (`upstream`).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, Message, Redirect
from metaproxy.proxy.roles import Try

Start = Callable[[Try, Cluster, Endpoint], None]
"""Sends an attempt to an endpoint."""


class _Unknown:
    """A request whose server is not known yet: it waits until the servers have said again which there are."""

    __slots__ = ("_answer", "_attempt", "_redirect", "_start")

    def __init__(self, attempt: Try, redirect: Redirect, answer: Message, start: Start) -> None:
        self._attempt, self._redirect, self._answer, self._start = attempt, redirect, answer, start

    @property
    def outcome(self) -> str:
        return "ended" if self._attempt.done else ""

    def released(self, cluster: Cluster | None) -> None:
        if cluster is None or not _send(self._attempt, cluster, self._redirect, self._start):
            self._attempt.owner.answered(self._attempt, self._answer)

    def failed(self, attempt: None, kind: ErrorKind, text: str) -> None:
        self._attempt.fail(kind, text)

    def broke(self, failure: Failure) -> None:
        self._attempt.owner.broke(failure)


def go_on(attempt: Try, redirect: Redirect, answer: Message, start: Start) -> None:
    """Send it where `redirect` says. Where there is no such server, `answer` is the answer to it after all."""
    cluster = attempt.cluster
    if _send(attempt, cluster, redirect, start):
        return
    attempt.connection = None
    waiting = _Unknown(attempt, redirect, answer, start)
    if cluster.lacking is None:
        waiting.released(None)
    else:
        cluster.lacking.take(waiting)


def _send(attempt: Try, cluster: Cluster, redirect: Redirect, start: Start) -> bool:
    address = redirect.address
    if address.startswith(":"):
        address = attempt.endpoint.address.rpartition(":")[0] + address
    endpoint = cluster.at(address)
    if endpoint is None:
        return False
    attempt.redirect(endpoint, redirect.message)
    attempt.owner.redirected(attempt)
    start(attempt, cluster, endpoint)
    return True
