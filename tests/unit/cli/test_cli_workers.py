from __future__ import annotations

import json
from typing import Any

from asking import Terminal
from browser import Response

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, as_json


def worker(number: int, **more: object) -> dict[str, object]:
    plain = {
        "worker": number, "state": "ready", "answers": True, "pid": 4711 + number, "restarts": 0, "lost_connections": 0,
        "connections": 12, "handed_connections": 345, "why": "", "cpu": None, "cpu_seconds": 1.25,
        "memory_bytes": 48 << 20,
    }  # fmt: skip
    return {**plain, **more}


def asked(*arguments: str, found: list[dict[str, object]] | None = None) -> tuple[int, Terminal]:
    class Workers(Endpoint):
        path = "/workers"
        about = ""

        def get(self, ask: AdminRequest) -> AdminResponse:
            return as_json({"workers": found})

    terminal = Terminal()
    if found is not None:
        terminal.desk.serve(Workers())
    return terminal.run("workers", *arguments), terminal


def test_each_worker_has_a_row_with_what_it_has() -> None:
    code, terminal = asked(found=[worker(0, cpu=2), worker(1, restarts=1, lost_connections=7)])
    assert code == 0
    rows = terminal.out.splitlines()
    assert "pinned to" in rows[1]
    assert rows[2].split() == ["0", "ready", "4711", "12", "345", "0", "0", "1.2", "48.0", "MiB", "CPU", "2", "-"]
    assert rows[3].split()[5:7] == ["1", "7"]


def test_it_ends_with_1_when_one_is_not_ready_or_does_not_answer() -> None:
    code, terminal = asked(found=[worker(0), worker(1, state="gone", answers=False, pid=0, why="signal 9")])
    assert code == 1
    assert "gone" in terminal.out
    assert "signal 9" in terminal.out
    code, terminal = asked(found=[worker(0, answers=False)])
    assert code == 1
    assert "quiet" in terminal.out


def test_a_proxy_of_one_process_says_so() -> None:
    code, terminal = asked()
    assert code == 0
    assert "one process does all" in terminal.out
    code, terminal = asked("--json")
    assert (code, terminal.json) == (0, {"workers": []})


def test_for_scripts_it_is_json() -> None:
    _, terminal = asked("--json", found=[worker(0)])
    assert terminal.json["workers"][0]["memory_bytes"] == 48 << 20


def test_status_says_how_many_are_ready() -> None:
    class Some:
        def __init__(self, desk: Any) -> None:
            self._desk = desk

        def ask(self, method: str, path: str, body: bytes = b"") -> Response:
            answer: Response = self._desk.ask(method, path, body)
            if path == "/server_info":
                answer.body = json.dumps({**answer.json, "workers": {"count": 4, "ready": 3}}).encode()
            return answer

    terminal = Terminal()
    terminal.run("status")
    assert "workers" not in terminal.out
    terminal.admin.desk = Some(terminal.desk)
    terminal.run("status")
    assert "3 of 4 workers ready" in terminal.out
