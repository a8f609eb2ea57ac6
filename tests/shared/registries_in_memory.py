"""
Registries that answer by themselves, on a clock: for what is checked as a whole.

Lives here: `AnsweringCalls`, which has the answers of Consul, etcd, Nacos and Eureka for a few servers. Does not:
single answers that a test decides on (scripted_calls.py); real registries (tests/interop).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock, deferLater

from metaproxy.clients.http import Answer, HttpFailed


class Source:
    """ports: of the servers. change: other ones; fail, recover: whether it answers."""

    def __init__(self) -> None:
        self.ports = [1, 2]
        self.version = 5
        self.up = True
        self.changed: list[Callable[[], None]] = []
        self.lost: list[Callable[[], None]] = []

    def change(self) -> None:
        self.ports = [*self.ports[1:], self.ports[-1] + 1]
        self.version += 1
        for call in list(self.changed):
            call()

    def fail(self) -> None:
        self.up = False
        for call in list(self.lost):
            call()

    def recover(self) -> None:
        self.up = True


def coded(text: str) -> str:
    return b64encode(text.encode()).decode()


class AnsweringCalls:
    """In the place of HttpCalls. LATENCY: seconds until an answer comes."""

    LATENCY = 0.01

    def __init__(self, clock: Clock, source: Source) -> None:
        self._clock = clock
        self._source = source

    def call(
        self,
        method: str,
        url: str,
        timeout: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        most: int = 0,
    ) -> Deferred[Answer]:
        path = urlsplit(url).path
        wait = self.LATENCY if "index=" not in url else 5.0  # one that waits for a change
        asked = deferLater(self._clock, wait, self._answer, path)
        return asked.addErrback(self._ended)

    def stream(
        self,
        url: str,
        patience: float,
        timeout: float,
        received: Callable[[bytes], None],
        headers: Iterable[tuple[str, str]] = (),
        most: int = 0,
        method: str = "GET",
        body: bytes = b"",
    ) -> Deferred[Answer]:
        """A watch of etcd: it sends what has changed, until it is cancelled, lost or over."""
        source = self._source
        if not source.up:
            return fail(HttpFailed("connection refused"))
        before = set(source.ports)

        def over() -> None:
            if timer.active():
                timer.cancel()
            source.changed.remove(changed)
            source.lost.remove(lost)

        def ended(_: object) -> None:
            over()
            answered.errback(HttpFailed("given up"))

        answered: Deferred[Answer] = Deferred(ended)

        def lost() -> None:
            over()
            answered.errback(HttpFailed("connection lost"))

        def changed() -> None:
            nonlocal before
            if not source.up:
                return
            now = set(source.ports)
            events: list[dict[str, Any]] = [{"kv": _pair(port, source.version)} for port in sorted(now - before)]
            events += [{"type": "DELETE", "kv": _pair(port, source.version)} for port in sorted(before - now)]
            before = now
            result = {"header": {"revision": str(source.version)}, "events": events}
            received(json.dumps({"result": result}).encode() + b"\n")

        timer = self._clock.callLater(timeout, lost)
        source.changed.append(changed)
        source.lost.append(lost)
        return answered

    def close(self) -> None: ...

    def _ended(self, why: Any) -> Any:
        raise HttpFailed(why.getErrorMessage() or "given up")

    def _answer(self, path: str) -> Answer:
        source = self._source
        if not source.up:
            raise HttpFailed("connection refused")
        kind = next(one for word, one in _ANSWERS.items() if word in path)
        return Answer(200, [("x-consul-index", str(source.version))], json.dumps(kind(source)).encode())


def _pair(port: int, revision: int) -> dict[str, str]:
    return {"key": coded(f"/services/demo/{port}"), "value": coded(f"10.0.0.7:{port}"), "mod_revision": str(revision)}


def _consul(source: Source) -> object:
    node = {"Node": "n1", "Address": "10.0.0.7", "Datacenter": "dc1"}
    return [{"Node": node, "Service": {"ID": str(port), "Port": port}, "Checks": []} for port in source.ports]


def _etcd(source: Source) -> object:
    kvs = [_pair(port, source.version) for port in source.ports]
    return {"header": {"revision": str(source.version)}, "kvs": kvs}


def _nacos(source: Source) -> object:
    return {"hosts": [{"ip": "10.0.0.7", "port": port} for port in source.ports]}


def _eureka(source: Source) -> object:
    instances = [{"instanceId": str(port), "ipAddr": "10.0.0.7", "port": port, "status": "UP"} for port in source.ports]
    return {"applications": {"application": [{"name": "DEMO", "instance": instances}], "apps__hashcode": "whole"}}


_ANSWERS: dict[str, Callable[[Source], object]] = {
    "/v1/health/": _consul, "/v3/kv/": _etcd, "/v1/ns/": _nacos, "/eureka/apps": _eureka,
}  # fmt: skip
