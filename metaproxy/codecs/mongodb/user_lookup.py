"""
Users that a server knows: the option `auth_query`.

Lives here: the question for one user (`usersInfo`), and what its answer says. Does not: the login that waits for it
(`shared_client`, `users`).
"""

from __future__ import annotations

import base64
import binascii

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.codecs.mongodb.identity import EXTERNAL
from metaproxy.codecs.scram import MOST_ITERATIONS, Verifier
from metaproxy.message import FrameError

_MOST_USERS = 1


def question(id: int, user: str, database: str) -> bytes:
    """The message that asks a server."""
    wanted: bson.Value = {"user": user, "db": database}
    return wire.message(id, 0, bson.document({"usersInfo": wanted, "showCredentials": True, "$db": "admin"}))


def verifier_of(frame: bytes, user: str, database: str, mechanism: str) -> Verifier | None:
    """
    What the answer tells of the user's password; None for no such user, or one that may not log in so. Raises
    FrameError for what is no such answer.
    """
    kept = _credentials(frame, user, database).get(mechanism.encode())
    if kept is None or kept.type != bson.DOCUMENT:
        return None
    return _verifier(frame, _fields(frame, kept.at, kept.stop))


def has_certificate(frame: bytes, subject: str) -> bool:
    """Whether the answer tells of a user with that subject of its certificate. Raises FrameError."""
    kept = _credentials(frame, subject, EXTERNAL).get(b"external")
    return kept is not None and bool(bson.number(frame, kept))


def _credentials(frame: bytes, user: str, database: str) -> dict[bytes, bson.Element]:
    """What is kept of a user, by mechanism; nothing for one that there is not."""
    found = _fields(frame, *wire.body(frame))
    users = [one for one in _array(frame, found.get(b"users")) if one.type == bson.DOCUMENT]
    if not users:
        return {}
    if len(users) > _MOST_USERS:
        raise FrameError("auth_query: the server tells of more than one user")
    said = _fields(frame, users[0].at, users[0].stop)
    if _text(frame, said.get(b"user")) != user or _text(frame, said.get(b"db")) != database:
        raise FrameError("auth_query: the server tells of another user")
    credentials = said.get(b"credentials")
    if credentials is None or credentials.type != bson.DOCUMENT:
        raise FrameError("auth_query: the server shows no credentials")
    return _fields(frame, credentials.at, credentials.stop)


def _verifier(frame: bytes, kept: dict[bytes, bson.Element]) -> Verifier:
    count = bson.number(frame, kept[b"iterationCount"]) if b"iterationCount" in kept else None
    salt, stored, server = (_binary(frame, kept.get(name)) for name in (b"salt", b"storedKey", b"serverKey"))
    if not count or not 0 < count <= MOST_ITERATIONS or not (salt and stored and server):
        raise FrameError("auth_query: the server shows credentials that are none of SCRAM")
    return Verifier(salt, int(count), stored, server)


def _fields(frame: bytes, at: int, end: int) -> dict[bytes, bson.Element]:
    return {element.name: element for element in bson.elements(frame, at, end)}


def _array(frame: bytes, element: bson.Element | None) -> list[bson.Element]:
    if element is None or element.type != bson.ARRAY:
        raise FrameError("auth_query: the server's answer has no users")
    return list(bson.elements(frame, element.at, element.stop))


def _text(frame: bytes, element: bson.Element | None) -> str | None:
    return bson.text(frame, element) if element is not None else None


def _binary(frame: bytes, element: bson.Element | None) -> bytes:
    text = _text(frame, element) or ""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
