from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq
from browser import Desk
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFDSet
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import directlyProvides, implementer

from metaproxy.admin.service import AdminService
from metaproxy.workers.fan_out import OneWorker, WorkersNow

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "admin.md"


class Running:
    """The API on a real socket, over the proxy in memory."""

    def __init__(self, listen: str) -> None:
        from twisted.internet import reactor

        self.desk = Desk()
        self.reactor: Any = reactor
        self.service = AdminService(self.desk.proxy, self.desk.configuration, listen, None, reactor)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_it_answers_on_its_port() -> None:
    running = Running("127.0.0.1:0")
    running.service.startService()
    try:
        assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", running.service.bound)
        response = await treq.get(f"http://{running.service.bound}/metrics", persistent=False)
        assert response.code == 200
        assert "metaproxy_ready 1.0" in await response.text()
    finally:
        await running.service.stopService()
    assert running.service.bound == ""


@pytest_twisted.ensureDeferred
async def test_it_answers_on_ipv6() -> None:
    running = Running("[::1]:0")
    running.service.startService()
    assert running.service.bound.startswith("[::1]:")
    await running.service.stopService()


@pytest_twisted.ensureDeferred
async def test_it_answers_on_a_socket_in_a_folder_for_its_user_only(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")

    @implementer(IAgentEndpointFactory)
    class ToSocket:
        def endpointForURI(self, uri: Any) -> UNIXClientEndpoint:
            return UNIXClientEndpoint(running.reactor, path)

    running = Running(f"unix:{path}")
    running.service.startService()
    try:
        assert running.service.bound == f"unix:{path}"
        assert os.stat(path).st_mode & 0o077 == 0
        agent = Agent.usingEndpointFactory(running.reactor, ToSocket())
        response = await treq.get("http://localhost/healthz", agent=agent)
        assert json.loads(await response.content()) == {"status": "ok"}
    finally:
        await running.service.stopService()
    assert not os.path.exists(path)


@pytest_twisted.ensureDeferred
async def test_a_busy_port_is_an_error_at_the_start() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    running = Running(f"127.0.0.1:{taken.getsockname()[1]}")
    with pytest.raises(CannotListenError):
        running.service.startService()
    assert not running.service.running
    taken.close()
    await running.service.stopService()


def start(desk: Desk) -> None:
    """The service, with a reactor that looks at no socket."""
    vars(desk.clock).update(addReader=lambda one: None, removeReader=lambda one: None)
    directlyProvides(desk.clock, IReactorFDSet)
    desk.admin.startService()


def test_while_the_proxy_drains_it_stays() -> None:
    from harness import call

    desk = Desk(listen="127.0.0.1:0")
    client = desk.running.client()
    desk.running.say(client, call(1))
    stopped: list[object] = []
    start(desk)
    desk.admin.stopService().addCallback(stopped.append)
    desk.proxy.stopService()
    desk.clock.advance(1)
    assert desk.admin.bound
    assert desk.get("/ready").json == {"status": "draining"}
    client.end()
    desk.clock.advance(0)
    assert not desk.admin.bound
    assert stopped


def test_alone_it_stops_at_once() -> None:
    desk = Desk(listen="127.0.0.1:0")
    start(desk)
    stopped = desk.admin.stopService()
    desk.clock.advance(0)
    assert not desk.admin.bound
    assert stopped.called


# -- the reference


def sections() -> dict[str, str]:
    """Heading, such as `GET /clusters`, -> what stands under it."""
    parts = re.split(r"^### (.*)\n", DOCS.read_text(), flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


ENDPOINTS = [f"{method} {endpoint.path}" for endpoint in Desk().admin.root.endpoints for method in endpoint.methods()]
ENDPOINTS += [f"GET {endpoint.path}" for endpoint in (WorkersNow, OneWorker)]  # of a supervisor only


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_endpoint_is_documented_with_an_example(endpoint: str) -> None:
    assert re.search(r"^(```|    )", sections()[endpoint], flags=re.MULTILINE)


def test_no_endpoint_is_documented_that_is_not_there() -> None:
    assert set(sections()) == set(ENDPOINTS)


def test_each_example_in_json_has_the_keys_of_an_answer() -> None:
    desk = Desk()
    client = desk.running.client()
    desk.running.exchange(client)
    bodies = {"POST /check": "listeners: []", "PUT /config": "listeners: []"}
    for heading, text in sections().items():
        method, path = heading.split()
        example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
        if example is not None:
            told = desk.ask(
                method,
                path.format(name="demo" if "clusters" in path else "canary", cluster="demo", address="127.0.0.1:1000"),
                bodies.get(heading, "").encode(),
            ).json
            assert heading == "POST /drain" or shape(json.loads(example[1]), told) == [], heading
            assert json.loads(example[1]).keys() == told.keys(), heading


def shape(example: Any, told: Any, place: str = "") -> list[str]:
    """Where an example has other keys than an answer; of lists the first items are compared."""
    if isinstance(example, list) and isinstance(told, list) and example and told:
        return shape(example[0], told[0], f"{place}[0]")
    if not isinstance(example, dict) or not isinstance(told, dict) or place.endswith(FREE):
        return []
    differ = [f"{place}.{key}" for key in (example.keys() ^ told.keys()) - OPTIONAL]
    both = [shape(example[key], told[key], f"{place}.{key}") for key in example.keys() & told.keys()]
    return sum(both, differ)


FREE = tuple(
    f".{key}"
    for key in (
        "routes[0].clusters", "match", "outcomes", "ejections", "metadata", "config", "node", "compiled.listeners",
        "compiled.clusters",
    )
)  # fmt: skip
"""Where keys are names that a user chose."""
OPTIONAL = {"timeout", "percent", "clusters", "reply", "match", "error"}
"""Of a route, and of a plugin: only what it has."""
