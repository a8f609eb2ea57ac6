"""
Keys of etcd below a prefix, each a document.

Lives here: `Etcd`. Does not: etcd's API (`discovery.etcd_api`), what a document holds (`documents`).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.control.sources.roles import Receiver
from metaproxy.discovery.etcd_api import Api, Event, Forgotten, Page
from metaproxy.discovery.http_registry import RegistryError, Rounds

GATHER = 0.05
"""Seconds in which changes are gathered: a transaction, and writes that follow each other."""
LIFE = 60.0
"""Seconds of one watch."""
PAUSE = 0.5
"""Seconds until all is read again when etcd has forgotten the revision."""
MAX_BYTES = 256 << 20
"""Of all values."""


class Etcd:
    """The part of a key behind the prefix is the document's path."""

    strict = True

    def __init__(self, api: Api, prefix: str, clock: IReactorTime) -> None:
        self.where = f"etcd {prefix}"
        self._api = api
        self._prefix = prefix
        self._clock = clock
        self._receiver: Receiver | None = None
        self._texts: dict[str, bytes] = {}
        self._size = 0  # of all texts
        self._changed: dict[str, bytes | None] = {}  # since the last report
        self._revision = 0
        self._timer: IDelayedCall | None = None
        self._rounds = Rounds(clock, self._round, self._failed)

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._rounds.start()

    def stop(self) -> None:
        self._receiver = None
        self._rounds.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._api.close()

    def write(self, path: str, text: bytes | None) -> Deferred[None]:
        return self._api.put(f"{self._prefix}{path}", text).addCallbacks(lambda _: None, _as_os_error)

    def _failed(self, reason: str) -> None:
        self._revision = 0  # it may come back as another one
        if self._receiver is not None:
            self._receiver.failed(reason)

    def _round(self) -> Deferred[float]:
        return self._watch() if self._revision else self._read({}, "", 0)

    def _read(self, found: dict[str, bytes], after: str, revision: int) -> Deferred[float]:
        def taken(page: Page) -> Deferred[float]:
            for key, value in page.values:
                found[key.removeprefix(self._prefix)] = value
            _check_size(sum(map(len, found.values())))
            if page.rest and page.values:
                return self._read(found, page.values[-1][0], revision or page.revision)
            for path in [path for path in self._texts if path not in found]:
                self._set(path, None)
            for path, value in found.items():
                self._set(path, value)
            self._revision = revision or page.revision
            self._report()
            return succeed(0.0)

        return self._api.range(self._prefix, after, revision).addCallback(taken)

    def _watch(self) -> Deferred[float]:
        watched = self._api.watch(self._prefix, self._revision + 1, LIFE, self._take)

        def ended(is_over: bool) -> float:
            if not is_over:
                raise RegistryError("etcd: the watch has ended before its time")
            return 0.0

        def forgotten(why: Failure) -> float:
            why.trap(Forgotten)
            self._revision = 0
            return PAUSE

        return watched.addCallbacks(ended, forgotten)

    def _take(self, event: Event) -> None:
        """Take changes. Raises Forgotten for an etcd that is behind what it had: its data are others."""
        if event.store < self._revision:
            raise Forgotten("etcd: an older revision than before")
        for key, value in event.values:
            self._set(key.removeprefix(self._prefix), value)
        _check_size(self._size)
        self._revision = max(self._revision, event.revision)
        if event.values and self._timer is None:
            self._timer = self._clock.callLater(GATHER, self._report)

    def _set(self, path: str, value: bytes | None) -> None:
        before = self._texts.pop(path, None)
        self._size += len(value or b"") - len(before or b"")
        if value is not None:
            self._texts[path] = value
        if value != before:
            self._changed[path] = value

    def _report(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._receiver is not None:
            changed, self._changed = self._changed, {}
            self._receiver.update(changed)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise RegistryError(f"etcd: documents of {size} bytes; allowed are {MAX_BYTES}")


def _as_os_error(failure: Failure) -> None:
    raise OSError(failure.getErrorMessage())
