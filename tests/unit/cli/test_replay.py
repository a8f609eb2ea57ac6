from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import Terminal
from harness import Quill, answer

from metaproxy.cli import replay
from metaproxy.cli.main import script
from metaproxy.message import Kind, Message
from metaproxy.recording.connection import Call
from metaproxy.recording.entries import Entry, Frame, foot, head


def entry(
    number: int = 0,
    protocol: str = "redis",
    listener: str = "front",
    endpoint: str = "127.0.0.1:1",
    data: bytes = b"*1\r\n$4\r\nPING\r\n",
) -> Any:
    response = Frame(Kind.RESPONSE, answer(7) if protocol == "quill" else b"+PONG\r\n")
    return Entry(
        number, number / 10, 0.05, f"{listener}/1", Frame(Kind.REQUEST, data), response if endpoint != "-" else None,
        protocol=protocol, listener=listener, endpoint=endpoint, operation="PING",
    )  # fmt: skip


def written(folder: Path, *entries: Entry) -> str:
    file = folder / "tape.jsonl"
    file.write_text("".join([head("now"), *(one.line() for one in entries), foot()]))
    return str(file)


def ended(one: Entry, body: bytes | None = b"hi", error: str = "") -> Call:
    call = Call(one, 0.0)
    call.finish(0.01, Message(Kind.RESPONSE, answer(8, body), 8) if body is not None else None, error)
    return call


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What would be sent, instead of sending it: `played` is answered by `result`."""
    told: dict[str, Any] = {"result": lambda entries: ([ended(one) for one in entries], "")}

    def played(entries: Any, to: Any, codec: Any, pace: Any, max_time: Any) -> Any:
        told.update(entries=list(entries), to=to, codec=codec, pace=pace, max_time=max_time)
        return told["result"](entries)

    monkeypatch.setattr(replay, "played", played)
    return told


def test_what_a_server_had_is_sent_and_the_rest_is_counted(tmp_path: Path, sends: Any) -> None:
    terminal = Terminal()
    file = written(tmp_path, entry(0), entry(1, endpoint="-"), entry(2))
    assert terminal.run("replay", file, "--to", "127.0.0.1:1", "--speed", "2x", "--timeout", "3s", "--json") == 0
    assert [one.number for one in sends["entries"]] == [0, 2]
    assert (terminal.json["sent"], terminal.json["skipped"], terminal.json["compared"]) == (2, 1, 0)
    pace = sends["pace"]
    assert (pace.speed, pace.timeout, pace.ordered, sends["codec"].name) == (2.0, 3.0, False, "redis")


def test_differences_are_told_and_the_exit_code_is_1(
    tmp_path: Path, sends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_codec", lambda given, entries: Quill())
    terminal = Terminal()
    file = written(tmp_path, *(entry(number, "quill") for number in range(3)))
    assert terminal.run("replay", file, "--to", "127.0.0.1:1", "--compare") == 0
    assert "3 answers compared, 0 differ" in terminal.out
    assert sends["pace"].ordered
    sends["result"] = lambda entries: ([ended(one, b"no" if one.number == 1 else b"hi") for one in entries], "")
    assert terminal.run("replay", file, "--to", "127.0.0.1:1", "--compare") == 1
    assert "3 answers compared, 1 differ" in terminal.out
    assert "PING" in terminal.out


def test_failures_and_what_was_cut_are_told_and_the_exit_code_is_1(tmp_path: Path, sends: Any) -> None:
    terminal = Terminal()
    file = written(tmp_path, entry(0), entry(1))
    sends["result"] = lambda entries: ([ended(one, None, "refused") for one in entries], "")
    assert terminal.run("replay", file, "--to", "127.0.0.1:1") == 1
    assert "2 failed" in terminal.out
    sends["result"] = lambda entries: ([], "2 were not sent or not answered in time")
    assert terminal.run("replay", file, "--to", "127.0.0.1:1") == 1
    assert "2 were not sent" in terminal.err


def test_a_listener_and_a_protocol_choose(tmp_path: Path, sends: Any) -> None:
    terminal = Terminal()
    file = written(tmp_path, entry(0), entry(1, "thrift", "other"))
    with pytest.raises(ValueError, match="exchanges of redis, thrift; write --listener front"):
        terminal.run("replay", file, "--to", "127.0.0.1:1")
    terminal.run("replay", file, "--to", "127.0.0.1:1", "--listener", "other")
    assert sends["codec"].name == "thrift"
    options = "{name: thrift, transport: framed}"
    terminal.run("replay", file, "--to", "127.0.0.1:1", "--listener", "other", "--protocol", options)
    assert sends["codec"].name == "thrift"


def test_a_password_may_come_from_the_environment(tmp_path: Path, sends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PASSWORD", "hunter2")
    login = ["--credential", "user=app", "--credential", "password=env:SERVER_PASSWORD"]
    Terminal().run("replay", written(tmp_path, entry()), "--to", "127.0.0.1:1", *login)
    assert sends["pace"].credentials == {"user": "app", "password": "hunter2"}


def test_a_recording_that_was_cut_is_sent_as_far_as_it_goes(tmp_path: Path, sends: Any) -> None:
    file = tmp_path / "cut"
    file.write_text(head("now") + entry().line() + entry(1).line()[:50])
    terminal = Terminal()
    assert terminal.run("replay", str(file), "--to", "127.0.0.1:1") == 0
    assert "line 3" in terminal.err
    assert len(sends["entries"]) == 1


WRONG = [
    (["--speed", "fast"], "write 1x, 2x"),
    (["--speed", "0x"], "write 1x, 2x"),
    (["--protocol", "redsi"], "no codec 'redsi'"),
    (["--protocol", "{name: redis, databases: no}"], "databases"),
    (["--protocol", "[1"], "write a codec's name"),
    (["--credential", "password"], "KEY=VALUE"),
    (["--timeout", "soon"], "not a duration"),
    (["--listener", "nobody"], "there are exchanges of front"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, sends: Any, arguments: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Terminal().run("replay", written(tmp_path, entry()), "--to", "127.0.0.1:1", *arguments)


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, sends: Any) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(ValueError, match="line 1: not the head of a recording"):
        Terminal().run("replay", str(tmp_path / "x"), "--to", "127.0.0.1:1")
    with pytest.raises(ValueError, match="No such file"):
        Terminal().run("replay", str(tmp_path / "y"), "--to", "127.0.0.1:1")


def test_the_command_itself_tells_a_server_that_is_not_there(tmp_path: Path) -> None:
    """With a reactor and a socket: the only test of it here; tests/interop has the others."""
    file = written(tmp_path, entry())
    command = [str(Path(sys.executable).with_name("metaproxy")), "replay", file, "--to", "unix:/nowhere.sock"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_the_command_itself_tells_what_is_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["metaproxy", "replay", written(tmp_path, entry()), "--to", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert "metaproxy: --to: 'nowhere' is not an address" in err and not out
