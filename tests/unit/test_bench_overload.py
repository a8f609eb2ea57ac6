"""`python -m bench.overload`: the arithmetic of its rounds, and what its table says of them."""

from __future__ import annotations

import re

import pytest

from bench.loads import Case, Result
from bench.overload import HEADING, Round, Row, table


def result(**changes: float) -> Result:
    values: dict[str, float] = {
        "requests_per_second": 1000.0, "p50": 0.1, "p99": 0.5, "p999": 1.5, "cpu": 20.0, "proxy_busy": 0.5,
        "load_busy": 0.5, "proxy_waited": 0.01, "peak": 60.0, "errors": 0, "due": 1000, "late": 2,
    }  # fmt: skip
    return Result(**{**values, "first_error": "", **changes})  # type: ignore[arg-type]


def one_round(over: Result, most: Result | None = None, failures: int = 0) -> Round:
    return Round(most or result(), over, [0.010, 0.030], [0.001, 0.004], failures)


def row(*rounds: Round, failure: str = "") -> Row:
    return Row("metaproxy", Case("dubbo", "", 64, 16, 64, 1), list(rounds), failure)


def words(line: str) -> list[str]:
    return re.split(r"\s+", line.strip())


def test_goodput_is_a_share_of_the_maximum_and_by_cpu_of_what_a_request_costs_there() -> None:
    found = one_round(result(requests_per_second=900.0, cpu=25.0))
    assert found.goodput() == pytest.approx(0.9)
    assert found.by_cpu() == pytest.approx(0.8)


def test_a_line_has_medians_of_the_rounds_and_shares_of_all_that_was_due() -> None:
    rounds = [
        one_round(result(requests_per_second=900.0, refused=500, unsent=0, p99=8.0, cpu=20.0)),
        one_round(result(requests_per_second=500.0, refused=100, unsent=300, p99=90.0, cpu=40.0)),
        one_round(result(requests_per_second=950.0, refused=0, unsent=0, p99=7.0, cpu=20.0)),
    ]
    line = words(row(*rounds).line())
    assert line[:4] == ["metaproxy", "64x16", "1000", "0.5"]
    assert line[4:9] == ["90%", "100%", "20%", "10%", "8.0"]
    assert line[9:] == ["20", "30", "2", "4", "1%"]


def test_what_the_admin_api_did_not_answer_is_said() -> None:
    assert row(one_round(result(), failures=2), one_round(result(), failures=1)).line().endswith("admin: 3 failed")


def test_a_subject_that_was_not_measured_says_why() -> None:
    assert row(failure="not measured: it ended").line().endswith("64x16   not measured: it ended")


def test_the_table_begins_with_its_heading_and_each_column_has_a_name() -> None:
    lines = table([row(one_round(result())), row(failure="no")]).splitlines()
    assert (lines[0], len(lines)) == (HEADING, 3)
    heading = HEADING.replace("its p99", "its-p99").replace("by CPU", "by-CPU").replace("p99 ms", "p99-ms")
    assert len(words(heading)) == len(words(lines[1])) - 1  # the subject's column has none
