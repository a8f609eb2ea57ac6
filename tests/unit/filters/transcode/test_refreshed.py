"""When servers are asked what they are."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.transcode.refreshed import AGAIN, Refreshed


class Servers:
    failures = (KeyError,)

    def __init__(self) -> None:
        self.asked: list[Deferred[list[bytes]]] = []
        self.closed = False

    def fetch(self) -> Deferred[list[bytes]]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def close(self) -> None:
        self.closed = True


class Stand:
    def __init__(self, refresh: float = 60.0) -> None:
        self.clock, self.servers = Clock(), Servers()
        self.taken: list[list[bytes]] = []
        self.refreshed = Refreshed(self.servers, self.take, self.clock, refresh)

    def take(self, files: list[bytes]) -> None:
        if not files:
            raise ValueError("nothing")
        self.taken.append(files)


def test_the_first_look_asks_and_all_wait_for_the_same_answer() -> None:
    stand = Stand()
    done: list[None] = []
    for _ in range(2):
        stand.refreshed.look()
        waiting = stand.refreshed.wait()
        assert waiting is not None
        waiting.addCallback(done.append)
    assert len(stand.servers.asked) == 1
    stand.servers.asked[0].callback([b"x"])
    assert (stand.taken, done, stand.refreshed.wait()) == ([[b"x"]], [None, None], None)


def test_they_are_asked_again_after_a_while_and_never_if_that_is_wanted() -> None:
    for refresh, asked in ((60.0, [1, 1, 2]), (0.0, [1, 1, 1])):
        stand = Stand(refresh)
        seen = []
        for wait in (0, 59, 1):
            stand.clock.advance(wait)
            stand.refreshed.look()
            seen.append(len(stand.servers.asked))
            if not stand.servers.asked[-1].called:
                stand.servers.asked[-1].callback([b"x"])
        assert seen == asked


def test_a_failure_lets_those_who_wait_go_on_and_is_tried_again_soon() -> None:
    for failure in (KeyError("no"), None):
        stand = Stand()
        stand.refreshed.look()
        waiting = stand.refreshed.wait()
        if failure is not None:
            stand.servers.asked[0].errback(failure)
        else:
            stand.servers.asked[0].callback([])  # they are no API
        assert waiting is not None and waiting.called and not stand.taken
        stand.refreshed.look()
        assert len(stand.servers.asked) == 1
        stand.clock.advance(AGAIN)
        stand.refreshed.look()
        assert len(stand.servers.asked) == 2


def test_it_ends_with_its_source() -> None:
    stand = Stand()
    stand.refreshed.close()
    assert stand.servers.closed
