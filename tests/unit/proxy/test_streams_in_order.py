"""Streams where answers are found by their order: Redis, whose connections to servers many clients share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from redis_words import command
from reel import Reel, frame, frames
from twisted.internet.defer import Deferred

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.redis import Redis
from metaproxy.message import Chunk, ErrorKind, Reply, Side
from metaproxy.proxy.fifo_upstream import PATIENCE
from metaproxy.proxy.stream import WINDOW
from metaproxy.testing import Stage, Wire
from metaproxy.units import Bytes

OVER = 1000
VALUE = b"v" * 5000
HEAD = b"$500000\r\n"


def stage(mode: Any = "shared", **options: Any) -> Stage:
    settings = ConnectionSettings(mode="multiplex", per_endpoint=1) if mode == "shared" else None
    return Stage(Redis(mode=mode, stream_over=Bytes(OVER)), connections=settings, **options)


def outcomes(on: Stage) -> Mapping[str, int]:
    return on.route.targets[0].counts.outcomes


def asks(on: Stage, *words: str | bytes) -> Wire:
    client = on.client()
    on.say(client, command(*words))
    return client


def say_in_two(on: Stage, wire: Wire, data: bytes) -> None:
    on.say(wire, data[:100])
    on.say(wire, data[100:])


# -- a long answer on a shared connection


def slow_reader(on: Stage, *others: tuple[str, ...]) -> tuple[Wire, list[Wire]]:
    """A client that takes a long answer slowly, and others whose requests stand behind its own."""
    slow = asks(on, "GET", "large")
    waiting = [asks(on, *words) for words in others]
    slow.protocol.pauseProducing()
    on.say(on.server, HEAD + bytes(WINDOW))
    on.say(on.server, bytes(WINDOW))
    return slow, waiting


def test_alone_on_it_a_client_that_reads_slowly_is_waited_for() -> None:
    on = stage()
    slow, _ = slow_reader(on)
    assert on.server.paused
    slow.protocol.resumeProducing()
    assert not on.server.paused
    on.say(on.server, bytes(500_000 - 2 * WINDOW) + b"\r\n")
    assert slow.take() == HEAD + bytes(500_000) + b"\r\n"
    assert outcomes(on) == {"ok": 1}


def test_what_may_be_carried_out_twice_leaves_it_and_is_answered_elsewhere() -> None:
    on = stage()
    slow, (first, second) = slow_reader(on, ("GET", "a"), ("GET", "b"))
    busy, other = on.network.upstreams
    assert busy.paused
    assert other.take() == command("GET", "a") + command("GET", "b")
    on.say(other, b"+a\r\n+b\r\n")
    assert (first.take(), second.take()) == (b"+a\r\n", b"+b\r\n")
    slow.protocol.resumeProducing()
    on.say(busy, bytes(500_000 - 2 * WINDOW) + b"\r\n+late\r\n+late\r\n")
    assert slow.take() == HEAD + bytes(500_000) + b"\r\n"
    assert (first.take(), second.take()) == (b"", b"")
    assert outcomes(on) == {"ok": 3}
    assert on.endpoints[0].active == 0
    busy.take()
    on.say(first, command("SET", "a", "1"))
    assert (busy.take(), other.take()) == (b"", command("SET", "a", "1"))


def test_what_may_not_is_waited_with_for_some_time_and_then_read_on() -> None:
    on = stage()
    slow, (writer,) = slow_reader(on, ("SET", "a", "1"))
    (busy,) = on.network.upstreams
    assert busy.paused
    on.clock.advance(PATIENCE - 0.1)
    assert busy.paused
    on.clock.advance(0.2)
    assert not busy.paused
    on.say(busy, bytes(500_000 - 2 * WINDOW) + b"\r\n+OK\r\n")
    assert writer.take() == b"+OK\r\n"
    assert slow.take() == HEAD + bytes(500_000) + b"\r\n"


def test_a_client_that_catches_up_in_time_costs_nobody_more_than_that() -> None:
    on = stage()
    slow, (writer,) = slow_reader(on, ("SET", "a", "1"))
    slow.protocol.resumeProducing()
    on.say(on.server, bytes(500_000 - 2 * WINDOW) + b"\r\n+OK\r\n")
    assert writer.take() == b"+OK\r\n"
    assert slow.take() == HEAD + bytes(500_000) + b"\r\n"
    assert not on.server.paused
    on.clock.advance(PATIENCE)
    asks(on, "GET", "a")
    assert len(on.network.upstreams) == 1


def test_requests_of_one_client_leave_together_or_not_at_all() -> None:
    on = stage()
    slow = asks(on, "GET", "large")
    other = on.client()
    on.say(other, command("GET", "a") + command("SET", "a", "1"))
    slow.protocol.pauseProducing()
    on.say(on.server, HEAD + bytes(WINDOW))
    on.say(on.server, bytes(WINDOW))
    assert len(on.network.upstreams) == 1


def test_nothing_is_left_of_that_when_the_connection_ends() -> None:
    on = stage()
    slow, (writer,) = slow_reader(on, ("SET", "a", "1"))
    on.finish(on.server)
    assert slow.closed
    assert writer.take().startswith(b"-ERR")
    assert PATIENCE not in [call.getTime() - on.clock.seconds() for call in on.clock.getDelayedCalls()]


def test_a_head_that_nobody_asked_for_closes_the_connection_before_it_is_handed_to_the_next() -> None:
    on = stage()
    client = asks(on, "GET", "a")
    server = on.server
    on.say(server, b"+a\r\n" + HEAD + b"v" * 2000)
    assert server.closed
    on.say(client, command("GET", "b"))
    assert client.take() == b"+a\r\n"
    assert len(on.network.upstreams) == 2


# -- large commands


def test_a_large_command_has_a_connection_alone_and_what_follows_it_waits_for_its_answer() -> None:
    on = stage()
    client = asks(on, "GET", "a")
    shared = on.server
    shared.take()
    on.say(shared, b"+a\r\n")
    client.take()
    say_in_two(on, client, command("SET", "k", VALUE) + command("GET", "k"))
    _, alone = on.network.upstreams
    assert alone.take() == command("SET", "k", VALUE)
    neighbour = asks(on, "GET", "n")
    assert shared.take() == command("GET", "n")
    on.say(alone, b"+OK\r\n")
    assert shared.take() == command("GET", "k")
    on.say(shared, b"+n\r\n+k\r\n")
    assert (neighbour.take(), client.take()) == (b"+n\r\n", b"+OK\r\n+k\r\n")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("before", [(), (("MULTI",),), (("WATCH", "k"),), (("MULTI",), ("INCR", "n"))])
def test_nothing_comes_between_the_pieces_of_one_while_a_filter_keeps_them(
    before: tuple[tuple[str, ...], ...], first: bool
) -> None:
    kept: list[Deferred[None]] = []

    def keep_first(exchange: Any) -> Deferred[None] | None:
        if not first or exchange.get("command") != "SET":
            return None
        kept.append(Deferred())
        return kept[-1]

    def keep(exchange: object, chunk: Chunk, side: Side) -> Deferred[None] | None:
        if side is Side.SERVER:
            return None
        kept.append(Deferred())
        return kept[-1]

    on = stage(hooks={"on_request": (keep_first,), "on_chunk": (keep,)})
    client = on.client()
    for words in before:
        on.say(client, command(*words))
        for wire in on.network.upstreams:
            wire.take()
            on.say(wire, b"+OK\r\n" if words[0] == "WATCH" else b"+OK\r\n+QUEUED\r\n")
    say_in_two(on, client, command("SET", "k", VALUE) + command("INCR", "n"))
    assert kept
    while kept:
        assert b"INCR" not in b"".join(bytes(wire.written) for wire in on.network.upstreams)[-40:]
        kept.pop(0).callback(None)
        on.clock.advance(0)
        on.say(client, b"")
    sent = b"".join(wire.take() for wire in on.network.upstreams)
    assert sent.endswith(command("SET", "k", VALUE))


def test_one_that_a_filter_refuses_in_a_transaction_makes_it_fail_and_its_rest_goes_nowhere() -> None:
    def refuse(exchange: Any) -> Reply | None:
        return Reply(ErrorKind.DENIED, "not that") if exchange.get("command") == "SET" else None

    on = stage(hooks={"on_request": (refuse,)})
    client = on.client()
    on.say(client, command("MULTI"))
    on.say(client, command("INCR", "n"))
    on.server.take()
    on.say(on.server, b"+OK\r\n+QUEUED\r\n")
    client.take()
    say_in_two(on, client, command("SET", "k", VALUE))
    probe = on.server.take()
    assert b"not that" in probe
    assert b"vvv" not in probe
    on.say(on.server, b"-ERR unknown command\r\n")
    assert client.take() == b"-NOPERM not that\r\n"
    on.say(client, command("EXEC"))
    assert on.server.take() == command("EXEC")


def test_one_that_gets_no_answer_is_complete_when_it_was_sent() -> None:
    on = stage(mode="pinned")
    client = on.client()
    on.say(client, command("CLIENT", "REPLY", "OFF"))
    say_in_two(on, client, command("SET", "k", VALUE))
    say_in_two(on, client, command("SET", "k", VALUE))
    on.say(client, command("CLIENT", "REPLY", "ON"))
    assert on.server.take().count(VALUE) == 2
    assert outcomes(on) == {"oneway": 3}
    on.say(on.server, b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert on.endpoints[0].active == 0


def test_a_client_that_goes_away_in_the_middle_takes_the_connection_with_it() -> None:
    on = stage()
    client = on.client()
    say_in_two(on, client, command("SET", "k", VALUE)[:-1000])
    on.finish(client)
    assert on.server.closed
    assert outcomes(on) == {"downstream_gone": 1}


def test_bytes_that_break_the_protocol_in_the_middle_end_it_with_the_servers_words() -> None:
    on = stage()
    client = on.client()
    say_in_two(on, client, b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$5000\r\n" + VALUE + b"\r\n")
    on.say(client, b"nothing\r\n")
    assert client.take() == b"-ERR Protocol error: expected '$', got 'n'\r\n"
    assert on.server.closed
    assert client.closed


def test_a_filter_that_ends_an_answer_says_how_much_of_a_chunk_still_passes() -> None:
    def end(exchange: object, chunk: Chunk, side: Side) -> Reply:
        return Reply(ErrorKind.RESET, "enough", frame=chunk.frame[:3])

    on = stage(hooks={"on_chunk": (end,)})
    client = asks(on, "GET", "large")
    on.say(on.server, HEAD)
    on.say(on.server, b"value")
    assert client.take() == HEAD + b"val"
    assert client.closed
    assert outcomes(on) == {"reset": 1}


@pytest.mark.parametrize(("fifo", "closed"), [(True, True), (False, False)])
def test_a_request_in_pieces_that_gets_no_answer_leaves_no_place_for_one(fifo: bool, closed: bool) -> None:
    on = Stage(Reel(flow="connection", fifo=fifo))
    client = on.client()
    on.say(client, frame("N", 1, b"tell") + frame("D", 1, b"one"))
    assert outcomes(on) == {}
    on.say(client, frame("C", 1))
    assert [kind for kind, _, _ in frames(on.server.take())] == ["N", "D", "C"]
    assert outcomes(on) == {"oneway": 1}
    assert client.take() == b""
    assert on.endpoints[0].active == 0
    # Where order is all there is, an answer against the rules would be taken for the next request's.
    assert on.server.closed is closed
