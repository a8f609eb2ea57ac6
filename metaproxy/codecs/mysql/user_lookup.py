"""
Users that a server knows: the option `auth_query`.

Lives here: the question for one user, and what its answer says. Does not: the login that waits for it
(`proxy_login`), what servers keep (`kept_passwords`).
"""

from __future__ import annotations

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.kept_passwords import User
from metaproxy.codecs.mysql.packets import packet
from metaproxy.codecs.mysql.text_rows import first_rows
from metaproxy.message import FrameError

NAME = "?"
"""What stands for the name in the text of a question."""
MOST = 1 << 16
"""Bytes of an answer."""
_WANTED = "auth_query must give one row of two columns, a name and what the server keeps of its password"


def question(text: str, name: bytes) -> bytes:
    """The command that asks a server. The name stands there in digits, which mean the same in any mode of SQL."""
    said = text.replace(NAME, f"_utf8mb4 x'{name.hex()}'")
    return packet(bytes((commands.QUERY,)) + said.encode(), 0)


def user_of(frame: bytes, name: bytes) -> User | None:
    """The user that the answer tells of. May raise FrameError."""
    try:
        rows = first_rows(frame)
    except FrameError as error:
        raise FrameError(f"auth_query: {error}") from None
    if rows == []:
        return None
    if rows is None or len(rows) > 1 or len(rows[0]) != 2:
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
