"""Two real processes' worth of descriptors, in one or two."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from metaproxy.app.handover import VARIABLE, Document, Link, Spawned, entry, handed_over, line_of
from metaproxy.support.addresses import parse

ROOT = Path(__file__).parents[3]

NEW = """
import os, sys
from metaproxy.app.handover import handed_over
handed = handed_over(os.environ)
sys.stderr.write("a warning\\n")
what = sys.argv[1]
if what == "fail":
    handed.give_up("listeners[0]: wrong")
    sys.exit(3)
if what == "crash":
    raise RuntimeError("broken")
(one,) = handed.sockets
handed.restore_stderr()
accepted, _ = one.sock.accept()
accepted.sendall(f"{one.where.port} {one.kind} {handed.document['epoch']}".encode())
"""


def document(*sockets: Any) -> Document:
    return {"version": 1, "pid": os.getpid(), "epoch": 4, "warm": True, "sockets": list(sockets), "state": {}}


def spawned(tmp_path: Path, what: str, *sockets: Any) -> Spawned:
    program = tmp_path / "new.py"
    program.write_text(NEW)
    return Spawned([sys.executable, str(program), what], str(ROOT), document(*sockets))


def exit_code(process: Spawned) -> int | None:
    """How it ends, in half a minute at most."""
    deadline = time.monotonic() + 30
    while process.exit_code() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.exit_code()


def test_a_new_process_has_the_sockets(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = listening.getsockname()
        process = spawned(tmp_path, "serve", entry(listening.fileno(), "listener", parse("127.0.0.1:80"), False))
        with socket.create_connection(where, 30) as client:
            assert client.recv(100) == b"80 listener 4"
        assert exit_code(process) == 0
        assert "a warning" in process.errors()
    process.link.close()
    process.forget()


@pytest.mark.parametrize("what", ["fail", "crash"])
def test_one_that_does_not_come_to_serve_says_why(tmp_path: Path, what: str) -> None:
    process = spawned(tmp_path, what)
    process.link.settimeout(30)
    said = process.link.recv(1000)
    if what == "fail":
        assert json.loads(said) == {"failed": "listeners[0]: wrong"}
    else:
        assert said == b""
    assert exit_code(process) == (3 if what == "fail" else 1)
    assert ("RuntimeError: broken" in process.errors()) == (what == "crash")
    process.kill()
    process.link.close()
    process.forget()


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        Spawned(["/not/there"], "/", document())


def test_a_process_that_was_started_by_hand_has_nothing() -> None:
    assert handed_over({"HOME": "/"}) is None
    with pytest.raises(ValueError, match="unpack"):
        handed_over({VARIABLE: "7"})


def test_lines_go_both_ways() -> None:
    heard: list[object] = []
    link = Link(heard.append, lambda: heard.append("ended"))
    link.send({"lost": 1})  # not connected
    link.close()
    transport = StringTransport()
    link.makeConnection(transport)
    link.send({"go": {}})
    assert transport.value() == line_of({"go": {}}) == b'{"go": {}}\n'
    link.dataReceived(b'{"ready": {"pid": 7}}\n[1]\nnot json\n{"serv')
    assert heard == [{"ready": {"pid": 7}}]
    link.close()
    assert transport.disconnecting
