from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Connection, Desk, Response
from twisted.internet.defer import Deferred

from metaproxy.config.model import Config, Record
from metaproxy.recording.entries import read


def studio(folder: Path | None = None, desk: Desk | None = None, **limits: Any) -> Desk:
    """Somebody who may record to that folder."""
    desk = desk or Desk()
    desk.configuration.config = Config(record=Record(folder=folder, **limits))
    return desk


def record(desk: Desk, **asked: dict[str, dict[str, str]] | int | str) -> Response:
    return desk.post("/record", json.dumps(asked))


def test_a_recording_begins_is_told_and_ends(tmp_path: Path) -> None:
    desk = studio(tmp_path / "new")
    assert desk.get("/record").json == {"recording": False, "file": None, "exchanges": 0}
    begun = record(desk, file="monday.jsonl", match="service=echo").json
    assert (begun["recording"], begun["file"]) == (True, str(tmp_path / "new" / "monday.jsonl"))
    client = desk.running.client()
    for service in ("echo", "gone", "echo"):
        desk.running.exchange(client, service)
    assert desk.get("/record").json["exchanges"] == 2
    ended = desk.ask("DELETE", "/record").json
    assert (ended["recording"], ended["exchanges"], ended["ended_by"]) == (False, 2, "request")
    assert desk.proxy.watchers == ()
    desk.clock.advance(1)
    found = read(Path(ended["file"]).read_text().splitlines())
    assert [one.route for one in found.entries] == ["main", "main"]
    assert found.head["match"] == "service=echo"


@pytest.mark.parametrize("disk", ["writes", "hangs"])
def test_the_end_is_answered_when_all_is_in_the_file_or_after_five_seconds(tmp_path: Path, disk: str) -> None:
    waiting: list[Callable[[], None]] = []

    def run(write: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        waiting.append(lambda: done.callback(write()))
        return done

    desk = studio(tmp_path, Desk(run=run))
    record(desk, file="monday.jsonl")
    desk.running.exchange(desk.running.client(), "echo")
    connection = Connection(desk)
    connection.send(b"DELETE /record HTTP/1.1\r\nhost: 127.0.0.1:9901\r\n\r\n")
    assert connection.take() == b""
    while disk == "writes" and waiting:
        waiting.pop(0)()
    if disk == "hangs":
        desk.clock.advance(5)
    assert Response(connection.take(), "DELETE").json["ended_by"] == "request"
    lines = (tmp_path / "monday.jsonl").read_text().splitlines()
    assert len(lines) == (3 if disk == "writes" else 0)


def test_only_its_user_can_read_a_recording(tmp_path: Path) -> None:
    desk = studio(tmp_path / "new")
    file = Path(record(desk).json["file"])
    desk.clock.advance(1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.name.startswith("recording-")


def test_no_file_is_written_over_and_one_recording_runs_at_a_time(tmp_path: Path) -> None:
    desk = studio(tmp_path)
    (tmp_path / "there").write_text("mine")
    taken = record(desk, file="there")
    assert (taken.status, taken.json["where"]) == (409, "file")
    assert (tmp_path / "there").read_text() == "mine"
    assert record(desk, file="one").status == 200
    assert record(desk, file="two").status == 409
    assert not (tmp_path / "two").exists()
    desk.ask("DELETE", "/record")
    assert record(desk, file="two").status == 200


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", ".hidden", "a\nb", "", "x" * 200])
def test_files_are_nowhere_but_in_the_folder(tmp_path: Path, name: str) -> None:
    desk = studio(tmp_path / "new")
    answer = record(desk, file=name)
    if name:
        assert (answer.status, answer.json["where"]) == (400, "file")
    else:
        assert Path(answer.json["file"]).parent == tmp_path / "new"


def test_the_folders_own_path_may_be_written_and_a_link_is_not_followed(tmp_path: Path) -> None:
    desk = studio(tmp_path)
    os.symlink(tmp_path / "target", tmp_path / "link")
    assert record(desk, file="link").status == 409
    assert not (tmp_path / "target").exists()
    assert record(desk, file=str(tmp_path / "absolute")).json["file"] == str(tmp_path / "absolute")


def test_a_folder_that_others_can_write_to_is_not_taken_for_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    desk = studio()
    own = tmp_path / f"metaproxy-{os.getuid()}"
    own.mkdir()
    own.chmod(0o777)
    refused = record(desk)
    assert (refused.status, refused.json["where"]) == (400, "file")
    assert "write record: {folder: ...}" in refused.json["error"]
    own.chmod(0o700)
    assert record(desk).status == 200


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    refused = record(studio(tmp_path / "no" / "such"))
    assert (refused.status, refused.json["where"]) == (400, "file")


@pytest.mark.parametrize(
    ("asked", "status", "where"),
    [
        ({"max_bytes": 1}, 400, "max_bytes"),
        ({"max_bytes": "1GiB"}, 400, "max_bytes"),
        ({"max_bytes": "much"}, 400, "max_bytes"),
        ({"max_seconds": "2h"}, 400, "max_seconds"),
        ({"max_seconds": 0}, 400, "max_seconds"),
        ({"match": "nonsense"}, 400, "match"),
        ({"listener": "frnt"}, 404, "listener"),
        ({"listener": 7}, 400, "listener"),
        ({"fil": "x"}, 400, "body"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_file(
    tmp_path: Path, asked: dict[str, int | str], status: int, where: str
) -> None:
    desk = studio(tmp_path)
    answer = record(desk, **asked)
    assert (answer.status, answer.json["where"]) == (status, where)
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_is_no_json_is_refused(tmp_path: Path) -> None:
    desk = studio(tmp_path)
    assert desk.post("/record", "nonsense").status == 400
    assert desk.ask("DELETE", "/record").status == 404


def test_a_match_may_be_the_conditions_themselves(tmp_path: Path) -> None:
    desk = studio(tmp_path)
    assert record(desk, match={"service": {"prefix": "ec"}}).status == 200


def test_it_ends_by_its_time_and_unhooks(tmp_path: Path) -> None:
    desk = studio(tmp_path)
    record(desk, max_seconds=5)
    desk.clock.advance(6)
    assert desk.get("/record").json["ended_by"] == "max_seconds"
    assert desk.proxy.watchers == ()
