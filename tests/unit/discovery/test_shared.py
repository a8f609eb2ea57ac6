from __future__ import annotations

from twisted.internet.task import Clock

from metaproxy.discovery.shared import Shared


class Session:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_those_with_the_same_key_share_a_session_until_the_last_has_left() -> None:
    clock, shared = Clock(), Shared[Session]()
    sessions = {shared.take(clock, "k", Session) for _ in range(1000)}
    (session,) = sessions
    for _ in range(999):
        shared.release(clock, "k")
        clock.advance(0)
    assert session.closed == 0
    shared.release(clock, "k")
    clock.advance(0)
    assert session.closed == 1
    assert shared.take(clock, "k", Session) is not session


def test_another_key_or_another_reactor_has_another_session() -> None:
    clock, other, shared = Clock(), Clock(), Shared[Session]()
    found = {shared.take(clock, "k", Session), shared.take(clock, "l", Session), shared.take(other, "k", Session)}
    assert len(found) == 3


def test_a_cluster_that_replaces_another_in_the_same_turn_goes_on_with_its_session() -> None:
    clock, shared = Clock(), Shared[Session]()
    session = shared.take(clock, "k", Session)
    shared.release(clock, "k")
    assert shared.take(clock, "k", Session) is session
    clock.advance(0)
    assert session.closed == 0
    shared.release(clock, "k")
    clock.advance(0)
    assert session.closed == 1
    assert clock.getDelayedCalls() == []
