"""
HTTP calls from the reactor: to an authorization service, to who publishes keys, to an API that is watched.

Lives here: `HttpCalls`, connections that calls share, bounds of time and size. Does not: what is asked.
"""

from __future__ import annotations

import importlib.util
import typing
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from metaproxy.support.extras import install

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from treq.response import _Response

MAX_BODY = 1 << 20
_IDLE = 60
"""Seconds that a connection is kept for the next call."""
_CONNECTIONS = 8
"""That wait for a next call; more may be under way."""


class HttpFailed(Exception):
    """A call without an answer. The text says why, in a line."""


class Answer(NamedTuple):
    """What came back. headers: names in lower case, in the order in which they came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def check_url(url: str) -> str:
    """The URL, if calls can go there. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL; write one such as http://127.0.0.1:8080/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a user or password in it would be shown in logs; leave them out")
    if parts.scheme == "https" and importlib.util.find_spec("OpenSSL") is None:
        raise ValueError(f"https needs pyOpenSSL; install it with: {install('tls')}")
    return url


class Sent(TypedDict, total=False):
    """What a call may say besides: arguments of `HttpCalls.call` and `stream`, for what calls on their behalf."""

    headers: Iterable[tuple[str, str]]
    body: bytes
    most: int


class SentStream(Sent, total=False):
    method: str


class Calls(typing.Protocol):
    """What is asked over HTTP: HttpCalls, or what stands before it."""

    def call(self, method: str, url: str, timeout: float, **sent: Unpack[Sent]) -> Deferred[Answer]:
        """See HttpCalls."""


class HttpCalls:
    """
    reactor: what the Deferreds fire in. Connections are opened by the first call and kept until `close`. connector: the
    IStreamClientEndpoint for the host of a URL, where its name and port do not say where it is.
    """

    def __init__(self, reactor: IReactorTime, connector: Callable[[str], IStreamClientEndpoint] | None = None) -> None:
        self._reactor = reactor
        self._connector = connector
        self._pool: HTTPConnectionPool | None = None
        self._client: HTTPClient | None = None

    def call(
        self,
        method: str,
        url: str,
        timeout: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        most: int = MAX_BODY,
    ) -> Deferred[Answer]:
        """
        Fires with the answer, whatever its status, or fails with HttpFailed: after `timeout` seconds, for a body of
        more than `most` bytes, when there is no connection. Redirects are answers; no cookie is kept.
        """
        made = self._request(method, url, timeout, headers, body)
        answered = made.addCallback(_read, most)
        answered.addTimeout(timeout, self._reactor, onTimeoutCancel=_too_late)
        return answered.addErrback(_as_failed)

    def stream(
        self,
        url: str,
        patience: float,
        timeout: float,
        received: Callable[[bytes], None],
        headers: Iterable[tuple[str, str]] = (),
        most: int = MAX_BODY,
        method: str = "GET",
        body: bytes = b"",
    ) -> Deferred[Answer]:
        """
        Ask for a body that is long in coming: each piece of it goes to `received`. Fires when it has ended, with the
        answer without that body; an answer of another status than 200 is whole, of at most `most` bytes. Fails with
        HttpFailed: after `patience` seconds without a status, after `timeout` seconds in all, when there is no
        connection or `received` raises HttpFailed. Cancel it to end it.
        """
        made = self._request(method, url, patience, headers, body)
        made.addTimeout(patience, self._reactor, onTimeoutCancel=_too_late)
        answered = made.addCallback(_read, most, received)
        answered.addTimeout(timeout, self._reactor, onTimeoutCancel=_too_late)
        return answered.addErrback(_as_failed)

    def _request(
        self, method: str, url: str, timeout: float, headers: Iterable[tuple[str, str]], body: bytes = b""
    ) -> Deferred[_Response]:
        client = self._client or self._open(timeout)
        sent = Headers()
        for name, value in headers:
            sent.addRawHeader(name, value.encode("utf-8", "surrogateescape"))
        return maybeDeferred(
            client.request,
            method,
            url,
            headers=sent,
            data=body or None,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,  # type: ignore[arg-type]  # used for time-outs only
        )

    def _open(self, timeout: float) -> HTTPClient:
        from http.cookiejar import DefaultCookiePolicy

        from treq.client import HTTPClient
        from treq.cookies import IndexableCookieJar

        self._pool = pool = HTTPConnectionPool(self._reactor, persistent=True)
        pool.cachedConnectionTimeout = _IDLE
        pool.maxPersistentPerHost = _CONNECTIONS
        pool.retryAutomatically = False  # what was asked may have been counted
        no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))
        if self._connector is None:
            agent = Agent(self._reactor, pool=pool, connectTimeout=timeout)
        else:
            agent = Agent.usingEndpointFactory(self._reactor, _Connectors(self._connector), pool)
        self._client = client = HTTPClient(agent, no_cookies)
        return client

    def close(self) -> Deferred[None] | None:
        """Closes the connections that wait for a next call. Those under way end by themselves."""
        pool, self._pool, self._client = self._pool, None, None
        if pool is None:
            return None
        closed: Deferred[None] = pool.closeCachedConnections()
        return closed


@implementer(IAgentEndpointFactory)
class _Connectors:
    def __init__(self, connector: Callable[[str], IStreamClientEndpoint]) -> None:
        self._connector = connector

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._connector(uri.host.decode("ascii"))


class _Body(Protocol):
    """Collects a body up to a bound; or hands each piece to `received`, and collects nothing."""

    def __init__(self, most: int, received: Callable[[bytes], None] | None = None) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._give_up())
        self._most = most
        self._received = received
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        try:
            if self._received is not None:
                self._received(data)
            else:
                self._collect(data)
        except BaseException:
            self.done.errback()
            self._give_up()

    def _collect(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            raise HttpFailed(f"an answer of more than {self._most} bytes")
        self._pieces.append(data)

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(HttpFailed("the connection ended before the answer was whole"))


def _read(response: _Response, most: int, received: Callable[[bytes], None] | None = None) -> Deferred[Answer]:
    body = _Body(most, received if response.code == 200 else None)
    headers = [
        (name.decode("latin-1").lower(), value.decode("utf-8", "replace"))
        for name, values in response.headers.getAllRawHeaders()
        for value in values
    ]
    response.deliverBody(body)
    return body.done.addCallback(lambda data: Answer(response.code, headers, data))


def _too_late(_: object, seconds: float) -> None:
    raise HttpFailed(f"no answer in {seconds:g} s")


def _as_failed(failure: Failure) -> Failure:
    """Return what went wrong as HttpFailed."""
    if failure.check(HttpFailed):
        return failure
    error = failure.value
    for inner in getattr(error, "reasons", ()):  # of twisted.web's ResponseFailed and its relatives
        error = inner.value
    if isinstance(error, CancelledError):
        return Failure(HttpFailed("given up"))
    text = " ".join(str(error).split())[:200]
    return Failure(HttpFailed(text or type(error).__name__))
