"""
What a client gets when the proxy answers in the server's place: SQLSTATE by reason.

Lives here: `code_of`, which of them end the connection. Does not: bytes (`wire`), the state that follows (`client`).
"""

from __future__ import annotations

import re

from metaproxy.message import ErrorKind

CODES: dict[ErrorKind, str] = {
    ErrorKind.NOT_FOUND: "08004", ErrorKind.NO_CLUSTER: "08004", ErrorKind.NO_ENDPOINT: "08001",
    ErrorKind.CONNECT: "08001", ErrorKind.RESET: "08006", ErrorKind.TIMEOUT: "57014", ErrorKind.OVERLOAD: "53300",
    ErrorKind.LIMITED: "53400", ErrorKind.DENIED: "42501", ErrorKind.BAD_REQUEST: "08P01",
    ErrorKind.BAD_RESPONSE: "08P01", ErrorKind.UNSUPPORTED: "0A000", ErrorKind.DRAINING: "57P01",
    ErrorKind.INTERNAL: "XX000",
}  # fmt: skip
"""SQLSTATEs of PostgreSQL's own table, so that drivers raise the exception that they have for it."""
_LOGIN_CODES = {ErrorKind.DENIED: "28000"}
"""Where a login is refused, other words fit better."""
UNCERTAIN = frozenset((ErrorKind.RESET, ErrorKind.TIMEOUT, ErrorKind.BAD_RESPONSE))
"""After these it is not known what the server has done, nor in which state it is."""
_CODE = re.compile(r"[0-9A-Z]{5}")


def is_code(name: str) -> bool:
    return _CODE.fullmatch(name) is not None


def code_of(kind: ErrorKind, name: str, login: bool) -> str:
    """name: a SQLSTATE where the reason has one of its own, else anything."""
    if is_code(name):
        return name
    return _LOGIN_CODES.get(kind, CODES[kind]) if login else CODES[kind]
