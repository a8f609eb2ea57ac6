from __future__ import annotations

import pytest
from asking import Terminal
from reel import Reel, frame

from metaproxy.cli import top


def test_it_shows_rates_errors_and_latency_by_operation_and_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "EVERY", 0.0)  # the second look need not wait: time stands still
    terminal = Terminal()
    terminal.desk.get("/flows")
    terminal.traffic("echo", "echo", "gone")
    assert terminal.run("top", "--by", "service") == 0
    assert terminal.out.startswith("metaproxy top")
    rows = [line.split() for line in terminal.out.splitlines()]
    # Who asks by another key begins to count from zero.
    assert ["nothing", "ended", "so", "far"] in rows
    terminal.traffic("echo", "gone")
    terminal.run("top", "--by", "service")
    rows = [line.split() for line in terminal.out.splitlines()]
    echo = next(row for row in rows if row[:1] == ["echo"])
    gone = next(row for row in rows if row[:1] == ["gone"])
    assert (echo[3], echo[5]) == ("demo", "0.0")
    assert gone[-2:] == ["denied", "1"]


def test_scripts_get_json() -> None:
    terminal = Terminal()
    terminal.desk.get("/flows")
    terminal.traffic("echo")
    assert terminal.run("top", "--json", "--seconds", "4") == 0
    assert terminal.json["total"]["exchanges"] == 1


def test_streams_that_are_open_are_shown_with_their_bytes_both_ways() -> None:
    terminal = Terminal(codec=Reel())
    client = terminal.desk.running.client()
    terminal.desk.running.say(client, frame("O", 7) + frame("D", 7, bytes(2048)))
    assert terminal.run("top", "--once") == 0
    head, *rows = terminal.out.splitlines()
    assert ", 1 open 2.0 KiB>0 B" in head
    assert [row for row in rows if "1 open 2.0 KiB>0 B" in row]
