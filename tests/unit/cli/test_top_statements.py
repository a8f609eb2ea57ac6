from __future__ import annotations

import pytest
from asking import Terminal
from shelf import Shelf


def ran(*services: str) -> Terminal:
    """A terminal at a proxy that has counted these statements."""
    terminal = Terminal(codec=Shelf())
    terminal.desk.get("/statements")
    terminal.traffic(*services)
    return terminal


def test_it_shows_statements_without_their_values_with_calls_errors_rows_bytes_and_latency() -> None:
    terminal = ran("echo", "echo", "gone")
    assert terminal.run("top", "--statements") == 0
    head, names, echo, gone, *_ = terminal.out.splitlines()
    assert head.startswith("metaproxy top  3 statements, 1 errors, 0.0 s")
    assert names.split()[:8] == ["fingerprint", "user", "database", "cluster", "command", "calls", "errors", "rows"]
    assert echo.split()[:9] == ["fp-echo", "app", "shop", "demo", "query", "2", "0", "4", "68"]
    assert echo.rstrip().endswith("select ? from echo")
    assert gone.split()[:8] == ["fp-gone", "app", "shop", "-", "query", "1", "1", "-"]
    assert "denied 1" in gone


def test_what_is_not_listed_is_summed_up() -> None:
    terminal = ran("echo", "gone")
    assert terminal.run("top", "--statements", "--rows", "1", "--sort", "errors") == 0
    _, _, gone, others, *_ = terminal.out.splitlines()
    assert gone.split()[0] == "fp-gone"
    assert others.split()[-1] == "others"
    assert others.split()[5] == "1"


def test_scripts_get_json() -> None:
    terminal = ran("echo")
    assert terminal.run("top", "--statements", "--listener", "front", "--json") == 0
    assert terminal.json["total"]["calls"] == 1


def test_a_reset_comes_before_the_look() -> None:
    terminal = ran("echo")
    assert terminal.run("top", "--statements", "--reset", "--seconds", "0") == 0
    assert "no statement ended so far" in terminal.out


def test_where_no_listener_has_statements_it_says_so() -> None:
    terminal = Terminal()
    assert terminal.run("top", "--statements") == 0
    assert "no listener has statements" in terminal.out


@pytest.mark.parametrize(
    "arguments", [["--sort", "calls"], ["--reset"], ["--listener", "a"], ["--statements", "--by", "a"]]
)
def test_an_argument_of_the_other_table_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match="statements"):
        ran().run("top", *arguments)
