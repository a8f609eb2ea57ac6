"""Between the processes that run tests goes one report of a test that passed, and all of any other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from few_reports import FewReports

PHASES = ("setup", "call", "teardown")


def reported(*outcomes: str) -> list[Any]:
    """What is reported of a test whose phases end like this; each takes two seconds."""
    told: list[Any] = []
    reports = [
        SimpleNamespace(when=when, passed=outcome == "passed", duration=2.0)
        for when, outcome in zip(PHASES, outcomes, strict=True)
        if outcome
    ]
    runner = SimpleNamespace(runtestprotocol=lambda item, log, nextitem: reports)
    item: Any = SimpleNamespace(
        config=SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: runner)),
        ihook=SimpleNamespace(pytest_runtest_logreport=lambda report: told.append(report)),
    )
    assert FewReports().pytest_runtest_protocol(item, None)
    return told


def test_of_a_test_that_passed_its_call_is_reported_with_the_time_of_all_phases() -> None:
    assert [(one.when, one.duration) for one in reported("passed", "passed", "passed")] == [("call", 6.0)]


@pytest.mark.parametrize(
    "outcomes",
    [
        ("passed", "failed", "passed"),
        ("passed", "passed", "failed"),
        ("passed", "skipped", "passed"),
        ("failed", "", "passed"),
        ("skipped", "", "passed"),
        ("passed", "", "passed"),
    ],
)
def test_of_any_other_test_all_is_reported(outcomes: tuple[str, str, str]) -> None:
    assert [(one.when, one.duration) for one in reported(*outcomes)] == [
        (when, 2.0) for when, outcome in zip(PHASES, outcomes, strict=True) if outcome
    ]
