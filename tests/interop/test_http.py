"""
HTTP between real clients and servers of both versions, with routes and filters between.

Lives here: each version with each other, what messages keep on their way, routes, filters and bounds as clients see
them. Does not: long bodies and slow readers (test_http_streams.py), WebSockets (test_websocket.py), where a message
ends (test_http_table.py), what HTTP/2 alone has (test_http2.py, test_http2_streams.py).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import http_peers
import pytest
from authority import Authority
from catalogue import Start
from h1_client import H1Client
from h1_origin import OK, Origin
from http_peers import Curl, curl
from proxied import Proxy, cluster, listener
from running import eventually, free_port

peer = pytest.mark.peer
pytestmark = peer("nginx", "haproxy", "nghttpd", "curl", "h2")

Proxies = Callable[..., Proxy]
HTTP2 = {"name": "http", "version": 2}
SERVERS = ("nginx", "nginx-h2", "nginx-tls", "nginx-tls-h2", "haproxy", "nghttpd", "h2")
"""The clusters; requests name theirs in x-to, and go to `nginx` without."""

LOCATIONS = """
location /spoken { return 200 "$server_protocol $ssl_protocol $connection $connection_requests\\n"; }
location = /trailers { add_trailer X-Sum 42; ssi on; ssi_types text/plain; alias %s; }
"""

TRAILERS = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
)
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + OK
UNSIZED = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nto the end"
OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 1000\r\n\r\n'


class Mesh(NamedTuple):
    """ports: of the listeners `web`, `tls`, `bounds` and `tunnel`; files: what nginx and nghttpd serve."""

    proxy: Proxy
    ports: dict[str, int]
    nginx: int
    files: Path
    authority: Authority
    origin: Origin
    mirrored: Origin
    flaky: Origin


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Proxies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("http")
    authority = Authority(tmp_path_factory.mktemp("pki"))
    issued = authority.issue("server", "localhost", "127.0.0.1")
    backs = {name: free_port() for name in SERVERS}
    (directory / "files").mkdir()
    (directory / "files" / "a.txt").write_text("a file of nginx")
    (directory / "a.txt").write_text("a file of nghttpd")
    start(
        http_peers.nginx(
            directory,
            h1=backs["nginx"],
            h2c=backs["nginx-h2"],
            tls=backs["nginx-tls"],
            issued=issued,
            locations=LOCATIONS,
        )
    )
    start(http_peers.haproxy(directory, backs["haproxy"]))
    start(http_peers.nghttpd(directory, backs["nghttpd"], "--trailer=x-end: yes"))
    start(http_peers.h2_server(backs["h2"], "connect=1"))
    backs["nginx-tls-h2"] = backs["nginx-tls"]
    sessions = [Origin(default=OK.replace(b"ok\n", b"%d:\n" % number)) for number in (1, 2, 3)]
    origin = Origin(
        {"/trailers": TRAILERS, "/hints": HINTS, "/unsized": UNSIZED, "/same": NOT_MODIFIED, "inside.example:80": OPEN}
    )
    mirrored, flaky = Origin(), Origin({"/retried": b""})
    ports = {name: free_port() for name in ("web", "tls", "bounds", "tunnel")}
    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    routes = {name: {"match": {"x-to": name}, "cluster": name} for name in (*SERVERS, "origin")}
    running = shared_proxy(
        {
            "listeners": [
                listener(
                    "web", ports["web"], "http", [*rules(), *routes.values(), {"cluster": "nginx"}], filters=FILTERS
                ),
                listener("tls", ports["tls"], "http", [rules()[0], *routes.values(), {"cluster": "nginx"}], tls=tls),
                listener("bounds", ports["bounds"], BOUNDS, [{"cluster": "haproxy"}]),
                listener("tunnel", ports["tunnel"], {"name": "http", "connect": True}, [{"cluster": "origin"}]),
            ],
            "clusters": [
                *(server(name, port, authority) for name, port in backs.items()),
                cluster("origin", origin.port),
                cluster("mirrored", mirrored.port),
                cluster("flaky", flaky.port, origin.port, balancer="round_robin"),
                cluster("sessions", *(each.port for each in sessions), balancer="ring_hash"),
            ],
        }
    )
    yield Mesh(running, ports, backs["nginx"], directory / "files", authority, origin, mirrored, flaky)
    for each in (origin, mirrored, flaky, *sessions):
        each.close()


BOUNDS = {
    "name": "http", "max_head": "2KiB", "max_fields": 20, "max_target": 100, "max_body": "1KiB", "head_timeout": "300ms"
}  # fmt: skip
FILTERS: list[dict[str, Any]] = [
    {
        "local_rate_limit": {
            "conditions": [{"match": {"path": {"prefix": "/limited"}}, "limit": 2, "per": "1h", "key": "x-user"}]
        }
    },
    {
        "rbac": {
            "policies": {
                "admins": {
                    "action": "deny",
                    "permissions": [{"path": {"prefix": "/admin"}, "not": {"cookie.role": "root"}}],
                }
            }
        }
    },
    {
        "fault": {
            "faults": [
                {"match": {"path": "/faulty"}, "error": "overload", "percentage": 100},
                {"match": {"path": "/named"}, "error": {"name": "418", "message": "a teapot"}, "percentage": 100},
                {"match": {"path": "/torn"}, "truncate": 10, "percentage": 100},
                {"match": {"path": "/cut"}, "reset": "request", "percentage": 100},
            ]
        }
    },
]


def server(name: str, port: int, authority: Authority) -> dict[str, Any]:
    tls = {"tls": {"ca": str(authority.ca), "server_name": "localhost"}} if "tls" in name else {}
    return cluster(name, port, protocol=HTTP2 if name.endswith("h2") or name == "nghttpd" else "http", **tls)


def rules() -> list[dict[str, Any]]:
    """The routes of what has a path of its own."""
    echo = {"set": {"path": "/echo"}}
    return [
        {
            "match": {"path": {"prefix": "/old/"}},
            "reply": {"name": "301", "set": {"location": "%scheme%://%host%/echo?%query%"}},
        },
        {"match": {"path": "/gone"}, "reply": {"name": "410", "message": "for good"}},
        {"match": {"path": {"prefix": "/closed"}}, "reply": {"error": "not_found"}},
        {
            "match": {"path": {"prefix": "/api/"}},
            "cluster": "nginx",
            "request": {"set": {"path": "/echo", "host": "inside.example"}},
            "response": {"set": {"x-by": "%upstream_address%"}, "remove": ["server"]},
        },
        {"match": {"path": "/version", "query.v": "2"}, "reply": {"name": "200", "message": "two"}},
        {"match": {"path": "/version", "cookie.canary": "1"}, "reply": {"name": "200", "message": "canary"}},
        {"match": {"hostname": "other.example"}, "reply": {"name": "200", "message": "other"}},
        {"match": {"path": "/session"}, "cluster": "sessions", "hash": "cookie.session"},
        {"match": {"path": "/mirrored"}, "cluster": "origin", "mirror": {"cluster": "mirrored"}},
        {
            "match": {"path": {"prefix": "/retried"}},
            "cluster": "flaky",
            "retry": {"attempts": 2, "on": ["connect", "reset"], "backoff": "1ms..2ms"},
        },
        {"match": {"path": "/timed"}, "cluster": "h2", "request": {"set": {"path": "/hang"}}, "timeout": "300ms"},
        *({"match": {"path": path}, "cluster": "nginx", "request": echo} for path in ("/torn", "/limited", "/admin")),
    ]


CLIENTS = {
    "1.1": ["--http1.1"],
    "2": ["--http2-prior-knowledge"],
    "1.1 tls": ["--http1.1"],
    "2 tls": ["--http2"],
}
"""How curl is called for each version; its answers are of that version."""
both = pytest.mark.parametrize("how", [["--http1.1"], ["--http2-prior-knowledge"]], ids=["1.1", "2"])


def web(mesh: Mesh, path: str, *arguments: str, to: str = "") -> Curl:
    """curl, by way of the listener `web`."""
    more = ["-H", f"x-to: {to}"] if to else []
    return curl(*more, *arguments, f"http://127.0.0.1:{mesh.ports['web']}{path}")


# Versions


@pytest.mark.parametrize("to", SERVERS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_of_any_version_is_answered_by_a_server_of_any_version(client: str, to: str, mesh: Mesh) -> None:
    version, _, tls = client.partition(" ")
    url = f"https://127.0.0.1:{mesh.ports['tls']}" if tls else f"http://127.0.0.1:{mesh.ports['web']}"
    path = {"nghttpd": "/a.txt", "h2": "/bytes/5", "haproxy": "/a"}.get(to, "/spoken")
    answer = curl(*CLIENTS[client], "--cacert", str(mesh.authority.ca), "-H", f"x-to: {to}", url + path)
    assert (answer.exit, answer.status, answer.version) == (0, 200, version), answer
    said = {
        "nginx": b"HTTP/1.1  ", "nginx-h2": b"HTTP/2.0  ", "nginx-tls": b"HTTP/1.1 TLSv1.2 ",
        "nginx-tls-h2": b"HTTP/2.0 TLSv1.2 ", "haproxy": b"GET /a body=0\n", "nghttpd": b"a file of nghttpd",
        "h2": bytes(5),
    }  # fmt: skip
    assert answer.body.startswith(said[to])


@pytest.mark.parametrize("to", ["nginx", "nginx-h2", "nginx-tls-h2"])
@both
def test_a_body_comes_back_as_it_went(how: list[str], to: str, mesh: Mesh, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3_000_000))
    name = f"/files/{to}-{how[0]}"
    for more in ([], ["-H", "Transfer-Encoding: chunked"] if how == ["--http1.1"] else ["-H", "Expect:"]):
        put = web(mesh, name, *how, *more, "-T", str(big), to=to)
        assert put.status in (201, 204), put
        assert (mesh.files / name.removeprefix("/files/")).read_bytes() == big.read_bytes()
    got = web(mesh, name, *how, to=to)
    assert (got.exit, got.status, got.body == big.read_bytes()) == (0, 200, True)
    assert got.headers["content-length"] == "3000000"


@peer("nghttpx")
@pytest.mark.parametrize("front", ["nginx", "haproxy", "haproxy-h2", "nghttpx", "nghttpx-h2"])
def test_a_proxy_in_front_is_a_client_as_any(front: str, mesh: Mesh, start_here: Start, tmp_path: Path) -> None:
    port, back = free_port(), mesh.ports["web"]
    h2 = front.endswith("h2")
    if front == "nginx":
        start_here(http_peers.nginx(tmp_path, h1=port, proxy_to=back))
    elif front.startswith("haproxy"):
        start_here(http_peers.haproxy(tmp_path, port, back, to_h2=h2))
    else:
        start_here(http_peers.nghttpx(port, back, to_h2=h2))
    url = f"http://127.0.0.1:{port}{'/proxy' if front == 'nginx' else ''}"
    big = tmp_path / "big"
    big.write_bytes(os.urandom(2_000_000))
    for to in ("nginx", "nginx-h2"):
        name, how = f"/files/{front}-{to}", ["-H", f"x-to: {to}", "-H", "Expect:"]
        assert curl(*how, "-T", str(big), url + name).status in (201, 204)
        assert curl(*how, url + name).body == big.read_bytes()
        assert curl(*how, "-I", url + name).headers["content-length"] == "2000000"
        chunked = curl(*how, "-H", "Transfer-Encoding: chunked", "-T", str(big), url + name)
        assert chunked.status == 204, chunked
        if front != "haproxy-h2":  # whose "HTTP/1.1 200 " h2load can't read
            load = http_peers.h2load(url + "/echo", 300, 2, 10, "--h1", *how[:2])
            assert (load.done, load.failed) == (300, 0), load.text


@peer("wrk", "h2load")
@pytest.mark.parametrize("to", ["nginx", "nginx-h2", "haproxy"])
def test_load_of_either_version_gets_an_answer_for_each_request(to: str, mesh: Mesh) -> None:
    url = f"http://127.0.0.1:{mesh.ports['web']}/echo"
    load = http_peers.wrk(url, 1, 8, "-H", f"x-to: {to}")
    assert load.done > 0
    assert (load.failed, load.statuses["other"]) == (0, 0), load.text
    for more in ([], ["--h1"]):
        load = http_peers.h2load(url, 500, 4, 10, "-H", f"x-to: {to}", *more)
        assert (load.done, load.failed, load.statuses["2xx"]) == (500, 0, 500), load.text


# Connections


def numbered(count: int) -> bytes:
    return b"".join(b"GET /echo?%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % number for number in range(count))


@pytest.mark.parametrize("to", ["nginx", "nginx-h2"])
def test_requests_that_are_sent_in_one_piece_are_answered_in_their_order(to: str, mesh: Mesh) -> None:
    with H1Client(mesh.ports["web"]) as client:
        client.send(numbered(50).replace(b"\r\n\r\n", b"\r\nx-to: %b\r\n\r\n" % to.encode()))
        for number in range(50):
            answer = client.answer()
            assert (answer.status, answer.body.split()[1]) == (200, b"/echo?%d" % number)


def test_an_answer_by_the_proxy_keeps_its_place_among_those_of_servers(mesh: Mesh) -> None:
    with H1Client(mesh.ports["web"]) as client:
        for path in ("/timed", "/gone", "/echo", "/closed"):
            client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert [client.answer().status for _ in range(4)] == [504, 410, 200, 404]


@pytest.mark.parametrize("to", ["nginx", "nginx-tls", "nginx-h2"])
def test_requests_one_after_the_other_share_their_connection_to_the_server(to: str, mesh: Mesh) -> None:
    seen = []
    for _ in range(3):
        with H1Client(mesh.ports["web"]) as client:
            seen += [client.get("/spoken", f"x-to: {to}").body.split()[-2:] for _ in range(3)]
    assert len({connection for connection, _ in seen}) == 1
    counts = [int(count) for _, count in seen]
    assert counts == list(range(counts[0], counts[0] + 9))


def test_a_client_that_wants_its_connection_closed_gets_its_answer_first(mesh: Mesh) -> None:
    with H1Client(mesh.ports["web"]) as client:
        assert not client.get("/echo").last
        assert client.get("/echo", "Connection: close").last
        assert client.ended()
    with H1Client(mesh.ports["web"]) as client:
        client.send(b"GET /echo HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert (answer.status, client.ended()) == (200, True)


# Messages


@both
def test_an_answer_has_its_length_and_no_body_where_there_is_none(how: list[str], mesh: Mesh) -> None:
    head = web(mesh, "/files/a.txt", *how, "-I")
    assert (head.exit, head.status, head.headers["content-length"]) == (0, 200, "15")
    seen = web(mesh, "/files/a.txt", *how, "-H", f"If-None-Match: {head.headers['etag']}")
    assert (seen.exit, seen.status, seen.body) == (0, 304, b"")
    same = web(mesh, "/same", *how, to="origin")
    assert (same.exit, same.status, same.headers["content-length"], same.body) == (0, 304, "1000", b"")
    none = web(mesh, "/status/204", *how)
    assert (none.exit, none.status, none.body) == (0, 204, b"")
    part = web(mesh, "/files/a.txt", *how, "-r", "2-5")
    assert (part.status, part.headers["content-range"], part.body) == (206, "bytes 2-5/15", b"file")


def test_a_connection_goes_on_behind_answers_without_a_body(mesh: Mesh) -> None:
    with H1Client(mesh.ports["web"]) as client:
        assert client.get("/files/a.txt", method="HEAD").fields["content-length"] == "15"
        assert client.get("/status/204").status == 204
        assert client.get("/same", "x-to: origin").status == 304
        assert client.get("/gone", method="HEAD").status == 410
        assert client.get("/files/a.txt").body == b"a file of nginx"


@both
def test_a_body_of_no_length_comes_whole(how: list[str], mesh: Mesh) -> None:
    (mesh.files / "long.txt").write_text("long" * 250_000)
    assert web(mesh, "/chunked/a.txt", *how).body == b"a file of nginx"
    chunked = web(mesh, "/chunked/long.txt", *how)
    assert (chunked.exit, chunked.body) == (0, b"long" * 250_000)
    assert chunked.headers.get("transfer-encoding") == ("chunked" if how == ["--http1.1"] else None)
    until_close = web(mesh, "/unsized", *how, to="origin")
    assert (until_close.exit, until_close.body) == (0, b"to the end")


def test_a_body_of_no_length_reaches_servers_of_both_versions(mesh: Mesh) -> None:
    sent = ["--http1.1", "-H", "Transfer-Encoding: chunked", "--data-binary", "12345"]
    assert web(mesh, "/a", *sent, to="haproxy").body == b"POST /a body=5\n"
    assert b'"bytes": 5' in web(mesh, "/sink", *sent, to="h2").body


@peer("nghttp")
def test_trailers_of_requests_pass_between_versions(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "body").write_text("hello")
    url = f"http://127.0.0.1:{mesh.ports['web']}"
    http_peers.nghttp(f"{url}/summed", f"-d{tmp_path / 'body'}", "--trailer=x-sum: 42", "-Hx-to: origin")
    (seen,) = [each for each in mesh.origin.seen if each.target == "/summed"]
    assert (seen.method, seen.body, seen.trailers) == ("POST", b"hello", ["x-sum: 42"])
    with H1Client(mesh.ports["web"]) as client:
        client.send(
            b"POST /sink HTTP/1.1\r\nHost: a\r\nx-to: h2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
        )
        assert json.loads(client.answer().body)["trailers"] == [["x-sum", "42"]]


@peer("nghttp")
@pytest.mark.parametrize(
    ("to", "path", "body", "trailer"),
    [("origin", "/trailers", b"hello", "x-sum: 42"), ("nghttpd", "/a.txt", b"a file of nghttpd", "x-end: yes")],
)
def test_trailers_of_answers_pass_between_versions(to: str, path: str, body: bytes, trailer: str, mesh: Mesh) -> None:
    with H1Client(mesh.ports["web"]) as client:
        answer = client.get(path, f"x-to: {to}", "Connection: TE", "TE: trailers")
        assert (answer.body, answer.trailers) == (body, dict([trailer.split(": ")]))
    assert trailer in http_peers.nghttp(f"http://127.0.0.1:{mesh.ports['web']}{path}", f"-Hx-to: {to}")


@pytest.mark.parametrize("to", ["origin", "h2"])
@both
def test_interim_answers_come_before_the_answer(how: list[str], to: str, mesh: Mesh) -> None:
    answer = web(mesh, "/hints", *how, to=to)
    assert [head.split()[1] for head in answer.heads] == ["103", "200"]
    assert "rel=preload" in answer.heads[0]
    assert answer.status == 200


@pytest.mark.parametrize("to", ["nginx", "haproxy", "nginx-h2", "origin"])
def test_a_client_that_expects_100_is_told_to_go_on_by_the_server(to: str, mesh: Mesh, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(10_000))
    how = ["--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "0.2" if to == "nginx-h2" else "5"]
    put = web(mesh, f"/files/expected-{to}", *how, "-T", str(big), to=to)
    assert put.status in (200, 201, 204)
    if to != "nginx-h2":  # which sends no 100 in HTTP/2
        assert "100" in put.heads[0].splitlines()[0]
    assert put.facts["size_upload"] == 10_000


def test_a_client_that_expects_100_sends_nothing_where_it_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(5_000_000))
    for path, status in (("/closed", 404), ("/gone", 410), ("/admin", 403)):
        put = web(mesh, path, "--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "5", "-T", str(big))
        assert (put.exit, put.status, put.facts["size_upload"]) == (0, status, 0)


@both
def test_a_server_sees_who_its_client_is_and_who_passed_it_on(how: list[str], mesh: Mesh) -> None:
    forged = ["-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Forwarded-Proto: https", "-H", "Forwarded: for=1.2.3.4"]
    web(mesh, "/forwarded", *how, *forged, "-H", "Connection: x-hop", "-H", "X-Hop: 1", "-H", "TE: x", to="origin")
    seen = [each for each in mesh.origin.seen if each.target == "/forwarded"][-1]
    assert seen.fields["x-forwarded-for"] == "127.0.0.1"
    assert seen.fields["x-forwarded-proto"] == "http"
    assert seen.fields["via"].endswith(" metaproxy")
    assert "forwarded" not in seen.fields
    if how == ["--http1.1"]:
        assert "x-hop" not in seen.fields


# Answers that come before their request has ended

early = pytest.mark.parametrize(
    ("path", "to", "status"),
    [
        ("/closed", "", 404),
        ("/gone", "", 410),
        ("/admin", "", 403),
        ("/faulty", "", 503),
        ("/echo", "nginx", 200),
        ("/nowhere", "nginx", 404),
        ("/echo", "nginx-h2", 200),
        ("/nowhere", "nginx-h2", 404),
        ("/status/503", "nginx-h2", 503),
    ],
)


@early
@both
def test_a_client_sees_an_answer_that_comes_before_its_upload_has_ended(
    how: list[str], path: str, to: str, status: int, mesh: Mesh, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(20_000_000)
    put = web(mesh, path, *how, "-H", "Expect:", "-T", str(big), to=to)
    assert (put.exit, put.status) == (0, status), put
    if path == "/echo":
        assert put.body.startswith(b"PUT /echo")


# Routes


@pytest.mark.parametrize("client", ["1.1", "1.1 tls", "2 tls"])  # curl 7.88 follows none by prior knowledge
def test_a_client_follows_the_redirect_of_a_route(client: str, mesh: Mesh) -> None:
    port = mesh.ports["tls" if "tls" in client else "web"]
    scheme = "https" if "tls" in client else "http"
    target = f"{scheme}://127.0.0.1:{port}"
    how = [*CLIENTS[client], "--cacert", str(mesh.authority.ca)]
    moved = curl(*how, f"{target}/old/page?a=b")
    assert (moved.status, moved.headers["location"]) == (301, f"{target}/echo?a=b")
    followed = curl(*how, "-L", f"{target}/old/page")
    assert (followed.status, [head.split()[1] for head in followed.heads]) == (200, ["301", "200"])
    assert followed.body.startswith(b"GET /echo")


@both
def test_a_server_sees_the_path_and_the_host_that_its_route_writes(how: list[str], mesh: Mesh) -> None:
    answer = web(mesh, "/api/users?id=1", *how)
    assert answer.body.startswith(b"GET /echo?id=1 host=inside.example ")
    assert answer.headers["x-by"] == f"127.0.0.1:{mesh.nginx}"
    assert "server" not in answer.headers


@both
def test_routes_see_queries_cookies_and_hosts(how: list[str], mesh: Mesh) -> None:
    assert web(mesh, "/version?v=2", *how).body == b"two\n"
    assert web(mesh, "/version?v=1", *how, "-b", "a=b; canary=1").body == b"canary\n"
    assert web(mesh, "/version?v=1", *how).status == 404
    assert web(mesh, "/", *how, "-H", "Host: Other.Example:80").body == b"other\n"
    reply = web(mesh, "/gone", *how)
    assert (reply.status, reply.body) == (410, b"for good\n")


@both
def test_a_session_stays_on_its_server_by_its_cookie(how: list[str], mesh: Mesh) -> None:
    seen = {
        session: {web(mesh, "/session", *how, "-b", f"session={session}").body for _ in range(3)}
        for session in ("alice", "bob", "carol", "dave", "erin", "frank")
    }
    assert {len(servers) for servers in seen.values()} == {1}
    assert len(Counter(servers.pop() for servers in seen.values())) > 1


@both
def test_a_copy_of_a_request_goes_to_the_mirror(how: list[str], mesh: Mesh) -> None:
    before = len(mesh.mirrored.seen)
    answer = web(mesh, "/mirrored", *how)
    assert answer.body == b"ok\n"
    eventually(lambda: len(mesh.mirrored.seen) > before)
    (copy,) = mesh.mirrored.seen[before:]
    assert (copy.method, copy.target) == ("GET", "/mirrored")


@both
def test_what_may_be_done_twice_is_tried_at_another_server(how: list[str], mesh: Mesh) -> None:
    before = mesh.flaky.targets().count("/retried")
    assert [web(mesh, "/retried", *how).status for _ in range(4)] == [200] * 4
    assert mesh.flaky.targets().count("/retried") > before
    posted = [web(mesh, "/retried", *how, "-d", "once").status for _ in range(4)]
    assert Counter(posted) == {200: 2, 502: 2}


@both
def test_a_server_that_does_not_answer_in_time_is_504(how: list[str], mesh: Mesh) -> None:
    assert web(mesh, "/timed", *how).status == 504


# Filters


@both
def test_a_client_over_its_limit_is_429(how: list[str], mesh: Mesh) -> None:
    user = ["-H", f"x-user: user-of-{how[0]}"]
    assert [web(mesh, "/limited", *how, *user).status for _ in range(3)] == [200, 200, 429]
    assert web(mesh, "/limited", *how, "-H", f"x-user: other-than-{how[0]}").status == 200


@both
def test_a_path_that_is_closed_is_403_in_whatever_way_it_is_written(how: list[str], mesh: Mesh) -> None:
    for path in ("/admin", "/x/../admin", "//admin", "/%61dmin", "/./admin?x"):
        assert web(mesh, path, *how, "--path-as-is").status == 403, path
    assert web(mesh, "/admin", *how, "-b", "role=root").status == 200
    assert web(mesh, "/admin", *how, "-b", "role=root; role=user").status == 403


@both
def test_faults_are_answers_with_a_status_or_none(how: list[str], mesh: Mesh) -> None:
    assert web(mesh, "/faulty", *how).status == 503
    named = web(mesh, "/named", *how)
    assert (named.status, named.body) == (418, b"a teapot\n")
    assert web(mesh, "/cut", *how).exit in (52, 55, 56, 92)
    torn = web(mesh, "/torn", *how)
    assert torn.exit != 0


# Bounds


@both
def test_what_is_over_a_bound_is_refused_with_its_status(how: list[str], mesh: Mesh) -> None:
    url = f"http://127.0.0.1:{mesh.ports['bounds']}"
    fields = [each for number in range(25) for each in ("-H", f"x-{number}: 1")]
    assert curl(*how, f"{url}/echo").status == 200
    assert curl(*how, f"{url}/{'a' * 100}").status == 414
    assert curl(*how, "-H", f"x-long: {'a' * 2500}", f"{url}/echo").status == 431
    assert curl(*how, *fields, f"{url}/echo").status == 431
    assert curl(*how, "-d", "a" * 1025, f"{url}/echo").status == 413
    assert curl(*how, "-d", "a" * 1024, f"{url}/echo").status == 200
    unsized = ["-H", "Transfer-Encoding: chunked"] if how == ["--http1.1"] else ["-H", "Content-Length:"]
    assert curl(*how, *unsized, "-d", "a" * 2000, f"{url}/files/over").status == 413


@pytest.mark.parametrize("head", [b"GET", b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_to_its_end_is_408(head: bytes, mesh: Mesh) -> None:
    with H1Client(mesh.ports["bounds"]) as client:
        assert client.get("/echo").status == 200
        client.send(head)
        answer = client.answer()
        assert (answer.status, answer.last, client.ended()) == (408, True, True)


# Tunnels


def test_connect_opens_a_tunnel_where_its_option_allows_it(mesh: Mesh) -> None:
    proxied = ["-p", "--noproxy", "", "-x", f"http://127.0.0.1:{mesh.ports['tunnel']}"]
    through = curl(*proxied, "-H", "x-in: the tunnel", "http://inside.example/tunneled")
    assert [head.split()[1] for head in through.heads] == ["200", "200"]
    assert (through.exit, through.body) == (0, b"ok\n")
    place = mesh.origin.targets().index("/tunneled")
    asked, seen = mesh.origin.seen[place - 1], mesh.origin.seen[place]
    assert (asked.method, asked.target) == ("CONNECT", "inside.example:80")
    assert (seen.fields["x-in"], "via" in seen.fields) == ("the tunnel", False)


def test_connect_is_501_where_it_is_not_allowed(mesh: Mesh) -> None:
    through = ["-p", "--noproxy", "", "-x", f"http://127.0.0.1:{mesh.ports['web']}"]
    refused = curl(*through, "http://inside.example/")
    assert refused.heads[0].split()[1] == "501"


def test_connect_of_http_2_opens_a_tunnel_too(mesh: Mesh) -> None:
    from h2_client import H2Client

    with H2Client(mesh.ports["tunnel"], check=False) as client:
        tunnel = client.connect("inside.example:80")
        assert client.head(tunnel).status == 200
        client.send(tunnel, b"GET /in-http-2 HTTP/1.1\r\nHost: inside.example\r\n\r\n")
        assert bytes(client.body(tunnel, len(OK)).body) == OK
    assert "/in-http-2" in mesh.origin.targets()
