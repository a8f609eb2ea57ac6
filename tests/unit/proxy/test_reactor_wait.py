"""Waiting in the place of Twisted's reactor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.task import Clock

from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.reactor_wait import TakenWait, take_wait
from metaproxy.proxy.transport import Network


@pytest.fixture
def loop() -> Iterator[EPollReactor]:
    reactor = EPollReactor()
    yield reactor
    reactor.removeAll()


def taken(loop: EPollReactor, waits: list[float | None]) -> TakenWait:
    wait = take_wait(loop, waits.append)
    assert wait is not None
    return wait


def run(loop: EPollReactor) -> None:
    loop.startRunning(installSignalHandlers=False)
    loop.mainLoop()


def test_it_is_called_for_each_round_until_the_wait_is_given_back(loop: EPollReactor) -> None:
    waits: list[float | None] = []
    wait = taken(loop, waits)
    loop.iterate(0.5)
    assert waits == [0.5]
    wait.give_back()
    loop.iterate(0)
    assert waits == [0.5]


def test_one_waits_for_a_reactor_and_no_other_kind_is_waited_for(loop: EPollReactor) -> None:
    taken(loop, [])
    assert take_wait(loop, lambda delay: None) is None
    assert take_wait(Clock(), lambda delay: None) is None
    other = PollReactor()
    assert take_wait(other, lambda delay: None) is None
    other.removeAll()


def test_a_reactor_that_does_not_run_is_on_at_once(loop: EPollReactor) -> None:
    assert taken(loop, []).rest() <= 0


def test_the_rest_is_until_the_first_timer_and_nothing_when_one_is_new_or_the_reactor_stops(
    loop: EPollReactor,
) -> None:
    rests: list[float] = []
    waits: list[TakenWait] = []

    def iterate(delay: float | None) -> None:
        rests.append(waits[0].rest())
        if len(rests) == 1:
            loop.callLater(50, print)
        elif len(rests) == 3:
            loop.callFromThread(lambda: None)
        elif len(rests) == 5:
            loop.stop()
        else:
            return
        rests.append(waits[0].rest())

    wait = take_wait(loop, iterate)
    assert wait is not None
    waits.append(wait)
    run(loop)
    assert rests[0] > 1000
    assert (rests[1], rests[3], rests[5]) == (0, 0, 0)
    assert 40 < rests[2] <= 50
    assert 40 < rests[4] <= 50


def test_timers_threads_and_readers_of_the_reactor_go_on_while_a_network_waits(loop: EPollReactor) -> None:
    network = Network(loop, FlushQueue(loop))
    happened: list[str] = []
    loop.callLater(0.01, happened.append, "timer")
    loop.callLater(0.02, loop.callInThread, loop.callFromThread, happened.append, "thread")
    loop.callLater(0.05, lambda: loop.callLater(0, happened.append, "new"))
    loop.callLater(0.1, network.close)
    loop.callLater(0.11, loop.stop)
    run(loop)
    assert sorted(happened) == ["new", "thread", "timer"]
    assert "doIteration" not in vars(loop)
