from __future__ import annotations

import json
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from browser import Desk
from harness import call
from present import present
from reel import Reel, frame

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.proxy.snapshot import FilterUse
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.sticky import Sticking


def explain(desk: Desk, expect: int = 200, **asked: dict[str, str] | str) -> dict[str, Any]:
    answer = desk.post("/explain", json.dumps({"listener": "front", **asked}))
    assert answer.status == expect, answer.text
    explained: dict[str, Any] = answer.json
    return explained


def replace(desk: Desk, *routes: Route) -> None:
    """Puts other routes in force."""
    table = RouteTable(routes, random.Random(1))
    object.__setattr__(desk.proxy.listeners["front"].snapshot, "routes", table)


def test_it_tells_the_route_the_cluster_and_why_the_others_would_not() -> None:
    answer = explain(Desk(), metadata={"Service": "echo"})
    assert (answer["route"], answer["answered_by"], answer["protocol"]) == ("main", "cluster", "quill")
    assert [(one["name"], one["takes"]) for one in answer["routes"]] == [("main", "yes"), ("gone", "no")]
    assert "it is 'echo'" in answer["routes"][1]["why"]
    (target,) = answer["targets"]
    assert (target["cluster"], target["share"], target["endpoint"]) == ("demo", 1.0, None)
    assert [(one["address"], one["share"]) for one in target["endpoints"]] == [
        ("127.0.0.1:1000", 0.3333),
        ("127.0.0.1:1001", 0.6667),
    ]
    assert answer["timeout_seconds"] == 2.0


def test_a_frame_is_decoded_as_the_listener_does() -> None:
    answer = explain(Desk(), frame=call(7, "gone").hex())
    assert (answer["route"], answer["answered_by"]) == ("gone", "route")
    assert answer["reply"] == {"error": "denied", "message": "not here"}
    assert answer["request"]["metadata"] == {"service": "gone"}


def test_it_sends_nothing_and_takes_nobodys_turn() -> None:
    desk = Desk()
    for _ in range(3):
        explain(desk, metadata={"service": "echo"})
    assert desk.running.network.dialled == []
    other = Desk()
    picks = [one.running.cluster.balancer for one in (desk, other)]
    turns = [[present(balancer).pick(0).address for _ in range(3)] for balancer in picks]
    assert sorted(turns[0]) == sorted(turns[1])
    assert desk.running.cluster.breaker.requests == 0
    assert not any(one.counts.outcomes for one in desk.proxy.listeners["front"].snapshot.routes.routes[0].targets)


def test_a_request_that_no_route_takes_is_told_so() -> None:
    answer = explain(Desk(), metadata={"service": "unknown"})
    assert (answer["route"], answer["answered_by"]) == ("-", "route")
    assert answer["reply"]["error"] == "not_found"
    assert {one["takes"] for one in answer["routes"]} == {"no"}


def test_an_endpoint_that_is_out_is_told_with_the_reason_and_the_rest_shares() -> None:
    desk = Desk()
    cluster = desk.running.cluster
    cluster.drain(desk.running.endpoints[1])
    (target,) = explain(desk, metadata={"service": "echo"})["targets"]
    assert (target["endpoint"], target["how"]) == ("127.0.0.1:1000", "the only one")
    assert [one["why_not"] for one in target["endpoints"]] == ["", "drained"]


def test_a_hashing_balancer_tells_the_very_endpoint() -> None:
    desk = Desk()
    cluster = Cluster("ring", desk.running.cluster.codec, desk.running.endpoints, lambda all: RingHash(all, key="user"))
    replace(desk, Route("all", [], [Target(cluster)]))
    for user in ("a", "b", "c", "d"):
        (target,) = explain(desk, metadata={"user": user})["targets"]
        message: Any = SimpleNamespace(get={"user": user}.get)
        assert target["endpoint"] == present(cluster.pick(message, (), None)).address
    (target,) = explain(desk, metadata={"service": "x"})["targets"]
    assert target["endpoint"] is None
    assert "none of these keys" in target["how"]


def test_a_balancer_that_has_none_to_pick_yet_is_an_answer_without_an_endpoint() -> None:
    desk = Desk()
    endpoints = desk.running.endpoints
    for endpoint in endpoints:
        endpoint.drained = True
    cluster = Cluster("ring", desk.running.cluster.codec, endpoints, lambda all: RingHash(all, key="user"))
    replace(desk, Route("all", [], [Target(cluster)]))
    for endpoint in endpoints:
        endpoint.drained = False  # and the cluster has not been refreshed
    cluster.uses_hash, cluster.hash_keys = True, ("user",)
    (target,) = explain(desk, metadata={"user": "a"})["targets"]
    assert target["endpoint"] is None


def test_what_chance_decides_is_told_as_shares_and_what_sticks_as_it_is() -> None:
    desk = Desk()
    cluster = desk.running.cluster
    replace(
        desk,
        Route("some", [], [Target(cluster)], percent=25),
        Route("all", [], [Target(cluster, 90), Target(cluster, 10)]),
    )
    answer = explain(desk, metadata={})
    assert [one["takes"] for one in answer["routes"]] == ["25 %", "yes"]
    assert [one["share"] for one in answer["targets"]] == [0.9, 0.1]
    replace(desk, Route("all", [], [Target(cluster, 50), Target(cluster, 50)], sticky=Sticking(["user"])))
    stuck = [one["share"] for one in explain(desk, metadata={"user": "bob"})["targets"]]
    assert sorted(stuck) == [0.0, 1.0]
    assert stuck == [one["share"] for one in explain(desk, metadata={"user": "bob"})["targets"]]


def test_facts_of_the_connection_may_be_given() -> None:
    desk = Desk()
    replace(
        desk,
        Route("inside", [compile_condition("source.address", {"cidr": "10.0.0.0/8"})], [Target(desk.running.cluster)]),
    )
    assert explain(desk, metadata={"source.address": "10.1.2.3"})["route"] == "inside"
    assert explain(desk, metadata={"source.address": "9.1.2.3"})["route"] == "-"


def test_it_tells_which_filters_would_act() -> None:
    class Limit:
        def on_request(self, exchange: Any) -> None:
            return None

        def on_complete(self, exchange: Any) -> None:
            pass

    limit = Limit()
    desk = Desk(hooks={"on_request": (limit.on_request,), "on_complete": (limit.on_complete,)})
    object.__setattr__(desk.proxy.snapshot, "filters", [FilterUse("front", "local_rate_limit", limit)])
    answer = explain(desk, metadata={"service": "echo"})
    assert answer["filters"] == [{"name": "local_rate_limit", "acts": True, "hooks": ["on_request", "on_complete"]}]
    assert explain(Desk(), metadata={"service": "echo"})["filters"] == [
        {"name": "local_rate_limit", "acts": False, "hooks": []}
    ]


def test_a_filter_says_what_it_would_do_if_it_can_tell() -> None:
    class Gate:
        def on_request(self, exchange: Any) -> None:
            raise AssertionError("nothing is asked")

        def explain(self, get: Callable[..., Any]) -> str:
            return f"{get('service')} from {get('source.address')}, {get('source.identity')}"

    gate = Gate()
    desk = Desk(hooks={"on_request": (gate.on_request,)})
    object.__setattr__(desk.proxy.snapshot, "filters", [FilterUse("front", "local_rate_limit", gate)])
    answer = explain(desk, metadata={"service": "echo", "source.address": "10.1.2.3"})
    assert answer["filters"][0]["says"] == "echo from 10.1.2.3, None"


def test_secrets_are_masked_in_the_answer() -> None:
    assert explain(Desk(), metadata={"token": "hunter2"})["request"]["metadata"] == {"token": "****"}


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ("", 400, "body"),
        ("[]", 400, "body"),
        ('{"listener": "front"}', 400, "body"),
        ('{"metadata": {}, "frame": ""}', 400, "body"),
        ('{"metadata": {}, "frme": ""}', 400, "body"),
        ('{"metadata": {"a": 1}}', 400, "metadata"),
        ('{"metadata": {"kind": "event"}}', 400, "metadata"),
        ('{"frame": "xyz"}', 400, "frame"),
        ('{"frame": "00"}', 400, "frame"),
        ('{"frame": 7}', 400, "frame"),
        ('{"listener": "frnt", "metadata": {}}', 404, "listener"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(body: str, status: int, where: str) -> None:
    answer = Desk().post("/explain", body)
    assert (answer.status, answer.json["where"]) == (status, where)


def test_of_a_stream_the_head_is_looked_at_and_not_its_pieces() -> None:
    desk = Desk(codec=Reel())
    answer = explain(desk, frame=(frame("O", 7, b"ask") + frame("D", 7, b"x") + frame("C", 7)).hex())
    assert (answer["answered_by"], answer["route"]) == ("cluster", "main")
    assert answer["request"] == {"kind": "stream_open", "metadata": {"say": "ask"}}
    assert answer["stream_idle_seconds"] == 300.0
