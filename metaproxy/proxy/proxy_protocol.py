"""
The PROXY protocol in front of a client's first byte: who the client is, in the words of the proxy that it came through.

    v1:  "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\\r\\n", at most 107 bytes; TCP6; "PROXY UNKNOWN ...\\r\\n"
    v2:  12 bytes of signature | version 2, command | family, transport | length 2 | addresses | TLVs, not read

Source: haproxy's doc/proxy-protocol.txt, version 2.2. Lives here: `parse`; `Trusted`, who may send it; `ProxyProtocol`,
which reads it and then hands the connection to its client's protocol. Does not: what the addresses are used for.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from metaproxy.message import FrameError
from metaproxy.proxy.roles import ClientOwner, Leaving
from metaproxy.routing.matcher import compile_condition
from metaproxy.support import addresses as address
from metaproxy.wire import NewConnection, WireProtocol

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1 = 107
MAX_V2 = 16 + 2048
"""Bytes of a v2 header; the specification allows 64 KiB of TLVs, senders stay far below."""
PATIENCE = 5.0
"""Seconds that a connection may take to send it: the proxy before us knows it already."""

_V2 = struct.Struct(">12sBBH")


UNIX = "unix"
"""What stands for the clients of Unix sockets among the networks that are trusted."""


class Trusted:
    """Who may send the header. networks: CIDR, single addresses, and UNIX. Raises ValueError for what is none."""

    def __init__(self, networks: Sequence[str]) -> None:
        self.networks = tuple(networks)
        cidr = [one for one in networks if one != UNIX]
        self._unix = len(cidr) < len(networks)
        self._holds = compile_condition("source.address", {"cidr": cidr}).test if cidr else lambda value: False

    def __call__(self, peer: str) -> bool:
        """peer: as `address.show` writes it. IPv4 addresses count in whatever form the socket has them."""
        if peer.startswith("unix:"):
            return self._unix
        return self._holds(peer.rpartition(":")[0].strip("[]"))


class Header(NamedTuple):
    """length: bytes of the header. source, destination: as `address.show` writes them; '' when it does not tell."""

    length: int
    source: str
    destination: str


def parse(data: bytes) -> Header | None:
    """The addresses in the header that `data` begins with; None while it is incomplete. Raises FrameError."""
    start = data[: len(SIGNATURE)]
    if SIGNATURE.startswith(start):
        return _parse_v2(data)
    if b"PROXY ".startswith(data[:6]) or data.startswith(b"PROXY "):
        return _parse_v1(data)
    raise FrameError(f"PROXY header expected, {data[:16]!r} read; does the sender send one?")


def _parse_v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise FrameError(f"PROXY v1 header without an end in {MAX_V1} bytes")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Header(end + 2, "", "")
    try:
        _, family, source, destination, source_port, destination_port = (word.decode("ascii") for word in words)
        wanted = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}[family]
        ports = [int(port) for port in (source_port, destination_port) if port.isdecimal() and int(port) < 65536]
        shown = [
            address.show((str(wanted(host)), port)) for host, port in zip((source, destination), ports, strict=True)
        ]
    except (ValueError, KeyError) as error:
        raise FrameError(f"PROXY v1 header {data[:end]!r} can't be read") from error
    return Header(end + 2, *shown)


def _parse_v2(data: bytes) -> Header | None:
    if len(data) < _V2.size:
        return None
    _, command, family, length = _V2.unpack_from(data)
    if command not in (0x20, 0x21):
        raise FrameError(f"PROXY v2 header with version and command {command:#04x}; known are 0x20 and 0x21")
    if _V2.size + length > MAX_V2:
        raise FrameError(f"PROXY v2 header of {_V2.size + length} bytes; allowed are {MAX_V2}")
    if len(data) < _V2.size + length:
        return None
    width = {0x11: 4, 0x21: 16}.get(family, 0)
    if command == 0x20 or not width:  # the sender's own health check, or a family without addresses for us
        return Header(_V2.size + length, "", "")
    if length < 2 * width + 4:
        raise FrameError(f"PROXY v2 header with {length} bytes of addresses; needed are {2 * width + 4}")
    at = _V2.size
    hosts = [str(ipaddress.ip_address(data[at + index * width : at + (index + 1) * width])) for index in (0, 1)]
    ports = struct.unpack_from(">HH", data, at + 2 * width)
    return Header(_V2.size + length, *(address.show(pair) for pair in zip(hosts, ports, strict=True)))


class ProxyProtocol(Protocol):
    """Reads the header, then takes itself out of the way. behind: what follows it, TLS or the client itself."""

    transport: NewConnection  # type: ignore[assignment]

    def __init__(self, listener: ClientOwner, client: Leaving, behind: WireProtocol) -> None:
        self._listener = listener
        self._client = client
        self._behind = behind
        self._data = b""
        self._timer: IDelayedCall | None = listener.network.clock.callLater(PATIENCE, self._too_late)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        try:
            header = parse(self._data)
        except FrameError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._hand_over(header)

    def _hand_over(self, header: Header) -> None:
        self._stop_timer()
        connection = self.transport
        if header.source:
            connection.peer, connection.host = header.source, header.destination
        connection.hand_to(self._behind)
        self._behind.makeConnection(connection)
        if len(self._data) > header.length:
            self._behind.dataReceived(self._data[header.length :])

    def _refuse(self, text: str) -> None:
        self._listener.counts.decode_errors += 1
        self._listener.bad_frame(str(self.transport.getPeer()), text)
        self.transport.abortConnection()

    def _too_late(self) -> None:
        self._timer = None
        self._refuse(f"no PROXY header within {PATIENCE:g} s")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def readConnectionLost(self) -> None:
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """Nothing is written to a client that did not speak yet."""

    def resumeProducing(self) -> None:
        """See pauseProducing."""

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self._stop_timer()
        self._listener.left(self._client)
