"""A command of a transaction that a filter refuses: the server fails all of it, and the client hears why."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Stage, Wire

from metaproxy.cluster.routes import Route
from metaproxy.codecs.redis import Redis
from metaproxy.message import Ending, ErrorKind, Reply

DENIED = b"-NOPERM no\r\n"
UNKNOWN = b"-ERR unknown command 'no'\r\n"


def command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


PROBE = command("refused: no")
MULTI, EXEC = command("MULTI"), command("EXEC")


def deny(exchange: Any) -> Reply | None:
    return Reply(ErrorKind.DENIED, "no") if exchange.get("command") == "DEL" else None


def stage(**options: Any) -> tuple[Any, Wire, list[str]]:
    """A stage on which DEL is refused, a client, and the outcomes of its exchanges."""
    outcomes: list[str] = []
    watch = lambda exchange: outcomes.append(exchange.outcome)  # noqa: E731
    there = Stage(codec=Redis(), hooks={"on_request": (deny,), "on_complete": (watch,)}, **options)
    return there, there.client(), outcomes


def test_the_server_gets_a_command_that_it_does_not_know() -> None:
    there, client, outcomes = stage()
    there.say(client, MULTI + command("SET", "a", "1") + command("DEL", "b") + command("SET", "c", "1") + EXEC)
    sent = MULTI + command("SET", "a", "1") + PROBE + command("SET", "c", "1") + EXEC
    assert there.server.take() == sent
    there.say(there.server, b"+OK\r\n+QUEUED\r\n" + UNKNOWN + b"+QUEUED\r\n-EXECABORT because\r\n")
    assert client.written == b"+OK\r\n+QUEUED\r\n" + DENIED + b"+QUEUED\r\n-EXECABORT because\r\n"
    assert sorted(outcomes) == ["denied", "error", "ok", "ok"]
    assert there.cluster.breaker.requests == there.endpoints[0].active == 0


def test_the_first_command_opens_the_transaction_although_it_is_refused() -> None:
    there, client, _ = stage()
    there.say(client, MULTI + command("DEL", "b") + command("SET", "c", "1") + EXEC)
    assert there.server.take() == MULTI + PROBE + command("SET", "c", "1") + EXEC
    there.say(there.server, b"+OK\r\n" + UNKNOWN + b"+QUEUED\r\n-EXECABORT because\r\n")
    assert client.written == b"+OK\r\n" + DENIED + b"+QUEUED\r\n-EXECABORT because\r\n"
    assert not client.closed
    there.say(client, command("GET", "x"))
    assert b"".join(wire.take() for wire in there.network.upstreams) == command("GET", "x")


def test_outside_of_a_transaction_nothing_is_sent() -> None:
    there, client, _ = stage()
    there.say(client, command("DEL", "b"))
    assert (client.written, there.network.upstreams) == (DENIED, [])


def test_a_client_gets_its_answer_also_when_the_server_goes_away() -> None:
    there, client, outcomes = stage()
    there.say(client, MULTI + command("SET", "a", "1") + command("DEL", "b"))
    there.server.end()
    assert DENIED in client.written and client.closed
    assert sorted(outcomes) == ["denied", "reset"]


def test_it_waits_for_the_server_no_longer_than_for_an_answer() -> None:
    there, client, outcomes = stage()
    there.say(client, MULTI + command("SET", "a", "1") + command("DEL", "b"))
    there.say(there.server, b"+OK\r\n+QUEUED\r\n")
    there.clock.advance(15)
    assert outcomes == ["ok", "timeout"]


def test_where_no_server_can_be_told_the_connection_ends_with_the_error() -> None:
    route = Route("closed", reply=Reply(ErrorKind.DENIED, "no"))
    there = Stage(codec=Redis(), routes=[route])
    client = there.client()
    there.say(client, MULTI + command("SET", "a", "1") + command("SET", "b", "1") + EXEC)
    assert (client.written, client.closed) == (b"+OK\r\n" + DENIED, True)
    assert there.network.upstreams == []


def test_a_cluster_without_endpoints_counts_as_no_server() -> None:
    there, client, outcomes = stage(endpoints=0)
    there.say(client, MULTI + command("DEL", "a") + EXEC)
    assert (client.written, client.closed, outcomes) == (b"+OK\r\n" + DENIED, True, ["denied"])


@pytest.mark.parametrize("ending", list(Ending))
def test_a_reply_that_ends_the_connection_needs_no_server(ending: Ending) -> None:
    there, client, _ = stage()
    there.route.on_request = (
        lambda exchange: Reply(ErrorKind.DENIED, "no", ending=ending) if deny(exchange) else None,
    )
    there.say(client, MULTI + command("SET", "a", "1") + command("DEL", "b"))
    assert PROBE not in there.network.upstreams[0].written
