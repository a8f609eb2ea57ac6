"""
The start of a worker's process.

Lives here: `main`; `Lines`, which sends what is logged to the supervisor. Does not: what a worker does
(`workers.worker`); starting the process (`processes`).
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import cast

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogBeginner
from zope.interface import implementer

from metaproxy.admin.roles import IReactor
from metaproxy.app.process import keep_freed_memory, raise_file_limit, settle_memory
from metaproxy.support.worker_share import set_workers
from metaproxy.workers.channel import Channel
from metaproxy.workers.member import MOST_WAITING
from metaproxy.workers.messages import Line
from metaproxy.workers.worker import Worker

LINE = 3
"""The descriptor of its end of the line to the supervisor."""


def main(workers: int) -> None:
    """Run one of so many workers on the line that the supervisor left at descriptor LINE."""
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    # What a terminal or a service manager sends to all processes is the supervisor's to answer.
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(one, signal.SIG_IGN)
    raise_file_limit()
    keep_freed_memory()
    set_workers(workers)
    worker = Worker(socket.socket(fileno=LINE), reactor, reactor.stop)
    globalLogBeginner.beginLoggingTo([Lines(worker.line)], redirectStandardIO=False)
    settle_memory()
    reactor.callWhenRunning(worker.start)
    reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]


@implementer(ILogObserver)
class Lines:
    """
    Sends what is logged to the supervisor, whose log is that of all. What is logged of the line itself goes to stderr,
    as does what a supervisor that hangs does not take: it may not fill the memory.
    """

    def __init__(self, line: Channel) -> None:
        self._line = line

    def __call__(self, event: LogEvent) -> None:
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text = f"{text}\n{failure.getTraceback()}"
        level, namespace = event.get("log_level"), str(event.get("log_namespace", ""))
        full = self._line.waiting >= MOST_WAITING
        if text and not full and not namespace.startswith("metaproxy.workers.channel"):
            self._line.tell(Line(getattr(level, "name", "info"), namespace, text))
        elif text:
            sys.stderr.write(f"{text}\n")
