"""
Streams of bRPC and tRPC through metaproxy over sockets, at their bounds: many at once, slow and dying ends, much data.

Lives here: what the Java peers do not have (bRPC's streams) or do not survive (tRPC's windows in both directions). The
peers are peers/rpc/streams.py: written from the protocols' descriptions, with nothing of metaproxy. Does not: Java's
streams (test_trpc.py), the codecs' bytes (tests/unit/codecs).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import rpc_peers
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Jobs, eventually, free_port

PROTOCOLS = ("brpc", "trpc")
MIB = 1 << 20
both = pytest.mark.parametrize("protocol", PROTOCOLS)


class Mesh(NamedTuple):
    proxy: Proxy
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    ports, listeners, clusters = {}, [], []
    for protocol in PROTOCOLS:
        port = free_port()
        start(rpc_peers.stream_server(protocol, port))
        clusters.append(cluster(protocol, port))
        ports[protocol], ports[f"{protocol}-denied"] = free_port(), free_port()
        listeners += [
            listener(protocol, ports[protocol], protocol, [{"cluster": protocol}]),
            listener(f"{protocol}-denied", ports[f"{protocol}-denied"], protocol, [{"reply": {"error": "denied"}}]),
        ]
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), ports)


@pytest.fixture(scope="module")
def jobs(clients: Clients) -> Jobs:
    return clients(rpc_peers.stream_client())


def streams(jobs: Jobs, mesh: Mesh, protocol: str, *asked: dict[str, Any], **job: Any) -> list[dict[str, Any]]:
    """What came of streams that are all on one connection."""
    results = jobs.run(protocol=protocol, port=mesh.ports[protocol], streams=list(asked), **job)
    return [each["value"] for each in results]


def resident(proxy: Proxy) -> int:
    """Bytes of memory that the proxy has."""
    pages = int(Path(f"/proc/{proxy.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def echoed(*messages: str) -> dict[str, Any]:
    return {"messages": [*messages, "bye"]}


@both
def test_many_streams_of_many_messages_share_the_connections(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    texts = [[f"{number}:{index}:" + "x" * (index * 97 % 5000) for index in range(40)] for number in range(60)]
    found = streams(jobs, mesh, protocol, *(echoed(*each) for each in texts))
    assert [each["got"] for each in found] == [41] * 60
    assert all(each["echo"] and each["ended"] and not each["reset"] for each in found)
    rows = mesh.proxy.stats()
    name = f'metaproxy_endpoint_connections{{cluster="{protocol}"'
    assert sum(int(value) for key, value in rows.items() if key.startswith(name)) <= 2


@both
def test_both_directions_go_on_far_beyond_their_windows(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    messages = [chr(65 + index % 26) * 10_000 for index in range(600)]
    (found,) = streams(jobs, mesh, protocol, echoed(*messages))
    assert (found["got"], found["echo"], found["ended"]) == (601, True, True)


@both
def test_one_stream_that_is_not_read_slows_no_other_and_costs_a_window(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    before = resident(mesh.proxy)
    slow = {"messages": ["pour 3000 10000 ", "bye"], "pace": 600, "wait": 1 << 40, "background": True}
    others = [echoed(*(f"{number}-{index}" * 50 for index in range(30))) for number in range(40)]
    stuck, *found = streams(jobs, mesh, protocol, slow, *others, seconds=30)
    assert not stuck["ended"]
    assert stuck["bytes"] < 3 * MIB  # of 30 MB
    assert all(each["echo"] and each["ended"] for each in found)
    assert resident(mesh.proxy) - before < 16 * MIB


@both
def test_a_slow_reader_gets_all_in_the_end(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    slow = {"messages": ["pour 40 20000 ", "bye"], "pace": 0.02}
    (found,) = streams(jobs, mesh, protocol, slow)
    assert (found["got"], found["bytes"], found["ended"]) == (41, 800_003, True)


@both
def test_a_server_that_does_not_read_holds_up_its_sender_alone(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    before = resident(mesh.proxy)
    deaf = {"messages": ["deaf", *["x" * 10_000] * 2000], "wait": 1 << 40, "background": True}
    stuck, *found = streams(jobs, mesh, protocol, deaf, *[echoed(*["quick"] * 30)] * 10, seconds=30)
    assert not stuck["ended"]
    assert all(each["echo"] and each["ended"] for each in found)
    assert resident(mesh.proxy) - before < 16 * MIB


def test_a_message_of_brpc_may_be_larger_than_any_frame(jobs: Jobs, mesh: Mesh) -> None:
    (found,) = streams(jobs, mesh, "brpc", {"big": 18 * MIB, "wait": 18 * MIB}, seconds=40)
    assert (found["bytes"], found["echo"]) == (18 * MIB, True)


@both
def test_a_reset_by_the_server_is_the_clients(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    asked = {"messages": ["a", "reset"], "wait": 1 << 40}
    reset, other = streams(jobs, mesh, protocol, asked, echoed("b"))
    assert (reset["ended"], reset["reset"]) == (True, True)
    assert (other["echo"], other["ended"], other["reset"]) == (True, True, False)


@both
def test_a_stream_that_the_proxy_refuses_is_refused(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    port = mesh.ports[f"{protocol}-denied"]
    results = jobs.run(protocol=protocol, port=port, streams=[echoed("a")], seconds=5)
    assert results[0]["value"]["refused"]


@both
def test_a_client_that_leaves_ends_its_streams_at_the_server(protocol: str, jobs: Jobs, mesh: Mesh) -> None:
    before = mesh.proxy.outcomes().get("downstream_gone", 0)
    asked = {"messages": ["pour 3000 10000 "], "wait": 50_000}
    streams(jobs, mesh, protocol, *[asked] * 5, leave=True)
    assert eventually(lambda: mesh.proxy.outcomes().get("downstream_gone", 0) == before + 5)
    (found,) = streams(jobs, mesh, protocol, echoed("after"))
    assert (found["echo"], found["ended"]) == (True, True)


@both
def test_a_server_that_dies_resets_its_streams_and_the_next_are_refused(
    protocol: str, jobs: Jobs, start_here: Start, proxy: Callable[..., Proxy]
) -> None:
    port, front = free_port(), free_port()
    server = start_here(rpc_peers.stream_server(protocol, port))
    config = {
        "listeners": [listener("front", front, protocol, [{"cluster": "mortal"}])],
        "clusters": [cluster("mortal", port, connect_timeout="1s")],
    }
    running = proxy(config)
    asked = [{"messages": ["a"], "wait": 1 << 40}, {"messages": ["b", "die"], "wait": 1 << 40}]
    dead = [each["value"] for each in jobs.run(protocol=protocol, port=front, streams=asked, seconds=5)]
    assert [(each["ended"], each["reset"]) for each in dead] == [(True, True)] * 2
    eventually(lambda: not server.running)
    (after,) = jobs.run(protocol=protocol, port=front, streams=[echoed("a")], seconds=5)
    assert after["value"]["refused"]
    assert running.outcomes() == {"reset": 2, "connect": 1}
