"""The admin API of a supervisor: what it answers for all of its workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from twisted.internet import task
from workers_hall import RealHall

from metaproxy.workers import fan_out
from metaproxy.workers.member import GONE


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealHall:
    found = RealHall(tmp_path)
    # treq sends bodies in the turns of the one reactor that it knows.
    turns = task.Cooperator(scheduler=lambda step: found.loop.callLater(0.0, step))
    monkeypatch.setattr(task, "cooperate", turns.cooperate)
    return found


def test_workers_are_shown_with_what_they_have(hall: RealHall) -> None:
    clients = [hall.connect() for _ in range(3)]
    first, second = hall.get("/workers").json["workers"]
    assert (first["worker"], first["state"], first["connections"]) == (0, "ready", 2)
    assert second["connections_by_listener"] == {"front": 1}
    assert (first["restarts"], first["lost_connections"], first["cpu"], first["why"]) == (0, 0, None, "")
    clients[0].close()
    hall.loop.turn()
    assert hall.get("/workers").json["workers"][0]["connections"] == 1


def test_one_worker_can_be_asked_what_it_has(hall: RealHall) -> None:
    client = hall.connect()
    shown = hall.get("/workers/0/listeners")
    assert shown.status == 200
    assert "front" in shown.text
    assert hall.get("/workers/1/clusters?window=60s").status == 200
    client.close()


@pytest.mark.parametrize("number", ["2", "-1", "x", "999999", "%31"])
def test_a_worker_that_there_is_not_is_told_with_those_there_are(hall: RealHall, number: str) -> None:
    response = hall.get(f"/workers/{number}/clusters")
    if number == "%31":
        assert response.status == 200  # which is 1
        return
    assert response.status == 404
    assert "write a number from 0 to 1" in response.json["error"]


def test_one_that_is_not_ready_is_told(hall: RealHall) -> None:
    hall.workers.members[1].state = GONE
    assert hall.get("/workers/1/clusters").status == 503


def test_what_a_worker_refuses_is_passed_on(hall: RealHall) -> None:
    response = hall.get("/workers/0/nothing")
    assert response.status == 404
    assert "no endpoint" in response.json["error"]


def test_a_pause_holds_in_all_workers_and_ends_in_all(hall: RealHall) -> None:
    assert hall.ask("POST", "/clusters/demo/pause").status == 200
    assert all(one.proxy.clusters["demo"].paused_by is not None for one in hall.made.values())
    assert hall.ask("POST", "/clusters/demo/resume").status == 200
    assert all(one.proxy.clusters["demo"].paused_by is None for one in hall.made.values())


def test_what_one_refuses_all_refuse(hall: RealHall) -> None:
    assert hall.ask("POST", "/clusters/gone/pause").status == 404


def test_what_is_asked_of_all_is_told_where_none_is_ready(hall: RealHall) -> None:
    for one in hall.workers.members:
        one.state = GONE
    for path in ("/flows", "/tap"):
        response = hall.get(path)
        assert (response.status, response.json["error"]) == (503, "no worker is ready")


def test_levels_of_the_log_are_set_in_all(hall: RealHall) -> None:
    assert hall.get("/logging").status == 200


def test_each_worker_records_to_a_file_of_its_own(hall: RealHall, tmp_path: Path) -> None:
    begun = hall.ask("POST", "/record", json.dumps({"file": "monday.jsonl"}).encode())
    assert begun.status == 200, begun.body
    files = [one["file"] for one in begun.json["workers"]]
    assert [Path(one).name for one in files] == ["monday-worker0.jsonl", "monday-worker1.jsonl"]
    assert [one["recording"] for one in hall.get("/record").json["workers"]] == [True, True]
    assert hall.ask("DELETE", "/record").status == 200
    assert [one["recording"] for one in hall.get("/record").json["workers"]] == [False, False]


def test_a_recording_that_is_asked_for_in_a_wrong_way_is_refused(hall: RealHall) -> None:
    assert hall.ask("POST", "/record", b"[5]").status == 400


def test_a_tap_that_is_asked_for_in_a_wrong_way_is_refused(hall: RealHall) -> None:
    assert hall.get("/tap?limit=0").status == 400


def test_a_tap_ends_in_all_workers_when_its_reader_leaves(hall: RealHall) -> None:
    ours = hall.browser()
    ours.send(b"GET /tap HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    hall.loop.turn(60)
    hall.loop.advance(0.1)
    assert ours.recv(1000).startswith(b"HTTP/1.1 200")
    ours.close()
    hall.loop.turn(60)
    assert all(one.proxy.watchers == () for one in hall.made.values())


def test_a_tap_of_so_many_has_so_many_of_all_workers(hall: RealHall) -> None:
    ours = hall.browser()
    ours.send(b"GET /tap?limit=3 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    hall.loop.turn(60)
    hall.loop.advance(0.1)
    clients = [hall.connect() for _ in range(4)]
    for client in clients:
        client.sendall(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n")
    hall.loop.turn(60)
    hall.loop.advance(20.0)
    assert ours.recv(100_000).count(b'\r\n{"') == 3
    assert all(one.proxy.watchers == () for one in hall.made.values())


def test_counts_are_up_to_date_when_they_are_asked_for(hall: RealHall) -> None:
    client = hall.connect()
    (line,) = [
        one for one in hall.get("/metrics").text.splitlines() if one.startswith("metaproxy_listener_connections_total{")
    ]
    assert line.endswith(" 1.0")
    client.close()


# -- what several answers make


def test_flows_of_the_same_names_are_one_with_the_worst_percentiles() -> None:
    def row(caller: str, count: int, p99: float) -> dict[str, object]:
        return {"caller": caller, "listener": "a", "requests": count, "latency_ms": {"p99": p99}}

    whole = fan_out.flows(
        [
            {"flows": [row("x", 1, 5.0), row("y", 1, 1.0)], "total": row("", 2, 5.0), "other": None},
            {"flows": [row("x", 2, 9.0)], "total": row("", 2, 9.0), "other": None},
        ]
    )
    assert whole["flows"] == [row("x", 3, 9.0), row("y", 1, 1.0)]
    assert whole["total"] == row("", 4, 9.0)
    assert whole["other"] is None


def test_statements_of_the_same_fingerprint_are_one() -> None:
    def row(count: int) -> dict[str, object]:
        return {"fingerprint": "select ?", "listener": "a", "count": count}

    whole = fan_out.statements([{"statements": [row(1)], "kept": 5}, {"statements": [row(2)], "kept": 5}])
    assert whole["statements"] == [row(3)]
    assert fan_out.reset([{"reset": 2}, {"reset": 3}]) == {"reset": 5}
