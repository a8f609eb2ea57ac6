"""Pushes of servers whose chunks follow, and what asks for a connection on which the server speaks first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import LineCodec
from reel import Reel, frame, frames
from twisted.internet.defer import Deferred

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Reply, Side
from metaproxy.proxy.stream import WINDOW
from metaproxy.testing import Stage, Wire

PUSH = frame("V", 3, b"news")


class Looked:
    def __init__(self) -> None:
        self.exchanges: list[Any] = []

    def on_complete(self, exchange: Any) -> None:
        self.exchanges.append(exchange)

    @property
    def outcomes(self) -> list[str]:
        return [one.outcome for one in self.exchanges]


def pinned(codec: Reel | None = None, **settings: Any) -> tuple[Stage, Wire]:
    """A client that has asked one thing on a connection of its own."""
    stage = Stage(codec or Reel(), connections=ConnectionSettings(mode="pinned"), **settings)
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.server.take()
    stage.say(stage.server, frame("W", 1))
    client.take()
    return stage, client


def test_the_head_of_a_push_and_its_chunks_pass_as_they_come() -> None:
    stage, client = pinned()
    stage.say(stage.server, PUSH + frame("D", 3, b"one"))
    assert frames(client.take()) == [("V", 3, b"news"), ("D", 3, b"one")]
    stage.say(stage.server, frame("C", 3, b"two"))
    assert frames(client.take()) == [("C", 3, b"two")]


def test_it_is_one_exchange_of_outcome_event_that_is_over_with_its_end() -> None:
    looked = Looked()
    stage, client = pinned(hooks={"on_complete": (looked.on_complete,)})
    counts = stage.route.targets[0].counts
    requests, latencies = counts.request_bytes, counts.latency.count
    stage.say(stage.server, PUSH + frame("D", 3, b"one"))
    assert looked.outcomes == ["ok"] and stage.listener.counts.active_exchanges == 1
    stage.say(stage.server, frame("C", 3))
    push = looked.exchanges[-1]
    assert (push.outcome, push.get("kind"), push.route, push.cluster) == ("event", "event_open", "all", "demo")
    assert (push.request_bytes, push.response_chunks, push.streamed, push.attempts) == (0, 2, True, 0)
    assert push.response_bytes == len(PUSH + frame("D", 3, b"one") + frame("C", 3))
    assert counts.outcomes == {"ok": 1, "event": 1}
    assert (counts.request_bytes, counts.latency.count) == (requests, latencies)
    assert stage.listener.counts.active_exchanges == stage.downstream(client).inflight == 0


def test_no_breaker_balancer_or_outlier_detection_counts_it() -> None:
    stage, _ = pinned()
    endpoint = stage.endpoints[0]
    before = (endpoint.counts.successes, endpoint.counts.errors)
    stage.say(stage.server, PUSH)
    assert (stage.cluster.breaker.requests, endpoint.active) == (0, 0)
    stage.say(stage.server, frame("X", 3))
    assert (endpoint.counts.successes, endpoint.counts.errors) == before


def test_its_chunks_pass_the_filters() -> None:
    seen: list[tuple[bytes, Side]] = []

    def louder(exchange: Any, chunk: Chunk, side: Side) -> bytes:
        seen.append((chunk.frame, side))
        return chunk.frame.upper()

    stage, client = pinned()
    stage.route.on_chunk = (louder,)
    stage.say(stage.server, PUSH + frame("D", 3, b"one") + frame("C", 3, b"two"))
    assert [one[2] for one in frames(client.take())] == [b"news", b"ONE", b"TWO"]
    assert seen == [(b"one", Side.SERVER), (b"two", Side.SERVER)]


def test_a_filter_that_ends_it_cuts_it_off_and_what_still_comes_of_it_is_dropped() -> None:
    stage, client = pinned(codec=Reel())
    stage.route.on_chunk = (lambda *_: Reply(ErrorKind.DENIED, "no"),)
    stage.say(stage.server, PUSH + frame("D", 3, b"one"))
    assert frames(client.take())[-1][:2] == ("R", 3)
    assert frames(stage.server.take())[-1][:2] == ("R", 3), "the server is told as well"
    stage.say(stage.server, frame("D", 3, b"more") + frame("C", 3) + frame("v", 4, b"next"))
    assert frames(client.take()) == [("v", 4, b"next")]
    assert stage.route.targets[0].counts.outcomes == {"ok": 1, "denied": 1, "event": 1}


def test_on_a_shared_connection_it_is_dropped_with_its_chunks() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, PUSH + frame("D", 3, b"one") + frame("W", 1) + frame("C", 3))
    assert frames(client.take()) == [("W", 7, b"")]
    assert stage.endpoints[0].counts.unmatched == 1


def test_chunks_of_an_answer_pass_beside_those_of_a_push() -> None:
    stage, client = pinned()
    stage.say(client, frame("W", 8))
    stage.say(stage.server, frame("O", 2) + PUSH + frame("D", 2, b"answer") + frame("D", 3, b"push"))
    assert frames(client.take()) == [("O", 8, b""), ("V", 3, b"news"), ("D", 8, b"answer"), ("D", 3, b"push")]
    stage.say(stage.server, frame("C", 3) + frame("C", 2))
    assert stage.route.targets[0].counts.outcomes == {"ok": 2, "event": 1}


def test_in_a_protocol_of_order_what_comes_behind_it_waits_for_its_end() -> None:
    waiting: list[Deferred[None]] = []

    def wait(exchange: Any, chunk: Chunk, side: Side) -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    stage, client = pinned(Reel(flow="connection", fifo=True))
    stage.route.on_chunk = (wait,)
    stage.say(client, frame("W", 0, b"ask"))
    stage.say(
        stage.server, frame("V", 0, b"news") + frame("C", 0, b"one") + frame("v", 0, b"two") + frame("W", 0, b"three")
    )
    assert [one[2] for one in frames(client.take())] == [b"news"]
    waiting.pop().callback(None)
    stage.clock.advance(0)
    assert [one[2] for one in frames(client.take())] == [b"one", b"two", b"three"]


def test_a_slow_client_holds_up_the_connection_that_it_has_alone() -> None:
    stage, client = pinned(Reel(flow="connection"))
    stage.say(stage.server, PUSH)
    stage.downstream(client).pauseProducing()
    for _ in range(2 * WINDOW // 8192):
        stage.say(stage.server, frame("D", 3, bytes(8192)))
    assert stage.server.paused
    stage.downstream(client).resumeProducing()
    assert not stage.server.paused


@pytest.mark.parametrize("begun", [True, False])
def test_a_server_that_ends_within_it_ends_the_exchange(begun: bool) -> None:
    looked = Looked()
    stage, client = pinned(Reel(flow="connection", fifo=True), hooks={"on_complete": (looked.on_complete,)})
    if not begun:  # an answer before it is still with a filter
        stage.route.on_response = (lambda exchange: Deferred(),)
        stage.say(client, frame("W", 0))
        stage.say(stage.server, frame("W", 0))
    stage.say(stage.server, frame("V", 0) + frame("D", 0, b"one"))
    stage.server.end()
    assert "event" not in looked.outcomes and "reset" in looked.outcomes
    assert stage.downstream(client).inflight == 0


def test_a_server_gives_it_up() -> None:
    stage, client = pinned()
    stage.say(stage.server, PUSH + frame("R", 3))
    assert [one[:2] for one in frames(client.take())] == [("V", 3), ("R", 3)]
    assert stage.route.targets[0].counts.outcomes == {"ok": 1, "reset": 1}


def test_a_client_that_leaves_within_it_completes_the_exchange() -> None:
    stage, client = pinned()
    stage.say(stage.server, PUSH)
    client.end()
    assert stage.route.targets[0].counts.outcomes == {"ok": 1, "downstream_gone": 1}
    assert stage.listener.counts.active_exchanges == 0


# -- a server that speaks first


def greeting(**settings: Any) -> Stage:
    codec = LineCodec()
    codec.server_first = True
    return Stage(codec, connections=ConnectionSettings(mode="pinned"), **settings)


def test_a_client_that_arrives_is_an_exchange_of_kind_connect_without_bytes() -> None:
    looked, asked = Looked(), []

    def on_request(exchange: Any) -> None:
        asked.append((exchange.message.kind, exchange.get("kind"), exchange.get("source.address")))

    stage = greeting(hooks={"on_request": (on_request,), "on_complete": (looked.on_complete,)})
    stage.client()
    stage.clock.advance(0)
    assert asked == [(Kind.CONNECT, "connect", "127.0.0.9")]
    assert looked.outcomes == ["ok"] and stage.server.take() == b""


def test_no_session_is_asked_to_send_it() -> None:
    sent: list[Message] = []

    class Listening(LineCodec):
        server_first = True

        def session(self, side: Side, max_frame: int) -> Any:
            session = super().session(side, max_frame)
            send: Callable[[Message, int], bytes] = session.send
            session.send = lambda message, id: sent.append(message) or send(message, id)  # type: ignore[method-assign,func-returns-value]
            return session

    stage = Stage(Listening(), connections=ConnectionSettings(mode="pinned"))
    client = stage.client()
    stage.clock.advance(0)
    stage.say(stage.server, b"event welcome\n")
    assert client.take() == b"event welcome\n"
    assert [message.kind for message in sent] == [Kind.EVENT]


def test_a_client_that_no_server_is_there_for_gets_the_codecs_error_and_is_closed() -> None:
    stage = greeting(endpoints=0)
    client = stage.client()
    assert client.take().startswith(b"fail no_endpoint") and client.closed


def test_a_filter_may_refuse_it() -> None:
    stage = greeting(hooks={"on_request": (lambda exchange: Reply(ErrorKind.DENIED, "not you"),)})
    client = stage.client()
    assert client.take().startswith(b"fail denied") and client.closed
    assert stage.network.upstreams == []


def test_what_the_client_says_meanwhile_waits_for_the_connection() -> None:
    stage = greeting()
    client = stage.client()
    client.protocol.dataReceived(b"get a\n")
    stage.clock.advance(0)
    assert stage.server.take() == b"get a\n"
    stage.say(stage.server, b"event welcome\nvalue\n")
    assert client.take() == b"event welcome\nvalue\n"
