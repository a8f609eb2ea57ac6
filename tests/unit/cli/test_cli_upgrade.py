from __future__ import annotations

import pytest
from asking import Terminal
from twisted.internet.defer import Deferred, fail, succeed

from metaproxy.admin.roles import Json, UpgradeFailed
from metaproxy.cli.client import AdminError

DONE: Json = {
    "upgraded": True, "pid": 7, "seconds": 0.5, "took": ["127.0.0.1:80"], "bound": ["127.0.0.1:81"], "closed": [],
}  # fmt: skip


class Upgrades:
    epoch = parent = 0

    def __init__(self, done: Deferred[Json]) -> None:
        self.done = done
        self.timeout = 0.0

    def begin(self, timeout: float) -> Deferred[Json]:
        self.timeout = timeout
        return self.done

    def status(self) -> Json:
        return {}


def test_it_tells_what_the_new_process_took() -> None:
    terminal = Terminal()
    upgrades = terminal.desk.configuration.upgrades = Upgrades(succeed(DONE))
    assert terminal.run("upgrade") == 0
    assert terminal.out == "process 7 serves after 0.5 s\ntook 127.0.0.1:80\nbound 127.0.0.1:81\n"
    assert upgrades.timeout == 60.0
    terminal.desk.configuration.upgrades = Upgrades(succeed(DONE))
    assert terminal.run("upgrade", "--json") == 0
    assert terminal.json == DONE


def test_it_ends_with_1_when_there_is_none_and_tells_why() -> None:
    terminal = Terminal()
    upgrades = terminal.desk.configuration.upgrades = Upgrades(fail(UpgradeFailed("p.yaml:1:1: wrong")))
    assert terminal.run("upgrade", "--timeout", "5s") == 1
    assert "p.yaml:1:1: wrong" in terminal.err and terminal.out == ""
    assert upgrades.timeout == 5.0


def test_a_proxy_that_can_not_be_upgraded_is_an_error() -> None:
    with pytest.raises(AdminError, match="twistd"):
        Terminal().run("upgrade")
