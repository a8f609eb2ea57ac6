"""
What routes, filters and logs may know of a message: the line it starts with, and its fields.

Lives here: `read`, the `Message.more` of heads and whole messages. Nothing is decoded before it is asked for. Does not:
what a service or a method is (gRPC's codec adds that), facts of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Set
from urllib.parse import unquote_to_bytes

from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.model import head_of
from metaproxy.message import Message

KEYS = {
    "method": "of requests: GET, POST ...",
    "path": "of requests: the path, without the query, as it was sent",
    "target": "of requests: path and query, as they were sent",
    "query": "of requests: what stands behind the first `?`, as it was sent",
    "query.<name>": "of requests: the value of a parameter, decoded",
    "host": "of requests: host and port that are asked for",
    "authority": "the same",
    "hostname": "of requests: the host without its port, in lower case",
    "scheme": "of requests: `http` or `https`",
    "upgrade": "of requests: the protocol that they ask to go on with, such as `websocket`",
    "cookie.<name>": "of requests: the value of a cookie",
    "client.address": "of requests: where they come from, by X-Forwarded-For as far as it is trusted",
    "operation": "of requests: method and path with a blank between",
    "status": "of answers: the number",
    "header.<name>": "a field whose name is one of the keys above, or like one",
}

_OWN = frozenset(key for key in KEYS if "." not in key) | {"kind"}
OWN_PREFIXES = ("query.", "cookie.", "header.", "client.")
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")


def text(value: bytes) -> str:
    """Equal bytes are equal texts, and the other way round, UTF-8 or not."""
    return value.decode("utf-8", "surrogateescape")


def read(message: Message) -> None:
    """The first look at a message: its start line."""
    head = head_of(message)
    if head.status:
        message.metadata = {"status": str(head.status)}
        message.more = read_fields
        return
    target = text(head.path or head.authority)
    path, mark, query = target.partition("?")
    method = head.method.decode("latin-1")
    host = text(head.authority)
    metadata = message.metadata = {
        "method": method, "path": path, "target": target, "host": host, "authority": host, "hostname": _hostname(host),
        "scheme": head.scheme.decode("latin-1"), "operation": f"{method} {path}",
    }  # fmt: skip
    if mark:
        metadata["query"] = query
    if head.protocol:
        metadata["upgrade"] = text(head.protocol)
    message.more = read_fields


def _hostname(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def read_fields(message: Message) -> None:
    """The second look: all fields, and what their values hold."""
    head = head_of(message)
    metadata = message.metadata
    if metadata is None:
        read(message)
        metadata = message.metadata = message.metadata or {}
        message.more = None
    several = add_fields(metadata, head.pairs)
    if not head.status:
        _add_query(metadata, several)
        _add_cookies(metadata, several)
        if forwarded := metadata.get("x-forwarded-for"):
            metadata["client.address"] = forwarded.partition(",")[0].strip()
        normal = normal_path(metadata["path"])
        if normal != metadata["path"]:
            several["path"] = [metadata["path"], normal]
            several["operation"] = [metadata["operation"], f"{metadata['method']} {normal}"]
    if several:
        message.unclear = Several(several)


class Several(dict[str, tuple[str | None, ...]]):
    """The `Message.unclear` of a message: keys under which a receiver may see one of several values."""

    def __init__(self, several: dict[str, list[str]]) -> None:
        super().__init__({key: tuple(values) for key, values in several.items()})

    def __call__(self, key: str) -> tuple[str | None, ...] | None:
        return self.get(key)


def add_fields(metadata: dict[str, str], pairs: list[Pair], own: Set[str] = _OWN) -> dict[str, list[str]]:
    """
    Add fields under their names; own: keys that are no fields. Gives what a receiver may take those for that are there
    more than once.
    """
    several: dict[str, list[str]] = {}
    for name, value in pairs:
        key = name.decode("latin-1")
        if key in own or key.startswith(OWN_PREFIXES):
            key = f"header.{key}"
        one = text(value)
        if key in metadata:
            several.setdefault(key, [metadata[key]]).append(one)
            metadata[key] += ("; " if key == "cookie" else ", ") + one
        else:
            metadata[key] = one
    for key, values in several.items():
        values.append(metadata[key])
    return several


def _add_query(metadata: dict[str, str], several: dict[str, list[str]]) -> None:
    query = metadata.get("query")
    if query:
        _add(metadata, several, "query.", [_decoded(pair) for pair in query.split("&") if pair])


def _decoded(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    if "%" in pair or "+" in pair:
        return _unquoted(name.replace("+", " ")), _unquoted(value.replace("+", " "))
    return name, value


def _unquoted(value: str) -> str:
    return text(unquote_to_bytes(value.encode("utf-8", "surrogateescape"))) if "%" in value else value


def _add_cookies(metadata: dict[str, str], several: dict[str, list[str]]) -> None:
    cookies = metadata.get("cookie")
    if cookies:
        pairs = []
        for each in cookies.split(";"):
            name, _, value = each.strip(" \t").partition("=")
            if name:
                pairs.append((name, value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value))
        _add(metadata, several, "cookie.", pairs)


def _add(metadata: dict[str, str], several: dict[str, list[str]], prefix: str, pairs: list[tuple[str, str]]) -> None:
    """The first value of each name counts; that a receiver may take another one is kept in `several`."""
    for name, value in pairs:
        for key in {prefix + name, prefix + name.lower()}:
            if metadata.setdefault(key, value) != value:
                several.setdefault(key, [metadata[key]]).append(value)


def normal_path(path: str) -> str:
    """The path as a server may understand it: escapes decoded, backslashes as slashes, // and dots resolved."""
    if not path.startswith("/"):
        return path
    path = _unquoted(path).replace("\\", "/")
    if "//" in path:
        path = re.sub("/{2,}", "/", path)
    if _DOTS.search(path):
        kept: list[str] = []
        parts = path.split("/")[1:]
        for part in parts:
            if part == "..":
                del kept[-1:]
            elif part != ".":
                kept.append(part)
        if parts[-1] in (".", ".."):
            kept.append("")
        path = "/" + "/".join(kept)
    return path
