"""Whatever a plugin raises or gives: the exchange ends once, the plugin is named and counted, and all others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from harness import Quill, Stage, answer, call
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.interfaces import IEndpoint, IExchange, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Kind, Message, Side
from metaproxy.proxy.culprit import culprit


class PanicException(BaseException):
    """As modules written in Rust raise it."""


FAULTS = [
    RuntimeError("boom"),
    SystemExit(1),
    KeyboardInterrupt(),
    CancelledError(),
    PanicException(),
    RecursionError(),
]


def failing(fault: BaseException) -> Callable[..., Any]:
    def method(*_: object, **__: object) -> Any:
        raise fault

    return method


@implementer(IOnRequest, IOnResponse, IOnComplete)
class Failing:
    def __init__(self, hook: str, fault: BaseException) -> None:
        self._hook, self._fault = hook, fault

    def on_request(self, exchange: IExchange) -> None:
        self._maybe("on_request")

    def on_response(self, exchange: IExchange) -> None:
        self._maybe("on_response")

    def on_complete(self, exchange: IExchange) -> None:
        self._maybe("on_complete")

    def _maybe(self, hook: str) -> None:
        if hook == self._hook:
            raise self._fault


def ask(stage: Stage) -> bytes:
    """What a client gets for one call, which the server answers if it comes."""
    client = stage.client()
    stage.say(client, call(7))
    for wire in list(stage.network.upstreams):
        if data := wire.take():
            stage.say(wire, answer(int.from_bytes(data[4:12], "big")))
    return client.take()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_a_filter_that_raises_anything_ends_its_exchange_as_internal(hook: str, fault: BaseException) -> None:
    filter = Failing(hook, fault)
    stage = Stage(hooks={name: (getattr(filter, name),) for name in ("on_request", "on_response", "on_complete")})
    assert b"a filter failed" in ask(stage)
    assert stage.route.targets[0].counts.outcomes or stage.route.reply_target.counts.outcomes == {"internal": 1}
    assert stage.listener.counts.plugin_errors == {f"Failing.{hook}": 1}
    assert stage.listener.counts.active_exchanges == stage.cluster.breaker.requests == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_end_hook_that_raises_anything_changes_nothing(fault: BaseException) -> None:
    stage = Stage(hooks={"on_complete": (Failing("on_complete", fault).on_complete,)})
    assert ask(stage) == answer(7)
    assert stage.listener.counts.plugin_errors == {"Failing.on_complete": 1}


def test_a_filter_that_waited_and_then_fails_ends_its_exchange_as_internal() -> None:
    waiting: Deferred[None] = Deferred()
    stage = Stage(hooks={"on_request": (lambda exchange: waiting,)})
    client = stage.client()
    stage.say(client, call(7))
    waiting.errback(Failure(SystemExit(1)))
    stage.clock.advance(0)
    assert b"a filter failed" in client.take()


def codec_with(**methods: Any) -> Quill:
    made: Quill = type("Broken", (Quill,), methods)()
    return made


@pytest.mark.parametrize("fault", [RuntimeError("boom"), SystemExit(1)], ids=lambda fault: type(fault).__name__)
def test_a_codec_whose_error_answer_raises_ends_the_exchange_and_its_clients_connection(fault: BaseException) -> None:
    stage = Stage(codec=codec_with(reply=failing(fault)), routes=[])
    client, other = stage.client(), stage.client()
    stage.say(client, call(7))
    assert client.closed and not other.closed
    assert stage.no_route.reply_target.counts.outcomes == {"internal": 1}
    assert list(stage.listener.counts.plugin_errors.values()) == [1]


@pytest.mark.parametrize("given", [None, "text", 7, bytearray(b"x")])
def test_a_codec_whose_error_answer_is_no_bytes_does_the_same(given: object) -> None:
    stage = Stage(codec=codec_with(reply=lambda *_: given), routes=[])
    client = stage.client()
    stage.say(client, call(7))
    assert client.closed
    assert stage.listener.counts.plugin_errors == {"codec quill: reply": 1}


def test_a_codec_that_cannot_say_whether_a_request_is_safe_ends_the_exchange() -> None:
    stage = Stage(codec=codec_with(safe=failing(ValueError("no idea"))))
    stage.route.retry = RetryPolicy(2, ["timeout"], 1.0, (0.0, 0.0))
    client = stage.client()
    stage.say(client, call(7))
    stage.clock.pump([1.1, 0.1, 0.1])
    assert b"a plugin of the proxy failed" in client.take()
    assert stage.cluster.breaker.requests == stage.listener.counts.active_exchanges == 0


def with_message(change: Callable[[Message], None]) -> Quill:
    """A codec each of whose requests is changed as it is read."""

    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner: Any = Quill.session(self, side, max_frame)
        receive = inner.receive

        def changed(data: bytes) -> list[Message]:
            messages: list[Message] = receive(data)
            for message in messages if side is Side.CLIENT else ():
                change(message)
            return messages

        inner.receive = changed
        return inner

    return codec_with(session=session)


def test_metadata_that_raise_end_the_exchange_and_not_the_connection() -> None:
    def more(message: Message) -> None:
        raise KeyError("odd")

    def change(message: Message) -> None:
        message.metadata, message.more = None, more

    stage = Stage(codec=with_message(change))
    stage.route.on_request = (lambda exchange: exchange.get("service") and None,)
    client = stage.client()
    stage.say(client, call(7))
    assert b"failed" in client.take() and not client.closed


def test_a_profile_that_cannot_be_hashed_ends_the_exchange_and_not_the_connection() -> None:
    stage = Stage(codec=with_message(lambda message: setattr(message, "profile", [])))
    client = stage.client()
    stage.say(client, call(7))
    assert b"a plugin of the proxy failed" in client.take() and not client.closed
    assert stage.route.targets[0].counts.outcomes == {"internal": 1}


@pytest.mark.parametrize("given", [[None], None, 7, ["text"]])
def test_a_session_that_reads_what_are_no_messages_ends_its_connection_and_is_named(given: object) -> None:
    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner: Any = Quill.session(self, side, max_frame)
        if side is Side.CLIENT:
            inner.receive = lambda data: given
        return inner

    stage = Stage(codec=codec_with(session=session))
    client = stage.client()
    stage.say(client, call(7))
    assert client.closed
    assert sum(stage.listener.counts.plugin_errors.values()) == 1


@pytest.mark.parametrize("method", ["receive", "send", "open"])
@pytest.mark.parametrize("fault", [RuntimeError("boom"), SystemExit(1)], ids=lambda fault: type(fault).__name__)
def test_a_servers_session_that_raises_ends_what_is_on_its_connection_and_no_more(
    method: str, fault: BaseException
) -> None:
    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner = Quill.session(self, side, max_frame)
        if side is Side.SERVER:
            setattr(inner, method, failing(fault))
        return inner

    stage = Stage(codec=codec_with(session=session))
    assert b"failed" in ask(stage)
    assert stage.route.targets[0].counts.outcomes == {"internal": 1}
    assert sum(stage.cluster.counts.plugin_errors.values()) + sum(stage.listener.counts.plugin_errors.values()) == 1


@pytest.mark.parametrize("pick", [failing(SystemExit(1)), lambda self, hash_value: None, lambda self, hash_value: "x"])
def test_a_balancer_that_raises_or_picks_what_is_no_endpoint_ends_the_exchange(pick: Any) -> None:
    def balancer(endpoints: Sequence[IEndpoint]) -> Any:
        return type("Odd", (), {"uses_hash": False, "pick": pick})()

    stage = Stage(balancer=balancer)
    assert len(ask(stage)) > 13
    assert stage.listener.counts.active_exchanges == 0


def test_a_goodbye_that_raises_keeps_no_listener_from_draining() -> None:
    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner: Any = Quill.session(self, side, max_frame)
        inner.drain = failing(SystemExit(1))
        return inner

    stage = Stage(codec=codec_with(session=session))
    clients = [stage.client(), stage.client()]
    done = stage.listener.drain()
    stage.clock.advance(0)
    assert all(client.closed for client in clients) and done.called


def test_an_error_that_is_final_ends_its_clients_connection_behind_it() -> None:
    stage = Stage(codec=codec_with(reply=lambda *_: FinalFrame(b"ERROR\n")), routes=[])
    client = stage.client()
    stage.say(client, call(7) + call(8))
    assert client.take() == b"ERROR\n" and client.closed


def test_a_broken_frame_is_answered_with_the_sessions_last_words_behind_what_came_before() -> None:
    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner: Any = Quill.session(self, side, max_frame)
        inner.owed = lambda: b"last words"
        return inner

    stage = Stage(codec=codec_with(session=session))
    client = stage.client()
    stage.say(client, call(7) + bytes(13))
    assert client.take() == b"" and not client.closed
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7) + b"last words" and client.closed


def test_a_server_that_breaks_the_protocol_gets_the_sessions_last_words() -> None:
    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner: Any = Quill.session(self, side, max_frame)
        if side is Side.SERVER:
            inner.owes = True
            inner.owed = lambda: b"last words"
        return inner

    stage = Stage(codec=codec_with(session=session))
    stage.say(stage.client(), call(7))
    stage.server.take()
    stage.say(stage.server, bytes(13))
    assert stage.server.take() == b"last words" and stage.server.closed


def test_last_words_that_raise_end_the_connection_without_them() -> None:
    def session(self: Quill, side: Side, max_frame: int) -> Any:
        inner: Any = Quill.session(self, side, max_frame)
        inner.owed = failing(SystemExit(1))
        return inner

    stage = Stage(codec=codec_with(session=session))
    client = stage.client()
    stage.say(client, bytes(13))
    assert client.closed and sum(stage.listener.counts.plugin_errors.values()) == 1


def test_the_culprit_is_the_first_code_that_is_not_the_data_paths_own() -> None:
    class Plugin:
        def method(self) -> None:
            deeper()

    def deeper() -> None:
        raise FrameError("x")

    try:
        Plugin().method()
    except FrameError:
        traceback = Failure()
    assert culprit(traceback, "x").startswith("test_the_culprit")  # the caller here is no part of the data path
    assert culprit(Failure(ValueError("no traceback")), "codec quill") == "codec quill"
    assert ErrorKind.INTERNAL.value == "internal"


def test_a_servers_message_with_an_answer_of_its_own_is_a_fault_of_its_codec() -> None:
    class Old(Quill):
        def parse(self, frame: bytes) -> Message:
            message = super().parse(frame)
            if message.get("service") == "beat":
                message.kind, message.answer = Kind.HEARTBEAT, b"beat"
            return message

    stage = Stage(codec=Old())
    client = stage.client()
    stage.say(client, call(7))
    server = stage.server
    stage.say(server, call(1, "beat"))
    assert server.closed and b"failed" in client.take()
