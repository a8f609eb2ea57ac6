from __future__ import annotations

import io

from rich.console import Console

from metaproxy.cli.output import BAD, GOOD, Output, harmless_line, ms, outcome, rate, size


def test_numbers_are_short() -> None:
    assert [ms(None), ms(0.123), ms(12.6)] == ["-", "0.12", "13"]
    assert [rate(0.25), rate(99.94), rate(1234.5)] == ["0.2", "99.9", "1234"]
    assert [size(10), size(2048), size(5 << 20), size(3 << 30)] == ["10 B", "2.0 KiB", "5.0 MiB", "3.0 GiB"]


def test_what_is_written_can_not_leave_its_line() -> None:
    assert harmless_line('say "hi"') == 'say "hi"'
    assert harmless_line("a\x1b[2J\nb") == "a\\x1b[2J\\nb"


def test_errors_go_to_standard_error_line_by_line() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(console=Console(file=out), errors=Console(file=err))
    output.error("one\ntwo [red]x[/red]")
    assert out.getvalue() == ""
    assert err.getvalue() == "metaproxy: one\nmetaproxy: two [red]x[/red]\n"


def test_an_outcome_that_is_no_failure_is_shown_as_good_also_in_a_column() -> None:
    assert [outcome(name).style for name in ("ok", "ok       ", "event    ", "oneway")] == [GOOD] * 4
    assert outcome("timeout  ").style == BAD
