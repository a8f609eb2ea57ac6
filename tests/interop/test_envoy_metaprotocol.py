"""
An Envoy bootstrap with Aeraki's MetaProtocolProxy, real Dubbo and Thrift peers around metaproxy that runs it.

Lives here: `twistd metaproxy --config BOOTSTRAP` as users run it. Does not: Envoy's own filters (test_envoy_routes.py),
single fields (tests/unit/envoy).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy
from running import answers, eventually, free_port

pytestmark = pytest.mark.peer("java", "dubbo-py", "py")

PROXY = "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"
LIMIT = "aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.LocalRateLimit"
TYPE = "type.googleapis.com/"


class Mesh(NamedTuple):
    """The proxy, the ports of its listeners, what it runs on."""

    proxy: Proxy
    dubbo: int
    thrift: int
    config: dict[str, Any]


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(port)}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "1s", "lb_policy": "RING_HASH",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }  # fmt: skip


def listener(codec: str, port: int, routes: list[dict[str, Any]], *filters: dict[str, Any]) -> dict[str, Any]:
    """In the names and the deprecated spelling in which Aeraki's control plane sends it."""
    config = {
        "@type": f"{TYPE}udpa.type.v1.TypedStruct",
        "type_url": TYPE + PROXY,
        "value": {
            "statPrefix": f"outbound|{port}||demo",
            "applicationProtocol": codec,
            "codec": {"name": f"aeraki.meta_protocol.codec.{codec}"},
            "routeConfig": {"name": "demo", "routes": routes},
            "metaProtocolFilters": [
                {"name": "aeraki.meta_protocol.filters.metadata_exchange"},
                *filters,
                {"name": "aeraki.meta_protocol.filters.router"},
            ],
        },
    }
    chain = {"filters": [{"name": "envoy.filters.network.meta_protocol_proxy", "typed_config": config}]}
    return {"name": codec, "traffic_direction": "OUTBOUND", "address": address(port), "filter_chains": [chain]}


def matching(**keys: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": [{"name": name, **matcher} for name, matcher in keys.items()]}


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    servers = {name: free_port() for name in ("v1", "v2", "t1")}
    start(catalogue.dubbo_server("java", "v1", servers["v1"], "heartbeat=1000"))
    start(catalogue.dubbo_server("java", "v2", servers["v2"], "heartbeat=1000"))
    start(catalogue.thrift_server("py", "t1", f"{servers['t1']}:framed:binary"), partial(answers, servers["t1"]))
    names = {name: f"outbound|20880|{name}|demo" for name in servers}
    bucket = {"maxTokens": 2, "tokensPerFill": 2, "fillInterval": "3600s"}
    limit = {
        "name": "aeraki.meta_protocol.filters.local_ratelimit",
        "config": {
            "@type": TYPE + LIMIT, "statPrefix": "demo",
            "conditions": [{"match": matching(method={"exact_match": "add"}), "tokenBucket": bucket}],
        },
    }  # fmt: skip
    routes: list[dict[str, Any]] = [
        {"name": "v2", "match": matching(method={"prefix_match": "who"}), "route": {"cluster": names["v2"]}},
        {"name": "eu", "match": matching(tenant={"stringMatch": {"suffix": "-eu"}}), "route": {"cluster": names["v2"]}},
        {
            "name": "rest",
            "route": {"cluster": names["v1"], "hashPolicy": ["method"]},
            "requestMutation": [{"key": "lane", "value": "canary"}],
        },
    ]
    dubbo, thrift = free_port(), free_port()
    config = {
        "node": {"id": "sidecar~127.0.0.1~one.demo~demo", "metadata": {"NAME": "one", "LABELS": {"app": "demo"}}},
        "static_resources": {
            "listeners": [
                listener("dubbo", dubbo, routes, limit),
                listener("thrift", thrift, [{"name": "all", "route": {"cluster": names["t1"]}}]),
            ],
            "clusters": [cluster(names[name], port) for name, port in servers.items()],
        },
    }
    return Mesh(shared_proxy(config), dubbo, thrift, config)


def calls(clients: Clients, mesh: Mesh, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return list(clients(catalogue.dubbo_client("java")).run(port=mesh.dubbo, calls=list(jobs)))


def test_routes_lead_dubbo_calls_to_the_version_that_their_conditions_name(clients: Clients, mesh: Mesh) -> None:
    who, hello, eu = calls(
        clients, mesh, {"method": "whoami"}, {"method": "sayHello", "args": ["Aeraki"]},
        {"method": "sayHello", "args": ["Aeraki"], "attachments": {"tenant": "shop-eu"}},
    )  # fmt: skip
    assert who.get("value") == "v2", who
    assert hello.get("value") == "hello Aeraki from v1", hello
    assert eu.get("value") == "hello Aeraki from v2", eu


def test_the_provider_sees_the_mutation_and_who_this_proxy_is(clients: Clients, mesh: Mesh) -> None:
    (found,) = calls(clients, mesh, {"method": "attachments"})
    assert found["value"]["lane"] == "canary", found
    assert found["value"]["x-envoy-peer-metadata-id"] == "sidecar~127.0.0.1~one.demo~demo", found


def test_a_bucket_of_two_lets_exactly_two_of_ten_calls_pass(clients: Clients, mesh: Mesh) -> None:
    found = calls(clients, mesh, *[{"method": "add", "args": [3, 4]}] * 10)
    assert [one.get("value") for one in found if "error" not in one] == [7, 7], found


def test_thrift_calls_are_answered(clients: Clients, mesh: Mesh) -> None:
    jobs = clients(catalogue.thrift_client("py"))
    call = {"method": "sayHello", "args": ["Aeraki"]}
    (found,) = jobs.run(port=mesh.thrift, transport="framed", protocol="binary", mux=False, calls=[call])
    assert found.get("value") == "hello Aeraki from t1", found


def test_the_bootstrap_is_read_again_when_it_changes(clients: Clients, mesh: Mesh) -> None:
    routes = mesh.config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["value"]
    routes["routeConfig"]["routes"][0]["route"]["cluster"] = "outbound|20880|v1|demo"
    mesh.proxy.write(mesh.config)

    def answered() -> bool:
        (found,) = calls(clients, mesh, {"method": "whoami"})
        return bool(found.get("value") == "v1")

    assert eventually(answered)
