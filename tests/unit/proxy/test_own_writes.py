"""A client reads its own writes: at the primary for a time, or until a replica has them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from replicated import PRIMARY, SECOND, THIRD, Servers

from metaproxy.message import Kind, Message
from metaproxy.proxy.own_writes import note_write


def at(address: str) -> bytes:
    return f"i {address}\n".encode()


def test_reads_behind_a_write_go_to_the_primary_for_a_time() -> None:
    servers = Servers(read_your_writes=0.5)
    ann, bob = servers.enter(), servers.enter()
    servers.ask(ann, b"write\n")
    assert {servers.ask(ann, b"read\n") for _ in range(4)} == {at(PRIMARY)}
    assert at(PRIMARY) not in {servers.ask(bob, b"read\n") for _ in range(4)}, "another client did not write it"
    servers.run(0.5)
    assert at(PRIMARY) not in {servers.ask(ann, b"read\n") for _ in range(4)}


def test_reads_behind_a_write_go_to_the_replicas_that_are_sure_to_have_it() -> None:
    servers = Servers(read_your_writes=-1.0)
    servers.says = {PRIMARY: "primary 0 1 100", SECOND: "replica 0 0 100", THIRD: "replica 0 0 100"}
    ann = servers.enter()
    assert servers.ask(ann, b"read\n") != at(PRIMARY), "it has written nothing"
    servers.run(0.5)
    servers.ask(ann, b"write\n")
    assert servers.ask(ann, b"read\n") == at(PRIMARY)
    servers.says = {PRIMARY: "primary 0 1 150", SECOND: "replica 0 0 149", THIRD: "replica 0 0 100"}
    servers.run(1.0)
    assert servers.ask(ann, b"read\n") == at(PRIMARY), "neither has what the primary had behind the write"
    servers.says[SECOND] = "replica 0 0 150"
    servers.run(1.0)
    assert {servers.ask(ann, b"read\n") for _ in range(4)} == {at(SECOND)}
    servers.says[THIRD] = "replica 0 0 170"
    servers.run(1.0)
    assert {servers.ask(ann, b"read\n") for _ in range(4)} == {at(SECOND), at(THIRD)}


def test_what_reads_or_was_sent_nowhere_is_no_write() -> None:
    servers = Servers(read_your_writes=60.0)
    ann = servers.enter()
    servers.ask(ann, b"read\n")
    servers.says[PRIMARY] = "away"
    servers.run(1.0)
    servers.ask(ann, b"write\n")
    servers.run(16.0)
    assert servers.ask(ann, b"read\n").endswith((at(SECOND), at(THIRD)))


def test_without_a_word_of_the_codec_whatever_is_not_safe_is_a_write() -> None:
    for word, written in (("read", False), ("put", True)):
        codec = SimpleNamespace(safe=lambda message: message.get("word") == "read")
        message = Message(Kind.REQUEST, b"", 0, {"word": word})
        client = SimpleNamespace(facts={})
        snapshot = SimpleNamespace(codec=codec)
        exchange: Any = SimpleNamespace(endpoint=1, message=message, snapshot=snapshot, client=client, ended=7.0)
        note_write(exchange)
        assert bool(client.facts) is written
