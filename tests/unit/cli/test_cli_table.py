from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console, Group

from metaproxy.cli.output import Output, table

COLUMNS = ["cluster", "endpoint", "health", ">weight", ">under way", ">/s", ">p99 ms"]
ROWS = [
    ["greeter-v1", "127.0.0.1:20881", "healthy", 1, 2, "812.5", "4.60"],
    ["a-cluster-with-quite-a-long-name", "[2001:db8:0:1:2:3:4:5]:20882", "drained", 1, 0, "0.0", ""],
]
DROP = ["weight", "under way", "/s", "health"]


def written(width: int | None, columns: Any = COLUMNS, rows: Any = ROWS, drop: Any = DROP) -> list[str]:
    """Its lines on a terminal of that width; None for a pipe."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=width is not None, color_system=None, _environ={})
    Output(console=console).show(table("Things", columns, rows, drop))
    return file.getvalue().splitlines()


def heads(width: int | None) -> list[str]:
    return [name for name in (column.lstrip(">") for column in COLUMNS) if name in written(width)[1]]


@pytest.mark.parametrize("width", [40, 80, 120, None])
def test_a_row_is_a_line(width: int | None) -> None:
    lines = written(width)
    assert len(lines) == 2 + len(ROWS) + 1
    assert lines[0] == "Things"
    assert lines[-1] == ""
    if width is not None:
        assert max(map(len, lines)) <= width


def test_a_pipe_gets_every_column_and_every_value_in_full() -> None:
    lines = written(None)
    assert heads(None) == [name.lstrip(">") for name in COLUMNS]
    assert lines[2].split() == ["greeter-v1", "127.0.0.1:20881", "healthy", "1", "2", "812.5", "4.60"]
    assert lines[3].split() == [*map(str, ROWS[1][:6]), "-"], "an empty cell would move those behind it"


def test_a_pipe_gets_values_of_any_length() -> None:
    long = "x" * 5000
    assert long in written(None, rows=[[long, *ROWS[0][1:]]])[2]


def test_columns_go_in_the_order_in_which_they_matter_least() -> None:
    shown = [set(heads(width)) for width in (120, 80, 70, 60, 50, 40)]
    assert shown[0] == {name.lstrip(">") for name in COLUMNS}
    for wide, narrow in pairwise(shown):
        assert narrow <= wide
    gone = [name for name in DROP if name not in shown[-1]]
    assert gone == DROP[: len(gone)]
    assert {"cluster", "endpoint", "p99 ms"} <= shown[-1]


def test_what_does_not_fit_even_so_is_cut_and_never_goes_on_in_the_next_line() -> None:
    lines = written(40)
    assert "127.0.0.1:20881" not in "".join(lines) or "greeter-v1" in lines[2]
    assert lines[3].count("\u2026") >= 1
    assert written(20)[2].strip()
    assert max(map(len, written(5))) <= 5


def test_a_column_fits_where_its_values_are_short() -> None:
    rows = [["a", "b", "ok", 1, 1, "1", "1"]]
    assert written(61, rows=rows)[1] == "cluster  endpoint  health  weight  under way  /s  p99 ms"
    assert written(50, rows=rows)[1] == "cluster  endpoint  health  under way  /s  p99 ms"


def test_wide_characters_count_for_what_they_take() -> None:
    lines = written(None, ["name", ">n"], [["\u4e16\u754c", 1], ["abcd", 2]], [])
    assert lines[2:4] == ["\u4e16\u754c  1", "abcd  2"]


def test_a_table_may_stand_in_a_group() -> None:
    file = io.StringIO()
    Output(console=Console(file=file, width=10, _environ={})).show(Group("head", table("", ["name"], [["x" * 50]])))
    assert file.getvalue().splitlines() == ["head", "name", "x" * 50, ""]


def test_texts_go_on_at_a_space_on_a_terminal_and_not_in_a_pipe() -> None:
    words = "one two three four five six seven"
    for width, count in ((12, 4), (None, 1)):
        file = io.StringIO()
        console = Console(file=file, width=width, force_terminal=width is not None, color_system=None, _environ={})
        Output(console=console).show(words)
        lines = file.getvalue().splitlines()
        assert len(lines) == count
        assert " ".join(line.strip() for line in lines) == words
