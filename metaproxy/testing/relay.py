"""
`check_relay`: a whole conversation through the data path, in memory, cut in every way and broken off at every step.

Lives here: that check. Does not: what single frames mean (`check_codec`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from metaproxy.interfaces import ICodec
from metaproxy.message import Side
from metaproxy.testing.report import hexdump, need
from metaproxy.testing.stage import Stage, Wire

Conversation = Sequence[tuple[Side, bytes]]
Normal = Callable[[bytes], object]
BYTEWISE = 4096
"""Bytes of a conversation up to which it is also fed one by one."""


class _Said(NamedTuple):
    to_server: bytes
    to_client: bytes


def check_relay(
    codec: ICodec,
    conversation: Conversation,
    server_gets: bytes | None = None,
    client_gets: bytes | None = None,
    normal: Normal = bytes,
) -> None:
    """
    Raise AssertionError unless a conversation passes the proxy as it should.

    conversation: who says what, in order; one client, one server. Where answers go by id, a server's frames carry those
    that the proxy gives: 1, 2, 3 in the order of the requests. server_gets, client_gets: the bytes that must come out;
    None: what comes out when nothing is cut. normal: what is compared of them, where the protocol has several ways to
    write the same. Checked: the same comes out however the conversation is cut; every exchange ends; and whichever side
    leaves after any step, nothing is left under way.
    """
    whole = _play(codec, conversation, lambda data: [data])
    for what, given, got in (
        ("the server", server_gets, whole.to_server),
        ("the client", client_gets, whole.to_client),
    ):
        if given is not None:
            text = f"{what} gets other bytes than it should:\n{hexdump(given)}\nit got"
            need(normal(got) == normal(given), text, got)
    for name, cut in _cuts(sum(len(data) for _, data in conversation)):
        said = _play(codec, conversation, cut)
        for what, before, after in zip(("the server", "the client"), whole, said, strict=True):
            text = f"{name}, {what} gets other bytes than from the whole:\n{hexdump(before)}\nit got"
            need(normal(after) == normal(before), text, after)
    for step in range(len(conversation) + 1):
        for side in Side:
            _break_off(codec, conversation[:step], side)


def _cuts(size: int) -> Iterator[tuple[str, Callable[[bytes], list[bytes]]]]:
    if size <= BYTEWISE:
        yield "byte by byte", lambda data: [data[at : at + 1] for at in range(len(data))]
    for seed in range(4):
        yield f"cut at random (seed {seed})", _random_cut(random.Random(seed))


def _random_cut(chance: random.Random) -> Callable[[bytes], list[bytes]]:
    def cut(data: bytes) -> list[bytes]:
        places = sorted(chance.randrange(len(data) + 1) for _ in range(3))
        return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]

    return cut


class _Room:
    """A stage, its client, and what has come to both ends."""

    def __init__(self, codec: ICodec) -> None:
        self.stage = Stage(codec)
        self.client = self.stage.client()
        self.stage.clock.advance(0)  # a server that speaks first is connected to by now
        self.said = {Side.SERVER: b"", Side.CLIENT: b""}

    def server(self) -> Wire:
        need(bool(self.stage.network.upstreams), "the server speaks before anything was sent to it")
        return self.stage.network.upstreams[0]

    def say(self, side: Side, data: bytes) -> None:
        if data:
            self.stage.say(self.client if side is Side.CLIENT else self.server(), data)
            self.collect()

    def collect(self) -> None:
        self.said[Side.CLIENT] += self.client.take()
        for wire in self.stage.network.upstreams:
            self.said[Side.SERVER] += wire.take()

    def check_over(self, what: str) -> None:
        endpoint, breaker = self.stage.endpoints[0], self.stage.cluster.breaker
        need(endpoint.active == 0, f"{what}, {endpoint.active} exchanges are still under way at the server")
        need(breaker.requests == 0, f"{what}, {breaker.requests} requests still count in the breaker")
        need(breaker.pending == 0, f"{what}, {breaker.pending} requests still wait for a connection")


def _play(codec: ICodec, conversation: Conversation, cut: Callable[[bytes], list[bytes]]) -> _Said:
    room = _Room(codec)
    for side, data in conversation:
        for piece in cut(data):
            room.say(side, piece)
    room.collect()
    room.check_over("at the end of the conversation")
    return _Said(room.said[Side.SERVER], room.said[Side.CLIENT])


def _break_off(codec: ICodec, conversation: Conversation, side: Side) -> None:
    """Play some of it; then one side leaves, and after an hour nothing of it is left."""
    room = _Room(codec)
    for speaker, data in conversation:
        room.say(speaker, data)
    wires = [room.client] if side is Side.CLIENT else list(room.stage.network.upstreams)
    for wire in wires:
        wire.end()
    for _ in range(60):
        room.stage.clock.advance(60.0)
    who = "the client" if side is Side.CLIENT else "the server"
    room.check_over(f"an hour after {who} left behind step {len(conversation)}")
