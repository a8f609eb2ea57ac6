"""
The same bootstrap on a real Envoy and on metaproxy: the same requests go to the same clusters, changed in the same way.

Lives here: HTTP, Dubbo, Thrift, Redis, TCP by Envoy's own filters. Does not: single fields (tests/unit/envoy).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import named_servers
import pytest
import yaml
from catalogue import Start
from named_servers import Named
from proxied import Proxy
from running import HERE, answers, free_port

from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.tables import Context

pytestmark = pytest.mark.peer("envoy")

CLUSTERS = ("one", "two", "three")
NETWORK = "type.googleapis.com/envoy.extensions.filters.network"

HTTP = (HERE / "envoy" / "http_connection_manager.yaml").read_text()
REQUESTS = [
    (method, target, host, headers)
    for target, headers in [
        ("/exact", {}), ("/exact/", {}), ("/exact?x=1", {"x-in": "v"}), ("/beta", {"x-tenant": "Beta"}),
        ("/beta/1", {"x-tenant": "alpha"}), ("/beta", {}), ("/items/15", {}), ("/items/x", {}), ("/q?v=2", {}),
        ("/q?v=3&v=2", {}), ("/q", {}), ("/old?a=b", {}), ("/old", {}), ("/away/x?y", {}), ("/direct", {}),
        ("/strip/a?b=c", {}), ("/strip", {}), ("/sep", {}), ("/sep/a", {}), ("/separate", {}), ("/Case", {}),
        ("/methods", {}), ("/range", {"x-n": "8"}), ("/range", {"x-n": "9"}), ("/absent", {}),
        ("/absent", {"x-n": "1"}), ("/secret", {}), ("/secret", {"x-admin": "1"}),
        ("/exact", {"x-fault": "yes"}), ("/rest", {}), ("/none", {}),
    ]
    for method, host in [("GET", "shop.example")]
] + [
    ("POST", "/methods", "shop.example", {}),
    *(
        ("GET", target, f"{host}.example", headers)
        for target, host in (("/append", "headers"), ("/absent", "headers"), ("/add", "added"))
        for headers in ({}, {"x-set": "own"})
    ),
    *(("GET", "/rest", host, {}) for host in (
        "SHOP.example", "shop.example:8080", "shop.example:1", "a.wide.example", "a.very.wide.example", "wide.example",
        "x.example", "api.org", "other", "api.example",
    )),
]  # fmt: skip
DUBBO = f"""
"@type": {NETWORK}.dubbo_proxy.v3.DubboProxy
stat_prefix: dubbo
protocol_type: Dubbo
serialization_type: Hessian2
dubbo_filters: [{{name: envoy.filters.dubbo.router}}]
route_config:
- name: demo
  interface: org.Demo
  routes:
  - match: {{method: {{name: {{exact: hello}}}}, headers: [{{name: tenant, string_match: {{exact: beta}}}}]}}
    route: {{cluster: one}}
  - {{match: {{method: {{name: {{prefix: hel}}}}}}, route: {{cluster: two}}}}
- name: others
  interface: "org.other.*"
  routes: [{{match: {{method: {{name: {{safe_regex: {{regex: ".*"}}}}}}}}, route: {{cluster: three}}}}]
"""
THRIFT = f"""
"@type": {NETWORK}.thrift_proxy.v3.ThriftProxy
stat_prefix: thrift
transport: FRAMED
protocol: BINARY
thrift_filters: [{{name: it, typed_config: {{"@type": {NETWORK}.thrift_proxy.router.v3.Router}}}}]
route_config:
  name: all
  routes:
  - {{match: {{method_name: add}}, route: {{cluster: one}}}}
  - {{match: {{service_name: Calc}}, route: {{cluster: two}}}}
  - {{match: {{method_name: other, invert: true}}, route: {{cluster: three}}}}
"""
REDIS = f"""
"@type": {NETWORK}.redis_proxy.v3.RedisProxy
stat_prefix: redis
settings: {{op_timeout: 5s}}
prefix_routes:
  routes: [{{prefix: "a", cluster: one}}, {{prefix: "ab:", cluster: two}}]
  catch_all_route: {{cluster: three}}
"""
GENERIC_URL = f"{NETWORK}.generic_proxy"
METHOD = f'{{name: i, typed_config: {{"@type": {GENERIC_URL}.matcher.v3.MethodMatchInput}}}}'
TENANT = f'{{name: i, typed_config: {{"@type": {GENERIC_URL}.matcher.v3.PropertyMatchInput, property_name: tenant}}}}'


def routed(cluster: str) -> str:
    action = f'{{"@type": {GENERIC_URL}.action.v3.RouteAction, cluster: {cluster}}}'
    return f"{{action: {{name: a, typed_config: {action}}}}}"


GENERIC = f"""
"@type": {GENERIC_URL}.v3.GenericProxy
stat_prefix: generic
codec_config: {{name: dubbo, typed_config: {{"@type": {GENERIC_URL}.codecs.dubbo.v3.DubboCodecConfig}}}}
filters: [{{name: envoy.filters.generic.router, typed_config: {{"@type": {GENERIC_URL}.router.v3.Router}}}}]
route_config:
  name: all
  routes:
    matcher_tree:
      input: {{name: i, typed_config: {{"@type": {GENERIC_URL}.matcher.v3.ServiceMatchInput}}}}
      exact_match_map:
        map:
          org.Demo:
            matcher:
              matcher_list:
                matchers:
                - predicate:
                    and_matcher:
                      predicate:
                      - single_predicate: {{input: {METHOD}, value_match: {{exact: hello}}}}
                      - single_predicate: {{input: {TENANT}, value_match: {{exact: beta}}}}
                  on_match: {routed("one")}
                - predicate: {{single_predicate: {{input: {METHOD}, value_match: {{prefix: hel}}}}}}
                  on_match: {routed("two")}
          org.other.X: {routed("three")}
"""
TCP = f"""
"@type": {NETWORK}.tcp_proxy.v3.TcpProxy
stat_prefix: tcp
cluster: two
"""
KINDS = {
    "http": (HTTP, named_servers.http_server), "dubbo": (DUBBO, named_servers.dubbo_server),
    "thrift": (THRIFT, named_servers.thrift_server), "redis": (REDIS, named_servers.redis_server),
    "tcp": (TCP, named_servers.redis_server), "generic": (GENERIC, named_servers.dubbo_server),
}  # fmt: skip


def bootstrap(kind: str, port: int, admin: int, servers: list[Named]) -> dict[str, Any]:
    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    filters = [{"name": "it", "typed_config": yaml.safe_load(KINDS[kind][0])}]
    return {
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [{"name": kind, "address": address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": [
                {
                    "name": one.name, "type": "STATIC", "connect_timeout": "2s",
                    "load_assignment": {
                        "cluster_name": one.name,
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(one.port)}}]}],
                    },
                }
                for one in servers
            ],
        },
    }  # fmt: skip


def ours(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """What the bootstrap is as a configuration of ours."""
    report, static = Report(), bootstrap["static_resources"]

    def message(kind: str, plain: object) -> Any:
        found = message_class(kind)
        assert found is not None
        made = found()
        fill(made, plain, "", report)
        return made

    clusters = {one["name"]: message("envoy.config.cluster.v3.Cluster", one) for one in static["clusters"]}
    context = Context(report, Resources(clusters=clusters))
    sections: list[list[dict[str, object]]] = [
        [section for one in found for section in one.sections]
        for found in (
            [
                translate_listener(message("envoy.config.listener.v3.Listener", one), context)
                for one in static["listeners"]
            ],
            [translate_cluster(one, context) for one in clusters.values()],
        )
    ]
    assert [str(one) for one in report.errors] == []
    return {"listeners": [{**one, "drain_timeout": "1s"} for one in sections[0]], "clusters": sections[1]}


class Both(NamedTuple):
    """The ports of the two proxies."""

    envoy: int
    metaproxy: int


@pytest.fixture
def both(
    request: pytest.FixtureRequest, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> Iterator[Both]:
    kind = request.param
    servers = [KINDS[kind][1](name) for name in CLUSTERS]
    ports = Both(free_port(), free_port())
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(bootstrap(kind, ports.envoy, free_port(), servers)))
    start_here(catalogue.envoy(file), lambda: answers(ports.envoy))
    proxy(ours(bootstrap(kind, ports.metaproxy, free_port(), servers)))
    yield ports
    for server in servers:
        server.close()


def ask_http(port: int, method: str, target: str, host: str, headers: dict[str, str]) -> tuple[object, ...]:
    return named_servers.call_http(port, method, target, {"Host": host, **headers})


@pytest.mark.parametrize("both", ["http"], indirect=True)
def test_requests_of_http(both: Both) -> None:
    differ = {}
    for request in REQUESTS:
        theirs, mine = ask_http(both.envoy, *request), ask_http(both.metaproxy, *request)
        if theirs != mine:
            differ[str(request)] = (theirs, mine)
    assert differ == {}


CALLS = [
    ("org.Demo", "hello", {"tenant": "beta"}), ("org.Demo", "hello", {}), ("org.Demo", "help", {}),
    ("org.Demo", "bye", {}), ("org.other.X", "any", {}), ("org.third", "hello", {}),
]  # fmt: skip


@pytest.mark.parametrize("both", ["dubbo", "generic"], indirect=True)
def test_calls_of_dubbo(both: Both) -> None:
    mine = [named_servers.call_dubbo(both.metaproxy, one, method, **more) for one, method, more in CALLS]
    assert mine == ["one", "two", "two", "", "three", ""]
    assert [named_servers.call_dubbo(both.envoy, one, method, **more) for one, method, more in CALLS] == mine


@pytest.mark.parametrize("both", ["thrift"], indirect=True)
def test_calls_of_thrift(both: Both) -> None:
    methods = ["add", "Calc:add", "Calc:x", "sub", "other"]
    mine = [named_servers.call_thrift(both.metaproxy, one) for one in methods]
    assert mine == ["one", "two", "two", "three", ""]
    assert [named_servers.call_thrift(both.envoy, one) for one in methods] == mine


@pytest.mark.parametrize("both", ["redis"], indirect=True)
def test_commands_of_redis(both: Both) -> None:
    keys = ["a", "ab", "ab:1", "b", "A"]
    mine = [named_servers.call_redis(both.metaproxy, "GET", key) for key in keys]
    assert mine == ["one", "one", "two", "three", "three"]
    assert [named_servers.call_redis(both.envoy, "GET", key) for key in keys] == mine


@pytest.mark.parametrize("both", ["tcp"], indirect=True)
def test_bytes(both: Both) -> None:
    assert [named_servers.call_redis(port, "GET", "a") for port in both] == ["two", "two"]
