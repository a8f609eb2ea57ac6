"""
Worker processes as the admin API and the metrics see them, without any process.

Lives here: `SomeWorker`, `SomeWorkers`, `NoFilters`. Does not: assertions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric
from twisted.internet.defer import Deferred, succeed

from metaproxy.admin.resource import Endpoint


@dataclass
class SomeWorker:
    """The role telemetry.roles.WorkerProcess."""

    number: int
    state: str = "ready"
    answers: bool = True
    restarts: int = 0
    lost: int = 0
    total: int = 0
    given: int = 0
    started: float = 1700000000.0
    why: str = ""
    cpu_seconds: float = 0.0
    memory_bytes: int = 0


class NoFilters:
    """The role telemetry.roles.FilterMetrics, of workers whose filters measure nothing."""

    def values(self) -> Mapping[tuple[str, str, str], float]:
        return {}

    def values_by_worker(self) -> Mapping[tuple[str, str, str, str], float]:
        return {}

    def collect(self) -> Iterator[Metric]:
        return iter(())


class SomeWorkers:
    """The role admin.service.Workers, of a supervisor whose workers answer nothing themselves."""

    def __init__(self, *members: SomeWorker) -> None:
        self.members = members
        self.filters = NoFilters()

    def endpoints(self, own: Sequence[Endpoint]) -> list[Endpoint]:
        return list(own)

    def refresh(self, filters: bool) -> Deferred[None]:
        return succeed(None)
