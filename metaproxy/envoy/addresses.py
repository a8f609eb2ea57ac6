"""
Envoy's addresses as texts such as 127.0.0.1:80, [::1]:80 and unix:/path.

Lives here: `address_of`. Does not: which of them a listener or an endpoint has.
"""

from __future__ import annotations

import ipaddress

from metaproxy.envoy.fields import Fields


def address_of(address: Fields | None) -> str | None:
    """An Address as a text; None when it is none, which is reported."""
    if address is None:
        return None
    which = address.which("address")
    if which == "pipe":
        pipe = address.message_at("pipe")
        assert pipe is not None
        path = pipe.text("path")
        pipe.refuse("mode", "the mode of the socket's file is what the process's umask makes it", 0)
        if not path.startswith("/"):
            pipe.unhonoured("path", f"{path!r} is no whole path; abstract sockets and relative paths are not there")
            return None
        return f"unix:{path}"
    if which != "socket_address":
        if which is None:
            address.report.invalid(address.path, "no address; write socket_address or pipe")
        return None
    socket = address.message_at("socket_address")
    assert socket is not None
    return socket_address(socket)


def socket_address(socket: Fields) -> str | None:
    """A SocketAddress as a text; None when it is none, which is reported."""
    host, port = socket.text("address"), socket.whole("port_value")
    if socket.choice("protocol") != "TCP":
        socket.unhonoured("protocol", "metaproxy has TCP only")
        return None
    if socket.which("port_specifier") == "named_port":
        socket.unhonoured("named_port", "write the number of the port")
        return None
    socket.refuse("resolver_name", "metaproxy has one resolver, the system's")
    socket.ignore("ipv4_compat")  # whether IPv4 clients are taken at [::]: joined() has that
    if port > 65535:
        socket.invalid("port_value", f"{port} is no port")
        return None
    if not host:
        socket.report.invalid(socket.path, "address is missing")
        return None
    return joined(host, port)


def joined(host: str, port: int) -> str:
    """A host and a port, with brackets where the host is an IPv6 address."""
    try:
        six = ipaddress.ip_address(host).version == 6
    except ValueError:
        six = False
    return f"[{host}]:{port}" if six else f"{host}:{port}"


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of what `joined` made."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
