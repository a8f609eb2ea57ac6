"""
What the kernel is asked about single sockets: keep-alive, and where a redirected connection was meant to go.

Lives here: numbers and layouts of Linux. Does not: connections (`transport`).
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from metaproxy.support.addresses import show

SO_ORIGINAL_DST = 80
"""Of linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h is the same number."""
_IPV4 = struct.Struct("!2xH4s8x")
_IPV6 = struct.Struct("!2xH4x16s4x")


def keep_alive(sock: socket.socket, idle: float, interval: float, count: int) -> None:
    """Seconds, rounded to whole ones."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(idle)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(interval)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def original_destination(sock: socket.socket, otherwise: str) -> tuple[str, str]:
    """
    The address that a connection was meant for, '' if it was not redirected; and the address to show as its own.

    Connection tracking remembers it (REDIRECT, DNAT). Without a redirect it has the socket's own address, or nothing.
    """
    if sock.family == socket.AF_UNIX:
        return "", otherwise
    own = _own(sock)
    meant = _tracked(sock)
    return ("", own) if meant in ("", own) else (meant, meant)


def _own(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return show((_plain(host), port))


def _plain(host: str) -> str:
    """An IPv4 address on a socket of IPv6 as itself."""
    mapped = ipaddress.IPv6Address(host).ipv4_mapped if ":" in host and "%" not in host else None
    return str(mapped) if mapped is not None else host


def _tracked(sock: socket.socket) -> str:
    is_ipv4 = ":" not in _plain(sock.getsockname()[0])
    layout = _IPV4 if is_ipv4 else _IPV6
    try:
        data = sock.getsockopt(socket.SOL_IP if is_ipv4 else socket.IPPROTO_IPV6, SO_ORIGINAL_DST, layout.size)
    except OSError:  # not tracked, or the kernel knows no tracking
        return ""
    port, host = layout.unpack(data)
    return show((str(ipaddress.ip_address(host)), port))
