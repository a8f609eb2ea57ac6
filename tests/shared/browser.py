"""
The admin API in memory: a proxy, a configuration, and somebody who asks.

Lives here: `Desk`. Does not: assertions; sockets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

from running_proxy import Running
from twisted.internet.address import IPv4Address
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from metaproxy.admin.guard import Guard
from metaproxy.admin.resource import Endpoint, Root
from metaproxy.admin.roles import Counted, Difference, IReactor, MeshStatus, Names, Refusal, Upgrades
from metaproxy.admin.service import AdminService, Workers
from metaproxy.config.model import Config
from metaproxy.config.schema.nodes import Problem, Scalar
from metaproxy.config.slices import Slices
from metaproxy.telemetry.access_log.files import LogFiles, Run
from metaproxy.telemetry.roles import XdsCounts

GOOD = "listeners: []\n"


class FakeConfiguration:
    """What app.application.Application is to the admin API: a text that has the word `wrong` is."""

    def __init__(self, running: Running) -> None:
        self.file = "demo.yaml"
        self.applied = 1700000001.5
        self.refused: Refusal | None = None
        self.reloads: Counted = {"applied": 1, "refused": 0}
        self.content = GOOD
        self.config = Config(runtime={"canary": 10})
        self.defaults: Mapping[str, object] = {"canary": 10}
        self.live: dict[str, Scalar] = {}
        self._running = running
        self.slices = Slices(Clock())
        self.mesh: MeshStatus | None = None
        self.upgrades: Upgrades | None = None

    def set_live(self, name: str, value: Scalar) -> list[str]:
        if value == "wrong":
            return ["demo.yaml:1:1: wrong"]
        self.live = {} if value is None else {name: value}
        self.config = Config(runtime={**self.defaults, **self.live})
        return []

    def check(self, text: str | bytes, source: str = "demo.yaml") -> tuple[list[Problem], Difference | None]:
        if "wrong" in str(text):
            place = "listeners[0].routes[1].cluster"
            return [Problem(source, 7, 18, place, "no cluster 'dmeo'"), Problem(source, 9, 1, "", "worse")], None
        same: Names = {"added": [], "changed": [], "removed": []}
        more: Names = {"added": ["back"], "changed": [], "removed": []}
        return [], {"listeners": more, "clusters": same, "sections": [], "warnings": []}

    def apply_text(self, text: str | bytes, source: str = "demo.yaml") -> list[str]:
        problems = [str(one) for one in self.check(text, source)[0]]
        if problems:
            self.reloads["refused"] += 1
            self.refused = {"time": 1700000002.0, "source": source, "errors": problems}
            return problems
        self.reloads["applied"] += 1
        snapshot = self._running.proxy.snapshot
        assert snapshot is not None
        self._running.apply(snapshot.version + 1)
        return []

    def put_text(self, text: str | bytes, source: str = "demo.yaml") -> list[str]:
        return self.apply_text(text, source)

    def check_put(self, text: str | bytes, source: str = "demo.yaml") -> tuple[list[Problem], Difference | None]:
        return self.check(text, source)

    def reload(self) -> list[str]:
        return self.apply_text(self.content)

    xds: dict[str, object] | None = None
    xds_counts: Mapping[str, XdsCounts] = {}

    def xds_status(self) -> dict[str, object] | None:
        return self.xds

    def envoy_dump(self) -> dict[str, object]:
        return {"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"}]}

    def mesh_status(self) -> MeshStatus | None:
        return self.mesh

    def dump(self) -> dict[str, object]:
        return {
            "node": {"id": "sidecar-1", "cluster": "demo"},
            "listeners": [{"name": "front", "protocol": {"name": "redis", "options": {"auth": "hunter2"}}}],
            "clusters": [{"name": "demo", "credentials": {"user": "app", "password": "hunter2"}}],
        }


class Response:
    def __init__(self, data: bytes, method: str) -> None:
        class Socket:
            def makefile(self, mode: str) -> BytesIO:
                return BytesIO(data)

        response = HTTPResponse(Socket(), method=method)  # type: ignore[arg-type]
        response.begin()
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Connection:
    """One HTTP connection. `gone` ends it from the client's side."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.channel = desk.admin.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def pause(self) -> None:
        """The socket takes no more: what is written is paused."""
        producer = self.transport.producer
        assert producer is not None
        producer.pauseProducing()

    def resume(self) -> None:
        producer = self.transport.producer
        assert producer is not None
        producer.resumeProducing()

    def gone(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    def take(self) -> bytes:
        """What was answered by the time that nothing more happens."""
        size = -1
        while size != len(self.transport.value()):
            size = len(self.transport.value())
            self.desk.clock.advance(0)
        data: bytes = self.transport.value()
        self.transport.clear()
        return data


class Desk:
    """running: the proxy. tokens, workers: see AdminService; run: writes to files, see access_log.files.Run."""

    def __init__(
        self,
        tokens: Any = None,
        listen: str = "127.0.0.1:9901",
        workers: Workers | None = None,
        run: Run = lambda write: succeed(write()),
        **options: Any,
    ) -> None:
        self.running = Running(**options)
        self.proxy = self.running.proxy
        self.configuration = FakeConfiguration(self.running)
        self.clock = self.running.network.clock
        self.stopped: list[float] = []
        vars(self.clock)["stop"] = lambda: self.stopped.append(self.clock.seconds())  # as the reactor has it
        self.logs = LogFiles(self.clock, run)
        self.admin = AdminService(
            self.proxy, self.configuration, listen, tokens, cast(IReactor, self.clock), self.logs, workers=workers
        )

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        """headers: with underscores for dashes; Host is 127.0.0.1:9901 unless given."""
        given = {"host": "127.0.0.1:9901", **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value)]
        if body:
            lines.append(f"content-length: {len(body)}")
        connection = Connection(self)
        connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return Response(connection.take(), method)

    def serve(self, *endpoints: Endpoint) -> None:
        """These, for everybody, in the place of the API's own."""
        self.admin.site.resource = Root(endpoints, Guard(None, ()), cast(IReactor, self.clock))

    def get(self, path: str, **headers: str) -> Response:
        return self.ask("GET", path, b"", **headers)

    def post(self, path: str, body: str = "", **headers: str) -> Response:
        return self.ask("POST", path, body.encode("utf-8", "surrogateescape"), **headers)
