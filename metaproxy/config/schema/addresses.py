"""
How a configuration says where something is: addresses, networks, URLs, paths.

Lives here: a class for each; it says in one place what is read, what the docs call it and what an editor checks. Does
not: taking addresses apart (`support.addresses`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path

from metaproxy.config.schema.leaf import Leaf, shown, text, variable
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Kind, Reading, Schema
from metaproxy.proxy.proxy_protocol import Trusted
from metaproxy.support import addresses as address


class Source(Leaf[str]):
    """Where connections come from: a network, an address, or `unix`."""

    def parse(self, node: Node) -> str:
        value = text(node)
        Trusted([value])
        return value

    def words(self) -> str:
        return "a network such as `10.0.0.0/8`, an address, or `unix`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string"}, definitions)


class Ip(Leaf[str]):
    """A network or an address."""

    def parse(self, node: Node) -> str:
        value = text(node)
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f"{value!r} is no network or address; write 10.0.0.0/8 or 10.0.0.1") from None
        return value

    def words(self) -> str:
        return "a network such as `10.0.0.0/8`, or an address"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string"}, definitions)


class Host(Leaf[str]):
    """An address of a host, without a port; empty where there is a default."""

    def parse(self, node: Node) -> str:
        value = text(node)
        try:
            return str(ipaddress.ip_address(value)) if value else ""
        except ValueError:
            raise ValueError(f"{value!r} is no address of a host; write one such as 127.0.0.6") from None

    def words(self) -> str:
        return "an address without a port"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string"}, definitions)


class Address(Leaf[str]):
    """port: the least one that is allowed; 0 asks the system for a free one."""

    def __init__(self, port: int = 0) -> None:
        self._port = port

    def parse(self, node: Node) -> str:
        value = str(node.value) if isinstance(node.value, int) else text(node)
        where = address.parse(value)
        if where.family == socket.AF_UNIX:
            if not where.host.startswith("/") or len(where.host.encode(errors="replace")) > 107 or "\0" in where.host:
                raise ValueError(f"{value!r} is not the whole path of a socket, of 107 bytes at most; write unix:/path")
        elif not self._port <= where.port <= 65535 or not where.is_host:
            raise ValueError(f"{value!r} is not an address; write host:port, [v6]:port or unix:/path")
        return value

    def words(self) -> str:
        return "`host:port`, `[v6]:port` or `unix:/path`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": r":\d+$|^unix:/|\$\{"}


class HostAddress(Leaf[str]):
    """An address of the Internet Protocol, without a port."""

    def parse(self, node: Node) -> str:
        value = text(node)
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"{value!r} is not an IP address; write one such as 127.0.0.1") from None

    def words(self) -> str:
        return "an IP address"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string"}, definitions)


class Listen(Address):
    """An address that the proxy listens at; no two may be the same."""

    def read(self, node: Node, reading: Reading) -> str:
        value = self.parse(node)
        reading.addresses.append((address.parse(value), node))
        return value


class Url(Leaf[str]):
    """Empty where there is a default."""

    def parse(self, node: Node) -> str:
        value = text(node)
        if value and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
            raise ValueError(f"{value!r} is no URL; write one such as http://127.0.0.1:4318/v1/traces")
        return value

    def words(self) -> str:
        return "a URL, http or https"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "pattern": "^https?://"}, definitions)


class UrlPath(Leaf[str]):
    def parse(self, node: Node) -> str:
        value = text(node)
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f"{shown(node)} is not a path; write one such as /health, blanks as %20")
        return value

    def words(self) -> str:
        return "a path, with a query if need be"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "pattern": "^/"}, definitions)


class File(Kind[Path]):
    """The path of a file or folder; a relative one starts where the configuration's file is."""

    def read(self, node: Node, reading: Reading) -> Path:
        value = text(node)
        parts = [len(part.encode(errors="replace")) for part in value.split("/")]
        if not value or "\0" in value or sum(parts) > 4000 or max(parts) > 255:
            raise ValueError(f"{value!r} is not a path")
        return reading.folder / value

    def words(self) -> str:
        return "a path"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "minLength": 1}
