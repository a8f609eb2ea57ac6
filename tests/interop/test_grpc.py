"""
gRPC through the proxy, between real clients and servers.

Lives here: all kinds of calls, gRPC's own cases, routes, mutations, deadlines, limits, faults, retries, health checks,
gRPC-Web by hand, TLS. Does not: what needs no peer (tests/unit/codecs/test_grpc_*.py).
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import grpc_peers
import pytest
from authority import Authority
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import eventually, free_port

peer = pytest.mark.peer
Proxies = Callable[..., Proxy]

pairs = pytest.mark.parametrize(
    "client, server",
    [
        pytest.param(client, server, marks=peer(client, server), id=f"{client}-{server}")
        for server in grpc_peers.SERVERS
        for client in grpc_peers.CLIENTS
    ],
)
ORIGIN = "https://shop.example"
ALLOWED = {"access-control-allow-origin": ORIGIN, "access-control-allow-headers": "content-type, x-grpc-web"}
FILLED_1000 = zlib.crc32(b"\xa5" * 1000)
SERVICE = "example.v1.Echo"
CASES = (*grpc_peers.INTEROP_CASES, "rpc_soak", "channel_soak")


class Mesh(NamedTuple):
    """fronts: the proxy's ports by the server behind them; programs: the servers."""

    proxy: Proxy
    fronts: dict[str, int]
    programs: dict[str, Any]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Proxies) -> Mesh:
    servers = {name: free_port() for name in grpc_peers.SERVERS if not catalogue.missing(name)}
    programs = {name: start(grpc_peers.server(name, name, port)) for name, port in servers.items()}
    fronts = {name: free_port() for name in servers}
    listeners = [
        listener(name, port, "grpc", [{"cluster": name, "timeout": "20s"}], filters=[{"deadline": {}}])
        for name, port in fronts.items()
    ]
    clusters = [cluster(name, port, protocol="grpc") for name, port in servers.items()]
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), fronts, programs)


# -- calls


@pairs
def test_all_kinds_of_calls_pass(client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    requests = [{"text": text} for text in "abc"]
    calls = [
        {"method": "Unary", "request": {"text": "hi", "size": 1000}, "metadata": {"x-tenant": "t1"}, "timeout": 9},
        {"method": "ServerStream", "request": {"text": "s", "count": 3}},
        {"method": "ClientStream", "requests": requests},
        {"method": "BidiStream", "requests": requests},
        {"method": "BidiStream", "requests": requests, "turns": True, "repeat": 2},
    ]
    results = clients(grpc_peers.client(client)).run(port=mesh.fronts[server], calls=calls)
    assert [grpc_peers.replies(each) for each in results] == [["hi"], ["s"] * 3, ["a+b+c"], [*"abc"], [*"abcabc"]]
    unary = results[0]["value"]
    (reply,) = unary["replies"]
    assert (reply["payload_bytes"], reply["payload_crc32"]) == (1000, FILLED_1000)
    assert (reply["metadata"]["x-tenant"], reply["served_by"]) == ("t1", server)
    assert 8000 < reply["deadline_ms"] <= 9000
    assert unary["initial"]["served-by"] == server


@pairs
def test_status_text_and_metadata_reach_the_client(client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    request = {"text": "x", "count": 2, "code": 5, "message": "not here: \u00fc", "trailing": {"x-why": "so"}}
    calls = [
        {"method": "Unary", "request": {**request, "initial": {"x-first": "1"}}},
        {"method": "ServerStream", "request": request},
        {"method": "ClientStream", "requests": [request]},
        {"method": "BidiStream", "requests": [request]},
        {"method": "Unary", "request": {"trailing": {"x-good": "yes", "x-raw-bin": "\x01\x02"}}},
    ]
    results = clients(grpc_peers.client(client)).run(port=mesh.fronts[server], calls=calls)
    for result in results[:4]:
        error = result["error"]
        assert (error["class"], error["message"], error["trailing"]["x-why"]) == ("NOT_FOUND", "not here: \u00fc", "so")
    assert [result["error"]["count"] for result in results[:4]] == [0, 2, 0, 2]
    assert results[0]["error"]["initial"]["x-first"] == "1"
    trailing = results[4]["value"]["trailing"]
    assert (trailing["x-good"], trailing["x-raw-bin"]) == ("yes", "\x01\x02")


@pairs
def test_calls_at_once_and_long_streams_pass(client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    jobs = clients(grpc_peers.client(client))
    slow = [{"method": "Unary", "request": {"text": str(n), "delay_ms": 50}} for n in range(8)]
    results = jobs.run(port=mesh.fronts[server], calls=slow, together=True)
    assert [grpc_peers.replies(each) for each in results] == [[str(n)] for n in range(8)]
    long = [
        {"method": "BidiStream", "request": {"payload_bytes": 10_000}, "repeat": 100, "summary": True},
        {"method": "ServerStream", "request": {"size": 300_000, "count": 10}, "summary": True},
        {"method": "ClientStream", "request": {"payload_bytes": 300_000}, "repeat": 10},
    ]
    results = jobs.run(port=mesh.fronts[server], calls=long, together=True)
    assert [each["value"]["count"] for each in results] == [100, 10, 1]
    assert [each["value"]["bytes"] for each in results[:2]] == [1_000_000, 3_000_000]


@pairs
def test_compressed_messages_pass_and_a_cancelled_call_ends_at_the_server(
    client: str, server: str, clients: Clients, mesh: Mesh
) -> None:
    jobs = clients(grpc_peers.client(client))
    stream = {"text": f"cut by {client}", "count": 100, "delay_ms": 20}
    calls = [{"method": "ServerStream", "request": stream, "cancel_after": 2}]
    (cancelled,) = jobs.run(port=mesh.fronts[server], calls=calls)
    assert cancelled["error"]["class"] == "CANCELLED"
    assert eventually(lambda: f"cancelled ServerStream cut by {client}" in mesh.programs[server].text())
    filled = {"method": "Unary", "request": {"payload_bytes": 1000}, "compression": "gzip"}
    (packed,) = jobs.run(port=mesh.fronts[server], calls=[filled])
    assert packed["value"]["replies"][0]["payload_crc32"] == FILLED_1000


@pairs
def test_a_deadline_ends_the_call_at_client_proxy_and_server(
    client: str, server: str, clients: Clients, mesh: Mesh
) -> None:
    text = f"late for {client}"
    calls = [
        {"method": "Unary", "request": {"text": text, "delay_ms": 5000}, "timeout": 0.2},
        {"method": "ServerStream", "request": {"text": text, "count": 100, "delay_ms": 50}, "timeout": 0.3},
    ]
    results = clients(grpc_peers.client(client)).run(port=mesh.fronts[server], calls=calls)
    assert [each["error"]["class"] for each in results] == ["DEADLINE_EXCEEDED"] * 2
    assert eventually(lambda: mesh.programs[server].text().count(f"{text}\n") == 2)


# -- gRPC's own cases


@pytest.fixture(scope="module")
def official(start: Start, shared_proxy: Proxies) -> int:
    """The proxy's port in front of the interoperability server of grpc-go."""
    port, front = free_port(), free_port()
    start(grpc_peers.interop_server(port), lambda: grpc_peers.interop(port, "empty_unary") == "")
    shared_proxy({
        "listeners": [listener("front", front, "grpc", [{"cluster": "go", "timeout": "20s"}])],
        "clusters": [cluster("go", port)],
    })  # fmt: skip
    return front


@peer("grpc-go")
@pytest.mark.parametrize("case", CASES)
def test_grpcs_own_cases_pass(case: str, official: int) -> None:
    assert grpc_peers.interop(official, case) == ""


@peer("ghz", "grpcio")
def test_ghz_calls_without_an_error(mesh: Mesh) -> None:
    unary = grpc_peers.ghz(mesh.fronts["grpcio"], {"text": "hi"}, calls=200, at_once=8)
    assert (unary.count, unary.statuses) == (200, {"OK": 200})
    for method in ("ServerStream", "ClientStream", "BidiStream"):
        assert grpc_peers.ghz(mesh.fronts["grpcio"], {"text": "hi", "count": 2}, method, 10, 2).statuses == {"OK": 10}


# -- what the proxy does


class Two(NamedTuple):
    """Two servers of grpcio, and the ports of listeners by name."""

    proxy: Proxy
    ports: dict[str, int]
    servers: tuple[int, int]


@pytest.fixture(scope="module")
def two(start: Start, shared_proxy: Proxies) -> Two:
    servers = free_port(), free_port()
    for name, port in zip(("alpha", "beta"), servers, strict=True):
        start(grpc_peers.server("grpcio", name, port))
    names = ("routes", "limited", "faulty", "retried", "small", "idle", "nowhere")
    ports = {name: free_port() for name in names}
    retry = {"attempts": 2, "on": ["error", "connect"], "unsafe": True, "backoff": "1ms..2ms"}
    routes: dict[str, list[object]] = {
        "routes": [
            {"match": {"http.method": "OPTIONS", "origin": ORIGIN}, "reply": {"name": "204", "set": ALLOWED}},
            {"match": {"service": SERVICE, "method": "ServerStream"}, "cluster": "beta"},
            {"match": {"x-tenant": "beta"}, "cluster": "beta",
             "request": {"set": {"x-routed": "%method%", "timeout": "2000"}, "remove": ["x-secret"]},
             "response": {"set": {"x-served": "%upstream_address%"}}},
            {"match": {"service": "example.v1.Old"}, "cluster": "alpha", "request": {"set": {"service": SERVICE}}},
            {"match": {"method": "Shut"}, "reply": {"name": "UNAUTHENTICATED", "message": "who are you?"}},
            {"match": {"service": SERVICE}, "cluster": "alpha"},
        ],
        "limited": [{"cluster": "alpha"}],
        "faulty": [{"cluster": "alpha"}],
        "retried": [{"cluster": "alpha", "retry": retry}],
        "small": [{"cluster": "small"}],
        "idle": [{"cluster": "alpha"}],
        "nowhere": [{"cluster": "gone"}],
    }  # fmt: skip
    fault = {"faults": [{"name": "broken", "percentage": 100, "error": {"name": "DATA_LOSS", "message": "torn"}}]}
    filters: dict[str, list[Any]] = {
        "limited": [{"local_rate_limit": {"limit": 1, "per": "1h"}}],
        "faulty": [{"fault": fault}],
    }
    small = {"name": "grpc", "max_message": "1KiB", "whole_messages": "1KiB"}
    listeners = [
        listener(
            name,
            ports[name],
            small if name == "small" else "grpc",
            routes[name],
            filters=filters.get(name, []),
            stream_idle="200ms" if name == "idle" else "5m",
        )
        for name in names
    ]
    clusters = [
        cluster("alpha", servers[0], protocol="grpc"), cluster("beta", servers[1], protocol="grpc"),
        cluster("small", servers[0], protocol=small), cluster("gone", free_port(), protocol="grpc"),
    ]  # fmt: skip
    return Two(shared_proxy({"listeners": listeners, "clusters": clusters}), ports, servers)


def asked(clients: Clients, port: int, *calls: dict[str, Any], client: str = "grpcio") -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = clients(grpc_peers.client(client)).run(port=port, calls=list(calls))
    return results


def failure(result: dict[str, Any]) -> tuple[str, str]:
    return result["error"]["class"], result["error"]["message"]


@peer("grpcio")
def test_routes_go_by_service_method_and_metadata_and_change_them(clients: Clients, two: Two) -> None:
    plain, stream, tenant = asked(
        clients, two.ports["routes"],
        {"method": "Unary", "request": {"text": "a"}},
        {"method": "ServerStream", "request": {"text": "b", "count": 1}},
        {"method": "Unary", "request": {"text": "c"}, "metadata": {"x-tenant": "beta", "x-secret": "s"}, "timeout": 30},
    )  # fmt: skip
    assert [each["value"]["replies"][0]["served_by"] for each in (plain, stream, tenant)] == ["alpha", "beta", "beta"]
    (reply,) = tenant["value"]["replies"]
    assert reply["metadata"]["x-routed"] == "Unary"
    assert "x-secret" not in reply["metadata"]
    assert reply["deadline_ms"] <= 2000
    assert tenant["value"]["initial"]["x-served"] == f"127.0.0.1:{two.servers[1]}"


@peer("grpcio")
def test_another_service_can_be_called_in_its_place_and_routes_reply_themselves(two: Two) -> None:
    import grpc
    from example.v1 import echo_pb2

    with grpc.insecure_channel(f"127.0.0.1:{two.ports['routes']}") as channel:
        request = echo_pb2.EchoRequest(text="old").SerializeToString()
        old = channel.unary_unary("/example.v1.Old/Unary")
        assert echo_pb2.EchoReply.FromString(old(request, timeout=5)).text == "old"
        for path, code, text in (
            ("/example.v1.Old2/Shut", grpc.StatusCode.UNAUTHENTICATED, "who are you?"),
            ("/no.Such/Method", grpc.StatusCode.UNIMPLEMENTED, "no route matched for no.Such/Method"),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary(path)(b"", timeout=5)
            assert (raised.value.code(), raised.value.details()) == (code, text)


@peer("grpcio", "grpc-js")
@pytest.mark.parametrize("client", grpc_peers.CLIENTS)
def test_the_proxys_errors_have_codes_and_texts(client: str, clients: Clients, two: Two) -> None:
    call = {"method": "Unary", "request": {"text": "x"}}
    (fault,) = asked(clients, two.ports["faulty"], call, client=client)
    assert failure(fault) == ("DATA_LOSS", "torn")
    (late,) = asked(clients, two.ports["idle"], {**call, "request": {"delay_ms": 3000}}, client=client)
    assert failure(late)[0] == "DEADLINE_EXCEEDED"
    assert "stream_idle" in failure(late)[1]
    (gone,) = asked(clients, two.ports["nowhere"], call, client=client)
    assert failure(gone)[0] == "UNAVAILABLE"


@peer("grpcio")
def test_a_rate_limit_is_resource_exhausted(clients: Clients, two: Two) -> None:
    call = {"method": "Unary", "request": {"text": "x"}}
    first, second = asked(clients, two.ports["limited"], call, call)
    assert grpc_peers.replies(first) == ["x"]
    assert failure(second)[0] == "RESOURCE_EXHAUSTED"


@peer("grpcio")
def test_a_failed_call_is_tried_again_and_the_server_sees_how_often(clients: Clients, two: Two) -> None:
    request = {"text": "x", "key": "again", "fail_first": 2, "code": 14}
    (result,) = asked(clients, two.ports["retried"], {"method": "Unary", "request": request})
    (reply,) = result["value"]["replies"]
    assert (reply["index"], reply["metadata"]["grpc-previous-rpc-attempts"]) == (3, "2")


@peer("grpcio")
def test_a_server_that_wants_no_further_try_gets_none(clients: Clients, two: Two) -> None:
    trailing = {"grpc-retry-pushback-ms": "-1"}
    request = {"text": "x", "key": "not again", "fail_first": 1, "code": 14, "trailing": trailing}
    call = {"method": "Unary", "request": request}
    first, second = asked(clients, two.ports["retried"], call, call)
    assert failure(first)[0] == "UNAVAILABLE"
    assert second["value"]["replies"][0]["index"] == 2


@peer("grpcio", "grpc-js")
@pytest.mark.parametrize("client", grpc_peers.CLIENTS)
def test_messages_over_the_bound_end_their_calls_and_no_others(client: str, clients: Clients, two: Two) -> None:
    fits, large = {"payload_bytes": 500}, {"payload_bytes": 2000}
    results = asked(
        clients, two.ports["small"],
        {"method": "Unary", "request": large},
        {"method": "Unary", "request": {"size": 2000}},
        {"method": "ClientStream", "requests": [fits, fits, large]},
        {"method": "ServerStream", "request": {"size": 2000, "count": 3}},
        {"method": "BidiStream", "requests": [fits] * 20},
        client=client,
    )  # fmt: skip
    assert [failure(each)[0] for each in results[:4]] == ["RESOURCE_EXHAUSTED"] * 4
    assert all("max_message is 1024" in failure(each)[1] for each in results[:4])
    assert results[4]["value"]["count"] == 20


@peer("grpcio")
def test_a_server_that_says_it_does_not_serve_is_left_out(clients: Clients, start_here: Start, proxy: Proxies) -> None:
    servers, front = (free_port(), free_port()), free_port()
    for name, port in zip(("one", "two"), servers, strict=True):
        start_here(grpc_peers.server("grpcio", name, port))
    check = {"interval": "100ms", "timeout": "1s", "kind": "codec", "unhealthy": 1, "healthy": 1}
    asks = {"name": "grpc", "probe": SERVICE}
    running = proxy({
        "listeners": [listener("front", front, "grpc", [{"cluster": "both"}])],
        "clusters": [cluster("both", *servers, protocol=asks, health_check=check)],
    })  # fmt: skip

    def healthy(number: int) -> bool:
        stats = running.stats()
        return bool(sum(value for name, value in stats.items() if "endpoint_healthy" in name) == number)

    assert eventually(lambda: healthy(2))
    down = {"method": "SetHealth", "request": {"service": SERVICE, "serving": False}}
    asked(clients, servers[0], down)
    assert eventually(lambda: healthy(1))
    results = asked(clients, front, *[{"method": "Unary", "request": {"text": "x"}}] * 6)
    assert {each["value"]["replies"][0]["served_by"] for each in results} == {"two"}


@peer("grpcio")
def test_tls_at_both_sides(
    clients: Clients, start_here: Start, proxy: Proxies, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    issued = authority.issue("all", "localhost", "127.0.0.1")
    port, front = free_port(), free_port()
    start_here(grpc_peers.server("grpcio", "secure", port, issued=issued))
    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    proxy({
        "listeners": [listener("front", front, "grpc", [{"cluster": "back"}], tls=tls)],
        "clusters": [cluster("back", port, protocol="grpc", tls={"ca": str(authority.ca), "server_name": "localhost"})],
    })  # fmt: skip
    for client in grpc_peers.CLIENTS:
        calls = [{"method": "BidiStream", "requests": [{"text": "a"}, {"text": "b"}]}]
        (result,) = clients(grpc_peers.client(client)).run(port=front, ca=str(authority.ca), calls=calls)
        assert grpc_peers.replies(result) == ["a", "b"]


@peer("grpcio")
def test_a_log_tells_the_status_of_unary_calls_and_of_streams(
    clients: Clients, start_here: Start, proxy: Proxies, tmp_path: Path
) -> None:
    port, front, file = free_port(), free_port(), tmp_path / "access.log"
    start_here(grpc_peers.server("grpcio", "logged", port))
    log = {"file": str(file), "format": "%REQ(operation)% %RESP(code)% %RESP(message)%\n"}
    proxy({
        "listeners": [listener("front", front, "grpc", [{"cluster": "back"}], access_log=[log])],
        "clusters": [cluster("back", port)],
    })  # fmt: skip
    request = {"text": "x", "count": 2, "code": 5, "message": "gone"}
    asked(
        clients, front,
        {"method": "Unary", "request": {"text": "x"}}, {"method": "Unary", "request": request},
        {"method": "ServerStream", "request": {**request, "delay_ms": 50}},
    )  # fmt: skip
    wanted = [f"{SERVICE}/Unary OK -", f"{SERVICE}/Unary NOT_FOUND gone", f"{SERVICE}/ServerStream NOT_FOUND gone"]
    assert eventually(lambda: file.exists() and file.read_text().splitlines() == wanted), file.read_text()


# -- gRPC-Web, by hand


def web_call(port: int, method: str, body: bytes, kind: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    fields = {"content-type": kind, "x-grpc-web": "1", **headers}
    connection.request("POST", f"/{SERVICE}/{method}", body, fields)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


def framed(payload: bytes) -> bytes:
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def read_web(data: bytes) -> tuple[list[bytes], dict[str, str]]:
    """The messages of an answer, and its trailers."""
    messages, trailers = [], {}
    while data:
        size = int.from_bytes(data[1:5], "big")
        payload = data[5 : 5 + size]
        if data[0] & 0x80:
            lines = payload.decode().split("\r\n")
            trailers = dict(line.split(": ", 1) for line in lines if line)
        else:
            messages.append(payload)
        data = data[5 + size :]
    return messages, trailers


def decoded(data: bytes) -> bytes:
    """Base64 whose pieces each have a padding."""
    return b"".join(base64.b64decode(data[at : at + 4]) for at in range(0, len(data), 4))


@peer("grpcio")
@pytest.mark.parametrize("form", ["binary", "text"])
def test_a_browsers_calls_are_answered(form: str, mesh: Mesh) -> None:
    from example.v1 import echo_pb2

    text = form == "text"
    kind = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"

    def call(method: str, **fields: Any) -> tuple[list[str], dict[str, str], http.client.HTTPResponse]:
        body = framed(echo_pb2.EchoRequest(**fields).SerializeToString())
        answer, data = web_call(mesh.fronts["grpcio"], method, base64.b64encode(body) if text else body, kind)
        messages, trailers = read_web(decoded(data) if text else data)
        return [echo_pb2.EchoReply.FromString(each).text for each in messages], trailers, answer

    texts, trailers, answer = call("Unary", text="hi", trailing={"x-end": "1"})
    assert (answer.status, answer.headers["served-by"]) == (200, "grpcio")
    assert answer.headers["content-type"] in (kind, kind.removesuffix("+proto"))
    assert (texts, trailers["grpc-status"], trailers["x-end"]) == (["hi"], "0", "1")
    texts, trailers, _ = call("ServerStream", text="s", count=3, delay_ms=20)
    assert (texts, trailers["grpc-status"]) == (["s"] * 3, "0")
    texts, trailers, _ = call("ServerStream", text="s", count=1, code=5, message="gone", delay_ms=20)
    assert (texts, trailers["grpc-status"], trailers["grpc-message"]) == (["s"], "5", "gone")


@peer("grpcio")
def test_a_browser_sees_the_proxys_errors(two: Two) -> None:
    answer, data = web_call(two.ports["nowhere"], "Unary", framed(b""), "application/grpc-web+proto")
    assert (answer.status, answer.headers["grpc-status"], data) == (200, "14", b"")


@peer("grpcio")
def test_a_route_answers_what_a_browser_asks_beforehand(two: Two) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", two.ports["routes"], timeout=10)
    connection.request("OPTIONS", f"/{SERVICE}/Unary", headers={"origin": ORIGIN})
    answer = connection.getresponse()
    assert (answer.status, answer.read(), answer.headers["access-control-allow-origin"]) == (204, b"", ORIGIN)
    connection.request("POST", f"/{SERVICE}/Unary", framed(b""), {"content-type": "application/grpc-web"})
    answer = connection.getresponse()
    assert (answer.status, b"grpc-status: 0" in answer.read()) == (200, True)
    connection.close()


@peer("grpcio")
def test_counts_tell_how_calls_ended(clients: Clients, mesh: Mesh) -> None:
    before = mesh.proxy.outcomes()
    asked(clients, mesh.fronts["grpcio"], {"method": "Unary"}, {"method": "Unary", "request": {"code": 14}})
    after = mesh.proxy.outcomes()
    assert {key: after[key] - before.get(key, 0) for key in ("ok", "error")} == {"ok": 1, "error": 1}
    assert json.dumps(after).count("internal") == 0


@peer("grpcio")
def test_recorded_calls_are_answered_the_same_when_they_are_sent_again(
    clients: Clients, start_here: Start, proxy: Proxies, tmp_path: Path
) -> None:
    port, front = free_port(), free_port()
    start_here(grpc_peers.server("grpcio", "taped", port))
    running = proxy({
        "record": {"folder": str(tmp_path)},
        "listeners": [listener("front", front, "grpc", [{"cluster": "back"}])],
        "clusters": [cluster("back", port)],
    })  # fmt: skip

    def metaproxy(*arguments: object) -> Any:
        command = [str(Path(sys.executable).with_name("metaproxy")), *map(str, arguments), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    metaproxy("record", "--admin", running.url, "--detach", "tape.jsonl")
    # No replies with a text: the peers put a request's fields into those, and a recorded request has its length.
    calls = [
        {"method": "Health", "request": {"service": SERVICE}},
        {"method": "Unary", "request": {"text": "x", "code": 5, "message": "gone", "trailing": {"x-end": "1"}}},
        {"method": "ServerStream", "request": {"count": 0, "delay_ms": 20}},
    ]
    asked(clients, front, *calls)
    file = Path(metaproxy("record", "--admin", running.url, "--stop")["file"])
    assert eventually(lambda: '{"end": ' in file.read_text())
    told = metaproxy("replay", file, "--to", f"127.0.0.1:{port}", "--compare", "--speed", "max")
    assert (told["compared"], told["failed"], told["differences"]) == (3, [], [])


def busy(running: Proxy) -> int:
    """The port of the server that answers a stream now, 0 for none."""
    received = sum(value for name, value in running.stats().items() if "endpoint_received_bytes" in name)
    if received < 1000:
        return 0
    (found,) = running.admin("/clusters")["clusters"]
    ports = [int(each["address"].rpartition(":")[2]) for each in found["endpoints"] if each["active"]]
    return ports[0] if ports else 0


@peer("grpcio", "grpc-js")
@pytest.mark.parametrize("client", grpc_peers.CLIENTS)
def test_a_server_that_dies_within_a_stream_ends_it_and_the_next_call_goes_elsewhere(
    client: str, clients: Clients, start_here: Start, proxy: Proxies
) -> None:
    servers, front = (free_port(), free_port()), free_port()
    programs = [start_here(grpc_peers.server("grpcio", str(port), port)) for port in servers]
    running = proxy({
        "listeners": [listener("front", front, "grpc", [{"cluster": "both"}])],
        "clusters": [cluster("both", *servers)],
    })  # fmt: skip
    stream = {"method": "ServerStream", "request": {"text": "x", "count": 1000, "delay_ms": 20}, "timeout": 20}
    jobs = clients(grpc_peers.client(client))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(jobs.run, port=front, calls=[stream])
        port = eventually(lambda: busy(running))
        programs[servers.index(port)].kill()
        (result,) = waiting.result(30)
    assert failure(result)[0] == "UNAVAILABLE"
    assert 0 < result["error"]["count"] < 1000
    (next_one,) = asked(clients, front, {"method": "Unary", "request": {"text": "y"}}, client=client)
    assert next_one["value"]["replies"][0]["served_by"] != str(port)
