"""Connections of the supervisor to the admin API of a worker."""

from __future__ import annotations

import os
import socket

from loop import Loop, fired
from twisted.internet.protocol import Factory, Protocol
from workers_in_memory import Spawned

from metaproxy.workers.asking import AdminLine
from metaproxy.workers.channel import Channel, Gone
from metaproxy.workers.member import Member
from metaproxy.workers.messages import AdminConnection


class Said(Protocol):
    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


def test_one_end_of_a_socket_pair_is_ours_and_the_other_the_workers() -> None:
    loop = Loop()
    spawned = Spawned(loop)
    member = Member(0, loop, spawned, lambda one: None, lambda one: None)
    member.start()
    given: list[tuple[object, socket.socket]] = []
    fellow = spawned.fellows[0]
    line = fellow.line
    assert isinstance(line, Channel)
    fellow.keep = lambda message, descriptor: given.append((message, socket.socket(fileno=os.dup(descriptor))))
    (protocol,) = fired(AdminLine(member, loop).connect(Factory.forProtocol(Said)))
    protocol.transport.write(b"GET /")
    loop.turn()
    ((message, theirs),) = given
    assert message == AdminConnection()
    assert theirs.recv(100) == b"GET /"
    theirs.send(b"200")
    loop.turn()
    assert protocol.data == b"200"
    theirs.close()


def test_a_worker_that_is_gone_has_none() -> None:
    loop = Loop()
    member = Member(0, loop, Spawned(loop), lambda one: None, lambda one: None)
    assert fired(AdminLine(member, loop).connect(Factory.forProtocol(Said)))[0].check(Gone)
