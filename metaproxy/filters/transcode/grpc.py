"""
Calls of gRPC for requests of HTTP and JSON, by the annotations google.api.http.

Lives here: `GrpcCall`, `paths_of`. Does not: options and where descriptors come from (`grpc_api`), parameters
(`parameters`). Needs the extra `transcode`.
"""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from google.protobuf import any_pb2, json_format
from google.protobuf.message import DecodeError, EncodeError

from metaproxy.codecs.http.model import Head, Pair, head_of, parts, request_head, trailer_pairs, whole
from metaproxy.codecs.protobuf_wire import fields, write
from metaproxy.filters.transcode import answers
from metaproxy.filters.transcode.answers import CODES, STATUSES, Refused
from metaproxy.filters.transcode.calls import Request, check_json
from metaproxy.filters.transcode.descriptors import Api, FieldDescriptor, Method, ProtoMessage
from metaproxy.filters.transcode.http_rules import Rule
from metaproxy.filters.transcode.parameters import as_json, pairs_of
from metaproxy.filters.transcode.paths import Paths, Template
from metaproxy.message import Chunk, FrameError, Kind, Message
from metaproxy.support.bounded_json import loads

TYPE = b"application/grpc"
_HTTP_BODY = "google.api.HttpBody"
_DROPPED = frozenset(
    (
        b"accept", b"accept-encoding", b"content-encoding", b"content-length", b"content-type", b"expect", b"te",
        b"transfer-encoding", b"upgrade", b"connection", b"grpc-encoding", b"grpc-accept-encoding",
    )
)  # fmt: skip
"""Fields of a request that say something of its JSON."""
_OF_THE_CALL = frozenset((b"content-type", b"content-length", b"trailer", b"grpc-encoding", b"grpc-accept-encoding"))
_ENDS = frozenset((b"grpc-status", b"grpc-message", b"grpc-status-details-bin"))
_OF_HTTP = {
    400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED", 429: "UNAVAILABLE",
    502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "UNAVAILABLE",
}  # fmt: skip


_FIELD = re.compile(rb"[!-~][ -~\t]*")


class Style(NamedTuple):
    """How messages and JSON become each other: see the options of the filter."""

    proto_names: bool = False
    defaults: bool = False
    numbers: bool = False
    lenient: bool = False
    lines: bool = False
    max_message: int = 16 << 20


class Binding:
    """A method and one of its rules, and which fields of its messages are bodies. Raises ValueError."""

    def __init__(self, api: Api, method: Method, rule: Rule, style: Style) -> None:
        self.api = api
        self.method = method
        self.rule = rule
        self.style = style
        self.body = self._field(method.request, rule.body) if rule.body not in ("", "*") else None
        self.answer = self._field(method.response, rule.answer) if rule.answer else None
        holder = self.body.message_type if self.body is not None else method.request.DESCRIPTOR
        self.raw_body = bool(rule.body) and holder is not None and holder.full_name == _HTTP_BODY
        answered = self.answer.message_type if self.answer is not None else method.response.DESCRIPTOR
        # In a stream it is JSON as well: the type of what follows is said before the first message.
        self.raw_answer = answered is not None and answered.full_name == _HTTP_BODY and not method.server_streams

    def _field(self, kind: type[ProtoMessage], name: str) -> FieldDescriptor:
        found = kind.DESCRIPTOR.fields_by_name.get(name)
        if found is None:
            raise ValueError(f"{self.method.path}: its rule names {name!r}, which {kind.DESCRIPTOR.full_name} has not")
        return found


def paths_of(api: Api, style: Style) -> Paths[Binding]:
    """Which requests mean which methods. Raises ValueError."""
    found: Paths[Binding] = Paths()
    for method in api.methods:
        for rule in method.rules:
            try:
                found.add(rule.method, Template(rule.path), Binding(api, method, rule, style))
            except ValueError as error:
                raise ValueError(f"{method.path}: {error}") from None
    return found


class GrpcCall:
    def __init__(self, binding: Binding, values: dict[str, str]) -> None:
        self._binding = binding
        self._values = values
        self._stream: _Messages | None = None
        self._written = 0
        self.name = binding.method.path[1:]

    # -- requests

    def message(self, request: Request) -> Message:
        method = self._binding.method
        if method.client_streams:
            raise Refused(501, f"{self.name} takes a stream of messages, which a request of HTTP is not")
        payload = self._payload(request)
        pairs: list[Pair] = [(b"content-type", TYPE), (b"te", b"trailers")]
        pairs += [pair for pair in request.head.pairs if pair[0] not in _DROPPED and pair[1].isascii()]
        body = b"\x00" + len(payload).to_bytes(4, "big") + payload
        head = request_head(
            b"POST", method.path.encode(), request.head.authority, pairs, request.head.scheme, length=-1
        )  # fmt: skip
        return whole(head, body, 0, request.more)

    def _payload(self, request: Request) -> bytes:
        binding = self._binding
        made = binding.method.request()
        try:
            if binding.raw_body:
                self._put_raw(made, request)
            elif binding.rule.body:
                check_json(request)
                self._put(made, self._body(request))
            elif request.body:
                raise ValueError(f"{binding.rule.method} {binding.rule.path} has no body")
            query = pairs_of(request.query)
            if query and binding.rule.body == "*" and not binding.style.lenient:
                raise ValueError(f"{query[0][0]!r:.100} is in the query; all that the path has not is in the body")
            if binding.rule.body == "*":
                query = []
            kind = binding.method.request.DESCRIPTOR
            values = as_json(binding.api, kind, self._values.items(), query, binding.style.lenient)
            if values:
                self._put(made, values)
            return made.SerializeToString()
        except (ValueError, TypeError, OverflowError, EncodeError, json_format.Error) as error:
            raise Refused(400, str(error)) from None

    def _body(self, request: Request) -> object:
        body = self._binding.body
        value = loads(request.body) if request.body else {}
        if body is None:
            return value
        return {body.name: value} if request.body else {}

    def _put(self, made: ProtoMessage, value: object) -> None:
        style, pool = self._binding.style, self._binding.api.pool
        if not isinstance(value, dict):
            raise ValueError(f"the body is {json.dumps(value):.40}; write an object")
        json_format.ParseDict(value, made, ignore_unknown_fields=style.lenient, descriptor_pool=pool)

    def _put_raw(self, made: ProtoMessage, request: Request) -> None:
        """A google.api.HttpBody: its content type and its data are those of the request."""
        body = self._binding.body
        raw: ProtoMessage = made if body is None else getattr(made, body.name)
        kind = request.head.value(b"content-type") or b""
        raw.MergeFromString(write(0x0A, kind.decode("latin-1").encode()) + write(0x12, request.body))

    # -- answers

    def answer(self, head: Message, chunks: list[Chunk]) -> Message:
        there, body, end = _gathered(head, chunks)
        code = _code(there, end)
        if code:
            return self._error(code, there, end)
        found = _Messages(self._binding.style.max_message)
        messages = found.take(body)
        if self._binding.method.server_streams and not found.waiting:
            made = b"".join(map(self._element, messages)) + self._last()
            return answers.answer(200, made, _metadata(there.pairs, end), self._kind())
        if len(messages) != 1 or found.waiting:
            raise Refused(502, f"{self.name} answered with {len(messages)} messages; it should be one")
        fields = _metadata(there.pairs, end)
        kind, made = self._made(messages[0])
        return answers.answer(200, made, fields, kind)

    def _made(self, payload: bytes) -> tuple[bytes, bytes]:
        """Content type and body."""
        binding = self._binding
        try:
            message = binding.method.response.FromString(payload)
        except DecodeError as error:
            kind = binding.method.response.DESCRIPTOR.full_name
            raise Refused(502, f"{self.name} answered with what is no {kind}: {error}") from None
        if binding.raw_answer:
            return _raw(message if binding.answer is None else getattr(message, binding.answer.name))
        return answers.JSON, answers.dumped(self._json(message))

    def _json(self, message: ProtoMessage) -> object:
        style, answer = self._binding.style, self._binding.answer
        value = self._dict(message, style.defaults)
        if answer is None or not isinstance(value, dict):
            return value
        name = answer.name if style.proto_names else answer.json_name
        if name not in value:  # it has its default
            value = self._dict(message.__class__(), True)
        return value.get(name) if isinstance(value, dict) else None

    def _dict(self, message: ProtoMessage, defaults: bool) -> object:
        try:
            value: object = json_format.MessageToDict(
                message,
                always_print_fields_with_no_presence=defaults,
                preserving_proto_field_name=self._binding.style.proto_names,
                use_integers_for_enums=self._binding.style.numbers,
                descriptor_pool=self._binding.api.pool,
            )
        except (json_format.Error, TypeError, ValueError) as error:
            raise Refused(502, f"{self.name} answered with what JSON has no form for: {error}") from None
        return value

    def _error(self, code: int, head: Head, end: list[Pair]) -> Message:
        """google.rpc.Status, as the server sent it or made of its code and text."""
        both = [*head.pairs, *end]
        said = _value(both, b"grpc-message")
        message = unquote_to_bytes(said).decode("utf-8", "replace")
        details = self._details(_value(both, b"grpc-status-details-bin"))
        return answers.answer(STATUSES[code], answers.error_body(code, message, details), _metadata(head.pairs, end))

    def _details(self, encoded: bytes) -> list[object]:
        found: list[object] = []
        try:
            data = base64.b64decode(encoded + b"=" * (-len(encoded) % 4))
            for tag, _, start, stop in fields(data, 0, len(data)):
                if tag == 0x1A:
                    found.append(self._detail(data[start:stop]))
        except (FrameError, ValueError):  # its code and its text are there all the same
            return []
        return found

    def _detail(self, data: bytes) -> object:
        """One google.protobuf.Any; what it holds stays in base64 where its type is not known."""
        packed = any_pb2.Any()
        try:
            packed.MergeFromString(data)
            return json_format.MessageToDict(packed, descriptor_pool=self._binding.api.pool)
        except (TypeError, ValueError, DecodeError, json_format.Error):
            return {"@type": packed.type_url, "value": base64.b64encode(packed.value).decode()}

    # -- answers that are streams

    def begin(self, head: Message) -> Message | None:
        if not self._binding.method.server_streams:
            return None
        there = head_of(head)
        if there.status != 200 or _value(there.pairs, b"grpc-status"):
            return None
        self._stream = _Messages(self._binding.style.max_message)
        return answers.begun(_metadata(there.pairs, []), self._kind())

    def chunk(self, chunk: Chunk) -> Chunk:
        stream = self._stream
        if stream is None:
            return chunk
        made = [self._element(message) for message in stream.take(chunk.frame)]
        if chunk.kind is not Kind.STREAM_CLOSE:
            return chunk.with_frame(b"".join(made))
        code = _status(_value(trailer_pairs(chunk.trailers), b"grpc-status"))
        if code:
            text = unquote_to_bytes(_value(trailer_pairs(chunk.trailers), b"grpc-message")).decode("utf-8", "replace")
            raise Refused(STATUSES[code], f"{self.name} ended with {answers.NAMES[code]}: {text}")
        if stream.waiting:
            raise Refused(502, f"{self.name} ended within a message")
        return Chunk(Kind.STREAM_CLOSE, b"".join(made) + self._last(), chunk.id, size=chunk.size)

    def _element(self, payload: bytes) -> bytes:
        _, body = self._made(payload)
        self._written += 1
        if self._binding.style.lines:
            return body + b"\n"
        return (b"[" if self._written == 1 else b",") + body

    def _last(self) -> bytes:
        return b"" if self._binding.style.lines else b"]" if self._written else b"[]"

    def _kind(self) -> bytes:
        return b"application/x-ndjson" if self._binding.style.lines else answers.JSON


class _Messages:
    """The messages of a half, in whatever pieces they come. most: bytes of one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self._need = 5

    @property
    def waiting(self) -> int:
        return self._size

    def take(self, data: bytes) -> list[bytes]:
        """Raises Refused for a compressed one, which was not asked for, and for one that is too large."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._need:
            return []
        data = b"".join(self._pieces)
        found: list[bytes] = []
        at = 0
        while len(data) - at >= 5:
            size = int.from_bytes(data[at + 1 : at + 5], "big")
            if data[at]:
                raise Refused(502, "a message in compressed form, which was not asked for")
            if size > self._most:
                raise Refused(502, f"a message of {size} bytes; max_answer is {self._most}")
            if len(data) - at < size + 5:
                break
            found.append(data[at + 5 : at + 5 + size])
            at += 5 + size
        rest = data[at:]
        self._pieces = [rest] if rest else []
        self._size = len(rest)
        self._need = 5 + int.from_bytes(rest[1:5], "big") if len(rest) >= 5 else 5
        return found


def _gathered(head: Message, chunks: list[Chunk]) -> tuple[Head, bytes, list[Pair]]:
    """Head, body and trailers."""
    try:
        if head.kind is not Kind.STREAM_OPEN:
            there, body, end = parts(head)
            return there, body, end or []
        end = trailer_pairs(chunks[-1].trailers) if chunks else []
        return head_of(head), b"".join([chunk.frame for chunk in chunks]), end
    except FrameError as error:
        raise Refused(502, str(error)) from None


def _raw(message: ProtoMessage) -> tuple[bytes, bytes]:
    """Content type and data of a google.api.HttpBody."""
    data = message.SerializeToString()
    found = {tag: data[start:stop] for tag, _, start, stop in fields(data, 0, len(data))}
    kind = found.get(0x0A, b"")
    return kind if _FIELD.fullmatch(kind) else b"application/octet-stream", found.get(0x12, b"")


def _code(head: Head, end: list[Pair]) -> int:
    said = _value([*head.pairs, *end], b"grpc-status")
    if not said and head.status != 200:
        return CODES[_OF_HTTP.get(head.status, "UNKNOWN")]
    return _status(said)


def _status(said: bytes) -> int:
    code = int(said) if said.isdigit() and len(said) < 4 else CODES["UNKNOWN"]
    return code if code < len(STATUSES) else CODES["UNKNOWN"]


def _value(pairs: list[Pair], name: bytes) -> bytes:
    """The last value of a field."""
    found = b""
    for key, value in pairs:
        if key == name:
            found = value
    return found


def _metadata(head: list[Pair], end: list[Pair]) -> list[Pair]:
    """What the client gets of an answer's metadata, that of its end included."""
    return [pair for pair in (*head, *end) if pair[0].lower() not in _OF_THE_CALL and pair[0].lower() not in _ENDS]
