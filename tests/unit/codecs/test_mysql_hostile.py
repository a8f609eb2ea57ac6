"""MySQL and those who want no database: logins that never end."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_words import command, greeting, login, ok

from metaproxy.codecs.mysql import MySQL
from metaproxy.testing.stage import Stage, Wire
from metaproxy.units import Seconds

BOTH: list[dict[str, Any]] = [{}, {"users": {"ann": "pencil"}}]
both_ways = pytest.mark.parametrize("options", BOTH, ids=["passing", "users"])


def arrived(options: dict[str, Any]) -> tuple[Stage, Wire]:
    """A client that has been greeted, by a server or the proxy."""
    stage = Stage(MySQL(login_timeout=Seconds(5), **options))
    client = stage.client()
    stage.clock.advance(0)
    for server in stage.network.upstreams:
        stage.say(server, greeting())
    assert client.take()[4:5] == b"\x0a"
    return stage, client


def wait(stage: Stage, seconds: int) -> None:
    for _ in range(seconds):
        stage.clock.advance(1)
        stage.listener.sweep(stage.clock.seconds())


@both_ways
def test_a_client_that_does_not_log_in_is_let_go(options: dict[str, Any]) -> None:
    stage, client = arrived(options)
    wait(stage, 4)
    assert not client.closed
    wait(stage, 3)
    assert client.closed


@both_ways
def test_a_login_byte_by_byte_takes_no_longer_than_another(options: dict[str, Any]) -> None:
    stage, client = arrived(options)
    for byte in login()[:5]:
        stage.say(client, bytes((byte,)))
        wait(stage, 1)
        assert not client.closed
    wait(stage, 2)
    assert client.closed


def test_who_has_logged_in_stays_also_while_the_user_is_changed() -> None:
    stage, client = arrived({})
    stage.say(client, login())
    stage.say(stage.server, ok(2))
    stage.say(client, command(0x11, b"ann\0\0d\0"))
    wait(stage, 10)
    assert not client.closed
