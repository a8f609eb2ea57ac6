"""
MongoDB: what the proxy asks of a codec.

Lives here: `MongoDB`, its options, error answers. docs/reference/codecs/mongodb.md describes it for users. Does not:
messages (`stream`, `wire`), connections (`client`, `server`), metadata, hellos, the list of errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.mongodb import bson, errors, metadata, wire
from metaproxy.codecs.mongodb.client import ClientSession
from metaproxy.codecs.mongodb.hello import serves_as
from metaproxy.codecs.mongodb.server import ServerSession, failure
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side
from metaproxy.units import Bytes, Option

_STREAM_OVER: Final = Bytes(1 << 20)
_ROLES: Final = ("any", "primary", "secondary")


class MongoDB(Codec):
    """MongoDB's wire protocol: OP_MSG, and the OP_QUERY of a first hello."""

    name = "mongodb"
    max_id = (1 << 31) - 1
    connections = "pinned"
    stateful = True
    mutable = "commands pass as they are"
    keys = metadata.KEYS
    open_keys = False

    def __init__(
        self,
        hosts: Annotated[
            Mapping[str, str] | None,
            Option(
                "For a replica set whose members are each reached through a listener of their own: the address of each "
                "member, as its configuration has it, and the proxy's for it. See [Addresses](#addresses)."
            ),
        ] = None,
        advertise: Annotated[
            str,
            Option(
                "Without `hosts`: the address of the listener as clients know it, such as `db.example:27017`.",
                default="where a client's connection arrived",
            ),
        ] = "",
        role: Annotated[
            Literal["any", "primary", "secondary"],
            Option(
                "On a cluster: what a server must be, by its own hello, for a health check of `kind: codec` to find it "
                "healthy; its connections end when it is that no more."
            ),
        ] = "any",
        stream_over: Annotated[
            Bytes,
            Option("Larger messages are passed on as they come, piece by piece.", least="64KiB"),
        ] = _STREAM_OVER,
    ) -> None:
        if role not in _ROLES:
            raise ValueError(f"role is {role!r}; write any, primary or secondary")
        for address in [*(hosts or {}), *(hosts or {}).values(), *([advertise] if advertise else [])]:
            if not str(address).rpartition(":")[0] or not str(address).rpartition(":")[2].isdecimal():
                raise ValueError(f"{address!r} is no address; write host:port")
        self._hosts = {str(member): str(own) for member, own in (hosts or {}).items()}
        self._advertise = advertise
        self._role = role
        self._stream_over = stream_over

    def detect(self, data: bytes) -> bool | None:
        """The opCode of the first message, which answers nothing."""
        if len(data) < wire.HEADER:
            return None if data[8:12] == b"\0\0\0\0"[: len(data[8:12])] else False
        _, _, to, code = wire.HEAD.unpack_from(data)
        return to == 0 and code in (wire.OP_MSG, wire.OP_QUERY)

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.SERVER:
            return ServerSession(max_frame, self._stream_over, self._role)
        return ClientSession(max_frame, self._stream_over, self._hosts, self._advertise)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        """name: a codeName, see errors.CODES."""
        if request.kind is Kind.ONEWAY or getattr(request, "oneway", False):
            return b""
        name = name if name in errors.CODES else errors.NAMES[kind]
        document = errors.document(kind, text, name, labels(request.frame, name))
        return wire.answer(wire.op_code(request.frame), 0, request.id, document)

    def knows(self, name: str) -> bool:
        return name in errors.CODES

    def confidential(self, request: Message) -> bool:
        command = request.get("command")
        if command in metadata.HELLO:
            return b"\x03speculativeAuthenticate\0" in request.frame
        return command in metadata.CONFIDENTIAL

    def probe(self) -> Message:
        frame = wire.message(1, 0, bson.document({"hello": 1, "$db": "admin"}))
        return Message(Kind.REQUEST, frame, 1, {"command": "hello", "database": "admin"})

    def alive(self, answer: Message) -> bool:
        """A server that has the cluster's role."""
        try:
            body = wire.body(answer.frame)
            if self._role == "any":
                return failure(answer.frame, body) is None
            return serves_as(answer.frame, body) == self._role
        except FrameError:
            return False


def labels(frame: bytes, name: str) -> list[str]:
    """What drivers go by to try again: see errors.RETRYABLE."""
    if name not in errors.RETRYABLE or wire.op_code(frame) != wire.OP_MSG:
        return []
    try:
        fields = {element.name for element in bson.elements(frame, *wire.last_body(frame))}
    except FrameError:
        return []
    if b"autocommit" in fields and metadata.first_name(frame, wire.last_body(frame).at) not in _ENDS:
        return ["TransientTransactionError"]
    return ["RetryableWriteError"] if b"txnNumber" in fields else []


_ENDS: Final = ("commitTransaction", "abortTransaction")
"""They may be sent again, the rest of a transaction may not."""
