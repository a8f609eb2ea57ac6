"""Against answers as Consul's published API has them: there is no Consul server to be had for the tests."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_calls import Request, ScriptedCalls
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from metaproxy.discovery.consul import Consul, read_instance
from metaproxy.discovery.http_registry import LAST, Calls
from metaproxy.discovery.instances import Instance
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport
from metaproxy.units import Secret

AGENT = "http://127.0.0.1:8500"


def entry(port: int, *states: str, **service: object) -> dict[str, Any]:
    return {
        "Node": {"Node": "n1", "Address": "10.0.0.7", "Datacenter": "dc1"},
        "Service": {"ID": f"demo{port}", "Service": "demo", "Address": "", "Port": port, **service},
        "Checks": [{"Status": state} for state in states],
    }


class Agent:
    def __init__(self) -> None:
        self.clock = Clock()
        self.calls = ScriptedCalls()
        self.made = 0

    def discovery(self, target: str = "demo", **options: Any) -> tuple[Consul, FakeReport]:
        agent = self

        class Asking(Consul):
            def calls(self) -> Calls:
                agent.made += 1
                return agent.calls

        found, report = Asking(target, self.clock, AGENT, **options), FakeReport()
        found.start(report.update, report.failed)
        return found, report

    def answer(self, *entries: object, index: int = 7, **headers: str) -> Request:
        (request,) = self.calls.waiting
        request.answer(list(entries), 200, x_consul_index=str(index), **headers)
        self.clock.advance(0.1)
        return request


@pytest.fixture
def agent() -> Agent:
    return Agent()


def addresses(report: FakeReport) -> list[object]:
    return [one["address"] for one in report.updates[-1]]


def test_it_is_a_discovery(agent: Agent) -> None:
    assert verifyObject(IDiscovery, agent.discovery()[0])


def test_the_first_question_waits_for_nothing_and_the_next_for_a_change(agent: Agent) -> None:
    _, report = agent.discovery("my shop", tags=["v2", "x=1"], datacenter="dc1", namespace="team", token=Secret("t"))
    first = agent.answer(entry(80), index=7)
    assert first.url == f"{AGENT}/v1/health/service/my%20shop?dc=dc1&ns=team&tag=v2&tag=x%3D1"
    assert first.headers["x-consul-token"] == "t"
    assert addresses(report) == ["10.0.0.7:80"]
    (second,) = agent.calls.waiting
    assert (second.query["index"], second.query["wait"]) == ("7", "60000ms")
    assert second.timeout > 60


def test_instances_come_and_go(agent: Agent) -> None:
    _, report = agent.discovery()
    agent.answer(entry(80), index=1)
    agent.answer(entry(80), entry(81), index=2)
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.7:81"]
    agent.answer(entry(81), index=3)
    assert addresses(report) == ["10.0.0.7:81"]


def test_a_question_that_ends_without_a_change_is_asked_again(agent: Agent) -> None:
    _, report = agent.discovery()
    agent.answer(entry(80), index=7)
    agent.answer(entry(80), index=7)
    assert len(report.updates) == 1
    assert agent.calls.last.query["index"] == "7"


def test_an_index_that_went_back_is_forgotten(agent: Agent) -> None:
    agent.discovery()
    agent.answer(entry(80), index=7)
    agent.answer(entry(80), index=3)
    agent.clock.advance(1)
    assert "index" not in agent.calls.last.query


def test_an_agent_that_answers_at_once_all_the_time_is_not_asked_more_than_ten_times_a_second(agent: Agent) -> None:
    agent.discovery()
    for index in range(1, 101):
        (request,) = agent.calls.waiting
        request.answer([], x_consul_index=str(index))
        agent.clock.advance(0.1)
    assert len(agent.calls.requests) == 101


def test_an_answer_without_an_index_is_asked_again_after_a_second(agent: Agent) -> None:
    agent.discovery()
    agent.calls.last.answer([])
    agent.clock.advance(0.9)
    assert len(agent.calls.requests) == 1
    agent.clock.advance(0.2)
    assert len(agent.calls.requests) == 2


# -- what an entry means


def test_an_instance_has_the_address_of_its_service_or_of_its_node() -> None:
    assert read_instance(entry(80)).address == "10.0.0.7:80"
    assert read_instance(entry(80, Address="::1")).address == "[::1]:80"


def test_metadata_are_those_of_the_service_and_its_tags() -> None:
    found = read_instance(entry(80, Tags=["canary", "zone=b"], Meta={"version": "v2"}))
    assert found == Instance(
        "10.0.0.7:80",
        1,
        {"canary": "true", "zone": "b", "version": "v2", "node": "n1", "datacenter": "dc1"},
        True,
        "b",
    )


def test_an_instance_whose_checks_fail_is_not_healthy() -> None:
    assert read_instance(entry(80, "passing", "passing")).healthy
    assert not read_instance(entry(80, "passing", "critical")).healthy
    assert not read_instance(entry(80, "maintenance")).healthy


def test_an_instance_whose_checks_warn_has_another_weight_or_is_left_out() -> None:
    weights = {"Passing": 10, "Warning": 2}
    assert read_instance(entry(80, "passing", Weights=weights)).weight == 10
    assert read_instance(entry(80, "passing", "warning", Weights=weights))[:2] == ("10.0.0.7:80", 2)
    assert not read_instance(entry(80, "warning", Weights=weights), use_warning=False).healthy


def test_a_zone_is_that_of_consuls_localities() -> None:
    assert read_instance(entry(80, Locality={"Region": "r", "Zone": "b"})).zone == "b"
    found = entry(80)
    found["Node"]["Locality"] = {"Zone": "c"}
    assert read_instance(found).zone == "c"


@pytest.mark.parametrize("found", [None, {}, {"Node": {}, "Service": {}}, entry(0), {"Node": [], "Service": {}}])
def test_what_is_no_instance_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_instance(found)


def test_a_broken_instance_costs_no_other(agent: Agent) -> None:
    _, report = agent.discovery()
    agent.answer(entry(80), {"Service": None})
    assert addresses(report) == ["10.0.0.7:80"]
    assert report.failures == ["consul: /v1/health/service/demo: an instance without Node or Service"]


# -- failures


def test_an_agent_that_is_away_keeps_the_last_endpoints_and_is_asked_from_the_beginning(agent: Agent) -> None:
    _, report = agent.discovery()
    agent.answer(entry(80), index=7)
    agent.calls.last.fail("connection refused")
    assert addresses(report) == ["10.0.0.7:80"]
    assert report.failures == [f"consul {AGENT}: connection refused"]
    agent.clock.advance(LAST)
    assert "index" not in agent.calls.last.query
    agent.answer(entry(81), index=2)
    assert addresses(report) == ["10.0.0.7:81"]


def test_an_empty_list_is_an_answer(agent: Agent) -> None:
    _, report = agent.discovery()
    agent.answer(entry(80), index=1)
    agent.answer(index=2)
    assert report.updates[-1] == []


def test_a_list_that_the_token_may_not_read_is_none(agent: Agent) -> None:
    _, report = agent.discovery()
    agent.answer(entry(80), index=1)
    agent.answer(index=2, x_consul_results_filtered_by_acls="true")
    assert addresses(report) == ["10.0.0.7:80"]
    assert "may not read" in report.failures[0]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"null", b"[" * 100000])
def test_an_answer_of_another_kind_is_a_failure(agent: Agent, body: bytes) -> None:
    _, report = agent.discovery()
    agent.calls.last.answer(body, x_consul_index="1")
    assert report.updates == []
    assert len(report.failures) == 1


# -- connections


def test_a_thousand_services_share_connections_and_take_turns(agent: Agent) -> None:
    found = [agent.discovery(f"s{n}", connections=64) for n in range(1000)]
    for _ in range(200):
        for request in agent.calls.waiting:
            if "index" not in request.query:
                request.answer([entry(80)], x_consul_index="1")
        agent.clock.advance(0.01)
    assert agent.made == 1
    assert [report.updates != [] for _, report in found] == [True] * 1000
    agent.clock.advance(1)
    waiting = agent.calls.waiting
    assert len(waiting) == 64
    for request in waiting:
        request.answer([entry(81)], x_consul_index="2")
    agent.clock.advance(0.1)
    assert [one.query["wait"] for one in agent.calls.waiting] == ["1000ms"] * 64
    assert not {one.path for one in waiting} & {one.path for one in agent.calls.waiting}
    for one, _ in found:
        one.stop()
    agent.clock.advance(0)
    assert agent.calls.waiting == []
    assert agent.calls.closed
    assert agent.clock.getDelayedCalls() == []


def test_nothing_is_reported_after_stop(agent: Agent) -> None:
    found, report = agent.discovery()
    found.stop()
    found.stop()
    agent.clock.advance(0)
    assert (report.updates, report.failures) == ([], [])
    assert agent.calls.last.canceled
    assert agent.clock.getDelayedCalls() == []


def test_a_server_is_a_url() -> None:
    with pytest.raises(ValueError, match="is not a URL"):
        Consul("demo", Clock(), "127.0.0.1:8500")
