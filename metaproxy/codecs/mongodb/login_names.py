"""
Who logs in on a connection whose login passes through the proxy: read from the conversation, believed once it is done.

Lives here: `Login`, `full_name`, `scram_user`. Does not: checking a proof; that is the server's.
"""

from __future__ import annotations

import base64
from typing import Final, NamedTuple

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.codecs.mongodb.identity import EXTERNAL
from metaproxy.message import FrameError

_MOST_STEPS: Final = 16
"""Steps of logins of a client that wait for their answer; drivers have one."""
FIRST_KEY: Final = 1 << 32
"""Keys of steps and lookups are no requestIDs, which have 31 bits and a sign: a client may use one of those twice."""


class _User(NamedTuple):
    name: str
    database: str


class Step:
    """A step that waits for its answer. id: its requestID; name: the command; claimed: the user that it names."""

    __slots__ = ("claimed", "id", "name")

    def __init__(self, name: str, id: int, claimed: _User) -> None:
        self.name = name
        self.id = id
        self.claimed = claimed


class Login:
    """
    users: who has logged in, by database, the last one last; servers before MongoDB 6.0 let several do. "": one by a
    mechanism that does not show the name. steps: those that wait for their answer, by a key of each that is no other
    request's.
    """

    __slots__ = ("_claimed", "_key", "steps", "users")

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.steps: dict[int, Step] = {}
        self._key = FIRST_KEY
        self._claimed = _User("", "")  # of the conversation that the server has begun

    def sent(self, name: str, id: int, frame: bytes, body: wire.Body) -> int:
        """
        The key of a command of a login, or of a hello, whose part of a login (speculativeAuthenticate) is at `body`.
        Raises FrameError for one that a server may read otherwise.
        """
        if len(self.steps) >= _MOST_STEPS:
            raise FrameError(f"more than {_MOST_STEPS} steps of a login without an answer")
        self._key += 1
        self.steps[self._key] = Step(name, id, _claimed(frame, body, b"db" if name == "hello" else b"$db"))
        return self._key

    def answered(self, key: int, frame: bytes) -> int:
        """An answer to a step, which may end the login; the step's requestID. Raises FrameError if it is no BSON."""
        step = self.steps.pop(key)
        body = wire.reply_body(frame) if wire.op_code(frame) == wire.OP_REPLY else wire.body(frame)
        fields = {element.name: element for element in bson.elements(frame, *body)}
        if b"ok" in fields and bson.number(frame, fields[b"ok"]):
            self._succeeded(step, frame, fields)
        return step.id

    def _succeeded(self, step: Step, frame: bytes, fields: dict[bytes, bson.Element]) -> None:
        if step.name == "logout":  # of the user of one database
            self.users.pop(step.claimed.database, None)
        elif step.name == "authenticate":
            self._logged_in(_of_certificate(frame, fields))
        elif step.name == "hello":
            said = fields.get(b"speculativeAuthenticate")
            if said is not None and said.type == bson.DOCUMENT:
                inner = {one.name: one for one in bson.elements(frame, said.at, said.stop)}
                self._claimed = step.claimed
                if b"conversationId" not in inner:  # a certificate was all there is to it
                    self._logged_in(_of_certificate(frame, inner))
        else:
            if step.name == "saslStart":
                self._claimed = step.claimed
            if b"done" in fields and bson.number(frame, fields[b"done"]):
                self._logged_in(self._claimed)

    def _logged_in(self, user: _User) -> None:
        self.users.pop(user.database, None)
        self.users[user.database] = full_name(user.name, user.database) if user.name else ""


def _claimed(frame: bytes, body: wire.Body, database: bytes) -> _User:
    """The user that a step names; no name where it names none, or its mechanism does not show it."""
    elements = list(bson.elements(frame, *body))
    fields = {element.name: element for element in elements}
    if len(fields) < len(elements):
        raise FrameError("a field of a login's command is there twice")
    place = fields.get(database)
    found = (bson.text(frame, place) if place is not None else None) or "admin"
    if b"payload" not in fields or b"mechanism" not in fields:
        return _User("", found)
    mechanism, payload = bson.text(frame, fields[b"mechanism"]) or "", _payload(frame, fields[b"payload"])
    if mechanism == "PLAIN":
        return _User(_plain_user(payload)[:256], found)
    return _User(scram_user(payload)[:256] if mechanism.startswith("SCRAM-") else "", found)


def _payload(frame: bytes, element: bson.Element) -> bytes:
    """Bytes, or Base64 of them. Raises FrameError for what a server may read otherwise."""
    text = bson.text(frame, element)
    if text is None:
        return bson.binary(frame, element) or b""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise FrameError("the payload of a login is a text, but no Base64") from None


def _plain_user(payload: bytes) -> str:
    """Of what PLAIN says: for whom, who, a password."""
    parts = payload.split(b"\0")
    try:
        return parts[1].decode() if len(parts) == 3 else ""
    except UnicodeDecodeError:
        raise FrameError("the name of a user is not UTF-8") from None


def _of_certificate(frame: bytes, fields: dict[bytes, bson.Element]) -> _User:
    name = bson.text(frame, fields[b"user"]) if b"user" in fields else None
    database = bson.text(frame, fields[b"dbname"]) if b"dbname" in fields else None
    return _User(name or "", database or EXTERNAL)


def full_name(user: str, database: str) -> str:
    """The name of a server's user for rules and logs: each database has users of its own."""
    return user if database == "admin" and "@" not in user else f"{user}@{database}"


def scram_user(payload: bytes) -> str:
    """The name in the first message of SCRAM: n,,n=NAME,r=... ; "" for another mechanism."""
    for part in payload.split(b",")[:4]:
        if part.startswith(b"n="):
            try:
                return part[2:].decode().replace("=2C", ",").replace("=3D", "=")
            except UnicodeDecodeError:
                raise FrameError("the name of a user is not UTF-8") from None
    return ""
