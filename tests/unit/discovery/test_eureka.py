"""Against answers as Eureka has them. A real server: tests/interop/test_registries.py."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_calls import Request, ScriptedCalls
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from metaproxy.discovery.eureka import Eureka
from metaproxy.discovery.http_registry import LAST, Calls
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport
from metaproxy.units import Secret

SERVER = "http://127.0.0.1:8761/eureka"


def instance(port: int, status: str = "UP", **more: object) -> dict[str, object]:
    return {
        "instanceId": f"i{port}", "hostName": "host", "ipAddr": "10.0.0.7", "status": status,
        "port": {"$": port, "@enabled": "true"}, "securePort": {"$": port + 1000, "@enabled": "false"},
        "metadata": {"@class": "java.util.Collections$EmptyMap"}, **more,
    }  # fmt: skip


class Server:
    def __init__(self) -> None:
        self.clock = Clock()
        self.calls = ScriptedCalls()
        self.made = 0

    def discovery(self, target: str = "web", **options: Any) -> tuple[Eureka, FakeReport]:
        server = self

        class Asking(Eureka):
            def calls(self) -> Calls:
                server.made += 1
                return server.calls

        found, report = Asking(target, self.clock, SERVER, **options), FakeReport()
        found.start(report.update, report.failed)
        return found, report

    def answer(self, hashcode: str = "", **applications: list[dict[str, object]]) -> Request:
        (request,) = self.calls.waiting
        listed = [{"name": name, "instance": one} for name, one in applications.items()]
        request.answer({"applications": {"apps__hashcode": hashcode, "application": listed}})
        self.clock.advance(5)
        return request


@pytest.fixture
def server() -> Server:
    return Server()


def addresses(report: FakeReport) -> list[object]:
    return [one["address"] for one in report.updates[-1]]


def test_it_is_a_discovery(server: Server) -> None:
    assert verifyObject(IDiscovery, server.discovery()[0])


def test_all_is_read_once_and_then_what_has_changed(server: Server) -> None:
    _, report = server.discovery("Web", user="me", password=Secret("p"))
    first = server.answer(WEB=[instance(80)], OTHER=[instance(90)])
    assert first.url == f"{SERVER}/apps"
    assert first.headers["authorization"].startswith("Basic ")
    assert addresses(report) == ["10.0.0.7:80"]
    second = server.answer("UP_3_", WEB=[instance(81, actionType="ADDED")])
    assert second.url == f"{SERVER}/apps/delta"
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.7:81"]


def test_instances_change_and_go(server: Server) -> None:
    _, report = server.discovery()
    server.answer(WEB=[instance(80), instance(81)])
    server.answer("DOWN_1_UP_1_", WEB=[instance(80, "DOWN", actionType="MODIFIED")])
    assert addresses(report) == ["10.0.0.7:81"]
    server.answer("DOWN_1_", WEB=[instance(81, actionType="DELETED")])
    assert report.updates[-1] == []
    assert report.failures == []


def test_a_delta_that_does_not_add_up_has_all_read_again(server: Server) -> None:
    _, report = server.discovery()
    server.answer(WEB=[instance(80)])
    (delta,) = server.calls.waiting
    delta.answer({"applications": {"apps__hashcode": "UP_2_", "application": []}})
    server.clock.advance(0)
    assert server.calls.last.url == f"{SERVER}/apps"
    assert len(report.updates) == 1
    server.answer(WEB=[instance(80), instance(81)])
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.7:81"]


def test_a_change_of_another_application_is_no_update(server: Server) -> None:
    _, report = server.discovery()
    server.answer(WEB=[instance(80)])
    server.answer("UP_2_", OTHER=[instance(90, actionType="ADDED")])
    assert len(report.updates) == 1


def test_an_application_that_is_not_there_has_no_instances(server: Server) -> None:
    _, report = server.discovery()
    server.answer(OTHER=[instance(90)])
    assert report.updates == [[]]


def test_metadata_weight_and_zone_are_those_of_the_instance(server: Server) -> None:
    _, report = server.discovery()
    server.answer(WEB=[instance(80, metadata={"version": "v2", "weight": "5", "zone": "b"})])
    metadata = {"version": "v2", "weight": "5", "zone": "b"}
    assert report.updates == [[{"address": "10.0.0.7:80", "weight": 5, "metadata": metadata, "zone": "b"}]]


@pytest.mark.parametrize("status", ["DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"])
def test_only_instances_that_are_up_are_used(server: Server, status: str) -> None:
    _, report = server.discovery()
    server.answer(WEB=[instance(80, status), instance(81)])
    assert addresses(report) == ["10.0.0.7:81"]


def test_the_secure_port_is_used_where_it_is_asked_for_and_enabled(server: Server) -> None:
    _, report = server.discovery(secure=True)
    server.answer(WEB=[instance(80), instance(81, securePort={"$": 443, "@enabled": "true"})])
    assert addresses(report) == ["10.0.0.7:443"]


def test_one_application_and_one_instance_may_come_without_a_list_about_them(server: Server) -> None:
    _, report = server.discovery()
    one = {"name": "WEB", "instance": instance(80)}
    server.calls.last.answer({"applications": {"application": one}})
    assert addresses(report) == ["10.0.0.7:80"]


def test_a_broken_instance_costs_no_other(server: Server) -> None:
    _, report = server.discovery()
    server.answer(WEB=[instance(80), {"instanceId": "x"}])
    assert addresses(report) == ["10.0.0.7:80"]
    assert "without ipAddr" in report.failures[0]


@pytest.mark.parametrize("found", [None, [], {}, {"applications": []}])
def test_an_answer_of_another_kind_is_a_failure(server: Server, found: object) -> None:
    _, report = server.discovery()
    server.calls.last.answer(found)
    assert report.updates == []
    assert len(report.failures) == 1


def test_a_server_that_comes_back_without_its_instances_costs_none_for_half_a_minute(server: Server) -> None:
    """What Eureka knows is in memory: after a restart instances register with their next heartbeat."""
    _, report = server.discovery()
    server.answer(WEB=[instance(80), instance(81)])
    server.calls.last.fail("connection refused")
    assert report.failures == [f"eureka {SERVER}: connection refused"]
    server.clock.advance(LAST)
    assert server.calls.last.url == f"{SERVER}/apps"
    server.answer()
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.7:81"]
    server.answer("UP_1_", WEB=[instance(81, actionType="ADDED")])
    server.clock.advance(20)
    assert addresses(report) == ["10.0.0.7:81"]


def test_a_thousand_clusters_share_one_copy_of_the_registry(server: Server) -> None:
    found = [server.discovery(f"s{n}") for n in range(1000)]
    server.answer("", **{f"S{n}": [instance(n + 1)] for n in range(1000)})
    _, late = server.discovery("s7")
    assert server.made == 1
    assert len(server.calls.requests) == 2
    assert [addresses(report) for _, report in found] == [[f"10.0.0.7:{n + 1}"] for n in range(1000)]
    assert addresses(late) == ["10.0.0.7:8"]


def test_nothing_is_reported_after_stop(server: Server) -> None:
    found, report = server.discovery()
    found.stop()
    found.stop()
    server.clock.advance(0)
    assert (report.updates, report.failures) == ([], [])
    assert server.calls.closed
    assert server.clock.getDelayedCalls() == []
