"""
The metadata of tRPC's messages, decoded when somebody asks.

Lives here: the keys, and the readers of requests and answers. Does not: the frames' layout (`frame`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metaproxy.codecs import sent_pairs
from metaproxy.codecs.protobuf_wire import Field, fields, number, pairs, signed, text
from metaproxy.codecs.sent_pairs import Unclear, Values
from metaproxy.codecs.trpc import frame as tags
from metaproxy.codecs.trpc import stream
from metaproxy.message import FrameError, Message

KEYS: Final = {
    "service": "the service in func, such as trpc.app.echo.Echo of /trpc.app.echo.Echo/Say",
    "method": "the method in func",
    "operation": "service/method; func as it is where it has not this form",
    "func": "name of the function, such as /trpc.app.echo.Echo/Say",
    "caller": "who calls, such as trpc.app.client.Service",
    "callee": "who is called, such as trpc.app.echo.Echo",
    "kind": "request, oneway, response, error (ret or func_ret other than 0), stream_open ...",
    "call_type": "unary or oneway; its number where it has no name",
    "timeout": "time that the client gives, in milliseconds, if it gives one",
    "message_type": "a number, the sum of 1 dyeing, 2 tracing, 4 multi-environment, 8 grid, 16 set name",
    "content_type": "protobuf, jce, json, flatbuffers, bytes ...; its number where it has no name",
    "content_encoding": "none, gzip, snappy, zlib, snappy-stream, snappy-block, lz4-frame, lz4-block; or its number",
    "attachment_size": "bytes of the attachment, where there is one",
    "ret": "of an answer: 0, or the number of the framework's error, such as 11",
    "func_ret": "of an answer: 0, or the number of the function's own error",
    "error_msg": "of an answer with an error: its text",
    "<trans_info>": "value of each of trans_info that is UTF-8, under its name as sent and in lower case",
    "trans_info.<key>": "value of a trans_info whose name, in any case, is one of the keys above",
}
OWN: Final = frozenset(key for key in KEYS if "<" not in key)
"""What no trans_info can stand for, or a client could make a route see another method than the server does."""
PREFIX: Final = "trans_info."

CALL_TYPES: Final = {0: "unary", 1: "oneway"}
CONTENT_TYPES: Final = {
    0: "protobuf", 1: "jce", 2: "json", 3: "flatbuffers", 4: "bytes", 5: "xml", 6: "thrift-binary",
    7: "thrift-compact", 8: "text-xml",
}  # fmt: skip
CONTENT_ENCODINGS: Final = {
    0: "none", 1: "gzip", 2: "snappy", 3: "zlib", 4: "snappy-stream", 5: "snappy-block", 6: "lz4-frame",
    7: "lz4-block",
}  # fmt: skip

_TEXTS: Final = {tags.CALLER: "caller", tags.CALLEE: "callee", tags.FUNC: "func"}
_NUMBERS: Final = {
    tags.TIMEOUT: "timeout", tags.MESSAGE_TYPE: "message_type", tags.ATTACHMENT_SIZE: "attachment_size"
}  # fmt: skip
_NAMED: Final[Mapping[int, tuple[str, Mapping[int, str]]]] = {
    tags.CALL_TYPE: ("call_type", CALL_TYPES),
    tags.CONTENT_TYPE: ("content_type", CONTENT_TYPES),
    tags.CONTENT_ENCODING: ("content_encoding", CONTENT_ENCODINGS),
}
_ANSWER_SIGNED: Final = {tags.RET: "ret", tags.FUNC_RET: "func_ret"}
_ANSWER_NUMBERS: Final = {
    tags.ANSWER_MESSAGE_TYPE: "message_type", tags.ANSWER_ATTACHMENT_SIZE: "attachment_size"
}  # fmt: skip
_ANSWER_NAMED: Final[Mapping[int, tuple[str, Mapping[int, str]]]] = {
    tags.CALL_TYPE: ("call_type", CALL_TYPES),
    tags.ANSWER_CONTENT_TYPE: ("content_type", CONTENT_TYPES),
    tags.ANSWER_CONTENT_ENCODING: ("content_encoding", CONTENT_ENCODINGS),
}
_INIT_TEXTS: Final = {stream.INIT_CALLER: "caller", stream.INIT_CALLEE: "callee", stream.INIT_FUNC: "func"}
_INIT_NUMBERS: Final = {stream.INIT_MESSAGE_TYPE: "message_type"}
_INIT_NAMED: Final[Mapping[int, tuple[str, Mapping[int, str]]]] = {
    stream.INIT_CONTENT_TYPE: ("content_type", CONTENT_TYPES),
    stream.INIT_CONTENT_ENCODING: ("content_encoding", CONTENT_ENCODINGS),
}
_DEFAULTS: Final = {"call_type": "unary", "content_type": "protobuf", "content_encoding": "none"}
_UINT32: Final = 0xFFFFFFFF


def read_call(message: Message) -> None:
    """Fill in the metadata of a unary request. Raises FrameError."""
    frame = message.frame
    found = tags.header_fields(frame)
    metadata = message.metadata = _DEFAULTS.copy()
    repeated: dict[str, Values] = {}
    read_names(frame, found, _TEXTS, metadata, repeated)
    _read_numbers(frame, found, _NUMBERS, _NAMED, metadata)
    add_trans_info(message, found, tags.TRANS_INFO, repeated)


def read_result(message: Message) -> None:
    """Fill in the metadata of a unary answer. Raises FrameError."""
    frame = message.frame
    found = tags.header_fields(frame)
    metadata = message.metadata = {**_DEFAULTS, "ret": "0", "func_ret": "0"}
    _read_numbers(frame, found, _ANSWER_NUMBERS, _ANSWER_NAMED, metadata)
    for field in found:
        key = _ANSWER_SIGNED.get(field[0])
        if key is not None:
            metadata[key] = str(signed(number(frame, field)))
        elif field[0] == tags.ERROR_MSG:
            metadata["error_msg"] = frame[field[2] : field[3]].decode("utf-8", "replace")
    add_trans_info(message, found, tags.ANSWER_TRANS_INFO, {})


def read_init(message: Message) -> None:
    """Fill in the metadata of a client's INIT, which opens a stream. Raises FrameError."""
    frame = message.frame
    found = fields(frame, tags.HEAD, len(frame))
    metadata = message.metadata = {"content_type": "protobuf", "content_encoding": "none"}
    repeated: dict[str, Values] = {}
    inner = [field for outer in found if outer[0] == stream.REQUEST_META for field in fields(frame, outer[2], outer[3])]
    read_names(frame, inner, _INIT_TEXTS, metadata, repeated)
    _read_numbers(frame, inner, _INIT_NUMBERS, {}, metadata)
    _read_numbers(frame, found, {}, _INIT_NAMED, metadata)
    add_trans_info(message, inner, stream.INIT_TRANS_INFO, repeated)


def read_init_answer(message: Message) -> None:
    """Fill in the metadata of a server's INIT. Raises FrameError."""
    frame = message.frame
    found = fields(frame, tags.HEAD, len(frame))
    metadata = message.metadata = {"content_type": "protobuf", "content_encoding": "none", "ret": "0"}
    _read_numbers(frame, found, {}, _INIT_NAMED, metadata)
    for outer in found:
        if outer[0] == stream.RESPONSE_META:
            for field in fields(frame, outer[2], outer[3]):
                if field[0] == stream.INIT_RET:
                    metadata["ret"] = str(signed(number(frame, field)))
                elif field[0] == stream.INIT_ERROR_MSG:
                    metadata["error_msg"] = frame[field[2] : field[3]].decode("utf-8", "replace")


def read_names(
    frame: bytes, found: list[Field], keys: Mapping[int, str], metadata: dict[str, str], repeated: dict[str, Values]
) -> None:
    """Who calls what, of a header or of an INIT, and what follows from the name of the function. Raises FrameError."""
    for field in found:
        key = keys.get(field[0])
        if key is None:
            continue
        value = text(frame, field)
        if value is None:
            raise FrameError(f"tRPC: {key} of the request is no UTF-8")
        before = metadata.get(key)
        if before is not None and before != value:
            repeated[key] = (*repeated.get(key, (before,)), value)
        metadata[key] = value
    func = metadata.get("func")
    if func is None:
        raise FrameError("tRPC: a request without func")
    metadata["operation"], service, method = _parts(func)
    if method:
        metadata["service"], metadata["method"] = service, method
    if "func" in repeated:
        parts = [_parts(func or "") for func in repeated["func"]]
        for place, key in enumerate(("operation", "service", "method")):
            repeated[key] = tuple(dict.fromkeys(part[place] for part in parts))


def _parts(func: str) -> tuple[str, str, str]:
    """Operation, service and method of a function's name."""
    service, slash, method = func.rpartition("/")
    if not (slash and method and len(service) > 1 and service[0] == "/"):
        return func, "", ""
    return func[1:], service[1:], method


def _read_numbers(
    frame: bytes,
    found: list[Field],
    numbers: Mapping[int, str],
    named: Mapping[int, tuple[str, Mapping[int, str]]],
    metadata: dict[str, str],
) -> None:
    for field in found:
        tag = field[0]
        if tag in numbers:
            value = number(frame, field) & _UINT32
            if value:
                metadata[numbers[tag]] = str(value)
            else:
                metadata.pop(numbers[tag], None)
        elif tag in named:
            key, names = named[tag]
            value = number(frame, field) & _UINT32
            metadata[key] = names.get(value) or str(value)


def add_trans_info(message: Message, found: list[Field], tag: int, repeated: dict[str, Values]) -> None:
    """The pairs of trans_info. A value that is no UTF-8 has no key."""
    sent = list(pairs(message.frame, found, tag))
    assert message.metadata is not None
    clear = sent_pairs.add(message.metadata, sent, OWN, PREFIX)
    if not clear or repeated:
        message.unclear = Unclear(sent, OWN, PREFIX, repeated)
