"""
Endpoints that a discovery finds, and what becomes of the cluster when they change.

Lives here: `Membership`. Does not: where they are found (`discovery`), what may be written of one (`config`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.interfaces import IDiscovery

if TYPE_CHECKING:
    from metaproxy.cluster.cluster import Cluster

MOST = 10_000
"""Endpoints that a discovery may find for one cluster."""


class Membership:
    """
    read(items): endpoints of what a discovery found; raises ValueError for what can't be one. warm: whether there was
    an answer, or a failure.
    """

    def __init__(self, discovery: IDiscovery, read: Callable[[Sequence[Mapping[str, object]]], list[Endpoint]]) -> None:
        self.discovery = discovery
        self._read = read
        self._cluster: Cluster | None = None
        self.warm = False

    def start(self, cluster: Cluster, network: object) -> None:
        self._cluster = cluster
        self.discovery.start(self._update, self._failed)

    def stop(self) -> None:
        if self._cluster is not None:
            self._cluster = None
            self.discovery.stop()

    def changed(self) -> None:
        """No-op: this monitor caused the change."""

    def _update(self, items: Sequence[Mapping[str, object]]) -> None:
        cluster = self._cluster
        if cluster is None:
            return
        if len(items) > MOST:
            self._failed(f"{len(items)} endpoints; allowed are {MOST}")
            return
        try:
            endpoints = self._read(items)
        except ValueError as error:
            self._failed(str(error))
            return
        before = {endpoint.address for endpoint in cluster.endpoints}
        now = {endpoint.address for endpoint in endpoints}
        self.warm = True
        cluster.counts.discoveries += 1
        cluster.update(endpoints)
        if before != now:
            cluster.tell(f"{len(now)} endpoints:{_listed('+', now - before)}{_listed('-', before - now)}")

    def _failed(self, text: str) -> None:
        """The last answer stays."""
        if self._cluster is not None:
            self.warm = True
            self._cluster.counts.discovery_failures += 1
            self._cluster.tell(text)


def _listed(sign: str, addresses: set[str], most: int = 10) -> str:
    shown = "".join(f" {sign}{address}" for address in sorted(addresses)[:most])
    return f"{shown} and {len(addresses) - most} more" if len(addresses) > most else shown
