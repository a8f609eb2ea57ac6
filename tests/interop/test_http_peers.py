"""
The peers that speak HTTP and WebSocket, each with another peer and no proxy between: what fails here is not ours.

Lives here: a call or two for each peer and each way that it is used. Does not: anything of metaproxy.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import catalogue
import http_peers
import pytest
from authority import Authority, Issued
from catalogue import Clients, Start
from running import free_port

peer = pytest.mark.peer


def on(how: str, port: int) -> dict[str, Any]:
    """The argument of `nginx` that says what its port speaks."""
    return {how: port}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("server", "localhost", "127.0.0.1")


@peer("nginx", "curl")
@pytest.mark.parametrize("how", ["h1", "h2c", "tls"])
def test_curl_is_answered_by_nginx(
    how: str, start_here: Start, tmp_path: Path, issued: Issued, authority: Authority
) -> None:
    port = free_port()
    start_here(http_peers.nginx(tmp_path, **on(how, port), issued=issued))
    url = f"http{'s' if how == 'tls' else ''}://127.0.0.1:{port}"
    more = {"h1": [], "h2c": ["--http2-prior-knowledge"], "tls": ["--cacert", str(authority.ca)]}[how]
    answer = http_peers.curl(f"{url}/echo", *more)
    assert (answer.status, answer.version) == (200, "1.1" if how == "h1" else "2")
    assert answer.body.startswith(b"GET /echo host=127.0.0.1")
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 4096)
    assert http_peers.curl("-T", str(big), f"{url}/files/big", *more).status == 201
    assert http_peers.curl(f"{url}/files/big", *more).body == big.read_bytes()


@peer("nginx", "curl")
def test_nginx_sends_a_file_chunked_where_it_is_asked_to(start_here: Start, tmp_path: Path) -> None:
    port = free_port()
    start_here(http_peers.nginx(tmp_path, h1=port))
    (tmp_path / "files" / "a.txt").write_text("of no length")
    answer = http_peers.curl(f"http://127.0.0.1:{port}/chunked/a.txt")
    assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"of no length")


@peer("nginx", "haproxy", "curl")
@pytest.mark.parametrize("h2", [False, True])
def test_haproxy_reaches_nginx(h2: bool, start_here: Start, tmp_path: Path) -> None:
    port, front = free_port(), free_port()
    start_here(http_peers.nginx(tmp_path, **on("h2c" if h2 else "h1", port)))
    start_here(http_peers.haproxy(tmp_path, front, port, h2=h2, to_h2=h2))
    how = ["--http2-prior-knowledge"] if h2 else ["--http1.1"]
    assert http_peers.curl(f"http://127.0.0.1:{front}/echo", *how).body.startswith(b"GET /echo")


@peer("haproxy", "curl")
def test_haproxy_as_a_server_says_how_long_a_body_was(
    start_here: Start, tmp_path: Path, issued: Issued, authority: Authority
) -> None:
    port, tls = free_port(), free_port()
    start_here(http_peers.haproxy(tmp_path, port))
    start_here(http_peers.haproxy(tmp_path, tls, issued=issued))
    chunked = http_peers.curl("-d", "12345", "-H", "Transfer-Encoding: chunked", f"http://127.0.0.1:{port}/a")
    assert chunked.body == b"POST /a body=5\n"
    secure = http_peers.curl("--cacert", str(authority.ca), f"https://127.0.0.1:{tls}/a")
    assert (secure.version, secure.body) == ("2", b"GET /a body=0\n")


@peer("nginx", "wrk", "h2load")
def test_load_generators_count_the_answers_of_nginx(start_here: Start, tmp_path: Path) -> None:
    h1, h2c = free_port(), free_port()
    start_here(http_peers.nginx(tmp_path, h1=h1, h2c=h2c))
    good = http_peers.wrk(f"http://127.0.0.1:{h1}/echo")
    assert good.statuses == {"2xx": good.done, "other": 0}
    assert good.done > 0 == good.failed
    busy = http_peers.wrk(f"http://127.0.0.1:{h1}/status/503")
    assert busy.statuses == {"2xx": 0, "other": busy.done}
    for port, how in ((h1, ["--h1"]), (h2c, [])):
        load = http_peers.h2load(f"http://127.0.0.1:{port}/echo", 200, 2, 5, *how)
        assert (load.done, load.failed, load.statuses["2xx"]) == (200, 0, 200)
        busy = http_peers.h2load(f"http://127.0.0.1:{port}/status/503", 20, 2, 5, *how)
        assert (busy.done, busy.failed, busy.statuses["5xx"]) == (20, 20, 20)


@peer("nghttpd", "nghttp")
def test_nghttp_is_answered_by_nghttpd_and_shows_its_frames(start_here: Start, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from nghttpd")
    port = free_port()
    start_here(http_peers.nghttpd(tmp_path, port, "--trailer=x-end: yes"))
    text = http_peers.nghttp(f"http://127.0.0.1:{port}/a.txt")
    assert "recv SETTINGS frame" in text
    assert ":status: 200" in text
    assert "x-end: yes" in text


@peer("nghttpd", "h2load")
def test_h2load_is_answered_by_nghttpd_over_tls(start_here: Start, tmp_path: Path, issued: Issued) -> None:
    (tmp_path / "a.txt").write_text("from nghttpd")
    port = free_port()
    start_here(http_peers.nghttpd(tmp_path, port, issued=issued))
    load = http_peers.h2load(f"https://127.0.0.1:{port}/a.txt", 50)
    assert (load.done, load.failed) == (50, 0)


@peer("nghttpx", "nginx", "curl")
@pytest.mark.parametrize("to_h2", [False, True])
def test_nghttpx_takes_both_versions_and_an_upgrade(to_h2: bool, start_here: Start, tmp_path: Path) -> None:
    port, front = free_port(), free_port()
    start_here(http_peers.nginx(tmp_path, **on("h2c" if to_h2 else "h1", port)))
    start_here(http_peers.nghttpx(front, port, to_h2=to_h2))
    url = f"http://127.0.0.1:{front}/echo"
    for how, version in (("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"), ("--http2", "2")):
        answer = http_peers.curl(how, url)
        assert (answer.status, answer.version) == (200, version)
    assert "101" in http_peers.curl("--http2", url).heads[0].splitlines()[0]


@peer("nginx", "curl")
def test_nginx_as_a_proxy_reaches_nginx(start_here: Start, tmp_path: Path) -> None:
    port, front = free_port(), free_port()
    (tmp_path / "back").mkdir()
    start_here(http_peers.nginx(tmp_path / "back", h1=port))
    start_here(http_peers.nginx(tmp_path, h1=front, proxy_to=port))
    assert http_peers.curl(f"http://127.0.0.1:{front}/proxy/echo").body.startswith(b"GET /echo")


@peer("h2", "nghttpd")
def test_the_client_on_h2_reads_the_answer_and_trailers_of_nghttpd(start_here: Start, tmp_path: Path) -> None:
    from h2_client import H2Client

    (tmp_path / "a.txt").write_bytes(b"x" * 300_000)
    port = free_port()
    start_here(http_peers.nghttpd(tmp_path, port, "--trailer=x-end: yes"))
    with H2Client(port) as client:
        answer = client.answer(client.open("/a.txt"))
        assert (answer.status, len(answer.body), answer.trailers) == (200, 300_000, [("x-end", "yes")])
        client.ping()


@peer("h2")
def test_the_server_on_h2_does_what_its_path_asks(start_here: Start) -> None:
    from h2_client import H2Client

    port = free_port()
    server = start_here(http_peers.h2_server(port, "connect=1", "max_streams=7"))
    with H2Client(port) as client:
        sink = client.open("/sink", "POST", end=False)
        client.send(sink, b"x" * 200_000)
        client.trailers(sink, [("x-sum", "1")])
        assert json.loads(client.answer(sink).body)["trailers"] == [["x-sum", "1"]]
        trailers = client.answer(client.open("/trailers"))
        assert (bytes(trailers.body), trailers.trailers) == (b"body", [("x-end", "yes")])
        hints = client.answer(client.open("/hints"))
        assert (dict(hints.interim[0])[":status"], bytes(hints.body)) == ("103", b"after hints")
        assert client.answer(client.open("/reset/7")).reset == 7
        cut = client.answer(client.open("/cut/100000"))
        assert (len(cut.body), cut.reset) == (100_000, 2)
        tunnel = client.open("/chat", "CONNECT", end=False, protocol="websocket")
        assert client.head(tunnel).status == 200
        client.send(tunnel, b"through")
        assert client.body(tunnel, 7).body == b"through"
        client.reset(tunnel)
        assert client.h2.remote_settings.max_concurrent_streams == 7
        going = client.open("/goaway")
        assert bytes(client.answer(going).body) == b"going"
        client.until(lambda: client.goaway is not None)
        assert client.goaway is not None
        assert client.goaway.last_stream_id == going
    assert f"1 reset {tunnel} 8\n" in server.text()


@peer("h2")
def test_the_client_on_h2_gives_credit_only_when_it_is_asked_to(start_here: Start) -> None:
    from h2_client import H2Client, Late

    port = free_port()
    start_here(http_peers.h2_server(port))
    with H2Client(port, credit=False) as client:
        stream = client.open("/bytes/100000")
        assert len(client.body(stream, 65_535).body) == 65_535
        with pytest.raises(Late):
            client.body(stream, 65_536, seconds=0.2)
        client.credit(stream, 65_535)
        assert len(client.answer(stream).body) == 100_000


@peer("h2", "curl")
def test_the_server_on_h2_negotiates_its_version_by_alpn(
    start_here: Start, issued: Issued, authority: Authority
) -> None:
    from h2_client import H2Client

    port = free_port()
    start_here(http_peers.h2_server(port, issued=issued))
    answer = http_peers.curl("--cacert", str(authority.ca), f"https://127.0.0.1:{port}/bytes/10")
    assert (answer.version, len(answer.body)) == ("2", 10)
    with H2Client(port, tls=ssl.create_default_context(cafile=str(authority.ca))) as client:
        assert client.answer(client.open("/status/204")).status == 204


PAIRS = [(client, server) for server in http_peers.WEBSOCKET_PEERS for client in http_peers.WEBSOCKET_PEERS]
websockets = pytest.mark.parametrize(
    "client, server", [pytest.param(*pair, marks=peer(*pair), id="-".join(pair)) for pair in PAIRS]
)


@pytest.fixture(scope="module")
def ports(start: Start) -> dict[str, int]:
    """The ports of the WebSocket servers that are installed."""
    ports = {name: free_port() for name in http_peers.WEBSOCKET_PEERS if not catalogue.missing(name)}
    for name, port in ports.items():
        start(http_peers.websocket_server(name, port))
    return ports


@websockets
def test_every_websocket_client_is_answered_by_every_server(
    client: str, server: str, clients: Clients, ports: dict[str, int]
) -> None:
    jobs = clients(http_peers.websocket_client(client))
    steps = [
        {"do": "send", "text": "gr\u00fc\u00df"},
        {"do": "receive"},
        {"do": "send", "bytes": "\x00\xff"},
        {"do": "receive"},
        {"do": "fragments", "texts": ["one ", "two ", "three"]},
        {"do": "receive"},
        {"do": "ping"},
        {"do": "subprotocol"},
        {"do": "close", "code": 4001, "reason": "enough"},
        {"do": "closed"},
        {"do": "send", "text": "too late"},
    ]
    results = jobs.run(port=ports[server], subprotocols=["other", "chat"], steps=steps)
    values = [each.get("value", each.get("error", {}).get("class")) for each in results]
    assert values[:8] == [None, "gr\u00fc\u00df", None, {"bytes": "\x00\xff"}, None, "one two three", True, "chat"]
    assert values[8:10] == [None, {"code": 4001, "reason": "enough"}]
    assert values[10].startswith("ConnectionClosed")


@websockets
def test_every_websocket_server_does_what_its_path_asks(
    client: str, server: str, clients: Clients, ports: dict[str, int]
) -> None:
    jobs = clients(http_peers.websocket_client(client))

    def run(path: str, *steps: dict[str, object], **job: object) -> list[object]:
        return [each.get("value", each) for each in jobs.run(port=ports[server], path=path, steps=steps, **job)]

    assert run("/close?code=4002&reason=bye", {"do": "closed"}) == [{"code": 4002, "reason": "bye"}]
    assert run("/ping", {"do": "receive"}) == ["pong"]
    assert run("/fragments?text=abcdefg&n=3", {"do": "receive"}) == ["abcdefg"]
    (head,) = run("/headers", {"do": "receive"}, headers={"X-Tenant": "t1"})
    assert ["x-tenant", "t1"] in [[name.lower(), value] for name, value in json.loads(str(head))]
    extensions, sent, echoed = run(
        "/echo", {"do": "extensions"}, {"do": "send", "text": "a" * 5000}, {"do": "receive"}, compression=True
    )
    assert (extensions, sent, echoed) == (["permessage-deflate"], None, "a" * 5000)
    assert "404" in str(run("/nowhere", {"do": "receive"}))


@websockets
@pytest.mark.parametrize("whole", [False, True])
def test_every_websocket_peer_fills_and_drains_in_many_messages_or_in_one(
    whole: bool, client: str, server: str, clients: Clients, ports: dict[str, int]
) -> None:
    jobs = clients(http_peers.websocket_client(client))
    size, chunk = 3_000_000, 65_536
    messages = 1 if whole else -(-size // chunk)
    fill = {"do": "fill", "bytes": size, "chunk": chunk, "whole": whole}
    filled, ended, counted = jobs.run(
        port=ports[server], path="/sink", steps=[fill, {"do": "send", "text": "end"}, {"do": "receive"}]
    )
    assert ended == {"value": None}
    expected = {"bytes": size, "messages": messages, "crc32": filled["value"]}
    assert json.loads(counted["value"]) == expected
    path = f"/source?bytes={size}&chunk={chunk}{'&whole=1' if whole else ''}"
    assert jobs.run(port=ports[server], path=path, steps=[{"do": "drain", "bytes": size}]) == [{"value": expected}]


@peer("ws", "websockets")
@pytest.mark.parametrize("name", http_peers.WEBSOCKET_PEERS)
def test_every_websocket_peer_speaks_tls(
    name: str, clients: Clients, start_here: Start, issued: Issued, authority: Authority
) -> None:
    port = free_port()
    start_here(http_peers.websocket_server(name, port, issued))
    jobs = clients(http_peers.websocket_client(name))
    steps = [{"do": "send", "text": "secret"}, {"do": "receive"}]
    assert jobs.run(port=port, ca=str(authority.ca), steps=steps) == [{"value": None}, {"value": "secret"}]
