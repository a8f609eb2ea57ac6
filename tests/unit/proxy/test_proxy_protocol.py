from __future__ import annotations

import pytest
from harness import Stage, answer, call
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.message import FrameError
from metaproxy.proxy.proxy_protocol import PATIENCE, Trusted, parse

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"
V2 = bytes.fromhex("0d0a0d0a000d0a515549540a2111000cc0000201c000020212670050")
V2_LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a20000000")
V2_V6 = bytes.fromhex("0d0a0d0a000d0a515549540a21210027" + "20010db8" + "00" * 11 + "01") + bytes(16) + bytes(7)


@pytest.mark.parametrize(
    ("header", "source", "destination"),
    [
        (V1, "192.0.2.1:4711", "192.0.2.2:80"),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", "[2001:db8::1]:4711", "[::1]:80"),
        (b"PROXY UNKNOWN\r\n", "", ""),
        (b"PROXY UNKNOWN ff ff ff\r\n", "", ""),
        (V2, "192.0.2.1:4711", "192.0.2.2:80"),
        (V2_LOCAL, "", ""),
        (V2_V6, "[2001:db8::1]:0", "[::]:0"),
    ],
)
def test_a_header_tells_who_the_client_is(header: bytes, source: str, destination: str) -> None:
    assert parse(header + b"more") == (len(header), source, destination)
    assert all(parse(header[:length]) is None for length in range(len(header)))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 abc 80\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 65536\r\n",
        b"PROXY TCP9 1 2 3 4\r\n",
        b"PROXY " + b"x" * 200,
        bytes.fromhex("0d0a0d0a000d0a515549540a3111000c") + bytes(12),
        bytes.fromhex("0d0a0d0a000d0a515549540a2111ffff"),
        bytes.fromhex("0d0a0d0a000d0a515549540a21110004") + bytes(4),
    ],
)
def test_what_is_no_header_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(FrameError, match="PROXY"):
        parse(data)


@given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", V2[:12], V2[:16]]))
def test_random_bytes_raise_nothing_else(data: bytes, start: bytes) -> None:
    try:
        parse(start + data)
    except FrameError:
        pass


def test_the_clients_own_address_is_what_routes_and_logs_see() -> None:
    stage = Stage(proxy_protocol=True)
    wire = stage.client()
    stage.say(wire, V1[:10])
    stage.say(wire, V1[10:] + call(7))
    stage.say(stage.server, answer(1))
    assert wire.take() == answer(7)
    facts = stage.downstream(wire).facts
    assert (facts["source.address"], facts["source.port"], facts["destination.port"]) == ("192.0.2.1", "4711", "80")


def test_a_client_without_the_header_is_closed_and_counted() -> None:
    stage = Stage(proxy_protocol=True)
    wire = stage.client()
    stage.say(wire, call(7))
    assert wire.closed
    assert stage.listener.counts.decode_errors == 1
    assert stage.listener.counts.connections_active == 0


def test_a_client_that_says_nothing_is_closed_after_a_while() -> None:
    stage = Stage(proxy_protocol=True)
    wire = stage.client()
    stage.clock.advance(PATIENCE)
    assert wire.closed


NETWORKS = ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:198.51.100.0/120"]


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3:4711", True), ("11.1.2.3:4711", False), ("192.0.2.7:1", True), ("192.0.2.8:1", False),
        ("[fd00::1]:4711", True), ("[fe80::1%eth0]:4711", False), ("[::1]:4711", False),
        ("[::ffff:10.1.2.3]:4711", True), ("[::ffff:11.1.2.3]:4711", False), ("198.51.100.9:1", True),
        ("unix:", False), ("unix:client", False), ("", False), ("nonsense", False),
    ],
)  # fmt: skip
def test_only_the_networks_that_are_listed_are_trusted(peer: str, trusted: bool) -> None:
    assert Trusted(NETWORKS)(peer) is trusted


@pytest.mark.parametrize("peer", ["unix:", "unix:client", "unix:/run/client.sock"])
def test_clients_of_unix_sockets_are_trusted_by_their_own_word(peer: str) -> None:
    assert Trusted(["unix"])(peer)
    assert not Trusted(["unix"])("10.0.0.1:1")


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="cidr"):
        Trusted([network])


@pytest.mark.parametrize("header", [V1, V2, V2_LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_source_that_is_not_trusted_is_refused_before_its_header_is_read(header: bytes) -> None:
    stage = Stage(proxy_protocol=True, proxy_trusted=Trusted(["10.0.0.0/8"]))
    wire = stage.client()
    assert wire.closed
    counts = stage.listener.counts
    assert (counts.connections, counts.connections_refused, counts.connections_active) == (1, 1, 0)


@pytest.mark.parametrize("header", [V1, V2])
def test_a_trusted_source_is_believed(header: bytes) -> None:
    stage = Stage(proxy_protocol=True, proxy_trusted=Trusted(["127.0.0.0/8"]))
    wire = stage.client()
    stage.say(wire, header + call(7))
    assert stage.downstream(wire).facts["source.address"] == "192.0.2.1"
    assert stage.listener.counts.connections_refused == 0
