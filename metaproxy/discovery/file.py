"""
Endpoints from a file that another program writes.

Lives here: `File`, and watching it. Does not: what an endpoint may be (the receiver of the list checks that).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import yaml
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option, Seconds

_REFRESH = Seconds(1.0)
Update = Callable[[Sequence[Mapping[str, object]]], None]

MOST = 4 << 20
"""Bytes that the file may have."""


@implementer(IDiscovery)
class File:
    """
    Endpoints from a file.

    A file that is gone or can't be read changes nothing; write a new one beside it and rename that.
    """

    files = ("target",)
    """The options that name files."""

    def __init__(
        self,
        target: Annotated[
            str, Option("The path of a file in YAML or JSON with what `endpoints:` may have: a list, or a mapping.")
        ],
        clock: IReactorTime,
        refresh: Annotated[Seconds, Option("Time between two looks at whether it has changed.", above="0s")] = _REFRESH,
    ) -> None:
        if not refresh:
            raise ValueError("refresh: 0 would look without a pause; write 1s")
        self._path = target
        self._clock = clock
        self._refresh = refresh
        self.problem = ""
        self._seen: object = None
        self._timer: IDelayedCall | None = None
        self._update: Update | None = None
        self._failed: Callable[[str], None] | None = None

    def start(self, update: Update, failed: Callable[[str], None]) -> None:
        self._update, self._failed = update, failed
        self._look()

    def stop(self) -> None:
        self._update = self._failed = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.callLater(self._refresh, self._look)
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        assert self._update is not None and self._failed is not None
        try:
            endpoints = _read(self._path)
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            text = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            self.problem = f"{self._path}: {str(text)[:200]}"
            self._failed(self.problem)
        else:
            self.problem = ""
            self._update(endpoints)


def _stamp(path: str) -> object:
    """Differs when the file was written or replaced."""
    try:
        stat = os.stat(path)
    except OSError as error:
        return error.errno
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: str) -> list[dict[str, object]]:
    """Raises OSError, ValueError or YAMLError."""
    with open(path, "rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise ValueError(f"more than {MOST} bytes")
    found = yaml.safe_load(data)
    if isinstance(found, dict):
        found = found.get("endpoints")
    if not isinstance(found, list):
        raise ValueError("no list of endpoints")
    return found
