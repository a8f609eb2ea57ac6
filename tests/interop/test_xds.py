"""
A proxy that is driven by control planes, between real Dubbo peers that call all the time: no change, and no end of a
control plane, costs a call.

Lives here: go-control-plane by the state of the world and incremental; a stand-in for Aeraki with its oddities. Does
not: istiod (tests/interop/istio); the protocol message by message (tests/unit/xds).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import catalogue
import pytest
import xds_peers as xds
from aeraki import Aeraki, route
from catalogue import Clients, Start
from ecds_resources import discovered, extension, limit_of
from proxied import Proxy, listener
from running import answers, eventually, free_port
from steady import Steady, calls_of
from xds_peers import GoControlPlane

peer = pytest.mark.peer
SLOW = 15.0
WHOAMI = [{"method": "whoami", "args": []}]
ROUTES = "demo.svc.local_20880"


def server(start: Start, name: str) -> int:
    port = free_port()
    start(catalogue.dubbo_server("npm", name, port))
    return port


def called(clients: Clients, port: int) -> Steady:
    return Steady(calls_of(clients(catalogue.dubbo_client("npm")), port, calls=WHOAMI))


def clusters_of(proxy: Proxy) -> set[str]:
    return {one["name"] for one in proxy.admin("/clusters")["clusters"]}


@pytest.mark.parametrize("transport", ["grpc", "delta"])
@peer("go-control-plane", "npm")
def test_everything_changes_under_load_and_the_server_dies_and_comes_back(
    transport: str, start_here: Start, clients: Clients, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    one, two, three = (server(start_here, name) for name in ("one", "two", "three"))
    plane, port = GoControlPlane(start_here, tmp_path), free_port()
    rest = [xds.listener("in", port, "r")]
    plane.serve(*rest, xds.cluster("v1"), xds.endpoints("v1", one), xds.routes("r", "v1"))
    plane.run()
    server_of = {"name": "plane", "server": f"127.0.0.1:{plane.port}", "transport": transport}
    running = proxy({"node": {"id": "n1"}, "xds": server_of})
    assert running.admin("/xds")["servers"][0]["connected"]
    with called(clients, port) as load:
        assert load.answers[0] == "one"
        # Endpoints alone.
        plane.serve(*rest, xds.cluster("v1"), xds.endpoints("v1", two), xds.routes("r", "v1"))
        load.until("two")
        # A new cluster with the routes to it, and the old one gone, in one snapshot.
        plane.serve(*rest, xds.cluster("v2"), xds.endpoints("v2", three), xds.routes("r", "v2"))
        load.until("three")
        load.more(20)
        assert set(load.answers[-10:]) == {"three"}
        assert eventually(lambda: clusters_of(running) == {"v2"}, SLOW)
        # Another listener comes and goes.
        extra = xds.listener("extra", free_port(), "r")
        plane.serve(*rest, extra, xds.cluster("v2"), xds.endpoints("v2", three), xds.routes("r", "v2"))
        assert eventually(lambda: len(running.admin("/listeners")["listeners"]) == 2, SLOW)
        # The server dies; what was received stays.
        plane.kill()
        assert eventually(lambda: not running.admin("/xds")["servers"][0]["connected"], SLOW)
        load.more(20)
        plane.serve(*rest, xds.cluster("v1"), xds.endpoints("v1", one), xds.routes("r", "v1"))
        plane.run()
        load.until("one", 40)
        assert eventually(lambda: len(running.admin("/listeners")["listeners"]) == 1, SLOW)
        load.more(20)
    stats = running.stats()
    assert stats['metaproxy_xds_update_rejected_total{resource="listeners",server="plane"}'] == 0
    assert not [one for one in plane.asked() if one["nack"]]


@peer("go-control-plane", "npm")
def test_a_listener_with_an_unknown_field_is_refused_with_its_path_and_the_rest_goes_on(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    one = server(start_here, "one")
    plane, port = GoControlPlane(start_here, tmp_path), free_port()
    good = [xds.listener("in", port, "r"), xds.cluster("v1"), xds.endpoints("v1", one), xds.routes("r", "v1")]
    bad = xds.listener("bad", free_port(), "r")
    bad["filterChains"][0]["filters"][0]["typedConfig"]["value"]["statPrefxi"] = "x"
    plane.serve(*good, bad)
    plane.run()
    running = proxy({"node": {"id": "n1"}, "xds": {"server": f"127.0.0.1:{plane.port}", "lenient": False}})
    with called(clients, port) as load:
        assert eventually(lambda: [one for one in plane.asked() if one["nack"]], SLOW)
        load.more(5)
    refused = [one for one in plane.asked() if one["nack"]]
    assert "bad" in refused[0]["nack"]
    assert "statPrefxi" in refused[0]["nack"]
    assert "stat_prefix" in refused[0]["nack"]
    time.sleep(2.5)
    assert len([one for one in plane.asked() if one["nack"]]) <= 4  # go-control-plane sends it again at once
    (entry,) = [one for one in running.admin("/xds")["servers"][0]["resources"] if one["name"] == "bad"]
    assert entry["status"] == "NACKED"


@pytest.mark.parametrize("transport", ["grpc", "delta"])
@peer("go-control-plane")
def test_a_filter_is_configured_by_the_control_plane(
    transport: str, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    """ECDS: other limits without another listener; what is no limit is refused, and the limit before stays."""
    plane, port = GoControlPlane(start_here, tmp_path), free_port()
    rest = [discovered("web", port=port), xds.cluster("v1"), xds.endpoints("v1", free_port())]
    plane.serve(*rest, extension(limit_of(1)))
    plane.run()
    server_of = {"name": "plane", "server": f"127.0.0.1:{plane.port}", "transport": transport, "lenient": False}
    proxy({"node": {"id": "n1"}, "xds": server_of})
    assert eventually(lambda: answers(port), SLOW)
    assert 429 in statuses(port, 20)
    plane.serve(*rest, extension(limit_of(1000)))
    assert eventually(lambda: set(statuses(port, 20)) == {200}, SLOW)
    plane.serve(*rest, extension({"@type": f"{xds.TYPE}envoy.config.core.v3.Address"}))
    assert eventually(lambda: [one for one in plane.asked() if "LocalRateLimit" in one["nack"]], SLOW)
    assert set(statuses(port, 20)) == {200}


def statuses(port: int, count: int) -> list[int]:
    """What so many requests are answered with."""
    link = HTTPConnection("127.0.0.1", port, timeout=SLOW)
    found = []
    for _ in range(count):
        link.request("GET", "/")
        response = link.getresponse()
        response.read()
        found.append(response.status)
    link.close()
    return found


@peer("npm")
def test_aerakis_oddities_are_survived(start_here: Start, clients: Clients, proxy: Callable[..., Proxy]) -> None:
    """A stand-in for Aeraki: seconds as versions, refusals answered at once, orphaned streams, its end and return."""
    one, two = (server(start_here, name) for name in ("one", "two"))
    aeraki, port = Aeraki(free_port()), free_port()
    aeraki.serve({ROUTES: [route("v1")], "other.svc.local_1": [route("v1")]})
    try:
        routes: Any = {"rds": {"name": ROUTES, "server": "aeraki-xds"}}
        other: Any = {"rds": {"name": "other.svc.local_1", "server": "aeraki-xds"}}
        running = proxy(
            {
                "node": {"id": "sidecar~127.0.0.1~demo.default~default.svc.cluster.local"},
                "xds": [
                    {"name": "aeraki-xds", "cluster": "aeraki-xds", "ads": False, "resources": ["routes"]},
                ],
                "listeners": [
                    listener("in", port, "dubbo", routes), listener("other", free_port(), "dubbo", other),
                ],
                "clusters": [
                    {"name": "aeraki-xds", "endpoints": [aeraki.address]},
                    {"name": "v1", "endpoints": [f"127.0.0.1:{one}"]},
                    {"name": "v2", "endpoints": [f"127.0.0.1:{two}"]},
                ],
            }
        )  # fmt: skip
        with called(clients, port) as load:
            load.until("one")
            assert aeraki.streams == 1, "one stream for the names of all listeners"
            version = running.admin("/server_info")["config_version"]
            aeraki.send_again()
            aeraki.send_again()
            load.more(5)
            assert running.admin("/server_info")["config_version"] == version, "equal routes change nothing"
            aeraki.serve({ROUTES: [route("v2")]})
            load.until("two")
            # Routes that are malformed: refused, again and again, at a pace that does no harm.
            aeraki.serve({ROUTES: [route({"v1": 0})]})
            assert eventually(lambda: aeraki.refused, SLOW)
            time.sleep(2.5)
            assert len(aeraki.refused) <= 4
            assert ROUTES in aeraki.refused[0]
            load.more(5)
            aeraki.serve({ROUTES: [route("v1")]})
            load.until("one", 40)
            # Its end, and its return without a memory of us.
            aeraki.kill()
            load.more(20)
            aeraki.serve({ROUTES: [route("v2")]})
            aeraki.start()
            load.until("two", 40)
    finally:
        aeraki.kill()


@peer("npm")
def test_routes_that_the_server_does_not_have_leave_a_listener_that_is_ready_without_any(
    proxy: Callable[..., Proxy], start_here: Start
) -> None:
    aeraki, begun = Aeraki(free_port()), time.monotonic()
    try:
        server_of = {"server": aeraki.address, "ads": False, "resources": ["routes"], "initial_fetch_timeout": "2s"}
        routes: Any = {"rds": {"name": ROUTES}}
        running = proxy(
            {"node": {"id": "n1"}, "xds": server_of, "listeners": [listener("in", free_port(), "dubbo", routes)]}
        )
        assert time.monotonic() - begun >= 2
        stats = running.stats()
        server_name = aeraki.address
        assert stats[f'metaproxy_xds_init_fetch_timeout_total{{resource="routes",server="{server_name}"}}'] == 1
    finally:
        aeraki.kill()


@peer("py")
def test_a_folder_of_files_drives_thrift_and_a_file_that_is_wrong_changes_nothing(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    ports = []
    for name in ("one", "two"):
        ports.append(free_port())
        start_here(catalogue.thrift_server("py", name, f"{ports[-1]}:framed:binary"))
    folder, port = tmp_path / "resources", free_port()
    folder.mkdir()

    def write(name: str, text: str) -> None:
        (folder / f"{name}.new").write_text(text)
        (folder / f"{name}.new").rename(folder / f"{name}.json")

    write("fixed", json.dumps([xds.listener("in", port, "r", "thrift"), xds.cluster("v1"), xds.routes("r", "v1")]))
    write("endpoints", json.dumps(xds.endpoints("v1", ports[0])))
    running = proxy({"xds": {"server": str(folder), "transport": "file"}})
    job = {"transport": "framed", "protocol": "binary", "mux": False, "calls": [{"method": "sayHello", "args": ["a"]}]}
    with Steady(calls_of(clients(catalogue.thrift_client("py")), port, **job)) as load:
        first = load.answers[0]
        write("endpoints", json.dumps(xds.endpoints("v1", ports[1])))
        assert eventually(lambda: load.answers[-1] != first, SLOW)
        write("endpoints", '{"@type": ')
        load.more(20)
        assert eventually(lambda: "endpoints.json" in running.log(), SLOW)
        write("endpoints", json.dumps(xds.endpoints("v1", ports[0])))
        load.until(first)
