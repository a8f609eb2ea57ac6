"""Which protocol a new client speaks: by ALPN, else by its first bytes; and what becomes of those that speak none."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.auto import Auto
from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.http import Http
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.trpc import Trpc
from metaproxy.interfaces import ICodec
from metaproxy.proxy.detection import MOST
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot
from metaproxy.routing.table import Route, RouteTable
from metaproxy.testing.stage import MemoryNetwork, Wire

CODECS: dict[str, Any] = {
    "dubbo": Dubbo, "brpc": Brpc, "trpc": Trpc, "thrift": Thrift, "redis": Redis, "http": Http,
}  # fmt: skip
FIRST = {
    "dubbo": bytes.fromhex("dabbc2000000000000000007"),
    "brpc": b"PRPC\0\0\0\x28\0\0\0\x21",
    "trpc": bytes.fromhex("093000000000006400500000000700 00"),
    "thrift": bytes.fromhex("0000001a80010001000000046563686f"),
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


class Town:
    """A listener in front, and one behind it for each protocol."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.behind = {name: self.listener(name, codec()) for name, codec in CODECS.items()}
        auto = Auto(list(CODECS), wait=5.0)
        self.front = self.listener("front", auto, candidates=auto.candidates, detection_wait=auto.wait)

    def listener(self, name: str, codec: ICodec, **more: Any) -> Listener:
        none: Route[Any] = Route("-", reply=NO_ROUTE)
        snapshot = ListenerSnapshot(name, (), codec, RouteTable([], random.Random(1)), none, **more)
        return Listener(snapshot, self.network, lambda name: self.behind.get(name))

    def client(self, alpn: str = "") -> Wire:
        wire = Wire(peer="127.0.0.9:4321")
        if alpn:
            wire.facts = {"tls.alpn": alpn}
        protocol = self.front.accepted(wire)
        assert protocol is not None
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def where(self) -> dict[str, int]:
        """How many clients each listener has."""
        found = {"front": len(self.front.clients)}
        found |= {name: len(one.clients) for name, one in self.behind.items()}
        return {name: number for name, number in found.items() if number}


@pytest.mark.parametrize("name", CODECS)
def test_a_clients_first_bytes_bring_it_to_the_listener_of_its_protocol(name: str) -> None:
    town = Town()
    wire = town.client()
    assert town.where() == {"front": 1}
    wire.protocol.dataReceived(FIRST[name])
    assert town.where() == {name: 1}
    assert town.behind[name].counts.connections == 1


@given(st.sampled_from(sorted(CODECS)), st.integers(1, 4))
def test_however_they_are_cut(name: str, size: int) -> None:
    town = Town()
    wire = town.client()
    data = FIRST[name]
    for at in range(0, len(data), size):
        wire.protocol.dataReceived(data[at : at + size])
    assert town.where() == {name: 1}


def test_what_was_read_so_far_reaches_the_protocol() -> None:
    town = Town()
    wire = town.client()
    for byte in FIRST["redis"]:
        wire.protocol.dataReceived(bytes([byte]))
    town.network.clock.advance(0)
    assert wire.take().startswith((b"+", b"-")), "the PING was answered"


def test_what_tls_agreed_on_decides_before_any_byte() -> None:
    town = Town()
    town.client(alpn="h2")
    assert town.where() == {"http": 1}


def test_bytes_of_no_protocol_end_the_connection_and_are_counted() -> None:
    town = Town()
    wire = town.client()
    wire.protocol.dataReceived(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7")
    assert wire.closed
    assert town.where() == {} and town.front.counts.decode_errors == 1


def test_a_client_that_says_too_little_is_let_go_in_time() -> None:
    town = Town()
    wire = town.client()
    wire.protocol.dataReceived(b"P")
    town.network.clock.advance(4.9)
    assert not wire.closed
    town.network.clock.advance(0.2)
    assert wire.closed and town.where() == {}


def test_a_listener_that_drains_takes_nobody_over() -> None:
    town = Town()
    town.behind["http"].draining = True
    wire = town.client()
    wire.protocol.dataReceived(FIRST["http"])
    assert wire.closed and town.where() == {}


def test_a_client_that_leaves_is_forgotten() -> None:
    town = Town()
    wire = town.client()
    wire.protocol.readConnectionLost()
    assert wire.closed and town.where() == {}
    assert town.network.clock.getDelayedCalls() == []


@given(st.sampled_from(sorted(CODECS)), st.binary(max_size=MOST))
def test_no_codec_fails_on_any_bytes_and_none_takes_back_what_it_said(name: str, data: bytes) -> None:
    codec = CODECS[name]()
    said = [codec.detect(data[:end]) for end in range(1, min(len(data), 24) + 1)]
    decided = [one for one in said if one is not None]
    assert len(set(decided)) <= 1 or name == "thrift"
