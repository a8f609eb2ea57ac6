"""`python -m bench.latency`: its options, and what its table and its JSON say of rounds as they come from the load."""

from __future__ import annotations

import json
import re

import pytest

from bench.latency import LEFT_OUT, Row, read_options, table
from bench.loads import Result


def result(**changes: float) -> Result:
    values: dict[str, float] = {
        "requests_per_second": 1000.0, "p50": 0.1, "p99": 0.5, "p999": 1.5, "cpu": 20.0, "proxy_busy": 0.5,
        "load_busy": 0.5, "proxy_waited": 0.01, "peak": 60.0, "errors": 0, "due": 1000, "late": 2,
    }  # fmt: skip
    return Result(**{**values, "first_error": "", **changes})  # type: ignore[arg-type]


def row(*results: Result, failure: str = "") -> Row:
    return Row("dubbo", "metaproxy", 50.0, [(2000.0, 1000.0, one) for one in results], failure)


def last_line(*rows: Row) -> str:
    return table(rows).splitlines()[-1]


def test_half_and_four_fifths_of_all_subjects_maxima_are_measured_by_default() -> None:
    options = read_options([])
    assert options.protocols == ["dubbo", "thrift", "redis"]
    assert options.shares == [50, 80]
    names = {subject.name for subject in options.subjects}
    assert names >= {"metaproxy", "compiled metaproxy", "envoy dubbo_proxy", "nutcracker", "haproxy tcp"}
    assert not names & {*LEFT_OUT, "metaproxy, bare"}


def test_options_pick_protocols_subjects_and_shares() -> None:
    options = read_options(["--only", "redis", "--subjects", "nut,haproxy", "--shares", "10,95.5", "--rounds", "2"])
    assert [subject.name for subject in options.subjects] == ["nutcracker", "haproxy tcp"]
    assert (options.protocols, options.shares, options.rounds) == (["redis"], [10, 95.5], 2)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--only", "smtp"], "no protocol smtp; there are dubbo"),
        (["--subjects", "squid"], "no name begins so; there are direct"),
        (["--shares", "half"], "'half'; write percentages above 0 up to 200, such as 50,80"),
        (["--shares", "0"], "write percentages above 0"),
        (["--rounds", "0"], "--rounds is 1 or more"),
        (["--seconds", "nan"], "--seconds more than 0"),
    ],
)
def test_a_wrong_option_says_what_to_write(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(words)
    assert why in capsys.readouterr().err


def test_a_line_has_medians_of_the_rounds_and_the_sum_of_what_was_not_sent() -> None:
    line = last_line(row(result(p99=0.4, unsent=1), result(p99=9.0, unsent=2), result(p99=0.6)))
    assert re.split(r"\s{2,}|(?<=\d) (?=\d)", line.strip()) == [
        "metaproxy", "50%", "2000", "1000", "0.100", "0.600", "1.500", "20.0", "1", "0.2%", "3", "0",
    ]  # fmt: skip


def test_what_was_disturbed_in_most_rounds_is_marked() -> None:
    waited, late = result(proxy_waited=0.3), result(late=30)
    assert not row(waited, result(), result()).disturbed()
    assert row(waited, late, result()).disturbed()
    text = table([row(waited)])
    assert "0 !" in text
    assert "no figures to quote" in text
    assert "no figures to quote" not in table([row(result())])


def test_a_subject_that_was_not_measured_says_why() -> None:
    assert last_line(row(failure="not measured: haproxy is not here")).endswith("50% not measured: haproxy is not here")


def test_errors_have_the_first_ones_text() -> None:
    assert last_line(row(result(), result(errors=2, first_error=" no answer "))).endswith("2 no answer")  # type: ignore[arg-type]


def test_json_has_each_round_with_its_maximum_and_rate() -> None:
    data = json.loads(json.dumps(row(result(), result(p50=0.3)).data()))
    assert (data["protocol"], data["subject"], data["share"]) == ("dubbo", "metaproxy", 50.0)
    assert data["medians"] == {"p50": 0.2, "p99": 0.5, "p999": 1.5, "cpu": 20.0}
    assert [(one["maximum"], one["rate"], one["late"]) for one in data["rounds"]] == [(2000.0, 1000.0, 2)] * 2
