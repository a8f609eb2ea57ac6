"""Streams of HTTP/2 through the proxy: h2, curl, h2load and WebSockets at one end, h2 and nginx at the other."""

from __future__ import annotations

import json
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import http_peers
import pytest
from authority import Authority
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import eventually, free_port

peer = pytest.mark.peer

MakeProxy = Callable[[Mapping[str, Any]], Proxy]
HTTP2 = {"name": "http", "version": 2}


@pytest.fixture
def through(start_here: Start, proxy: MakeProxy) -> Callable[..., tuple[int, Proxy]]:
    """A proxy before a server on h2: its port, and itself."""

    def make(*options: str, **listens: Any) -> tuple[int, Proxy]:
        port, back = free_port(), free_port()
        start_here(http_peers.h2_server(back, *options))
        running = proxy(
            {
                "listeners": [listener("web", port, "http", [{"cluster": "back"}], **listens)],
                "clusters": [cluster("back", back, protocol=HTTP2)],
            }
        )
        return port, running

    return make


Through = Callable[..., tuple[int, Proxy]]


@peer("h2")
def test_what_a_server_does_is_what_its_client_sees(through: Through) -> None:
    from h2_client import H2Client

    port, running = through("connect=1")
    with H2Client(port) as client:
        sink = client.open("/sink", "POST", end=False)
        client.send(sink, b"x" * 300_000)
        client.trailers(sink, [("x-sum", "1")])
        seen = json.loads(client.answer(sink).body)
        assert (seen["bytes"], seen["crc32"]) == (300_000, zlib.crc32(b"x" * 300_000))
        assert seen["trailers"] == [["x-sum", "1"]]
        trailers = client.answer(client.open("/trailers"))
        assert (bytes(trailers.body), trailers.trailers) == (b"body", [("x-end", "yes")])
        hints = client.answer(client.open("/hints"))
        assert (dict(hints.interim[0])[":status"], bytes(hints.body)) == ("103", b"after hints")
        cut = client.answer(client.open("/cut/100000"))
        assert (len(cut.body) <= 100_000, cut.reset) == (True, 2)
        assert client.answer(client.open("/status/503")).status == 503
        tunnel = client.open("/chat", "CONNECT", end=False, protocol="websocket")
        assert client.head(tunnel).status == 200
        client.send(tunnel, b"through")
        assert client.body(tunnel, 7).body == b"through"
        client.send(tunnel, b"", end=True)
        client.answer(tunnel)
        client.ping()
    eventually(lambda: running.outcomes().get("ok", 0) >= 4)
    assert running.outcomes()["ok"] >= 4


@peer("h2")
def test_a_stream_that_nobody_reads_slows_no_other(through: Through) -> None:
    from h2_client import H2Client

    port, _ = through()
    with H2Client(port, credit=False) as client:
        client.h2.increment_flow_control_window(1 << 24)
        client.flush()
        slow = client.open("/bytes/2000000")
        client.body(slow, 65_535)
        for _ in range(50):
            other = client.open("/bytes/1000")
            assert len(client.answer(other).body) == 1000
        assert len(client.seen(slow).body) == 65_535
        while not client.seen(slow).ended:
            if due := client.seen(slow).uncredited:
                client.credit(slow, due)
            else:
                client.body(slow, len(client.seen(slow).body) + 1)
        assert len(client.answer(slow).body) == 2_000_000


@peer("h2")
def test_a_body_that_the_server_does_not_take_stops_its_client(through: Through) -> None:
    from h2_client import H2Client, Late

    port, _ = through()
    with H2Client(port) as client:
        deaf = client.open("/deaf", "POST", end=False)
        with pytest.raises(Late):
            client.send(deaf, b"x" * 10_000_000)
        sent = 10_000_000
        client.reset(deaf)
        del sent
        assert client.answer(client.open("/bytes/10")).status == 200


@peer("h2")
def test_what_a_client_resets_is_reset_towards_the_server(start_here: Start, proxy: MakeProxy) -> None:
    from h2_client import H2Client

    port, back = free_port(), free_port()
    server = start_here(http_peers.h2_server(back))
    proxy(
        {
            "listeners": [listener("web", port, "http", [{"cluster": "back"}])],
            "clusters": [cluster("back", back, protocol=HTTP2)],
        }
    )
    with H2Client(port) as client:
        stream = client.open("/hang")
        assert eventually(lambda: "request" in server.text())
        client.reset(stream)
        assert eventually(lambda: "reset 1 8" in server.text()), server.text()


@peer("h2")
@pytest.mark.parametrize("path", ["/refused", "/reset/7"])
def test_what_a_server_certainly_did_not_do_is_tried_again(path: str, start_here: Start, proxy: MakeProxy) -> None:
    from h2_client import H2Client

    port, bad, good = free_port(), free_port(), free_port()
    start_here(http_peers.h2_server(bad))
    start_here(http_peers.h2_server(good))
    rewrite = {"set": {"path": path}}
    routes = [
        {"match": {"x-first": "1"}, "cluster": "bad", "request": rewrite},
        {"cluster": "bad", "request": rewrite, "retry": {"attempts": 1, "on": ["connect"]}},
    ]
    running = proxy(
        {"listeners": [listener("web", port, "http", routes)], "clusters": [cluster("bad", bad, protocol=HTTP2)]}
    )
    with H2Client(port) as client:
        assert client.answer(client.open("/x", headers=[("x-first", "1")])).status in (502, 503)
        client.answer(client.open("/x"))
    retries = [value for name, value in running.stats().items() if name.startswith("metaproxy_exchange_retries_total")]
    assert sum(retries) >= 1, running.stats()


@peer("nginx", "h2load")
def test_no_request_is_lost_where_a_server_ends_its_connections_by_goaway(
    start_here: Start, proxy: MakeProxy, tmp_path: Path
) -> None:
    port, back = free_port(), free_port()
    command = http_peers.nginx(tmp_path, h2c=back)
    file = tmp_path / "nginx.conf"
    file.write_text(file.read_text().replace("keepalive_requests 1000000", "keepalive_requests 20"))
    start_here(command)
    running = proxy(
        {
            "listeners": [listener("web", port, "http", [{"cluster": "back"}])],
            "clusters": [cluster("back", back, protocol=HTTP2)],
        }
    )
    load = http_peers.h2load(f"http://127.0.0.1:{port}/echo", 1000, 4, 10)  # more at a time than 20
    assert (load.done, load.failed, load.statuses["2xx"]) == (1000, 0, 1000), running.outcomes()


@peer("nginx", "h2load", "curl")
@pytest.mark.parametrize("version", [1, 2])
def test_curl_and_h2load_are_answered_in_each_version(
    version: int, start_here: Start, proxy: MakeProxy, tmp_path: Path
) -> None:
    port, back = free_port(), free_port()
    start_here(http_peers.nginx(tmp_path, h1=back) if version == 1 else http_peers.nginx(tmp_path, h2c=back))
    proxy(
        {
            "listeners": [
                listener("web", port, "http", [{"cluster": "back"}], access_log=[{"file": str(tmp_path / "a.log")}])
            ],
            "clusters": [cluster("back", back, protocol={"name": "http", "version": version})],
        }
    )
    url = f"http://127.0.0.1:{port}"
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 20_000)
    for how, spoken in (("--http1.1", "1.1"), ("--http2", "2"), ("--http2-prior-knowledge", "2")):
        answer = http_peers.curl(how, f"{url}/echo")
        assert (answer.status, answer.version) == (200, spoken), (how, answer)
        assert b"via=" in answer.body
        # curl does not ask for an Upgrade with a body.
        put = http_peers.curl("--http1.1" if how == "--http2" else how, "-T", str(big), f"{url}/files/{spoken}")
        assert put.status in (201, 204), put
        got = http_peers.curl(how, f"{url}/files/{spoken}")
        assert (got.exit, got.error, len(got.body)) == (0, "", big.stat().st_size)
        assert got.body == big.read_bytes()
        assert http_peers.curl(how, "-I", f"{url}/files/{spoken}").headers["content-length"] == str(big.stat().st_size)
    load = http_peers.h2load(f"{url}/echo", 1000, 2, 10)
    assert (load.done, load.failed, load.statuses["2xx"]) == (1000, 0, 1000)


@peer("h2", "curl")
def test_alpn_decides_which_version_a_client_speaks(start_here: Start, proxy: MakeProxy, tmp_path: Path) -> None:
    from h2_client import H2Client

    authority = Authority(tmp_path)
    issued = authority.issue("server", "localhost", "127.0.0.1")
    port, back = free_port(), free_port()
    start_here(http_peers.h2_server(back, issued=issued))
    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    upstream = {"ca": str(authority.ca), "server_name": "localhost"}
    proxy(
        {
            "listeners": [listener("web", port, "http", [{"cluster": "back"}], tls=tls)],
            "clusters": [cluster("back", back, protocol=HTTP2, tls=upstream)],
        }
    )
    for how, spoken in (("--http1.1", "1.1"), ("--http2", "2")):
        answer = http_peers.curl(how, "--cacert", str(authority.ca), f"https://127.0.0.1:{port}/bytes/10")
        assert (answer.status, answer.version, len(answer.body)) == (200, spoken, 10), answer
    with H2Client(port, tls=ssl.create_default_context(cafile=str(authority.ca))) as client:
        assert client.answer(client.open("/status/204")).status == 204


@peer("h2", "websockets")
def test_a_websocket_over_http_2_reaches_a_server_of_http_1(start_here: Start, proxy: MakeProxy) -> None:
    from h2_client import H2Client

    port, back = free_port(), free_port()
    start_here(http_peers.websocket_server("websockets", back))
    proxy(
        {
            "listeners": [listener("web", port, "http", [{"cluster": "back"}])],
            "clusters": [cluster("back", back, protocol="http")],
        }
    )
    with H2Client(port) as client:
        chat = client.open("/echo", "CONNECT", [("sec-websocket-version", "13")], end=False, protocol="websocket")
        assert client.head(chat).status == 200
        client.send(chat, b"\x81\x85\0\0\0\0hello")  # a text message under a mask of zeros
        assert bytes(client.body(chat, 7).body) == b"\x81\x05hello"
        client.send(chat, b"\x88\x82\0\0\0\0\x03\xe8")  # close, 1000
        assert bytes(client.body(chat, 11).body[7:]) == b"\x88\x02\x03\xe8"


@peer("h2")
def test_a_proxy_that_drains_says_so_and_finishes_what_is_under_way(through: Through) -> None:
    from h2_client import H2Client

    port, running = through(drain_timeout="5s")
    with H2Client(port) as client:
        assert client.answer(client.open("/status/204")).status == 204
        slow = client.open("/slow/1000")
        client.ping()
        running.write({"listeners": [], "clusters": []})
        running.admin("/reload", "POST")
        # The library takes a GOAWAY for the end of all streams, so what follows is read as it is.
        frames = raw_frames(client.socket)
    kinds = [(kind, stream) for kind, stream, _ in frames]
    assert kinds[0] == (7, 0)
    assert frames[0][2][:8] == slow.to_bytes(4, "big") + bytes(4)
    assert (1, slow) in kinds


def raw_frames(connection: socket.socket) -> list[tuple[int, int, bytes]]:
    """Type, stream and payload of all frames until the connection ends."""
    connection.settimeout(10)
    data = b""
    while piece := connection.recv(65536):
        data += piece
    frames = []
    while data:
        size = int.from_bytes(data[:3], "big")
        frames.append((data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return frames
