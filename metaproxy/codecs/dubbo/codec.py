"""
Dubbo: its frames, what they are, and the codec that the proxy asks.

    | da bb | flags | status | id 8 | length 4 | body |       big-endian; length counts the body
    flags: 0x80 request, 0x40 two-way, 0x20 event, 0x1f serialization

Source: org.apache.dubbo.remoting.exchange.codec.ExchangeCodec (2.7, 3.3). Lives here: the frame, heartbeats and events,
error answers, mutations. Does not: how a body is written (`body`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.dubbo.body import HEAD, Call, Fastjson2, Hessian2, Serialization, shown
from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side

MAGIC: Final = 0xDABB
REQUEST, TWO_WAY, EVENT, SERIALIZATION = 0x80, 0x40, 0x20, 0x1F
OK: Final = 20

STATUSES: Final = {
    "ok": 20, "serialization_error": 25, "client_timeout": 30, "server_timeout": 31, "channel_inactive": 35,
    "bad_request": 40, "bad_response": 50, "service_not_found": 60, "service_error": 70, "server_error": 80,
    "client_error": 90, "server_threadpool_exhausted": 100,
}  # fmt: skip
"""Dubbo's names of the statuses, which `Reply.name` may be; 'timeout' stands for server_timeout."""

ERRORS: Final = {
    ErrorKind.NOT_FOUND: 60, ErrorKind.NO_CLUSTER: 60, ErrorKind.NO_ENDPOINT: 80, ErrorKind.CONNECT: 80,
    ErrorKind.RESET: 80, ErrorKind.TIMEOUT: 31, ErrorKind.OVERLOAD: 100, ErrorKind.LIMITED: 100,
    ErrorKind.DENIED: 70, ErrorKind.BAD_REQUEST: 40, ErrorKind.BAD_RESPONSE: 50, ErrorKind.UNSUPPORTED: 70,
    ErrorKind.DRAINING: 80, ErrorKind.INTERNAL: 80,
}  # fmt: skip

NAMES: Final = {
    2: "hessian2", 3: "java", 4: "compactedjava", 6: "fastjson", 7: "nativejava", 8: "kryo", 9: "fst",
    10: "native-hessian", 11: "avro", 12: "protostuff", 16: "gson", 18: "jackson", 21: "protobuf-json",
    22: "protobuf", 23: "fastjson2", 25: "kryo2", 27: "msgpack", 28: "fury", 31: "custom-msgpack",
}  # fmt: skip

_BODIES: Final[dict[int, Serialization]] = {2: Hessian2(), 23: Fastjson2()}
_HEAD = struct.Struct(">HBBQI")
_ID = struct.Struct(">Q")
_SIZE = struct.Struct(">I")

_STATUS_NAMES = {number: name for name, number in STATUSES.items()}
_CACHED: dict[bytes, dict[str, str]] = {}
_MAX_CACHED = 4096
"""Heads of calls (service, version, method) whose metadata are kept: the same few come again and again."""
_MAX_CACHED_HEAD = 512


class DubboSession(Session):
    """Frames of one connection. An own loop rather than LengthFramed's: it saves two calls a frame."""

    def __init__(self, side: Side, max_frame: int) -> None:
        self._client = side is Side.CLIENT
        self._max = max_frame
        self._chunks: list[bytes] = []
        self._need = HEAD
        self._serialization = 2

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self._chunks:
            self._chunks.append(data)
            self.buffered += len(data)
            if self.buffered < self._need:
                if self._need == HEAD:  # only a few bytes of a head: they may be wrong already
                    self.error = _bad_magic(b"".join(self._chunks), 0)
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
            self.buffered = 0
        messages: list[Message] = []
        add, unpack, most = messages.append, _HEAD.unpack_from, self._max - HEAD
        at, end, need = 0, len(data), HEAD
        client = self._client
        while end - at >= HEAD:
            magic, flags, status, id, length = unpack(data, at)
            if magic != MAGIC or length > most:
                self.error = _bad_magic(data, at) or FrameError(f"body of {length} bytes; allowed are {most}")
                return messages
            stop = at + HEAD + length
            if stop > end:
                need = HEAD + length
                break
            frame = data[at:stop] if length != end - HEAD else data
            if flags & EVENT:
                add(self._event(frame, flags, status, id))
            elif flags & REQUEST:
                add(Message(Kind.REQUEST if flags & TWO_WAY else Kind.ONEWAY, frame, id, None, _read_call))
                if client:
                    self._serialization = flags & SERIALIZATION
            else:
                add(
                    Message(
                        Kind.RESPONSE if _succeeded(frame, flags, status) else Kind.ERROR, frame, id, None, _read_result
                    )
                )
            at = stop
        if at < end:
            self._hold(data[at:] if at else data, need)
        return messages

    def _hold(self, rest: bytes, need: int) -> None:
        self.error = _bad_magic(rest, 0)
        if self.error is None:
            self._chunks.append(rest)
            self.buffered = len(rest)
            self._need = need

    def _event(self, frame: bytes, flags: int, status: int, id: int) -> Message:
        """
        A heartbeat that wants an answer gets one with its own body, the null of its serialization, whatever that is.
        """
        serialization = flags & SERIALIZATION
        if flags & REQUEST and not self._client and _event_text(frame, serialization) == "R":
            return Message(Kind.DRAIN, frame, id)
        answer = b""
        if flags & REQUEST and flags & TWO_WAY:
            answer = _HEAD.pack(MAGIC, EVENT | serialization, OK, id, len(frame) - HEAD) + frame[HEAD:]
        return Message(Kind.HEARTBEAT, frame, id, answer=answer)

    def send(self, message: Message, id: int) -> bytes:
        frame = message.frame
        if message.id == id:
            return frame
        return frame[:4] + _ID.pack(id) + frame[12:]

    def drain(self) -> bytes:
        """The read-only event: a Dubbo client sends nothing new on this connection."""
        body = {23: b"\0\0\0\x02\x4aR"}.get(self._serialization, b"\x01R")
        serialization = self._serialization if self._serialization in _BODIES else 2
        return _HEAD.pack(MAGIC, REQUEST | EVENT | serialization, 0, 0, len(body)) + body


def _bad_magic(data: bytes, at: int) -> FrameError | None:
    """What is wrong at the first byte that differs, however many are there."""
    for length in (1, 2):
        read = data[at : at + length]
        if not b"\xda\xbb".startswith(read):
            return FrameError(f"magic dabb expected, {read.hex()} read")
    return None


def _event_text(frame: bytes, serialization: int) -> str:
    body = frame[HEAD:]
    if serialization == 23:
        body = body[5:]
    return {b"\x01R": "R", b"R": "R", b"\x01W": "W"}.get(body, "")


def _succeeded(frame: bytes, flags: int, status: int) -> bool:
    """Status 20, and a result that is no throwable."""
    if status != OK:
        return False
    if flags & SERIALIZATION == 2:
        return len(frame) <= HEAD or frame[HEAD] not in (0x90, 0x93)
    body = _BODIES.get(flags & SERIALIZATION)
    return body is None or body.result(frame) not in (0, 3)


def _read_call(message: Message) -> None:
    """What routes ask for most: service and method. The attachments are read when they are asked for."""
    frame = message.frame
    serialization = frame[2] & SERIALIZATION
    end = _head_end(frame) if serialization == 2 else 0
    head = frame[HEAD:end] if end else b""
    known = _CACHED.get(head) if end else None
    if known is not None:
        message.metadata = known
        message.more = _read_attachments
        return
    metadata = message.metadata = {"serialization": NAMES.get(serialization, str(serialization))}
    body = _BODIES.get(serialization)
    if body is None:
        return
    call = body.call(frame)
    metadata.update(_called(call))
    message.more = _read_attachments
    if end:
        if len(_CACHED) >= _MAX_CACHED:
            _CACHED.clear()
        _CACHED[head] = metadata


def _head_end(frame: bytes) -> int:
    """
    Where the first five items of a Hessian 2 body end, if they are short ASCII strings as they nearly always are; 0
    otherwise.
    """
    at = HEAD
    try:
        for _ in range(5):
            length = frame[at]
            if length <= 0x1F:
                at += 1 + length
            elif 0x30 <= length <= 0x33:
                at += 2 + (length - 0x30 << 8 | frame[at + 1])
            else:
                return 0
    except IndexError:
        return 0
    return at if at - HEAD <= _MAX_CACHED_HEAD and at <= len(frame) and frame[HEAD:at].isascii() else 0


def _called(call: Call) -> dict[str, str]:
    return {
        "interface": call.service,
        "method": call.method,
        "operation": f"{call.service}/{call.method}",
        "service.version": call.version,
        "types": call.types,
        "dubbo": call.dubbo,
    }


def _read_attachments(message: Message) -> None:
    """The rest of a call: the real method of a generic one, and the attachments."""
    frame = message.frame
    body = _BODIES[frame[2] & SERIALIZATION]
    metadata = message.metadata = dict(message.metadata or {})
    call = body.call(frame)
    if call.method in ("$invoke", "$invokeAsync"):
        metadata["generic.method"] = body.first_argument(frame, call) or ""
    _add(metadata, body, frame, body.attachments_at(frame, call))


def _read_result(message: Message) -> None:
    frame = message.frame
    serialization = frame[2] & SERIALIZATION
    status = frame[3]
    metadata = message.metadata = {
        "serialization": NAMES.get(serialization, str(serialization)),
        "status": _STATUS_NAMES.get(status, str(status)),
    }
    body = _BODIES.get(serialization)
    if body is None or status != OK:
        return
    result = body.result(frame)
    if result is None:
        raise FrameError("an answer of status 20 without a result type")
    metadata["result"] = str(result)
    if 3 <= result <= 5:
        _add(metadata, body, frame, body.attachments_at(frame, None))


def _add(metadata: dict[str, str], body: Serialization, frame: bytes, at: int) -> None:
    """Attachments, also under their lower-cased name; the codec's own keys stay what they are (C9)."""
    own = set(metadata)
    for key, value, _ in body.attachments(frame, at):
        text = shown(value)
        if text is None:
            continue
        if key in own:
            metadata[f"attachment.{key}"] = text
        else:
            metadata[key] = text
            metadata.setdefault(key.lower(), text)


class Dubbo(Codec):
    """Apache Dubbo's own protocol, dubbo://, of 2.x and 3.x."""

    name = "dubbo"
    mutable = ""
    keys = {
        "interface": "the service's path, mostly the Java interface",
        "method": "the method; of a generic call $invoke or $invokeAsync",
        "generic.method": "the real method of a generic call",
        "service.version": "the service's version in the body",
        "types": "the parameters' JVM descriptors",
        "dubbo": "the client's protocol version, such as 2.0.2",
        "serialization": "its name, such as hessian2",
        "status": "of an answer: ok, service_not_found ...",
        "result": "of an answer with status ok: 0 and 3 throwable, 1 and 4 value, 2 and 5 nothing",
        "ATTACHMENT": "each attachment that is a text, number or truth value, such as version, group, timeout",
        "attachment.KEY": "an attachment whose name is one of the above",
        "operation": "interface/method",
    }

    def session(self, side: Side, max_frame: int) -> DubboSession:
        return DubboSession(side, max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        serialization = request.frame[2] & SERIALIZATION
        status = STATUSES.get("server_timeout" if name == "timeout" else name) or ERRORS[kind]
        body = _BODIES.get(serialization)
        # The others' strings can't be written here. Java reads what follows the head only for its message, and tells
        # the status all the same when there is nothing to read.
        content = body.error(text) if body is not None else b""
        return _HEAD.pack(MAGIC, serialization, status, request.id, len(content)) + content

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """Attachments set and removed. An answer of a client before 2.0.2 has no place for them and stays as it is."""
        frame = message.frame
        flags, status = frame[2], frame[3]
        body = _BODIES.get(flags & SERIALIZATION)
        if body is None or flags & EVENT:
            return frame
        call = None
        if flags & REQUEST:
            call = body.call(frame)
        elif status != OK or (body.result(frame) or 0) < 3:
            return frame
        at = body.attachments_at(frame, call)
        removed = {key for key in mutation.remove if key not in mutation.set}
        entries = {key: raw for key, _, raw in body.attachments(frame, at) if key not in removed}
        entries.update((key, body.write_string(value)) for key, value in mutation.set.items())
        changed = frame[HEAD:at] + body.write_attachments(frame, at, entries)
        return frame[:12] + _SIZE.pack(len(changed)) + changed
