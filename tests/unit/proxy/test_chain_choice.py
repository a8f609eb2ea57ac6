"""Connections of a listener with chains: handed over at once, by their first bytes, or not at all."""

from __future__ import annotations

import random
from typing import Any

import pytest
from harness import Quill, call
from tls_hellos import CALLS

from metaproxy.codecs.auto import Auto
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.interfaces import ICodec
from metaproxy.proxy.chains import Chain, ChainTable
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot
from metaproxy.routing.table import Route, RouteTable
from metaproxy.testing.stage import MemoryNetwork, Wire


class Gate:
    """A listener with chains, and those behind it."""

    def __init__(self, *chains: Chain, **behind: ICodec) -> None:
        self.network = MemoryNetwork()
        self.behind = {name: self.listener(name, codec) for name, codec in behind.items()}
        self.meant: dict[str, str] = {}
        self.front = self.listener("front", Auto(wait=5.0), chains=ChainTable(chains, 5.0), hand_over=True)

    def listener(self, name: str, codec: ICodec, **more: Any) -> Listener:
        none: Route[Any] = Route("-", reply=NO_ROUTE)
        snapshot = ListenerSnapshot(name, (), codec, RouteTable([], random.Random(1)), none, **more)
        return Listener(snapshot, self.network, self.find, lambda where: self.find(self.meant.get(where, "")))

    def find(self, name: str) -> Listener | None:
        return self.behind.get(name)

    def client(self, destination: str = "10.0.0.1:80") -> Wire:
        wire = Wire(destination, "127.0.0.9:4321")
        protocol = self.front.accepted(wire)
        assert protocol is not None
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def say(self, wire: Wire, data: bytes) -> None:
        wire.protocol.dataReceived(data)
        self.network.clock.advance(0)

    @property
    def clients(self) -> dict[str, int]:
        listeners = {"front": self.front, **self.behind}
        return {name: len(one.clients) for name, one in listeners.items() if one.clients}


def test_a_connection_is_handed_over_at_once_where_no_chain_looks_at_its_bytes() -> None:
    gate = Gate(Chain("a", ports=(80,)), Chain("b"), a=Quill(), b=Quill())
    gate.client()
    gate.client("10.0.0.1:81")
    assert gate.clients == {"a": 1, "b": 1}


def test_else_its_first_bytes_are_waited_for_and_handed_over_with_it() -> None:
    gate = Gate(Chain("plain", encrypted=False), Chain("tls", encrypted=True), plain=Quill(), tls=Quill())
    client = gate.client()
    assert gate.clients == {"front": 1}
    gate.say(client, call(1))
    assert gate.clients == {"plain": 1}
    assert gate.behind["plain"].counts.requests == 1
    for piece in CALLS:
        other = gate.client()
        gate.say(other, piece[:7])
        assert gate.clients["front"] == 1
        gate.say(other, piece[7:])
    assert gate.clients == {"plain": 1}, "the codec of the other refuses these bytes"
    assert gate.behind["tls"].counts.connections == gate.behind["tls"].counts.decode_errors == len(CALLS)


def test_a_client_that_waits_for_its_server_to_speak_counts_as_one_without_tls() -> None:
    gate = Gate(Chain("plain", encrypted=False), Chain("tls", encrypted=True), plain=Quill(), tls=Quill())
    gate.client()
    gate.network.clock.advance(5.1)
    assert gate.clients == {"plain": 1}


def test_a_connection_that_no_chain_is_for_is_refused_and_counted() -> None:
    gate = Gate(Chain("tls", encrypted=True), tls=Quill())
    client = gate.client()
    gate.say(client, call(1))
    assert client.closed and gate.clients == {}
    assert gate.front.counts.decode_errors == 1


def test_a_chain_may_lead_to_a_listener_that_looks_at_the_bytes() -> None:
    gate = Gate(Chain("auto"), dubbo=Dubbo())
    auto = Auto(["dubbo"])
    gate.behind["auto"] = gate.listener("auto", auto, candidates=auto.candidates)
    client = gate.client()
    assert gate.clients == {"auto": 1}
    gate.say(client, bytes.fromhex("dabbc2000000000000000007"))
    assert gate.clients == {"dubbo": 1}


@pytest.mark.parametrize("ends", ["end", "close"])
def test_a_client_that_leaves_before_it_is_known_leaves_nothing(ends: str) -> None:
    gate = Gate(Chain("tls", encrypted=True), tls=Quill())
    client = gate.client()
    if ends == "end":
        client.end()
    else:
        gate.front.close()
    assert gate.clients == {}
    assert gate.network.clock.getDelayedCalls() == []


def test_where_it_was_meant_to_go_comes_before_the_chains() -> None:
    gate = Gate(Chain("rest"), cart=Quill(), rest=Quill())
    gate.meant["10.0.0.7:20880"] = "cart"
    gate.client("10.0.0.7:20880")
    gate.client("10.0.0.8:20880")
    assert gate.clients == {"cart": 1, "rest": 1}


def test_http_is_told_from_other_bytes_without_tls() -> None:
    gate = Gate(Chain("http", encrypted=False, alpn=("http/1.1",)), Chain("rest"), http=Quill(), rest=Quill())
    gate.say(gate.client(), b"GET / HTTP/1.1\r\n")
    gate.say(gate.client(), call(1))
    assert gate.behind["http"].counts.connections == gate.behind["rest"].counts.connections == 1
