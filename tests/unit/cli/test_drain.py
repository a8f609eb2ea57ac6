from __future__ import annotations

import pytest
from asking import Terminal
from harness import call

from metaproxy.cli import drain
from metaproxy.cli.client import AdminError


def test_it_drains_one_listener_or_all() -> None:
    terminal = Terminal()
    assert terminal.run("drain", "--listener", "front") == 0
    assert terminal.out == "front: draining, 0 clients\n"
    assert terminal.desk.proxy.listeners["front"].draining
    assert not terminal.desk.proxy.draining
    assert terminal.run("drain", "--json") == 0
    assert terminal.json["draining"] == ["front"]
    assert terminal.desk.proxy.draining


def test_it_waits_for_the_last_client_and_tells_when_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "EVERY", 0)
    terminal = Terminal()
    client = terminal.desk.running.client()
    terminal.desk.running.say(client, call(1))
    assert terminal.run("drain", "--wait", "1ms") == 1
    assert terminal.out == "front: draining, 1 clients\n"
    client.end()
    assert terminal.run("drain", "--wait", "10s") == 0


def test_a_listener_that_is_not_there_is_refused() -> None:
    with pytest.raises(AdminError, match="did you mean 'front'"):
        Terminal().run("drain", "--listener", "frnt")
