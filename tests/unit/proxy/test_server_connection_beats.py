"""Heartbeats by time: sessions are asked while nothing else happens."""

from __future__ import annotations

from reel import Reel, ReelSession, frame, frames

from metaproxy.message import FrameError, Side
from metaproxy.proxy.pool import pool_of
from metaproxy.testing import Stage


class BeatingSession(ReelSession):
    """Says 'ping' every time, and gives up at the third."""

    beaten = 0

    def beat(self, now: float) -> None:
        self.beaten += 1
        if self.beaten > 2:
            self.error = FrameError("no answer to ping")
        else:
            self.say(frame("I", 0, b"ping"))


class BeatingReel(Reel):
    beats = True

    def session(self, side: Side, max_frame: int) -> ReelSession:
        return BeatingSession(side, max_frame, self)


def test_both_sides_are_asked_and_a_silent_peer_loses_its_connection() -> None:
    stage = Stage(BeatingReel())
    client = stage.client()
    stage.say(client, frame("O", 7))
    stage.server.take()
    pool = pool_of(stage.endpoints[0], stage.cluster, stage.network)
    for now in (1.0, 2.0):
        stage.listener.sweep(now)
        pool.sweep(now)
        stage.clock.advance(0)
        assert frames(client.take()) == [("I", 0, b"ping")]
        assert frames(stage.server.take()) == [("I", 0, b"ping")]
    pool.sweep(3.0)
    stage.clock.advance(0)
    assert stage.server.closed
    assert frames(client.take())[0][:2] == ("E", 7)
    stage.listener.sweep(3.0)
    assert client.closed


def test_a_codec_without_beats_is_not_asked() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("O", 7))
    stage.server.take()
    stage.listener.sweep(1.0)
    pool_of(stage.endpoints[0], stage.cluster, stage.network).sweep(1.0)
    assert (client.take(), stage.server.take()) == (b"", b"")
