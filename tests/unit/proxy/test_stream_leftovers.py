"""What is left of an exchange with streams once it has ended: nothing, also before the collector looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from leftovers import no_collector
from reel import Reel, frame

from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.stream import Half, Stream
from metaproxy.testing import Stage, Wire


def both(stage: Stage, client: Wire) -> None:
    stage.say(client, frame("C", 7))
    stage.say(stage.server, frame("C", 1, b"rest"))


End = Callable[[Stage, Wire], object]
ENDS: dict[str, End] = {
    "both say so": both,
    "the answer ends first": lambda stage, client: stage.say(stage.server, frame("C", 1)),
    "a failure ends it": lambda stage, client: stage.say(stage.server, frame("X", 1)),
    "the client resets it": lambda stage, client: stage.say(client, frame("R", 7)),
    "the server resets it": lambda stage, client: stage.say(stage.server, frame("R", 1)),
    "the client goes": lambda stage, client: client.end(),
    "the server goes": lambda stage, client: stage.server.end(),
    "its time is up": lambda stage, client: stage.clock.advance(1000),
}
ANSWERED = {"the answer ends first", "a failure ends it", "the server resets it", "the server goes", "its time is up"}
"""The client's half is still open behind these."""


@pytest.mark.parametrize("flow", ["stream", "connection"])
@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left_of_an_exchange_with_streams_however_it_ends(end: str, flow: str) -> None:
    stage = Stage(Reel(flow=flow))
    with no_collector(Exchange, Attempt, Stream, Half) as left:
        client = stage.client()
        stage.say(client, frame("O", 7, b"ask") + frame("D", 7, b"one"))
        stage.say(stage.server, frame("O", 1, b"head") + frame("D", 1, b"two"))
        assert left.count()["Stream"] == 1
        ENDS[end](stage, client)
        assert left.count()["Exchange"] == left.count()["Attempt"] == 0
        if not client.closed and end in ANSWERED:  # it may still send the rest, which is dropped
            assert left.count() == {"Stream": 1, "Half": 2}
            stage.say(client, frame("C", 7))
        assert left.count() == {}
