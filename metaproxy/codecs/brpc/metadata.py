"""
The metadata of bRPC's messages, decoded when somebody asks.

Lives here: the keys, and the two readers, of requests and of answers. Does not: the frames' layout (`frame`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs import sent_pairs
from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.protobuf_wire import Field, fields, number, pairs, signed, text, utf8
from metaproxy.codecs.sent_pairs import Pair, Unclear, Values
from metaproxy.message import FrameError, Message

KEYS: Final = {
    "service": "full name of the service, such as example.EchoService",
    "method": "name of the method",
    "operation": "service/method",
    "interface": "the same as `service`, for routes that Dubbo shares",
    "kind": "request, response, error (error_code other than 0), stream_open ...",
    "log_id": "the client's log_id, a number",
    "request_id": "the client's request_id",
    "x-request-id": "the same as `request_id`, or a pair of this name",
    "trace_id": "the client's trace_id, a number",
    "timeout_ms": "time that the client gives, in milliseconds; if it was configured to send it",
    "compress_type": "none, snappy, gzip, zlib or lz4; its number where it has no name",
    "content_type": "pb, json, proto-json or proto-text; its number where it has no name",
    "attachment_size": "bytes of the attachment, where there is one",
    "stream": "true: the call opens a stream, or its answer accepts it",
    "error_code": "of an answer: 0, or the number of the error, such as 1001",
    "error_text": "of an answer with an error: its text",
    "<user field>": "value of each of user_fields, and of Java's key-value attachments, as spelled and in lower case",
    "user_fields.<key>": "value of a user field whose name, in any case, is one of the keys above",
}
OWN: Final = frozenset(key for key in KEYS if "<" not in key) - {"x-request-id"}
"""What no user field can stand for, or a client could make a route see another method than the server does."""
PREFIX: Final = "user_fields."

COMPRESS_TYPES: Final = {0: "none", 1: "snappy", 2: "gzip", 3: "zlib", 4: "lz4"}
CONTENT_TYPES: Final = {0: "pb", 1: "json", 2: "proto-json", 3: "proto-text"}

_REQUEST_TEXTS: Final = {tags.SERVICE_NAME: "service", tags.METHOD_NAME: "method", tags.REQUEST_ID: "request_id"}
_REQUEST_ID_KEY: Final = "x-request-id"
_REQUEST_NUMBERS: Final = {tags.LOG_ID: "log_id", tags.TRACE_ID: "trace_id", tags.TIMEOUT_MS: "timeout_ms"}
_NAMED: Final = {
    tags.COMPRESS_TYPE: ("compress_type", COMPRESS_TYPES),
    tags.CONTENT_TYPE: ("content_type", CONTENT_TYPES),
}


def read_call(message: Message) -> None:
    """Fill in the metadata of a request. Raises FrameError."""
    frame = message.frame
    found = tags.meta_fields(frame)
    metadata = message.metadata = _common(frame, found)
    repeated: dict[str, Values] = {}
    sent: list[Pair] = []
    for field in found:
        if field[0] == tags.REQUEST:
            _read_request(frame, field, metadata, repeated, sent)
    if "service" not in metadata or "method" not in metadata:
        raise FrameError("bRPC: a request without service_name or method_name")
    metadata["interface"] = metadata["service"]
    metadata["operation"] = f"{metadata['service']}/{metadata['method']}"
    sent += pairs(frame, found, tags.USER_FIELDS)
    if "request_id" in metadata:
        metadata[_REQUEST_ID_KEY] = metadata["request_id"]
        others = tuple(value for key, value in sent if key is not None and key.lower() == _REQUEST_ID_KEY)
        if others:
            repeated[_REQUEST_ID_KEY] = (metadata["request_id"], *others)
    if repeated:
        _repeat_names(metadata, repeated)
    _add_pairs(message, sent, repeated)


def read_result(message: Message) -> None:
    """Fill in the metadata of an answer. Raises FrameError."""
    frame = message.frame
    found = tags.meta_fields(frame)
    metadata = message.metadata = _common(frame, found)
    metadata["error_code"] = "0"
    for field in found:
        if field[0] == tags.RESPONSE:
            for inner in fields(frame, field[2], field[3]):
                if inner[0] == tags.ERROR_CODE:
                    metadata["error_code"] = str(signed(number(frame, inner)))
                elif inner[0] == tags.ERROR_TEXT:
                    metadata["error_text"] = frame[inner[2] : inner[3]].decode("utf-8", "replace")
    _add_pairs(message, list(pairs(frame, found, tags.USER_FIELDS)), {})


def error_code(frame: bytes, response: Field) -> int:
    """The error_code of an answer, as its response meta has it."""
    code = 0
    if response[2] != response[3]:
        for inner in fields(frame, response[2], response[3]):
            if inner[0] == tags.ERROR_CODE:
                code = signed(number(frame, inner))
    return code


def _common(frame: bytes, found: list[Field]) -> dict[str, str]:
    metadata = {"compress_type": COMPRESS_TYPES[0], "content_type": CONTENT_TYPES[0]}
    for field in found:
        named = _NAMED.get(field[0])
        if named is not None:
            key, names = named
            value = number(frame, field)
            metadata[key] = names.get(value) or str(value)
        elif field[0] == tags.ATTACHMENT_SIZE:
            metadata["attachment_size"] = str(signed(number(frame, field)))
        elif field[0] == tags.STREAM_SETTINGS:
            metadata["stream"] = "true"
    return metadata


def _read_request(
    frame: bytes, request: Field, metadata: dict[str, str], repeated: dict[str, Values], sent: list[Pair]
) -> None:
    """The fields of RpcRequestMeta. A second one is merged into the first by readers of protobuf."""
    for field in fields(frame, request[2], request[3]):
        key = _REQUEST_TEXTS.get(field[0])
        value = None
        if field[0] == tags.REQUEST_ID and (pair := tags.pair(frame, field)) is not None:
            sent.append((utf8(pair[0]), utf8(pair[1])))
            continue
        if key is not None:
            value = text(frame, field)
            if value is None:
                raise FrameError(f"bRPC: {key} of the request is no UTF-8")
        else:
            key = _REQUEST_NUMBERS.get(field[0])
            if key is None:
                continue
            value = str(signed(number(frame, field)))
        before = metadata.get(key)
        if before is not None and before != value:
            repeated[key] = (*repeated.get(key, (before,)), value)
        metadata[key] = value


def _repeat_names(metadata: dict[str, str], repeated: dict[str, Values]) -> None:
    """What is there twice may be read as either, also where another key is made of it."""
    services = repeated.get("service", (metadata["service"],))
    methods = repeated.get("method", (metadata["method"],))
    if "request_id" in repeated:
        repeated[_REQUEST_ID_KEY] = repeated["request_id"] + repeated.get(_REQUEST_ID_KEY, ())
    repeated["interface"] = services
    repeated["operation"] = tuple(f"{service}/{method}" for service in services for method in methods)


def _add_pairs(message: Message, sent: list[Pair], repeated: dict[str, Values]) -> None:
    assert message.metadata is not None
    clear = sent_pairs.add(message.metadata, sent, OWN, PREFIX)
    if not clear or repeated:
        message.unclear = Unclear(sent, OWN, PREFIX, repeated)
