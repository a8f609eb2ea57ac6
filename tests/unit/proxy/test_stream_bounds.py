"""What a peer that streams can make the proxy keep, and how it goes on behind that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import pytest
from leftovers import no_collector
from reel import Reel, ReelSession, credits_of, frame, frames
from twisted.internet.defer import Deferred
from zope.interface import implementer

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.interfaces import ILoadBalancer
from metaproxy.message import Chunk, Message, Side
from metaproxy.proxy.client_streams import RESTS
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.proxy.stream import PIECES, WINDOW, Stream
from metaproxy.testing import Stage


def kept(stage: Stage) -> list[Deferred[None]]:
    """A filter keeps the chunks of servers: the Deferreds that it waits for."""
    waiting: list[Deferred[None]] = []

    def wait(exchange: object, chunk: Chunk, side: Side) -> Deferred[None] | None:
        if side is Side.CLIENT:
            return None
        waiting.append(Deferred())
        return waiting[-1]

    stage.route.on_chunk = (wait,)
    return waiting


@pytest.mark.parametrize("flow", ["stream", "connection"])
def test_a_client_that_sends_empty_pieces_is_not_read_while_too_many_wait(flow: str) -> None:
    stage = Stage(Reel(flow=flow))
    stage.network.accept = False
    client = stage.client()
    stage.say(client, frame("O", 7) + frame("D", 7) * PIECES)
    assert not client.paused
    stage.say(client, frame("D", 7))
    assert client.paused
    wire = stage.network.establish(stage.network.dialled[0][1], "127.0.0.1:1000")
    stage.clock.advance(0)
    assert not client.paused
    assert len(frames(wire.take())) == PIECES + 2


def test_a_client_that_sends_empty_pieces_is_not_read_while_its_server_takes_none() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("O", 7))
    stage.server.protocol.pauseProducing()
    stage.say(client, frame("D", 7) * (PIECES + 1))
    assert client.paused
    stage.server.protocol.resumeProducing()
    assert not client.paused


def test_a_server_that_sends_empty_pieces_while_a_filter_waits_loses_the_exchange() -> None:
    stage = Stage(Reel())
    kept(stage)
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("O", 1))
    for _ in range(20):
        stage.say(stage.server, frame("D", 1) * PIECES)
    assert stage.route.targets[0].counts.outcomes == {"bad_response": 1}
    assert [one[0] for one in frames(client.take())] == ["O", "R"]


def test_pieces_of_a_request_that_are_kept_for_another_try_are_bounded_in_number() -> None:
    stage = Stage(Reel(), endpoints=2)
    stage.route.retry = RetryPolicy(attempts=1, on=("reset",), unsafe=True)
    client = stage.client()
    stage.say(client, frame("O", 7) + frame("D", 7) * (PIECES + 1))
    stage.say(stage.network.upstreams[0], frame("R", 1))
    stage.clock.advance(1)
    assert frames(client.take())[0][2].startswith(b"reset: ")


def test_a_client_of_many_streams_that_takes_nothing_is_not_read_once_too_much_waits() -> None:
    stage = Stage(Reel(), max_buffered=1000)
    client = stage.client()
    stage.say(client, frame("W", 7))
    client.protocol.pauseProducing()
    client.buffered = 2000
    stage.say(stage.server, frame("W", 1, b"x"))
    assert client.paused
    client.buffered = 0
    client.protocol.resumeProducing()
    assert not client.paused
    stage.say(client, frame("W", 8))
    assert frames(stage.server.take())[-1][:2] == ("W", 2)


def test_a_client_of_many_streams_that_takes_nothing_is_closed_at_the_last_bound() -> None:
    stage = Stage(Reel(), max_buffered=1000)
    client = stage.client()
    stage.say(client, frame("W", 7))
    client.protocol.pauseProducing()
    client.buffered = 5000
    stage.say(stage.server, frame("W", 1, b"x"))
    assert client.closed


def test_a_client_is_read_again_once_a_filter_lets_go_what_it_kept_of_the_only_answer() -> None:
    stage = Stage(Reel(fifo=True, flow="connection"), max_buffered=100)
    waiting = kept(stage)
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("O", 1) + frame("D", 1) + frame("D", 1, bytes(200)) + frame("C", 1))
    assert client.paused
    while waiting:
        waiting.pop(0).callback(None)
        stage.clock.advance(0)
    assert not client.paused
    stage.say(client, frame("W", 8))
    assert frames(stage.server.take())[-1] == ("W", 0, b"")


def test_what_a_filter_keeps_as_an_exchange_ends_is_counted_once() -> None:
    stage = Stage(Reel(flow="connection"), max_buffered=1000)
    stage.codec.ordered = True
    waiting = kept(stage)
    client = stage.client()
    for number in range(1, 4):
        stage.say(client, frame("W", number))
        wire = stage.network.upstreams[-1]
        id = frames(wire.take())[-1][1]
        stage.say(wire, frame("O", id) + frame("D", id, bytes(900)))
        stage.say(wire, frame("R", id))
    assert len(waiting) == 3
    stage.say(client, frame("W", 5))
    wire = stage.network.upstreams[-1]
    id = frames(wire.take())[-1][1]
    stage.say(wire, frame("O", id) + frame("D", id) + frame("D", id, bytes(1100)))
    assert client.paused


def test_a_client_is_read_again_when_it_resets_a_request_that_has_not_begun() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(client, frame("O", 8) + frame("D", 8, bytes(WINDOW + 1)) + frame("R", 8))
    assert not client.paused


def test_a_request_that_is_reset_before_it_begins_is_credited() -> None:
    stage = Stage(Reel(capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(client, frame("O", 8) + frame("D", 8, b"piece") + frame("R", 8))
    assert credits_of(stage.downstream(client).session) == {8: 5}


def test_a_second_request_under_the_id_of_one_that_is_open_ends_the_connection() -> None:
    stage = Stage(Reel(capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 7) + frame("O", 8) + frame("O", 8) + frame("C", 8))
    stage.say(stage.server, frame("W", 1))
    stage.say(stage.network.upstreams[-1], frame("W", 1))
    assert [one[:2] for one in frames(client.take())] == [("W", 7), ("W", 8)]
    assert stage.listener.counts.decode_errors == 1
    assert client.closed
    assert stage.listener.counts.active_exchanges == 0


@implementer(ILoadBalancer)
class FirstAlone:
    """The first request goes to the first endpoint, all others to the second."""

    uses_hash = False

    def __init__(self, endpoints: Sequence[Any]) -> None:
        self._turns = chain((endpoints[0],), repeat(endpoints[1]))

    def pick(self, hash_value: int) -> Any:
        return next(self._turns)


def test_any_number_of_answers_that_waited_for_the_first_are_written_behind_it() -> None:
    stage = Stage(Reel(fifo=True, flow="connection"), endpoints=2, balancer=FirstAlone)
    client = stage.client()
    number = 600
    for id in range(number):
        stage.say(client, frame("W", id))
        if id:
            stage.say(stage.network.upstreams[1], frame("O", 0) + frame("C", 0))
    assert client.take() == b""
    stage.say(stage.network.upstreams[0], frame("W", 0))
    assert [id for kind, id, _ in frames(client.take()) if kind in "WC"] == list(range(number))


@pytest.mark.parametrize("id", [7, 8])
def test_of_requests_that_were_answered_before_their_end_a_few_are_remembered(id: int) -> None:
    stage = Stage(Reel())
    with no_collector(Stream) as left:
        client = stage.client()
        for number in range(1, 3 * RESTS):
            stage.say(client, frame("O", number))
            stage.say(stage.server, frame("W", number))
        assert left.count()["Stream"] == RESTS
        client.take()
        stage.say(client, frame("D", id, b"late") + frame("C", id))
        stage.say(client, frame("W", 1000))
        stage.say(stage.server, frame("W", 3 * RESTS))
    assert frames(client.take()) == [("W", 1000, b"")]
    assert credits_of(stage.downstream(client).session) == {id: 4}


class FaultySession(ReelSession):
    def send(self, message: Message, id: int) -> bytes:
        if self.faulty and message.frame == b"fault":
            raise RuntimeError("a fault of the codec")
        return super().send(message, id)

    faulty = False


class Faulty(Reel):
    """A codec whose session for servers fails at one chunk."""

    def session(self, side: Side, max_frame: int) -> ReelSession:
        session = FaultySession(side, max_frame, self)
        session.faulty = side is Side.SERVER
        return session


def test_a_codec_that_fails_at_a_chunk_for_a_server_costs_that_exchange_alone() -> None:
    stage = Stage(Faulty())
    client = stage.client()
    stage.say(client, frame("O", 7) + frame("W", 8))
    stage.say(client, frame("D", 7, b"fault") + frame("C", 7))
    assert [one[:2] for one in frames(client.take())] == [("E", 7)]
    stage.say(stage.server, frame("W", 2))
    assert [one[:2] for one in frames(client.take())] == [("W", 8)]
    assert stage.cluster.breaker.requests == 0
    assert stage.server.closed  # the codec's state there is not known


def test_a_mirror_whose_codec_fails_at_a_chunk_costs_the_original_nothing() -> None:
    stage, aside = Stage(Reel()), Stage(Faulty())
    stage.route.mirror = Mirror([MirrorTarget(aside.cluster)], lambda: 0.0)
    client = stage.client()
    stage.say(client, frame("O", 7))
    stage.say(client, frame("D", 7, b"fault") + frame("C", 7))
    own = stage.network.upstreams[0]
    assert [one[0] for one in frames(own.take())] == ["O", "D", "C"]
    stage.say(own, frame("W", 1))
    assert [one[:2] for one in frames(client.take())] == [("W", 7)]
    assert aside.cluster.breaker.requests == 0
