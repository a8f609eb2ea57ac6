"""
Long bodies and slow peers between real clients and servers of both versions of HTTP.

Lives here: gigabytes in little memory beside slow readers, a slow stream among a hundred, bodies that break off, what
is under way when a listener leaves. Does not: messages that are short (test_http.py), WebSockets (test_websocket.py).

HTTP_STREAM=4294967296 has the long bodies be of 4 GiB: `make soak` does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import http_peers
import pytest
from catalogue import Start
from h1_client import H1Client
from h1_origin import Origin
from http_peers import Curl, curl
from proxied import Proxy, cluster, listener
from running import eventually, free_port

peer = pytest.mark.peer
pytestmark = peer("nginx", "nghttpd", "curl", "h2")

Proxies = Callable[..., Proxy]
HTTP2 = {"name": "http", "version": 2}
LONG = int(os.environ.get("HTTP_STREAM", 512 << 20))
"""Bytes of a long body."""
MIB = 1 << 20
WITHIN = 64 * MIB
"""Bytes that the proxy may take above what it had before."""
HOW = {1: "--http1.1", 2: "--http2-prior-knowledge"}
versions = pytest.mark.parametrize("client", [1, 2], ids=["1.1", "2"])

BROKEN = {
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n" + b"x" * 50_000,
    "/no-last-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n",
    "/half-a-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n50\r\nhello",
    "/no-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\nhi\r\n",
}


class Mesh(NamedTuple):
    """port: requests name their cluster in x-to; files: what nginx has, `long` of LONG bytes among them."""

    proxy: Proxy
    port: int
    files: Path
    origin: Origin


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Proxies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("http")
    (directory / "files").mkdir()
    for name, size in (("long", LONG), ("cross", 64 * MIB), ("some", 60_000), ("short", 10)):
        with (directory / "files" / name).open("wb") as file:
            file.truncate(size)  # holes: it takes no place
    (directory / "taken").write_text("taken\n")
    nginx, nginx_h2, nghttpd, h2 = (free_port() for _ in range(4))
    start(http_peers.nginx(directory, h1=nginx, h2c=nginx_h2))
    start(http_peers.nghttpd(directory, nghttpd))
    start(http_peers.h2_server(h2, "window=16384"))  # of 64 KiB that all streams share
    origin = Origin(BROKEN)
    port = free_port()
    clusters = [
        cluster("nginx-1", nginx),
        cluster("nginx-2", nginx_h2, protocol=HTTP2),
        cluster("sink-1", origin.port),
        cluster("sink-2", nghttpd, protocol=HTTP2),
        cluster("h2", h2, protocol=HTTP2),
    ]
    routes = [{"match": {"x-to": each["name"]}, "cluster": each["name"]} for each in clusters]
    running = shared_proxy({"listeners": [listener("web", port, "http", routes)], "clusters": clusters})
    mesh = Mesh(running, port, directory / "files", origin)
    for client in HOW:
        for server in (1, 2):
            assert get(mesh, client, f"nginx-{server}", "/files/short").status == 200
    yield mesh
    origin.close()


def get(mesh: Mesh, client: int, to: str, path: str, *more: str) -> Curl:
    return curl(HOW[client], "-H", f"x-to: {to}", *more, f"http://127.0.0.1:{mesh.port}{path}", seconds=300, keep=False)


@contextmanager
def slow_readers(mesh: Mesh) -> Iterator[None]:
    """One of each version, of servers of each version, that take 100 KiB a second of a long body while it lasts."""
    url = f"http://127.0.0.1:{mesh.port}/files/long"
    fixed = ["curl", "-q", "-s", "--noproxy", "*", "-o", "/dev/null", "--limit-rate", "100k"]
    readers = [
        subprocess.Popen([*fixed, how, "-H", f"x-to: nginx-{server}", url]) for how in HOW.values() for server in (1, 2)
    ]
    try:
        yield
        assert [reader.poll() for reader in readers] == [None] * 4, "a slow reader ended before its time"
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()


@contextmanager
def in_little_memory(mesh: Mesh) -> Iterator[None]:
    mesh.proxy.forget_peak()
    base = mesh.proxy.memory()
    yield
    taken = mesh.proxy.peak() - base
    assert taken < WITHIN, f"{taken / MIB:.1f} MiB"


PAIRS = [(1, 1, "long"), (2, 2, "long"), (1, 2, "cross"), (2, 1, "cross")]
pairs = pytest.mark.parametrize(
    ("client", "server", "name"), PAIRS, ids=["1.1 to 1.1", "2 to 2", "1.1 to 2", "2 to 1.1"]
)


@pairs
def test_a_long_answer_beside_slow_readers_takes_little_memory(client: int, server: int, name: str, mesh: Mesh) -> None:
    size = (mesh.files / name).stat().st_size
    with slow_readers(mesh), in_little_memory(mesh):
        got = get(mesh, client, f"nginx-{server}", f"/files/{name}")
    assert (got.exit, got.status, got.facts["size_download"]) == (0, 200, size), got.error


@pairs
def test_a_long_request_beside_slow_readers_takes_little_memory(
    client: int, server: int, name: str, mesh: Mesh
) -> None:
    size = (mesh.files / name).stat().st_size
    upload = ["-X", "POST", "-H", "Expect:", "-T", str(mesh.files / name)]
    with slow_readers(mesh), in_little_memory(mesh):
        put = get(mesh, client, f"sink-{server}", "/taken", *upload)
    assert (put.exit, put.status, put.facts["size_upload"]) == (0, 200, size), put.error
    if server == 1:
        assert mesh.origin.seen[-1].size == size


@versions
def test_a_server_that_takes_nothing_holds_its_client_back(client: int, mesh: Mesh) -> None:
    with in_little_memory(mesh):
        stuck = get(mesh, client, "h2", "/deaf", "-H", "Expect:", "-T", str(mesh.files / "long"), "-m", "1")
    assert stuck.exit == 28
    assert stuck.facts["size_upload"] < 32 * MIB


# Slow streams among others


@pytest.mark.parametrize("to", ["nginx-1", "nginx-2"])
def test_one_slow_reader_of_a_hundred_streams_slows_no_other(to: str, mesh: Mesh) -> None:
    from h2_client import H2Client

    with H2Client(mesh.port, credit=False) as client:
        client.h2.increment_flow_control_window(1 << 26)
        client.flush()
        slow = client.open("/files/cross", headers=[("x-to", to)])
        client.body(slow, 65_535)
        for _ in range(3):
            others = [client.open("/files/some", headers=[("x-to", to)]) for _ in range(99)]
            assert {len(client.answer(other).body) for other in others} == {60_000}
        assert len(client.seen(slow).body) == 65_535
        client.credit(slow, 65_535)
        assert len(client.body(slow, 131_070).body) == 131_070


def test_one_request_of_a_hundred_that_its_server_does_not_take_slows_no_other(mesh: Mesh) -> None:
    from h2_client import H2Client

    with H2Client(mesh.port) as client:
        deaf = client.open("/deaf", "POST", headers=[("x-to", "h2")], end=False)
        client.send(deaf, bytes(65_536))
        others = [client.open("/sink", "POST", headers=[("x-to", "h2")], end=False) for _ in range(99)]
        for other in others:
            client.send(other, bytes(10_000), end=True)
        assert {client.answer(other).status for other in others} == {200}
        assert not client.seen(deaf).ended


# Bodies that break off


@versions
@pytest.mark.parametrize("path", BROKEN)
def test_a_body_that_breaks_off_at_the_server_does_so_at_the_client(client: int, path: str, mesh: Mesh) -> None:
    got = get(mesh, client, "sink-1", path)
    assert got.exit in (18, 56, 92) or got.status == 502
    assert get(mesh, client, "nginx-1", "/files/short").status == 200


def active(running: Proxy) -> float:
    """Streams that have not ended."""
    return sum(float(value) for name, value in running.stats().items() if name.startswith("metaproxy_streams_active{"))


def test_clients_that_leave_within_a_body_leave_no_stream_behind(mesh: Mesh) -> None:
    from h2_client import H2Client

    before = active(mesh.proxy)
    with slow_readers(mesh), H2Client(mesh.port, credit=False) as client:
        client.body(client.open("/files/long", headers=[("x-to", "nginx-2")]), 65_535)
        assert eventually(lambda: active(mesh.proxy) == before + 5)
    assert eventually(lambda: active(mesh.proxy) == before)


def test_clients_that_reset_at_random_leave_nothing_behind_and_harm_no_other(mesh: Mesh) -> None:
    streams, before = active(mesh.proxy), mesh.proxy.outcomes().get("bad_response", 0)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(reset_at_random, mesh.port, seed) for seed in range(4)]:
            done.result()
    assert eventually(lambda: active(mesh.proxy) == streams)
    assert mesh.proxy.outcomes().get("bad_response", 0) == before
    for server in (1, 2):
        assert get(mesh, 2, f"nginx-{server}", "/files/short").status == 200


def reset_at_random(port: int, seed: int) -> None:
    from h2_client import H2Client

    chance = Random(seed)
    for _ in range(5):
        with H2Client(port) as client:
            streams: list[int] = []
            for _ in range(90):
                name = chance.choice(["some", "cross", "short"])
                streams.append(client.open(f"/files/{name}", headers=[("x-to", chance.choice(["nginx-1", "nginx-2"]))]))
                if chance.random() < 0.4:
                    client.reset(streams.pop(chance.randrange(len(streams))))
            if chance.random() < 0.5:
                client.ping()


# What is under way when a listener leaves


@pytest.fixture
def leaving(start_here: Start, proxy: Proxies, tmp_path: Path) -> tuple[Proxy, int, int]:
    """A proxy, a port of it that leads to nginx, and one that leads to a server on h2."""
    ports = free_port(), free_port()
    nginx, h2 = free_port(), free_port()
    start_here(http_peers.nginx(tmp_path, h1=nginx))
    start_here(http_peers.h2_server(h2))
    with (tmp_path / "files" / "some").open("wb") as file:
        file.truncate(20 * MIB)
    more: dict[str, Any] = {"drain_timeout": "10s"}
    running = proxy(
        {
            "listeners": [
                listener("files", ports[0], "http", [{"cluster": "nginx"}], **more),
                listener("slow", ports[1], "http", [{"cluster": "h2"}], **more),
            ],
            "clusters": [cluster("nginx", nginx), cluster("h2", h2, protocol=HTTP2)],
        }
    )
    return running, *ports


@versions
def test_a_body_that_is_under_way_when_its_listener_leaves_comes_whole(
    client: int, leaving: tuple[Proxy, int, int]
) -> None:
    running, port, _ = leaving
    fixed = ["curl", "-q", "-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{size_download} %{exitcode}"]
    url = f"http://127.0.0.1:{port}/files/some"
    reader = subprocess.Popen([*fixed, "--limit-rate", "15M", HOW[client], url], stdout=subprocess.PIPE, text=True)
    assert eventually(lambda: running.stats()['metaproxy_listener_requests_total{listener="files",protocol="http"}'])
    running.write({"listeners": [], "clusters": []})
    running.admin("/reload", "POST")
    assert eventually(lambda: curl(HOW[client], f"http://127.0.0.1:{port}/files/some", keep=False).exit == 7)
    assert reader.communicate()[0] == f"{20 * MIB} 0"


def test_an_answer_that_is_under_way_when_its_listener_leaves_is_the_last(leaving: tuple[Proxy, int, int]) -> None:
    running, _, port = leaving
    with H1Client(port) as busy, H1Client(port) as idle:
        assert idle.get("/status/204").status == 204
        busy.send(b"GET /slow/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert eventually(
            lambda: running.stats()['metaproxy_listener_requests_total{listener="slow",protocol="http"}'] == 2
        )
        running.write({"listeners": [], "clusters": []})
        running.admin("/reload", "POST")
        assert idle.ended()
        answer = busy.answer()
        assert (answer.status, answer.body, answer.last, busy.ended()) == (200, b"slept", True, True)
