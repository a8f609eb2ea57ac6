"""
A discovery: servers register by a file in a shared folder, named after their address, and touch it while they live.

    touch /run/sheds/10.0.0.7:7001
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from metaproxy.interfaces import IDiscovery
from metaproxy.plugins import Declaration
from metaproxy.units import Seconds

DEFAULT_STALE, DEFAULT_REFRESH = Seconds(30.0), Seconds(1.0)
MOST = 10_000
"""Servers, so that a folder that grows without end does not fill the proxy."""


@implementer(IDiscovery)
class Sheds:
    """target: the folder; stale: age of a file whose server counts as gone; refresh: time between two looks."""

    def __init__(
        self, target: str, clock: IReactorTime, stale: Seconds = DEFAULT_STALE, refresh: Seconds = DEFAULT_REFRESH
    ) -> None:
        self._folder = Path(target)
        self._clock = clock
        self._stale = stale
        self._refresh = refresh
        self._known: list[str] | None = None
        self._timer: IDelayedCall | None = None

    def start(self, update: Callable[[Sequence[Mapping[str, Any]]], None], failed: Callable[[str], None]) -> None:
        self._update, self._failed = update, failed
        self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.callLater(self._refresh, self._look)
        try:
            found = self._read()
        except (OSError, ValueError) as error:
            self._failed(f"{self._folder}: {error}")  # the cluster keeps what it has
            return
        if found != self._known:
            self._known = found
            self._update([{"address": address} for address in found])

    def _read(self) -> list[str]:
        oldest = self._clock.seconds() - self._stale
        files = [file for file in self._folder.iterdir() if file.stat().st_mtime >= oldest]
        if len(files) > MOST:
            raise ValueError(f"{len(files)} servers; at most {MOST} are taken")
        return sorted(file.name for file in files)


sheds = Declaration(IDiscovery, "sheds", Sheds)
