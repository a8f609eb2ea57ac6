from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, Logger, LogPublisher
from zope.interface import implementer

from metaproxy.telemetry.log_levels import MAX_NAMESPACES, LogLevels


@implementer(ILogObserver)
class Log:
    """A publisher with one observer, and loggers of two namespaces."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.publisher = LogPublisher(self)
        self.levels = LogLevels(self.publisher)
        self.levels.start()

    def __call__(self, event: LogEvent) -> None:
        self.seen.append(event["log_format"])

    def say(self, level: Any, namespace: str = "metaproxy.proxy.pool") -> Any:
        getattr(Logger(namespace, observer=self.publisher), level)(f"{namespace} {level}")
        seen, self.seen = self.seen, []
        return bool(seen)


def test_by_default_debug_is_left_out() -> None:
    log = Log()
    assert [log.say(level) for level in ("debug", "info", "error")] == [False, True, True]


def test_a_level_holds_for_what_is_below_a_namespace_and_nothing_beside_it() -> None:
    log = Log()
    log.levels.set("metaproxy.proxy", "debug")
    assert log.say("debug")
    assert not log.say("debug", "metaproxy.admin")
    log.levels.set("metaproxy.proxy.pool", "error")
    assert not log.say("warn")
    assert log.say("debug", "metaproxy.proxy.flush_queue")
    assert log.levels.level("metaproxy.proxy.pool") == "error"


def test_a_level_that_is_taken_back_leaves_the_others() -> None:
    log = Log()
    log.levels.set("metaproxy", "error")
    log.levels.set("metaproxy.proxy", "debug")
    log.levels.set("metaproxy.proxy", None)
    assert (log.say("info"), log.say("error")) == (False, True)
    assert log.levels.chosen == {"metaproxy": "error"}


def test_nothing_is_filtered_any_more_once_it_stopped() -> None:
    log = Log()
    log.levels.start()
    log.levels.stop()
    assert log.say("debug")
    log.publisher.removeObserver(log)
    assert not log.say("error"), "it was the only observer again"


@pytest.mark.parametrize(("namespace", "level"), [("a b", "info"), ("", "info"), ("x" * 300, "info"), ("a", "loud")])
def test_what_makes_no_sense_is_refused(namespace: str, level: str) -> None:
    with pytest.raises(ValueError, match="write one"):
        LogLevels(LogPublisher()).set(namespace, level)


def test_namespaces_with_a_level_of_their_own_are_bounded() -> None:
    levels = LogLevels(LogPublisher())
    for number in range(MAX_NAMESPACES):
        levels.set(f"n{number}", "warn")
    with pytest.raises(ValueError, match="take one back"):
        levels.set("another", "warn")
    levels.set("n0", "error")


def test_the_listing_has_our_loggers_and_what_was_set() -> None:
    levels = LogLevels(LogPublisher())
    levels.set("twisted", "error")
    listing = levels.listing()
    assert (listing["metaproxy"], listing["twisted"]) == ("info", "error")


def test_all_levels_can_be_set_at_a_time_and_who_follows_them_hears_of_it() -> None:
    levels, followed = LogLevels(), LogLevels()
    levels.changed.append(lambda: followed.set_all(levels.chosen))
    levels.set("metaproxy.proxy", "debug")
    levels.set("metaproxy.xds", "warn")
    levels.set("metaproxy.proxy", None)
    assert followed.chosen == {"metaproxy.xds": "warn"}
    assert followed.level("metaproxy.xds") == "warn"
