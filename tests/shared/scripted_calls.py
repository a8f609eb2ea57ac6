"""
HTTP in memory, for what asks a registry: a test sees each request and answers it when it likes.

Lives here: `ScriptedCalls`, in the place of `HttpCalls`. Does not: the wire; tests/unit/clients/test_clients_http.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred

from metaproxy.clients.http import Answer, HttpFailed


class Request:
    """One request. received: for pieces of the answer of a stream; canceled: its answer is not waited for."""

    def __init__(
        self,
        method: str,
        url: str,
        timeout: float,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        received: Callable[[bytes], None] | None = None,
    ) -> None:
        self.method, self.url, self.timeout, self.headers, self.body = method, url, timeout, dict(headers), body
        self.path = urlsplit(url).path
        self.query = dict(parse_qsl(urlsplit(url).query))
        self.canceled = False
        self._received = received
        self.answered: Deferred[Answer] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.canceled = True
        self.answered.errback(HttpFailed("given up"))

    @property
    def open(self) -> bool:
        return not self.answered.called

    def answer(self, found: object = None, status: int = 200, **headers: str) -> None:
        """found: bytes, or what is written as JSON. headers: `x_consul_index` for X-Consul-Index."""
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.answered.callback(Answer(status, given, body))

    def fail(self, text: str = "no connection") -> None:
        self.answered.errback(HttpFailed(text))

    def send(self, *values: object) -> None:
        """Lines of a stream. What the reader raises ends it."""
        assert self._received is not None
        try:
            for value in values:
                self._received(value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n")
        except HttpFailed as error:
            self.answered.errback(error)

    def end(self) -> None:
        """The end of a stream."""
        self.answered.callback(Answer(200, [], b""))


class ScriptedCalls:
    """requests: all of them, the last one at the end. closed: whether its connections were given up."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closed = False

    @property
    def last(self) -> Request:
        return self.requests[-1]

    @property
    def waiting(self) -> list[Request]:
        return [one for one in self.requests if one.open]

    def call(
        self,
        method: str,
        url: str,
        timeout: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        most: int = 0,
    ) -> Deferred[Answer]:
        self.requests.append(Request(method, url, timeout, headers, body))
        return self.last.answered

    def stream(
        self,
        url: str,
        patience: float,
        timeout: float,
        received: Callable[[bytes], None],
        headers: Iterable[tuple[str, str]] = (),
        most: int = 0,
        method: str = "GET",
        body: bytes = b"",
    ) -> Deferred[Answer]:
        self.requests.append(Request(method, url, timeout, headers, body, received))
        return self.last.answered

    def close(self) -> None:
        self.closed = True

    def json(self, number: int = -1) -> Any:
        """What a request's body says."""
        return json.loads(self.requests[number].body)
