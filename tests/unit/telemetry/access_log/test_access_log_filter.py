from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import call
from running_proxy import Running
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from metaproxy.interfaces import IFilter
from metaproxy.plugins import verify
from metaproxy.telemetry.access_log.filter import AccessLog, LogFiles
from metaproxy.testing import check_filter


def at_once(call: Any) -> Deferred[Any]:
    return succeed(call())


class Logged:
    """A proxy with an access log, its lines in memory's place a file."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.path = folder / "access.log"
        self.files = LogFiles(Clock(), at_once)
        self.log = AccessLog(self.files.open(str(self.path)), *arguments)
        self.running = Running({"on_complete": (self.log.on_complete,)})
        self.client = self.running.client()

    def lines(self) -> list[str]:
        self.files.open(str(self.path)).flush()
        return self.path.read_text().splitlines()


def test_it_is_a_filter_that_sees_only_the_end(tmp_path: Path) -> None:
    log = AccessLog(LogFiles(Clock(), at_once).open(str(tmp_path / "access.log")))
    check_filter(log)
    verify(IFilter, log)
    assert [name for name in dir(log) if name.startswith("on_")] == ["on_complete"]


def test_each_exchange_is_a_line_whatever_its_end(tmp_path: Path) -> None:
    logged = Logged(tmp_path, "%OUTCOME% %ROUTE_NAME% %UPSTREAM_CLUSTER% %DURATION% %BYTES_RECEIVED% %BYTES_SENT%")
    running, client = logged.running, logged.client
    running.exchange(client)
    running.exchange(client, "gone")
    running.exchange(client, "nobody")
    running.say(client, call(1))
    running.network.clock.advance(2.5)  # the route's timeout is 2 s
    running.say(client, call(2))
    client.end()
    assert logged.lines() == [
        "ok main demo 3 19 15",
        "denied gone - 0 19 21",
        "not_found - - 0 21 29",
        "timeout main demo 2500 19 33",
        "downstream_gone main demo 0 19 0",
    ]


def test_an_exchange_of_the_path_has_all_that_the_usual_formats_show(tmp_path: Path) -> None:
    logged = Logged(tmp_path, "json")
    logged.running.exchange(logged.client, "gone")
    (line,) = logged.lines()
    shown = json.loads(line)
    assert shown.pop("time").endswith("Z")
    assert shown == {
        "listener": "front", "protocol": "quill", "operation": None, "outcome": "denied", "flags": "UAEX",
        "details": "not here", "duration_ms": 0.0, "bytes_received": 19, "bytes_sent": 21, "client": "127.0.0.9:4321",
        "route": "gone", "cluster": None, "upstream": None, "request_id": None, "trace_id": None,
    }  # fmt: skip


def test_fields_may_be_chosen(tmp_path: Path) -> None:
    logged = Logged(tmp_path, "json", {"who": "%DOWNSTREAM_REMOTE_ADDRESS%", "code": "%RESPONSE_CODE%"})
    logged.running.exchange(logged.client)
    assert [json.loads(line) for line in logged.lines()] == [{"who": "127.0.0.9:4321", "code": 0}]


def test_a_wrong_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean %DURATION%"):
        Logged(tmp_path, "%DURATIN%")


@pytest.mark.parametrize("start", [0.0, 1700000000.0])
def test_a_clock_that_is_not_unix_time_is_translated(
    start: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("time.time", lambda: 1700000000.1)
    clock = Clock()
    clock.advance(start)
    log = AccessLog(LogFiles(clock, at_once).open(str(tmp_path / "access.log")), "%START_TIME(%H:%M:%S)%")
    exchange: Any = type("Exchange", (), {"started": start})
    log.on_complete(exchange)
    clock.advance(1)
    assert (tmp_path / "access.log").read_text() == "22:13:20\n"
