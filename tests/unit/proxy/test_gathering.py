"""Answers that come in pieces, for who takes whole ones only."""

from __future__ import annotations

from reel import Reel, credits_of, frame, frames

from metaproxy.message import Chunk, Kind, Message
from metaproxy.proxy.gathering import Gatherer
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.routing.table import Route, Target
from metaproxy.testing import Stage


def head(failed: bool = False) -> Message:
    message = Message(Kind.STREAM_OPEN, b"head", 3)
    if failed:
        message.failed = True
    return message


def test_the_pieces_of_an_answer_make_the_answer() -> None:
    gatherer = Gatherer(head(), 100)
    assert gatherer.add(Chunk(Kind.STREAM_DATA, b"-one")) == ""
    assert gatherer.add(Chunk(Kind.STREAM_CLOSE, b"-two", trailers=b"-end")) == ""
    assert gatherer.whole() == Message(Kind.RESPONSE, b"head-one-two-end", 3)


def test_a_failure_in_the_head_or_at_the_end_makes_it_an_error() -> None:
    assert Gatherer(head(failed=True), 100).whole().kind is Kind.ERROR
    late = Gatherer(head(), 100)
    late.add(Chunk(Kind.STREAM_CLOSE, failed=True))
    assert late.whole().kind is Kind.ERROR


def test_more_than_is_allowed_is_not_gathered() -> None:
    gatherer = Gatherer(head(), 10)
    assert gatherer.add(Chunk(Kind.STREAM_DATA, bytes(6))) == ""
    assert "more than 10 bytes" in gatherer.add(Chunk(Kind.STREAM_DATA, b"x"))


def mirrored(**settings: int) -> tuple[Stage, MirrorTarget]:
    """A stage whose requests are copied to another cluster."""
    shadow = Stage(Reel())
    target = MirrorTarget(shadow.cluster)
    plain = Stage(Reel())
    route = Route("all", targets=[Target(plain.cluster)], mirror=Mirror([target], lambda: 0.0))
    return Stage(Reel(), routes=[route]), target


def test_a_mirror_gets_the_chunks_of_a_request_as_well() -> None:
    stage, target = mirrored()
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask") + frame("D", 7, b"one"))
    stage.say(client, frame("C", 7, b"two"))
    for wire in stage.network.upstreams:
        assert [one[2] for one in frames(wire.take())] == [b"ask", b"one", b"two"]
    original, copy = stage.network.upstreams
    stage.say(copy, frame("O", 1) + frame("C", 1))
    stage.say(original, frame("W", 1))
    assert target.copies == 0 and target.counts.dropped == 0
    assert [one[0] for one in frames(client.take())] == ["W"]


def test_a_mirror_that_does_not_keep_up_loses_its_copy_and_holds_up_nothing() -> None:
    stage, target = mirrored()
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask"))
    _, copy = stage.network.upstreams
    copy.protocol.pauseProducing()
    stage.say(client, frame("D", 7, b"one"))
    assert target.counts.dropped == 1 and target.copies == 0
    assert [one[0] for one in frames(copy.take())] == ["O", "D", "R"]
    assert credits_of(stage.downstream(client).session) == {7: 3}


def test_a_copy_ends_with_an_original_that_never_became_whole() -> None:
    stage, target = mirrored()
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask"))
    stage.say(client, frame("R", 7))
    assert target.copies == 0
    for wire in stage.network.upstreams:
        assert [one[0] for one in frames(wire.take())] == ["O", "R"]
