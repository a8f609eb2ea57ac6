from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from present import present
from twisted.internet.task import Clock

from metaproxy.cluster.original_destination import OriginalDestinationCluster
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.message import ErrorKind
from metaproxy.plugins import Registry
from metaproxy.proxy.memory import available
from metaproxy.proxy.overload import OverloadLimits
from metaproxy.proxy.snapshot import NO_ROUTE, Snapshot, Template
from metaproxy.routing.hash_keys import ConnectionKeys
from metaproxy.routing.table import HIGH, LOW, NORMAL, PRIORITIES
from metaproxy.support.worker_share import set_workers
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.testing import FakeExchange

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
REGISTRY = Registry([EXAMPLES])


def build(routes: list[dict[str, Any]], protocol: str = "dubbo", **more: Any) -> Snapshot:
    config, problems = check(
        json.dumps(
            {
                "listeners": [
                    {
                        "name": "front", "listen": "127.0.0.1:0", "protocol": protocol, "routes": routes,
                        "filters": [{"local_rate_limit": {"limit": 10}}], **more.pop("listener", {}),
                    }
                ],
                "clusters": [{"name": "one", "endpoints": ["127.0.0.1:1"], **more}],
            }
        ),
        "x.yaml",
        REGISTRY,
    )  # fmt: skip
    assert config is not None, [str(problem) for problem in problems]
    return Builder(REGISTRY, Clock(), LogFiles(Clock())).build(config)


def test_a_route_has_its_listeners_filters_or_its_own_or_none() -> None:
    snapshot = build(
        [
            {"name": "own", "match": {"method": "a"}, "cluster": "one", "filters": {"local_rate_limit": {"limit": 5}}},
            {"name": "off", "match": {"method": "b"}, "cluster": "one", "filters": {"local_rate_limit": "off"}},
            {"name": "same", "cluster": "one"},
        ]
    )
    listener = snapshot.listeners["front"]
    own, off, same = listener.routes.routes
    assert off.on_request == ()
    assert same.on_request is listener.no_route.on_request
    assert own.on_request and own.on_request != same.on_request
    assert listener.no_route.reply is NO_ROUTE


def test_routes_carry_what_was_written() -> None:
    snapshot = build(
        [
            {
                "cluster": "one", "timeout": "2s", "subset": {"v": "1"}, "hash": ["tenant"], "percent": 50,
                "request": {"set": {"a": "%route%"}, "remove": ["b"]}, "response": {"set": {"c": "d"}},
            },
            {"reply": {"error": "denied", "message": "no"}},
        ]
    )  # fmt: skip
    first, second = snapshot.listeners["front"].routes.routes
    assert (first.name, first.timeout, first.subset, first.hash_keys) == ("routes[0]", 2.0, {"v": "1"}, ("tenant",))
    assert first.request is not None and (first.request.set, first.request.remove) == ({"a": "%route%"}, ("b",))
    assert first.response is not None and first.response.set == {"c": "d"}
    assert second.reply is not None and second.reply.text == "no"


def test_a_rewrite_changes_the_request_together_with_its_mutations() -> None:
    rewrite = {"path": {"regex": "^/v2/(.*)", "to": r"/\1"}, "host": "b.example"}
    snapshot = build(
        [{"cluster": "one", "rewrite": rewrite, "request": {"set": {"x-a": "1"}, "remove": ["x-b"]}}], "http"
    )
    (route,) = snapshot.listeners["front"].routes.routes
    exchange = FakeExchange(metadata={"path": "/v2/a"})
    assert isinstance(route.request, Template)
    mutation = route.request.fill(exchange)
    assert (mutation.set, mutation.remove) == ({"x-a": "1", "host": "b.example", "path": "/a"}, ("x-b",))


def test_a_reply_carries_its_name_and_metadata() -> None:
    snapshot = build([{"reply": {"name": "301", "set": {"location": "/new"}}}], "http")
    reply = snapshot.listeners["front"].routes.routes[0].reply
    assert reply is not None
    assert (reply.kind, reply.name, reply.metadata) == (None, "301", {"location": "/new"})


def test_a_hash_of_redis_keys_looks_at_their_tags() -> None:
    snapshot = build(
        [{"cluster": "one", "hash": ["key"]}], protocol="redis", balancer={"name": "maglev", "key": ["key"]}
    )
    assert snapshot.listeners["front"].routes.routes[0].hash_keys == ("tag",)
    assert snapshot.clusters["one"].hash_keys == ("tag",)


def test_a_cluster_uses_connections_as_its_protocol_does_unless_told_otherwise() -> None:
    assert build([{"cluster": "one"}]).clusters["one"].connections.mode == "multiplex"
    assert build([{"cluster": "one"}], protocol="thrift").clusters["one"].connections.mode == "pool"
    told = build([{"cluster": "one"}], protocol="thrift", connections={"mode": "multiplex", "per_endpoint": 3})
    assert (told.clusters["one"].connections.mode, told.clusters["one"].connections.per_endpoint) == ("multiplex", 3)


def test_of_several_workers_each_has_a_part_of_the_connections_to_an_endpoint() -> None:
    set_workers(3)
    try:
        shared = build([{"cluster": "one"}], protocol="thrift", connections={"mode": "multiplex", "per_endpoint": 4})
        usual = build([{"cluster": "one"}], protocol="thrift")
    finally:
        set_workers(1)
    assert [one.clusters["one"].connections.per_endpoint for one in (shared, usual)] == [2, 1]


def test_listeners_of_one_protocol_and_its_clusters_share_a_codec() -> None:
    snapshot = build([{"cluster": "one"}])
    assert snapshot.clusters["one"].codec is snapshot.listeners["front"].codec


def test_an_access_log_is_the_last_to_see_an_exchange(tmp_path: Path) -> None:
    log = {"access_log": [{"file": str(tmp_path / "a.log"), "format": "json"}]}
    hook: Any
    (hook,) = build([{"cluster": "one"}], listener=log).listeners["front"].routes.routes[0].on_complete
    assert type(hook.__self__).__name__ == "AccessLog"


def test_a_retry_policy_is_built_as_written_and_its_budget_is_the_clusters() -> None:
    written = {
        "attempts": 3,
        "on": ["reset", "timeout"],
        "per_try_timeout": "500ms",
        "backoff": "10ms..1s",
        "unsafe": True,
    }
    snapshot = build([{"cluster": "one", "retry": written}, {"cluster": "one"}], breaker={"retry_budget": 10})
    policy, without = (route.retry for route in snapshot.listeners["front"].routes.routes)
    assert without is None
    assert isinstance(policy, RetryPolicy)
    assert (policy.attempts, policy.per_try_timeout, policy.backoff, policy.unsafe) == (3, 0.5, (0.01, 1.0), True)
    assert policy.allows(ErrorKind.RESET, 1, False) and not policy.allows(ErrorKind.CONNECT, 1, True)
    assert snapshot.clusters["one"].breaker.retry_budget == 10


def test_a_route_has_the_priority_that_is_written_or_the_normal_one() -> None:
    written = [{"cluster": "one", "priority": word, "match": {"method": word}} for word in PRIORITIES]
    routes = build([*written, {"cluster": "one"}]).listeners["front"].routes.routes
    assert [route.priority for route in routes] == [LOW, NORMAL, HIGH, NORMAL]
    assert [route.describe().get("priority") for route in routes] == ["low", None, "high", None]
    config, (problem,) = check(
        "{listeners: [{name: a, listen: 127.0.0.1:1, protocol: redis,"
        " routes: [{reply: {error: limited}, priority: top}]}]}",
        "x.yaml",
        REGISTRY,
    )
    assert config is None and problem.path.endswith("routes[0].priority") and "low, normal" in problem.text


def test_overload_has_the_limits_that_were_written_or_a_share_of_the_memory_that_there_is() -> None:
    def limits(overload: str) -> OverloadLimits:
        config, problems = check(f"overload: {overload}", "x.yaml", REGISTRY)
        assert config is not None, problems
        return Builder(REGISTRY, Clock(), LogFiles(Clock())).build(config).overload

    assert limits("{max_memory: 1GiB, max_lag: 100ms}") == OverloadLimits(1 << 30, 0.1)
    assert limits("{max_memory: 0}") == OverloadLimits()
    assert limits("{}") == OverloadLimits(int(available() * 0.75), 0.0)


def test_too_little_memory_for_the_process_is_warned_of() -> None:
    config, _ = check("overload: {max_memory: 8MiB}", "x.yaml", REGISTRY)
    assert config is not None
    (warning,) = config.warnings
    assert (warning.path, "would refuse everything" in warning.text) == ("overload.max_memory", True)


def test_keep_alive_and_original_destination_reach_listeners_and_clusters() -> None:
    keepalive = {"idle": "1m", "interval": 5, "count": 2}
    snapshot = build(
        [{"cluster": "one"}],
        listener={"keepalive": {}, "original_destination": True},
        keepalive=keepalive,
    )
    assert snapshot.listeners["front"].keepalive == (60.0, 10.0, 3)
    assert snapshot.listeners["front"].original_destination
    assert snapshot.clusters["one"].connections.keepalive == (60.0, 5.0, 2)
    assert build([{"cluster": "one"}]).clusters["one"].connections.keepalive is None


def meant(listener: str, cluster: str = "") -> tuple[Any, list[str]]:
    text = f"""
listeners: [{{name: front, listen: "127.0.0.1:0", protocol: dubbo, routes: [{{cluster: meant}}], {listener}}}]
clusters: [{{name: meant, discovery: original_destination{cluster}}}]
"""
    config, problems = check(text, "x.yaml", REGISTRY)
    return config, [str(one) for one in (problems or present(config).warnings)]


def test_a_cluster_may_be_where_clients_meant_to_go() -> None:
    config, told = meant("original_destination: true")
    assert told == []
    snapshot = Builder(REGISTRY, Clock(), LogFiles(Clock())).build(config)
    assert isinstance(snapshot.clusters["meant"], OriginalDestinationCluster)


def test_a_listener_that_does_not_know_the_original_destination_can_not_lead_there() -> None:
    config, told = meant("max_inflight: 5")
    assert config is None
    assert "clusters[0].discovery: listener 'front' leads here" in told[0] and "original_destination: true" in told[0]


def test_a_balancer_has_no_say_over_original_destinations() -> None:
    _, told = meant("original_destination: true", ", balancer: random")
    assert len(told) == 1 and "has no effect" in told[0]


def test_a_route_hashes_facts_of_the_connection() -> None:
    snapshot = build([{"cluster": "one", "hash": ["source.address", "user"]}], balancer="ring_hash")
    (route,) = snapshot.listeners["front"].routes.routes
    assert isinstance(route.hash_keys, ConnectionKeys) and route.hash_keys == ("source.address", "user")


def asking(cluster: str, name: str = "authz") -> tuple[Any, list[str]]:
    text = f"""
listeners:
  - name: front
    listen: "127.0.0.1:0"
    protocol: dubbo
    routes: [{{reply: {{error: denied}}}}]
    filters: [{{ext_authz: {{service: {{cluster: {name}}}}}}}]
clusters: [{{name: authz, endpoints: ["127.0.0.1:1"]{cluster}}}]
"""
    config, problems = check(text, "x.yaml", REGISTRY)
    return config, [str(one) for one in (problems or present(config).warnings)]


def test_a_cluster_that_only_filters_ask_needs_no_protocol_and_no_route() -> None:
    config, told = asking("")
    assert told == []
    builder = Builder(REGISTRY, Clock(), LogFiles(Clock()))
    snapshot = builder.build(config)
    clusters: Any = builder.injected["clusters"]
    assert clusters.pick("authz") is None, "it is not in force yet"
    builder.commit(snapshot)
    assert clusters.pick("authz").address == "127.0.0.1:1"


def test_a_service_in_a_cluster_that_is_not_there_is_refused_with_the_name_that_was_meant() -> None:
    config, told = asking("", "auth")
    assert config is None
    assert "service.cluster: no cluster 'auth'; did you mean 'authz'?" in told[0]


def test_a_cluster_without_a_protocol_can_not_be_checked_by_it() -> None:
    config, told = asking(", health_check: {kind: codec}")
    assert config is None and "only filters ask it" in told[0]


def test_a_mirror_that_compares_looks_at_the_ends_and_chunks_of_its_routes_exchanges_and_another_at_none() -> None:
    routes = [
        {"name": name, "match": {"method": name}, "cluster": "one", "mirror": [{"cluster": "one", "compare": compare}]}
        for name, compare in (("both", True), ("copy", False))
    ]
    both, copy = build(routes).listeners["front"].routes.routes
    assert (len(both.on_complete), len(both.on_chunk)) == (len(copy.on_complete) + 1, 1)
    assert copy.on_chunk == ()
