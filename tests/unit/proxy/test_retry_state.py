from __future__ import annotations

from typing import Any

import pytest
from harness import HEAD, LineCodec, Quill, Stage, Wire, answer, call
from reel import Reel, ReelSession, frame, frames

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.message import Kind, Message, Mutation, Side

FAILURE = HEAD.pack(9, 1, 0x80)


class Reads(Quill):
    """Quill whose service `read` may be repeated."""

    def safe(self, request: Message) -> bool:
        return request.get("service") == "read"


class Numbered(Reads):
    """Its service `write` is only answered if it was executed before."""

    def repeatable(self, request: Message) -> bool:
        return request.get("service") in ("read", "write")


def retried(breaker: Breaker | None = None, endpoints: int = 2, codec: Reads | None = None, **policy: Any) -> Stage:
    stage = Stage(
        codec=codec or Reads(), endpoints=endpoints, breaker=breaker, connections=ConnectionSettings(mode="pool")
    )
    defaults: dict[str, Any] = {"attempts": 2, "on": ["connect", "reset", "timeout", "error"], "backoff": (0.1, 1.0)}
    stage.route.retry = RetryPolicy(**{**defaults, **policy}, uniform=lambda: 1.0)
    return stage


def test_a_request_that_never_left_is_tried_at_another_endpoint() -> None:
    stage = retried()
    stage.network.accept = False
    client = stage.client()
    stage.say(client, call(7, "write"))
    first, protocol = stage.network.dialled[0]
    stage.network.accept = True
    protocol.connectionFailed("refused", False)
    stage.clock.advance(0.1)
    stage.clock.advance(0)
    second, _ = stage.network.dialled[1]
    assert second != first
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)
    assert stage.route.targets[0].counts.retries == 1
    assert stage.cluster.breaker.retries == 0


def test_a_request_that_may_have_been_executed_is_repeated_only_if_that_is_safe() -> None:
    stage = retried()
    client = stage.client()
    stage.say(client, call(7, "write"))
    stage.server.end()
    stage.clock.advance(0)
    assert b"connection lost" in client.take()
    stage.say(client, call(8, "read"))
    stage.network.upstreams[1].end()
    stage.clock.advance(0.2)
    stage.clock.advance(0)
    stage.say(stage.network.upstreams[2], answer(1))
    assert client.take() == answer(8)


def test_what_the_server_itself_executes_once_is_repeated_and_never_hedged() -> None:
    stage = retried(codec=Numbered(), hedge_after=0.5)
    client = stage.client()
    stage.say(client, call(7, "write"))
    stage.clock.advance(1)
    assert len(stage.network.upstreams) == 1
    stage.server.end()
    stage.clock.advance(0.2)
    stage.clock.advance(0)
    stage.say(stage.network.upstreams[1], answer(1))
    assert client.take() == answer(7)


def test_unsafe_repeats_whatever_it_is() -> None:
    stage = retried(unsafe=True)
    client = stage.client()
    stage.say(client, call(7, "write"))
    stage.server.end()
    stage.clock.advance(0.2)
    stage.clock.advance(0)
    stage.say(stage.network.upstreams[1], answer(1))
    assert client.take() == answer(7)


def test_the_last_failure_is_what_the_client_gets() -> None:
    stage = retried(attempts=1)
    client = stage.client()
    stage.say(client, call(7, "read"))
    stage.say(stage.server, FAILURE)
    assert client.take() == b""
    stage.clock.advance(0.2)
    stage.clock.advance(0)
    stage.say(stage.network.upstreams[1], FAILURE + b"")
    assert client.take() == HEAD.pack(9, 7, 0x80)
    assert stage.route.targets[0].counts.outcomes == {"error": 1}


def test_each_try_has_its_own_time_and_the_route_the_whole() -> None:
    stage = retried(per_try_timeout=1.0, attempts=5)
    stage.route.timeout = 2.5
    client = stage.client()
    stage.say(client, call(7, "read"))
    for _ in range(30):
        stage.clock.advance(0.1)
    assert len(stage.network.upstreams) == 3
    assert b"no answer within 2.5 s" in client.take()
    assert stage.cluster.breaker.requests == 0


def test_the_back_off_doubles_up_to_its_bound() -> None:
    policy = RetryPolicy(9, backoff=(0.1, 0.5), uniform=lambda: 1.0)
    assert [policy.delay(tries) for tries in (1, 2, 3, 4, 5)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_the_budget_bounds_retries_under_way() -> None:
    stage = retried(breaker=Breaker(max_retries=1), unsafe=True)
    client = stage.client()
    for id in (1, 2):
        stage.say(client, call(id))
    for wire in list(stage.network.upstreams):
        wire.end()
    stage.clock.advance(0.2)
    stage.clock.advance(0)
    stage.network.upstreams[2].end()
    stage.clock.advance(0)
    assert stage.cluster.breaker.retries in (0, 1)
    for _ in range(20):
        stage.clock.advance(1)
    assert stage.cluster.breaker.retries == stage.cluster.breaker.requests == 0


def test_a_hedge_is_sent_beside_a_slow_first_try_and_the_first_answer_wins() -> None:
    stage = retried(hedge_after=0.5)
    client = stage.client()
    stage.say(client, call(7, "read"))
    stage.clock.advance(0.5)
    stage.clock.advance(0)
    slow, hedge = stage.network.upstreams
    assert hedge.take() == call(1, "read")
    stage.say(hedge, answer(1))
    assert client.take() == answer(7)
    assert slow.closed, "its answer is still to come, so it can't serve anybody else"
    assert stage.route.targets[0].counts.hedges == 1
    assert stage.cluster.breaker.requests == 0


def test_what_is_not_safe_is_never_hedged() -> None:
    stage = retried(hedge_after=0.5)
    client = stage.client()
    stage.say(client, call(7, "write"))
    stage.clock.advance(1)
    assert len(stage.network.upstreams) == 1


def test_a_client_that_leaves_ends_all_tries() -> None:
    stage = retried(hedge_after=0.5)
    client = stage.client()
    stage.say(client, call(7, "read"))
    stage.clock.advance(0.5)
    client.end()
    stage.clock.advance(10)
    assert stage.cluster.breaker.requests == stage.cluster.breaker.retries == 0
    assert all(wire.closed for wire in stage.network.upstreams)


def test_nothing_is_repeated_once_a_byte_of_the_answer_has_come() -> None:
    for unsafe in (True, False):
        stage = retried(unsafe=unsafe)
        client = stage.client()
        stage.say(client, call(7, "read"))
        stage.say(stage.server, answer(1)[:7])
        stage.server.end()
        stage.clock.advance(5)
        assert b"connection lost" in client.take()
        assert stage.route.targets[0].counts.retries == 0


def test_a_try_whose_answer_has_begun_is_not_repeated_when_its_time_is_over() -> None:
    stage = retried(per_try_timeout=1.0)
    client = stage.client()
    stage.say(client, call(7, "read"))
    stage.say(stage.server, answer(1)[:7])
    stage.clock.advance(1.0)
    stage.clock.advance(1.0)
    assert b"per_try_timeout" in client.take()
    assert len(stage.network.dialled) == 1


def test_in_a_pipeline_only_the_one_that_is_being_answered_is_lost_for_good() -> None:
    class ReadLines(LineCodec):
        def safe(self, request: Message) -> bool:
            return True

    stage = Stage(codec=ReadLines(), endpoints=2)
    stage.route.retry = RetryPolicy(1, ["reset"], backoff=(0.1, 0.1), uniform=lambda: 1.0)
    client = stage.client()
    stage.say(client, b"get a\nget b\nget c\n")
    server = next(wire for wire in stage.network.upstreams if wire.take())
    stage.say(server, b"1\n2")
    server.end()
    counts = stage.route.targets[0].counts
    assert counts.outcomes["ok"] == 1 and counts.outcomes["reset"] == 1


def test_an_exchange_tells_how_often_it_was_sent() -> None:
    stage, told = retried(), []
    stage.route.on_complete = (lambda exchange: told.append(exchange.attempts),)
    client = stage.client()
    stage.say(client, call(7, "read"))
    stage.server.end()
    stage.clock.advance(0.2)
    stage.clock.advance(0)
    stage.say(stage.network.upstreams[1], answer(1))
    stage.say(client, call(8, "read"))
    stage.say(stage.network.upstreams[2], answer(1))
    assert told == [2, 1]


# -- what servers and protocols say of further tries


class Pushing(Reel):
    """Failures say how long to wait, in milliseconds; requests say which try they are."""

    attempts_key = "tries"

    def session(self, side: Side, max_frame: int) -> ReelSession:
        session = super().session(side, max_frame)
        receive = session.receive

        def pushed(data: bytes) -> list[Message]:
            messages = receive(data)
            for message in messages:
                text = message.frame[9:].decode()
                if message.kind is Kind.ERROR or getattr(message, "failed", False):
                    message.retry_after = float(text) / 1000
            return messages

        session.receive = pushed  # type: ignore[method-assign]
        return session

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        return frame("W", message.id, message.frame[9:] + b" tries=" + mutation.set["tries"].encode())


def pushed_back(codec: Reel) -> tuple[Stage, Wire]:
    stage = Stage(codec=codec)
    stage.route.retry = RetryPolicy(2, on=["error"], backoff=(0.1, 1.0), uniform=lambda: 1.0)
    client = stage.client()
    stage.say(client, frame("W", 7, b"hi"))
    return stage, client


@pytest.mark.parametrize("kind", ["E", "F"])
def test_a_server_that_says_how_long_to_wait_is_tried_again_just_then(kind: str) -> None:
    stage, client = pushed_back(Pushing())
    stage.say(stage.server, frame(kind, 1, b"500"))
    stage.server.take()
    stage.clock.advance(0.49)
    assert stage.server.take() == b""
    stage.clock.advance(0.02)
    stage.clock.advance(0)
    assert [one[2] for one in frames(stage.server.take())] == [b"hi tries=1"]
    stage.say(stage.server, frame("W", 2, b"ok"))
    assert frames(client.take()) == [("W", 7, b"ok")]


def test_a_server_that_wants_no_other_try_gets_none() -> None:
    stage, client = pushed_back(Pushing())
    stage.say(stage.server, frame("E", 1, b"-1"))
    assert frames(client.take()) == [("E", 7, b"-1")]
    stage.server.take()
    stage.clock.advance(5)
    assert stage.server.take() == b""


def test_a_request_says_how_often_it_was_sent_before() -> None:
    stage, _ = pushed_back(Pushing())
    for id in (1, 2):
        stage.say(stage.server, frame("E", id, b"0"))
        stage.clock.advance(0)
        stage.clock.advance(0)
    assert [one[2] for one in frames(stage.server.take())] == [b"hi", b"hi tries=1", b"hi tries=2"]
