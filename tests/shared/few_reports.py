"""
One report of a test that passed, in the place of six messages between the processes of pytest-xdist.

Lives here: `FewReports`, a plugin for the processes that run tests (tests/conftest.py registers it). Does not: what is
reported of a test that did not pass, or not in all of its phases: that is all that pytest reports.
"""

from __future__ import annotations

from typing import Any

import pytest


class FewReports:
    """
    Each message costs as much as a short test, in both processes. No program reads that a test begins or ends, or that
    its fixtures were made and taken down without an error; how long they took counts as the time of the test.
    """

    @pytest.hookimpl
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        runner: Any = item.config.pluginmanager.get_plugin("runner")
        reports = runner.runtestprotocol(item, log=False, nextitem=nextitem)
        for report in one_of(reports):
            item.ihook.pytest_runtest_logreport(report=report)
        return True


def one_of(reports: list[pytest.TestReport]) -> list[pytest.TestReport]:
    """The report of the call, if all passed; else all of them."""
    calls = [report for report in reports if report.when == "call"]
    if not calls or not all(report.passed for report in reports):
        return reports
    calls[0].duration = sum(report.duration for report in reports)
    return calls
