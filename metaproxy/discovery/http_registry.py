"""
A registry that is asked over HTTP.

Lives here: `Servers`, which asks one of several servers; `Rounds`, which asks again and again, and waits longer after
each failure. Does not: any registry's API.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol, Unpack

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.clients.http import Answer, HttpFailed, SentStream, check_url
from metaproxy.clients.http import Calls as HttpCallsRole
from metaproxy.support.backoff import Backoff
from metaproxy.support.bounded_json import loads
from metaproxy.units import Option, Secret

log = Logger()

FIRST, LAST = 0.5, 30.0
"""Seconds until the next attempt after a failure, at first and at most."""
MAX_ANSWER = 16 << 20
"""Bytes of one answer."""
PATIENCE = 10.0
"""Seconds that an answer may take which has nothing to wait for."""

Url = Annotated[str, Option("The URL of a server; or `servers`.", default="required, or `servers`")]
Urls = Annotated[
    list[str] | None,
    Option("The URLs of servers of one registry: one is asked, after a failure the next.", most=16, default="none"),
]
User = Annotated[str, Option("Log in as this user.")]
Password = Annotated[Secret, Option("With which password.")]
NO_SECRET = Secret()


class Calls(HttpCallsRole, Protocol):
    """What is used of `HttpCalls`."""

    def stream(
        self,
        url: str,
        patience: float,
        timeout: float,
        received: Callable[[bytes], None],
        **sent: Unpack[SentStream],
    ) -> Deferred[Answer]: ...
    def close(self) -> Deferred[None] | None: ...


class RegistryError(Exception):
    """No answer, or one that can't be used. status: of the answer; 0 for none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


def urls_of(server: str, servers: Sequence[str] | None) -> tuple[str, ...]:
    """The URLs of the one option or the other, without a slash at the end. Raises ValueError."""
    if bool(server) == bool(servers):
        raise ValueError("write either server: URL or servers: [URL, ...]")
    return tuple(check_url(one).rstrip("/") for one in servers or (server,))


def basic(user: str, password: str) -> list[tuple[str, str]]:
    """The header of HTTP's basic authentication; none without a user."""
    if not user:
        return []
    return [("authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


class Servers:
    """name: of the registry's kind, for errors. headers: of each request."""

    def __init__(self, name: str, urls: Sequence[str], calls: Calls, headers: Sequence[tuple[str, str]] = ()) -> None:
        self._name = name
        self._urls = urls
        self._calls = calls
        self._headers = [("accept", "application/json"), *headers]
        self._at = 0

    @property
    def current(self) -> str:
        """The URL of the server that is asked next."""
        return self._urls[self._at]

    def ask(
        self,
        method: str,
        path: str,
        timeout: float = PATIENCE,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Deferred[Answer]:
        """Fires with an answer of status 200; fails with RegistryError."""
        server = self.current
        sent = [*self._headers, *headers]
        asked = self._calls.call(method, server + path, timeout, headers=sent, body=body, most=MAX_ANSWER)
        return asked.addCallbacks(self._checked, self._failed, callbackArgs=(server,), errbackArgs=(server,))

    def stream(
        self, path: str, seconds: float, received: Callable[[bytes], None], headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Deferred[Answer]:  # fmt: skip
        """POST, and hand each piece of the answer to `received` for at most so many seconds."""
        server = self.current
        asked = self._calls.stream(
            server + path, PATIENCE, seconds, received, headers=[*self._headers, *headers], method="POST", body=body
        )
        return asked.addCallbacks(self._checked, self._failed, callbackArgs=(server,), errbackArgs=(server,))

    def close(self) -> None:
        self._calls.close()

    def next(self) -> None:
        """Ask another server from now on."""
        self._at = (self._at + 1) % len(self._urls)

    def error(self, text: str, server: str = "", status: int = 0) -> RegistryError:
        return RegistryError(f"{self._name} {server or self.current}: {text}", status)

    def _checked(self, answer: Answer, server: str) -> Answer:
        if answer.status == 200:
            return answer
        if answer.status >= 500 and server == self.current:
            self.next()
        said = " ".join(answer.body[:200].decode("utf-8", "replace").split())
        raise self.error(f"status {answer.status} {said}".rstrip(), server, answer.status)

    def _failed(self, why: Failure, server: str) -> Failure:
        if not why.check(HttpFailed):
            return why
        if server == self.current:  # else another call has found it already
            self.next()
        return Failure(self.error(why.getErrorMessage(), server))


def json_of(answer: Answer) -> object:
    """The content of an answer. Raises RegistryError."""
    try:
        return loads(answer.body)
    except ValueError as error:
        raise RegistryError(f"an answer that is no JSON: {error}") from error


class Rounds:
    """
    once: asks, and fires with the seconds until it is to be called again. failed: called with a text after each
    failure, and how long it waits then doubles.
    """

    def __init__(self, clock: IReactorTime, once: Callable[[], Deferred[float]], failed: Callable[[str], None]) -> None:
        self._clock = clock
        self._once = once
        self._failed = failed
        self._backoff = Backoff(FIRST, LAST)
        self._timer: IDelayedCall | None = None
        self._asked: Deferred[None] | None = None
        self._running = False

    def start(self) -> None:
        self._running = True
        self._ask()

    def stop(self) -> None:
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()

    def _ask(self) -> None:
        self._timer = None
        asked = maybeDeferred(self._once)
        self._asked = answered = asked.addCallbacks(self._succeeded, self._wrong)
        answered.addErrback(lambda failure: log.failure("a round of a discovery", failure))

    def _succeeded(self, seconds: float) -> None:
        self._backoff.reset()
        self._later(seconds)

    def _wrong(self, failure: Failure) -> None:
        if not self._running:
            return
        self._later(self._backoff.next())
        if failure.check(RegistryError):
            self._failed(failure.getErrorMessage())
        else:  # a mistake of ours, or an answer of an unknown kind
            log.failure("a registry's answer", failure)
            self._failed(f"{type(failure.value).__name__}: {failure.getErrorMessage()}")

    def _later(self, seconds: float) -> None:
        self._asked = None
        if self._running:
            self._timer = self._clock.callLater(seconds, self._ask)
