"""No fault of one client, and no hung server, costs another client an answer, or more than its own bytes."""

from __future__ import annotations

import pytest
from call_count import count_calls
from harness import HEAD, LineCodec, Quill, Stage, answer, call

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.proxy.client_budget import OVERFULL, WINDOW

# -- a server that hangs


@pytest.mark.parametrize(("mode", "most"), [("multiplex", 3200), ("pool", 640)])
@pytest.mark.parametrize("codec", [LineCodec, Quill])
def test_time_outs_cost_each_the_same_however_many_requests_hang(codec: type, mode: str, most: int) -> None:
    def cost(number: int) -> int:
        stage = Stage(
            codec=codec(), request_timeout=5.0, max_inflight=100_000, max_buffered=1 << 40,
            connections=ConnectionSettings(mode=mode),
        )  # fmt: skip
        for _ in range(number // WINDOW):
            client = stage.client()
            one = b"get a\n" if codec is LineCodec else call(1)
            stage.say(client, one * WINDOW)
        found = count_calls(lambda: stage.clock.pump([5.1] + [0.0] * (number // 100)))
        assert stage.route.targets[0].counts.outcomes == {"timeout": number}
        return found

    assert cost(most) <= 2.5 * cost(most // 2)


def test_time_outs_of_thousands_leave_turns_between_them_to_others() -> None:
    stage = Stage(request_timeout=5.0)
    for _ in range(20):
        stage.say(stage.client(), call(1) * WINDOW)
    seen: list[int] = []
    stage.clock.callLater(5.0, lambda: stage.clock.callLater(0, lambda: seen.append(stage.cluster.breaker.requests)))
    stage.clock.advance(5.1)
    assert 0 < seen[0] < 20 * WINDOW


def test_a_connection_whose_server_hangs_is_left_to_those_who_wait_on_it() -> None:
    stage = Stage(codec=LineCodec(), request_timeout=5.0)
    first, second = stage.client(), stage.client()
    stage.say(first, b"get a\n")
    stage.clock.advance(5.1)
    assert first.take().startswith(b"fail timeout")
    stage.say(second, b"get b\n")
    stage.say(stage.network.upstreams[1], b"b\n")
    assert second.take() == b"b\n"


# -- a client that does not read


def large(number: int, size: int = 1 << 20) -> bytes:
    return answer(number, b"x" * size)


def numbers(data: bytes) -> list[int]:
    """The ids of Quill frames."""
    found = []
    while data:
        found.append(HEAD.unpack_from(data)[1])
        data = data[4 + HEAD.unpack_from(data)[0] :]
    return found


def test_many_large_answers_for_a_client_that_does_not_read_cost_no_other_client_an_answer() -> None:
    stage = Stage()
    slow = stage.client()
    others = [stage.client() for _ in range(10)]
    stage.say(slow, b"".join(call(id) for id in range(1, 401)))
    for other in others:
        stage.say(other, call(7))
    owed = numbers(stage.server.take())
    assert len(owed) == WINDOW + 10
    for place, id in enumerate(owed):
        stage.say(stage.server, large(id) if place < WINDOW else answer(id))
        slow.buffered = len(slow.written)
        if slow.buffered and "slow" not in stage.downstream(slow).withheld_by:
            stage.downstream(slow).pauseProducing()
    assert all(other.take() == answer(7) for other in others)
    assert not slow.closed and numbers(slow.take()) == list(range(1, WINDOW + 1))
    slow.buffered = 0
    stage.downstream(slow).resumeProducing()
    stage.clock.advance(0)
    further = numbers(stage.network.upstreams[-1].take())
    assert 0 < len(further) <= 16, "no more than fit max_buffered at that size"


def test_a_client_that_reads_well_has_as_much_under_way_as_it_asks_for() -> None:
    stage = Stage()
    client = stage.client()
    asked = 0
    for _ in range(8):
        stage.say(client, b"".join(call(id) for id in range(asked + 1, asked + 1001)))
        asked += 1000
        while owed := numbers(stage.server.take()):
            stage.say(stage.server, b"".join(map(answer, owed)))
    assert len(numbers(client.take())) == asked
    stage.say(client, b"".join(call(id) for id in range(1000)))
    assert len(numbers(stage.server.take())) == 1000


def test_a_connection_on_which_only_a_slow_client_waits_is_read_no_more_beyond_max_buffered() -> None:
    stage = Stage(max_buffered=1000)
    slow, other = stage.client(), stage.client()
    stage.say(slow, call(1) + call(2) + call(3))
    stage.downstream(slow).pauseProducing()
    slow.buffered = 1001
    stage.say(stage.server, answer(1, b"x" * 900))
    assert stage.network.upstreams[0].paused
    stage.say(other, call(9))
    stage.say(stage.network.upstreams[1], answer(1))
    assert other.take() == answer(9)
    slow.buffered = 0
    stage.downstream(slow).resumeProducing()
    assert not stage.network.upstreams[0].paused


def test_a_client_for_which_far_too_much_waits_is_closed_and_its_neighbours_get_their_answers() -> None:
    stage = Stage(max_buffered=1000)
    slow, other = stage.client(), stage.client()
    stage.say(slow, call(1) + call(2))
    stage.say(other, call(9))
    stage.downstream(slow).pauseProducing()
    slow.buffered = OVERFULL * 1000 + 1
    stage.say(stage.server, answer(1))
    stage.say(stage.server, answer(3))
    assert slow.closed and stage.listener.counts.overfull == 1
    assert other.take() == answer(9)


def test_answers_that_wait_for_one_before_them_are_bounded_in_bytes() -> None:
    stage = Stage(codec=LineCodec(), endpoints=2, max_buffered=1000)
    client = stage.client()
    stage.say(client, b"get a\nget b\nget c\nget d\n")
    first, second = stage.network.upstreams
    stage.say(second, b"x" * 700 + b"\n")
    assert not client.paused
    stage.say(second, b"y" * 700 + b"\n")
    assert client.paused
    stage.say(first, b"a\nc\n")
    assert not client.paused
    assert client.take() == b"a\n" + b"x" * 700 + b"\nc\n" + b"y" * 700 + b"\n"


def test_requests_that_wait_are_bounded_in_bytes() -> None:
    stage = Stage(max_buffered=10_000)
    client = stage.client()
    stage.network.accept = False
    stage.say(client, call(1, body=b"x" * 6000))
    assert not client.paused
    stage.say(client, call(2, body=b"x" * 6000))
    assert client.paused
    (_, protocol), *_ = stage.network.dialled
    stage.network.establish(protocol, "server")
    stage.say(stage.server, answer(1) + answer(2))
    assert not client.paused


# -- a client that only reads on


def test_a_blocking_request_of_a_client_that_sends_no_more_takes_what_stands_behind_it_along() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"get before\nblock q\nset behind\n")
    stage.finish(client)
    stage.say(stage.network.upstreams[0], b"before\n")
    assert client.take() == b"before\n"
    assert client.closed
    assert not any(b"behind" in wire.written for wire in stage.network.upstreams)


def test_a_blocking_request_under_way_is_given_up_with_its_client_and_nothing_behind_it_runs() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"block q\nset behind\n")
    stage.finish(client)
    stage.clock.advance(0)
    assert client.take() == b"" and client.closed
    assert not any(b"behind" in wire.written for wire in stage.network.upstreams)


def test_a_connection_that_was_left_to_a_slow_client_serves_others_again_when_that_client_is_gone() -> None:
    stage = Stage(max_buffered=1000)
    slow, other = stage.client(), stage.client()
    stage.say(slow, call(1) + call(2))
    stage.say(other, call(9))
    stage.downstream(slow).pauseProducing()
    slow.buffered = 1001
    stage.say(stage.server, answer(1))  # not alone: it goes on, and takes nothing new
    slow.end()
    stage.say(stage.server, answer(3))
    assert other.take() == answer(9)
    stage.say(other, call(10))
    assert numbers(stage.network.upstreams[0].take())[-1] == 4, "over the same connection"
