"""Who looks on at streams: what they are called with, and what they can't do."""

from __future__ import annotations

from typing import Any

from reel import Reel, frame, frames
from running_proxy import Running
from twisted.internet.defer import Deferred

from metaproxy.message import Chunk, Side


class Onlooker:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.heads: list[Side] = []
        self.chunks: list[tuple[Side, bytes]] = []
        self.ends: list[str] = []

    def on_complete(self, exchange: Any) -> None:
        self.ends.append(exchange.outcome)

    def on_head(self, exchange: Any, side: Side) -> None:
        self.heads.append(side)

    def on_chunk(self, exchange: Any, chunk: Chunk, side: Side) -> None:
        self.chunks.append((side, chunk.frame))


def watched(running: Running, onlooker: Any) -> Any:
    running.proxy.watch(onlooker.on_complete, onlooker.on_head, onlooker.on_chunk)
    return onlooker


def run(running: Running, payload: bytes = b"up") -> list[tuple[str, int, bytes]]:
    """A stream from its beginning to its end; what the client got."""
    client = running.client()
    running.say(client, frame("O", 7) + frame("C", 7, payload))
    server = running.network.upstreams[-1]
    id = frames(server.take())[0][1]
    running.say(server, frame("O", id) + frame("C", id, b"down"))
    return frames(client.take())


def test_heads_chunks_and_the_end_are_seen_until_the_onlooker_leaves() -> None:
    running = Running(codec=Reel())
    onlooker = watched(running, Onlooker())
    run(running)
    assert onlooker.heads == [Side.CLIENT, Side.SERVER]
    assert onlooker.chunks == [(Side.CLIENT, b"up"), (Side.SERVER, b"down")]
    assert onlooker.ends == ["ok"]
    running.proxy.unwatch(onlooker.on_complete)
    run(running)
    assert (len(onlooker.heads), len(onlooker.chunks), len(onlooker.ends)) == (2, 2, 1)


def test_it_goes_on_over_a_change_of_the_configuration() -> None:
    running = Running(codec=Reel())
    onlooker = watched(running, Onlooker())
    running.apply(2)
    run(running)
    assert (len(onlooker.heads), len(onlooker.chunks), len(onlooker.ends)) == (2, 2, 1)


def test_whole_messages_have_no_heads_and_no_chunks() -> None:
    running = Running(codec=Reel())
    onlooker = watched(running, Onlooker())
    client = running.client()
    running.say(client, frame("W", 7))
    running.say(running.network.upstreams[0], frame("W", 1))
    assert (onlooker.heads, onlooker.chunks, onlooker.ends) == ([], [], ["ok"])


def test_chunks_are_seen_as_filters_passed_them_on() -> None:
    def loud(exchange: Any, chunk: Chunk, side: Side) -> bytes:
        return chunk.frame.upper()

    running = Running(codec=Reel(), hooks={"on_chunk": (loud,)})
    onlooker = watched(running, Onlooker())
    run(running)
    assert [payload for _, payload in onlooker.chunks] == [b"UP", b"DOWN"]


def test_an_onlooker_that_fails_ends_no_stream() -> None:
    class Clumsy(Onlooker):
        def on_head(self, exchange: Any, side: Side) -> None:
            raise ValueError("head")

        def on_chunk(self, exchange: Any, chunk: Chunk, side: Side) -> None:
            raise ValueError("chunk")

    running = Running(codec=Reel())
    clumsy, other = watched(running, Clumsy()), watched(running, Onlooker())
    assert [one[0] for one in run(running)] == ["O", "C"]
    assert (clumsy.ends, other.ends, len(other.heads), len(other.chunks)) == (["ok"], ["ok"], 2, 2)


def test_an_onlooker_that_leaves_while_a_filter_waits_takes_no_other_hook_along() -> None:
    waiting: list[Deferred[None]] = []

    def wait(exchange: Any, chunk: Chunk, side: Side) -> Deferred[None] | None:
        if side is Side.SERVER:
            return None
        waiting.append(Deferred())
        return waiting[-1]

    running = Running(codec=Reel(), hooks={"on_chunk": (wait,)})
    first, second = watched(running, Onlooker()), watched(running, Onlooker())
    client = running.client()
    running.say(client, frame("O", 7) + frame("D", 7, b"one"))
    running.proxy.unwatch(first.on_complete)
    waiting[0].callback(None)
    running.network.turn.end()
    assert (first.chunks, second.chunks) == ([], [(Side.CLIENT, b"one")])


def test_streams_that_are_open_can_be_listed() -> None:
    running = Running(codec=Reel())
    client = running.client()
    running.say(client, frame("W", 1) + frame("O", 7) + frame("O", 8))
    assert sorted(one.message.id for one in running.proxy.open_streams()) == [7, 8]
    running.say(client, frame("R", 7))
    assert [one.message.id for one in running.proxy.open_streams()] == [8]


def test_a_stream_that_outlasts_its_configuration_is_seen_by_who_comes_later_and_until_they_leave() -> None:
    running = Running(codec=Reel())
    client = running.client()
    running.say(client, frame("O", 7))
    running.apply(2)
    onlooker = watched(running, Onlooker())
    running.say(client, frame("D", 7, b"one"))
    assert onlooker.chunks == [(Side.CLIENT, b"one")]
    running.proxy.unwatch(onlooker.on_complete)
    running.say(client, frame("D", 7, b"two"))
    running.say(running.network.upstreams[0], frame("W", 1))
    assert (len(onlooker.chunks), onlooker.ends) == (1, [])
