"""
Users that a server knows: the option `auth_query`.

Lives here: the question for one user, and what its answer says. Does not: the login that waits for it
(`pooled_client`).
"""

from __future__ import annotations

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.metadata import steps
from metaproxy.codecs.postgres.users import User
from metaproxy.message import FrameError


def question(text: str, name: str) -> bytes:
    """The messages that ask a server; name is what `$1` in the text stands for."""
    value = name.encode("utf-8", "replace")
    bound = b"\0\0" + b"\0\0" + b"\0\1" + wire.LENGTH.pack(len(value)) + value + b"\0\0"
    return b"".join(
        (
            wire.message(b"P", b"\0" + text.encode() + b"\0\0\0"),
            wire.message(b"B", bound),
            wire.message(b"E", b"\0\0\0\0\0"),
            wire.message(b"S"),
        )
    )


def user_of(frame: bytes, name: str) -> User | None:
    """The user that the answer tells of: its name and what is kept of its password. May raise FrameError."""
    rows = [wire.columns(frame[at:stop]) for kind, at, stop in steps(frame) if kind == b"D"]
    if not rows:
        return None
    if len(rows) > 1 or len(rows[0]) != 2:
        raise FrameError("auth_query must give one row of two columns, a name and what is kept of its password")
    known, kept = rows[0]
    if known != name.encode() or not kept:  # a user that may not log in by a password
        return None
    try:
        return User(name, kept.decode())
    except ValueError:
        raise FrameError(f"auth_query gives no password of {name!r} in a form that is known") from None
