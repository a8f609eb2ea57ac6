from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from observing import observing
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from metaproxy.filters.outage_log import OutageLog
from metaproxy.support.log_throttle import PERIOD


@pytest.fixture
def told() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: Any) -> None:
        if event.get("log_namespace") == "metaproxy.filters.outage_log":
            lines.append(formatEvent(event))

    with observing(note):
        yield lines


def test_the_first_failure_is_told_and_the_first_answer_after_it(told: list[str]) -> None:
    trouble = OutageLog("limit", "it is asked again", Clock())
    for _ in range(5):
        trouble.failed("no answer")
    for _ in range(5):
        trouble.answered()
    assert told == ["limit: no answer", "limit: it is asked again"]


def test_a_service_that_fails_every_other_call_writes_two_lines_a_minute(told: list[str]) -> None:
    clock = Clock()
    trouble = OutageLog("limit", "it is asked again", clock)
    for _ in range(10_000):
        trouble.failed("no answer")
        trouble.answered()
    assert len(told) == 2
    clock.advance(PERIOD)
    trouble.failed("still none")
    trouble.answered()
    assert told[2:] == ["limit: still none", "limit: it is asked again"]


def test_what_never_failed_is_not_told_to_answer_again(told: list[str]) -> None:
    OutageLog("limit", "it is asked again", Clock()).answered()
    assert told == []
