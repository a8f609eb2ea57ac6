"""
Which processes there are: this one alone, or this one as the supervisor of workers.

Lives here: `Processes`, which starts with the first configuration; `spawn`, a worker's process. Does not: what the
workers are asked (`workers.supervisor`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from metaproxy.admin.resource import Endpoint
from metaproxy.admin.roles import IReactor
from metaproxy.app.application import Application
from metaproxy.app.service import ProxyService
from metaproxy.app.worker_process import LINE
from metaproxy.config import model
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.workers.fan_out import Asking, fanned
from metaproxy.workers.handed import HandingListener
from metaproxy.workers.member import Process
from metaproxy.workers.supervisor import Workers

PROGRAM = "from metaproxy.app.worker_process import main; main({workers})"


class Processes:
    """workers: None while there is this process alone."""

    def __init__(self, application: Application, proxy: ProxyService, reactor: IReactor) -> None:
        self._application = application
        self._proxy = proxy
        self._reactor = reactor
        self.workers: Workers | None = None

    def begin(self, config: model.Config) -> None:
        """The first configuration, before it is in force: it says how many there are, until the end."""
        if config.workers < 2 or self.workers is not None:
            return
        cpus = sorted(os.sched_getaffinity(0)) if config.pin_workers else []
        start = partial(spawn, self._reactor, config.workers)
        self.workers = Workers(config.workers, self._proxy, self._reactor, start, cpus)
        self._proxy.make_listener = partial(HandingListener, self.workers)
        self._application.workers = self.workers

    def admin(self) -> AdminOfWorkers | None:
        """Return what the admin API needs of the workers."""
        return AdminOfWorkers(self.workers, self._reactor) if self.workers is not None else None

    def counted(self) -> Deferred[None]:
        """Fires when what workers counted up to now is added up."""
        return self.workers.refresh() if self.workers is not None else succeed(None)

    def follow(self, levels: LogLevels) -> None:
        """Have these levels of the log in all processes."""
        if self.workers is not None:
            self.workers.decisions.follow(levels)

    def reopens(self) -> Sequence[Callable[[], None]]:
        """Return what opens the files of workers again."""
        return [self.workers.reopen_logs] if self.workers is not None else []


class AdminOfWorkers:
    """The role admin.service.Workers."""

    def __init__(self, workers: Workers, reactor: IReactor) -> None:
        self._workers = workers
        self._asking = Asking(workers, reactor)
        self.members = workers.members
        self.filters = workers.totals.filters

    def endpoints(self, own: Sequence[Endpoint]) -> list[Endpoint]:
        return fanned(own, self._asking)

    def refresh(self, filters: bool) -> Deferred[None]:
        return self._workers.refresh(filters)


class _Ending(ProcessProtocol):
    """Hears how a process ends; it has no pipes."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._on_end = ended

    def processExited(self, reason: Failure) -> None:
        code, by = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", None)
        self._on_end(f"signal {by}" if by is not None else f"status {code}")


def spawn(
    reactor: IReactor, workers: int, number: int, line: int, cpu: int | None, ended: Callable[[str], None]
) -> Process:
    """
    Start the process of one of several workers, on a CPU of its own if one is given. line: its end of the line. Raises
    OSError.
    """
    program = PROGRAM.format(workers=workers)
    if cpu is not None:
        program = f"import os; os.sched_setaffinity(0, [{cpu}]); {program}"
    command = [sys.executable, "-c", program]
    files = {0: 0, 1: 1, 2: 2, LINE: line}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process: Process = IReactorProcess(reactor).spawnProcess(
        _Ending(ended), command[0], command, environment, childFDs=files
    )
    return process
