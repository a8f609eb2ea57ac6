"""
All objects of a kind, kept in step with an API server.

Lives here: `Watch`: list, then watch from there; what is done when the server is away or has forgotten. Does not: the
requests (`api`), the objects themselves, which the `Sink` keeps.

While there is no server, nothing is removed: what was known stays until a server says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.clients.http import HttpFailed
from metaproxy.clients.lines import Lines
from metaproxy.kubernetes.api import LINE, ApiError, Page
from metaproxy.kubernetes.resources import Key, Object, Scope, key_of, mapping, text, version_of
from metaproxy.support.bounded_json import loads

log = Logger()

LEAST, MOST = 0.5, 10.0
"""Seconds between tries: at first, and at most. Each is between half of it and all of it."""
ABSENT = 30.0
"""Seconds at most between tries for a kind that the server does not know, or that may not be read."""
LIFE = 240.0, 300.0
"""Seconds of one watch, between these, so that many proxies do not come back at a time."""
BYTES = 256 << 20
"""Bytes of all objects of a kind, as JSON."""


class Sink(Protocol):
    """What hears of the objects. Every method may be called again with what is known already."""

    def put(self, key: Key, found: Object) -> None:
        """There is such an object, new or changed."""

    def remove(self, key: Key) -> None:
        """It is gone."""

    def synced(self) -> None:
        """
        All that there is was put. Comes after each list, at first and when the server had forgotten, and when a server
        that could not be asked is heard again.
        """

    def failed(self, why: str) -> None:
        """The server can't be asked. All stays as it is; it is tried again."""

    def absent(self, why: str) -> None:
        """The server does not know the kind. All stays as it is; it is tried again."""

    def forbidden(self, why: str) -> None:
        """The kind may not be read: whether there is anything of it is not known. It is tried again."""


class Source(Protocol):
    """What is asked of an `Api`."""

    def page(self, scope: Scope, rest: str = "") -> Deferred[Page]: ...
    def watch(
        self, scope: Scope, version: str, seconds: float, received: Callable[[bytes], None]
    ) -> Deferred[None]: ...


class _Known(NamedTuple):
    """The version of an object, and its bytes."""

    version: str
    size: int


class Watch:
    """
    scope: which objects. chance: a number from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        api: Source,
        scope: Scope,
        sink: Sink,
        clock: IReactorTime,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._scope = scope
        self._resource = scope.resource
        self._sink = sink
        self._clock = clock
        self._chance = chance
        self._known: dict[Key, _Known] = {}
        self._bytes = 0
        self._version = ""  # from where to watch; "" when a list is needed
        self._tries = 0
        self._heard = False
        self._problem: Exception | None = None
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        assert self._running is None
        self._running = self._run().addErrback(self._ended)

    def stop(self) -> None:
        """No call of the sink after this."""
        running, self._running = self._running, None
        if running is not None:
            self._clock.callLater(0, running.cancel)  # this may be a call of the sink, from within what is cancelled

    @inlineCallbacks
    def _run(self) -> Generator[Deferred[None], None, None]:
        yield deferLater(self._clock, 0)  # `start` is over: `_running` is known
        while self._running is not None:
            try:
                yield from self._once()
            except ApiError as error:
                wait = self._after(error)
            except CancelledError:
                raise
            except Exception as error:
                log.failure("{resource}: an object could not be taken", resource=self._resource.label)
                wait = self._after(ApiError(f"{type(error).__name__}: {error}"))
                self._version = ""  # what was not taken comes with the next list
            else:
                continue
            if self._running is not None:
                yield deferLater(self._clock, wait)

    def _once(self) -> Generator[Deferred[None], None, None]:
        if not self._version:
            yield self._list()
        began, self._heard = self._clock.seconds(), False
        least, most = LIFE
        seconds = least + (most - least) * self._chance()
        lines = Lines(self._take, LINE)
        self._problem = None
        try:
            yield self._api.watch(self._scope, self._version, seconds, lines.received)
        except ApiError:
            if self._problem is None:
                raise
        if self._problem is not None:
            raise self._problem
        if not self._heard and self._clock.seconds() - began < LEAST:
            raise ApiError("the server ended the watch at once")

    def _ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            log.failure("{resource}: no longer watched", failure, resource=self._resource.label)

    def _after(self, error: ApiError) -> float:
        """Return the seconds until the next try; 0 where what the server has forgotten is to be listed."""
        if self._running is None:
            return 0
        if error.status == 410:
            self._version = ""
            if not self._tries:
                self._tries = 1
                return 0
        absent = error.status in (403, 404)  # both also come from a server that has only just started
        if error.status == 404:
            self._sink.absent(f"the API server has no {self._resource.label}: is its CRD installed?")
        elif absent:
            self._sink.forbidden(f"{self._resource.label}: {error}; {self._rule}")
        else:
            self._sink.failed(f"{self._resource.label}: {error}")
        most = ABSENT if absent else MOST
        wait = min(LEAST * 2.0 ** min(self._tries, 10), most)
        self._tries += 1
        return max(error.wait, wait * (1 + self._chance()) / 2)

    @property
    def _rule(self) -> str:
        """What has to be allowed."""
        one = self._resource
        rule = f"{{apiGroups: [{one.group or chr(34) * 2}], resources: [{one.plural}], verbs: [list, watch]}}"
        where = f" in the namespace {self._scope.namespace}" if self._scope.namespace and one.namespaced else ""
        return f"give its service account the RBAC rule {rule}{where}"

    # -- list

    @inlineCallbacks
    def _list(self) -> Generator[Deferred[Page], Page, None]:
        """Begin again: put what differs from what is known, then remove what is no more."""
        found: set[Key] = set()
        rest = ""
        while True:
            page = yield self._api.page(self._scope, rest)
            size = page.size // max(1, len(page.found))
            for each in page.found:
                found.add(self._put(each, size))
            rest = page.rest
            if not rest:
                break
        for key in [key for key in self._known if key not in found]:
            self._remove(key)
        self._version = page.version
        if self._running is not None:
            self._sink.synced()

    # -- watch

    def _take(self, line: bytes) -> None:
        """Take one event. Whatever is wrong with it ends the watch; `_once` finds it in `_problem`."""
        try:
            self._line(line)
        except Exception as error:
            self._problem = error
            raise HttpFailed("given up") from error

    def _line(self, line: bytes) -> None:
        try:
            event = mapping(loads(line))
        except ValueError as error:
            raise ApiError(f"an event that is no JSON: {error}") from error
        kind, found = text(event.get("type")), mapping(event.get("object"))
        if kind == "ERROR":
            code = found.get("code")
            raise ApiError(text(found.get("message")) or "an error", code if isinstance(code, int) else 0)
        again, self._heard, self._tries = self._tries > 0, True, 0
        if kind in ("ADDED", "MODIFIED"):
            self._put(found, len(line))
        elif kind == "DELETED":
            self._remove(key_of(found))
        self._version = version_of(found) or self._version
        if again and self._running is not None:
            self._sink.synced()  # it is there again, and has sent what changed since

    def _put(self, found: Object, size: int) -> Key:
        key, version = key_of(found), version_of(found)
        if not key.name:
            raise ApiError("an object without a name")
        if self._running is None:
            return key
        before = self._known.get(key)
        if before is not None and before.version == version:
            return key
        total = self._bytes + size - (before.size if before is not None else 0)
        if total > BYTES:
            raise ApiError(f"more than {BYTES >> 20} MiB of objects; name a namespace to watch fewer")
        self._sink.put(key, found)
        self._known[key], self._bytes = _Known(version, size), total
        return key

    def _remove(self, key: Key) -> None:
        before = self._known.get(key)
        if before is not None and self._running is not None:
            self._sink.remove(key)
            self._bytes -= before.size
            del self._known[key]
