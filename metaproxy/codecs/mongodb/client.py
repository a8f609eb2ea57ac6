"""
A client's connection: its commands as messages, answers under its own ids, hellos with the proxy's addresses.

Lives here: `ClientSession`. Does not: cutting the stream (`stream`), what documents say (`metadata`, `hello`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final

from metaproxy.codecs.mongodb import bson, hello, metadata, shape, wire
from metaproxy.codecs.mongodb.compressed import IDS, LEAST, pack
from metaproxy.codecs.mongodb.errors import document
from metaproxy.codecs.mongodb.hello import Addresses
from metaproxy.codecs.mongodb.login_names import Login
from metaproxy.codecs.mongodb.stream import MessageStream
from metaproxy.message import Chunk, ErrorKind, FrameError, Hold, Kind, Message

_REQUEST: Final = Kind.REQUEST
_NONE: Final = Hold.NONE
_WATCHED: Final = 16
"""Requests of a client whose answers are looked at, at a time: drivers have one."""
UNSUPPORTED_QUERY: Final = "only hello may come as OP_QUERY; this driver needs an upgrade to speak OP_MSG"


class Command(Message):
    """A command. Its shape costs more than its other metadata, and follows from nothing but these."""

    __slots__ = ()

    def read(self) -> None:
        """Reads what may not be clear. The shape is made when it is asked for, or all is."""
        if self.metadata is None:
            self.get("command")


class LoginStep(Command):
    """
    A command of a login that passes. What its client sends next is about another user, so it waits for the answer; and
    without an answer it is not known who the client is, so the proxy's own ends its connection.
    """

    __slots__ = ()


class ClientSession(MessageStream):
    """
    shown: what hellos are answered with; `own` of it may be "" for the address at which the client arrived.
    compressors: those that a client may use.
    """

    __slots__ = ("_application", "_compressors", "_hellos", "_login", "_more", "_packs", "_profile", "_shown")

    def __init__(self, max_frame: int, stream_over: int, shown: Addresses, compressors: Sequence[str] = ()) -> None:
        super().__init__(max_frame, stream_over)
        self._shown = shown
        self._compressors = compressors
        self._packs: dict[int, int] = {}
        """Requests that came compressed, by their id -> how: their answers are as well."""
        self._more: Callable[[Message], None] = self._read_metadata
        self._hellos: dict[int, hello.Asked] = {}
        """Hellos that wait for their answer, by id."""
        self._login = Login()
        self._profile: Hashable = None
        self._application = ""

    # -- what clients send

    def _take(self, frame: bytes, own: int, to: int, code: int, messages: list[Message]) -> None:
        message = Command(_REQUEST, frame, own, None, self._more)
        if self._profile is not None:
            message.profile = self._profile
        if code == wire.OP_MSG:
            self._command(message, messages)
        elif code == wire.OP_QUERY:
            self._query(message, messages)
        else:
            raise _unsupported(code)

    def _command(self, message: Message, messages: list[Message]) -> None:
        frame = message.frame
        flags = wire.flags(frame)
        if flags & wire.CHECKSUM and len(frame) < wire.LEAST_CHECKED:
            raise FrameError("an OP_MSG with a checksum and no section")
        at = wire.SECTIONS
        name = metadata.first_name(frame, at + 1 if frame[at] == 0 else wire.body(frame).at)
        if flags & wire.MORE_TO_COME:
            message.kind = Kind.ONEWAY
        elif flags & wire.EXHAUST_ALLOWED:
            message.hold = Hold.EXCHANGE
        messages.append(self._look(name, message, wire.body(frame)) if self._looks_at(name, frame) else message)

    def _query(self, message: Message, messages: list[Message]) -> None:
        collection, body = wire.query(message.frame)
        if collection.endswith(b".$cmd") and metadata.first_name(message.frame, body.at) in metadata.HELLO:
            message = self._look("hello", message, body)
        else:
            error = document(ErrorKind.UNSUPPORTED, UNSUPPORTED_QUERY, "UnsupportedOpQueryCommand")
            message.answer = wire.reply(0, message.id, error)
        messages.append(message)

    def _look(self, name: str, message: Message, body: wire.Body) -> Message:
        """A command whose answer is looked at, or that the server may answer when something happens."""
        frame = message.frame
        if name in metadata.HELLO:
            asked = hello.Asked(frame, body)
            self._application = asked.application or self._application
            self._offer(asked)
            if asked.speculative is not None:
                message = self._step("hello", message, asked.speculative)
            self._watch(message.id, asked)
            if asked.awaits:
                message.hold = Hold.BLOCKING
        elif name in metadata.LOGIN:
            message = self._step(name, message, body)
        elif name == "getMore" and bson.find(frame, *body, b"maxTimeMS") is not None:  # it waits at its cursor's end
            message.hold = Hold.BLOCKING
        return message

    def _step(self, name: str, message: Message, body: wire.Body) -> Message:
        """A step of a login, under a key of its own: see Login."""
        if message.kind is Kind.ONEWAY:
            raise FrameError(f"a {name} of a login that wants no answer")
        key = self._login.sent(name, message.id, message.frame, body)
        return LoginStep(_REQUEST, message.frame, key, None, self._more, hold=Hold.EXCHANGE, profile=message.profile)

    def _looks_at(self, name: str, frame: bytes) -> bool:
        """Whether `_look` is wanted for a command."""
        return name in LOOKED_AT

    def _offer(self, asked: hello.Asked) -> None:
        """What the client may compress by."""
        common = [name for name in asked.compressors if name in self._compressors]
        if common:
            asked.added.append(bson.field("compression", [*common]))
            self._unpacks = frozenset(IDS[name] for name in common)

    def _unpacked(self, data: bytes, at: int, compressor: int) -> None:
        if len(self._packs) >= _WATCHED:
            del self._packs[next(iter(self._packs))]
        self._packs[int.from_bytes(data[at + 4 : at + 8], "little", signed=True)] = compressor

    def _watch(self, id: int, asked: hello.Asked) -> None:
        if len(self._hellos) >= _WATCHED:
            del self._hellos[next(iter(self._hellos))]
        self._hellos[id] = asked

    def _head_end(self, beginning: bytes, size: int) -> int:
        code = wire.op_code(beginning)
        if code != wire.OP_MSG:
            raise _unsupported(code) if code != wire.OP_QUERY else FrameError(UNSUPPORTED_QUERY)
        return wire.head_end(beginning, size - (4 if wire.is_checked(beginning) else 0), self._most)

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        id = int.from_bytes(head[4:8], "little", signed=True)
        message = Command(Kind.STREAM_OPEN, head, id, None, self._more, hold=Hold.EXCHANGE, profile=self._profile)
        if wire.flags(head) & wire.MORE_TO_COME:
            message.oneway = True
        name = metadata.first_name(head, wire.last_body(head).at)
        if name in LOOKED_AT:
            raise FrameError(f"a {name} of {size} bytes; allowed are {self._whole}")
        messages.append(message)
        return id

    # -- what they get

    def send(self, message: Message, id: int) -> bytes:
        if isinstance(message, Chunk):
            if id in self._hellos:
                return self._stream_hello(message, id)
            return self._patched_chunk(message, id)
        frame = message.frame
        key = id
        if id in self._login.steps:
            id = self._login.answered(id, frame)
        if key in self._hellos:
            return self._answer_watched(message, key, id)
        if message.id != id:
            frame = self._patched(frame, wire.with_response_to(frame, id), id)
        if self._packs:
            return self._packed(message, frame, id)
        return frame

    def _answer_watched(self, message: Message, key: int, id: int) -> bytes:
        """The answer to a hello, under its key; id: of the request."""
        asked = self._hellos[key] if message.kind is Kind.STREAM_OPEN else self._hellos.pop(key)
        return self._answer_hello(message.frame, id, asked)

    def _packed(self, message: Message, frame: bytes, id: int) -> bytes:
        """An answer, compressed as its request was, if it is whole."""
        compressor = self._packs.pop(id, 0)
        return (
            frame
            if not compressor or message.kind is Kind.STREAM_OPEN or len(frame) < LEAST
            else pack(frame, compressor)
        )

    def _stream_hello(self, chunk: Chunk, id: int) -> bytes:
        """One more answer to a hello that asked for any number of them (exhaust): a message of its own."""
        asked = self._hellos[id]
        if chunk.kind is not Kind.STREAM_DATA:
            del self._hellos[id]
        if len(chunk.frame) < wire.HEADER:
            return chunk.frame
        return self._answer_hello(chunk.frame, int.from_bytes(chunk.frame[8:12], "little", signed=True), asked)

    def _answer_hello(self, frame: bytes, to: int, asked: hello.Asked) -> bytes:
        code = wire.op_code(frame)
        body = wire.reply_body(frame) if code == wire.OP_REPLY else wire.body(frame)
        written = hello.rewrite(frame, body, self._addresses(), asked)
        own = int.from_bytes(frame[4:8], "little", signed=True)
        if code == wire.OP_REPLY:
            return wire.reply(own, to, written)
        return wire.message(own, to, written, wire.flags(frame) & ~wire.CHECKSUM)

    def _addresses(self) -> Addresses:
        shown = self._shown
        if shown.own:
            return shown
        address = self.facts.get("destination.address", "")
        host = f"[{address}]" if ":" in address else address
        return Addresses(
            shown.translated, f"{host}:{self.facts.get('destination.port', '')}", shown.mongos, shown.shared
        )

    # -- metadata

    def _read_metadata(self, message: Message) -> None:
        self._read_as(tuple(self._login.users.values()), message)

    def _read_as(self, users: tuple[str, ...], message: Message) -> None:
        """users: who has logged in, the last one last; "" for one whose name is not known."""
        frame = message.frame
        if wire.op_code(frame) == wire.OP_QUERY:
            collection, body = wire.query(frame)
            found, several = metadata.read_command(frame, body)
            found["database"] = collection.partition(b".")[0].decode("utf-8", "replace")
            found["operation"] = f"{found['command']} {found['database']}"
        else:
            body = wire.body(frame) if message.kind is not Kind.STREAM_OPEN else wire.last_body(frame)
            found, several = metadata.read_command(frame, body)
        if users and users[-1]:
            found["user"] = users[-1]
        if self._application:
            found["application"] = self._application
        message.metadata = found
        message.more = _read_shape
        if len(users) > 1 or "" in users:
            several = {**several, "user": users if all(users) else ()}
        if several:
            message.unclear = several.get


def _read_shape(message: Message) -> None:
    """The last of the metadata, as it costs most."""
    frame, known = message.frame, message.metadata or {}
    body = wire.query(frame)[1] if wire.op_code(frame) == wire.OP_QUERY else wire.last_body(frame)
    text = shape.shape(frame, body, known.get("operation", ""))
    message.metadata = {**known, "normalized": text, "fingerprint": shape.fingerprint(text)}


LOOKED_AT: Final = metadata.HELLO | metadata.LOGIN | {"getMore"}


def _unsupported(code: int) -> FrameError:
    if code == wire.OP_COMPRESSED:
        return FrameError("a compressed message, where the answer to hello offered no compressor")
    return FrameError(f"opCode {code} from a client; known are OP_MSG (2013) and the OP_QUERY (2004) of a hello")
