"""AMQP: what becomes of a method that the proxy refuses, on its channel and at its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from amqp_words import (
    Connected,
    channel_close,
    channel_open_ok,
    declare_ok,
    delivered,
    get,
    got,
    method,
    published,
    queue_declare,
    unframed,
)
from twisted.internet.defer import Deferred

from metaproxy.interfaces import IExchange
from metaproxy.message import ErrorKind, Message, Reply, Side

CLOSE_OK = method("channel.close-ok")
PASSIVE = channel_close(404, "NOT_FOUND - no exchange", "exchange.declare")


def refusing(
    method: str, kind: ErrorKind = ErrorKind.DENIED, name: str = "", text: str = "not here"
) -> Callable[[IExchange], Reply | None]:
    return lambda exchange: Reply(kind, text, name=name) if exchange.get("method") == method else None


def room(method: str = "basic.publish", kind: ErrorKind = ErrorKind.DENIED, name: str = "") -> Connected:
    return Connected(hooks={"on_request": (refusing(method, kind, name),)})


def provocation(data: bytes) -> bool:
    """Whether these bytes are a passive declaration of an exchange, and nothing else."""
    frame = method("exchange.declare")[7:11]
    return data[7:11] == frame and int.from_bytes(data[3:7], "big") + 8 == len(data)


def closed_with(data: bytes) -> tuple[int, str, int]:
    """Code, text and method of a channel.close or connection.close, and nothing else."""
    size = data[13]
    assert len(data) == 14 + size + 5
    return int.from_bytes(data[11:13], "big"), data[14 : 14 + size].decode(), int.from_bytes(data[-5:-1], "big")


def number(name: str) -> int:
    return int.from_bytes(method(name)[7:11], "big")


def test_a_message_that_is_refused_makes_its_server_close_the_channel_and_the_client_gets_the_reason() -> None:
    there = room()
    there.say(published() + queue_declare())
    sent = there.sent()
    assert provocation(sent[: -len(queue_declare())])
    assert sent.endswith(queue_declare())
    assert there.got() == b""
    there.hear(PASSIVE)
    assert closed_with(there.got()) == (403, "ACCESS_REFUSED - not here", number("basic.publish"))
    there.say(published(channel=1) + CLOSE_OK)
    assert there.sent() == CLOSE_OK


def test_the_channel_can_be_opened_again() -> None:
    there = room()
    there.say(published())
    there.hear(PASSIVE)
    there.say(CLOSE_OK + method("channel.open", 1, b"\0"))
    there.sent(), there.got()
    there.hear(channel_open_ok())
    assert there.got() == channel_open_ok()
    there.say(queue_declare())
    assert there.sent() == queue_declare()
    there.hear(declare_ok())
    assert there.got() == declare_ok()


def test_a_large_message_that_is_refused_is_not_sent() -> None:
    there = room()
    there.say(published(b"x" * 200_000))
    assert provocation(there.sent())
    there.hear(PASSIVE)
    assert closed_with(there.got())[0] == 403
    there.say(CLOSE_OK + method("channel.open", 1, b"\0") + queue_declare())
    assert there.sent() == CLOSE_OK + method("channel.open", 1, b"\0") + queue_declare()


def test_a_method_that_wants_an_answer_is_refused_in_the_same_way() -> None:
    there = room("queue.declare", ErrorKind.LIMITED)
    there.say(queue_declare())
    assert provocation(there.sent())
    there.hear(PASSIVE)
    assert closed_with(there.got()) == (406, "PRECONDITION_FAILED - not here", number("queue.declare"))


def test_of_several_that_are_refused_the_first_reason_counts_and_the_channel_closes_once() -> None:
    there = room()
    there.say(published() * 3)
    there.hear(PASSIVE)
    assert closed_with(there.got())[0] == 403
    assert there.stage.route.reply_target.counts.outcomes["denied"] == 3


def test_what_the_server_closes_the_channel_for_by_itself_passes_as_it_is() -> None:
    there = room()
    there.say(published())
    own = channel_close(404, "NOT_FOUND - no queue 'q'", "basic.consume")
    there.hear(own)
    assert there.got() == own


def test_other_channels_go_on() -> None:
    there = room()
    there.say(published() + method("channel.open", 2, b"\0"))
    there.sent()
    there.hear(PASSIVE + channel_open_ok(2))
    there.got()
    there.say(queue_declare(channel=2))
    assert there.sent() == queue_declare(channel=2)


def test_a_refusal_can_have_the_name_of_any_reply_code() -> None:
    there = room(name="NO_ROUTE")
    there.say(published())
    there.hear(PASSIVE)
    assert closed_with(there.got())[:2] == (312, "NO_ROUTE - not here")


@pytest.mark.parametrize(("kind", "code"), [(ErrorKind.INTERNAL, 541), (ErrorKind.UNSUPPORTED, 540)])
def test_what_is_no_error_of_a_channel_closes_the_connection(kind: ErrorKind, code: int) -> None:
    there = room(kind=kind)
    there.say(published())
    assert closed_with(there.got())[0] == code
    assert there.client.closed


def waits(there: Connected, seconds: int) -> None:
    for _ in range(2 * seconds):
        there.stage.clock.advance(0.5)


# -- what the server has already


def refusing_answers(name: str = "queue.declare") -> Connected:
    return Connected(hooks={"on_response": (refusing(name),)})


def test_an_answer_that_is_refused_closes_its_channel_there_and_here_and_no_other() -> None:
    there = refusing_answers()
    there.say(method("channel.open", 2, b"\0") + queue_declare() + get())
    there.hear(channel_open_ok(2) + declare_ok())
    assert there.got() == channel_open_ok(2)
    sent = there.sent().removeprefix(method("channel.open", 2, b"\0") + queue_declare() + get())
    assert provocation(sent)
    there.hear(got() + delivered())  # before it closes the channel
    assert there.got() == got() + delivered()
    there.hear(PASSIVE)
    assert closed_with(there.got()) == (403, "ACCESS_REFUSED - not here", number("queue.declare"))
    there.say(queue_declare() + CLOSE_OK + method("channel.open", 1, b"\0") + get(channel=2))
    assert there.sent() == CLOSE_OK + method("channel.open", 1, b"\0") + get(channel=2)
    there.hear(channel_open_ok() + got(channel=2))
    assert there.got() == channel_open_ok() + got(channel=2)


def test_a_large_answer_that_is_refused_is_dropped_and_its_channel_closed() -> None:
    there = refusing_answers("basic.get")
    there.say(get())
    large = got(b"x" * 200_000)
    there.hear(large[:1000])
    assert provocation(there.sent().removeprefix(get()))
    there.hear(large[1000:] + PASSIVE)
    assert closed_with(there.got())[:2] == (403, "ACCESS_REFUSED - not here")
    assert not there.client.closed


def test_a_channel_whose_opening_is_refused_behind_its_server_is_closed_there_too() -> None:
    refused = [False]

    def refuse(exchange: IExchange) -> Reply | None:
        return Reply(ErrorKind.DENIED, "not here") if refused[0] else None

    there = Connected(hooks={"on_response": (refuse,)})
    refused[0] = True
    there.say(method("channel.open", 2, b"\0"))
    there.hear(channel_open_ok(2))
    assert provocation(there.sent().removeprefix(method("channel.open", 2, b"\0")))
    there.hear(channel_close(404, "NOT_FOUND - no exchange", "exchange.declare", 2))
    assert closed_with(there.got()) == (403, "ACCESS_REFUSED - not here", number("channel.open"))
    there.say(method("channel.close-ok", 2))
    assert there.sent() == method("channel.close-ok", 2)


def test_a_method_that_is_not_answered_in_time_closes_its_channel_and_its_late_answer_is_dropped() -> None:
    there = Connected(request_timeout=5.0)
    there.say(method("channel.open", 2, b"\0"))
    there.hear(channel_open_ok(2))
    there.sent(), there.got()
    there.say(queue_declare())
    waits(there, 6)
    assert provocation(there.sent().removeprefix(queue_declare()))
    assert there.got() == b""
    there.hear(declare_ok() + PASSIVE)
    assert closed_with(there.got()) == (406, "PRECONDITION_FAILED - no answer within 5 s", number("queue.declare"))
    there.say(CLOSE_OK + get(channel=2))
    assert there.sent() == CLOSE_OK + get(channel=2)
    assert not there.client.closed


def test_a_server_that_does_not_close_the_channel_in_time_costs_the_connection() -> None:
    there = Connected(request_timeout=5.0)
    there.say(queue_declare())
    waits(there, 12)
    assert closed_with(there.got()) == (541, "INTERNAL_ERROR - no answer within 5 s", number("queue.declare"))
    assert there.client.closed


def test_a_channel_that_is_not_closed_in_time_costs_the_connection() -> None:
    there = Connected(request_timeout=5.0)
    there.say(method("channel.close", 1, b"\0\xc8\0\0\0\0\0"))
    waits(there, 6)
    assert closed_with(there.got())[0] == 541
    assert there.client.closed


def test_of_a_channel_that_its_client_has_closed_meanwhile_nothing_is_refused() -> None:
    decided: Deferred[Reply | None] = Deferred()
    there = Connected(
        hooks={"on_response": (lambda exchange: decided if exchange.get("method") == "queue.declare" else None,)}
    )
    close = method("channel.close", 1, b"\0\xc8\0\0\0\0\0")
    there.say(queue_declare())
    there.hear(declare_ok())
    there.say(close)
    there.hear(CLOSE_OK)
    assert there.got() == b""
    decided.callback(Reply(ErrorKind.DENIED, "not here"))
    there.stage.clock.advance(0)
    assert (there.sent(), there.got(), there.client.closed) == (queue_declare() + close, CLOSE_OK, False)


@pytest.mark.parametrize("beside", [b"", queue_declare()])
def test_a_message_of_which_the_rest_is_refused_costs_the_connection_and_its_client_hears_why(beside: bytes) -> None:
    def cut(exchange: IExchange, chunk: Message, side: Side) -> Reply | None:
        wrong = side is Side.CLIENT and b"y" in chunk.frame
        return Reply(ErrorKind.DENIED, "too much", name="CONTENT_TOO_LARGE") if wrong else None

    there = Connected(hooks={"on_chunk": (cut,)})
    there.say(beside + published(b"x" * 100_000 + b"y" * 100_000))
    assert closed_with(there.got()) == (311, "CONTENT_TOO_LARGE - too much", number("basic.publish"))
    assert there.client.closed
    assert there.server.closed


def test_a_message_whose_rest_is_refused_on_a_channel_that_its_server_has_closed_costs_the_connection() -> None:
    def cut(exchange: IExchange, chunk: Message, side: Side) -> Reply | None:
        return Reply(ErrorKind.DENIED, "too much") if side is Side.CLIENT and b"y" in chunk.frame else None

    there = Connected(hooks={"on_chunk": (cut,)})
    large = published(b"x" * 100_000 + b"y" * 100_000)
    there.say(large[:90_000])
    there.hear(channel_close(404, "NOT_FOUND - no exchange", "basic.publish"))
    there.got()
    there.say(large[90_000:])
    assert there.client.closed
    assert there.server.closed


def test_a_content_that_is_cut_off_closes_the_connection_with_its_reason() -> None:
    def cut(exchange: IExchange, chunk: Message, side: Side) -> Reply | None:
        return Reply(ErrorKind.DENIED, "not this") if side is Side.SERVER and b"y" in chunk.frame else None

    there = Connected(hooks={"on_chunk": (cut,)})
    there.hear(delivered(b"x" * 100_000 + b"y" * 100_000))
    found, bodies = cast("tuple[list[bytes], dict[int, bytes]]", unframed(there.got()))
    assert bodies == {1: b"x" * 65536}
    assert closed_with(found[-1]) == (403, "ACCESS_REFUSED - not this", 0)
    assert there.client.closed


def test_a_channel_that_is_not_to_be_opened_is_closed_and_no_server_hears_of_it() -> None:
    refused = [0]

    def limit(exchange: IExchange) -> Reply | None:
        if exchange.get("method") != "channel.open" or refused[0] != 1:
            return None
        return Reply(ErrorKind.LIMITED, "not so many")

    there = Connected(hooks={"on_request": (limit,)})
    refused[0] = 1
    there.say(method("channel.open", 2, b"\0") + queue_declare(channel=2) + published(channel=2))
    assert closed_with(there.got()) == (406, "PRECONDITION_FAILED - not so many", number("channel.open"))
    there.say(queue_declare(channel=2) + method("channel.close-ok", 2))
    refused[0] = 2
    there.say(method("channel.open", 2, b"\0"))
    assert (there.sent(), there.got()) == (method("channel.open", 2, b"\0"), b"")
    assert not there.client.closed


def test_a_client_that_closes_a_channel_which_was_not_opened_is_answered() -> None:
    there = room("channel.open", ErrorKind.LIMITED)
    assert there.got() == b""
    there.say(method("channel.open", 2, b"\0"))
    there.got()
    there.say(method("channel.close", 2, b"\0\xc8\0\0\0\0\0"))
    assert (there.got(), there.sent()) == (method("channel.close-ok", 2), b"")


def test_channels_close_whatever_is_refused() -> None:
    there = room("channel.close-ok")
    there.hear(channel_close(404, "NOT_FOUND"))
    there.say(CLOSE_OK)
    assert there.sent() == CLOSE_OK
    there = room("channel.close")
    close = method("channel.close", 1, b"\0\xc8\0\0\0\0\0")
    there.say(close)
    assert there.sent() == close
    there.hear(CLOSE_OK)
    assert there.got() == CLOSE_OK


# -- order while a filter takes its time


def test_a_publisher_over_a_limit_is_held_back_and_hears_of_it_and_goes_on() -> None:
    waits: list[Deferred[Reply | None]] = []

    def wait(exchange: IExchange) -> Deferred[Reply | None] | None:
        if exchange.get("method") != "basic.publish":
            return None
        waits.append(Deferred())
        return waits[-1]

    there = Connected(hooks={"on_request": (wait,)}, max_inflight=4)
    there.say(published() * 10)
    assert there.client.paused
    there.stage.listener.sweep(1.0)
    there.stage.clock.advance(0)
    assert there.got() == method("connection.blocked", 0, b"\x24the proxy holds this connection back")
    while waits:
        waits.pop().callback(None)
        there.stage.clock.advance(0)
    assert there.sent() == published() * 10
    assert not there.client.paused
    there.stage.listener.sweep(2.0)
    there.stage.clock.advance(0)
    assert there.got() == method("connection.unblocked", 0)


def test_what_follows_a_message_that_a_filter_still_has_waits_for_it() -> None:
    waits: list[Deferred[Reply | None]] = []

    def wait(exchange: IExchange) -> Deferred[Reply | None] | None:
        if exchange.get("method") != "basic.publish":
            return None
        waits.append(Deferred())
        return waits[-1]

    there = Connected(hooks={"on_request": (wait,)})
    there.say(published() + queue_declare())
    assert there.sent() == b""
    waits[0].callback(None)
    there.stage.clock.advance(0)
    assert there.sent() == published() + queue_declare()


def test_pieces_that_a_filter_still_has_keep_what_follows_on_their_channel_and_no_other() -> None:
    waits: list[Deferred[None]] = []

    def wait(exchange: IExchange, chunk: object, side: object) -> Deferred[None]:
        waits.append(Deferred())
        return waits[-1]

    there = Connected(hooks={"on_chunk": (wait,)})
    there.say(method("channel.open", 2, b"\0"))
    there.hear(channel_open_ok(2))
    there.sent()
    large = published(b"x" * 100_000, frame_max=50_008)
    cut = len(large) - 50_008
    there.say(large[:cut] + queue_declare(channel=2) + large[cut:] + queue_declare() + published())
    assert there.sent().endswith(queue_declare(channel=2))
    while waits:
        waits.pop(0).callback(None)
        there.stage.clock.advance(0)
    sent = there.sent()
    assert sent.endswith(b"x\xce" + queue_declare() + published())
    assert sent.count(b"x") == 100_000


def test_nothing_overtakes_an_answer_that_a_filter_still_has() -> None:
    waits: list[Deferred[Reply | None]] = []

    def wait(exchange: IExchange) -> Deferred[Reply | None] | None:
        if exchange.get("method") != "queue.declare":
            return None
        waits.append(Deferred())
        return waits[-1]

    there = Connected(hooks={"on_response": (wait,)})
    there.say(queue_declare() + get() + get())
    large = got(b"x" * 100_000)
    there.hear(declare_ok() + large[:1000])
    there.hear(large[1000:] + delivered(b"y" * 100_000) + got() + delivered())
    assert there.got() == b""
    waits[0].callback(None)
    for _ in range(3):
        there.stage.clock.advance(0)
    expected = declare_ok() + large + delivered(b"y" * 100_000) + got() + delivered()
    assert unframed(there.got()) == unframed(expected)
    there.hear(delivered())
    assert there.got() == delivered()


def test_a_server_that_has_closed_a_channel_gets_nothing_more_for_it() -> None:
    waits: list[Deferred[Reply | None]] = []

    def wait(exchange: IExchange) -> Deferred[Reply | None] | None:
        if exchange.get("method") != "queue.declare":
            return None
        waits.append(Deferred())
        return waits[-1]

    there = Connected(hooks={"on_request": (wait,)})
    there.say(queue_declare())
    there.hear(channel_close(404, "NOT_FOUND"))
    there.got()
    waits[0].callback(None)
    there.stage.clock.advance(0)
    assert (there.sent(), there.got(), there.client.closed) == (b"", b"", False)


def test_the_text_of_a_refusal_fits_its_place() -> None:
    there = Connected(hooks={"on_request": (refusing("basic.publish", text="ü" * 400),)})
    there.say(published())
    assert provocation(there.sent())
    there.hear(PASSIVE)
    _, text, _ = closed_with(there.got())
    assert text == "ACCESS_REFUSED - " + "ü" * 119
