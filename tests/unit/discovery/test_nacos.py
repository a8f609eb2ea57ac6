"""Against answers as Nacos has them. A real server: tests/interop/test_registries.py."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_calls import Request, ScriptedCalls
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from metaproxy.discovery.http_registry import LAST, Calls
from metaproxy.discovery.instances import Instance
from metaproxy.discovery.nacos import AT_ONCE, Nacos, read_instance
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport
from metaproxy.units import Secret

SERVER = "http://127.0.0.1:8848/nacos"


def host(port: int, **more: object) -> dict[str, object]:
    return {"ip": "10.0.0.7", "port": port, "weight": 1.0, "healthy": True, "enabled": True, "metadata": {}, **more}


class Server:
    def __init__(self) -> None:
        self.clock = Clock()
        self.calls = ScriptedCalls()
        self.made = 0

    def discovery(self, target: str = "demo", **options: Any) -> tuple[Nacos, FakeReport]:
        server = self

        class Asking(Nacos):
            def calls(self) -> Calls:
                server.made += 1
                return server.calls

        found, report = Asking(target, self.clock, SERVER, **options), FakeReport()
        found.start(report.update, report.failed)
        return found, report

    def answer(self, *hosts: object) -> Request:
        (request,) = self.calls.waiting
        request.answer({"name": "demo", "cacheMillis": 10000, "hosts": list(hosts)})
        self.clock.advance(5)
        return request


@pytest.fixture
def server() -> Server:
    return Server()


def addresses(report: FakeReport) -> list[object]:
    return [one["address"] for one in report.updates[-1]]


def test_it_is_a_discovery(server: Server) -> None:
    assert verifyObject(IDiscovery, server.discovery()[0])


def test_a_service_is_asked_for_with_its_group_namespace_and_clusters(server: Server) -> None:
    server.discovery("providers:org.example.Demo:1.0.0:", group="dubbo", namespace="n1", nacos_clusters=["a", "b"])
    request = server.answer(host(80))
    assert request.url.startswith(f"{SERVER}/v1/ns/instance/list?")
    assert request.query == {
        "serviceName": "providers:org.example.Demo:1.0.0:", "groupName": "dubbo", "namespaceId": "n1",
        "clusters": "a,b", "healthyOnly": "false",
    }  # fmt: skip


def test_instances_come_and_go_with_each_refresh(server: Server) -> None:
    _, report = server.discovery()
    server.answer(host(80))
    server.answer(host(80), host(81))
    server.answer(host(80), host(81))
    server.answer(host(81))
    assert [len(each) for each in report.updates] == [1, 2, 1]
    assert addresses(report) == ["10.0.0.7:81"]


def test_a_weight_is_a_fraction_of_a_hundred() -> None:
    assert read_instance(host(80, weight=0.5)).weight == 50
    assert read_instance({"ip": "h", "port": 80}).weight == 100
    assert read_instance(host(80, weight=0)).weight == 0


def test_metadata_and_the_cluster_are_kept() -> None:
    found = read_instance(host(80, metadata={"version": "v2", "zone": "b"}, clusterName="DEFAULT"))
    assert found == Instance("10.0.0.7:80", 100, {"version": "v2", "zone": "b", "cluster": "DEFAULT"}, True, "b")


@pytest.mark.parametrize("key", ["healthy", "enabled", "valid"])
def test_an_instance_that_is_not_to_be_used_is_left_out(key: str) -> None:
    assert not read_instance(host(80, **{key: False})).healthy


@pytest.mark.parametrize("found", [None, {}, {"ip": 7}, {"ip": "h"}, {"ip": "h", "port": 0}])
def test_what_is_no_instance_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_instance(found)


def test_a_broken_instance_costs_no_other(server: Server) -> None:
    _, report = server.discovery()
    server.answer(host(80), {})
    assert addresses(report) == ["10.0.0.7:80"]
    assert report.failures == ["nacos: demo: an instance without `ip`"]


@pytest.mark.parametrize("text", ["dom not found: demo", "service not found, namespace: public, serviceName: demo"])
def test_a_service_that_is_not_known_has_no_instances(server: Server, text: str) -> None:
    _, report = server.discovery()
    server.calls.last.answer(text.encode(), 404)
    assert report.updates == [[]]
    assert report.failures == []


def test_a_path_that_is_not_known_is_a_failure(server: Server) -> None:
    _, report = server.discovery()
    server.calls.last.answer({"status": 404, "error": "Not Found"}, 404)
    assert report.updates == []
    assert "status 404" in report.failures[0]


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"hosts": {}}'])
def test_an_answer_of_another_kind_is_a_failure(server: Server, body: bytes) -> None:
    _, report = server.discovery()
    server.calls.last.answer(body)
    assert report.updates == []
    assert len(report.failures) == 1


def test_a_server_that_comes_back_without_its_instances_costs_none_for_half_a_minute(server: Server) -> None:
    """What Nacos knows of instances is in memory: after a restart they come back one by one."""
    _, report = server.discovery()
    server.answer(host(80), host(81))
    server.calls.last.fail("connection refused")
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.7:81"]
    server.clock.advance(LAST)
    server.calls.last.answer(b"dom not found: demo", 404)
    server.clock.advance(5)
    server.answer(host(81))
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.7:81"]
    server.clock.advance(25)
    assert addresses(report) == ["10.0.0.7:81"]


def test_a_thousand_services_share_connections_of_which_few_are_used_at_a_time(server: Server) -> None:
    found = [server.discovery(f"s{n}") for n in range(1000)]
    assert server.made == 1
    assert len(server.calls.waiting) == AT_ONCE
    while server.calls.waiting:
        server.calls.waiting[0].answer({"hosts": [host(80)]})
    assert [len(report.updates) for _, report in found] == [1] * 1000
    for one, _ in found:
        one.stop()
    server.clock.advance(0)
    assert server.calls.closed
    assert server.clock.getDelayedCalls() == []


# -- logging in


def test_with_a_user_it_logs_in_once_for_all_services(server: Server) -> None:
    for name in ("a", "b"):
        server.discovery(name, user="me", password=Secret("p"))
    (login,) = server.calls.waiting
    assert (login.method, login.path, login.body) == ("POST", "/nacos/v1/auth/login", b"username=me&password=p")
    login.answer({"accessToken": "t1", "tokenTtl": 18000})
    assert [one.query["accessToken"] for one in server.calls.waiting] == ["t1", "t1"]


def test_it_logs_in_again_when_the_token_is_refused(server: Server) -> None:
    _, report = server.discovery(user="me", password=Secret("p"))
    server.calls.last.answer({"accessToken": "t1"})
    server.calls.last.answer(b"token expired", 403)
    assert "token expired" in report.failures[0]
    server.clock.advance(LAST)
    assert server.calls.last.path == "/nacos/v1/auth/login"


def test_a_login_that_fails_is_a_failure_of_each_service(server: Server) -> None:
    reports = [server.discovery(name, user="me", password=Secret("p"))[1] for name in ("a", "b")]
    server.calls.last.answer(b"unknown user!", 403)
    assert ["unknown user" in report.failures[0] for report in reports] == [True, True]


def test_nothing_is_reported_after_stop(server: Server) -> None:
    found, report = server.discovery()
    found.stop()
    found.stop()
    server.clock.advance(0)
    assert (report.updates, report.failures) == ([], [])
    assert server.clock.getDelayedCalls() == []
