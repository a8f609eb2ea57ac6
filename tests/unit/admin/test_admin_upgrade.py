from __future__ import annotations

from typing import Any

from browser import Desk
from twisted.internet.defer import Deferred

from metaproxy.admin.roles import Json, UpgradeFailed


class Upgrades:
    epoch, parent = 2, 70

    def __init__(self, desk: Desk) -> None:
        self.begun: list[float] = []
        self.done: Deferred[Json] = Deferred()
        self.busy = False
        desk.configuration.upgrades = self

    def begin(self, timeout: float) -> Deferred[Json]:
        if self.busy:
            raise UpgradeFailed("an upgrade is under way")
        self.begun.append(timeout)
        return self.done

    def status(self) -> Json:
        return {"state": "serving"}


def made() -> tuple[Desk, Any]:
    desk = Desk()
    return desk, Upgrades(desk)


def test_it_answers_when_the_new_process_serves() -> None:
    desk, upgrades = made()
    upgrades.done.callback({"upgraded": True, "pid": 7})
    assert desk.post("/upgrade?timeout=5").json == {"upgraded": True, "pid": 7}
    assert desk.post("/upgrade").status == 200
    assert upgrades.begun == [5.0, 60.0]
    assert desk.get("/upgrade").json == {"state": "serving"}


def test_why_there_is_no_new_process_is_answered() -> None:
    desk, upgrades = made()
    upgrades.done.errback(UpgradeFailed("p.yaml:1:1: wrong"))
    answer = desk.post("/upgrade")
    assert (answer.status, answer.json["error"], answer.json["upgraded"]) == (422, "p.yaml:1:1: wrong", False)


def test_a_second_one_and_a_wrong_time_are_refused() -> None:
    desk, upgrades = made()
    assert desk.post("/upgrade?timeout=-1").status == 400
    upgrades.busy = True
    assert desk.post("/upgrade").status == 409
    assert upgrades.begun == []


def test_a_process_that_nobody_can_upgrade_says_so() -> None:
    desk = Desk()
    assert desk.post("/upgrade").status == desk.get("/upgrade").status == 404


def test_the_server_info_has_its_place_in_the_row() -> None:
    desk, _ = made()
    info = desk.get("/server_info").json
    assert (info["restart_epoch"], info["parent_pid"]) == (2, 70)


def test_after_it_was_handed_over_a_connection_ends_with_its_next_answer() -> None:
    desk = Desk()
    assert "connection" not in desk.get("/healthz").headers
    desk.admin.hand_over(True)
    assert desk.get("/healthz").headers["connection"] == "close"
