"""Filters that let requests pass by what they say are not fooled by a key that is said twice, or can't be read."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from jwt_tools import ISSUER, NOW, jwks, token
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.thrift import Thrift
from metaproxy.filters.ext_authz.filter import ExtAuthz
from metaproxy.filters.jwt.filter import Jwt
from metaproxy.message import Message, Side

GOOD = f"Bearer {token()}"
BAD = "Bearer x"
UNREADABLE = 8


class Asked:
    """An exchange with this message."""

    listener = protocol = route = "x"
    started = 0.0
    outcome = details = ""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.learnt: dict[str, str | None] | None = None
        self.removed: list[str] = []

    def get(self, key: str) -> str | None:
        return None if key.startswith(("source.", "destination.")) else self.message.get(key)

    def remove(self, key: str) -> None:
        self.removed.append(key)

    def learn(self, key: str, value: str | None) -> None:
        self.learnt = {**(self.learnt or {}), key: value}

    def set(self, key: str, value: str) -> None: ...


def string(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 0x20:
        return bytes((len(raw),)) + raw
    return (
        bytes((0x30 | len(raw) >> 8, len(raw) & 255)) + raw
        if len(raw) < 1024
        else b"S" + struct.pack(">H", len(raw)) + raw
    )


def dubbo(*attachments: str, method: str = "echo", number: int = 2, generic: str = "") -> Asked:
    types = "Ljava/lang/String;" if generic else ""
    words = ("2.0.2", "demo.Echo", "0.0.0", "$invoke" if generic else method, types, *([generic] if generic else []))
    body = b"".join(map(string, words)) + b"H" + b"".join(map(string, attachments)) + b"Z"
    frame = struct.pack(">HBBQI", 0xDABB, 0xC0 | number, 0, 7, len(body)) + body
    (message,) = Dubbo().session(Side.CLIENT, 1 << 20).receive(frame)
    return Asked(message)


def refusal(jwt: Jwt, exchange: Any) -> str:
    reply: Any = jwt.on_request(exchange)
    return "" if reply is None else str(reply.text)


def jwt(require: Any = "any") -> Jwt:
    clock = Clock()
    clock.advance(NOW)
    return Jwt(
        {"main": {"issuer": ISSUER, "algorithms": ["RS256"], "jwks": {"inline": jwks("rsa")}}}, clock, require=require
    )


def test_a_request_with_one_token_passes() -> None:
    assert refusal(jwt(), dubbo("authorization", GOOD)) == ""


@pytest.mark.parametrize("tokens", [(GOOD, BAD), (BAD, GOOD)])
@pytest.mark.parametrize("require", ["any", "all", "allow_missing"])
@pytest.mark.parametrize("second", ["authorization", "Authorization"])
def test_a_request_with_two_tokens_is_refused(tokens: tuple[str, str], require: str, second: str) -> None:
    text = refusal(jwt(require), dubbo("authorization", tokens[0], second, tokens[1]))
    assert "authorization is there with several values" in text


def test_the_same_token_twice_is_one() -> None:
    assert refusal(jwt(), dubbo("authorization", GOOD, "authorization", GOOD)) == ""


@pytest.mark.parametrize("require", ["any", "allow_missing"])
def test_a_token_that_cannot_be_read_is_not_a_missing_one(require: str) -> None:
    assert "can't be read" in refusal(jwt(require), dubbo("authorization", GOOD, number=UNREADABLE))


def test_where_nothing_is_refused_two_tokens_pass_as_a_bad_one_does() -> None:
    assert refusal(jwt("allow_missing_or_failed"), dubbo("authorization", GOOD, "authorization", BAD)) == ""


def asks(exchange: Any, **options: Any) -> str:
    """'asked', 'passed' without a question, or how it was refused."""
    asked: list[Any] = []

    class Service:
        failures: tuple[type[Exception], ...] = (RuntimeError,)

        def ask(self, what: Any) -> Deferred[Any]:
            asked.append(what)
            return Deferred()

        def stop(self) -> None: ...

    filter = ExtAuthz(**{"service": {"grpc": "127.0.0.1:9"}, "clock": Clock(), **options})
    filter.stop()
    filter.service = Service()
    reply: Any = filter.on_request(exchange)
    if asked:
        return "asked"
    return "passed" if reply is None else str(reply.details)


UNCLEAR = "ext_authz_metadata_unclear"


def test_a_service_is_not_asked_about_one_of_two_values() -> None:
    assert asks(dubbo("user", "a")) == "asked"
    assert asks(dubbo("user", "a", "user", "a")) == "asked"
    assert asks(dubbo("user", "a", "user", "b")) == UNCLEAR
    assert asks(dubbo("user", "a", "User", "b")) == UNCLEAR


def test_only_keys_that_the_service_is_told_matter() -> None:
    twice = ("user", "a", "user", "b", "tenant", "t")
    assert asks(dubbo(*twice), metadata=["tenant"]) == "asked"
    assert asks(dubbo(*twice), metadata=["user"]) == UNCLEAR
    assert asks(dubbo(*twice), metadata=["tenant"], cache={"key": ["user"]}) == UNCLEAR


def test_an_operation_that_is_named_twice_is_one_that_the_service_is_told() -> None:
    assert asks(dubbo("path", "demo.Admin"), metadata=["tenant"]) == UNCLEAR


def test_a_request_that_matches_by_its_second_value_is_asked_about() -> None:
    match = {"user": "admin"}
    assert asks(dubbo("user", "guest"), match=match) == "passed"
    for first, second in (("guest", "admin"), ("admin", "guest")):
        assert asks(dubbo("user", first, "user", second), match=match) == UNCLEAR


def test_metadata_that_cannot_be_read_are_not_missing_ones() -> None:
    assert asks(dubbo("user", "a", number=UNREADABLE)) == UNCLEAR
    assert asks(dubbo("user", "a", number=UNREADABLE), metadata=["user"]) == UNCLEAR


def test_a_generic_call_is_two_operations_at_once_and_no_doubt() -> None:
    assert asks(dubbo(generic="admin"), metadata=["method", "generic.method"]) == "asked"
    assert asks(dubbo(generic="admin"), match={"method": "admin"}, metadata=["generic.method"]) == "asked"


def test_protocols_without_doubts_are_asked_about_as_before() -> None:
    frame = bytes.fromhex("00000011 80010001 00000004 6563686f 00000007 00")
    (message,) = Thrift().session(Side.CLIENT, 1 << 20).receive(frame)
    assert asks(Asked(message)) == "asked"
