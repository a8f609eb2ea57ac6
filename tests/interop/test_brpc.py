"""
Real bRPC peers with metaproxy between them: brpc-java and Starlight, each at both ends.

Lives here: routes by method and by user field, mutations, compressed data and attachments, errors in the protocol's
words, limits, faults, time limits, answers without an id, what Starlight needs. Does not: the peers alone
(test_rpc_peers.py), streams (test_rpc_streams.py), the codec's bytes (tests/unit/codecs).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import pytest
import rpc_peers
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Jobs, free_port

peer = pytest.mark.peer
TIMEOUT, EXCEPTION = 2, {"brpc": 3, "starlight": 1005}
"""What a client calls no answer in time, and any error of the server: neither gives out the code that came."""
SERVICE = "example.EchoService"
CHANGES = {"request": {"set": {"tenant": "blue", "stamp": "proxied"}, "remove": ["debug"]}}
PEERS = rpc_peers.BRPC_PEERS


def listeners(kind: str) -> dict[str, dict[str, Any]]:
    """What each listener does, before the servers of one kind."""
    return {
        "routed": {
            "routes": [
                {"name": "canary", "match": {"tenant": "t1"}, "cluster": f"{kind}-beta"},
                {"name": "slow", "match": {"method": "Slow"}, "cluster": f"{kind}-alpha", "timeout": "300ms"},
                {"name": "rest", "match": {"service": SERVICE}, "cluster": f"{kind}-alpha", **CHANGES},
            ]
        },
        "strict": {
            "routes": [
                {"match": {"method": "Fail"}, "reply": {"error": "denied", "message": "failing is not for you"}},
                {"match": {"method": "Slow"}, "cluster": "gone"},
            ]
        },
        "limited": {
            "filters": [{"local_rate_limit": {"limit": 1, "per": "1h"}}],
            "routes": [{"cluster": f"{kind}-alpha"}],
        },
        "faulty": {
            "filters": [
                {"fault": {"faults": [{"percentage": 100, "error": {"name": "ENOMETHOD", "message": "no luck today"}}]}}
            ],
            "routes": [{"cluster": f"{kind}-alpha"}],
        },
        "hurried": {"filters": [{"deadline": {"key": "timeout_ms"}}], "routes": [{"cluster": f"{kind}-alpha"}]},
        "plain": {"routes": [{"cluster": f"{kind}-alpha"}]},
        "completed": {"routes": [{"cluster": f"{kind}-completed"}]},
        "java": {
            "protocol": {"name": "brpc", "dialect": "java"},
            "routes": [{"cluster": f"{kind}-alpha", "request": {"set": {"x-request-id": "r-1", "stamp": "proxied"}}}],
        },
    }


class Mesh(NamedTuple):
    """ports: by the kind of the servers and the name of the listener."""

    proxy: Proxy
    ports: dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    kinds = [kind for kind in PEERS if not catalogue.missing(kind)]
    clusters = [cluster("gone", free_port(), connect_timeout="1s")]
    ports, fronts = {}, []
    for kind in kinds:
        for name in ("alpha", "beta"):
            port = free_port()
            start(rpc_peers.brpc_server(kind, name, port))
            clusters.append(cluster(f"{kind}-{name}", port))
        completed = {"name": "brpc", "write_compress_type": True}
        clusters.append(cluster(f"{kind}-completed", port, protocol=completed))
        for name, options in listeners(kind).items():
            ports[kind, name] = free_port()
            protocol = options.pop("protocol", "brpc")
            fronts.append(listener(f"{kind}-{name}", ports[kind, name], protocol, **options))
    return Mesh(shared_proxy({"listeners": fronts, "clusters": clusters}), ports)


def client(clients: Clients, name: str) -> Jobs:
    return clients(rpc_peers.brpc_client(name))


def pairs(*compressions: str) -> list[Any]:
    """Each client with each server, and what both can read of it."""
    return [
        pytest.param(one, other, compress, marks=peer(one, other))
        for one in PEERS
        for other in PEERS
        for compress in compressions
        if (one, other) != ("brpc", "starlight") or compress == "none"  # Starlight reads no other of brpc-java
    ]


@pytest.mark.parametrize("name, kind, compress", pairs("none", "snappy", "gzip", "zlib"))
def test_every_client_is_answered_by_every_server_in_every_compression(
    name: str, kind: str, compress: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [{"method": "echo", "message": "hi " * 300}, {"method": "fail", "message": "why"}]
    jobs = client(clients, name)
    echoed, failed = jobs.run(port=mesh.ports[kind, "routed"], compress=compress, calls=calls)
    assert (echoed["value"]["message"], echoed["value"]["served_by"]) == ("hi " * 300, "alpha")
    assert "why" in failed["error"]["message"]
    assert failed["error"]["code"] == EXCEPTION[name]


@pytest.mark.parametrize("name, kind, compress", pairs("none"))
def test_a_user_field_routes(name: str, kind: str, compress: str, clients: Clients, mesh: Mesh) -> None:
    calls = [{"message": "hi", "kv": {"tenant": "t1"}}]
    (result,) = client(clients, name).run(port=mesh.ports[kind, "routed"], calls=calls)
    assert result["value"]["served_by"] == "beta"


@peer("brpc")
def test_the_server_sees_changed_user_fields(clients: Clients, mesh: Mesh) -> None:
    calls = [{"message": "hi", "kv": {"debug": "1", "kept": "k", "tenant": "red"}}]
    (result,) = client(clients, "brpc").run(port=mesh.ports["brpc", "routed"], calls=calls)
    assert result["value"]["kv"] == {"kept": "k", "tenant": "blue", "stamp": "proxied"}


@peer("brpc")
def test_a_request_without_fields_gets_them_in_the_dialect_of_its_server(clients: Clients, mesh: Mesh) -> None:
    (result,) = client(clients, "brpc").run(port=mesh.ports["brpc", "java"], calls=[{"message": "hi"}])
    assert result["value"]["kv"] == {"x-request-id": "r-1", "stamp": "proxied"}


@peer("starlight")
def test_starlights_server_sees_changed_user_fields(clients: Clients, mesh: Mesh) -> None:
    calls = [{"message": "hi?stamp"}]
    (result,) = client(clients, "starlight").run(port=mesh.ports["starlight", "java"], calls=calls)
    assert result["value"]["message"] == "hi|stamp=proxied"


@peer("brpc")
def test_attachments_pass_beside_changed_fields(clients: Clients, mesh: Mesh) -> None:
    raw = "\x00\xff raw" * 10_000
    calls = [{"message": "x", "attachment": raw, "kv": {"kept": "k"}, "log_id": 7}, {"message": "y"}]
    first, second = client(clients, "brpc").run(port=mesh.ports["brpc", "routed"], calls=calls)
    assert first["value"]["attachment"] == raw
    assert first["value"]["kv"]["kept"] == "k"
    assert second["value"]["attachment"] == ""


@peer("brpc")
def test_calls_at_once_share_a_connection_and_each_gets_its_own_answer(clients: Clients, mesh: Mesh) -> None:
    calls = [{"method": "slow", "message": "150"}, *({"message": f"m{number}"} for number in range(40))]
    slow, *results = client(clients, "brpc").run(port=mesh.ports["brpc", "plain"], calls=calls, together=True)
    assert slow["value"]["message"] == "slept"
    assert [each["value"]["message"] for each in results] == [f"m{number}" for number in range(40)]


# -- errors


@pytest.mark.parametrize("name, kind, compress", pairs("none"))
def test_the_proxys_errors_reach_every_client_with_their_text(
    name: str, kind: str, compress: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [{"message": "hi"}, {"method": "fail", "message": "x"}]
    unknown, denied = client(clients, name).run(port=mesh.ports[kind, "strict"], calls=calls)
    assert f"no route matched for {SERVICE}/Echo" in unknown["error"]["message"]
    assert "failing is not for you" in denied["error"]["message"]
    codes = {"brpc": [3, 3], "starlight": [1001, 1005]}[name]  # what they make of ENOSERVICE and ERPCAUTH
    assert [each["error"]["code"] for each in (unknown, denied)] == codes


@pytest.mark.parametrize("name, kind, compress", pairs("none"))
def test_a_route_timeout_is_an_answer(name: str, kind: str, compress: str, clients: Clients, mesh: Mesh) -> None:
    # Starlight's client sends the pairs of earlier calls again.
    calls = [{"method": "slow", "message": "1500", "kv": {"tenant": "-"}}, {"message": "on"}]
    late, after = client(clients, name).run(port=mesh.ports[kind, "routed"], calls=calls)
    assert "no answer within 0.3 s" in late["error"]["message"]
    assert after["value"]["message"] == "on"


@peer("brpc")
def test_a_rate_limit_and_a_fault_say_so(clients: Clients, mesh: Mesh) -> None:
    jobs = client(clients, "brpc")
    passed, refused = jobs.run(port=mesh.ports["brpc", "limited"], calls=[{"message": "a"}, {"message": "b"}])
    assert passed["value"]["message"] == "a"
    assert "error" in refused
    (faulty,) = jobs.run(port=mesh.ports["brpc", "faulty"], calls=[{"message": "a"}])
    assert "no luck today" in faulty["error"]["message"]


# -- answers without an id


@peer("brpc")
def test_an_answer_without_id_reaches_the_only_client_that_waits(clients: Clients, mesh: Mesh) -> None:
    """With no proxy between, brpc-java's client waits for it until its time-out."""
    calls = [{"method": "nope"}, {"message": "between"}, {"method": "nowhere"}, {"message": "after"}]
    nope, between, nowhere, after = client(clients, "brpc").run(port=mesh.ports["brpc", "plain"], calls=calls)
    assert [each["error"]["code"] for each in (nope, nowhere)] == [EXCEPTION["brpc"]] * 2
    assert (between["value"]["message"], after["value"]["message"]) == ("between", "after")


@peer("brpc")
def test_with_others_under_way_each_still_gets_its_own(clients: Clients, mesh: Mesh) -> None:
    calls = [
        {"method": "slow", "message": "300"},
        {"method": "nope"},
        {"message": "a"},
        {"method": "nowhere"},
        {"message": "b"},
        {"message": "c"},
    ]
    slow, nope, a, nowhere, b, c = client(clients, "brpc").run(
        port=mesh.ports["brpc", "plain"], calls=calls, together=True
    )
    assert slow["value"]["message"] == "slept"
    assert [each["value"]["message"] for each in (a, b, c)] == ["a", "b", "c"]
    assert [each["error"]["code"] for each in (nope, nowhere)] == [EXCEPTION["brpc"]] * 2


# -- by hand


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def blob(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def num(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def asked(port: int, method: bytes, message: bytes, more: bytes = b"", inner: bytes = b"") -> bytes:
    """The answer to a call that is written here; b"" for none within a second."""
    meta = blob(1, blob(1, SERVICE.encode()) + blob(2, method) + inner) + num(4, 300) + more
    body = blob(1, message)
    frame = b"PRPC" + struct.pack(">II", len(meta) + len(body), len(meta)) + meta + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(frame)
        connection.settimeout(1)
        try:
            return connection.recv(65536)
        except TimeoutError:
            return b""


@peer("starlight")
def test_starlight_answers_a_call_without_compress_type_only_if_the_proxy_writes_it(mesh: Mesh) -> None:
    log_id = num(3, 7)
    assert asked(mesh.ports["starlight", "plain"], b"Echo", b"hi", inner=log_id) == b""
    answer = asked(mesh.ports["starlight", "completed"], b"Echo", b"hi", inner=log_id)
    assert b"hi" in answer
    assert num(4, 300) in answer


@peer("brpc")
@pytest.mark.parametrize(
    ("listener", "method", "code"), [("strict", b"Echo", 1001), ("strict", b"Fail", 1004), ("strict", b"Slow", 1009)]
)
def test_each_error_has_its_code(listener: str, method: bytes, code: int, mesh: Mesh) -> None:
    answer = asked(mesh.ports["brpc", listener], method, b"1")
    assert num(1, code) in answer
    assert answer.endswith(num(4, 300))


@peer("brpc")
def test_the_clients_own_time_limit_is_kept(mesh: Mesh) -> None:
    answer = asked(mesh.ports["brpc", "hurried"], b"Slow", b"1500", num(3, 0), num(8, 100))
    assert num(1, 1008) in answer


@peer("brpc")
@pytest.mark.parametrize("bad", [b"GET / HTTP/1.1\r\n\r\n", b"PRPC" + struct.pack(">II", 4, 5), b"STRM" + bytes(8)])
def test_bytes_that_are_no_brpc_close_their_connection_and_no_other(bad: bytes, mesh: Mesh) -> None:
    """C24: the original ends with its process."""
    with socket.create_connection(("127.0.0.1", mesh.ports["brpc", "plain"])) as connection:
        connection.settimeout(5)
        connection.sendall(bad)
        try:
            assert connection.recv(100) == b""
        except ConnectionResetError:
            pass
    assert b"hi" in asked(mesh.ports["brpc", "plain"], b"Echo", b"hi", num(3, 0))
