"""
The order of answers: that of the requests; on a connection with channels (ICodec.lanes) answers go by id, and yet
nothing overtakes what a filter still has.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import HEAD, LineCodec, Quill, Stage, answer, call
from twisted.internet.defer import Deferred

from metaproxy.codecs.framing import LengthFramed
from metaproxy.interfaces import IExchange
from metaproxy.message import Kind, Message, Reply, Side

Waits = dict[int, Deferred[Reply | None]]


class Laned(Quill):
    """Quill with channels; what answers request 0 is a push."""

    lanes = True
    connections = "pinned"
    beats = True

    def parse(self, frame: bytes) -> Message:
        message = super().parse(frame)
        if message.kind is Kind.RESPONSE and not message.id:
            message.kind = Kind.EVENT
        return message


class Unordered(Laned):
    lanes = False


class Ordered(Unordered):
    ordered = True


def holding(waits: Waits, *ids: int) -> Callable[[IExchange], Deferred[Reply | None] | None]:
    """A hook that takes its time with these requests."""

    def hook(exchange: IExchange) -> Deferred[Reply | None] | None:
        id = exchange.message.id
        if id not in ids:
            return None
        waits[id] = Deferred()
        return waits[id]

    return hook


def test_answers_without_ids_keep_the_order_although_endpoints_differ_in_speed() -> None:
    stage = Stage(codec=LineCodec(), endpoints=2)
    client = stage.client()
    stage.say(client, b"get a\nget b\nget c\n")
    slow, fast = sorted(stage.network.upstreams, key=lambda wire: b"get a" not in wire.written)
    stage.say(fast, b"value b\n")
    assert client.take() == b""
    stage.say(slow, b"value a\nvalue c\n")
    assert client.take() == b"value a\nvalue b\nvalue c\n"


def test_what_the_codec_answers_itself_keeps_its_place() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"get a\nlocal\nget b\n")
    assert client.take() == b""
    stage.say(stage.server, b"value a\nvalue b\n")
    assert client.take() == b"value a\nlocal\nvalue b\n"
    assert stage.listener.counts.local_answers == 1


@pytest.mark.parametrize("codec", [Laned, Ordered])
def test_requests_wait_for_one_that_a_filter_still_has(codec: type[Laned]) -> None:
    waits: Waits = {}
    stage = Stage(codec(), hooks={"on_request": (holding(waits, 2),)})
    client = stage.client()
    stage.say(client, call(1) + call(2) + call(3) + call(4))
    assert stage.server.take() == call(1)
    waits[2].callback(None)
    stage.clock.advance(0)
    assert stage.server.take() == call(2) + call(3) + call(4)


def test_without_channels_they_dont() -> None:
    stage = Stage(Unordered(), hooks={"on_request": (holding({}, 2),)})
    client = stage.client()
    stage.say(client, call(1) + call(2) + call(3))
    assert stage.server.take() == call(1) + HEAD.pack(15, 2, 4) + b"echohi"


def test_a_request_that_is_refused_lets_go_of_what_waits_for_it() -> None:
    waits: Waits = {}
    stage = Stage(Laned(), hooks={"on_request": (holding(waits, 1),)})
    client = stage.client()
    stage.say(client, call(1) + call(2))
    waits[1].callback(Reply(None, frame=answer(1, b"no")))
    stage.clock.advance(0)
    stage.clock.advance(0)
    assert client.take() == answer(1, b"no")
    assert stage.server.take() == HEAD.pack(15, 1, 4) + b"echohi"


def test_answers_and_pushes_wait_for_an_answer_that_a_filter_still_has() -> None:
    waits: Waits = {}
    stage = Stage(Laned(), hooks={"on_response": (holding(waits, 2, 3),)})
    client = stage.client()
    stage.say(client, b"".join(call(id) for id in range(1, 6)))
    stage.server.take()
    stage.say(stage.server, answer(1) + answer(2) + answer(0) + answer(4) + answer(3) + answer(0, b"later"))
    assert client.take() == answer(1)
    waits[2].callback(None)
    stage.clock.advance(0)
    assert client.take() == answer(2) + answer(0) + answer(4)
    stage.say(stage.server, answer(5))
    assert client.take() == b""
    waits[3].callback(None)
    stage.clock.advance(0)
    assert client.take() == answer(3) + answer(0, b"later") + answer(5)
    assert stage.cluster.breaker.requests == 0


def test_answers_that_come_in_another_order_pass_as_they_come() -> None:
    stage = Stage(Laned(), hooks={"on_response": (holding({}),)})
    client = stage.client()
    stage.say(client, call(1) + call(2))
    stage.say(stage.server, answer(2) + answer(1))
    assert client.take() == answer(2) + answer(1)


def test_a_session_hears_before_each_beat_whether_its_peer_is_read() -> None:
    heard: list[tuple[Side, bool]] = []

    class Beating(Laned):
        def session(self, side: Side, max_frame: int) -> LengthFramed:
            session = super().session(side, max_frame)
            session.beat = lambda now: heard.append((side, session.unread))  # type: ignore[method-assign]
            return session

    stage = Stage(Beating(), max_inflight=2)
    client = stage.client()
    stage.say(client, call(1))
    stage.listener.sweep(1.0)
    stage.say(client, call(2) + call(3))
    stage.listener.sweep(2.0)
    assert heard == [(Side.CLIENT, False), (Side.CLIENT, client.paused)]
    assert client.paused
