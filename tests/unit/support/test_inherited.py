from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from metaproxy.support.addresses import parse
from metaproxy.support.inherited import ADMIN, LISTENER, InheritedSocket, InheritedSockets


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_a_socket_is_taken_once_by_its_address_and_purpose(listening: socket.socket) -> None:
    where = parse("127.0.0.1:80")
    one = InheritedSocket(listening, where, LISTENER)
    sockets = InheritedSockets([one])
    assert sockets.take(where, ADMIN) is None
    assert sockets.take(parse("127.0.0.1:81")) is None
    assert sockets.has(where, LISTENER) and not sockets.has(where, ADMIN)
    assert sockets.take(where) is one and sockets.taken == [one]
    assert sockets.take(where) is None


def test_one_without_a_purpose_is_for_all(listening: socket.socket) -> None:
    where = parse("unix:/run/admin.sock")
    assert InheritedSockets([InheritedSocket(listening, where)]).take(where, ADMIN)


def test_what_is_left_is_closed_and_named(listening: socket.socket) -> None:
    sockets = InheritedSockets([InheritedSocket(listening, parse("127.0.0.1:80"), name="web")])
    port = listening.getsockname()[1]
    assert sockets.close_left() == [f"127.0.0.1:{port} (web)"]
    assert listening.fileno() == -1 and sockets.close_left() == []


def test_calls_wait_until_it_begins() -> None:
    called: list[int] = []
    sockets = InheritedSockets(waiting=True)
    sockets.when_begun(lambda: called.append(1))
    assert called == []
    sockets.begin()
    sockets.when_begun(lambda: called.append(2))
    assert called == [1, 2]
