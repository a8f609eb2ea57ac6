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
    assert terminal.admin.asked == (
        "/tap",
        {"listener": None, "match": "a=b", "limit": 2, "rate": None, "chunks": None},
    )


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


def test_a_stream_is_a_line_as_its_request_and_its_answer_begin_and_as_it_ends() -> None:
    terminal, found = seen("echo")
    stream = {"request": {"chunks": 2}, "response": {"chunks": 3}}
    events = ("request_head", "response_head", "end")
    terminal.admin = Lines(*({**found[0], "event": event, "stream": stream} for event in events))
    terminal.run("tap")
    begun, answered, ended = terminal.out.splitlines()
    assert (begun.split()[1], answered.split()[1], ended.split()[1]) == ("request", "answer", "ok")
    assert " B in 2>3 pieces " in ended


def test_with_chunks_each_piece_shows_its_way_and_what_it_begins_with() -> None:
    piece = {
        "event": "chunk", "time": "2026-01-31T09:00:00.250Z", "source": "10.0.0.7:1", "operation": "upload", "id": 7,
        "half": "request", "kind": "stream_data", "bytes": 12, "first": {"text": "one\ntwo \x1b[2J"},
    }  # fmt: skip
    last = {**piece, "half": "response", "kind": "stream_close", "first": {"base64": "AP8="}, "trailers": {"a": "b"}}
    terminal = Terminal()
    terminal.admin = Lines(piece, last)
    assert terminal.run("tap", "--chunks") == 0
    assert terminal.admin.asked[1]["chunks"] == 1
    up, down = terminal.out.splitlines()
    assert up.startswith("09:00:00.250 > ")
    assert "upload #7 data 12 B one two " in up
    assert "\x1b" not in up
    assert "< " in down
    assert "#7 close 12 B AP8= a=b" in down
