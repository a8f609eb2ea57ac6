"""
The body of a Dubbo frame in the serializations that can be read: where the items are, and what the attachments say.

    request   protocol version, service path, service version, method, parameter types, the arguments, attachments
    response  result type (status 20), then by type a value or throwable, then by type attachments

Source: org.apache.dubbo.rpc.protocol.dubbo.DubboCodec. Lives here: `Hessian2` and `Fastjson2`, which differ in how an
item is written: as a Hessian 2 value, or as four bytes of length and JSONB. Does not: the frame's head (`frame`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from metaproxy.codecs.dubbo import hessian2, jsonb
from metaproxy.codecs.dubbo.hessian2 import Opaque, Scalar
from metaproxy.message import FrameError

HEAD = 16
"""Bytes of a frame before its body."""
MAX_ARGUMENTS = 255
"""Parameters of a Java method."""

_SIZE = struct.Struct(">I")

Attachments = list[tuple[str, Scalar, bytes]]


class Call(NamedTuple):
    """The items in front of a request's arguments. end: where the arguments begin, offset in the frame."""

    dubbo: str
    service: str
    version: str
    method: str
    types: str
    end: int


class Serialization(Protocol):
    """One way to write a body. `frame` is always the whole frame; all raise FrameError."""

    def call(self, frame: bytes) -> Call: ...

    def first_argument(self, frame: bytes, call: Call) -> str | None: ...

    def result(self, frame: bytes) -> int | None: ...

    def attachments_at(self, frame: bytes, call: Call | None) -> int: ...

    def attachments(self, frame: bytes, at: int) -> Attachments: ...

    def write_attachments(self, frame: bytes, at: int, entries: Mapping[str, bytes]) -> bytes: ...

    def write_string(self, text: str) -> bytes: ...

    def error(self, text: str) -> bytes: ...


def arguments(types: str) -> int:
    """How many parameters a run of JVM descriptors names. Raises FrameError for what is none."""
    count = at = 0
    while at < len(types):
        while at < len(types) and types[at] == "[":
            at += 1
        if at >= len(types) or types[at] not in "VZBCDFIJSL":
            raise FrameError(f"{types[:64]!r} are no parameter types")
        if types[at] == "L":
            at = types.find(";", at)
            if at < 0:
                raise FrameError(f"{types[:64]!r} are no parameter types")
        at += 1
        count += 1
    if count > MAX_ARGUMENTS:
        raise FrameError(f"{count} parameters; Java allows {MAX_ARGUMENTS}")
    return count


def _text(value: Scalar) -> str:
    """An item that is a string, or null as some clients write an empty one. Raises FrameError for anything else."""
    if value is not None and not isinstance(value, str):
        raise FrameError(f"a string expected, {value!r} read")
    return value or ""


class Hessian2:
    """Serialization 2."""

    def call(self, frame: bytes) -> Call:
        reader = hessian2.Reader(frame, HEAD)
        dubbo, service, version, method = (_text(reader.scalar()) for _ in range(4))
        types = _text(reader.scalar())
        return Call(dubbo, service, version, method, types, reader.at)

    def first_argument(self, frame: bytes, call: Call) -> str | None:
        value = hessian2.Reader(frame, call.end).scalar()
        return value if isinstance(value, str) else None

    def result(self, frame: bytes) -> int | None:
        code = frame[HEAD] if len(frame) > HEAD else 0
        return code - 0x90 if 0x90 <= code <= 0x95 else None

    def attachments_at(self, frame: bytes, call: Call | None) -> int:
        return self._to_attachments(frame, call).at

    def _to_attachments(self, frame: bytes, call: Call | None) -> hessian2.Reader:
        if call is None:
            reader = hessian2.Reader(frame, HEAD + 1)
            if self.result(frame) in (3, 4):
                reader.skip()
            return reader
        reader = hessian2.Reader(frame, call.end)
        for _ in range(arguments(call.types)):
            reader.skip()
        return reader

    def attachments(self, frame: bytes, at: int) -> Attachments:
        if at < len(frame) and frame[at] in (hessian2.UNTYPED_MAP, hessian2.NULL):
            return hessian2.Reader(frame, at).entries()
        # A reference, or a type's number, counts what came before it: the whole body is walked again.
        whole = hessian2.Reader(frame, HEAD)
        while whole.at < at:
            whole.skip()
        return whole.entries()

    def write_attachments(self, frame: bytes, at: int, entries: Mapping[str, bytes]) -> bytes:
        start = b"H"
        if frame[at : at + 1] == b"M":
            reader = hessian2.Reader(frame, at + 1)
            reader._type()
            start = frame[at : reader.at]
        return start + b"".join(self.write_string(key) + value for key, value in entries.items()) + b"Z"

    def write_string(self, text: str) -> bytes:
        return hessian2.write_string(text)

    def error(self, text: str) -> bytes:
        return hessian2.write_string(text)


class Fastjson2:
    """Serialization 23."""

    def _item(self, frame: bytes, at: int) -> tuple[int, int]:
        """Where an item begins and ends."""
        if at + 4 > len(frame):
            raise FrameError(f"an item expected at {at}; the frame has {len(frame)} bytes")
        end = at + 4 + int(_SIZE.unpack_from(frame, at)[0])
        if end > len(frame):
            raise FrameError(f"an item reaches {end - len(frame)} bytes beyond the body")
        return at + 4, end

    def _string(self, frame: bytes, at: int) -> tuple[str, int]:
        start, end = self._item(frame, at)
        return _text(jsonb.Reader(frame[:end], start).scalar()), end

    def call(self, frame: bytes) -> Call:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            text, at = self._string(frame, at)
            texts.append(text)
        dubbo, service, version, method, types = texts
        return Call(dubbo, service, version, method, types, at)

    def first_argument(self, frame: bytes, call: Call) -> str | None:
        return self._string(frame, call.end)[0] or None

    def result(self, frame: bytes) -> int | None:
        try:
            start, end = self._item(frame, HEAD)
            value = jsonb.Reader(frame[:end], start).scalar()
        except FrameError:
            return None
        return value if isinstance(value, int) else None

    def attachments_at(self, frame: bytes, call: Call | None) -> int:
        if call is None:
            at = self._item(frame, HEAD)[1]
            return self._item(frame, at)[1] if self.result(frame) in (3, 4) else at
        at = call.end
        for _ in range(arguments(call.types)):
            at = self._item(frame, at)[1]
        return at

    def attachments(self, frame: bytes, at: int) -> Attachments:
        start, end = self._item(frame, at)
        return jsonb.Reader(frame[:end], start).entries()

    def write_attachments(self, frame: bytes, at: int, entries: Mapping[str, bytes]) -> bytes:
        body = b"".join(self.write_string(key) + value for key, value in entries.items())
        return _SIZE.pack(len(body) + 2) + b"\xa6" + body + b"\xa5"

    def write_string(self, text: str) -> bytes:
        return jsonb.write_string(text)

    def error(self, text: str) -> bytes:
        data = jsonb.write_string(text)
        return _SIZE.pack(len(data)) + data


def shown(value: Scalar) -> str | None:
    """An attachment's value as metadata has it; None for what is no plain value."""
    if value is None or isinstance(value, Opaque):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
