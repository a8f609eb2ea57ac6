"""No fault of one client, and no hung server, costs another client an answer, or more than its own bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from harness import HEAD, LineCodec, Lines, Quill, Stage, answer, call

from metaproxy.cluster.cluster import ConnectionSettings
from metaproxy.message import Kind, Message, Side
from metaproxy.proxy.downstream import OVERFULL, WINDOW


def steps(work: Callable[[], None]) -> int:
    """How many Python functions `work` calls: what it costs, and the same on every machine."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


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
        found = steps(lambda: stage.clock.pump([5.1] + [0.0] * (number // 100)))
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
        if slow.buffered and "slow" not in stage.downstream(slow)._withheld:
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


# -- a server that answers what it must not answer, or too much


def test_an_answer_to_nothing_ends_its_connection_before_anything_more_is_handed_out() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"get a\n")
    stage.say(stage.server, b"a\nstray\nb\n")
    assert client.take() == b"a\n"
    assert stage.network.upstreams[0].closed
    assert stage.endpoints[0].counts.unmatched == 1


def test_a_one_way_request_that_is_answered_all_the_same_shifts_no_other_clients_answers() -> None:
    stage = Stage(codec=LineCodec())
    careless, other = stage.client(), stage.client()
    stage.say(other, b"get before\n")
    stage.say(careless, b"tell x\n")
    stage.say(other, b"get after\n")
    stage.say(careless, b"get mine\n")
    shared, another = stage.network.upstreams
    assert shared.take() == b"get before\ntell x\nget mine\n"
    assert another.take() == b"get after\n"
    stage.say(shared, b"before\nERROR\nmine\n")
    stage.say(another, b"after\n")
    assert other.take() == b"before\nafter\n"
    assert shared.closed


def test_the_connection_of_a_client_that_sent_one_way_requests_ends_with_it() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"tell x\n")
    client.end()
    stage.clock.advance(0)
    assert stage.server.closed and stage.cluster.breaker.connections == 0


class Fenced(Lines):
    """Asks for a line behind each one-way request, and swallows the answers up to it."""

    fenced = True

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.open_fences = 0

    def send(self, message: Message, id: int) -> bytes:
        if message.kind is Kind.ONEWAY:
            self.open_fences += 1
            return message.frame + b"fence\n"
        return message.frame

    def receive(self, data: bytes) -> list[Message]:
        return [message for message in super().receive(data) if not self._swallowed(message)]

    def _swallowed(self, message: Message) -> bool:
        if not self.open_fences:
            return False
        self.open_fences -= message.frame == b"fence\n"
        return True


def test_behind_a_fence_a_connection_stays_shared() -> None:
    class FencedCodec(LineCodec):
        def session(self, side: Side, max_frame: int) -> Lines:
            return Fenced(side)

    stage = Stage(codec=FencedCodec())
    careless, other = stage.client(), stage.client()
    stage.say(careless, b"tell x\n")
    stage.say(other, b"get a\n")
    stage.say(stage.server, b"ERROR\nfence\na\n")
    assert other.take() == b"a\n"


class Skipping(Lines):
    """Drops lines over 10 bytes; a line `none` says that there is no answer."""

    def receive(self, data: bytes) -> list[Message]:
        return [self._judged(message) for message in super().receive(data)]

    def _judged(self, message: Message) -> Message:
        if self._side is Side.SERVER and message.frame == b"none\n":
            return Message(Kind.SILENCE, b"")
        too_long = self._side is Side.SERVER and len(message.frame) > 10
        return Message(Kind.SKIPPED, b"an answer of too many bytes") if too_long else message


class SkippingCodec(LineCodec):
    def session(self, side: Side, max_frame: int) -> Lines:
        return Skipping(side)


def test_an_answer_that_is_too_large_fails_its_own_request_and_no_other() -> None:
    stage = Stage(codec=SkippingCodec())
    clients = [stage.client() for _ in range(6)]
    for client in clients:
        stage.say(client, b"get a\n")
    stage.say(stage.server, b"a\n" * 2 + b"x" * 20 + b"\n" + b"a\n" * 3)
    taken = [client.take() for client in clients]
    assert taken[2].startswith(b"fail bad_response") and b"too many bytes" in taken[2]
    assert [*taken[:2], *taken[3:]] == [b"a\n"] * 5
    assert not stage.server.closed


def test_a_request_that_turns_out_to_get_no_answer_completes_and_its_client_gets_nothing() -> None:
    stage = Stage(codec=SkippingCodec())
    client = stage.client()
    stage.say(client, b"quiet\nget a\n")
    stage.say(stage.server, b"none\na\n")
    assert client.take() == b"a\n"
    assert stage.route.targets[0].counts.outcomes == {"oneway": 1, "ok": 1}


# -- a call that is one-way without saying so


class Sequential(Quill):
    """A server takes one client's calls in their order, and some get no answer."""

    connections = "pool"
    sequential = True


@pytest.mark.parametrize("mode", ["pool", "multiplex"])
def test_a_call_that_is_never_answered_holds_up_none_behind_it_and_costs_nothing(mode: str) -> None:
    stage = Stage(codec=Sequential(), request_timeout=5.0, connections=ConnectionSettings(mode=mode))
    client = stage.client()
    stage.say(client, call(1, "note"))
    stage.say(client, call(2, "add"))
    assert numbers(stage.server.take()) == [1, 2], "both over one connection, in order"
    stage.say(stage.server, answer(2))
    assert client.take() == answer(2)
    stage.say(client, call(3, "add"))
    stage.say(stage.server, answer(3))
    assert client.take() == answer(3)
    stage.clock.advance(5.1)
    assert client.take() == b"", "an error that the client does not wait for would be taken for the next answer"
    assert stage.endpoints[0].counts.timeouts == 0
    assert stage.route.targets[0].counts.outcomes == {"ok": 2, "oneway": 1}
    stage.say(client, call(4, "add"))
    stage.say(stage.server, answer(4))
    assert client.take() == answer(4)


def test_a_call_that_hangs_is_a_time_out_as_ever() -> None:
    stage = Stage(codec=Sequential(), request_timeout=5.0)
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    stage.say(client, call(2))
    client.take()
    stage.clock.advance(5.1)
    assert b"no answer within 5 s" in client.take()
    assert stage.endpoints[0].counts.timeouts == 1
    assert stage.server.closed, "its server is stuck on that call"


def test_two_clients_have_a_connection_each_while_their_calls_are_under_way() -> None:
    stage = Stage(codec=Sequential())
    one, two = stage.client(), stage.client()
    stage.say(one, call(1) + call(2))
    stage.say(two, call(1))
    assert [len(numbers(wire.take())) for wire in stage.network.upstreams] == [2, 1]
    stage.say(stage.network.upstreams[0], answer(2) + answer(1))
    assert numbers(one.take()) == [2, 1], "as the server gives them"
    stage.say(two, call(2))
    assert len(stage.network.upstreams) == 2


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
