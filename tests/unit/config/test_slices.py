"""Work in slices: the reactor goes on in between, and never more than one thread runs."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.config.named_files import named_files
from metaproxy.config.slices import Slices, checkpoint, in_reactor, take_apart, wait
from metaproxy.plugins import Registry
from metaproxy.telemetry.access_log.filter import LogFiles


def fired(deferred: Any) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


class Turns(Clock):
    """A reactor whose turns are taken one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def callLater(self, when: float, what: Any, *a: Any, **kw: Any) -> Any:  # type: ignore[override]
        self.calls.append((what, a))

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for function, arguments in calls:
            function(*arguments)


def test_short_work_is_done_at_once() -> None:
    assert fired(Slices(Clock()).run(lambda: 5)) == [5]


def test_long_work_lets_the_reactor_go_on_at_each_checkpoint() -> None:
    clock, seen = Turns(), []

    def work() -> Any:
        for i in range(3):
            seen.append(i)
            checkpoint()
        return "done"

    found = fired(Slices(clock, 0.0, 0.0).run(work))
    assert (seen, found) == ([0], [])
    clock.turn()
    assert (seen, found) == ([0, 1], [])
    clock.turn()
    clock.turn()
    assert (seen, found) == ([0, 1, 2], ["done"])


def test_work_waits_for_the_work_before_it() -> None:
    clock, seen = Turns(), []
    slices = Slices(clock, 0.0, 0.0)

    def work(name: Any) -> None:
        seen.append(f"{name} begins")
        checkpoint()
        seen.append(f"{name} ends")

    for name in ("one", "two"):
        slices.run(partial(work, name))
    for _ in range(5):
        clock.turn()
    assert seen == ["one begins", "one ends", "two begins", "two ends"]
    assert not slices.busy


def test_what_work_raises_fails_the_deferred_and_the_next_work_goes_on() -> None:
    clock = Clock()
    slices = Slices(clock)

    def work() -> None:
        raise KeyError("x")

    first, second = fired(slices.run(work)), fired(slices.run(lambda: 1))
    clock.advance(0)
    assert first[0].check(KeyError)
    assert second == [1]


def test_a_step_of_the_reactors_own_thread_is_done_there() -> None:
    found = fired(Slices(Clock()).run(lambda: (threading.current_thread(), in_reactor(threading.current_thread))))
    assert found[0][0] is not threading.current_thread()
    assert found[0][1] is threading.current_thread()


def test_what_that_step_raises_reaches_the_work() -> None:
    def step() -> None:
        raise OSError("taken")

    def work() -> Any:
        with pytest.raises(OSError, match="taken"):
            in_reactor(step)
        return "caught"

    assert fired(Slices(Clock()).run(work)) == ["caught"]


def test_what_is_done_by_one_piece_of_work_at_a_time_is_refused_while_another_waits_and_not_within_it() -> None:
    turns = Turns()
    slices = Slices(turns, 0.0, 0.0)
    slices.enter()

    def work() -> str:
        checkpoint()
        slices.enter()
        return "done"

    found = fired(slices.run(work))
    assert found == []
    with pytest.raises(RuntimeError, match="run this one in slices as well"):
        slices.enter()
    while not found:
        turns.turn()
    assert found == ["done"]
    slices.enter()


def test_outside_of_slices_both_are_plain_calls() -> None:
    checkpoint()
    assert in_reactor(lambda: 3) == 3


def test_a_large_configuration_is_checked_and_built_in_many_slices() -> None:
    registry, turns = Registry(), Turns()
    listeners = "".join(
        f"- {{name: l{i}, listen: '127.0.0.1:{i + 1000}', protocol: redis, routes: [{{cluster: c}}]}}\n"
        for i in range(100)
    )
    text = f"listeners:\n{listeners}clusters: [{{name: c, endpoints: ['127.0.0.1:1']}}]\n"
    builder = Builder(registry, Clock(), LogFiles(Clock()))

    def work() -> Any:
        config, problems = check(text, "large.yaml", registry)
        assert config is not None and problems == []
        return builder.build(config)

    found = fired(Slices(turns, 0.0, 0.0).run(work))
    count = 0
    while not found:
        turns.turn()
        count += 1
    assert len(found[0].listeners) == 100
    assert count > 1000


def test_a_large_configuration_comes_into_force_in_many_slices() -> None:
    registry, turns = Registry(), Turns()
    builder = Builder(registry, Clock(), LogFiles(Clock()))

    def config(timeout: int) -> model.Config:
        routes = "".join(f"{{cluster: c{i}, match: {{interface: get{i}}}, timeout: {timeout}s}}, " for i in range(200))
        clusters = "".join(f"- {{name: c{i}, endpoints: ['127.0.0.1:{i + 1}']}}\n" for i in range(200))
        listener = f"{{name: l, listen: '127.0.0.1:1000', protocol: dubbo, routes: [{routes}]}}"
        found, problems = check(f"listeners: [{listener}]\nclusters:\n{clusters}", "large.yaml", registry)
        assert problems == [] and found is not None
        return found

    builder.commit(builder.build(config(5)))
    now = config(6)
    snapshot = builder.build(now)

    def work() -> int:
        builder.commit(snapshot)
        return len(list(named_files(now, registry.load)))

    found = fired(Slices(turns, 0.0, 0.0).run(work))
    count = 0
    while not found:
        turns.turn()
        count += 1
    assert found == [0]
    assert count > 600


# -- what takes its time


def test_work_waits_for_a_deferred_while_the_reactor_goes_on_and_has_its_result() -> None:
    clock = Turns()
    slices = Slices(clock)
    later: Deferred[str] = Deferred()
    found = fired(slices.run(lambda: wait(in_reactor(lambda: later))))
    clock.turn()
    assert found == []
    assert slices.busy
    later.callback("there")
    clock.turn()
    assert found == ["there"]
    assert not slices.busy


def test_work_does_not_wait_for_what_has_fired() -> None:
    assert fired(Slices(Clock()).run(lambda: wait(succeed(3)))) == [3]


def test_a_failure_of_what_it_waits_for_is_raised_in_the_work() -> None:
    later: Deferred[str] = Deferred()

    def work() -> str:
        with pytest.raises(OSError, match="gone"):
            wait(later)
        return "caught"

    found = fired(Slices(Turns()).run(work))
    later.errback(OSError("gone"))
    assert found == ["caught"]


def test_work_may_wait_several_times_and_other_work_waits_for_it() -> None:
    clock = Turns()
    slices = Slices(clock)
    parts: list[Deferred[int]] = [Deferred(), Deferred()]
    first = fired(slices.run(lambda: [wait(one) for one in parts]))
    second = fired(slices.run(lambda: "next"))
    for number, one in enumerate(parts):
        assert (first, second) == ([], [])
        one.callback(number)
        clock.turn()
    clock.turn()
    assert (first, second) == ([[0, 1]], ["next"])


def test_outside_of_slices_nothing_can_wait() -> None:
    assert wait(succeed(3)) == 3
    with pytest.raises(RuntimeError, match="only work that runs in slices"):
        wait(Deferred())


# -- what is not needed any more


def test_large_data_are_freed_in_slices() -> None:
    turns, inner = Turns(), [[number] for number in range(100)]
    data = {"a": inner, "b": (1, 2), "c": {"d": {"e": "f"}}}
    found = fired(Slices(turns, 0.0, 0.0).run(partial(take_apart, data)))
    count = 0
    while not found:
        turns.turn()
        count += 1
    assert (data, inner) == ({}, [])
    assert count > 200
