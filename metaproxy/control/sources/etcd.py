"""
Keys of etcd below a prefix, each a document.

Lives here: `Etcd`. Does not: when the keys are read and watched (`discovery.etcd_rounds`), what a document holds
(`documents`).
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.control.sources.roles import Receiver
from metaproxy.discovery.etcd_api import Api, Value
from metaproxy.discovery.etcd_rounds import GATHER, KeyRounds
from metaproxy.discovery.http_registry import RegistryError

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
        self._found: dict[str, bytes] = {}  # what has come of all keys, while they are read
        self._found_size = 0
        self._timer: IDelayedCall | None = None
        self._rounds = KeyRounds(clock, api, prefix, self)

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._rounds.start()

    def stop(self) -> None:
        self._receiver = None
        self._rounds.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def write(self, path: str, text: bytes | None) -> Deferred[None]:
        return self._api.put(f"{self._prefix}{path}", text).addCallbacks(lambda _: None, _as_os_error)

    # -- what `KeyRounds` finds

    def begin(self) -> None:
        self._found, self._found_size = {}, 0

    def add(self, values: Sequence[Value]) -> None:
        for key, value in values:
            self._found[key.removeprefix(self._prefix)] = value
            self._found_size += len(value)
        _check_size(self._found_size)

    def complete(self) -> None:
        found, self._found = self._found, {}
        for path in [path for path in self._texts if path not in found]:
            self._set(path, None)
        for path, value in found.items():
            self._set(path, value)
        self._report()

    def change(self, values: Sequence[tuple[str, bytes | None]]) -> None:
        for key, value in values:
            self._set(key.removeprefix(self._prefix), value)
        _check_size(self._size)
        if self._timer is None:
            self._timer = self._clock.callLater(GATHER, self._report)

    def failed(self, text: str) -> None:
        if self._receiver is not None:
            self._receiver.failed(text)

    # -- what is kept of it

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
