from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from metaproxy.support.log_throttle import MOST, LogThrottle


def test_there_are_so_many_lines_a_minute_and_the_others_are_counted() -> None:
    told: list[Any] = []
    clock = Clock()
    notes = LogThrottle("demo", clock.seconds)
    globalLogPublisher.addObserver(told.append)
    try:
        for number in range(MOST + 30):
            notes.tell(f"line {number}")
        assert [event["text"] for event in told] == [f"line {number}" for number in range(MOST)]
        clock.advance(60)
        notes.tell("again")
    finally:
        globalLogPublisher.removeObserver(told.append)
    assert told[-2]["count"] == 30 and told[-1]["text"] == "again"
    assert all(event["name"] == "demo" for event in told)
