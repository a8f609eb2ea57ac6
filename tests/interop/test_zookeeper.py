"""
Dubbo's providers as they register themselves in a real ZooKeeper.

Lives here: providers on Dubbo for Java and on sofa-rpc-node, by interface and by application, called through the proxy
while they come and go. Does not: other nodes, and ZooKeeper's own end (test_registries.py).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy, listener
from registry_peers import ZooKeeper
from running import Jobs, Program, eventually, free_port

peer = pytest.mark.peer
SLOW = 20.0
INTERFACE = "org.example.HelloService"


class Calls:
    """A client that calls all the time. counted: answers; what failed is under `failed`."""

    def __init__(self, jobs: Jobs, port: int) -> None:
        self.counted: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call, args=(jobs, port))
        self._thread.start()

    def _call(self, jobs: Jobs, port: int) -> None:
        while not self._over.is_set():
            for each in jobs.run(port=port, calls=[{"method": "whoami", "args": []}] * 20):
                self.counted[str(each.get("value", f"failed {each}"))] += 1

    def answers(self, *names: str) -> bool:
        """Whether these, and no others, answer from some time on."""
        return bool(eventually(lambda: self._more() == set(names), SLOW))

    def _more(self) -> set[str]:
        before = self.counted.copy()
        assert eventually(lambda: self.counted.total() >= before.total() + 60, SLOW)
        return set(self.counted - before)

    def stop(self) -> list[str]:
        self._over.set()
        self._thread.join()
        return [text for text in self.counted if text.startswith("failed")]


@pytest.fixture
def zookeeper(start_here: Start, tmp_path: Path) -> Iterator[ZooKeeper]:
    made = ZooKeeper(start_here, tmp_path)
    yield made
    made.close()


def provider(start: Start, kind: str, name: str, zookeeper: ZooKeeper) -> Program:
    port = free_port()
    where = f"registry=zookeeper://127.0.0.1:{zookeeper.port}"
    return start(catalogue.patient(catalogue.dubbo_server(kind, name, port, where, "dubbo.tag=gray")), None)


def endpoints(proxy: Proxy, name: str) -> list[dict[str, Any]]:
    (found,) = (one for one in proxy.admin("/clusters")["clusters"] if one["name"] == name)
    listed: list[dict[str, Any]] = found["endpoints"]
    return listed


@peer("zookeeper", "registry", "java", "npm")
def test_providers_register_and_are_called_and_leave_and_no_call_fails(
    zookeeper: ZooKeeper, start_here: Start, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    java = provider(start_here, "java", "alpha", zookeeper)
    by_interface, by_application = free_port(), free_port()
    found = {"servers": [f"127.0.0.1:{zookeeper.port}"], "where": {"protocol": "dubbo"}}
    retry = {"attempts": 2, "on": ["connect", "reset"]}
    running = proxy(
        {
            "listeners": [
                listener("one", by_interface, "dubbo", [{"cluster": "interface", "retry": retry}]),
                listener("two", by_application, "dubbo", [{"cluster": "application", "retry": retry}]),
            ],
            "clusters": [
                {"name": "interface", "discovery": {"zookeeper": f"/dubbo/{INTERFACE}/providers", **found}},
                {"name": "application", "discovery": {"zookeeper": f"/dubbo/mapping/{INTERFACE}", **found}},
            ],
        }
    )
    assert eventually(lambda: len(endpoints(running, "application")) == 1, SLOW)
    (one,) = endpoints(running, "interface")
    wanted = {
        "version": "1.0.0",
        "application": "peers-alpha",
        "protocol": "dubbo",
        "interface": INTERFACE,
        "tag": "gray",
    }
    assert {key: one["metadata"].get(key) for key in wanted} == wanted
    assert one["weight"] == 100
    (other,) = endpoints(running, "application")
    assert other["address"] == one["address"]
    assert other["metadata"]["application"] == "peers-alpha"

    jobs = clients(catalogue.dubbo_client("npm"))
    (answer,) = jobs.run(port=by_application, calls=[{"method": "whoami", "args": []}])
    assert answer["value"] == "alpha"
    calls = Calls(jobs, by_interface)
    try:
        assert calls.answers("alpha")
        provider(start_here, "npm", "beta", zookeeper)
        assert calls.answers("alpha", "beta")
        java.stop()
        assert calls.answers("beta")
        rule = f"override://0.0.0.0/{INTERFACE}?category=configurators&dynamic=false&weight=7"
        zookeeper.client.create(f"/dubbo/{INTERFACE}/configurators/{quote(rule, safe='')}", makepath=True)
        assert eventually(lambda: [each["weight"] for each in endpoints(running, "interface")] == [7], SLOW)
    finally:
        failed = calls.stop()
    assert failed == []
    assert eventually(lambda: endpoints(running, "application") == [], SLOW)
