"""
Worker processes as the admin API and the metrics see them, without any process.

Lives here: `SomeWorker`, `SomeWorkers`. Does not: assertions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


class SomeWorkers:
    """The role admin.service.Workers, of a supervisor whose workers answer nothing themselves."""

    def __init__(self, *members: SomeWorker) -> None:
        self.members = members

    def endpoints(self, own: Sequence[Endpoint]) -> list[Endpoint]:
        return list(own)

    def refresh(self) -> Deferred[None]:
        return succeed(None)
