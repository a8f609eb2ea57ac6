"""
The session of a connection, with what came to the contract later filled in.

Lives here: `new_session`. Does not: what sessions do (codecs).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from weakref import WeakSet

from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import ErrorKind, Message, Side


def _nothing() -> bytes:
    return b""


def _no_messages() -> list[Message]:
    return []


def _no_word(id: int, kind: ErrorKind | None, text: str) -> bytes | None:
    return None


def _no_credit(id: int, size: int) -> None:
    """Only asked where flow is 'stream'."""


def _none_unsent(id: int) -> int:
    return 0


def _no_farewell(kind: ErrorKind, text: str) -> bytes:
    return b""


def _no_change(profile: Hashable) -> bytes | None:
    return None


def _no_beat(now: float) -> None:
    """Only asked where the codec has `beats`."""


_LATER: dict[str, object] = {
    "beat": _no_beat,
    "capacity": 0,
    "change": _no_change,
    "credit": _no_credit,
    "eof": _no_messages,
    "facts": {},
    "farewell": _no_farewell,
    "fenced": False,
    "flow": "connection",
    "in_transaction": True,
    "owed": _nothing,
    "owes": False,
    "reset": _no_word,
    "start_tls": False,
    "tls_rest": b"",
    "unread": False,
    "unsent_bytes": _none_unsent,
    "welcome": None,
}
"""What a session may lack that was written before these were in the contract, and what it then does."""

_whole: WeakSet[type] = WeakSet()
"""Classes of sessions that lack nothing."""


def new_session(codec: ICodec, side: Side, max_frame: int, facts: Mapping[str, str]) -> ISession:
    """
    A session of the codec for one connection that can be asked all that the contract has. facts: of the connection.
    Raises AttributeError for a session that lacks some of it and can't be given it, as its __slots__ leave no place.
    """
    session: ISession = codec.session(side, max_frame)
    kind = type(session)
    if kind not in _whole:
        missing = [name for name in _LATER if not hasattr(session, name)]
        for name in missing:
            setattr(session, name, _LATER[name])
        if not missing:
            _whole.add(kind)
    session.facts = facts
    return session
