from __future__ import annotations

from typing import Any

import pytest
from jwt_tools import Asked as Exchange

from metaproxy.filters.ext_authz.authorization import Decision, TooMuch, asked, change, denied
from metaproxy.message import ErrorKind, FrameError, Kind, Message

FACTS = {
    "source.address": "10.0.0.9", "source.port": "4321", "destination.address": "10.0.0.1", "destination.port": "80",
    "source.identity": "spiffe://x/ann",
}  # fmt: skip


def made(message: Message | None = None, **known: str) -> Any:
    """An exchange with these metadata, from 10.0.0.9."""
    exchange: Any = Exchange(**known)
    if message is not None:
        exchange.message = message
    exchange.listener, exchange.route, exchange.protocol, exchange.started = "in", "main", "quill", 1.5
    exchange.get = lambda key, get=exchange.get: FACTS.get(key) or get(key)
    return exchange


def test_a_request_is_told_with_peers_operation_metadata_and_where_it_arrived() -> None:
    message = Message(Kind.REQUEST, b"x" * 20, 7, {"operation": "demo.Echo/say", "Tenant": "a", "tenant": "b"})
    what = asked(made(message), (), {"env": "test"}, 1000)
    assert (what.source, what.destination, what.identity) == (("10.0.0.9", 4321), ("10.0.0.1", 80), "spiffe://x/ann")
    assert (what.id, what.protocol, what.size, what.started) == (7, "quill", 20, 1.5)
    assert (what.operation, what.service, what.method) == ("demo.Echo/say", "demo.Echo", "say")
    assert what.metadata == {"kind": "request", "operation": "demo.Echo/say", "tenant": "b"}
    assert what.context == {"listener": "in", "route": "main", "env": "test"}


def test_an_operation_without_a_service_is_a_method() -> None:
    what = asked(made(Message(Kind.REQUEST, b"", 1, {"operation": "GET"})), (), {}, 1000)
    assert (what.service, what.method) == ("", "GET")


def test_only_the_keys_that_are_named_are_told() -> None:
    exchange = made(user="ann", tenant="t", secret="s")
    assert asked(exchange, ("user", "none"), {}, 1000).metadata == {"user": "ann"}


def test_what_a_filter_learnt_is_told_and_not_what_the_client_wrote() -> None:
    exchange = made(user="mallory", admin="yes")
    exchange.learnt = {"user": "ann", "admin": None, "trace.id": "t"}
    assert asked(exchange, (), {}, 1000).metadata == {"kind": "request", "user": "ann", "trace.id": "t"}


def test_more_metadata_than_may_be_told_are_no_request_at_all() -> None:
    exchange = made(a="x" * 50, b="x" * 50)
    assert asked(exchange, ("a", "b"), {}, 102)
    with pytest.raises(TooMuch):
        asked(exchange, ("a", "b"), {}, 101)
    assert asked(exchange, ("a",), {}, 101)


def test_metadata_that_can_not_be_decoded_are_not_taken_for_none() -> None:
    def more(message: Message) -> None:
        raise FrameError("cut short")

    with pytest.raises(FrameError):
        asked(made(Message(Kind.REQUEST, b"", 1, {}, more)), (), {}, 1000)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(0, ErrorKind.DENIED), (401, ErrorKind.DENIED), (404, ErrorKind.NOT_FOUND), (429, ErrorKind.LIMITED),
     (503, ErrorKind.OVERLOAD), (302, ErrorKind.DENIED)],
)  # fmt: skip
def test_a_refusals_status_is_an_error_of_every_protocol(status: int, kind: ErrorKind) -> None:
    assert denied(status, "", {}) == Decision(False, kind, "denied")


def test_a_refusals_text_is_one_bounded_line() -> None:
    assert denied(0, "a\r\n b", {}).text == "a b"
    assert len(denied(0, "x" * 5000, {}).text) == 1024


def test_changes_replace_append_and_remove_however_the_client_spelled_it() -> None:
    exchange = made(User="mallory", roles="a", Debug="1", debug="2", kept="k")
    change(
        exchange, Decision(True, set={"user": "ann", "new": "n"}, append={"roles": "b", "fresh": "f"}, remove=["debug"])
    )
    assert exchange.removed == {"User", "roles", "Debug", "debug"}
    assert exchange.changes == {"user": "ann", "new": "n", "roles": "a,b", "fresh": "f"}
    assert exchange.learnt["debug"] is None
    assert exchange.learnt["user"] == "ann"
