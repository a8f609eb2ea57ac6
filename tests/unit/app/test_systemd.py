from __future__ import annotations

import os
import socket
from pathlib import Path
from unittest import mock

from metaproxy.app import systemd
from metaproxy.app.systemd import Notifier, first_environment, sockets_of
from metaproxy.support.addresses import parse


def environ(number: int, names: str = "", pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(number), "LISTEN_FDNAMES": names, "HOME": "/"}


def test_its_sockets_are_found_by_address_with_their_names(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.create_server(("127.0.0.1", 0)) as first, socket.socket(socket.AF_UNIX) as second:
        second.bind(path)
        second.listen()
        port = first.getsockname()[1]
        # Descriptors that follow each other, as systemd has them from 3 on.
        base = os.dup2(first.fileno(), 900)
        os.dup2(second.fileno(), 901)
        given = environ(2, "web:admin")
        with mock.patch.object(systemd, "FIRST", base):
            found = sockets_of(given)
    assert [(one.where, one.name, one.keeps_file) for one in found] == [
        (parse(f"127.0.0.1:{port}"), "web", True), (parse(f"unix:{path}"), "admin", True),
    ]  # fmt: skip
    assert not os.get_inheritable(900)
    for one in found:
        one.sock.close()


def test_sockets_of_another_process_and_what_is_no_listening_socket_are_left() -> None:
    assert sockets_of(environ(1, pid=os.getpid() + 1)) == []
    assert sockets_of(environ(0)) == [] and sockets_of({}) == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, mock.patch.object(systemd, "FIRST", 900):
        os.dup2(datagrams.fileno(), 900)
        assert sockets_of(environ(1)) == []


def test_the_environment_of_the_start_is_known_when_it_has_changed_since() -> None:
    first = first_environment()
    assert first and "METAPROXY_TEST_LATER" not in first
    with mock.patch.dict(os.environ, METAPROXY_TEST_LATER="1"):
        assert first_environment() == first


def test_it_hears_what_the_process_does(tmp_path: Path) -> None:
    where = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(where)
        hears.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": where})
        notifier.ready()
        assert hears.recv(1000) == b"READY=1\nSTATUS=serving"
        notifier.reloading("a new process starts")
        assert hears.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notifier.ready(77)
        assert hears.recv(1000) == b"READY=1\nMAINPID=77\nSTATUS=serving"
        notifier.stopping()
        assert hears.recv(1000).startswith(b"STOPPING=1")


def test_without_it_or_when_it_is_away_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "away")}).ready()
    Notifier({"NOTIFY_SOCKET": "@metaproxy-test-away"}).stopping()
