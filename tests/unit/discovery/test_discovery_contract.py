"""Every discovery of ours keeps the contract that `check_discovery` holds; DNS, which needs a real reactor, apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from registries_in_memory import AnsweringCalls, Source
from twisted.internet.task import Clock
from zookeeper_tree import Ensemble, FakeClient

from metaproxy.discovery.consul import Consul
from metaproxy.discovery.etcd import Etcd
from metaproxy.discovery.eureka import Eureka
from metaproxy.discovery.file import File
from metaproxy.discovery.nacos import Nacos
from metaproxy.discovery.zookeeper.discovery import Zookeeper
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import check_discovery
from metaproxy.units import Seconds

SERVER = "http://127.0.0.1:8500"


def consul(source: Source) -> Callable[[Clock], IDiscovery]:
    class InMemory(Consul):
        def calls(self) -> AnsweringCalls:
            return AnsweringCalls(self._clock, source)  # type: ignore[arg-type]

    return lambda clock: InMemory("demo", clock, SERVER)


def etcd(source: Source) -> Callable[[Clock], IDiscovery]:
    class InMemory(Etcd):
        def calls(self) -> AnsweringCalls:
            return AnsweringCalls(self._clock, source)  # type: ignore[arg-type]

    return lambda clock: InMemory("/services/demo/", clock, SERVER)


def nacos(source: Source) -> Callable[[Clock], IDiscovery]:
    class InMemory(Nacos):
        def calls(self) -> AnsweringCalls:
            return AnsweringCalls(self._clock, source)  # type: ignore[arg-type]

    return lambda clock: InMemory("demo", clock, SERVER)


def eureka(source: Source) -> Callable[[Clock], IDiscovery]:
    class InMemory(Eureka):
        def calls(self) -> AnsweringCalls:
            return AnsweringCalls(self._clock, source)  # type: ignore[arg-type]

    return lambda clock: InMemory("demo", clock, f"{SERVER}/eureka", refresh=Seconds(1.0))


@pytest.mark.parametrize("make", [consul, etcd, nacos, eureka])
def test_a_discovery_over_http_keeps_the_contract(make: Callable[[Source], Callable[[Clock], IDiscovery]]) -> None:
    source = Source()
    check_discovery(make(source), source.change, source.fail, source.recover)


def test_zookeeper_keeps_the_contract() -> None:
    ensembles: list[Ensemble] = []
    port = 10

    def make(clock: Clock) -> IDiscovery:
        ensemble = Ensemble(clock)
        ensembles.append(ensemble)

        class InMemory(Zookeeper):
            def client(self) -> FakeClient:
                return ensemble.client()

        put()
        return InMemory("/dubbo/x/providers", clock, ["127.0.0.1:2181"])

    def put() -> None:
        nonlocal port
        port += 1
        ensembles[-1].put(f"/dubbo/x/providers/{quote(f'dubbo://10.0.0.7:{port}/x', safe='')}")

    check_discovery(make, put, lambda: ensembles[-1].crash(), lambda: ensembles[-1].come_back())


def test_a_file_keeps_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    ports = [1]

    def change() -> None:
        ports.append(ports[-1] + 1)
        path.write_text(json.dumps([f"10.0.0.7:{port}" for port in ports]))

    change()
    check_discovery(lambda clock: File(str(path), clock), change, path.unlink, change)
