"""
Addresses as configurations write them, and the sockets they stand for.

Lives here: parsing `host:port`, `[v6]:port` and `unix:/path`; whether one is free. Does not: connections.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")


class Address(NamedTuple):
    """family: AF_INET, AF_INET6 or AF_UNIX; host: IP literal, host name or path; port: 0 with AF_UNIX."""

    family: int
    host: str
    port: int

    @property
    def sockaddr(self) -> str | tuple[str, int]:
        return self.host if self.family == socket.AF_UNIX else (self.host, self.port)

    @property
    def literal(self) -> bool:
        """Whether it can be used as it is, without asking a resolver."""
        if self.family == socket.AF_UNIX:
            return True
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def is_host(self) -> bool:
        """Whether the host can be one: a literal of the family, or a name as DNS and hosts files have them."""
        try:
            version = ipaddress.ip_address(self.host).version
        except ValueError:
            # The last part of a name is never a number: 10.0.0.256 is a mistake and no name.
            named = self.family == socket.AF_INET and _HOST.fullmatch(self.host) is not None
            return named and not self.host.rstrip(".").rpartition(".")[2].isdigit()
        return version == (6 if self.family == socket.AF_INET6 else 4)


def parse(text: str) -> Address:
    """Raises ValueError with a text that says how to write an address."""
    if text.startswith("unix:"):
        return Address(socket.AF_UNIX, text[5:], 0)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        family = socket.AF_INET6
    else:
        family = socket.AF_INET
    if not colon or not host or not port.isdecimal() or int(port) > 65535 or (":" in host and family == socket.AF_INET):
        raise ValueError(f"{text!r} is not an address; write host:port, [v6]:port or unix:/path")
    return Address(family, host, int(port))


def show(sockaddr: object) -> str:
    """What getpeername and accept give, as `host:port`, `[v6]:port` or `unix:/path`."""
    if isinstance(sockaddr, tuple):
        host = str(sockaddr[0])
        return f"[{host}]:{sockaddr[1]}" if ":" in host else f"{host}:{sockaddr[1]}"
    if isinstance(sockaddr, bytes):
        sockaddr = sockaddr.decode(errors="replace")
    return f"unix:{sockaddr}"


def must_be_free(key: str, where: str) -> None:
    """
    Raises OSError for an address that can't be had, while the start can still be refused. key: where the configuration
    says it. Names and paths of sockets are not tried.
    """
    at = parse(where)
    if at.family == socket.AF_UNIX or not at.literal:
        return
    with socket.socket(at.family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(at.sockaddr)
            probe.listen()
        except OSError as error:
            text = f"{key}: {where}: {error.strerror}; write another address, or end what listens there"
            raise OSError(text) from error
