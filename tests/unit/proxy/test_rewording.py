"""A route that changes the statements of its requests."""

from __future__ import annotations

from postgres_words import HELLO, LOGGED_IN, errors, query, ready

from metaproxy.codecs.postgres import Postgres
from metaproxy.proxy.rewording import Rewording
from metaproxy.routing.pattern import compile_rewrite
from metaproxy.testing.stage import Stage

CHANGE = compile_rewrite("from old", "from new")


def test_a_route_changes_what_is_sent_and_refuses_what_it_can_not_change() -> None:
    stage = Stage(Postgres(stream_over=100), hooks={"on_request": (Rewording(CHANGE).reword,)})  # type: ignore[arg-type]
    client = stage.client()
    stage.say(client, HELLO)
    (server,) = stage.network.upstreams
    stage.say(server, LOGGED_IN + ready())
    server.take()
    client.take()
    stage.say(client, query("select 1 from old"))
    assert server.take() == query("select 1 from new")
    stage.say(server, ready())
    client.take()
    stage.say(client, query("select 1 from old where a = '" + "x" * 200 + "'"))
    assert errors(client.take()) == ["0A000"]
    assert server.take() == b""
