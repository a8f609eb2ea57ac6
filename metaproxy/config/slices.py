"""
Work that takes seconds, done in slices: between them the reactor serves its connections.

Lives here: `Slices`, which runs one piece of work after the other; `checkpoint`, which the work calls often;
`in_reactor`, for a step that must be done in the reactor's own thread; `wait`, for what takes its time; `take_apart`,
for large data that are not needed any more. Does not: any other work.

The work runs in a thread of its own, and the reactor's thread waits while it does: so only one of them ever runs, and
whatever the work calls (constructors of plugins) is as single-threaded as everything else. A thread pool would have two
threads in plugins at a time, and a generator would make each function on the way one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")

FIRST, SLICE = 0.005, 0.003
"""Seconds that the work has at once, and after that with each turn of the reactor."""

_current = threading.local()


def checkpoint() -> None:
    """Called by the work wherever it may be interrupted; costs next to nothing elsewhere."""
    worker: _Worker | None = getattr(_current, "worker", None)
    if worker is not None and perf_counter() >= worker.deadline:
        worker.yield_()


def in_reactor(call: Callable[[], T]) -> T:
    """What `call` returns, or raises, called in the reactor's thread; at once where that is the thread already."""
    worker: _Worker | None = getattr(_current, "worker", None)
    return call() if worker is None else worker.ask(call)


def wait(done: Deferred[T]) -> T:
    """
    What a Deferred fires with, or fails with: the work waits, the reactor goes on. Where no work runs in slices it must
    have fired; RuntimeError otherwise.
    """
    worker: _Worker | None = getattr(_current, "worker", None)
    given: list[T | Failure] = []
    done.addBoth(given.append)
    if not given:
        if worker is None:
            raise RuntimeError("only work that runs in slices can wait")
        worker.waits_for = done
        worker.yield_()
    result = given[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result


def take_apart(data: object) -> None:
    """
    Empty dictionaries and lists, and those within them, from the end on: to free a large tree at once takes tens of
    milliseconds.
    """
    waiting = [data]
    while waiting:
        one = waiting.pop()
        while isinstance(one, (dict, list)) and one:
            checkpoint()
            item = one.popitem()[1] if isinstance(one, dict) else one.pop()
            if isinstance(item, (dict, list)):
                waiting.append(item)


class _Outcome(Generic[T]):
    """What a call gave or raised, kept for another thread."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._given: list[T] = []
        self._failure: Failure | None = None

    def run(self) -> None:
        """Makes the call. Raises nothing."""
        try:
            self._given.append(self._call())
        except BaseException:
            self._failure = Failure()

    def get(self) -> T:
        """What the call returned. Raises what it raised."""
        if self._failure is not None:
            self._failure.raiseException()
        return self._given[0]

    def fire(self, done: Deferred[T]) -> None:
        """Fires with what the call returned, or fails with what it raised."""
        if self._failure is not None:
            done.errback(self._failure)
        else:
            done.callback(self._given[0])


class _Worker:
    """deadline: when the slice ends, in seconds of perf_counter. work: raises nothing."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.deadline = 0.0
        self.done = False
        self.waits_for: Deferred[Any] | None = None
        self._work = work
        self._wanted: Callable[[], None] | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        # A daemon: the end of the process does not wait for work that is not resumed.
        threading.Thread(target=self._run, name="metaproxy-slices", daemon=True).start()

    # -- in the reactor's thread

    def resume(self, seconds: float) -> None:
        """Lets the work go on for a slice."""
        self.deadline = perf_counter() + seconds
        self._go.release()
        self._back.acquire()
        while self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            wanted()
            self._go.release()
            self._back.acquire()

    # -- in the work's thread

    def yield_(self) -> None:
        self._back.release()
        self._go.acquire()

    def ask(self, call: Callable[[], T]) -> T:
        outcome = _Outcome(call)
        self._wanted = outcome.run
        self.yield_()
        return outcome.get()

    def _run(self) -> None:
        self._go.acquire()
        _current.worker = self
        self._work()
        self.done = True
        self._back.release()


class Slices:
    """Runs pieces of work, the first at once, each other when those before it are done."""

    def __init__(self, clock: IReactorTime, first: float | None = None, then: float = SLICE) -> None:
        self._clock = clock
        self._first = FIRST if first is None else first
        self._then = then
        self._waiting: deque[tuple[Callable[[], None], Callable[[], None]]] = deque()  # the work, and what follows it
        self._worker: _Worker | None = None

    @property
    def busy(self) -> bool:
        return self._worker is not None or bool(self._waiting)

    def enter(self) -> None:
        """Called by what may only be done by one piece of work at a time. Raises RuntimeError within another one."""
        if self._worker is not None and getattr(_current, "worker", None) is not self._worker:
            raise RuntimeError("other work is under way in slices, and waits: run this one in slices as well")

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Fires with what the work returns, or fails with what it raises; at once if it takes less than a slice."""
        done: Deferred[T] = Deferred()
        outcome = _Outcome(work)
        self._waiting.append((outcome.run, partial(outcome.fire, done)))
        if self._worker is None:
            self._begin()
        return done

    def _begin(self) -> None:
        self._worker = _Worker(self._waiting[0][0])
        self._step(self._first)

    def _step(self, seconds: float) -> None:
        worker = self._worker
        assert worker is not None
        worker.resume(seconds)
        if not worker.done:
            waits_for, worker.waits_for = worker.waits_for, None
            if waits_for is None:
                self._clock.callLater(0, self._step, self._then)
            else:
                waits_for.addBoth(lambda _: self._step(self._then))
            return
        self._worker = None
        _, fire = self._waiting.popleft()
        if self._waiting:
            self._clock.callLater(0, self._begin_next)
        fire()

    def _begin_next(self) -> None:
        if self._worker is None and self._waiting:
            self._begin()
