"""
What routes, filters and logs may know of a call: its service and method, its fields, its status.

Lives here: `Metadata`, which reads and changes them. Nothing is decoded before it is asked for. Does not: facts of the
connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from metaproxy.codecs.grpc import status
from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.metadata import KEYS as HTTP_KEYS
from metaproxy.codecs.http.metadata import Several, add_fields, normal_path, text
from metaproxy.codecs.http.model import HttpMessage, head_of, parts
from metaproxy.codecs.http.mutation import mutate
from metaproxy.message import FrameError, Kind, Message, Mutation

KEYS = {
    "service": "of requests: the service, such as `example.v1.Echo`",
    "interface": "the same",
    "method": "of requests: the method",
    "operation": "of requests: service/method; the path where it is no call",
    "timeout": "of requests: milliseconds, where the client gives a limit (grpc-timeout)",
    "path": "of requests: the path as it was sent",
    "http.method": "of requests: POST; another one where it is no call",
    "host": "of requests: host and port that are asked for",
    "authority": "the same",
    "hostname": "of requests: the host without its port, in lower case",
    "scheme": "of requests: `http` or `https`",
    "client.address": "of requests: where they come from, by X-Forwarded-For as far as it is trusted",
    "status": "of answers: HTTP's, 200 for every call",
    "code": "of answers: the status of gRPC by its name, such as `NOT_FOUND`",
    "message": "of answers: the text of grpc-message, decoded",
    "header.<name>": "a field whose name is one of the keys above, or one of HTTP's",
}

_OWN = frozenset(key for key in (*KEYS, *HTTP_KEYS) if "<" not in key) | {"kind"}
_OF_THE_CALL = frozenset(("grpc-status", "grpc-message", "content-type", "te"))
"""Fields that make a call of a message, or end it: no mutation touches them."""
_MADE = frozenset(("query", "target", "status", "http.method", "code", "message"))
"""Keys that can't be changed, or that a call does not have."""
_PATH_KEYS = frozenset(("service", "interface", "method", "operation"))

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_MILLISECONDS: Final = {"H": 3_600_000.0, "M": 60_000.0, "S": 1000.0, "m": 1.0, "u": 1e-3, "n": 1e-6}
_MOST = 99_999_999
_LONGEST: Final = str(_MOST * 1000)


def milliseconds(value: str) -> str | None:
    """What a grpc-timeout allows; None for what is none."""
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        return None
    allowed = int(found[1]) * _MILLISECONDS[found[2]]
    if allowed >= _MOST * 1000:
        return _LONGEST
    return f"{max(allowed, 0.001):.3f}".rstrip("0").rstrip(".")


def timeout(allowed: str) -> str:
    """The grpc-timeout for a number of milliseconds. Raises FrameError for what is none."""
    try:
        number = max(1, round(float(allowed)))
    except (ValueError, OverflowError):
        raise FrameError(f"timeout is {allowed[:40]!r}; it is a number of milliseconds") from None
    if number <= _MOST:
        return f"{number}m"
    return f"{min(_MOST, number // 1000)}S"


class Metadata:
    """aliases: keys for fields, such as Triple's version for tri-service-version."""

    def __init__(self, aliases: Mapping[str, str] | None = None, timeout_fields: tuple[str, ...] = ()) -> None:
        self._aliases = dict(aliases or {})
        self._own = _OWN | self._aliases.keys()
        self._timeout_fields = timeout_fields

    def read(self, message: Message) -> None:
        """The first look at a message: its start line."""
        head = head_of(message)
        message.more = self._read_fields
        if head.status:
            message.metadata = {"status": str(head.status)}
            return
        path, host = text(head.path or head.authority), text(head.authority)
        metadata = message.metadata = {
            "operation": path, "path": path, "http.method": head.method.decode("latin-1"), "host": host,
            "authority": host, "scheme": head.scheme.decode("latin-1"),
        }  # fmt: skip
        service, slash, method = path[1:].rpartition("/")
        if slash:
            metadata["service"] = metadata["interface"] = service
            metadata["method"] = method
            metadata["operation"] = path[1:]

    def _read_fields(self, message: Message) -> None:
        """The second look: all fields, and what their values hold."""
        head = head_of(message)
        metadata = message.metadata
        if metadata is None:
            self.read(message)
            metadata = message.metadata = message.metadata or {}
            message.more = None
        several = add_fields(metadata, head.pairs, self._own)
        if head.status:
            add_end(metadata, _trailers(message), several, self._own)
        else:
            self._add_of_request(metadata, several)
        for alias, field in self._aliases.items():
            if field in metadata:
                metadata[alias] = metadata[field]
                if field in several:
                    several[alias] = several[field]
        if several:
            message.unclear = Several(several)

    def _add_of_request(self, metadata: dict[str, str], several: dict[str, list[str]]) -> None:
        host, colon, port = metadata["host"].rpartition(":")
        metadata["hostname"] = (host if colon and port.isdigit() else metadata["host"]).lower()
        if forwarded := metadata.get("x-forwarded-for"):
            metadata["client.address"] = forwarded.partition(",")[0].strip()
        if (allowed := metadata.get("grpc-timeout")) is not None:
            if (found := milliseconds(allowed)) is not None:
                metadata["timeout"] = found
        else:
            for field in self._timeout_fields:
                if field in metadata:
                    metadata["timeout"] = metadata[field]
        _add_normal(metadata, several)

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """The canonical frame with changed fields; what stands in the path changes that. May raise FrameError."""
        set: dict[str, str] = {}
        changes: dict[str, str] = {}
        for key, value in mutation.set.items():
            name = self._field(key)
            if name in _PATH_KEYS:
                changes[name] = value
            else:
                set[name] = timeout(value) if key.lower() == "timeout" else value
        if changes:
            set["path"] = _path(message, changes)
        remove = tuple(self._field(key) for key in mutation.remove)
        for name in remove:
            if name in _PATH_KEYS:
                raise FrameError(f"{name} can't be removed from a call")
        return mutate(message, Mutation(set, remove))

    def _field(self, key: str) -> str:
        """The key of HTTP for one of ours. Raises FrameError for what can't be changed."""
        name = key.lower()
        if name.removeprefix("header.") in _OF_THE_CALL:
            raise FrameError(f"{name} belongs to the call: it can't be changed")
        if name in _MADE:
            raise FrameError(f"{name} can't be changed: a call has service, method, path, host, timeout and fields")
        if name == "timeout":
            return "grpc-timeout"
        return self._aliases.get(name, name)


def add_end(
    metadata: dict[str, str],
    trailers: list[Pair] | None,
    several: dict[str, list[str]] | None = None,
    own: frozenset[str] = _OWN,
) -> None:
    """Add trailers to what is known of an answer, and what its status is."""
    if trailers:
        found = add_fields(metadata, trailers, own)
        if several is not None:
            several.update(found)
        code = status.code_in(trailers)
        if code is not None:
            metadata["grpc-status"] = text(code)
    if (given := metadata.get("grpc-status")) is not None:
        metadata["code"] = status.NAMES[status.number_of(given.encode("utf-8", "surrogateescape"))]
    if (said := metadata.get("grpc-message")) is not None:
        metadata["message"] = status.decoded(said)


def _trailers(message: Message) -> list[Pair] | None:
    """Those of a whole answer."""
    if isinstance(message, HttpMessage) and message.head is not None:
        return message.trailers
    return parts(message)[2] if message.kind in (Kind.RESPONSE, Kind.ERROR) else None


def _add_normal(metadata: dict[str, str], several: dict[str, list[str]]) -> None:
    """A server may read another path than the one that was sent: with escapes decoded, without a query."""
    path = metadata["path"]
    normal = normal_path(path.partition("?")[0])
    if normal == path:
        return
    several["path"] = [path, normal]
    service, slash, method = normal[1:].rpartition("/")
    several["operation"] = [metadata["operation"], normal[1:] if slash else normal]
    for key, value in (("service", service), ("interface", service), ("method", method)):
        if slash or key in metadata:
            several[key] = [*([metadata[key]] if key in metadata else ()), value]


def _path(message: Message, changes: Mapping[str, str]) -> str:
    """The path of a call to another service or method."""
    head = head_of(message)
    if head.status:
        raise FrameError(f"{min(changes)} is not of an answer")
    service, slash, method = text(head.path)[1:].rpartition("/")
    if "operation" in changes:
        service, slash, method = changes["operation"].rpartition("/")
    service = changes.get("service", changes.get("interface", service))
    method = changes.get("method", method)
    if not slash or not service or not method or "/" in method or "?" in service + method:
        raise FrameError(f"no path of a call: service {service[:80]!r}, method {method[:80]!r}")
    return f"/{service}/{method}"
