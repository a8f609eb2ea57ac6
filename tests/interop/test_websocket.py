"""
WebSockets through the proxy: `websockets` and `ws` at both ends, over HTTP/1.1 and HTTP/2 on either side.

Lives here: messages, fragments, pings, close codes, floods both ways, handshakes that fail, RFC 8441. Does not: frames
of WebSocket, which the proxy does not look at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import catalogue
import http_peers
import pytest
from authority import Authority
from catalogue import Clients, Start
from h1_client import H1Client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

peer = pytest.mark.peer

Proxies = Callable[..., Proxy]
PAIRS = [(client, server) for client in http_peers.WEBSOCKET_PEERS for server in http_peers.WEBSOCKET_PEERS]
pairs = pytest.mark.parametrize(
    ("client", "server"), [pytest.param(*pair, marks=peer(*pair), id="-".join(pair)) for pair in PAIRS]
)
FLOOD = int(os.environ.get("HTTP_FLOOD", 1 << 30))
"""Bytes of a flood."""


class Mesh:
    """A server of each peer; a listener for each, in clear text and in TLS, which leads to it by way of HTTP/1.1."""

    def __init__(self, start: Start, proxy: Proxies, authority: Authority) -> None:
        self.ca = str(authority.ca)
        servers = {name: free_port() for name in http_peers.WEBSOCKET_PEERS if not catalogue.missing(name)}
        for name, port in servers.items():
            start(http_peers.websocket_server(name, port))
        self.ports = {name: free_port() for name in servers}
        self.tls = {name: free_port() for name in servers}
        self.twice = {name: free_port() for name in servers}
        inner = free_port()
        issued = authority.issue("proxy", "localhost", "127.0.0.1")
        tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
        chat = {"match": {"upgrade": "websocket"}}
        self.proxy = proxy(
            {
                "listeners": [
                    *(listener(name, port, "http", [{**chat, "cluster": name}]) for name, port in self.ports.items()),
                    *(
                        listener(f"{name}-tls", port, "http", [{**chat, "cluster": name}], tls=tls)
                        for name, port in self.tls.items()
                    ),
                    # HTTP/1.1 -> HTTP/2 -> HTTP/1.1: what is between the two is RFC 8441.
                    *(
                        listener(
                            f"{name}-twice",
                            port,
                            "http",
                            [{**chat, "cluster": "inner", "request": {"set": {"x-to": name}}}],
                        )
                        for name, port in self.twice.items()
                    ),
                    listener(
                        "inner",
                        inner,
                        {"name": "http", "http1": False},
                        [{"match": {"upgrade": "websocket", "x-to": name}, "cluster": name} for name in servers],
                    ),
                ],
                "clusters": [
                    *(cluster(name, port) for name, port in servers.items()),
                    cluster("inner", inner, protocol={"name": "http", "version": 2}),
                ],
            }
        )


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Proxies, tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    return Mesh(start, shared_proxy, Authority(tmp_path_factory.mktemp("pki")))


WAYS = ("ports", "tls", "twice")
ways = pytest.mark.parametrize("way", WAYS, ids=["HTTP/1.1", "TLS", "HTTP/2 between"])


def job(mesh: Mesh, way: str, server: str, path: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    secure = {"ca": mesh.ca} if way == "tls" else {}
    return {"port": getattr(mesh, way)[server], "path": path, "steps": list(steps), **secure, **more}


def values(results: list[dict[str, Any]]) -> list[Any]:
    return [each["value"] if "value" in each else each["error"]["class"] for each in results]


@pairs
@ways
def test_messages_fragments_and_pings_pass_both_ways(
    way: str, client: str, server: str, clients: Clients, mesh: Mesh
) -> None:
    steps: list[dict[str, Any]] = [
        {"do": "subprotocol"},
        {"do": "send", "text": "gr\u00fc\u00df"},
        {"do": "receive"},
        {"do": "send", "bytes": "\x00\xff"},
        {"do": "receive"},
        {"do": "fragments", "texts": ["one ", "two ", "three"]},
        {"do": "receive"},
        {"do": "ping"},
    ]
    jobs = clients(http_peers.websocket_client(client))
    results = jobs.run(**job(mesh, way, server, "/echo", *steps, subprotocols=["other", "chat"]))
    assert values(results) == [
        "chat", None, "gr\u00fc\u00df", None, {"bytes": "\x00\xff"}, None, "one two three", True
    ]  # fmt: skip
    asked = jobs.run(**job(mesh, way, server, "/ping", {"do": "receive"}))
    assert values(asked) == ["pong"]
    cut = jobs.run(**job(mesh, way, server, "/fragments?text=abcdefg&n=3", {"do": "receive"}))
    assert values(cut) == ["abcdefg"]


@pairs
@ways
def test_codes_of_a_close_pass_both_ways(way: str, client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    jobs = clients(http_peers.websocket_client(client))
    by_server = jobs.run(**job(mesh, way, server, "/close?code=4002&reason=bye", {"do": "closed"}))
    assert values(by_server) == [{"code": 4002, "reason": "bye"}]
    close: list[dict[str, Any]] = [
        {"do": "close", "code": 4001, "reason": "enough"},
        {"do": "closed"},
        {"do": "send", "text": "too late"},
    ]
    by_client = values(jobs.run(**job(mesh, way, server, "/echo", *close)))
    assert by_client[:2] == [None, {"code": 4001, "reason": "enough"}]
    assert by_client[2].startswith("ConnectionClosed")


@pairs
def test_compression_is_between_the_peers(client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    steps: list[dict[str, Any]] = [{"do": "extensions"}, {"do": "send", "text": "a" * 5000}, {"do": "receive"}]
    jobs = clients(http_peers.websocket_client(client))
    results = jobs.run(**job(mesh, "ports", server, "/echo", *steps, compression=True))
    assert values(results) == [["permessage-deflate"], None, "a" * 5000]


@pairs
def test_a_server_sees_the_handshake_and_who_passed_it_on(
    client: str, server: str, clients: Clients, mesh: Mesh
) -> None:
    jobs = clients(http_peers.websocket_client(client))
    (head,) = values(jobs.run(**job(mesh, "ports", server, "/headers", {"do": "receive"}, headers={"X-Tenant": "t1"})))
    fields = {name.lower(): value for name, value in json.loads(head)}
    assert (fields["x-tenant"], fields["x-forwarded-for"], fields["via"]) == ("t1", "127.0.0.1", "1.1 metaproxy")
    assert (fields["upgrade"].lower(), fields["connection"].lower()) == ("websocket", "upgrade")


@pairs
@ways
def test_a_handshake_that_a_server_refuses_is_refused(
    way: str, client: str, server: str, clients: Clients, mesh: Mesh
) -> None:
    jobs = clients(http_peers.websocket_client(client))
    (refused,) = jobs.run(**job(mesh, way, server, "/nowhere", {"do": "receive"}))
    assert "404" in str(refused["error"])


@pairs
@pytest.mark.parametrize("way", ["ports", "twice"], ids=["HTTP/1.1", "HTTP/2 between"])
@pytest.mark.parametrize("whole", [False, True], ids=["many messages", "one message"])
def test_a_flood_passes_in_each_direction(
    whole: bool, way: str, client: str, server: str, clients: Clients, mesh: Mesh
) -> None:
    jobs = clients(http_peers.websocket_client(client))
    size, chunk = 20_000_000, 65_536
    fill = {"do": "fill", "bytes": size, "chunk": chunk, "whole": whole}
    filled, _, counted = values(
        jobs.run(**job(mesh, way, server, "/sink", fill, {"do": "send", "text": "end"}, {"do": "receive"}))
    )
    expected = {"bytes": size, "messages": 1 if whole else -(-size // chunk), "crc32": filled}
    assert json.loads(counted) == expected
    path = f"/source?bytes={size}&chunk={chunk}{'&whole=1' if whole else ''}"
    assert jobs.run(**job(mesh, way, server, path, {"do": "drain", "bytes": size})) == [{"value": expected}]


@peer("websockets")
@pytest.mark.parametrize("down", [False, True], ids=["to the server", "to the client"])
def test_a_gigabyte_takes_no_memory_of_the_proxy(down: bool, clients: Clients, mesh: Mesh) -> None:
    jobs, chunk = clients(http_peers.websocket_client("websockets")), 1 << 20
    mesh.proxy.forget_peak()
    base = mesh.proxy.memory()
    if down:
        drain = {"do": "drain", "bytes": FLOOD}
        (counted,) = values(jobs.run(**job(mesh, "ports", "websockets", f"/source?bytes={FLOOD}&chunk={chunk}", drain)))
    else:
        steps: list[dict[str, Any]] = [
            {"do": "fill", "bytes": FLOOD, "chunk": chunk},
            {"do": "send", "text": "end"},
            {"do": "receive"},
        ]
        counted = json.loads(values(jobs.run(**job(mesh, "ports", "websockets", "/sink", *steps)))[2])
    assert (counted["bytes"], counted["messages"]) == (FLOOD, FLOOD // chunk)
    assert mesh.proxy.peak() - base < 64 << 20


@peer("ws", "websockets")
def test_tunnels_are_counted_and_end_with_their_clients(clients: Clients, mesh: Mesh) -> None:
    jobs = clients(http_peers.websocket_client("ws"))
    before = mesh.proxy.outcomes().get("ok", 0)
    jobs.run(**job(mesh, "ports", "ws", "/echo", {"do": "send", "text": "hi"}, {"do": "receive"}, {"do": "close"}))
    assert eventually(lambda: mesh.proxy.outcomes().get("ok", 0) > before)


# RFC 8441, with peers that speak HTTP/2 themselves


@peer("h2", "ws", "websockets")
@pytest.mark.parametrize("server", http_peers.WEBSOCKET_PEERS)
def test_a_client_of_http_2_reaches_servers_of_http_1(server: str, mesh: Mesh) -> None:
    from h2_client import H2Client

    with H2Client(mesh.ports[server]) as client:
        chat = client.open(
            "/echo",
            "CONNECT",
            [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")],
            end=False,
            protocol="websocket",
        )
        head = client.head(chat)
        assert head.status == 200
        assert dict(head.headers)["sec-websocket-protocol"] == "chat"
        client.send(chat, b"\x81\x85\0\0\0\0hello")  # a text message under a mask of zeros
        assert bytes(client.body(chat, 7).body) == b"\x81\x05hello"
        client.send(chat, b"\x89\x82\0\0\0\0hi")
        assert bytes(client.body(chat, 11).body[7:]) == b"\x8a\x02hi"
        client.send(chat, b"\x88\x82\0\0\0\0\x0f\xa1")
        assert bytes(client.body(chat, 15).body[11:]) == b"\x88\x02\x0f\xa1"
        assert client.answer(chat).reset in (None, 0)
        refused = client.open("/nowhere", "CONNECT", [("sec-websocket-version", "13")], end=False, protocol="websocket")
        assert client.head(refused).status == 404
        other = client.open("/echo", "CONNECT", end=False, protocol="connect-udp")
        assert client.head(other).status == 501


@peer("h2", "ws")
def test_a_client_of_http_1_reaches_a_server_of_http_2(clients: Clients, start_here: Start, proxy: Proxies) -> None:
    port, back = free_port(), free_port()
    server = start_here(http_peers.h2_server(back, "connect=1"))
    proxy(
        {
            "listeners": [listener("web", port, "http", [{"cluster": "back"}])],
            "clusters": [cluster("back", back, protocol={"name": "http", "version": 2})],
        }
    )
    # The server knows no frames of WebSocket: the handshake is what the client looks at, key and all.
    jobs = clients(http_peers.websocket_client("ws"))
    assert values(jobs.run(port=port, path="/echo", steps=[{"do": "subprotocol"}])) == [None]
    with H1Client(port) as client:
        opened = client.get(
            "/chat",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        assert opened.status == 101
        assert opened.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        client.send(b"through")
        assert client.read(7) == b"through"
    assert '[":protocol", "websocket"]' in server.text()
    assert "sec-websocket-key" not in server.text()
