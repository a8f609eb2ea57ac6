"""kazoo behind the reactor. Its answers from a real server: tests/interop/test_zookeeper.py."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from metaproxy.discovery.zookeeper.client import MAX_ANSWER, BoundedSocket, Kazoo, check_installed


def test_without_kazoo_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install '\.\[zookeeper\]'"):
        check_installed()


def test_a_socket_refuses_an_answer_that_is_announced_as_too_large() -> None:
    one, other = socket.socketpair()
    bounded = BoundedSocket(one.family, one.type, one.proto, fileno=one.detach())
    other.send(b"abc")
    assert bounded.recv(MAX_ANSWER) == b"abc"
    with pytest.raises(OSError, match="allowed are"):
        bounded.recv(MAX_ANSWER + 1)
    bounded.close()
    other.close()


NET: Any = reactor


class Hostile(Protocol):
    """Announces an answer of 2 GiB, and sends its first byte: kazoo asks the socket for all when there is something."""

    def connectionMade(self) -> None:
        assert isinstance(self.factory, Server)
        self.factory.came()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"\x7f\xff\xff\xff" + b"a")


class Server(Factory[Hostile]):
    """twice: fires when the same client has connected a second time."""

    protocol = Hostile

    def __init__(self) -> None:
        self.times = 0
        self.twice: Deferred[None] = Deferred()

    def came(self) -> None:
        self.times += 1
        if self.times == 2:
            self.twice.callback(None)


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    made = Server()
    port = NET.listenTCP(0, made, interface="127.0.0.1")
    yield made, f"127.0.0.1:{port.getHost().port}"
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.inlineCallbacks
def test_a_server_that_announces_too_much_is_left_and_tried_again(
    server: tuple[Server, str],
) -> Iterator[Deferred[None]]:
    made, address = server
    connected: list[None] = []
    client = Kazoo(NET, [address], 60.0)
    client.open(lambda: connected.append(None), lambda why: None)
    yield made.twice.addTimeout(10, NET)  # and not by the time-out of 60 s
    client.close()
    assert connected == []
