"""
The admin API of one worker: what the supervisor asks it, over the line between them.

Lives here: `admin_root`, `WorkerConfiguration`. Does not: a port, and who may ask: only the supervisor can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from metaproxy.admin.resource import Root
from metaproxy.admin.roles import Counted, Difference, IReactor, Json, MeshStatus, Refusal, Upgrades
from metaproxy.admin.service import endpoints
from metaproxy.admin.view import View
from metaproxy.app.service import ProxyService
from metaproxy.config.build import Builder
from metaproxy.config.masking import as_data
from metaproxy.config.model import Config
from metaproxy.config.schema.nodes import Problem, Scalar
from metaproxy.config.slices import Slices
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.telemetry.metrics.collector import Metrics
from metaproxy.telemetry.roles import XdsCounts

_SUPERVISOR = "this is one worker: ask the supervisor"


class Worker(Protocol):
    """The process."""

    proxy: ProxyService
    builder: Builder
    logs: LogFiles


class WorkerConfiguration:
    """The role admin.roles.Configuration of a worker: what it was given; it can change none of it."""

    def __init__(self, reactor: IReactor) -> None:
        self.file = "(the supervisor)"
        self.config = Config()
        self.applied = 0.0
        self.reloads: Counted = {"applied": 0, "refused": 0}
        self.live: dict[str, Scalar] = {}
        self.upgrades: Upgrades | None = None
        self.defaults: Mapping[str, object] = {}
        self.slices = Slices(reactor)

    @property
    def refused(self) -> Refusal | None:
        return None

    def reload(self) -> list[str]:
        return [_SUPERVISOR]

    def check_put(self, text: str | bytes, source: str = "") -> tuple[list[Problem], Difference | None]:
        return [Problem(self.file, 1, 1, "", _SUPERVISOR)], None

    def put_text(self, text: str | bytes, source: str = "") -> list[str]:
        return [_SUPERVISOR]

    def set_live(self, name: str, value: Scalar) -> list[str]:
        return [_SUPERVISOR]

    def xds_status(self) -> Json | None:
        return None

    def envoy_dump(self) -> Json:
        return {"configs": []}

    @property
    def xds_counts(self) -> Mapping[str, XdsCounts]:
        return {}

    def mesh_status(self) -> MeshStatus | None:
        return None

    def dump(self) -> dict[str, object]:
        shown = as_data(self.config)
        assert isinstance(shown, dict)
        return shown


class _Anybody:
    """Only the supervisor has the other end."""

    def check(self, method: str, header: Callable[[str], str | None], open: bool) -> None:
        """All may be asked."""


def admin_root(worker: Worker, configuration: WorkerConfiguration, reactor: IReactor) -> tuple[Root, View]:
    """Return what answers, and what it looks at, whose windows and log levels are to be started."""
    metrics = Metrics(worker.proxy, configuration, worker.logs)
    view = View(worker.proxy, configuration, reactor, metrics, logs=worker.logs, statements=worker.builder.statements)
    return Root(endpoints(view), _Anybody(), reactor), view
