"""The filter of docs/how-to/act-on-streams.md, as a user would test it."""

from __future__ import annotations

import sys
from pathlib import Path

from reel import Reel, frame, frames
from twisted.internet.task import Clock

from metaproxy.testing import Stage

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "examples"))

from byte_quota import ByteQuota  # noqa: E402


def staged(most: int, rate: int = 0) -> tuple[Stage, Clock]:
    clock = Clock()
    quota = ByteQuota(clock, most, rate)
    hooks = {"on_chunk": (quota.on_chunk,), "on_complete": (quota.on_complete,)}
    return Stage(Reel(), hooks=hooks), clock


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "how-to" / "act-on-streams.md").read_text()
    assert (ROOT / "docs" / "examples" / "byte_quota.py").read_text() in page


def test_a_stream_over_its_quota_ends() -> None:
    stage, _ = staged(10)
    client = stage.client()
    stage.say(client, frame("O", 7) + frame("D", 7, bytes(10)))
    assert [one[0] for one in frames(stage.server.take())] == ["O", "D"]
    stage.say(client, frame("D", 7, b"x"))
    assert frames(client.take()) == [("E", 7, b"limited: more than 10 bytes")]
    assert [one[0] for one in frames(stage.server.take())] == ["R"]


def test_a_stream_is_slowed_down_to_its_rate() -> None:
    stage, clock = staged(1000, rate=10)
    client = stage.client()
    stage.say(client, frame("O", 7) + frame("D", 7, bytes(20)) + frame("C", 7, b"x"))
    assert [one[0] for one in frames(stage.server.take())] == ["O"]
    clock.advance(2.0)
    stage.clock.advance(0)
    assert [one[0] for one in frames(stage.server.take())] == ["D"]
    clock.advance(0.2)
    stage.clock.advance(0)
    assert [one[0] for one in frames(stage.server.take())] == ["C"]
