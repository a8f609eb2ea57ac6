from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from metaproxy.filters.deadline import Deadline, rounded
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind
from metaproxy.plugins import OptionError, Registry
from metaproxy.units import Seconds


class Asked:
    """An exchange, as far as the filter looks at it. passed: seconds since it was read."""

    def __init__(self, passed: float = 0.0, **metadata: str) -> None:
        self.metadata = metadata
        self.started = -passed
        self.limits: list[float] = []
        self.changes: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.metadata.get(key)

    def limit(self, seconds: float) -> None:
        self.limits.append(seconds)

    def set(self, key: str, value: str) -> None:
        self.changes[key] = value


def ask(asked: Any, **options: Any) -> tuple[Any, Deadline]:
    deadline = Deadline(Clock(), **options)
    return deadline.on_request(asked), deadline


def test_the_time_that_a_request_names_is_its_limit_and_what_is_left_is_forwarded() -> None:
    asked = Asked(timeout="1500", passed=0.2)
    answer, deadline = ask(asked)
    assert answer is None
    assert asked.limits == [1.5]  # from its start on
    assert asked.changes == {"timeout": "1300"}
    assert deadline.counters == {"shortened": 1, "expired": 0, "ignored": 0}


def test_time_that_has_passed_already_is_answered_here() -> None:
    for asked, options in (
        (Asked(timeout="100", passed=0.2), {}),
        (Asked(timeout="100"), {"reserve": Seconds(0.1)}),
    ):
        answer, deadline = ask(asked, **options)
        assert answer.kind is ErrorKind.TIMEOUT and "timeout of 100 has passed" in answer.text
        assert deadline.counters["expired"] == 1


def test_a_key_a_unit_and_not_forwarding_may_be_chosen() -> None:
    asked = Asked(client_timeout="2")
    ask(asked, key="client_timeout", unit="s", forward=False)
    assert (asked.limits, asked.changes) == ([2.0], {})


@pytest.mark.parametrize("text", ["", "-5", "0", "0.0", "soon", "1e9", "١٢", "1" * 13, "nan", "1.2.3"])
def test_what_is_no_time_changes_nothing(text: str) -> None:
    asked = Asked(timeout=text)
    answer, deadline = ask(asked)
    assert answer is None and asked.limits == [] and asked.changes == {}
    assert deadline.counters["ignored"] == 1


def test_a_request_without_it_is_left_alone() -> None:
    asked = Asked()
    _, deadline = ask(asked)
    assert asked.limits == [] and set(deadline.counters.values()) == {0}


def test_limits_are_rounded_down_so_that_clients_can_name_only_so_many() -> None:
    assert [rounded(value) for value in (15.0, 1.234, 0.0999, 0.0012, 0.00001, 1.5)] == [
        15.0,
        1.2,
        0.099,
        0.0012,
        0.001,
        1.5,
    ]
    assert len({rounded(ms / 1000) for ms in range(1, 200_000)}) < 400
    assert all(rounded(ms / 1000) <= ms / 1000 for ms in range(1, 20_000))


@pytest.mark.parametrize("options", [{"unit": "h"}, {"key": ""}])
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(OptionError) as raised:
        Registry().factory(IFilter, "deadline", options, {"clock": Clock()})
    assert raised.value.option in options
