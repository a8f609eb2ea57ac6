"""
MongoDB: what the proxy asks of a codec.

Lives here: `MongoDB`, its options, error answers. docs/reference/codecs/mongodb.md describes it for users. Does not:
messages (`stream`, `wire`), connections (`client`, `server`), metadata, hellos, the list of errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Final, Literal

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.mongodb import answered, bson, errors, metadata, wire
from metaproxy.codecs.mongodb.client import ClientSession, LoginStep
from metaproxy.codecs.mongodb.compressed import IDS, missing
from metaproxy.codecs.mongodb.hello import Addresses, traits
from metaproxy.codecs.mongodb.server import ServerSession
from metaproxy.codecs.mongodb.shared_client import AUTH_QUERY, LocalError, Lookup, SharedClient
from metaproxy.codecs.mongodb.users import users as listed_users
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Kind, Message, Side
from metaproxy.units import Bytes, Option

_SAFE: Final = metadata.READS | {AUTH_QUERY}
_STREAM_OVER: Final = Bytes(1 << 20)


class MongoDB(Codec):
    """MongoDB's wire protocol: OP_MSG, and the OP_QUERY of a first hello."""

    name = "mongodb"
    max_id = (1 << 31) - 1
    connections = "pinned"
    stateful = True
    mutable = "commands pass as they are"
    keys = metadata.KEYS
    open_keys = False
    topologies = ("replica_set",)

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
        users: Annotated[
            Mapping[str, str] | None,
            Option(
                "Who may log in at the proxy: `{NAME: {secret: SECRET}}`. Servers get the cluster's `credentials`, and "
                "clients share connections. See [Logins at the proxy](#logins-at-the-proxy).",
                secret=True,
            ),
        ] = None,
        auth_query: Annotated[
            bool,
            Option(
                "Ask a server for users that `users` do not have (`usersInfo`). See [Users that the server "
                "knows](#users-that-the-server-knows)."
            ),
        ] = False,
        certificates: Annotated[
            list[str] | None,
            Option(
                "Subjects of clients' certificates that log in by MONGODB-X509, such as `CN=app,O=Example`, or `*` for "
                "all. See [Certificates](#certificates).",
                default="none",
            ),
        ] = None,
        mode: Annotated[
            Literal["pinned", "shared"] | None,
            Option(
                "`pinned`: each client has a connection of its own, and its login passes. `shared`: connections serve "
                "one command of any client after the other; without `users` no login is needed. A cluster with a "
                "protocol of its own has the mode of its listener.",
                default="`shared` with `users`, else `pinned`",
            ),
        ] = None,
        present: Annotated[
            Literal["replica_set", "mongos"],
            Option(
                "What a replica set behind one address looks like to drivers: `replica_set`: one with a single member; "
                "`mongos`: a mongos, to which they send commands with any read preference."
            ),
        ] = "replica_set",
        compressors: Annotated[
            list[str] | None,
            Option(
                "What clients may compress by, and get answers compressed by: of `zlib`, `zstd` and `snappy`. The last "
                "two need the extra `compression`. See [Compression](#compression).",
                default="none",
            ),
        ] = None,
        stream_over: Annotated[
            Bytes,
            Option("Larger messages are passed on as they come, piece by piece.", least="64KiB"),
        ] = _STREAM_OVER,
    ) -> None:
        for address in [*(hosts or {}), *(hosts or {}).values(), *([advertise] if advertise else [])]:
            if not str(address).rpartition(":")[0] or not str(address).rpartition(":")[2].isdecimal():
                raise ValueError(f"{address!r} is no address; write host:port")
        if present not in ("replica_set", "mongos"):
            raise ValueError(f"present is {present!r}; write replica_set or mongos")
        if mode not in (None, "pinned", "shared"):
            raise ValueError(f"mode is {mode!r}; write pinned or shared")
        ends = users is not None or auth_query or bool(certificates)
        if hosts and (ends or mode == "shared" or present == "mongos"):
            what = "with hosts a driver picks servers itself, over connections of its own"
            others = "users, auth_query, certificates, mode and present"
            raise ValueError(f"{what}: leave out {others}, or write advertise instead of hosts")
        if ends and mode == "pinned":
            what = "with users, auth_query or certificates the login ends at the proxy"
            raise ValueError(f"{what}: leave out mode, or write mode: shared")
        for name in compressors or ():
            if name not in IDS:
                raise ValueError(f"compressors has {name!r}; write some of {', '.join(sorted(IDS))}")
            if text := missing(name):
                raise ValueError(text)
        self._compressors = tuple(compressors or ())
        self._users = listed_users(users, auth_query, certificates or ())
        self._shared = mode == "shared" or ends
        if self._shared:
            self.connections = "transaction"
            self.login_as = True
            self.keeps_keys = True
        translated = {str(member): str(own) for member, own in (hosts or {}).items()}
        self._shown = Addresses(translated, advertise, present == "mongos", self._shared)
        self._follows = not hosts and not self._shared
        self._behind: dict[str, float] = {}
        self._stream_over = stream_over

    def detect(self, data: bytes) -> bool | None:
        """The opCode of the first message, which answers nothing."""
        if len(data) < wire.HEADER:
            return None if data[8:12] == b"\0\0\0\0"[: len(data[8:12])] else False
        _, _, to, code = wire.HEAD.unpack_from(data)
        return to == 0 and code in (wire.OP_MSG, wire.OP_QUERY)

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.SERVER:
            return ServerSession(max_frame, self._stream_over, self._shared, self._follows)
        if self._shared:
            return SharedClient(max_frame, self._stream_over, self._shown, self._compressors, self._users)
        return ClientSession(max_frame, self._stream_over, self._shown, self._compressors)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """name: a codeName, see errors.CODES."""
        if kind is ErrorKind.RESET and not self._shared:
            return FinalFrame()  # as without a proxy: the connection is gone, and what is under way on it
        if request.kind is Kind.ONEWAY or getattr(request, "oneway", False):
            return b""
        if name not in errors.CODES:
            name = errors.NAMES[kind]
            if kind is ErrorKind.NO_ENDPOINT and metadata.command_of(request.frame) == "getMore":
                name = "CursorNotFound"  # drivers begin a change stream again behind it
        document = errors.document(kind, text, name, labels(request.frame, name))
        answer = wire.answer(wire.op_code(request.frame), 0, wire.request_id(request.frame), document)
        if isinstance(request, LoginStep):
            return FinalFrame(answer)
        return LocalError(Kind.ERROR, answer, request.id) if isinstance(request, Lookup) else answer

    def knows(self, name: str) -> bool:
        return name in errors.CODES

    def safe(self, request: Message) -> bool:
        """Reads outside of transactions; where clients share connections, as no other can be tried again."""
        command = request.get("command")
        if not self._shared or request.get("transaction") is not None:
            return False
        return command in _SAFE or (command == "aggregate" and not metadata.writes(request.frame))

    def repeatable(self, request: Message) -> bool:
        """Also a write with a number of its session, outside of transactions: servers know what they have executed."""
        if self.safe(request):
            return True
        if not self._shared or request.kind is Kind.ONEWAY or wire.op_code(request.frame) != wire.OP_MSG:
            return False
        body = wire.last_body(request.frame)
        fields = {element.name for element in bson.select(request.frame, *body, _NUMBERED)}
        return fields >= {b"lsid", b"txnNumber"} and b"autocommit" not in fields

    def cache_key(self, request: Message) -> Hashable | None:
        """What a read asks, without who asks; of those only that leave no cursor behind."""
        if request.kind is not Kind.REQUEST or wire.op_code(request.frame) != wire.OP_MSG:
            return None
        return metadata.question(request.frame, wire.body(request.frame))

    def comparable(self, answer: Message) -> bytes | None:
        """The document without what differs from server to server, and from time to time."""
        return answered.comparable(answer.frame) if answer.kind in (Kind.RESPONSE, Kind.ERROR) else None

    def confidential(self, request: Message) -> bool:
        command = request.get("command")
        if command in metadata.HELLO:
            return b"\x03speculativeAuthenticate\0" in request.frame
        if command == "usersInfo":
            return b"showCredentials\0" in request.frame
        return command in metadata.CONFIDENTIAL

    def probe(self) -> Message:
        frame = wire.message(1, 0, bson.document({"hello": 1, "$db": "admin"}))
        return Message(Kind.REQUEST, frame, 1, {"command": "hello", "database": "admin"})

    def alive(self, answer: Message) -> bool:
        return answer.kind is not Kind.ERROR

    def inquiry(self, topology: str) -> Message:
        return self.probe()

    def traits(self, answer: Message) -> Mapping[str, str]:
        return traits(answer.frame, wire.body(answer.frame), self._behind)


def labels(frame: bytes, name: str) -> list[str]:
    """What drivers go by to try again: see errors.RETRYABLE."""
    if name in errors.OVERLOADED:
        return ["SystemOverloadedError", "RetryableError"]
    if name not in errors.RETRYABLE or wire.op_code(frame) != wire.OP_MSG:
        return []
    try:
        body = wire.last_body(frame)
        fields = {element.name for element in bson.elements(frame, *body)}
    except FrameError:
        return []
    command = metadata.first_name(frame, body.at)
    if command == "getMore":
        return ["ResumableChangeStreamError"]
    if b"autocommit" in fields and command not in _ENDS:
        return ["TransientTransactionError"]
    return ["RetryableWriteError"] if b"txnNumber" in fields else []


_NUMBERED: Final = frozenset((b"lsid", b"txnNumber", b"autocommit"))
_ENDS: Final = ("commitTransaction", "abortTransaction")
"""They may be sent again, the rest of a transaction may not."""
