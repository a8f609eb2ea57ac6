"""
The logins of AMQP 0-9-1 that end at the proxy: clients' against `users`, the proxy's own at brokers.

Lives here: what each step says, and what is refused. Does not: sessions (test_amqp_users.py), other messages.
"""

from __future__ import annotations

import pytest

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.broker_login import BrokerLogin
from metaproxy.codecs.amqp.login import GREETING, Accounts, Profile, Table, properties_of, table, understands_refusals
from metaproxy.codecs.amqp.login_fields import read_login
from metaproxy.message import FrameError

CLOSES = "authentication_failure_close"
CAPABLE: Table = {CLOSES: True, "basic.nack": True, "publisher_confirms": False}
PROPERTIES = table({"product": "pika", "capabilities": CAPABLE})
PROFILE = Profile("app", b"shop", PROPERTIES, 131072, 2047)
LOGIN = {"user": "back", "password": "secret"}


def text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def start_ok(response: bytes, mechanism: bytes = b"PLAIN", properties: bytes = PROPERTIES) -> bytes:
    arguments = properties + wire.short_string(mechanism) + text(response) + wire.short_string(b"en_US")
    return wire.method_frame(0, methods.START_OK, arguments)


def limits(number: int, channel_max: int, frame_max: int, heartbeat: int) -> bytes:
    parts = ((channel_max, 2), (frame_max, 4), (heartbeat, 2))
    return wire.method_frame(0, number, b"".join(value.to_bytes(size, "big") for value, size in parts))


def opening(vhost: bytes) -> bytes:
    return wire.method_frame(0, methods.OPEN, wire.short_string(vhost) + b"\0\0")


def start(mechanisms: bytes = b"PLAIN AMQPLAIN") -> bytes:
    return wire.method_frame(0, methods.START, b"\0\x09" + table({}) + text(mechanisms) + text(b"en_US"))


def closing(code: int, words: str) -> bytes:
    return wire.close_connection(code, words)


def admits(response: bytes, mechanism: bytes = b"PLAIN") -> bool:
    return Accounts({"app": "right"}).admits(read_login(start_ok(response, mechanism)))


def test_a_client_with_the_right_password_is_let_in() -> None:
    assert admits(b"\0app\0right")
    assert admits(b"app\0app\0right")


@pytest.mark.parametrize(
    "response", [b"\0app\0wrong", b"\0nobody\0right", b"\0app\0", b"app\0right", b"root\0app\0right", b"", b"\0\0\0\0"]
)
def test_any_other_login_is_not(response: bytes) -> None:
    assert not admits(response)


def test_another_mechanism_than_plain_is_refused() -> None:
    assert not admits(b"\0app\0right", b"EXTERNAL")


def test_only_a_client_that_says_so_understands_a_refusal() -> None:
    assert understands_refusals(start_ok(b""))
    assert not understands_refusals(start_ok(b"", properties=table({"product": "old"})))


def test_clients_find_a_broker_and_its_version_by_which_some_know_what_prefetch_means() -> None:
    assert b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.0" in GREETING


def test_of_long_properties_only_what_the_client_is_capable_of_is_passed_on() -> None:
    long = table({"what": "x" * 5000, "capabilities": CAPABLE})
    passed = properties_of(start_ok(b"", properties=long))
    assert passed == table({"product": "metaproxy", "capabilities": {"basic.nack": True, CLOSES: True}})
    assert properties_of(start_ok(b"")) == PROPERTIES


@pytest.mark.parametrize("users", [{}, ["app"], {"": "x"}, {"app": ""}, {"app": 1}, {"a" * 256: "x"}, {"a\0": "x"}])
def test_users_that_are_none_are_named_without_their_passwords(users: object) -> None:
    with pytest.raises(ValueError, match="users"):
        Accounts(users)


def test_the_proxy_logs_in_with_the_clusters_credentials_and_the_clients_properties_and_limits() -> None:
    login = BrokerLogin(PROFILE, LOGIN)
    assert login.first() == wire.PROTOCOL
    assert login.next(start()) == start_ok(b"\0back\0secret")
    tuned = login.next(limits(methods.TUNE, 2047, 131072, 30))
    assert tuned == limits(methods.TUNE_OK, 2047, 131072, 30) + opening(b"shop")
    assert login.next(wire.method_frame(0, methods.OPEN_OK, b"\0")) == b""
    assert (login.done, login.heartbeat, login.refusal) == (True, 30, b"")


def test_a_broker_without_limits_takes_the_clients() -> None:
    login = BrokerLogin(PROFILE, LOGIN)
    login.next(start())
    assert login.next(limits(methods.TUNE, 0, 0, 0)).startswith(limits(methods.TUNE_OK, 2047, 131072, 0))


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([start(b"AMQPLAIN")], "and not PLAIN"),
        ([limits(methods.TUNE, 1, 4096, 1)], "connection.start is next"),
        ([start(), closing(403, "ACCESS_REFUSED")], "refused the login of 'back': 403"),
        ([start(), limits(methods.TUNE, 2047, 65536, 60)], "frame_max: 65536"),
        ([start(), limits(methods.TUNE, 100, 131072, 60)], "channel_max: 100"),
    ],
)
def test_a_login_that_fails_says_why(frames: list[bytes], words: str) -> None:
    login = BrokerLogin(PROFILE, LOGIN)
    with pytest.raises(FrameError, match=words):
        for frame in frames:
            login.next(frame)


def test_a_virtual_host_that_the_broker_does_not_give_is_the_clients_error_and_not_the_logins() -> None:
    login = BrokerLogin(PROFILE, LOGIN)
    login.next(start())
    login.next(limits(methods.TUNE, 2047, 131072, 60))
    refusal = closing(530, "NOT_ALLOWED - vhost shop not found")
    assert login.next(refusal) == wire.CLOSED
    assert (login.done, login.refusal) == (True, refusal)


@pytest.mark.parametrize("credentials", [{}, {"user": "a"}, {"user": "a", "password": "b", "vhost": "c"}])
def test_credentials_that_are_no_login_are_refused(credentials: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="credentials"):
        BrokerLogin(PROFILE, credentials)
