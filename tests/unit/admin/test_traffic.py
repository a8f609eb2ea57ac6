from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import Desk
from harness import call
from present import present

from metaproxy.admin.resource import as_json_list, encoded
from metaproxy.admin.traffic import STATES, states
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.proxy.pause import Pause
from metaproxy.proxy.snapshot import Snapshot


def test_a_cluster_is_shown_with_limits_and_endpoints() -> None:
    desk = Desk()
    client = desk.running.client()
    for _ in range(3):
        desk.running.exchange(client, lasts=0.003)
    desk.running.say(client, call(1))
    (cluster,) = desk.get("/clusters").json["clusters"]
    assert (cluster["name"], cluster["protocol"], cluster["balancer"]) == ("demo", "quill", "round_robin")
    assert cluster["breaker"]["requests"] == {"active": 1, "limit": 3}
    assert cluster["breaker"]["connections"]["active"] == 2
    assert cluster["counts"]["no_endpoint"] == 0
    first, second = cluster["endpoints"]
    assert (first["address"], second["address"]) == ("127.0.0.1:1000", "127.0.0.1:1001")
    assert (second["weight"], second["metadata"]) == (2, {"zone": "b"})
    assert first["health"] == second["health"] == "healthy"
    assert first["active"] + second["active"] == 1
    assert first["counts"]["successes"] + second["counts"]["successes"] == 3
    assert first["counts"]["requests"] + second["counts"]["requests"] == 4
    assert {one["connections"]["busy"] for one in (first, second)} == {0, 1}
    assert first["connections"]["open"] == second["connections"]["open"] == 1
    assert 2.5 < second["latency_ms"]["p50"] <= 5.0
    assert set(first["latency_ms"]) == {"p50", "p90", "p99"}


def test_an_endpoint_that_nobody_used_has_no_latency_and_no_connection() -> None:
    (cluster,) = Desk().get("/clusters").json["clusters"]
    assert cluster["endpoints"][0]["latency_ms"] == {"p50": None, "p90": None, "p99": None}
    assert cluster["endpoints"][0]["connections"] == {"open": 0, **dict.fromkeys(STATES, 0)}


class FakeConnection:
    def __init__(self, state: str) -> None:
        self.transport = None if state == "connecting" else object()
        self.usable = state not in ("retiring", "paused")
        self.paused_by = {object()} if state == "paused" else set()
        self.holder = object() if state == "pinned" else None
        self.lease = object() if state == "leased" else None
        self._busy = state == "busy"

    def busy(self) -> bool:
        return self._busy


@pytest.mark.parametrize("state", STATES)
def test_a_connection_counts_for_one_state(state: str) -> None:
    connection: Any = FakeConnection(state)
    assert states([connection]) == {**dict.fromkeys(STATES, 0), state: 1}


def test_a_listener_is_shown_with_addresses_filters_and_counts() -> None:
    desk = Desk()
    desk.running.exchange(desk.running.client())
    (listener,) = desk.get("/listeners").json["listeners"]
    assert (listener["name"], listener["protocol"], listener["state"]) == ("front", "quill", "LISTENING")
    assert listener["addresses"] == listener["bound"] == ["127.0.0.1:80"]
    assert listener["filters"] == ["local_rate_limit"]
    assert listener["routes"] == 2
    assert listener["limits"]["max_connections"] == 10000
    assert (listener["counts"]["requests"], listener["counts"]["connections_active"]) == (1, 1)


def test_a_listener_that_drains_is_shown_until_its_last_client_is_gone() -> None:
    desk = Desk()
    client = desk.running.client()
    desk.running.say(client, call(1))
    snapshot = desk.proxy.snapshot
    desk.proxy.apply(Snapshot(2, "", 0.0, {}, present(snapshot).clusters))
    (listener,) = desk.get("/listeners").json["listeners"]
    assert (listener["name"], listener["state"], listener["bound"]) == ("front", "DRAINING", [])
    client.end()
    assert desk.get("/listeners").json == {"listeners": []}


def test_routes_are_shown_in_order_with_what_each_target_got() -> None:
    desk = Desk()
    client = desk.running.client()
    for service in ("echo", "echo", "gone", "nobody"):
        desk.running.exchange(client, service)
    (listener,) = desk.get("/routes").json["listeners"]
    main, gone = listener["routes"]
    assert (main["name"], gone["name"]) == ("main", "gone")
    assert main["match"] == {"service": {"in": ["echo", "tell"]}}
    assert main["found_by"] == "look-up of service"
    (target,) = main["targets"]
    assert (target["cluster"], target["exchanges"], target["outcomes"]) == ("demo", 2, {"ok": 2})
    assert (target["request_bytes"], target["response_bytes"]) == (38, 30)
    assert gone["reply"] == {"error": "denied", "message": "not here"}
    assert gone["targets"][0]["outcomes"] == {"denied": 1}
    assert listener["unmatched"]["outcomes"] == {"not_found": 1}


def test_what_a_route_answered_itself_is_shown_once_it_did() -> None:
    desk = Desk()
    route = desk.proxy.listeners["front"].snapshot.routes.routes[0]
    route.reply_target.counts.count("limited")
    main = desk.get("/routes").json["listeners"][0]["routes"][0]
    assert [(one["cluster"], one["outcomes"]) for one in main["targets"]] == [("demo", {}), (None, {"limited": 1})]


def test_without_a_configuration_there_is_nothing_and_no_fault() -> None:
    desk = Desk()
    desk.proxy.snapshot = None
    desk.proxy.listeners = {}
    assert desk.get("/clusters").json == {"clusters": []}
    assert desk.get("/listeners").json == desk.get("/routes").json == {"listeners": []}


def test_a_paused_cluster_is_shown_with_how_many_wait() -> None:
    desk = Desk()
    assert desk.get("/clusters").json["clusters"][0]["paused"] is None
    desk.post("/clusters/demo/pause?most=5")
    desk.running.say(desk.running.client(), call(1))
    assert desk.get("/clusters").json["clusters"][0]["paused"] == {"waiting": 1, "most": 5}


def test_roles_and_how_far_replicas_are_behind_are_shown() -> None:
    desk = Desk()
    cluster = desk.running.cluster
    assert desk.get("/clusters").json["clusters"][0]["topology"] is None
    cluster.lacking = Pause(desk.running.network.clock, 7)
    cluster.counts.promotions = 2
    first, second = desk.running.endpoints
    first.learn({"role": "primary"})
    second.learn({"role": "replica"})
    second.lag = 1.5
    (shown,) = desk.get("/clusters").json["clusters"]
    assert shown["topology"] == {"waiting": 0, "most": 7, "promotions": 2}
    assert [(one["role"], one["lag_seconds"]) for one in shown["endpoints"]] == [("primary", None), ("replica", 1.5)]


def test_mirrors_are_shown_with_the_last_answers_that_differed() -> None:
    desk = Desk()
    assert desk.get("/routes").json["listeners"][0]["routes"][0]["mirrors"] == []
    shadow = MirrorTarget(desk.running.cluster, share=0.25, compare=True)
    shadow.counts.requests, shadow.counts.differences = 7, 1
    shadow.last.append(("echo", "x" * 1000))
    desk.proxy.listeners["front"].snapshot.routes.routes[0].mirror = Mirror([shadow], lambda: 0.5)
    (mirror,) = desk.get("/routes").json["listeners"][0]["routes"][0]["mirrors"]
    assert (mirror["cluster"], mirror["percent"], mirror["compare"]) == ("demo", 25.0, True)
    assert (mirror["requests"], mirror["differences"], mirror["dropped"]) == (7, 1, 0)
    assert mirror["last"] == [{"operation": "echo", "differs": "x" * 200}]


def test_a_long_list_comes_in_pieces_and_is_the_same() -> None:
    items = [{"name": f"n\n{number}", "more": [1, {"a": {}}]} for number in range(40)]
    answer = as_json_list("things", items, lambda one: one)
    assert isinstance(answer.body, Iterator)
    pieces = list(answer.body)
    assert len(pieces) == 41
    assert b"".join(pieces) == encoded({"things": items})
    assert as_json_list("things", items[:2], lambda one: one).body == encoded({"things": items[:2]})
