"""Streams of which several tries are made while filters wait: all bytes, in their order."""

from __future__ import annotations

from reel import Reel, frame, frames
from twisted.internet.defer import Deferred

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.message import Chunk, Side
from metaproxy.routing.table import Route, Target
from metaproxy.testing import Stage, Wire


class Waiting:
    """A filter that decides of some chunks of the client when it is asked to."""

    def __init__(self, *keeps: bytes) -> None:
        self.keeps = keeps
        self.open: list[Deferred[None]] = []

    def on_chunk(self, exchange: object, chunk: Chunk, side: Side) -> Deferred[None] | None:
        if side is Side.SERVER or chunk.frame not in self.keeps:
            return None
        self.open.append(Deferred())
        return self.open[-1]

    def decide(self, stage: Stage) -> None:
        self.open.pop(0).callback(None)
        stage.clock.advance(0)


def retrying(waiting: Waiting | None = None, attempts: int = 1) -> Stage:
    stage = Stage(Reel(), endpoints=2)
    policy = RetryPolicy(attempts=attempts, on=("connect", "reset", "error"), unsafe=True)
    hooks = (waiting.on_chunk,) if waiting is not None else ()
    route = Route("all", targets=[Target(stage.cluster)], retry=policy, on_chunk=hooks)
    return Stage(Reel(), endpoints=2, routes=[route])


def refused(stage: Stage) -> None:
    """The first try ends, and its time is up before the second."""
    stage.say(stage.network.upstreams[0], frame("R", 1))


def second(stage: Stage) -> Wire:
    stage.clock.advance(1)
    return stage.network.upstreams[1]


def test_a_chunk_that_a_filter_keeps_while_another_try_begins_stays_before_those_behind_it() -> None:
    waiting = Waiting(b"one")
    stage = retrying(waiting)
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask") + frame("D", 7, b"one") + frame("D", 7, b"two"))
    refused(stage)
    other = second(stage)
    assert [one[2] for one in frames(other.take())] == [b"ask"]
    waiting.decide(stage)
    assert [one[2] for one in frames(other.take())] == [b"one", b"two"]


def test_a_chunk_that_a_filter_decides_of_between_two_tries_is_sent_by_the_second() -> None:
    waiting = Waiting(b"one")
    stage = retrying(waiting)
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask") + frame("D", 7, b"one") + frame("C", 7, b"two"))
    refused(stage)
    waiting.decide(stage)
    other = second(stage)
    assert [one[2] for one in frames(other.take())] == [b"ask", b"one", b"two"]
    stage.say(other, frame("W", 1, b"done"))
    assert frames(client.take()) == [("W", 7, b"done")]


def test_the_request_goes_on_behind_a_failed_head_after_which_nothing_is_tried_again() -> None:
    stage = retrying(attempts=0)
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask"))
    stage.say(stage.server, frame("F", 1, b"busy"))
    stage.server.take()
    stage.say(client, frame("C", 7, b"rest"))
    assert frames(stage.server.take()) == [("C", 1, b"rest")]
