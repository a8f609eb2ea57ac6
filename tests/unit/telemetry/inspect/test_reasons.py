from __future__ import annotations

import random
from typing import Any

from harness import Stage, answer, call

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.framing import Codec
from metaproxy.message import ErrorKind, Reply
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.sticky import Sticking
from metaproxy.telemetry.inspect.reasons import MAX_ROUTES, picked_by, why


def told(stage: Stage, routes: Any, service: str = "echo") -> Any:
    """What is said of a call that takes one of `routes`."""
    seen = []
    for route in routes:
        route.on_complete = (lambda exchange: seen.append(why(exchange)),)
    stage.no_route.on_complete = (lambda exchange: seen.append(why(exchange)),)
    object.__setattr__(stage.snapshot, "routes", RouteTable(routes, random.Random(1)))
    stage.say(stage.client(), call(7, service))
    for wire in stage.network.upstreams:
        stage.say(wire, answer(int.from_bytes(wire.take()[4:12], "big")))
    return seen[0]


def test_it_tells_the_conditions_and_why_the_routes_above_did_not_take_it() -> None:
    stage = Stage()
    routes = [
        Route("other", [compile_condition("service", "other")], [Target(stage.cluster)]),
        Route("some", [], [Target(stage.cluster)], percent=0),
        Route("echo", [compile_condition("service", {"prefix": "ec"})], [Target(stage.cluster)]),
        Route("rest", [], [Target(stage.cluster)]),
    ]
    found = told(stage, routes)
    assert found["route"] == 'service: prefix "ec"'
    assert [one["route"] for one in found["passed_over"]] == ["other", "some"]
    assert "it is 'echo'" in found["passed_over"][0]["why"]
    assert found["passed_over"][1]["why"].endswith("not drawn")
    assert found["cluster"] == "the route's only one"
    assert found["endpoint"] == "round_robin, one of 1"


def test_it_tells_weights_stickiness_and_fallbacks() -> None:
    stage = Stage()
    empty = Cluster("empty", stage.codec, [], RoundRobin)
    weighted = [Route("all", [], [Target(stage.cluster, 90), Target(stage.cluster, 10)])]
    assert told(stage, weighted)["cluster"] == "drawn, weight 90 of 100"
    stage = Stage()
    sticky = [Route("all", [], [Target(stage.cluster, 1), Target(stage.cluster, 1)], sticky=Sticking(["service"]))]
    assert told(stage, sticky)["cluster"] == "by service, weight 1 of 2"
    stage = Stage()
    falls = [Route("all", [], [Target(empty, fallback=Target(stage.cluster))])]
    assert told(stage, falls)["cluster"].startswith("a fallback")


def test_it_tells_when_nothing_matched_and_when_the_route_replies() -> None:
    stage = Stage()
    found = told(stage, [Route("other", [compile_condition("service", "other")], [Target(stage.cluster)])])
    assert (found["route"], found["endpoint"]) == ("no route matched", "none was picked")
    replies = [Route("all", [], reply=Reply(ErrorKind.DENIED, "no"))]
    assert told(stage, replies)["cluster"] == "the route replies by itself"


def test_a_long_table_is_not_gone_through_again() -> None:
    stage = Stage()
    others = [
        Route(f"r{number}", [compile_condition("service", f"s{number}")], [Target(stage.cluster)])
        for number in range(MAX_ROUTES)
    ]
    assert "passed_over" not in told(stage, [*others, Route("all", [], [Target(stage.cluster)])])


def test_a_hash_is_told_with_its_keys_and_a_subset_with_its_labels() -> None:
    cluster = Cluster("demo", Codec(), [Endpoint("a:1"), Endpoint("b:1")], lambda all: RingHash(all, key="user"))
    cluster.balancer_name = "ring_hash"
    route = Route("all", [], [Target(cluster)], subset={"version": "v2"})
    assert picked_by(cluster, route) == "ring_hash by user, one of 2, of those with version=v2"
