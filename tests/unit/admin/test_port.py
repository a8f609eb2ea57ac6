"""The listening socket of the admin API, which two processes may have."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from metaproxy.admin.port import Port
from metaproxy.support.addresses import parse
from metaproxy.support.inherited import ADMIN, InheritedSocket, InheritedSockets

REACTOR: Any = reactor


class Hello(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.loseConnection()


def port(listen: str, inherited: InheritedSockets | None = None) -> Port:
    return Port(parse(listen), Factory.forProtocol(Hello), REACTOR, inherited or InheritedSockets())


def said(sock: socket.socket) -> bytes:
    with sock:
        sock.settimeout(5)
        return b"".join(iter(lambda: sock.recv(100), b""))


def asked(where: str) -> Deferred[bytes]:
    def ask() -> bytes:
        at = parse(where)
        sock = socket.socket(at.family)
        sock.settimeout(5)
        sock.connect(at.sockaddr)
        return said(sock)

    return deferToThread(ask)


@pytest_twisted.ensureDeferred
async def test_it_accepts_over_each_family(tmp_path: Path) -> None:
    for listen in ("127.0.0.1:0", "[::1]:0", f"unix:{tmp_path}/s"):
        one = port(listen)
        assert await asked(one.bound) == b"hello"
        one.close()
        one.close()
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_socket_is_for_its_user_and_a_stale_one_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    one = port(f"unix:{path}")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with pytest.raises(CannotListenError):
        port(f"unix:{path}")
    one.keeps_file = True
    one.close()
    assert path.exists()


@pytest_twisted.ensureDeferred
async def test_a_socket_that_is_there_is_used_when_it_begins_and_stays_open_for_others_when_it_is_closed() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    where = f"127.0.0.1:{listening.getsockname()[1]}"
    inherited = InheritedSockets([InheritedSocket(listening.dup(), parse(where), ADMIN)], waiting=True)
    one = port(where, inherited)
    answer = asked(where)
    assert not answer.called
    inherited.begin()
    assert await answer == b"hello"
    one.close()
    waiting = socket.create_connection(listening.getsockname())  # the other one has it still
    accepted, _ = listening.accept()
    for sock in (waiting, accepted, listening):
        sock.close()


def test_one_that_is_closed_before_it_begins_accepts_nothing() -> None:
    inherited = InheritedSockets(waiting=True)
    one = port("127.0.0.1:0", inherited)
    one.close()
    inherited.begin()
    assert one not in REACTOR.getReaders()
