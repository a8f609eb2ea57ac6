"""Connections to a server that is watched; what certificates prove is in test_kubernetes_api.py."""

from __future__ import annotations

import socket
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from metaproxy.clients.tls import endpoint
from metaproxy.kubernetes.credentials import Credentials

NET: Any = reactor


@pytest_twisted.ensureDeferred
async def test_a_connection_without_traffic_notices_that_the_other_end_is_gone() -> None:
    port = NET.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    there = endpoint(Credentials(f"http://127.0.0.1:{port.getHost().port}"), NET)
    connected: Any = await there.connect(Factory.forProtocol(Protocol))
    opened: socket.socket = connected.transport.getHandle()
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, every, probes = (
        opened.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + every * probes <= 30
    connected.transport.abortConnection()
    await port.stopListening()
