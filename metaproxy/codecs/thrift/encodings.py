"""
The three encodings of a Thrift message, as far as a proxy must read and write them.

    binary     80 01 | ignored 1 | type 1 | n 4 | name n | seqid 4 | struct
    old        n 4 | name n | type 1 | seqid 4 | struct                              (binary that is not strict)
    compact    82 | type << 5 | 1 | seqid varint | n varint | name n | struct
    JSON       [1,"name",type,seqid,{struct}]

Source: Apache Thrift, doc/specs/thrift-binary-protocol.md and thrift-compact-protocol.md; its libraries' TJSONProtocol.
Lives here: a message's head, a new seqid in it, whether a reply tells of an exception, exceptions of our own.
Does not: what stands around a message (frames, header), or where its struct ends (walk).
"""

from __future__ import annotations

import json
import re
import struct

from metaproxy.codecs.thrift.heads import (
    CALL,
    EXCEPTION,
    MAX_NAME,
    Data,
    check_binary,
    check_compact,
    check_json,
)
from metaproxy.message import FrameError

Head = tuple[int, bytes, int, int, int, int]
"""Of a message: type, name as on the wire, seqid, where the seqid begins and ends, where the struct begins."""

_I32 = struct.Struct(">i")
_U32 = struct.Struct(">I")


def varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """
    The ULEB128 number at `at`, and the offset behind it: -1 if it does not end before `end`. FrameError over 10 bytes.
    """
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise FrameError("varint of more than 10 bytes")
    return 0, -1


def whole_varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """As `varint`; FrameError when the number does not end before `end`."""
    value, after = varint(data, at, end)
    if after < 0:
        raise FrameError(f"varint at byte {at} runs past the end of its frame")
    return value, after


def to_varint(value: int) -> bytes:
    """ULEB128 of a number that is not negative."""
    if value < 0x80:
        return bytes((value,))
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def signed(value: int) -> int:
    """The low 32 bits of `value` as a signed number."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value & 0x80000000 else value


def _short(what: str) -> FrameError:
    return FrameError(f"the frame ends inside the head of its {what} message")


class Encoding:
    """One encoding. Has no state; `ENCODINGS` holds the only objects."""

    name = ""
    header_id = 0
    """The number that THeader gives to it."""

    def head(self, data: bytes, at: int) -> Head:
        """The head of the message that begins at `at` and ends with `data`. Raises FrameError."""
        raise NotImplementedError

    def check(self, data: Data, at: int, end: int) -> None:
        """Raises WrongByte for the first byte from `at` on that no head of a message has."""
        raise NotImplementedError

    def seqid(self, seqid: int) -> bytes:
        """A signed 32-bit sequence number as a head holds it."""
        raise NotImplementedError

    def failed(self, data: bytes, body: int) -> bool:
        """Whether the result struct at `body` begins with a declared exception: a field id above 0."""
        raise NotImplementedError

    def exception(self, name: bytes, seqid: int, number: int, text: str) -> bytes:
        """A message of type Exception: {1: text, 2: number}. name: as on the wire."""
        raise NotImplementedError

    def call(self, name: bytes, seqid: int) -> bytes:
        """A call without arguments."""
        raise NotImplementedError

    def text(self, name: bytes) -> str:
        """A name as on the wire, for people and routes."""
        return name.decode("utf-8", "replace")


class Binary(Encoding):
    name, header_id = "binary", 0

    def check(self, data: Data, at: int, end: int) -> None:
        check_binary(data, at, end)

    def head(self, data: bytes, at: int) -> Head:
        end = len(data)
        if end - at < 9:
            raise _short("binary")
        if data[at] >= 0x80:
            if data[at : at + 2] != b"\x80\x01":
                raise FrameError(f"a binary message begins with 80 01, not with {data[at : at + 2].hex(' ')}")
            start = at + 8
            stop = start + check_name(_I32.unpack_from(data, at + 4)[0])
            if stop + 5 > end:
                raise _short("binary")
            return data[at + 3], data[start:stop], _I32.unpack_from(data, stop)[0], stop, stop + 4, stop + 4
        start = at + 4
        stop = start + check_name(_I32.unpack_from(data, at)[0])
        if stop + 6 > end:
            raise _short("binary")
        return data[stop], data[start:stop], _I32.unpack_from(data, stop + 1)[0], stop + 1, stop + 5, stop + 5

    def seqid(self, seqid: int) -> bytes:
        return _I32.pack(seqid)

    def failed(self, data: bytes, body: int) -> bool:
        return data[body] != 0 and len(data) >= body + 3 and b"\0\0" < data[body + 1 : body + 3] < b"\x80"

    def exception(self, name: bytes, seqid: int, number: int, text: str) -> bytes:
        head = b"\x80\x01\0" + bytes((EXCEPTION,)) + _I32.pack(len(name)) + name
        return head + _I32.pack(seqid) + self._struct(number, text)

    def call(self, name: bytes, seqid: int) -> bytes:
        return b"\x80\x01\0" + bytes((CALL,)) + _I32.pack(len(name)) + name + _I32.pack(seqid) + b"\0"

    def _struct(self, number: int, text: str) -> bytes:
        raw = text.encode("utf-8", "replace")
        return b"\x0b\0\1" + _I32.pack(len(raw)) + raw + b"\x08\0\2" + _I32.pack(number) + b"\0"


class OldBinary(Binary):
    """Answers as a client asked that was set not to be strict, as all were before strict came."""

    def exception(self, name: bytes, seqid: int, number: int, text: str) -> bytes:
        head = _I32.pack(len(name)) + name + bytes((EXCEPTION,))
        return head + _I32.pack(seqid) + self._struct(number, text)


class Compact(Encoding):
    name, header_id = "compact", 2

    def check(self, data: Data, at: int, end: int) -> None:
        check_compact(data, at, end)

    def head(self, data: bytes, at: int) -> Head:
        end = len(data)
        if end - at < 5:
            raise _short("compact")
        if data[at] != 0x82 or data[at + 1] & 0x1F != 1:
            raise FrameError(f"a compact message begins with 82 and version 1, not with {data[at : at + 2].hex(' ')}")
        seqid, stop = whole_varint(data, at + 2, end)
        length, start = whole_varint(data, stop, end)
        body = start + check_name(length)
        if body >= end:
            raise _short("compact")
        return data[at + 1] >> 5, data[start:body], signed(seqid), at + 2, stop, body

    def seqid(self, seqid: int) -> bytes:
        return to_varint(seqid & 0xFFFFFFFF)

    def failed(self, data: bytes, body: int) -> bool:
        first = data[body]
        if first >= 0x10:
            return True  # the short form: a delta of 1 to 15 from field 0
        if first == 0:
            return False
        field, _ = varint(data, body + 1, len(data))
        return field > 0 and field & 1 == 0  # zigzag: even numbers are those that are not negative

    def exception(self, name: bytes, seqid: int, number: int, text: str) -> bytes:
        raw = text.encode("utf-8", "replace")
        head = bytes((0x82, EXCEPTION << 5 | 1)) + self.seqid(seqid) + to_varint(len(name)) + name
        return head + b"\x18" + to_varint(len(raw)) + raw + b"\x15" + to_varint(number << 1) + b"\0"

    def call(self, name: bytes, seqid: int) -> bytes:
        return bytes((0x82, CALL << 5 | 1)) + self.seqid(seqid) + to_varint(len(name)) + name + b"\0"


_SPACE = rb"[ \t\r\n]*+"
_JSON_NAME = rb'"((?:[^"\\]++|\\.)*+)"'
_JSON_TOKENS = (rb"\[", rb"1", rb",", _JSON_NAME, rb",", rb"([0-9]{1,3})", rb",", rb"(-?[0-9]{1,10})", rb",", rb"\{")
_JSON_HEAD = re.compile(_SPACE.join(_JSON_TOKENS), re.DOTALL)
_JSON_FIELD = re.compile(rb'\{[ \t\r\n]*+"([0-9]{1,5})"')


class Json(Encoding):
    name, header_id = "json", 1

    def check(self, data: Data, at: int, end: int) -> None:
        check_json(data, at, end)

    def head(self, data: bytes, at: int) -> Head:
        found = _JSON_HEAD.match(data, at)
        if found is None:
            shown = data[at : at + 24].decode("ascii", "replace")
            raise FrameError(f'a JSON message begins with [1,"name",type,seqid,{{ and not with {shown!r}')
        name = found[1]
        check_name(len(name))
        seqid = int(found[3])
        if seqid != signed(seqid):
            raise FrameError(f"sequence number {seqid}; allowed are 32 bits")
        return int(found[2]), name, seqid, found.start(3), found.end(3), found.end() - 1

    def seqid(self, seqid: int) -> bytes:
        return b"%d" % seqid

    def failed(self, data: bytes, body: int) -> bool:
        found = _JSON_FIELD.match(data, body)
        return found is not None and int(found[1]) > 0

    def exception(self, name: bytes, seqid: int, number: int, text: str) -> bytes:
        said = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
        return b'[1,"%b",%d,%d,{"1":{"str":%b},"2":{"i32":%d}}]' % (name, EXCEPTION, seqid, said, number)

    def call(self, name: bytes, seqid: int) -> bytes:
        return b'[1,"%b",%d,%d,{}]' % (name, CALL, seqid)

    def text(self, name: bytes) -> str:
        plain = name.decode("utf-8", "replace")
        if "\\" in plain:
            try:
                return str(json.loads(f'"{plain}"', strict=False)).encode("utf-8", "replace").decode()
            except ValueError:
                return plain
        return plain


def check_name(length: int) -> int:
    """The length of a name, if it is one that we take. Raises FrameError."""
    if not 0 <= length <= MAX_NAME:
        raise FrameError(f"method name of {length} bytes; allowed are 0 to {MAX_NAME}")
    return length


BINARY, COMPACT, JSON = Binary(), Compact(), Json()
OLD_BINARY = OldBinary()
ENCODINGS: dict[str, Encoding] = {each.name: each for each in (BINARY, COMPACT, JSON)}
