"""
Real workers of a supervisor, all in this process, with the admin API of both.

Lives here: `RealHall`. Does not: assertions; processes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser import FakeConfiguration, Response
from loop import Loop, fired
from running_proxy import Running

from metaproxy.admin.guard import Guard
from metaproxy.admin.resource import Root
from metaproxy.admin.service import endpoints
from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.admin.view import View
from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.telemetry.access_log.files import LogFiles
from metaproxy.telemetry.metrics.collector import Metrics
from metaproxy.workers.fan_out import Asking, fanned
from metaproxy.workers.supervisor import Workers
from metaproxy.workers.worker import Worker

TEXT = """
record: {folder: FOLDER}
listeners:
- {name: front, listen: "127.0.0.1:80", protocol: redis, routes: [{name: main, cluster: demo}]}
clusters:
- {name: demo, endpoints: ["127.0.0.1:1000", "127.0.0.1:1001"]}
"""


class _Process:
    def __init__(self, pid: int, ended: Callable[[str], None]) -> None:
        self.pid: int | None = pid
        self.ended = ended

    def signalProcess(self, signal: str) -> None:
        """It ends by itself, as its line is closed."""


class RealHall:
    """workers: the supervisor's; made: the workers themselves, the newest of each number."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.loop = Loop()
        self.made: dict[int, Worker] = {}
        self.processes: dict[int, _Process] = {}
        self.running = Running()
        self.proxy = self.running.proxy
        self.workers = Workers(count, self.proxy, self.loop, self._spawn)
        config, problems = check(TEXT.replace("FOLDER", str(folder)), "x.yaml", Registry())
        assert config is not None, [str(one) for one in problems]
        fired(self.workers.prepare(config, [], {}))
        self.workers.commit()
        self.workers.startService()
        self.loop.turn(30)
        configuration = FakeConfiguration(self.running)
        reactor: Any = self.loop
        logs = LogFiles(reactor)
        metrics = Metrics(self.proxy, configuration, logs, self.workers.members, self.workers.totals.filters)
        view = View(self.proxy, configuration, reactor, metrics, logs=logs)
        own = endpoints(view)
        self.asking = Asking(self.workers, reactor)
        root = Root(fanned(own, self.asking), Guard(None, ()), reactor, self.workers.refresh)
        self.site = AdminSite(root, requestFactory=BoundedRequest, timeout=60.0, reactor=reactor)

    def _spawn(self, number: int, line: int, cpu: int | None, ended: Callable[[str], None]) -> _Process:
        worker = Worker(socket.socket(fileno=os.dup(line)), self.loop, lambda: ended("status 0"))
        worker.start()
        self.made[number] = worker
        self.processes[number] = _Process(4000 + number, ended)
        return self.processes[number]

    def connect(self, listener: str = "front") -> socket.socket:
        client, accepted = socket.socketpair()
        client.settimeout(5)
        assert self.workers.hand(listener, accepted.fileno(), "127.0.0.1:80", "127.0.0.9:4321")
        accepted.close()
        self.loop.turn()
        return client

    def browser(self) -> socket.socket:
        """A connection to the admin API of the supervisor."""
        ours, theirs = socket.socketpair()
        self.loop.adoptStreamConnection(theirs.fileno(), socket.AF_UNIX, self.site)
        theirs.close()
        ours.setblocking(False)
        return ours

    def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        ours = self.browser()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        ours.send(head.encode() + body)
        data, over = b"", False
        for _ in range(3000):
            self.loop.now += 0.001
            self.loop.iterate(0)
            try:
                piece = ours.recv(1 << 20)
            except BlockingIOError:
                continue
            data += piece
            if not piece:
                over = True
                break
        assert over, data
        ours.close()
        return Response(data, method)

    def get(self, path: str) -> Response:
        return self.ask("GET", path)
