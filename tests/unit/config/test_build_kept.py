"""What stays the same object from one configuration to the next, and what is made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from works import PLUGINS, Works, cluster, listener

from metaproxy.config.check import check
from metaproxy.config.model import Config
from metaproxy.proxy.snapshot import Snapshot

RATE = {"local_rate_limit": {"limit": 10}}
THREE = {"three": {"size": 2}}


def owner(hook: Any) -> Any:
    """The filter that a hook is a method of."""
    return hook.__self__


def depth(codec: Any) -> object:
    return codec.depth


def filters(snapshot: Snapshot, route: int = 0, name: str = "front") -> list[Any]:
    """The filters of a route, by their on_request hooks."""
    return [owner(hook) for hook in snapshot.listeners[name].routes.routes[route].on_request]


# -- routes


def test_routes_that_do_the_same_have_one_action_in_common(works: Works) -> None:
    routes = [{"name": name, "cluster": "one", **more} for name, more in (("a", {}), ("b", {}), ("c", {"timeout": 3}))]
    snapshot = works.put(listener(routes=routes, filters=[THREE]))
    first, second, third = snapshot.listeners["front"].routes.routes
    assert first.action is second.action is not third.action
    assert filters(snapshot, 0) == filters(snapshot, 2)


# -- codecs


def test_a_codec_stays_while_its_options_do(works: Works) -> None:
    before, same, other = (works.put(listener(protocol={"name": "mine", "depth": depth})) for depth in (1, 1, 2))
    assert same.listeners["front"].codec is before.listeners["front"].codec
    assert other.listeners["front"].codec is not before.listeners["front"].codec
    assert depth(other.listeners["front"].codec) == 2


def test_equal_options_are_equal_in_whichever_order_and_with_defaults_or_not(works: Works) -> None:
    before = works.put(listener(protocol={"name": "mine", "depth": 1}))
    assert works.put(listener(protocol={"depth": 1, "name": "mine"})).listeners["front"].codec is (
        before.listeners["front"].codec
    )


def test_new_code_of_a_plugin_makes_everything_anew_that_is_made_of_it(works: Works) -> None:
    given = listener(filters=[THREE]), cluster(balancer="first")
    before = works.put(given[0], clusters=[given[1]])
    works.file.write_text(PLUGINS + "\n# mended\n")
    works.registry.refresh()
    after = works.put(given[0], clusters=[given[1]])
    assert after.listeners["front"].codec is not before.listeners["front"].codec
    assert filters(after) != filters(before)
    assert after.clusters["one"] is not before.clusters["one"]
    assert type(after.clusters["one"].balancer) is not type(before.clusters["one"].balancer)


def test_a_cluster_follows_the_protocol_of_who_sends_to_it(works: Works) -> None:
    before = works.put(listener(protocol={"name": "mine", "depth": 3}))
    assert before.clusters["one"].codec is before.listeners["front"].codec
    own = works.put(
        listener(protocol={"name": "mine", "depth": 3}), clusters=[cluster(protocol={"name": "mine", "depth": 4})]
    )
    assert depth(own.clusters["one"].codec) == 4
    assert own.listeners["front"].codec is before.listeners["front"].codec


def test_a_cluster_that_gets_copies_speaks_by_the_codec_that_makes_them(works: Works) -> None:
    copying = listener(protocol="kafka", routes=[{"cluster": "one", "mirror": "two"}])
    both = [cluster(), cluster("two")]
    snapshot = works.put(copying, clusters=both)
    codec, two = snapshot.listeners["front"].codec, snapshot.clusters["two"]
    assert (snapshot.clusters["one"].codec, two.codec) == (codec, codec.mirror)
    assert (snapshot.clusters["one"].connections.mode, two.connections.mode) == ("pinned", "multiplex")
    assert works.put(copying, clusters=both).clusters["two"] is two
    split = listener(protocol="kafka", routes=[{"clusters": {"one": 1, "two": 1}}])
    assert works.put(split, clusters=both).clusters["two"].codec is codec


def test_a_cluster_that_nobody_sends_to_is_not_made(works: Works) -> None:
    snapshot = works.put(clusters=[cluster(), cluster("spare"), cluster("own", protocol="mine")])
    assert sorted(snapshot.clusters) == ["one", "own"]


# -- filters


def test_a_bucket_stays_through_whatever_does_not_concern_it(works: Works) -> None:
    before = works.put(listener(filters=[RATE]))
    after = works.put(
        listener(filters=[RATE], routes=[{"name": "new", "match": {"a": "b"}, "cluster": "two"}, {"cluster": "one"}],
                 max_connections=7),
        clusters=[cluster(), cluster("two")],
    )  # fmt: skip
    assert filters(after, 0) == filters(after, 1) == filters(before)


def test_a_bucket_stays_when_another_filter_comes_before_it(works: Works) -> None:
    before = works.put(listener(filters=[RATE]))
    (bucket,) = filters(before)
    assert filters(works.put(listener(filters=[THREE, RATE])))[1] is bucket
    assert filters(works.put(listener(filters=[RATE, THREE])))[0] is bucket


def test_other_options_are_another_bucket(works: Works) -> None:
    before = works.put(listener(filters=[RATE]))
    after = works.put(listener(filters=[{"local_rate_limit": {"limit": 11}}]))
    assert filters(after) != filters(before)


def test_the_same_filter_twice_is_two_and_each_stays(works: Works) -> None:
    before = works.put(listener(filters=[RATE, RATE]))
    one, two = filters(before)
    assert one is not two
    assert filters(works.put(listener(filters=[RATE, RATE]))) == [one, two]


def test_each_listener_has_buckets_of_its_own(works: Works) -> None:
    snapshot = works.put(listener(filters=[RATE]), listener("back", filters=[RATE]))
    assert filters(snapshot) != filters(snapshot, name="back")


def test_a_routes_own_options_are_a_bucket_of_its_own_that_stays(works: Works) -> None:
    routes: Any = [
        {"name": "a", "match": {"x": "1"}, "cluster": "one", "filters": {"local_rate_limit": {"limit": 5}}},
        {"name": "b", "match": {"x": "2"}, "cluster": "one", "filters": {"local_rate_limit": {"limit": 5}}},
        {"name": "c", "match": {"x": "3"}, "cluster": "one", "filters": {"local_rate_limit": {"limit": 10}}},
        {"name": "all", "cluster": "one"},
    ]
    before = works.put(listener(filters=[RATE], routes=routes))
    buckets = [filters(before, route)[0] for route in range(4)]
    assert len(set(map(id, buckets))) == 4, "a route that gives options has its own bucket, be they the same"
    after = works.put(listener(filters=[RATE], routes=[*reversed(routes[:3]), routes[3]]))
    assert [filters(after, route)[0] for route in (2, 1, 0, 3)] == buckets


def test_off_takes_every_hook_of_a_filter_from_a_route_and_of_no_other(works: Works) -> None:
    routes: Any = [
        {"name": "off", "match": {"x": "1"}, "cluster": "one", "filters": {"three": "off"}},
        {"name": "all", "cluster": "one"},
    ]
    snapshot = works.put(listener(filters=[THREE, RATE], routes=routes))
    off, on = snapshot.listeners["front"].routes.routes
    assert [len(hooks) for hooks in (off.on_request, off.on_response, off.on_complete)] == [1, 0, 0]
    assert [len(hooks) for hooks in (on.on_request, on.on_response, on.on_complete)] == [2, 1, 1]


def test_requests_that_match_no_route_have_the_listeners_filters(works: Works) -> None:
    snapshot = works.put(listener(filters=[THREE]))
    assert snapshot.listeners["front"].no_route.on_request == snapshot.listeners["front"].routes.routes[0].on_request
    assert snapshot.listeners["front"].filters == ("three",)


def test_a_filter_is_handed_the_clock_that_it_asks_for(works: Works) -> None:
    (three,) = filters(works.put(listener(filters=[THREE])))
    assert (three.clock, three.size) == (works.clock, 2)


def test_routes_with_the_same_filters_share_their_hooks(works: Works) -> None:
    routes = [{"match": {"x": str(number)}, "cluster": "one"} for number in range(50)]
    made = works.put(listener(filters=[THREE, RATE], routes=routes)).listeners["front"].routes.routes
    assert len({id(route.on_request) for route in made}) == 1


# -- clusters


SAME = [
    {},
    {"max_connections": 5},
    {"filters": [RATE]},
    {"idle_timeout": "5s"},
    {"routes": [{"cluster": "one", "timeout": "1s"}]},
]


@pytest.mark.parametrize("change", SAME, ids=str)
def test_a_cluster_and_its_connections_stay_when_only_its_listener_changes(
    works: Works, change: dict[str, Any]
) -> None:
    before = works.put().clusters["one"]
    pool: Any = object()
    before.endpoints[0].pool = pool
    after = works.put(listener(**change)).clusters["one"]
    assert after is before
    assert after.endpoints[0].pool is pool


CHANGES = [
    {"balancer": "first"},
    {"breaker": {"max_requests": 7}},
    {"connections": {"per_endpoint": 2}},
    {"request_timeout": "3s"},
    {"connect_timeout": "3s"},
    {"credentials": {"password": "x"}},
    {"protocol": {"name": "mine", "depth": 2}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_cluster_that_is_written_in_another_way_is_made_anew_and_counts_on(
    works: Works, change: dict[str, Any]
) -> None:
    before = works.put().clusters["one"]
    after = works.put(clusters=[cluster(**change)]).clusters["one"]
    assert after is not before
    assert after.counts is before.counts
    for endpoint in after.endpoints:
        assert (endpoint.counts is before.endpoints[0].counts) == (endpoint.address == "127.0.0.1:1")
        assert endpoint.pool is None


def test_other_endpoints_are_taken_in_place_once_the_configuration_is_in_force(works: Works) -> None:
    before = works.put(clusters=[cluster(endpoints=["127.0.0.1:1", "127.0.0.1:2"])]).clusters["one"]
    first, second = before.endpoints
    written = [{"address": "127.0.0.1:1", "weight": 2, "metadata": {"a": "b"}}, "127.0.0.1:3"]
    snapshot = works.only_build(clusters=[cluster(endpoints=written)])
    assert before.endpoints == [first, second] and first.weight == 1, "building has no effect"
    works.builder.commit(snapshot)
    assert snapshot.clusters["one"] is before
    assert before.endpoints[0] is first and (first.weight, first.metadata) == (2, {"a": "b"})
    assert [one.address for one in before.endpoints] == ["127.0.0.1:1", "127.0.0.1:3"]
    assert first.counts is works.put(clusters=[cluster(endpoints=written[:1])]).clusters["one"].endpoints[0].counts


def test_what_is_known_of_an_endpoint_outlasts_the_cluster_that_it_was_in(works: Works) -> None:
    before = works.put().clusters["one"]
    before.drain(before.endpoints[0])
    after = works.put(clusters=[cluster(request_timeout="3s")]).clusters["one"]
    assert after is not before and after.endpoints[0].drained
    assert after.levels == ()


def test_priorities_zones_and_panic_are_built_as_written(works: Works) -> None:
    written = [{"address": "127.0.0.1:1", "zone": "b", "priority": 2}]
    made = works.put(clusters=[cluster(endpoints=written, panic_threshold=20)]).clusters["one"]
    assert (made.endpoints[0].zone, made.endpoints[0].priority) == ("b", 2)
    assert (made.settings.panic_threshold, made.settings.zone) == (20, "")


def test_a_cluster_falls_back_rather_than_panics(works: Works) -> None:
    made = works.put(clusters=[cluster(fallback=["dr"]), cluster("dr", protocol="mine")]).clusters
    assert (made["one"].settings.panic_threshold, made["dr"].settings.panic_threshold) == (0, 50)


def test_an_outlier_detection_is_built_as_written_or_not_at_all(works: Works) -> None:
    assert works.put().clusters["one"].monitors == ()
    written = {"consecutive_errors": 7, "latency": {"p99": "500ms"}, "split": True, "success_rate": 2.5}
    outliers: Any
    (outliers,) = works.put(clusters=[cluster(outlier=written)]).clusters["one"].monitors
    settings = outliers.settings
    assert (settings.consecutive_errors, settings.latency, settings.split) == (7, 0.5, True)
    assert (settings.success_rate, settings.failure_percent, settings.ejection_time) == (2.5, 0, 30)


def test_a_slow_start_is_built_where_it_is_written(works: Works) -> None:
    assert works.put().clusters["one"].slow_start is None
    slow_start = works.put(clusters=[cluster(slow_start="30s")]).clusters["one"].slow_start
    assert slow_start is not None and slow_start.window == 30.0


def test_health_checks_are_built_as_written(works: Works) -> None:
    written = {
        "interval": "2s", "unhealthy": 5, "jitter": 0,
        "kind": ["tcp", "http", {"script": {"send": "0d0a", "expect": "a"}}],
    }  # fmt: skip
    checks: Any
    (checks,) = works.put(clusters=[cluster(health_check=written)]).clusters["one"].monitors
    settings = checks.settings
    assert (settings.interval, settings.timeout, settings.healthy, settings.unhealthy) == (2, 1, 2, 5)
    probes = [make(None, None, None) for make in checks.probe.kinds]
    assert [type(one).__name__ for one in probes] == ["Tcp", "Http", "Script"]


def test_what_a_health_check_found_outlasts_its_cluster_only_where_there_is_one(works: Works) -> None:
    before = works.put(clusters=[cluster(health_check={})]).clusters["one"]
    before.endpoints[0].checked, before.endpoints[0].healthy = True, False
    again = works.put(clusters=[cluster(health_check={"interval": "1s"})]).clusters["one"]
    assert again.endpoints[0].checked and not again.endpoints[0].healthy
    assert works.put().clusters["one"].endpoints[0].healthy


def test_an_ejection_outlasts_its_cluster_only_where_somebody_ends_it(works: Works) -> None:
    before = works.put(clusters=[cluster(outlier={})]).clusters["one"]
    before.endpoints[0].ejected_until = 20.0
    again = works.put(clusters=[cluster(outlier={}, request_timeout="3s")]).clusters["one"]
    assert again.endpoints[0].ejected_until == 20.0
    assert not works.put().clusters["one"].endpoints[0].ejected


def test_the_own_zone_is_the_nodes_and_matters_only_where_it_is_preferred(works: Works) -> None:
    def put(zone: str, **more: Any) -> Any:
        text = json.dumps({"node": {"zone": zone}, "listeners": [listener()], "clusters": [cluster(**more)]})
        config, problems = check(text, "x.yaml", works.registry)
        assert config is not None, problems
        snapshot = works.builder.build(config)
        works.builder.commit(snapshot)
        return snapshot.clusters["one"]

    without = put("a")
    assert put("b") is without
    preferring = put("b", locality={"min_healthy": 80})
    assert (preferring.settings.zone, preferring.settings.min_healthy) == ("b", 80)
    assert put("a", locality={"min_healthy": 80}) is not preferring


def test_a_cluster_whose_endpoints_stay_keeps_its_balancer(works: Works) -> None:
    before = works.put().clusters["one"].balancer
    assert works.put(listener(max_connections=5)).clusters["one"].balancer is before


def test_a_balancer_with_other_options_is_another_cluster(works: Works) -> None:
    one, same, other = (
        works.put(clusters=[cluster(balancer={"name": "first", "other": number})]).clusters["one"]
        for number in (1, 1, 2)
    )
    assert same is one
    assert other is not one


def test_a_cluster_has_room_for_the_largest_frame_that_may_come(works: Works) -> None:
    two = [listener(max_frame="1MiB"), listener("back", max_frame="2MiB")]
    before = works.put(*two).clusters["one"]
    assert before.connections.max_frame == 2 << 20
    after = works.put(two[0]).clusters["one"]
    assert after.connections.max_frame == 1 << 20


def test_the_balancers_key_is_the_codecs_own_word_for_it(works: Works) -> None:
    snapshot = works.put(
        listener(routes=[{"cluster": "one", "hash": ["key", "user"]}]), clusters=[cluster(balancer="first")]
    )
    assert snapshot.clusters["one"].hash_keys == ("tag",)
    assert snapshot.listeners["front"].routes.routes[0].hash_keys == ("tag", "user")


# -- counts


def test_a_route_counts_on_by_its_name_and_its_clusters(works: Works) -> None:
    def targets(snapshot: Snapshot, route: int = 0) -> dict[str, Any]:
        return {one.name: one.counts for one in snapshot.listeners["front"].routes.routes[route].targets}

    two = [cluster(), cluster("two")]
    before = targets(works.put(listener(routes=[{"name": "all", "clusters": {"one": 1, "two": 1}}]), clusters=two))
    routes = [{"name": "new", "match": {"a": "b"}, "cluster": "two"}, {"name": "all", "clusters": {"one": 9, "two": 1}}]
    snapshot = works.put(listener(routes=routes), clusters=two)
    after = targets(snapshot, 1)
    assert after["one"] is before["one"] and after["two"] is before["two"]
    assert targets(snapshot, 0)["two"] is not before["two"]


def test_what_nobody_names_any_more_is_forgotten(works: Works) -> None:
    before = works.put(listener(filters=[RATE]), clusters=[cluster()])
    works.put(listener(name="other", routes=[{"reply": {"error": "denied"}}]), clusters=[cluster("two")])
    after = works.put(listener(filters=[RATE]), clusters=[cluster()])
    assert filters(after) != filters(before)
    assert after.clusters["one"].counts is not before.clusters["one"].counts
    route = before.listeners["front"].routes.routes[0]
    assert after.listeners["front"].routes.routes[0].targets[0].counts is not route.targets[0].counts


# -- builds that never come into force


def test_a_build_that_is_not_put_in_force_leaves_no_trace(works: Works) -> None:
    before = works.put(listener(filters=[RATE]))
    other = {"local_rate_limit": {"limit": 99}}
    refused = works.only_build(listener(filters=[other]), clusters=[cluster("one", request_timeout="9s")])
    after = works.put(listener(filters=[RATE]))
    assert (before.version, refused.version, after.version) == (1, 2, 2)
    assert after.clusters["one"] is before.clusters["one"]
    assert filters(after) == filters(before)
    assert refused.clusters["one"] is not before.clusters["one"]
    assert not before.clusters["one"].retired


def test_log_files_are_kept_open_while_a_configuration_in_force_names_them(works: Works, tmp_path: Path) -> None:
    def log(name: str) -> dict[str, Any]:
        return listener(access_log=[{"file": str(tmp_path / name)}])

    def hook(snapshot: Snapshot) -> Any:
        return owner(snapshot.listeners["front"].routes.routes[0].on_complete[-1])

    first = works.put(log("a.log"))
    file = works.logs.open(str(tmp_path / "a.log"))
    works.only_build(log("b.log"))
    assert works.logs.open(str(tmp_path / "a.log")) is file
    same = works.put(log("a.log"))
    assert hook(same) is hook(first)
    assert hook(works.put(log("b.log"))) is not hook(first)


# -- routes


def test_texts_of_a_mutation_are_filled_in_and_those_without_places_are_not(works: Works) -> None:
    given = {
        "cluster": "one",
        "request": {"set": {"a": "%route%", "b": "c"}, "remove": ["d"]},
        "response": {"remove": ["e"]},
    }
    (route,) = works.put(listener(routes=[given])).listeners["front"].routes.routes
    exchange: Any = type("Exchange", (), {"route": "routes[0]"})()
    request: Any = route.request
    filled = request.fill(exchange)
    assert (filled.set, filled.remove) == ({"a": "routes[0]", "b": "c"}, ("d",))
    assert route.response is not None and (route.response.set, route.response.remove) == ({}, ("e",))


def test_weights_of_0_take_nothing_and_keep_their_place(works: Works) -> None:
    snapshot = works.put(listener(routes=[{"clusters": {"one": 0, "two": 3}}]), clusters=[cluster(), cluster("two")])
    (route,) = snapshot.listeners["front"].routes.routes
    assert [(target.name, target.weight) for target in route.targets] == [("one", 0), ("two", 3)]
    assert {route.pick().name for _ in range(50)} == {"two"}


def test_what_was_built_says_where_it_came_from(works: Works) -> None:
    snapshot = works.put()
    assert (snapshot.version, snapshot.source) == (1, "x.yaml")
    assert isinstance(snapshot.config, Config) and snapshot.config.listeners[0].name == "front"
    assert works.put().version == 2


# -- statements


def test_the_statements_that_are_counted_always_stay_as_long_as_their_listener_wants_it(works: Works) -> None:
    def hooks(**more: Any) -> list[Any]:
        """Those of its route and of what no route takes."""
        one = works.put(listener(protocol="postgres", **more), clusters=[cluster()]).listeners["front"]
        return [owner(hook) for route in (*one.routes.routes, one.no_route) for hook in route.on_complete]

    assert hooks() == []
    assert hooks(statements=True) == hooks(statements=True, max_connections=7) == [works.builder.statements] * 2
    assert hooks() == []
