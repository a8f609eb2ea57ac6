"""Options of sockets; a redirect by the kernel is in tests/interop/test_original_destination.py."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Any

import pytest
from harness import Stage, Wire, call

from metaproxy.proxy.connection import Connection
from metaproxy.proxy.socket_options import SO_ORIGINAL_DST, keep_alive, original_destination


class Socket:
    """A socket whose connection was tracked, or not."""

    def __init__(self, own: tuple[Any, ...], meant: tuple[str, int] | None, family: int = socket.AF_INET) -> None:
        self.family = family
        self._own, self._meant = own, meant

    def getsockname(self) -> tuple[Any, ...]:
        return self._own

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert option == SO_ORIGINAL_DST
        if self._meant is None:
            raise FileNotFoundError(2, "No such file or directory")
        host = ipaddress.ip_address(self._meant[0])
        if host.version == 4:
            assert (level, size) == (socket.SOL_IP, 16)
            return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", self._meant[1], host.packed)
        assert (level, size) == (socket.IPPROTO_IPV6, 28)
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!H4x16s4x", self._meant[1], host.packed)


@pytest.mark.parametrize(
    ("own", "meant", "family", "expected"),
    [
        (("127.0.0.1", 7001), ("10.9.9.9", 80), socket.AF_INET, ("10.9.9.9:80", "10.9.9.9:80")),
        (("::1", 7001, 0, 0), ("fd00::9", 80), socket.AF_INET6, ("[fd00::9]:80", "[fd00::9]:80")),
        (("::ffff:10.0.0.1", 7001, 0, 0), ("10.9.9.9", 80), socket.AF_INET6, ("10.9.9.9:80", "10.9.9.9:80")),
        (("10.0.0.1", 7001), ("10.0.0.1", 7001), socket.AF_INET, ("", "10.0.0.1:7001")),
        (("10.0.0.1", 7001), None, socket.AF_INET, ("", "10.0.0.1:7001")),
        ((), None, socket.AF_UNIX, ("", "otherwise")),
    ],
)
def test_the_address_that_a_redirected_connection_was_meant_for_is_found(
    own: tuple[Any, ...], meant: tuple[str, int] | None, family: int, expected: tuple[str, str]
) -> None:
    assert original_destination(Socket(own, meant, family), "otherwise") == expected  # type: ignore[arg-type]


def test_keep_alive_is_what_the_system_is_told() -> None:
    with socket.socket() as sock:
        keep_alive(sock, 60.0, 10.4, 3)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        found = [getattr(socket, f"TCP_KEEP{name}") for name in ("IDLE", "INTVL", "CNT")]
        assert [sock.getsockopt(socket.IPPROTO_TCP, one) for one in found] == [60, 10, 3]


class Keeping(Wire):
    """A connection that notes what it is asked for."""

    kept: tuple[float, float, int] | None = None
    looked = False

    def keep_alive(self, *given: Any) -> None:
        self.kept = given

    def find_original_destination(self) -> None:
        self.looked = True
        self.host = "10.9.9.9:80"


def test_both_sides_keep_alive_what_is_configured() -> None:
    stage = Stage(keepalive=(60.0, 10.0, 3))
    stage.cluster.connections.keepalive = (30.0, 5.0, 2)
    client = Keeping()
    protocol = stage.listener.accepted(client)
    assert client.kept == (60.0, 10.0, 3) and not client.looked and protocol is not None
    client.protocol = protocol
    protocol.makeConnection(client)
    upstream = Keeping()
    stage.network.accept = False
    stage.say(client, call(1))
    for _, waiting in stage.network.dialled:
        upstream.protocol = waiting
        waiting.makeConnection(upstream)
    assert stage.network.dialled and upstream.kept == (30.0, 5.0, 2)


def test_the_original_destination_is_a_fact_before_the_first_request() -> None:
    stage = Stage(original_destination=True)
    wire = Keeping()
    client: Any = stage.listener.accepted(wire)
    wire.protocol = client
    client.makeConnection(wire)
    assert (client.facts["destination.address"], client.facts["destination.port"]) == ("10.9.9.9", "80")


def test_a_connection_over_a_unix_socket_has_nothing_to_keep_alive_and_nothing_to_find() -> None:
    here, there = socket.socketpair()
    with here, there:
        network: Any = None
        connection = Connection(network, here, "unix:/front", "unix:")
        connection.keep_alive(60.0, 10.0, 3)
        connection.find_original_destination()
        assert connection.host == "unix:/front" and connection.facts == {}
