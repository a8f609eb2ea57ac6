"""
`check_discovery`: the contract of a discovery, for the tests of its author.

Lives here: what is reported when the source changes, fails and comes back; that nothing happens before `start` and
nothing after `stop`. Does not: what the source is; the test has one in memory, on the clock that it is given.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.task import Clock

from metaproxy.cluster.membership import MOST
from metaproxy.config.found_endpoints import FoundEndpoints
from metaproxy.interfaces import IDiscovery
from metaproxy.testing.bench import verify
from metaproxy.testing.fakes import FakeReport
from metaproxy.testing.report import fault, need, shorten
from metaproxy.testing.watchdog import Endless, Watchdog

STEP = 0.05
"""Seconds by which the clock is turned at a time."""
MAX_TEXT = 1000
"""Characters that a failure may have: it goes into a log."""

T = TypeVar("T")
Make = Callable[[Clock], IDiscovery]
Act = Callable[[], object]
Items = Sequence[Mapping[str, object]]


def check_discovery(
    make: Make,
    change: Act | None = None,
    fail: Act | None = None,
    recover: Act | None = None,
    seconds: float = 60.0,
) -> None:
    """
    Raise AssertionError unless what `make(clock)` builds keeps the contract of a discovery.

    Its source has endpoints when the check begins, and answers on the clock; make: builds one that asks it. change:
    gives the source other endpoints, each time that it is called. fail, recover: the source stops to answer, and
    answers again. seconds: by when whatever happened must be reported, on that clock.
    """
    with Watchdog() as watchdog:
        for check in (_check_quiet, _check_stopped_at_once):
            check(_Bench(make, seconds, watchdog))
        bench = _Bench(make, seconds, watchdog)
        bench.start()
        _check_first(bench)
        if change is not None:
            _check_change(bench, change)
        if fail is not None:
            _check_failure(bench, fail, recover, change)
        _check_stop(bench, change)


class _Report(FakeReport):
    """What was reported, and copies of it: a list must not be changed afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Items] = []
        self.copies: list[Items] = []
        self.stopped = False
        self.fault: AssertionError | None = None

    def update(self, endpoints: Items) -> None:
        """Take a list. What is wrong with it is kept, too: the discovery may catch whatever is raised here."""
        try:
            self._update(endpoints)
        except AssertionError as error:
            self.fault = self.fault or error
            raise

    def failed(self, text: str) -> None:
        try:
            self._failed(text)
        except AssertionError as error:
            self.fault = self.fault or error
            raise

    def _update(self, endpoints: Items) -> None:
        need(not self.stopped, "update() was called after stop(): forget it there, and check before each report")
        _check_list(endpoints)
        self.given.append(endpoints)
        self.copies.append(copy.deepcopy(endpoints))
        super().update([item if isinstance(item, Mapping) else {"address": item} for item in endpoints])

    def _failed(self, text: str) -> None:
        need(not self.stopped, "failed() was called after stop(): forget it there, and check before each report")
        need(isinstance(text, str), f"failed() was given {text!r}; give a text")
        need(bool(text.strip()), "failed() was given an empty text; say what can't be had, and why")
        need("\n" not in text, f"failed() was given several lines, {text[:80]!r}; it is a line in a log")
        need(len(text) <= MAX_TEXT, f"failed() was given {len(text)} characters; {MAX_TEXT} at most go into a log")
        super().failed(text)


class _Bench:
    """One discovery on a clock, with what it reports."""

    def __init__(self, make: Make, seconds: float, watchdog: Watchdog) -> None:
        self.clock = Clock()
        self.report = _Report()
        self.seconds = seconds
        self._watchdog = watchdog
        self.discovery = self._called("the constructor", lambda: make(self.clock))
        verify(IDiscovery, self.discovery)

    def _called(self, what: str, call: Callable[[], T]) -> T:
        self._watchdog.begin()
        try:
            return call()
        except Endless:
            raise fault(f"{what} does not come back: nothing may block; ask on the clock or with a Deferred") from None
        except Exception as error:
            if self.report.fault is not None:
                raise self.report.fault from None
            raise fault(
                f"{what} raises {type(error).__name__}: {error}; what goes wrong later goes to failed()"
            ) from error
        finally:
            self._watchdog.end()
            if self.report.fault is not None:
                raise self.report.fault

    def start(self) -> None:
        self._called("start()", lambda: self.discovery.start(self.report.update, self.report.failed))

    def stop(self) -> None:
        self._called("stop()", self.discovery.stop)
        self.report.stopped = True

    def act(self, what: str, act: Act) -> None:
        self._called(what, act)

    def turn(self, seconds: float) -> None:
        self._called("a call from the clock", lambda: self.clock.advance(seconds))

    def until(self, holds: Callable[[], bool]) -> bool:
        """Turn the clock until something holds, for as long as is allowed."""
        for _ in range(int(self.seconds / STEP)):
            if holds():
                return True
            self.turn(STEP)
        return holds()

    def pass_time(self) -> None:
        self.until(lambda: False)

    def check_unchanged(self) -> None:
        same = all(list(one) == list(other) for one, other in zip(self.report.given, self.report.copies, strict=True))
        need(same, "a list was changed after it was reported: give update() a new list, with new mappings in it")


# -- what is checked


def _check_quiet(bench: _Bench) -> None:
    """A configuration that is merely checked builds a discovery and throws it away."""
    waiting = bench.clock.getDelayedCalls()
    need(not waiting, f"the constructor has set a timer, {shorten(waiting)}; begin in start(), not before")
    bench.stop()
    bench.pass_time()


def _check_stopped_at_once(bench: _Bench) -> None:
    bench.start()
    bench.stop()
    bench.pass_time()
    _check_over(bench)


def _check_first(bench: _Bench) -> None:
    report = bench.report
    need(
        bench.until(lambda: bool(report.updates)),
        f"no update() within {bench.seconds:g} s of start(), though the source has endpoints; "
        f"failures: {shorten(report.failures)}",
    )
    bench.pass_time()
    need(
        all(one != other for one, other in zip(report.updates, report.updates[1:], strict=False)),
        "update() was called with the list that was reported before; keep the last one, and call it when they differ",
    )
    bench.check_unchanged()


def _check_change(bench: _Bench, change: Act) -> None:
    before = list(bench.report.updates)
    bench.act("change()", change)
    need(
        bench.until(lambda: len(bench.report.updates) > len(before)),
        f"no update() within {bench.seconds:g} s after the source's endpoints have changed",
    )
    bench.pass_time()
    need(
        bench.report.updates[-1] != before[-1],
        "the source's endpoints have changed, and the last update() has those of before",
    )
    bench.check_unchanged()


def _check_failure(bench: _Bench, fail: Act, recover: Act | None, change: Act | None) -> None:
    report = bench.report
    updates, failures = len(report.updates), len(report.failures)
    bench.act("fail()", fail)
    need(
        bench.until(lambda: len(report.failures) > failures),
        f"no failed() within {bench.seconds:g} s after the source stopped to answer: the log would not say that "
        "the endpoints are old",
    )
    bench.pass_time()
    need(
        len(report.updates) == updates,
        f"update() was given {shorten(report.updates[-1])} while the source does not answer; an empty list means "
        "that there are none. Report nothing: the cluster keeps what it has",
    )
    problem = getattr(bench.discovery, "problem", None)
    need(problem is None or (isinstance(problem, str) and bool(problem)), _NO_PROBLEM.format(problem))
    if recover is None:
        return
    bench.act("recover()", recover)
    if change is not None:
        bench.act("change()", change)
        need(
            bench.until(lambda: len(report.updates) > updates),
            f"no update() within {bench.seconds:g} s after the source answers again, with other endpoints: ask again "
            "after a failure, later and later",
        )
    bench.pass_time()
    problem = getattr(bench.discovery, "problem", "")
    need(problem == "", f"problem is {problem!r} though the source answers again; it is '' then")


_NO_PROBLEM = "problem is {!r} while the source does not answer; it says why, or the discovery has none"


def _check_stop(bench: _Bench, change: Act | None) -> None:
    bench.stop()
    if change is not None:
        bench.act("change()", change)
    bench.pass_time()
    _check_over(bench)
    bench.stop()


def _check_over(bench: _Bench) -> None:
    waiting = bench.clock.getDelayedCalls()
    need(not waiting, f"after stop() something waits still: {shorten(waiting)}; cancel it there")


def _check_list(endpoints: Items) -> None:
    need(
        isinstance(endpoints, Sequence) and not isinstance(endpoints, (str, bytes)),
        f"update() was given {endpoints!r:.100}; give the whole list, as `endpoints:` has it",
    )
    need(len(endpoints) <= MOST, f"update() was given {len(endpoints)} endpoints; a cluster takes {MOST}: bound them")
    try:
        FoundEndpoints()(endpoints)
    except ValueError as error:
        raise fault(
            f"update() was given what can't be endpoints: {error}; items are as `endpoints:` has them"
        ) from None
