"""
Who may ask the admin API what.

Lives here: bearer tokens; what keeps a web page in the operator's browser from using the API: the checks of the Host
and Origin headers. Does not: the API.

- A page of another origin may make a browser send a POST. Browsers say where it comes from: such a write is refused.
- A page may have its own name point at 127.0.0.1 (DNS rebinding), and then reads as if the API were its own origin. The
  name stays in the Host header: names that are not ours are refused. A page has no token, so with tokens this is moot.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable, Iterable

from metaproxy.admin.resource import HttpError
from metaproxy.config.model import Tokens

Header = Callable[[str], str | None]
"""Name -> value, None when it is not there."""


class Guard:
    """
    tokens: an object with `read` and `write`, each a text or None, or None when everybody may ask everything; without
    `read` only `write` reads, without `write` nothing can be changed. names: host names under which the API may be
    reached, besides IP addresses, localhost and the machine's own.
    """

    def __init__(self, tokens: Tokens | None = None, names: Iterable[str] = ()) -> None:
        self._guarded = tokens is not None
        self._read = None if tokens is None else _secret(tokens.read)
        self._write = None if tokens is None else _secret(tokens.write)
        self._names = {name.lower() for name in (*names, socket.gethostname()) if name}

    def check(self, method: str, header: Header, open: bool = False) -> None:
        """Raise HttpError unless the request may be answered. open: whether reading needs no token."""
        writes = method != "GET"
        if self._guarded:
            if writes or not open:
                self._check_token(header, writes)
        else:
            self._check_host(header)
        if writes:
            _check_origin(header)

    def _check_token(self, header: Header, writes: bool) -> None:
        scheme, _, given = (header("authorization") or "").partition(" ")
        token = given.strip().encode("utf-8", "surrogateescape")
        # Both are compared, whatever the first says: so the time it takes reveals nothing.
        is_write = _same(self._write, token)
        is_read = _same(self._read, token)
        if scheme.lower() != "bearer" or not (is_write or is_read):
            challenge = {"WWW-Authenticate": 'Bearer realm="metaproxy"'}
            raise HttpError(401, "no valid token; send `Authorization: Bearer TOKEN`", "Authorization", challenge)
        if writes and not is_write:
            raise HttpError(403, "this token only reads", "Authorization")

    def _check_host(self, header: Header) -> None:
        host = header("host")
        if host is None:  # HTTP/1.0; no browser
            return
        name = _name(host)
        if name not in self._names and not _is_ours(name):
            text = f"{name[:200]!r} is no name of this API; use its IP address or localhost, or give it tokens"
            raise HttpError(421, text, "Host")


def _secret(value: str | None) -> bytes | None:
    return value.encode("utf-8", "surrogateescape") if value else None


def _same(secret: bytes | None, token: bytes) -> bool:
    return hmac.compare_digest(secret if secret is not None else b"\x00none", token) and secret is not None


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_ours(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(header: Header) -> None:
    origin = header("origin")
    if origin is not None and origin.partition("://")[2].lower() != (header("host") or "").lower():
        raise HttpError(403, f"a page of {origin[:200]} may not change anything here", "Origin")
    if (header("sec-fetch-site") or "none") not in ("none", "same-origin"):
        raise HttpError(403, "a page of another site may not change anything here", "Sec-Fetch-Site")
