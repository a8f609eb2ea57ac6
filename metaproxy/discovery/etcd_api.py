"""
etcd's API, version 3, as JSON over HTTP: what it was asked for, and the events of a watch.

Lives here: `Api`, logging in. Does not: when to ask (`etcd_keys`), HTTP (`http_registry`).

JSON was taken, not gRPC: the gateway is part of every etcd from 3.4 on, and a client of its own for gRPC would bring
threads and a copy of etcd's messages.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.clients.http import Answer, HttpFailed
from metaproxy.clients.lines import Lines
from metaproxy.discovery.http_registry import PATIENCE, RegistryError, Servers, json_of
from metaproxy.support.bounded_json import loads

PAGE = 1000
"""Keys of one answer."""
MAX_EVENT = 16 << 20
"""Bytes of one event of a watch: several changes may come in one."""

Value = tuple[str, bytes]


class Page(NamedTuple):
    """A part of the keys. revision: of the whole store; rest: whether there are more behind the last of these."""

    values: Sequence[Value]
    revision: int
    rest: bool


class Event(NamedTuple):
    """
    Changes in their order; None for a key that is gone. revision: of the last of them, 0 for none; store: of the whole
    store, which may be ahead of what was sent.
    """

    values: Sequence[tuple[str, bytes | None]]
    revision: int
    store: int


class Forgotten(RegistryError):
    """Changes since the revision are not known any more: all is to be read again."""


class Api:
    """user: whom to log in as, where there is one; the token is asked for again after each failure."""

    def __init__(self, clock: IReactorTime, servers: Servers, user: str = "", password: str = "") -> None:
        self._clock = clock
        self._servers = servers
        self._login = user, password
        self._token = ""

    def range(self, prefix: str, after: str, revision: int) -> Deferred[Page]:
        """The keys that begin with the prefix, behind the key `after`, as they were at a revision, if one is given."""
        first = after.encode() + b"\0" if after else prefix.encode()
        asked: dict[str, object] = {"key": _text(first), "range_end": _text(_end(prefix)), "limit": PAGE}
        if revision:
            asked["revision"] = str(revision)
        return self._post("/v3/kv/range", asked).addCallback(_page)

    def watch(self, prefix: str, revision: int, seconds: float, received: Callable[[Event], None]) -> Deferred[bool]:
        """
        Events of keys that begin with the prefix, from a revision on. Fires when it has ended: with True after so many
        seconds. Fails with RegistryError, or with what `received` raises of these.
        """
        wanted = {"key": _text(prefix.encode()), "range_end": _text(_end(prefix)), "start_revision": str(revision)}
        body = json.dumps({"create_request": wanted}).encode()
        began = self._clock.seconds()
        wrong: list[RegistryError] = []

        def line(data: bytes) -> None:
            try:
                received(_event(data))
            except RegistryError as error:
                wrong.append(error)
                raise HttpFailed("given up") from error

        def ended(_: Answer) -> bool:
            return self._clock.seconds() - began >= seconds

        def failed(why: Failure) -> bool:
            if wrong:
                raise wrong[0]
            why.trap(RegistryError)
            if self._clock.seconds() - began < seconds:
                self._token = ""
                why.raiseException()
            return True

        lines = Lines(line, MAX_EVENT)

        def watch(headers: list[tuple[str, str]]) -> Deferred[Answer]:
            return self._servers.stream("/v3/watch", seconds, lines.received, headers, body)

        return self._headers().addCallback(watch).addCallbacks(ended, failed)

    def put(self, key: str, value: bytes | None) -> Deferred[object]:
        """Set a key to a value, or remove it. Fires when that is done."""
        if value is None:
            return self._post("/v3/kv/deleterange", {"key": _text(key.encode())})
        return self._post("/v3/kv/put", {"key": _text(key.encode()), "value": _text(value)})

    def close(self) -> None:
        self._servers.close()

    def _post(self, path: str, asked: Mapping[str, object]) -> Deferred[object]:
        body = json.dumps(asked).encode()
        found = self._headers().addCallback(lambda headers: self._servers.ask("POST", path, PATIENCE, headers, body))
        return found.addCallback(json_of).addErrback(self._forget)

    def _headers(self) -> Deferred[list[tuple[str, str]]]:
        user, password = self._login
        if not user or self._token:
            return succeed([("authorization", self._token)] if self._token else [])
        body = json.dumps({"name": user, "password": password}).encode()
        asked = self._servers.ask("POST", "/v3/auth/authenticate", body=body).addCallback(json_of)
        return asked.addCallback(self._logged_in)

    def _logged_in(self, found: object) -> list[tuple[str, str]]:
        token = found.get("token") if isinstance(found, Mapping) else None
        if not isinstance(token, str) or not token:
            raise RegistryError("etcd: an answer to the login without a token")
        self._token = token
        return [("authorization", token)]

    def _forget(self, why: Failure) -> Failure:
        self._token = ""
        return why


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _end(prefix: str) -> bytes:
    """The first key behind all that begin with the prefix, whose last byte can be raised: it is no 0xff in UTF-8."""
    data = prefix.encode()
    return data[:-1] + bytes([data[-1] + 1])


# -- answers


def _page(found: object) -> Page:
    if not isinstance(found, Mapping):
        raise RegistryError("etcd: an answer that is no object")
    listed = found.get("kvs") or []
    values = [_value(one) for one in listed] if isinstance(listed, list) else []
    return Page([(key, value or b"") for key, value in values], _store(found), found.get("more") is True)


def _event(data: bytes) -> Event:
    try:
        found = loads(data)
    except ValueError as error:
        raise RegistryError(f"etcd: an event that is no JSON: {error}") from error
    result = found.get("result") if isinstance(found, Mapping) else None
    if not isinstance(result, Mapping):
        raise RegistryError(f"etcd: {data[:200].decode('utf-8', 'replace')}")
    if result.get("canceled") is True:
        if "compact_revision" in result:
            raise Forgotten("etcd: the revision was compacted")
        raise RegistryError(f"etcd: the watch was refused: {result.get('cancel_reason')!s:.200}")
    listed = result.get("events") or []
    changes = [_change(one) for one in listed] if isinstance(listed, list) else []
    return Event(
        [(key, value) for key, value, _ in changes], max((one[2] for one in changes), default=0), _store(result)
    )


def _change(found: object) -> tuple[str, bytes | None, int]:
    """Key, value and revision. PUT is the default of the field, and so not written."""
    pair = found.get("kv") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(pair, Mapping):
        raise RegistryError("etcd: an event without a key")
    key, value = _value(pair)
    return key, None if found.get("type") == "DELETE" else value, _number(pair.get("mod_revision"))


def _value(found: object) -> tuple[str, bytes]:
    try:
        assert isinstance(found, Mapping)
        return b64decode(found["key"]).decode("utf-8", "backslashreplace"), b64decode(found.get("value", ""))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise RegistryError("etcd: a key or value that is not in base64") from error


def _store(found: Mapping[str, object]) -> int:
    header = found.get("header")
    return _number(header.get("revision") if isinstance(header, Mapping) else None)


def _number(found: object) -> int:
    """A whole number, which is a text in protobuf's JSON where it has 64 bits."""
    if isinstance(found, (str, int)) and str(found).isdecimal() and len(str(found)) < 20:
        return int(found)
    raise RegistryError("etcd: an answer without a revision")
