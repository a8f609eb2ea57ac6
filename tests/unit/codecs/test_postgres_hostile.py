"""PostgreSQL and those who want no database: logins that never end, and what is asked again and again."""

from __future__ import annotations

from typing import Any

import pytest
from postgres_words import DONE, LOGGED_IN, MD5, asked_for, errors, query, ready, said, startup

from metaproxy.codecs.postgres import Postgres
from metaproxy.testing.stage import Stage, Wire
from metaproxy.units import Seconds

HELLO = startup(user="ann", database="shop")
BOTH: list[dict[str, Any]] = [{}, {"users": {"ann": "pencil"}}]
both_ways = pytest.mark.parametrize("options", BOTH, ids=["passing", "users"])


def wait(stage: Stage, seconds: int) -> None:
    for _ in range(seconds):
        stage.clock.advance(1)
        stage.listener.sweep(stage.clock.seconds())


def asked_for_its_password(stage: Stage) -> Wire:
    client = stage.client()
    stage.say(client, HELLO)
    if stage.network.upstreams:
        stage.say(stage.server, MD5)
    assert client.take()[:1] == b"R"
    return client


@both_ways
def test_a_client_that_says_nothing_is_let_go(options: dict[str, Any]) -> None:
    stage = Stage(Postgres(**options))
    client = stage.client()
    wait(stage, 59)
    assert not client.closed
    wait(stage, 3)
    assert (client.closed, client.take()) == (True, b"")


@both_ways
def test_a_login_byte_by_byte_takes_no_longer_than_another(options: dict[str, Any]) -> None:
    stage = Stage(Postgres(login_timeout=Seconds(5), **options))
    client = stage.client()
    for byte in range(5):
        stage.say(client, HELLO[byte : byte + 1])
        wait(stage, 1)
        assert not client.closed
    wait(stage, 2)
    assert client.closed


@both_ways
def test_a_client_that_does_not_prove_who_it_is_hears_why_it_is_let_go(options: dict[str, Any]) -> None:
    stage = Stage(Postgres(login_timeout=Seconds(5), **options))
    client = asked_for_its_password(stage)
    wait(stage, 7)
    last_words = client.take()
    assert (client.closed, errors(last_words)) == (True, ["57014"])
    assert b"login_timeout" in last_words


def test_who_has_logged_in_stays() -> None:
    stage = Stage(Postgres())
    client = stage.client()
    stage.say(client, HELLO)
    stage.say(stage.server, LOGGED_IN + ready())
    wait(stage, 120)
    assert not client.closed
    client.take()
    stage.say(client, query("select 1"))
    assert stage.server.take().endswith(query("select 1"))


def test_a_login_may_take_as_long_as_it_wants_if_that_is_written() -> None:
    stage = Stage(Postgres(login_timeout=Seconds(0)))
    client = stage.client()
    wait(stage, 600)
    assert not client.closed


@both_ways
@pytest.mark.parametrize("code", [80877103, 80877104], ids=["TLS", "GSSAPI"])
def test_encryption_that_is_not_there_is_asked_for_once(code: int, options: dict[str, Any]) -> None:
    stage = Stage(Postgres(**options))
    client = stage.client()
    stage.say(client, asked_for(code) * 1000)
    assert (client.closed, client.take()) == (True, b"N")


# -- servers


TRUSTED: list[dict[str, Any]] = [{}, {"users": {"ann": "pencil"}, "auth": "trust"}]


@pytest.mark.parametrize("options", TRUSTED, ids=["passing", "users"])
@pytest.mark.parametrize("answer", [MD5, said("R", b"\0\0\0\3"), DONE + ready("?"), DONE + said("Z")])
def test_a_server_that_asks_for_a_login_again_or_has_no_state_ends_its_connection(
    answer: bytes, options: dict[str, Any]
) -> None:
    stage = Stage(Postgres(**options))
    client = stage.client()
    stage.say(client, HELLO)
    stage.say(stage.server, LOGGED_IN + ready())
    stage.say(client, query("select 1"))
    client.take()
    stage.say(stage.server, answer)
    assert stage.server.closed and len(errors(client.take())) == 1
