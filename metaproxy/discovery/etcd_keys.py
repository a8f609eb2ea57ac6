"""
The keys of etcd below a root, by the folders that they are in.

Lives here: `Keys`: which clusters a change concerns; `Folders`. Does not: when the keys are read and watched
(`etcd_rounds`), what a value means (`etcd`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.discovery.etcd_api import Api, Value
from metaproxy.discovery.etcd_rounds import GATHER, KeyRounds
from metaproxy.discovery.http_registry import RegistryError
from metaproxy.discovery.instances import MAX_ENTRY

MAX_KEY, MAX_DEPTH = 1024, 16
"""Characters of a key, and folders in each other; a key that exceeds them is no server of a cluster."""
MOST_KEYS, MOST_BYTES = 100_000, 64 << 20
"""Of all keys and values below the root."""
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
        self._known = Folders()
        self._reading = Folders()  # what has come of all keys, while they are read
        self._has_read = False
        self._users: dict[str, dict[object, tuple[Changed, Failed]]] = {}
        self._due: dict[str, None] = {}
        self._timer: IDelayedCall | None = None
        self._rounds = KeyRounds(clock, api, root, self)
        self._rounds.start()

    def close(self) -> None:
        self._rounds.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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

    # -- what `KeyRounds` finds

    def begin(self) -> None:
        self._reading = Folders()

    def add(self, values: Sequence[Value]) -> None:
        for key, value in values:
            self._reading.put(key, value)

    def complete(self) -> None:
        self._known, self._reading, self._has_read = self._reading, Folders(), True
        for folder in self._users:
            self._report_soon(folder)

    def change(self, values: Sequence[tuple[str, bytes | None]]) -> None:
        for key, value in values:
            if value is None:
                self._known.drop(key)
            else:
                self._known.put(key, value)
            for folder in folders(key):
                if folder in self._users:
                    self._report_soon(folder)

    def failed(self, text: str) -> None:
        for users in list(self._users.values()):
            for _, away in list(users.values()):
                away(text)
