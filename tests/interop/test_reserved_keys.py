"""
Keys of proxies that clients forge, as real Dubbo and Thrift peers see it.

Lives here: what arrives at the server behind a listener at the edge, and behind one inside. Does not: which keys are
reserved (tests/unit/proxy/test_reserved.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import answers, free_port

peer = pytest.mark.peer
FORGED = {"x-envoy-peer-metadata": "forged", "X-Request-Id": "forged", "x-envoy-force-trace": "true", "tenant": "t1"}


@pytest.fixture(scope="module")
def ports(start: Start, shared_proxy: Callable[..., Proxy]) -> dict[str, int]:
    """PROTOCOL-edge and PROTOCOL-inside -> port. A route that a forged key leads to answers with an error."""
    servers = {"dubbo": free_port(), "thrift": free_port()}
    start(catalogue.dubbo_server("npm", "alpha", servers["dubbo"]))
    spec = f"{servers['thrift']}:header:binary"
    start(catalogue.thrift_server("py", "alpha", spec), lambda: answers(servers["thrift"]))
    ports = {}
    listeners = []
    for protocol in servers:
        trap = {"match": {"x-envoy-force-trace": "true", "tenant": "trap"}, "reply": {"error": "denied"}}
        for place, option in (("edge", {"reserved_keys": "strip"}), ("inside", {})):
            port = ports[f"{protocol}-{place}"] = free_port()
            routes = [trap, {"cluster": protocol}]
            listeners.append(listener(f"{protocol}-{place}", port, protocol, routes, **option))
    config = {"listeners": listeners, "clusters": [cluster(name, port) for name, port in servers.items()]}
    shared_proxy(config)
    return ports


def reserved(seen: dict[str, Any]) -> set[str]:
    return {key.lower() for key in seen if key.lower().startswith(("x-envoy", "x-request"))}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=peer(each, "npm")) for each in ("java", "npm", "dubbo-py", "dubbo-ssl-python")]
)
def test_b26_a_dubbo_provider_gets_no_reserved_key_from_outside(
    name: str, clients: Clients, ports: dict[str, int]
) -> None:
    jobs = clients(catalogue.dubbo_client(name))
    for place, expected in (
        ("edge", set()),
        ("inside", {"x-envoy-peer-metadata", "x-request-id", "x-envoy-force-trace"}),
    ):
        call = {"method": "attachments", "attachments": FORGED}
        (result,) = jobs.run(port=ports[f"dubbo-{place}"], calls=[call])
        assert (reserved(result["value"]), result["value"]["tenant"]) == (expected, "t1")
        trapped = {"method": "attachments", "attachments": {**FORGED, "tenant": "trap"}}
        (result,) = jobs.run(port=ports[f"dubbo-{place}"], calls=[trapped])
        assert ("error" in result) == (place == "inside")


@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each, "py")) for each in ("py", "js")])
def test_b26_a_thrift_server_gets_no_reserved_header_from_outside(
    name: str, clients: Clients, ports: dict[str, int]
) -> None:
    jobs = clients(catalogue.thrift_client(name))
    for place, count in (("edge", 0), ("inside", 3)):
        way = {"transport": "header", "protocol": "binary", "mux": False}
        (result,) = jobs.run(port=ports[f"thrift-{place}"], calls=[{"method": "headers", "headers": FORGED}], **way)
        assert (len(reserved(result["value"])), result["value"]["tenant"]) == (count, "t1")
