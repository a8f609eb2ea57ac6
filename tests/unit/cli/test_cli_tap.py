from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from asking import Terminal

from metaproxy.telemetry.inspect.decoded import decoded


class Lines:
    """An admin API whose tap has these lines."""

    def __init__(self, *lines: Any) -> None:
        self._lines = lines
        self.asked: Any = None

    def lines(self, path: Any, kind: Any, /, **query: Any) -> Iterator[None]:
        self.asked = path, query
        yield from self._lines


def seen(*services: Any) -> Any:
    terminal, found = Terminal(), []
    terminal.desk.proxy.watch(lambda exchange: found.append(decoded(exchange)))
    terminal.traffic(*services)
    return terminal, found


def test_each_exchange_is_a_line() -> None:
    terminal, found = seen("echo", "gone")
    terminal.admin = Lines(*found)
    assert terminal.run("tap", "--match", "a=b", "--limit", "2") == 0
    first, second = terminal.out.splitlines()
    assert " ok " in first
    assert "127.0.0.9:4321" in first
    assert "main -> demo 127.0.0.1:100" in first
    assert " denied " in second
    assert second.endswith("not here")
    assert terminal.admin.asked == ("/tap", {"listener": None, "match": "a=b", "limit": 2, "rate": None})


def test_why_tells_the_reasons() -> None:
    terminal, found = seen("gone")
    terminal.admin = Lines(*found)
    terminal.run("tap", "--why")
    assert 'route: service: exact "gone"' in terminal.out
    assert "not main: " in terminal.out


def test_lost_lines_and_differing_mirrors_are_told() -> None:
    terminal, found = seen("echo")
    terminal.admin = Lines({**found[0], "lost": 7, "attempts": 3, "mirror": {"cluster": "v2", "differs": "byte 3"}})
    terminal.run("tap")
    assert terminal.out.startswith("... 7 lost here\n")
    assert " x3  mirror v2: byte 3" in terminal.out


def test_what_a_peer_wrote_can_not_draw_on_the_terminal() -> None:
    terminal, found = seen("echo")
    terminal.admin = Lines({**found[0], "operation": "\x1b[31mred\nline [bold]x[/bold]"})
    terminal.run("tap")
    assert "\x1b" not in terminal.out
    assert terminal.out.count("\n") == 1
    assert "[bold]x[/bold]" in terminal.out


def test_scripts_get_a_line_of_json_each() -> None:
    terminal, found = seen("echo", "gone")
    terminal.admin = Lines(*found)
    terminal.run("tap", "--json")
    assert [json.loads(line)["outcome"] for line in terminal.out.splitlines()] == ["ok", "denied"]
