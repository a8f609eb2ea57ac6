"""
The keys of etcd below a prefix, kept in step: read once, then watched from that revision.

Lives here: `Keys`: when they are read and watched, and which clusters a change concerns; `Folders`. Does not: the API
(`etcd_api`), what a value means (`etcd`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.discovery.etcd_api import Api, Event, Forgotten, Page
from metaproxy.discovery.http_registry import RegistryError, Rounds
from metaproxy.discovery.instances import MAX_ENTRY

MAX_KEY, MAX_DEPTH = 1024, 16
"""Characters of a key, and folders in each other; a key that exceeds them is no server of a cluster."""
MOST_KEYS, MOST_BYTES = 100_000, 64 << 20
"""Of all keys and values below the root."""
LIFE = 60.0
"""Seconds of one watch: a server that is gone without a word is found at its end."""
PAUSE = 0.5
"""Seconds until all is read again when etcd has forgotten the revision."""
GATHER = 0.05
"""Seconds in which changes are gathered before they are reported."""

Changed = Callable[[Mapping[str, bytes]], None]
Failed = Callable[[str], None]
_NOTHING: Mapping[str, bytes] = {}


def folders(key: str) -> Iterator[str]:
    """What ends with a slash and begins the key: `/a/`, `/a/b/` of `/a/b/c`; the first of them, MAX_DEPTH at most."""
    at = key.find("/", 1)
    for _ in range(MAX_DEPTH):
        if at == -1:
            return
        yield key[: at + 1]
        at = key.find("/", at + 1)


class Folders:
    """Keys and values, found by each folder that they are in, however deep."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self._bytes = 0
        self._inside: dict[str, dict[str, bytes]] = {}

    def below(self, folder: str) -> Mapping[str, bytes]:
        return self._inside.get(folder, _NOTHING)

    def put(self, key: str, value: bytes) -> None:
        """Raises RegistryError where there is no more room."""
        self.drop(key)
        if len(key) > MAX_KEY:
            return
        value = value[: MAX_ENTRY + 1]  # so much that the reader refuses it
        self._bytes += len(key) + len(value)
        if len(self.values) >= MOST_KEYS or self._bytes > MOST_BYTES:
            raise RegistryError(f"etcd: more than {MOST_KEYS} keys or {MOST_BYTES} bytes; write a narrower `root`")
        self.values[key] = value
        for folder in folders(key):
            self._inside.setdefault(folder, {})[key] = value

    def drop(self, key: str) -> None:
        value = self.values.pop(key, None)
        if value is None:
            return
        self._bytes -= len(key) + len(value)
        for folder in folders(key):
            inside = self._inside[folder]
            del inside[key]
            if not inside:
                del self._inside[folder]


class Keys:
    """All keys that begin with `root`, for users of folders in it."""

    def __init__(self, clock: IReactorTime, api: Api, root: str) -> None:
        self._clock = clock
        self._api = api
        self._root = root
        self._known = Folders()
        self._revision = 0  # of what is known; 0: it is to be read
        self._has_read = False
        self._users: dict[str, dict[object, tuple[Changed, Failed]]] = {}
        self._due: dict[str, None] = {}
        self._timer: IDelayedCall | None = None
        self._rounds = Rounds(clock, self._round, self._failed)
        self._rounds.start()

    def close(self) -> None:
        self._rounds.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._api.close()

    # -- who uses them

    def join(self, folder: str, user: object, changed: Changed, away: Failed) -> None:
        """changed: called with the keys below the folder, once they are known and after each change of them."""
        self._users.setdefault(folder, {})[user] = changed, away
        if self._has_read:
            self._report_soon(folder)

    def leave(self, folder: str, user: object) -> None:
        users = self._users[folder]
        del users[user]
        if not users:
            del self._users[folder]

    def _failed(self, text: str) -> None:
        self._revision = 0  # it may come back as another one, or as it was yesterday
        for users in list(self._users.values()):
            for _, away in list(users.values()):
                away(text)

    def _report_soon(self, folder: str) -> None:
        self._due[folder] = None
        if self._timer is None:
            self._timer = self._clock.callLater(GATHER, self._report)

    def _report(self) -> None:
        self._timer = None
        due, self._due = self._due, {}
        for folder in due:
            found = self._known.below(folder)
            for changed, _ in list(self._users.get(folder, {}).values()):
                changed(found)

    # -- all of them

    def _round(self) -> Deferred[float]:
        return self._watch() if self._revision else self._read(Folders(), "", 0)

    def _read(self, found: Folders, after: str, revision: int) -> Deferred[float]:
        def taken(page: Page) -> Deferred[float]:
            for key, value in page.values:
                found.put(key, value)
            if page.rest and page.values:
                return self._read(found, page.values[-1][0], revision or page.revision)
            self._known, self._revision, self._has_read = found, revision or page.revision, True
            for folder in self._users:
                self._report_soon(folder)
            return succeed(0.0)

        return self._api.range(self._root, after, revision).addCallback(taken)

    # -- changes of them

    def _watch(self) -> Deferred[float]:
        watched = self._api.watch(self._root, self._revision + 1, LIFE, self._take)

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
            if value is None:
                self._known.drop(key)
            else:
                self._known.put(key, value)
            for folder in folders(key):
                if folder in self._users:
                    self._report_soon(folder)
        self._revision = max(self._revision, event.revision)
