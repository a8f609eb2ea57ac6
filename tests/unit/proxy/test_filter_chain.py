"""What filters and codecs of others give, and what becomes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from harness import HEAD, Quill, Stage, answer, call
from twisted.internet.defer import Deferred, fail, succeed

from metaproxy.message import ErrorKind, FrameError, Message, Mutation, Reply

INTERNAL = HEAD.pack(9 + len("a filter failed"), 7, 0x80) + b"a filter failed"


async def coroutine() -> None:
    """What `async def on_request` would give."""


WRONG = [True, False, 0, "", "text", b"bytes", {}, ErrorKind.DENIED]


@pytest.mark.parametrize("given", WRONG, ids=repr)
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
@pytest.mark.parametrize("waits", [False, True])
def test_what_a_filter_must_not_give_costs_its_exchange_and_no_other(hook: str, given: object, waits: bool) -> None:
    result: Any = succeed(given) if waits else given
    stage = Stage(hooks={hook: (lambda exchange: result if exchange.message.id == 7 else None,)})
    client = stage.client()
    stage.say(client, call(7))
    if hook == "on_response":
        stage.say(stage.server, answer(1))
    assert client.take() == INTERNAL
    assert (
        stage.route.targets[0].counts.outcomes.get("internal", 0)
        + (stage.route.reply_target.counts.outcomes.get("internal", 0))
        == 1
    )
    assert stage.listener.counts.filter_errors == 1
    stage.say(client, call(8))
    stage.say(stage.server, answer(2 if hook == "on_response" else 1))
    assert client.take() == answer(8)
    assert stage.cluster.breaker.requests == 0


def test_a_coroutine_is_told_as_what_it_is() -> None:
    made = coroutine()
    stage = Stage(hooks={"on_request": (lambda exchange: made,)})
    client = stage.client()
    stage.say(client, call(7))
    assert client.take() == INTERNAL
    made.close()


def test_a_deferred_that_fails_is_a_filter_that_raises() -> None:
    stage = Stage(hooks={"on_request": (lambda exchange: fail(ValueError("oops")),)})
    client = stage.client()
    stage.say(client, call(7))
    assert client.take() == INTERNAL
    assert stage.listener.counts.filter_errors == 1


def test_a_deferred_that_fails_with_a_frame_error_is_the_clients_fault() -> None:
    stage = Stage(hooks={"on_request": (lambda exchange: fail(FrameError("no such key")),)})
    client = stage.client()
    stage.say(client, call(7))
    assert b"no such key" in client.take()
    assert stage.route.reply_target.counts.outcomes == {"bad_request": 1}
    assert stage.listener.counts.filter_errors == 0


def test_a_deferred_that_fires_with_a_reply_answers() -> None:
    waiting: Deferred[Reply] = Deferred()
    stage = Stage(hooks={"on_response": (lambda exchange: waiting,)})
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    assert client.take() == b""
    waiting.callback(Reply(ErrorKind.DENIED, "not for you"))
    stage.clock.advance(0)
    assert b"not for you" in client.take()
    assert stage.route.targets[0].counts.outcomes == {"denied": 1}


def test_a_whole_frame_of_a_filter_is_passed_as_it_is() -> None:
    frame = answer(7, b"from a cache")
    stage = Stage(hooks={"on_request": (lambda exchange: Reply(None, frame=frame),)})
    client = stage.client()
    stage.say(client, call(7))
    assert client.take() == frame
    assert stage.route.reply_target.counts.outcomes == {"ok": 1}


def test_a_hook_that_waits_longer_than_the_request_may_is_not_resumed_and_the_server_not_asked() -> None:
    waiting: Deferred[None] = Deferred()
    stage = Stage(hooks={"on_request": (lambda exchange: waiting,)})
    client = stage.client()
    stage.say(client, call(7))
    stage.clock.advance(15.0)
    assert b"no answer within 15 s" in client.take()
    waiting.callback(None)
    stage.clock.advance(0)
    assert stage.network.dialled == []


def test_a_codec_that_cannot_change_an_answer_tells_the_client_so() -> None:
    class Stubborn(Quill):
        mutable = ""

        def mutate(self, message: Message, mutation: Mutation) -> bytes:
            raise FrameError("attachments end too early")

    stage = Stage(codec=Stubborn(), hooks={"on_response": (lambda exchange: exchange.set("a", "b"),)})
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    assert b"attachments end too early" in client.take()
    assert stage.route.targets[0].counts.outcomes == {"bad_response": 1}
    assert stage.cluster.breaker.requests == 0


def test_new_code_of_a_codec_that_keeps_the_order_keeps_it_for_clients_that_are_there() -> None:
    class Ordered(Quill):
        ordered = True

    stage = Stage()
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    client.take()
    stage.listener.snapshot = dataclasses.replace(stage.snapshot, codec=Ordered())
    stage.say(client, call(7) + call(8))
    stage.say(stage.server, answer(3))
    assert client.take() == b""
    stage.say(stage.server, answer(2))
    assert client.take() == answer(7) + answer(8)


def test_the_client_sees_the_text_of_a_reply_and_the_logs_its_details() -> None:
    seen: list[str] = []
    refuse = lambda exchange: Reply(ErrorKind.DENIED, "no", details="policy 7")  # noqa: E731
    stage = Stage(hooks={"on_request": (refuse,), "on_complete": (lambda exchange: seen.append(exchange.details),)})
    client = stage.client()
    stage.say(client, call(1))
    assert (b"no" in client.written, b"policy 7" in client.written, seen) == (True, False, ["policy 7"])


class Labelled(Quill):
    """Quill, with room for metadata behind a message."""

    mutable = ""

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        return message.frame + repr(mutation.set).encode()


def test_a_codec_that_can_set_some_keys_gets_those_and_no_others() -> None:
    class Narrow(Labelled):
        mutable = "nearly nothing can be changed"
        settable = ("left",)

    for changes, expected in (({"left": "0", "right": "1"}, b"{'left': '0'}"), ({"right": "1"}, b"")):
        hook = lambda exchange, changes=changes: [exchange.set(*each) for each in changes.items()] and None  # noqa: E731
        stage = Stage(codec=Narrow(), hooks={"on_response": (hook,)})
        client = stage.client()
        stage.say(client, call(7))
        stage.say(stage.server, answer(1))
        assert client.take() == answer(7) + expected


@pytest.mark.parametrize("codec", [Quill(), Labelled()], ids=["no-place", "a-place"])
def test_metadata_of_a_refusal_are_put_into_it_where_the_protocol_has_a_place(codec: Quill) -> None:
    refusal = Reply(ErrorKind.LIMITED, "slowly", metadata={"left": "0"})
    stage = Stage(codec, hooks={"on_request": (lambda exchange: refusal,)})
    client = stage.client()
    stage.say(client, call(7))
    plain = codec.reply(Message(None, b"", 7), ErrorKind.LIMITED, "slowly")  # type: ignore[arg-type]
    assert client.take() == (plain if codec.mutable else plain + b"{'left': '0'}")


class Parted(Quill):
    """Calls of `a+b` can do without either."""

    def without(self, request: Message, names: Any, kind: ErrorKind, text: str, name: str = "") -> Message | None:
        (left,) = {"a", "b"} - set(names["service"]) or {""}
        if left == "b":
            raise FrameError("b has nothing in it")
        return self.parse(call(request.id, left)) if left else None


@pytest.mark.parametrize("waits", [False, True])
def test_a_filter_may_refuse_some_of_what_a_request_names(waits: bool) -> None:
    seen: list[str | None] = []

    def refuse(exchange: Any) -> Any:
        reply = Reply(ErrorKind.DENIED, "no", details="b is refused", only={"service": ["b"]})
        return succeed(reply) if waits else reply

    def see(exchange: Any) -> None:
        seen.append(exchange.get("service"))

    stage = Stage(Parted(), hooks={"on_request": (refuse, see)})
    client = stage.client()
    stage.say(client, call(7, "a+b"))
    assert seen == ["a"] and stage.server.take() == call(1, "a")
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)


@pytest.mark.parametrize("codec", [Parted, Quill])
@pytest.mark.parametrize("refused", [["a", "b"], ["a"]])
def test_where_the_codec_cannot_tell_them_apart_all_of_it_is_refused(codec: type[Quill], refused: list[str]) -> None:
    stage = Stage(codec(), hooks={"on_request": (lambda _: Reply(ErrorKind.DENIED, "no", only={"service": refused}),)})
    client = stage.client()
    stage.say(client, call(7, "a+b"))
    assert b"no" in client.take() and not stage.network.upstreams
