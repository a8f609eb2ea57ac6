"""Pushes of servers are exchanges: counted, logged and tapped where their client's connection is."""

from __future__ import annotations

import random
from typing import Any

import pytest
from harness import LineCodec, Stage
from running_proxy import Running

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.message import Kind
from metaproxy.routing.matcher import compile_condition
from metaproxy.testing import Wire


class Looked:
    """What on_complete was called with: outcome, kind, route, cluster, bytes both ways."""

    def __init__(self) -> None:
        self.exchanges: list[Any] = []

    def on_complete(self, exchange: Any) -> None:
        self.exchanges.append(exchange)

    @property
    def pushes(self) -> list[Any]:
        return [one for one in self.exchanges if one.outcome == "event"]


def subscribed(stage: Stage) -> Wire:
    client = stage.client()
    stage.say(client, b"subscribe news\n")
    return client


def test_a_push_is_an_exchange_of_kind_event_with_the_route_and_the_cluster_of_its_connection() -> None:
    looked = Looked()
    stage = Stage(LineCodec(), hooks={"on_complete": (looked.on_complete,)})
    client = subscribed(stage)
    stage.say(stage.server, b"event one\n")
    assert client.take() == b"event one\n"
    (push,) = looked.pushes
    assert (push.message.kind, push.get("kind"), push.response) == (Kind.EVENT, "event", None)
    assert (push.route, push.cluster, push.upstream_address) == ("all", "demo", "127.0.0.1:1000")
    assert (push.request_bytes, push.response_bytes, push.attempts) == (0, len(b"event one\n"), 0)
    assert push.get("source.address") == "127.0.0.9"
    assert push.started == push.ended


def test_pushes_count_by_their_outcome_and_bytes_and_are_no_latency() -> None:
    stage = Stage(LineCodec())
    subscribed(stage)
    counts = stage.route.targets[0].counts
    latencies, before = counts.latency.count, counts.response_bytes
    stage.say(stage.server, b"event one\nevent two\n")
    assert counts.outcomes == {"oneway": 1, "event": 2}
    assert (counts.latency.count, counts.response_bytes - before) == (latencies, 20)
    assert stage.listener.counts.events == 2
    assert stage.listener.counts.active_exchanges == 0


def test_no_other_hook_is_asked_about_a_push() -> None:
    asked: list[str] = []
    hooks = {
        "on_request": (lambda exchange: asked.append("request"),),
        "on_response": (lambda exchange: asked.append("response"),),
    }
    stage = Stage(LineCodec(), hooks=hooks)
    subscribed(stage)
    asked.clear()
    stage.say(stage.server, b"event one\n")
    assert asked == []


def test_the_route_that_opened_the_connection_is_the_pushes_though_another_leads_to_the_cluster_as_well() -> None:
    stage = Stage(LineCodec())
    first = Route("first", [compile_condition("key", "other")], [Target(stage.cluster)])
    second = Route("second", [], [Target(stage.cluster)])
    object.__setattr__(stage.snapshot, "routes", RouteTable([first, second], random.Random(1)))
    subscribed(stage)
    stage.say(stage.server, b"event one\n")
    assert (first.targets[0].counts.outcomes, second.targets[0].counts.outcomes) == ({}, {"oneway": 1, "event": 1})


def test_a_client_that_has_its_own_connection_by_configuration_gets_its_pushes_counted_too() -> None:
    stage = Stage(LineCodec(), connections=ConnectionSettings(mode="pinned"))
    client = stage.client()
    stage.say(client, b"get a\n")
    stage.say(stage.server, b"value a\nevent one\n")
    assert client.take() == b"value a\nevent one\n"
    assert stage.route.targets[0].counts.outcomes == {"ok": 1, "event": 1}


def test_a_new_configuration_takes_over_the_pushes_of_connections_that_are_open() -> None:
    running = Running(codec=LineCodec())
    client = running.client()
    running.say(client, b"subscribe news\n")
    running.apply(2)
    looked = Looked()
    running.proxy.watch(looked.on_complete)
    running.say(running.network.upstreams[0], b"event one\n")
    assert [one.route for one in looked.pushes] == ["main"]
    assert running.proxy.listeners["front"].snapshot.routes.routes[0].targets[0].counts.outcomes == {"event": 1}


def test_a_cluster_that_no_route_leads_to_any_more_still_has_its_pushes_counted() -> None:
    stage = Stage(LineCodec())
    client = subscribed(stage)
    object.__setattr__(stage.snapshot, "routes", RouteTable([], random.Random(1)))
    other = Stage(LineCodec())
    object.__setattr__(other.snapshot, "routes", RouteTable([], random.Random(1)))
    stage.listener.snapshot = other.snapshot
    stage.say(stage.server, b"event one\n")
    assert client.take() == b"event one\n"
    assert other.no_route.reply_target.counts.outcomes == {"event": 1}


def test_a_hook_that_fails_costs_no_push() -> None:
    def fail(exchange: Any) -> None:
        if exchange.outcome == "event":
            raise ValueError("no")

    looked = Looked()
    stage = Stage(LineCodec(), hooks={"on_complete": (fail, looked.on_complete)})
    client = subscribed(stage)
    stage.say(stage.server, b"event one\n")
    assert client.take() == b"event one\n"
    assert (len(looked.pushes), stage.listener.counts.filter_errors) == (1, 1)


@pytest.mark.parametrize("mode", ["multiplex", "pool"])
def test_a_push_on_a_shared_connection_is_nobodys(mode: str) -> None:
    looked = Looked()
    settings = ConnectionSettings(mode=mode)
    stage = Stage(LineCodec(), hooks={"on_complete": (looked.on_complete,)}, connections=settings)
    stage.say(stage.client(), b"get a\n")
    stage.say(stage.server, b"event one\nvalue a\n")
    assert (looked.pushes, stage.endpoints[0].counts.unmatched) == ([], 1)
