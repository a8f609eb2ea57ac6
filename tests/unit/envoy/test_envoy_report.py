"""What is wrong with a message, and what follows from it."""

from __future__ import annotations

import pytest

from metaproxy.envoy.report import MAX_FINDINGS, Report, Unusable


def test_a_strict_report_has_errors_for_what_can_not_be_honoured() -> None:
    report = Report()
    report.warn("a", "odd")
    report.unhonoured("b", "not there")
    assert [str(one) for one in report.errors] == ["b: not there"]
    assert [str(one) for one in report.warnings] == ["a: odd"]


def test_a_resource_that_makes_no_sense_ends_its_translation() -> None:
    report = Report(lenient=True)
    with pytest.raises(Unusable, match="x: no such filter"):
        report.unusable("x", "no such filter")
    assert [str(one) for one in report.warnings] == ["x: no such filter"]


def test_the_same_finding_is_reported_once_and_all_have_a_bound() -> None:
    report = Report()
    for place in range(2 * MAX_FINDINGS):
        report.invalid(f"x[{place}]", "wrong")
        report.invalid("x[0]", "wrong")
    assert len(report.findings) == MAX_FINDINGS
