"""
Who logs in on a connection whose login passes through the proxy: read from the conversation, believed once it is done.

Lives here: `Login`, `full_name`, `scram_user`. Does not: checking a proof; that is the server's.
"""

from __future__ import annotations

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.codecs.mongodb.identity import EXTERNAL
from metaproxy.message import FrameError


class Login:
    """user: who has logged in, as `name@database` only where the database is not admin; "" for nobody."""

    __slots__ = ("_claimed", "_id", "_leaves", "pending", "user")

    def __init__(self) -> None:
        self.user = ""
        self.pending = False
        self._claimed = ""
        self._id = 0
        self._leaves = False

    def hello(self, id: int, frame: bytes, speculative: wire.Body) -> None:
        """The first message of a login within a hello (speculativeAuthenticate)."""
        self._begin(id, frame, speculative)

    def sent(self, name: str, id: int, frame: bytes, body: wire.Body) -> None:
        """A command of a login."""
        self._leaves = name == "logout"
        if name in ("saslStart", "authenticate"):
            self._begin(id, frame, body)
        self.pending, self._id = True, id

    def _begin(self, id: int, frame: bytes, body: wire.Body) -> None:
        fields = {element.name: element for element in bson.elements(frame, *body)}
        name = ""
        if b"user" in fields:  # authenticate, with a certificate
            name = bson.text(frame, fields[b"user"]) or ""
        elif b"payload" in fields:
            name = scram_user(bson.binary(frame, fields[b"payload"]) or b"")
        place = fields.get(b"db") or fields.get(b"$db")
        database = (bson.text(frame, place) or "") if place is not None else ""
        self._claimed = full_name(name[:256], database or "admin") if name else ""
        self.pending, self._id = True, id

    def answered(self, id: int, frame: bytes) -> None:
        """An answer: whether it ends the login. Raises FrameError if it is no BSON."""
        if not self.pending or id != self._id:
            return
        self.pending = False
        body = wire.reply_body(frame) if wire.op_code(frame) == wire.OP_REPLY else wire.body(frame)
        fields = {element.name: element for element in bson.elements(frame, *body)}
        if b"ok" not in fields or not bson.number(frame, fields[b"ok"]):
            return
        if self._leaves:
            self.user, self._leaves = "", False
        elif b"speculativeAuthenticate" in fields:
            self._of_document(frame, fields[b"speculativeAuthenticate"])
        elif b"done" in fields:
            if bson.number(frame, fields[b"done"]):
                self.user = self._claimed
        elif b"user" in fields:
            self.user = _of_certificate(frame, fields)

    def _of_document(self, frame: bytes, element: bson.Element) -> None:
        """What answers the part of a login in a hello: done where a certificate was all there is to it."""
        if element.type != bson.DOCUMENT:
            return
        inner = {one.name: one for one in bson.elements(frame, element.at, element.stop)}
        if b"conversationId" not in inner and b"user" in inner:
            self.user = _of_certificate(frame, inner)


def _of_certificate(frame: bytes, fields: dict[bytes, bson.Element]) -> str:
    name = bson.text(frame, fields[b"user"]) or ""
    database = bson.text(frame, fields[b"dbname"]) if b"dbname" in fields else None
    return full_name(name, database or EXTERNAL) if name else ""


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
