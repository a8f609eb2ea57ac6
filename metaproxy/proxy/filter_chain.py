"""
The hooks of an exchange's filters: on_request first to last, on_response last to first; any of them may wait or answer.

Lives here: `ask` and `tell`. Does not: what comes before and after the hooks (`exchange`), the end hooks, which may
neither wait nor answer (`Exchange.complete`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, FrameError, Message, Reply
from metaproxy.proxy.roles import OpenExchange

Hook = Callable[..., object]


class Filtered(OpenExchange, Protocol):
    """An exchange, as its filters' chain sees it."""

    def watch(self) -> None:
        """Start its clock."""

    def forward(self) -> None:
        """Send it on: no on_request hook objects."""

    def deliver(self) -> None:
        """Give the client the answer: no on_response hook objects."""

    def local(self, reply: Reply) -> None:
        """Answer in the place of a server."""

    def narrow(self, rest: Message, details: str) -> None:
        """Send this on in the place of the request, of which a filter refused some."""


def ask(exchange: Filtered, start: int = 0) -> None:
    """Calls the on_request hooks from number `start` on."""
    hooks = exchange.matched_route.action.on_request
    for index in range(start, len(hooks)):
        try:
            answer = hooks[index](exchange)
        except BaseException:  # also SystemExit: no plugin may end the reading of all sockets
            failed(exchange, hooks[index], Failure())
            return
        if answer is None:
            continue
        if isinstance(answer, Deferred):
            exchange.watch()
            exchange.client.wait_for(exchange)
            answer.addBoth(_resume, exchange, hooks[index], ask, index + 1)
            return
        answer = _in_part(exchange, answer)
        if answer is None:
            continue
        _decided(exchange, answer, hooks[index])
        return
    exchange.forward()
    if start:
        exchange.client.waited_for(exchange)


def tell(exchange: Filtered, start: int) -> None:
    """Calls the on_response hooks from number `start` down."""
    hooks = exchange.matched_route.action.on_response
    for index in range(start, -1, -1):
        try:
            answer = hooks[index](exchange)
        except BaseException:  # as above
            failed(exchange, hooks[index], Failure())
            return
        if answer is None:
            continue
        if isinstance(answer, Deferred):
            exchange.client.answer_waits(exchange)
            answer.addBoth(_resume, exchange, hooks[index], tell, index - 1)
            return
        _decided(exchange, answer, hooks[index])
        return
    exchange.deliver()


def _in_part(exchange: Filtered, answer: object) -> object:
    """What ends a request of which a filter refuses some, as the codec has it; None: the rest of it is sent on."""
    if not isinstance(answer, Reply) or not answer.only or answer.kind is None:
        return answer
    part = getattr(exchange.snapshot.codec, "without", None)
    try:
        rest = part(exchange.message, answer.only, answer.kind, answer.text, answer.name) if part is not None else None
    except FrameError:
        return answer
    if rest is None:
        return answer
    if isinstance(rest, bytes):
        return Reply(answer.kind, answer.text, rest, details=answer.details)
    exchange.narrow(rest, answer.details)
    return None


def failed(exchange: Filtered, hook: Hook, failure: Failure) -> None:
    """Ends an exchange whose filter raised: FrameError means that the request can't be read."""
    if failure.check(FrameError):
        exchange.local(Reply(ErrorKind.BAD_REQUEST, failure.getErrorMessage()))
        return
    exchange.client.listener.filter_failed(hook, failure)
    exchange.local(Reply(ErrorKind.INTERNAL, "a filter failed"))


def _resume(answer: object, exchange: Filtered, hook: Hook, go_on: Callable[[Filtered, int], None], next: int) -> None:
    """A filter that waited has decided. The exchange may have ended meanwhile."""
    if exchange.outcome:
        return
    exchange.client.network.turn.refresh()
    try:
        if isinstance(answer, Failure):
            failed(exchange, hook, answer)
            return
        if go_on is ask:
            answer = _in_part(exchange, answer)
        if answer is None:
            go_on(exchange, next)
        else:
            _decided(exchange, answer, hook)
    except BaseException:  # the Deferred would keep it, and the exchange would never end
        exchange.broke(Failure())


def _decided(exchange: Filtered, answer: object, hook: Hook) -> None:
    """A filter answers in the place of a server."""
    if isinstance(answer, Reply):
        exchange.local(answer)
        return
    text = f"it gave {answer!r:.100}; it may give None, a Reply, or a Deferred that fires with one of these"
    failed(exchange, hook, Failure(TypeError(text)))
