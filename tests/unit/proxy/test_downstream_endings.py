"""What filters may do besides answering: end the client's connection, alter its bytes, let it wait in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import LineCodec, Stage, Wire, answer, call
from twisted.internet.defer import Deferred

from metaproxy.codecs.framing import Codec
from metaproxy.message import Ending, ErrorKind, Reply


class Seen:
    """Outcomes of exchanges, each under the service or word that it asked for."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []

    def on_complete(self, exchange: Any) -> None:
        self.outcomes.append((exchange.get("service") or exchange.message.frame.decode().strip(), exchange.outcome))


Hook = Callable[[Any], Any]


def stage(on_request: Hook | None = None, on_response: Hook | None = None, codec: Codec | None = None) -> Any:
    """A stage with these hooks; `seen` has what became of its exchanges."""
    seen = Seen()
    hooks: dict[str, tuple[Any, ...]] = {"on_complete": (seen.on_complete,)}
    if on_request:
        hooks["on_request"] = (on_request,)
    if on_response:
        hooks["on_response"] = (on_response,)
    found: Any = Stage(codec=codec, hooks=hooks)
    found.seen = seen
    return found


def only(word: str, act: Callable[[Any], Any]) -> Hook:
    """A hook that acts on exchanges that ask for `word`."""

    def hook(exchange: Any) -> Any:
        asked = exchange.get("service") or exchange.get("key")
        return act(exchange) if asked == word else None

    return hook


def cut(exchange: Any) -> None:
    exchange.alter(lambda data: data[:3], Ending.CLOSE)


def refuse(ending: Ending) -> Callable[[Any], Reply]:
    return lambda exchange: Reply(ErrorKind.RESET, "gone", frame=b"", ending=ending)


# -- altered bytes


def test_other_bytes_answer_the_client_and_are_counted() -> None:
    lengths: list[int] = []
    there = stage(on_response=lambda exchange: exchange.alter(lambda data: data[:-1] + b"?"))
    there.route.on_complete = (lambda exchange: lengths.append(exchange.response_bytes),)
    client = there.client()
    there.say(client, call(7))
    there.say(there.server, answer(1, b"abc"))
    assert (client.written, client.closed, lengths) == (answer(7, b"ab?"), False, [len(answer(7, b"ab?"))])


def test_an_alteration_that_fails_is_a_failed_filter() -> None:
    there = stage(on_response=lambda exchange: exchange.alter(lambda data: data[None]))
    there.listener.filter_failed = lambda hook, failure: None
    client = there.client()
    there.say(client, call(7))
    there.say(there.server, answer(1))
    assert b"a filter failed" in client.written
    assert there.seen.outcomes == [("echo", "internal")]


# -- the connection ends


def test_a_reset_ends_the_connection_and_each_of_its_exchanges_once() -> None:
    there = stage(on_request=only("bad", refuse(Ending.RESET)))
    client = there.client()
    there.say(client, call(1, "good") + call(2, "bad"))
    assert (client.written, client.closed, client.was_reset) == (b"", True, True)
    assert sorted(there.seen.outcomes) == [("bad", "reset"), ("good", "downstream_gone")]
    there.say(there.server, answer(1))
    assert len(there.seen.outcomes) == 2


def test_a_transport_that_knows_no_reset_is_aborted() -> None:
    class Wrapped:
        """What can abort and no more."""

        def __init__(self, wire: Wire) -> None:
            self.abortConnection = wire.abortConnection

    there = stage(on_request=refuse(Ending.RESET))
    client = there.client()
    client.protocol.transport = Wrapped(client)
    there.say(client, call(1))
    assert (client.closed, client.was_reset) == (True, False)


def test_a_cut_answer_is_the_last_that_a_client_gets() -> None:
    there = stage(on_response=only("bad", cut))
    client = there.client()
    there.say(client, call(1, "bad") + call(2, "other"))
    there.say(there.server, answer(1) + answer(2))
    assert (client.written, client.closed, client.was_reset) == (answer(1)[:3], True, False)
    assert sorted(there.seen.outcomes) == [("bad", "ok"), ("other", "downstream_gone")]


def test_where_answers_have_an_order_those_before_a_cut_one_are_sent_first() -> None:
    there = stage(on_response=only("b", cut), codec=LineCodec())
    client = there.client()
    there.say(client, b"get a\nget b\nget c\nget d\n")
    servers = there.network.upstreams
    held = [server for server in servers if server.written]
    assert b"".join(server.written for server in held) == b"get a\nget b\nget c\nget d\n"
    there.say(there.server, b"one\ntwo\nthree\n")
    assert (client.written, client.closed) == (b"one\ntwo", True)
    ends = dict(there.seen.outcomes)
    assert ends == {"get a": "ok", "get b": "ok", "get c": "downstream_gone", "get d": "downstream_gone"}
    assert len(there.seen.outcomes) == 4


def test_a_cut_answer_waits_for_an_earlier_one_that_is_late() -> None:
    late: list[Deferred[Any]] = []

    def hold(exchange: Any) -> Deferred[Any]:
        late.append(Deferred())
        return late[-1]

    first, second = only("a", hold), only("b", cut)
    there = stage(on_response=lambda exchange: first(exchange) or second(exchange), codec=LineCodec())
    client = there.client()
    there.say(client, b"get a\nget b\nget c\n")
    there.say(there.server, b"one\ntwo\nthree\n")
    assert (client.written, client.closed) == (b"", False)
    there.say(client, b"get more\n")
    late[0].callback(None)
    there.clock.advance(0)
    assert (client.written, client.closed) == (b"one\ntwo", True)
    assert sorted(there.seen.outcomes) == [("get a", "ok"), ("get b", "ok"), ("get c", "downstream_gone")]


def test_what_a_client_asks_behind_an_ending_in_the_same_read_is_not_begun() -> None:
    there = stage(on_request=only("bad", refuse(Ending.CLOSE)))
    client = there.client()
    there.say(client, call(1, "bad") + call(2, "other"))
    assert client.closed
    assert there.seen.outcomes == [("bad", "reset")]


# -- waiting in order


def waiting(word: str) -> tuple[Hook, list[Deferred[Any]]]:
    """A filter that holds requests for `word` until the test lets them go."""
    held: list[Deferred[Any]] = []

    def hold(exchange: Any) -> Deferred[Any]:
        held.append(Deferred())
        return held[-1]

    return only(word, hold), held


def test_a_request_that_waits_in_a_filter_is_overtaken_by_none_of_its_client_where_order_matters() -> None:
    hook, held = waiting("a")
    there = stage(on_request=hook, codec=LineCodec())
    client, other = there.client(), there.client()
    there.say(client, b"get a\nget b\n")
    there.say(other, b"get x\n")
    assert there.server.take() == b"get x\n"
    there.say(client, b"get c\n")
    assert there.server.take() == b""
    held[0].callback(None)
    there.clock.advance(0)
    assert there.server.take() == b"get a\nget b\nget c\n"


def test_it_is_overtaken_where_answers_have_ids() -> None:
    hook, _ = waiting("a")
    there = stage(on_request=hook)
    there.say(there.client(), call(1, "a") + call(2, "b"))
    assert b"b" in there.server.written


@pytest.mark.parametrize("end", ["reply", "failure", "time-out"])
def test_what_waited_behind_it_goes_on_however_it_ends(end: str) -> None:
    hook, held = waiting("a")
    there = stage(on_request=hook, codec=LineCodec())
    there.listener.filter_failed = lambda hook, failure: None
    client = there.client()
    there.say(client, b"get a\nget b\n")
    if end == "reply":
        held[0].callback(Reply(ErrorKind.DENIED, "no"))
    elif end == "failure":
        held[0].errback(RuntimeError("odd"))
    else:
        there.clock.advance(16)
    there.clock.advance(0)
    assert there.network.upstreams[0].take() == b"get b\n"


def test_two_filters_that_wait_in_turn_keep_the_order() -> None:
    (first, held), (second, later) = waiting("a"), waiting("a")
    there = stage(on_request=first, codec=LineCodec())
    there.route.on_request = (first, second)
    client = there.client()
    there.say(client, b"get a\nget b\n")
    held[0].callback(None)
    there.clock.advance(0)
    assert there.network.upstreams == []
    later[0].callback(None)
    there.clock.advance(0)
    assert there.server.take() == b"get a\nget b\n"


def test_the_time_that_a_filter_waited_is_part_of_the_duration() -> None:
    hook, held = waiting("echo")
    there = stage(on_request=hook)
    lasted: list[float] = []
    there.route.on_complete = (lambda exchange: lasted.append(exchange.ended - exchange.started),)
    there.say(there.client(), call(1))
    there.clock.advance(3)
    held[0].callback(Reply(ErrorKind.DENIED, "no"))
    there.say(there.client(), call(2))
    there.clock.advance(15)
    assert lasted == [3.0, 15.0]
