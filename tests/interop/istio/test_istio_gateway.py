"""
A gateway that a real istiod drives, with Aeraki's filter in its listeners and routes from Aeraki's stand-in.

Lives here: real Dubbo and Thrift peers behind it, changes of endpoints, subsets and routes, the death of either server
under load. Does not: what istiod's messages become (tests/unit/envoy/test_envoy_istiod.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import catalogue
import pytest
from aeraki import Aeraki, route
from catalogue import Clients, Start
from istio_peers import NODE, Istiod, aeraki_objects, gateway, host, service, service_entry, subsets
from kube_peers import Cluster, Object, endpoint_slice
from proxied import Proxy
from running import eventually, free_port
from steady import Steady, calls_of

pytestmark = pytest.mark.peer("npm", "py")
Proxies = Callable[[Mapping[str, Any]], Proxy]
DUBBO, THRIFT = 20880, 9090
CART, HELLO = host("cart"), host("hello")
SERVICE_ADDRESS = "10.96.0.70"
WHO = [{"method": "whoami"}]
only_grpc = pytest.mark.parametrize("driven", ["grpc"], indirect=True)


def subset(version: str) -> str:
    """The cluster of a version of `hello`."""
    return f"outbound|{THRIFT}|{version}|{HELLO}"


@pytest.fixture(scope="module")
def servers(start: Start) -> dict[str, int]:
    """Servers on 127.0.0.1 by name: alpha and beta speak Dubbo; one, two and three Thrift."""
    ports = {name: free_port() for name in ("alpha", "beta", "one", "two", "three")}
    for name in ("alpha", "beta"):
        start(catalogue.dubbo_server("npm", name, ports[name]))
    for name in ("one", "two", "three"):
        start(catalogue.thrift_server("py", name, f"{ports[name]}:framed:binary"))
    return ports


@pytest.fixture
def aeraki() -> Iterator[Aeraki]:
    aeraki = Aeraki(free_port())
    aeraki.serve({
        f"{CART}_{DUBBO}": [route(f"outbound|{DUBBO}||{CART}", "default")],
        f"{HELLO}_{THRIFT}": [route(subset("v1"), "all")],
    })  # fmt: skip
    yield aeraki
    aeraki.kill()


@pytest.fixture
def objects(cluster: Cluster, servers: dict[str, int]) -> Iterator[None]:
    """What a mesh has: two services, and a gateway with Aeraki's filters."""
    found: list[Object] = [
        service("cart", "dubbo", DUBBO, SERVICE_ADDRESS), slice_to(servers["alpha"]),
        service_entry("hello", "thrift", THRIFT, v1=servers["one"], v2=servers["two"]),
        subsets("hello", "v1", "v2"), gateway(dubbo=DUBBO, thrift=THRIFT),
        *aeraki_objects("dubbo", "cart", DUBBO), *aeraki_objects("thrift", "hello", THRIFT),
    ]  # fmt: skip
    cluster.apply(*found)
    yield
    for each in reversed(found):
        cluster.delete(each)


def slice_to(port: int) -> Object:
    """The endpoints of `cart`: one server."""
    return endpoint_slice("cart", port, "tcp-metaprotocol-dubbo", "cart-gateway")


def config(istiod: Istiod, aeraki: Aeraki, transport: str) -> dict[str, Any]:
    return {
        "node": NODE,
        "xds": [
            {"name": "istiod", "server": istiod.ads, "transport": transport},
            {"name": "aeraki-xds", "server": aeraki.address, "ads": False, "resources": ["routes"]},
        ],
    }


@pytest.fixture(params=["grpc", "delta"])
def driven(request: pytest.FixtureRequest, objects: None, istiod: Istiod, aeraki: Aeraki, proxy: Proxies) -> Proxy:
    """A gateway that has its listeners, from streams of the state of the world or of what differs."""
    running = proxy(config(istiod, aeraki, request.param))
    assert eventually(lambda: len(running.admin("/listeners")["listeners"]) == 2, 15), running.log()[-3000:]
    return running


def dubbo(clients: Clients, which: str = "") -> Callable[[], object]:
    return calls_of(clients(catalogue.dubbo_client("npm"), which), DUBBO, calls=WHO)


def thrift(clients: Clients, which: str = "") -> Callable[[], object]:
    calls = [{"method": "sayHello", "args": ["bob"]}]
    return calls_of(
        clients(catalogue.thrift_client("py"), which), THRIFT, transport="framed", protocol="binary", mux=False,
        calls=calls,
    )  # fmt: skip


def hello(name: str) -> str:
    """What a Thrift server answers."""
    return f"hello bob from {name}"


def test_dubbo_and_thrift_pass_and_follow_every_change(
    driven: Proxy, cluster: Cluster, aeraki: Aeraki, servers: dict[str, int], clients: Clients
) -> None:
    with Steady(dubbo(clients)) as carts, Steady(thrift(clients)) as hellos:
        assert (carts.answers[-1], hellos.answers[-1]) == ("alpha", hello("one"))
        cluster.apply(slice_to(servers["beta"]))
        carts.until("beta")
        aeraki.serve({f"{HELLO}_{THRIFT}": [route(subset("v2"), "all")]})
        hellos.until(hello("two"))
        cluster.apply(service_entry("hello", "thrift", THRIFT, v1=servers["one"], v2=servers["three"]))
        hellos.until(hello("three"))
        matched = [route(subset("v1"), "one", method="sayHello"), route(subset("v2"), "rest")]
        aeraki.serve({f"{HELLO}_{THRIFT}": matched})
        hellos.until(hello("one"))
    assert aeraki.refused == [] and NODE["id"] in aeraki.nodes


@only_grpc
def test_a_connection_that_stays_open_goes_to_another_version_without_a_failed_call(
    driven: Proxy, aeraki: Aeraki, clients: Clients
) -> None:
    jobs = clients(catalogue.thrift_client("py"))
    calls = [{"method": "sayHello", "args": ["bob"]}] * 4000
    jobs.start(port=THRIFT, transport="framed", protocol="binary", mux=False, calls=calls)
    assert eventually(lambda: driven.outcomes().get("ok", 0) > 100)
    aeraki.serve({f"{HELLO}_{THRIFT}": [route(subset("v2"), "all")]})
    answers = [result.get("value", result) for result in jobs.finish()]
    switched = answers.index(hello("two"))
    assert answers == [hello("one")] * switched + [hello("two")] * (len(answers) - switched)


@only_grpc
def test_a_listener_of_another_kind_beside_holds_up_nothing(
    driven: Proxy, cluster: Cluster, servers: dict[str, int], clients: Clients
) -> None:
    web = {"port": {"number": 8000, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    secure = {
        "port": {"number": 8443, "name": "tls", "protocol": "TLS"},
        "hosts": ["*"],
        "tls": {"mode": "PASSTHROUGH"},
    }
    both = gateway(dubbo=DUBBO, thrift=THRIFT)
    both["spec"]["servers"] += [web, secure]
    with Steady(dubbo(clients)) as carts:
        cluster.apply(both)
        cluster.apply(slice_to(servers["beta"]))
        carts.until("beta")


@only_grpc
def test_a_port_that_the_gateway_loses_is_closed_and_the_other_goes_on(
    driven: Proxy, cluster: Cluster, clients: Clients
) -> None:
    with Steady(dubbo(clients)) as carts:
        cluster.apply(gateway(dubbo=DUBBO))
        assert eventually(lambda: len(driven.admin("/listeners")["listeners"]) == 1, 10)
        carts.more()
        cluster.apply(gateway(dubbo=DUBBO, thrift=THRIFT))
        assert eventually(lambda: len(driven.admin("/listeners")["listeners"]) == 2, 10)
        assert thrift(clients)() == hello("one")


def test_no_call_fails_while_istiod_and_aeraki_are_killed_and_restarted(
    driven: Proxy, cluster: Cluster, istiod: Istiod, aeraki: Aeraki, servers: dict[str, int], clients: Clients
) -> None:
    with Steady(dubbo(clients)) as carts, Steady(thrift(clients)) as hellos:
        istiod.kill()
        aeraki.kill()
        carts.more(30)
        hellos.more(30)
        cluster.apply(slice_to(servers["beta"]))
        aeraki.serve({f"{HELLO}_{THRIFT}": [route(subset("v2"), "all")]})
        aeraki.start()
        hellos.until(hello("two"), 30)
        assert carts.answers[-1] == "alpha"
        istiod.start()
        carts.until("beta", 30)
        assert hellos.answers[-1] == hello("two")
