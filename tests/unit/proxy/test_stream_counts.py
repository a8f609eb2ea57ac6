"""What is counted of streams: while they are open, and once they have ended."""

from __future__ import annotations

from typing import Any

import pytest
from reel import Reel, frame

from metaproxy.counts import StreamCounts, TargetCounts
from metaproxy.message import ErrorKind, Reply
from metaproxy.testing import Stage, Wire

ASK = frame("O", 7, b"ask")


def targets_of(stage: Stage) -> TargetCounts:
    return stage.route.targets[0].counts


def streams_of(stage: Stage) -> StreamCounts:
    found = targets_of(stage).streams
    assert found is not None
    return found


def talk(stage: Stage) -> Wire:
    """A stream that is open: 2 chunks of 3 and 5 bytes up after 1 s, a head and 4 bytes down after another second."""
    client = stage.client()
    stage.say(client, ASK)
    stage.clock.advance(1)
    stage.say(client, frame("D", 7, b"one") + frame("D", 7, b"three"))
    stage.clock.advance(1)
    stage.say(stage.server, frame("O", 1, b"head") + frame("D", 1, b"four"))
    return client


def test_an_open_stream_is_active_and_its_bytes_and_chunks_are_counted_as_they_pass() -> None:
    stage = Stage(Reel())
    talk(stage)
    counts, streams = targets_of(stage), streams_of(stage)
    assert (len(streams.open), streams.seconds.count, counts.outcomes) == (1, 0, {})
    assert counts.with_open("request_bytes") == len(ASK) + 8
    assert counts.with_open("response_bytes") == len(frame("O", 7, b"head")) + len(frame("D", 7, b"four"))
    assert (streams.with_open("request_chunks"), streams.with_open("response_chunks")) == (2, 1)


def test_no_byte_and_no_chunk_is_counted_twice_or_lost_as_a_stream_ends() -> None:
    stage = Stage(Reel())
    client = talk(stage)
    counts, streams = targets_of(stage), streams_of(stage)
    before = [counts.with_open(name) for name in ("request_bytes", "response_bytes")]
    stage.say(client, frame("C", 7))
    stage.say(stage.server, frame("C", 1))
    assert (len(streams.open), streams.seconds.count, counts.outcomes) == (0, 1, {"ok": 1})
    assert counts.with_open("request_bytes") == before[0] == counts.request_bytes
    assert counts.with_open("response_bytes") == before[1] + len(frame("C", 7)) == counts.response_bytes
    assert (streams.with_open("request_chunks"), streams.with_open("response_chunks")) == (3, 2)


def test_how_long_a_stream_lasted_and_when_its_answer_began_are_measured_apart_from_latency() -> None:
    stage = Stage(Reel())
    client = talk(stage)
    streams = streams_of(stage)
    assert (streams.first_byte.count, round(streams.first_byte.total, 6)) == (1, 2.0)
    stage.clock.advance(10)
    stage.say(client, frame("C", 7))
    stage.say(stage.server, frame("C", 1))
    assert (streams.seconds.count, round(streams.seconds.total, 6)) == (1, 12.0)
    assert targets_of(stage).latency.count == 0
    assert stage.endpoints[0].counts.latency.count == 0  # what outlier detection looks at


def test_a_whole_answer_to_a_request_in_pieces_is_its_first_byte_and_its_end() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    stage.clock.advance(3)
    stage.say(stage.server, frame("W", 1, b"done"))
    streams = streams_of(stage)
    assert (round(streams.first_byte.total, 6), round(streams.seconds.total, 6)) == (3.0, 3.0)
    assert not streams.open


def test_whole_messages_count_as_latency_and_as_no_stream() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("W", 1))
    assert (targets_of(stage).streams, targets_of(stage).latency.count) == (None, 1)


@pytest.mark.parametrize("end", ["reset", "gone", "server gone"])
def test_a_stream_that_is_cut_off_is_no_longer_active(end: str) -> None:
    stage = Stage(Reel())
    client = talk(stage)
    if end == "reset":
        stage.say(client, frame("R", 7))
    else:
        (client if end == "gone" else stage.server).end()
    assert (len(streams_of(stage).open), streams_of(stage).seconds.count) == (0, 1)


def test_a_stream_that_a_filter_refused_has_ended_and_was_never_active() -> None:
    seen: list[int] = []

    def refuse(exchange: Any) -> Reply:
        streams = targets_of(stage).streams
        seen.append(0 if streams is None else len(streams.open))
        return Reply(ErrorKind.DENIED, "no")

    stage = Stage(Reel(), hooks={"on_request": (refuse,)})
    stage.say(stage.client(), ASK)
    streams = stage.route.reply_target.counts.streams
    assert streams is not None
    assert (seen, len(streams.open), streams.seconds.count) == ([0], 0, 1)
