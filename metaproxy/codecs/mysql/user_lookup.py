"""
Users that a server knows: the option `auth_query`.

Lives here: the question for one user, and what its answer says. Does not: the login that waits for it
(`proxy_login`), what servers keep (`kept_passwords`).
"""

from __future__ import annotations

from collections.abc import Iterator

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.kept_passwords import User
from metaproxy.codecs.mysql.packets import EOF, ERR, HEAD, head_of, packet, read_bytes, read_error, read_integer
from metaproxy.message import FrameError

NAME = "?"
"""What stands for the name in the text of a question."""
MOST = 1 << 16
"""Bytes of an answer."""
_NULL = 0xFB
_WANTED = "auth_query must give one row of two columns, a name and what the server keeps of its password"


def question(text: str, name: bytes) -> bytes:
    """The command that asks a server. The name stands there in digits, which mean the same in any mode of SQL."""
    said = text.replace(NAME, f"_utf8mb4 x'{name.hex()}'")
    return packet(bytes((commands.QUERY,)) + said.encode(), 0)


def user_of(frame: bytes, name: bytes) -> User | None:
    """The user that the answer tells of. May raise FrameError."""
    rows = _rows(frame)
    if not rows:
        return None
    if len(rows) > 1 or len(rows[0]) != 2:
        raise FrameError(_WANTED)
    known, kept = rows[0]
    if known != name or not kept:  # a user that may not log in by a password
        return None
    try:
        user = User.kept(name, kept)
    except ValueError as error:
        raise FrameError(f"auth_query gives a password that can't be checked here: {error}") from None
    if user is None:
        kinds = "mysql_native_password, caching_sha2_password"
        raise FrameError(f"auth_query gives no password of a kind that is known: {kinds}")
    return user


def _rows(frame: bytes) -> list[list[bytes | None]]:
    """Those of the first result."""
    packets = _packets(frame)
    first = next(packets, b"\0")
    if first[0] == ERR:
        refusal = read_error(first)
        raise FrameError(f"auth_query failed: {refusal.number} {refusal.text[:200]}")
    columns, _ = read_integer(first, 0)
    for _ in range(columns + 1):  # and the end of them
        next(packets, b"")
    rows: list[list[bytes | None]] = []
    for payload in packets if columns else ():
        if payload[0] == ERR:
            raise FrameError(f"auth_query failed: {read_error(payload).text[:200]}")
        if payload[0] == EOF:
            return rows
        rows.append(_values(payload))
    raise FrameError(_WANTED)


def _packets(frame: bytes) -> Iterator[bytes]:
    at = 0
    while len(frame) - at > HEAD:
        size, _ = head_of(frame, at)
        yield frame[at + HEAD : at + HEAD + size]
        at += HEAD + size


def _values(payload: bytes) -> list[bytes | None]:
    found: list[bytes | None] = []
    at = 0
    while at < len(payload):
        if payload[at] == _NULL:
            found.append(None)
            at += 1
        else:
            value, at = read_bytes(payload, at)
            found.append(value)
    return found
