from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from browser import Desk
from harness import answer, call
from some_workers import SomeWorker, SomeWorkers
from zope.interface import implementer

from metaproxy.cluster.membership import Membership
from metaproxy.config.model import Listener, Rds
from metaproxy.config.schema.reading import Use
from metaproxy.interfaces import IDiscovery
from metaproxy.proxy.pause import Pause


def problem_texts(desk: Desk, query: str = "") -> list[tuple[str, str]]:
    """Level and what of each problem."""
    return [(one["level"], one["what"]) for one in desk.get(f"/problems{query}").json["problems"]]


def kinds(desk: Desk, query: str = "") -> list[str]:
    return [one["kind"] for one in desk.get(f"/problems{query}").json["problems"]]


def test_nothing_is_wrong_with_a_proxy_that_works() -> None:
    desk = Desk()
    desk.running.exchange(desk.running.client())
    assert desk.get("/problems").json == {"worst": "none", "problems": []}


def test_a_proxy_that_takes_no_work_is_bad() -> None:
    desk = Desk()
    desk.proxy.drain()
    assert problem_texts(desk) == [("bad", "The proxy drains")]
    desk = Desk()
    desk.proxy.snapshot = None
    assert problem_texts(desk)[0] == ("bad", "The proxy is not ready")


def test_a_configuration_that_was_refused_comes_with_its_errors() -> None:
    desk = Desk()
    desk.ask("PUT", "/config?file=new.yaml", b"wrong")
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["kind"], one["what"]) == ("bad", "refused", "The configuration was refused")
    assert one["lines"][0].startswith("new.yaml:7:18: ")
    assert "version 1 of 22:13:21 UTC stays in force" in one["detail"]


def test_a_worker_that_is_not_ready_or_was_started_again_lately_is_told() -> None:
    desk = Desk(workers=SomeWorkers(SomeWorker(0), SomeWorker(1, restarts=2)))
    assert problem_texts(desk) == []
    gone = SomeWorker(0, state="gone", answers=False, why="signal 9", lost=1)
    hung, fresh = SomeWorker(1, answers=False), SomeWorker(2, restarts=3, lost=40, started=time.time() - 5)
    found = Desk(workers=SomeWorkers(gone, hung, fresh)).get("/problems").json["problems"]
    assert [(one["level"], one["kind"], one["worker"]) for one in found] == [
        ("warn", "worker_not_ready", 0), ("warn", "worker_not_ready", 1), ("warn", "worker_restarted", 2),
    ]  # fmt: skip
    assert "It is gone, signal 9" in found[0]["detail"]
    assert "It does not answer; the others" in found[1]["detail"]
    assert "3 times in all; 40 connections went with it" in found[2]["detail"]


def test_clients_that_were_refused_for_want_of_descriptors_are_told_for_as_long_as_it_is_looked_back() -> None:
    desk = Desk()
    reserve = desk.proxy.network.descriptors
    reserve.refuses_client(reserve.limit, "here")
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["kind"]) == ("warn", "descriptors")
    assert "RLIMIT_NOFILE" in one["detail"]
    assert "1 connection was refused" in one["detail"]
    desk.running.network.clock.advance(11)
    assert "descriptors" not in kinds(desk)
    assert "descriptors" in kinds(desk, "?seconds=30")


def test_endpoints_that_are_out_are_bad_when_all_are_and_a_note_when_somebody_wanted_it() -> None:
    desk = Desk()
    first, second = desk.running.endpoints
    desk.running.cluster.drain(first)
    assert problem_texts(desk) == [("note", "Cluster demo: 1 of 2 endpoints out")]
    desk.running.cluster.restore(first)
    desk.running.cluster.eject(first)
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["endpoints"], one["cluster"]) == ("warn", ["127.0.0.1:1000"], "demo")
    assert one["detail"] == "127.0.0.1:1000 ejected"
    desk.running.cluster.eject(second)
    assert problem_texts(desk) == [("bad", "Cluster demo: 2 of 2 endpoints out")]
    assert desk.get("/problems").json["worst"] == "bad"


def test_a_cluster_without_an_endpoint_and_one_that_is_paused_are_told() -> None:
    desk = Desk()
    desk.running.cluster.endpoints = []
    assert ("warn", "Cluster demo has no endpoint") in problem_texts(desk)
    desk = Desk()
    desk.post("/clusters/demo/pause?most=5")
    desk.running.say(desk.running.client(), call(1))
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["what"]) == ("warn", "Cluster demo is paused")
    assert "1 request waits until it is resumed; it takes 5 at most" in one["detail"]


def test_a_cluster_without_a_primary_is_bad_and_says_who_waits() -> None:
    desk = Desk()
    cluster = desk.running.cluster
    cluster.lacking = Pause(desk.running.network.clock, 7)
    first, second = desk.running.endpoints
    second.learn({"role": "replica"})
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["kind"], one["what"]) == ("bad", "no_primary", "Cluster demo has no primary")
    assert "0 requests wait for one; it takes 7 at most" in one["detail"]
    assert "127.0.0.1:1000 of no known role, 127.0.0.1:1001 replica" in one["detail"]
    first.learn({"role": "primary"})
    assert problem_texts(desk) == []


def test_a_shard_without_a_primary_is_bad_and_is_named() -> None:
    desk = Desk()
    desk.running.cluster.lacking = Pause(desk.running.network.clock, 7)
    first, second = desk.running.endpoints
    first.learn({"role": "primary", "shard": "a1"})
    second.learn({"role": "failed", "shard": "b2"})
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["kind"], one["what"]) == ("bad", "no_primary", "Cluster demo: shard b2 has no primary")
    assert one["detail"] == "0 requests wait for one. 127.0.0.1:1001 failed."
    assert one["shards"] == ["b2"]
    second.learn({"role": "primary", "shard": "b2"})
    assert problem_texts(desk) == []


def test_a_primary_that_was_replaced_and_a_replica_that_lags_are_told() -> None:
    desk = Desk()
    desk.running.cluster.lacking = Pause(desk.running.network.clock, 7)
    first, second = desk.running.endpoints
    first.learn({"role": "primary"})
    second.learn({"role": "replaced"})
    assert problem_texts(desk) == [("warn", "Cluster demo has more than one primary")]
    second.learn({"role": "lagging"})
    assert problem_texts(desk) == [("warn", "Cluster demo: replicas lag behind")]


@implementer(IDiscovery)
class Silent:
    """A discovery whose source does not answer."""

    problem = "zookeeper 127.0.0.1:2181: no connection"

    def start(self, update: object, failed: Callable[[str], None]) -> None:
        failed(self.problem)

    def stop(self) -> None: ...


def test_a_discovery_that_does_not_know_is_told_with_its_words_until_it_does() -> None:
    desk = Desk()
    silent = Silent()
    membership = Membership(silent, lambda items: [])
    membership.start(desk.running.cluster, None)
    desk.running.cluster.monitors = (membership,)
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["what"]) == ("warn", "Cluster demo: its endpoints may be old")
    assert (one["detail"], one["cluster"]) == ("zookeeper 127.0.0.1:2181: no connection", "demo")
    silent.problem = ""
    assert problem_texts(desk) == []


def test_requests_that_fail_are_bad_from_ten_on() -> None:
    desk = Desk()
    client = desk.running.client()
    for _ in range(3):
        desk.running.exchange(client, "gone")
    assert problem_texts(desk) == [("warn", "100 % of requests without a cluster failed")]
    for _ in range(7):
        desk.running.exchange(client, "gone")
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["detail"]) == ("bad", "denied: 10 in the last 10 s (routes gone)")


def test_few_failures_among_many_are_told_from_a_hundredth_on() -> None:
    desk = Desk()
    counts = desk.proxy.listeners["front"].snapshot.routes.routes[0].targets[0].counts
    counts.count("ok", 1990)
    counts.count("timeout", 10)
    assert kinds(desk) == []
    counts.count("timeout", 15)
    assert problem_texts(desk) == [("warn", "1.2 % of requests to demo failed")]


def test_an_endpoint_that_fails_half_of_its_tries_and_is_still_used_is_told() -> None:
    desk = Desk()
    counts = desk.running.endpoints[1].counts
    counts.requests, counts.errors, counts.connect_errors = 3, 2, 0
    assert kinds(desk) == []
    counts.connect_errors = 1
    assert problem_texts(desk) == [("warn", "Endpoint 127.0.0.1:1001 of demo fails")]
    desk.running.cluster.eject(desk.running.endpoints[1])
    assert kinds(desk) == ["endpoints_out"]


@pytest.mark.parametrize("key", ["no_endpoint", "overflow_requests", "overflow_pending"])
def test_requests_that_a_cluster_could_not_take_are_bad(key: str) -> None:
    desk = Desk()
    setattr(desk.running.cluster.counts, key, 2)
    (one,) = desk.get("/problems").json["problems"]
    assert (one["level"], one["kind"], one["detail"]) == ("bad", key, "2 requests in the last 10 s")


def test_a_breaker_that_is_full_is_told() -> None:
    desk = Desk()
    client = desk.running.client()
    for id in range(3):
        desk.running.say(client, call(id))
    assert problem_texts(desk) == [("warn", "Cluster demo: the breaker's limit of requests is reached")]


def test_a_plugin_that_can_not_be_loaded_and_a_value_that_was_changed_are_told() -> None:
    desk = Desk()
    desk.proxy.registry = type(desk.proxy.registry)()
    desk.proxy.registry.errors["/p/bad.py"] = "Traceback\n  ...\nSyntaxError: no\n"
    desk.ask("PUT", "/runtime/canary", b"100")
    plugin, runtime = desk.get("/problems").json["problems"]
    assert (plugin["level"], plugin["lines"]) == ("warn", ["SyntaxError: no"])
    assert (runtime["level"], runtime["what"], runtime["detail"]) == (
        "note", "canary is 100", "the configuration says 10",
    )  # fmt: skip


def test_a_listener_that_waits_for_routes_says_from_where_they_should_come() -> None:
    desk = Desk()
    routes = Rds(name="demo-routes", server="istiod")
    listener = Listener(name="in", protocol=Use("dubbo"), routes=routes)
    desk.configuration.config = replace(desk.configuration.config, listeners=(listener,))
    (problem,) = desk.get("/problems").json["problems"]
    assert (problem["level"], problem["kind"], problem["listener"]) == ("warn", "no_routes", "in")
    assert problem["detail"].startswith("routes come from rds 'demo-routes' of server 'istiod', and did not come")


def test_the_worst_stands_first() -> None:
    desk = Desk()
    desk.ask("PUT", "/runtime/canary", b"100")
    desk.running.cluster.eject(desk.running.endpoints[0])
    desk.running.cluster.counts.no_endpoint = 1
    assert [level for level, _ in problem_texts(desk)] == ["bad", "warn", "note"]


def test_what_is_over_is_no_problem_any_more() -> None:
    desk = Desk()
    desk.admin.windows.start()
    desk.running.cluster.counts.no_endpoint = 1
    desk.clock.advance(2.0)
    assert kinds(desk) == ["no_endpoint"]
    for _ in range(5):
        desk.clock.advance(2.0)
    assert kinds(desk) == []
    assert kinds(desk, "?seconds=60") == ["no_endpoint"]


@pytest.mark.parametrize("seconds", ["0", "61", "x"])
@pytest.mark.parametrize("path", ["/problems", "/clusters", "/routes"])
def test_a_window_is_two_to_sixty_seconds(path: str, seconds: str) -> None:
    response = Desk().get(f"{path}?seconds={seconds}")
    assert (response.status, response.json["where"]) == (400, "seconds")


def test_it_answers_while_an_exchange_is_under_way() -> None:
    desk = Desk()
    client = desk.running.client()
    desk.running.say(client, call(1))
    assert kinds(desk) == []
    wire = desk.running.network.upstreams[0]
    desk.running.say(wire, answer(int.from_bytes(wire.take()[4:12], "big")), 0.5)
    assert kinds(desk) == []
