"""Who runs what."""

from __future__ import annotations

import pytest
from control_client import ALL, Client, cluster, publish
from twisted.internet.task import Clock

from metaproxy.control.fleet import Fleet
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.server import Control
from metaproxy.control.snapshot import EMPTY


class Stand:
    def __init__(self, bad: int = 7) -> None:
        self.clock = Clock()
        self.fleet = Fleet(self.clock)
        self.control = Control(self.clock, self.fleet)
        self.version = publish(self.control, {CLUSTERS.url: {"a": cluster("a", 1)}}).version
        self.client = Client(False, lambda one: one == cluster("a", bad))
        self.client.want(CLUSTERS, [ALL])
        self.client.connect(self.control)

    def publish(self, value: int) -> str:
        self.version = publish(self.control, {CLUSTERS.url: {"a": cluster("a", value)}}).version
        return self.version


def test_a_node_is_behind_until_it_has_accepted_all_it_asked_for() -> None:
    stand = Stand()
    stand.client.to_server()
    (record,) = stand.fleet.nodes.values()
    assert record.state == "behind"
    stand.client.settle()
    assert (record.state, record.version) == ("in force", stand.version)


def test_the_time_that_a_change_takes_is_counted() -> None:
    stand = Stand()
    stand.client.settle()
    stand.publish(2)
    stand.clock.advance(0.2)
    stand.client.settle()
    assert sum(stand.fleet.converged) == 2
    assert stand.fleet.converged_seconds == 0.2


def test_what_a_node_refuses_is_kept_with_its_reason_and_said_once() -> None:
    stand = Stand()
    said: list[str] = []
    stand.fleet.listeners.append(lambda record: said.append(record.state))
    stand.client.settle()
    stand.publish(7)
    stand.client.settle()
    (record,) = stand.fleet.nodes.values()
    assert record.state == "refused"
    assert [(kind, name, one.error) for kind, name, one in record.refused] == [("clusters", "a", "refused by the test")]
    assert (said, stand.fleet.refusals) == (["refused"], 1)
    stand.publish(2)
    stand.client.settle()
    assert record.state == "in force"
    assert list(record.refused) == []


def test_a_node_whose_stream_ended_is_away_and_comes_back() -> None:
    stand = Stand()
    stand.client.settle()
    stand.client.disconnect()
    (record,) = stand.fleet.nodes.values()
    assert record.state == "away"
    assert record.away_since is not None
    stand.client.connect(stand.control)
    stand.client.settle()
    assert record.state == "in force"
    assert len(stand.fleet.nodes) == 1


def test_nodes_that_are_away_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.control.fleet.MAX_AWAY", 2)
    stand = Stand()
    for name in "abcd":
        client = Client(False, node=name)
        client.want(CLUSTERS, [ALL])
        client.connect(stand.control)
        client.settle()
        client.disconnect()
    assert list(stand.fleet.nodes) == ["c", "d"]


def test_nodes_that_poll_count_as_there_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.control.fleet.MAX_POLLING", 2)
    found = Fleet(Clock())
    for name in ("a", "b", "c"):
        found.polled(Node(name), CLUSTERS, "", "", None, "1", EMPTY)
    assert [name for name, one in found.nodes.items() if one.here] == ["b", "c"]
    assert found.nodes["a"].state == "away"
