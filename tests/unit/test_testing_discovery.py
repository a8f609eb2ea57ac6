"""`check_discovery`: what keeps the contract passes, and each way to break it is named."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from zope.interface import implementer

from metaproxy.interfaces import IDiscovery
from metaproxy.testing import check_discovery

Update = Callable[[Sequence[Mapping[str, object]]], None]


class Source:
    def __init__(self) -> None:
        self.ports = [1, 2]
        self.up = True

    def change(self) -> None:
        self.ports = [port + 1 for port in self.ports]

    def fail(self) -> None:
        self.up = False

    def recover(self) -> None:
        self.up = True

    def read(self) -> list[dict[str, object]]:
        if not self.up:
            raise OSError("no connection")
        return [{"address": f"10.0.0.7:{port}"} for port in self.ports]


@implementer(IDiscovery)
class Polling:
    """One that keeps the contract: it asks its source every second."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.source, self.clock = source, clock
        self.problem = ""
        self.timer: IDelayedCall | None = None
        self.last: list[dict[str, object]] | None = None
        self.update: Update = lambda endpoints: None
        self.failed: Callable[[str], None] = lambda text: None

    def start(self, update: Update, failed: Callable[[str], None]) -> None:
        self.update, self.failed = update, failed
        self.look()

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def look(self) -> None:
        self.timer = self.clock.callLater(1.0, self.look)
        try:
            found = self.source.read()
        except OSError as error:
            self.wrong(str(error))
            return
        self.problem = ""
        self.found(found)

    def found(self, found: list[dict[str, object]]) -> None:
        if found != self.last:
            self.last = found
            self.update(found)

    def wrong(self, text: str) -> None:
        self.problem = text
        self.failed(text)


def checked(kind: type[Polling], seconds: float = 10.0) -> None:
    source = Source()
    check_discovery(lambda clock: kind(source, clock), source.change, source.fail, source.recover, seconds)


def refusal(kind: type[Polling]) -> str:
    with pytest.raises(AssertionError) as caught:
        checked(kind)
    return str(caught.value)


def test_one_that_keeps_the_contract_passes() -> None:
    checked(Polling)


def test_one_whose_source_can_do_nothing_of_it_passes() -> None:
    source = Source()
    check_discovery(lambda clock: Polling(source, clock))


def test_one_without_a_problem_passes() -> None:
    class Mute(Polling):
        def __getattribute__(self, name: str) -> Any:
            if name == "problem":
                raise AttributeError(name)
            return super().__getattribute__(name)

    checked(Mute)


# -- seeded mistakes


class NoDiscovery:
    def __init__(self, source: Source, clock: Clock) -> None: ...


class BeginsAtOnce(Polling):
    def __init__(self, source: Source, clock: Clock) -> None:
        super().__init__(source, clock)
        self.timer = clock.callLater(1.0, self.look)


class Repeats(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        self.update(found)


class ChangesItsList(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        if self.last is None:
            self.last = found
            self.update(self.last)
        elif found != self.last:
            self.last[:] = found
            self.update(self.last)


class ChangesAnItem(Polling):
    shown: dict[str, object] | None = None

    def found(self, found: list[dict[str, object]]) -> None:
        if self.shown is None:
            self.shown = found[0]
        elif self.shown["address"] != found[0]["address"]:
            self.shown["address"] = found[0]["address"]
            found = [self.shown, *found[1:]]
        super().found(found)


class SilentOnFailure(Polling):
    def wrong(self, text: str) -> None: ...


class EmptyOnFailure(Polling):
    def wrong(self, text: str) -> None:
        super().wrong(text)
        self.found([])


class SaysNothing(Polling):
    def wrong(self, text: str) -> None:
        self.failed("")


class SaysLines(Polling):
    def wrong(self, text: str) -> None:
        self.failed("Traceback:\n  ...")


class SaysTooMuch(Polling):
    def wrong(self, text: str) -> None:
        self.failed("x" * 100_000)


class SaysAnError(Polling):
    def wrong(self, text: str) -> None:
        self.failed(OSError(text))  # type: ignore[arg-type]


class GivesUp(Polling):
    def wrong(self, text: str) -> None:
        super().wrong(text)
        assert self.timer is not None
        self.timer.cancel()
        self.timer = None


class NeverLooksAgain(Polling):
    def look(self) -> None:
        self.found(self.source.read())


class RemembersTheFirst(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        first = self.last
        super().found(found)
        if first is not None and first != found:
            self.update(first)


class Swallows(Polling):
    """Whatever is raised in a Deferred's callback is lost in the same way."""

    def found(self, found: list[dict[str, object]]) -> None:
        with contextlib.suppress(AssertionError):
            self.update([*found, *found])


class LeavesItsTimer(Polling):
    def stop(self) -> None: ...

    def found(self, found: list[dict[str, object]]) -> None: ...


class ReportsAfterStop(Polling):
    def stop(self) -> None:
        super().stop()
        self.clock.callLater(1.0, lambda: self.update([]))


class FailsAfterStop(Polling):
    def stop(self) -> None:
        super().stop()
        self.clock.callLater(1.0, lambda: self.failed("closed"))


class StopsOnce(Polling):
    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()  # raises the second time


class NeedsAStart(Polling):
    def stop(self) -> None:
        self.timer.cancel()  # type: ignore[union-attr]


class Raises(Polling):
    def look(self) -> None:
        self.timer = self.clock.callLater(1.0, self.look)
        self.found(self.source.read())


class Endless(Polling):
    def start(self, update: Update, failed: Callable[[str], None]) -> None:
        while True:
            pass


class Twice(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        super().found([*found, *found])


class Misspelt(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        super().found([{**one, "wieght": 1} for one in found])


class NoPort(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        super().found([{"address": "10.0.0.7"}])


class Text(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        self.update(json.dumps(found))  # type: ignore[arg-type]


class Unbounded(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        super().found([{"address": f"10.0.{n // 60000}.7:{n % 60000 + 1}"} for n in range(10_001)])


class KeepsItsProblem(Polling):
    def found(self, found: list[dict[str, object]]) -> None:
        super().found(found)
        if getattr(self, "was", ""):
            self.problem = "no connection"

    def wrong(self, text: str) -> None:
        super().wrong(text)
        self.was = text


class HidesItsProblem(Polling):
    def wrong(self, text: str) -> None:
        self.failed(text)


MISTAKES: dict[type[Any], str] = {
    NoDiscovery: "has failed to implement interface",
    BeginsAtOnce: "begin in start(), not before",
    Repeats: "keep the last one, and call it when they differ",
    ChangesItsList: "give update() a new list",
    ChangesAnItem: "give update() a new list, with new mappings in it",
    SilentOnFailure: "the log would not say that the endpoints are old",
    EmptyOnFailure: "the cluster keeps what it has",
    SaysNothing: "say what can't be had, and why",
    SaysLines: "it is a line in a log",
    SaysTooMuch: "1000 at most go into a log",
    SaysAnError: "give a text",
    GivesUp: "ask again after a failure, later and later",
    NeverLooksAgain: "after the source's endpoints have changed",
    RemembersTheFirst: "the last update() has those of before",
    LeavesItsTimer: "cancel it there",
    ReportsAfterStop: "update() was called after stop()",
    FailsAfterStop: "failed() was called after stop()",
    StopsOnce: "stop() raises",
    NeedsAStart: "stop() raises AttributeError",
    Swallows: "an address is there twice",
    Raises: "what goes wrong later goes to failed()",
    Endless: "start() does not come back",
    Twice: "an address is there twice",
    Misspelt: "wieght",
    NoPort: "is not an address",
    Text: "give the whole list",
    Unbounded: "bound them",
    KeepsItsProblem: "though the source answers again",
    HidesItsProblem: "it says why, or the discovery has none",
}


@pytest.mark.parametrize("kind", MISTAKES, ids=lambda kind: kind.__name__)
def test_each_mistake_is_found_and_its_remedy_named(kind: type[Any]) -> None:
    assert MISTAKES[kind] in refusal(kind)


def test_a_source_that_has_no_endpoints_is_named_with_what_was_reported() -> None:
    source = Source()
    source.up = False
    with pytest.raises(AssertionError, match=r"no update\(\) within 5 s of start\(\).*no connection"):
        check_discovery(lambda clock: Polling(source, clock), seconds=5.0)
