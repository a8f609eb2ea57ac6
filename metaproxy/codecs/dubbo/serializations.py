"""
The serializations whose bodies can be read, and the names of all.

    hessian2        the items are Hessian 2 values, one after the other
    fastjson2       an item is four bytes of length and a JSONB document
    fastjson, gson  an item is a JSON text and a line feed
    protobuf        an item is a varint of length and a message: StringValue, Int32Value, or a map as field 1

Source: the serializations of Apache Dubbo 3.3.6 and (fastjson, gson, protobuf) 2.7.23, whose bytes the tests hold. Lives
here: where the items of a body are. Does not: the values of Hessian 2 (`hessian2`) and JSONB (`jsonb`).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from json.decoder import scanstring
from typing import Any, Final, TypeVar

from metaproxy.codecs.dubbo import hessian2, jsonb
from metaproxy.codecs.dubbo.body import HEAD, MAX_PAIRS, Attachments, Body, Pair
from metaproxy.message import FrameError

NAMES: Final = {
    2: "hessian2", 3: "java", 4: "compactedjava", 6: "fastjson", 7: "nativejava", 8: "kryo", 9: "fst",
    10: "native-hessian", 11: "avro", 12: "protostuff", 16: "gson", 18: "jackson", 21: "protobuf-json",
    22: "protobuf", 23: "fastjson2", 25: "kryo2", 27: "msgpack", 28: "fury", 31: "custom-msgpack",
}  # fmt: skip

T = TypeVar("T")

_SIZE = struct.Struct(">I")
_GROUP_OF_FOUR = re.compile(b"[\xf0-\xff]")


class Hessian2(Body):
    """Serialization 2."""

    def head_end(self, frame: bytes) -> int:
        at = HEAD
        try:
            for _ in range(5):
                length = frame[at]
                if length <= 0x1F:
                    at += 1 + length
                elif 0x30 <= length <= 0x33:
                    at += 2 + (length - 0x30 << 8 | frame[at + 1])
                elif length == hessian2.NULL:
                    at += 1
                else:
                    return 0
        except IndexError:
            return 0
        # Beyond ASCII a string has more bytes than its length says.
        return at if at <= len(frame) and frame[HEAD:at].isascii() else 0

    def head(self, frame: bytes) -> tuple[list[str], int]:
        def strings(reader: hessian2.Reader) -> tuple[list[str], int]:
            return [reader.string() for _ in range(5)], reader.at

        return self._either(frame, HEAD, strings)

    def first_argument(self, frame: bytes, at: int) -> str | None:
        return hessian2.Reader(frame, at).text()

    def result(self, frame: bytes) -> tuple[int | None, int]:
        code = frame[HEAD] if len(frame) > HEAD else 0
        if 0x90 <= code <= 0x95:
            return code - 0x90, HEAD + 1
        if code == hessian2.NULL:  # npm's dubbo-remoting, for a method that returns nothing
            return None, HEAD
        reader = hessian2.Reader(frame, HEAD)
        return reader.integer(), reader.at

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        skipped = hessian2.simple_values(skip).match(frame, at)
        if skipped is not None:
            start = skipped.end()
            plain = hessian2.plain_pairs(frame, start)
            if plain is not None:
                return start, plain[1], b"H", plain[0]
        return self._either(frame, at, lambda reader: _after(reader, skip))

    def pair(self, key: str, value: str) -> bytes:
        return hessian2.write_string(key) + hessian2.write_string(value)

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        return opening + b"".join(raws) + b"Z"

    def string(self, text: str) -> bytes:
        return hessian2.write_string(text)

    def event(self, frame: bytes) -> str:
        return hessian2.Reader(frame, HEAD).text() or ""

    @staticmethod
    def _either(frame: bytes, at: int, read: Callable[[hessian2.Reader], T]) -> T:
        """What `read` gives, whichever way the writer counts characters beyond U+FFFF; see `hessian2`."""
        try:
            return read(hessian2.Reader(frame, at))
        except FrameError as error:
            if _GROUP_OF_FOUR.search(frame, at) is None:
                raise
            try:
                return read(hessian2.Reader(frame, at, wide=2))
            except FrameError:
                raise error from None


def _after(reader: hessian2.Reader, skip: int) -> Attachments:
    """The attachments after `skip` values."""
    reader.skip_values(skip)
    data, start = reader.data, reader.at
    plain = hessian2.plain_pairs(data, start)
    if plain is not None:
        return start, plain[1], b"H", plain[0]
    if start == len(data):
        return start, start, b"H", ()
    code = reader.peek()
    if code == hessian2.NULL:
        return start, start + 1, b"H", ()
    map_reader = reader.referred() if code == hessian2.REFERENCE else reader
    opening = map_reader.begin_map()
    pairs = map_reader.pairs()
    return start, reader.at, opening, pairs


class Fastjson2(Body):
    """Serialization 23."""

    def head_end(self, frame: bytes) -> int:
        at, unpack = HEAD, _SIZE.unpack_from
        try:
            for _ in range(5):
                at += 4 + unpack(frame, at)[0]
        except struct.error:
            return 0
        return at if at <= len(frame) else 0

    def head(self, frame: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            start, end = _counted(frame, at)
            texts.append(_whole(jsonb.Reader(frame, start, end), jsonb.Reader.string))
            at = end
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        return jsonb.Reader(frame, *_counted(frame, at)).text()

    def result(self, frame: bytes) -> tuple[int | None, int]:
        if frame[HEAD : HEAD + 5] == b"\0\0\0\2\xbd":  # a byte, which is what Java writes
            return frame[HEAD + 5], HEAD + 6
        start, end = _counted(frame, HEAD)
        return _whole(jsonb.Reader(frame, start, end), jsonb.Reader.integer), end

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _counted(frame, at)[1]
        if at == len(frame):
            return at, at, b"\xa6", ()
        start, end = _counted(frame, at)
        plain = jsonb.plain_pairs(frame, start, end)
        if plain is not None:
            return at, end, b"\xa6", plain
        reader = jsonb.Reader(frame, start, end)
        if reader.peek() == jsonb.NULL:
            return at, end, b"\xa6", ()
        opening = reader.begin_map()
        return at, end, opening, _whole(reader, jsonb.Reader.pairs)

    def pair(self, key: str, value: str) -> bytes:
        return jsonb.write_string(key) + jsonb.write_string(value)

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        content = b"".join(raws)
        return b"".join((_SIZE.pack(len(opening) + len(content) + 1), opening, content, b"\xa5"))

    def string(self, text: str) -> bytes:
        data = jsonb.write_string(text)
        return _SIZE.pack(len(data)) + data

    def event(self, frame: bytes) -> str:
        return jsonb.Reader(frame, *_counted(frame, HEAD)).text() or ""


def _counted(frame: bytes, at: int) -> tuple[int, int]:
    """Where an item with four bytes of length in front begins and ends."""
    start = at + 4
    if start > len(frame):
        raise FrameError(f"fastjson2: an item expected at {at}; the frame has {len(frame)} bytes")
    end = start + int(_SIZE.unpack_from(frame, at)[0])
    if end > len(frame):
        raise FrameError(f"fastjson2: the item at {at} reaches {end - len(frame)} bytes beyond the body")
    return start, end


def _whole(reader: jsonb.Reader, read: Callable[[jsonb.Reader], T]) -> T:
    """What `read` gives of a document that it must use up."""
    value = read(reader)
    if reader.at != reader.end:
        raise FrameError(f"fastjson2: {reader.end - reader.at} bytes left of the item that ends at {reader.end}")
    return value


_SPACE = re.compile(r"[ \t\r]*")
_JSON = json.JSONDecoder()


class JsonLines(Body):
    """Serializations 6 (fastjson) and 16 (gson)."""

    def head_end(self, frame: bytes) -> int:
        at = HEAD
        for _ in range(5):
            at = frame.find(b"\n", at) + 1
            if not at:
                return 0
        return at

    def head(self, frame: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            text = _json(frame, at)
            if text is not None and not isinstance(text, str):
                raise FrameError(f"JSON: a string expected at {at}, {text!r:.64} read")
            texts.append(text or "")
            at = _line_end(frame, at)
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        value = _json(frame, at)
        return value if isinstance(value, str) else None

    def result(self, frame: bytes) -> tuple[int | None, int]:
        value = _json(frame, HEAD)
        if value is not None and type(value) is not int:
            raise FrameError(f"JSON: a result type expected, {value!r:.64} read")
        return value, _line_end(frame, HEAD)

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _line_end(frame, at)
        if at == len(frame):
            return at, at, b"{", ()
        end = _line_end(frame, at)
        try:
            line = frame[at:end].decode().strip()
            pairs = () if line == "null" else list(_members(line))
        except (ValueError, RecursionError, IndexError) as error:
            raise FrameError(f"JSON: the attachments at {at} are no object: {error}") from error
        return at, end, b"{", pairs

    def pair(self, key: str, value: str) -> bytes:
        return f"{_written(key)}:{_written(value)}".encode()

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        return opening + b",".join(raws) + b"}\n"

    def string(self, text: str) -> bytes:
        return f"{_written(text)}\n".encode()

    def event(self, frame: bytes) -> str:
        return self.first_argument(frame, HEAD) or ""


def _written(text: str) -> str:
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)


def _line_end(frame: bytes, at: int) -> int:
    end = frame.find(b"\n", at) + 1
    if end:
        return end
    if at >= len(frame):
        raise FrameError(f"JSON: a line expected at {at}, where the body ends")
    return len(frame)


def _json(frame: bytes, at: int) -> Any:
    try:
        return _JSON.decode(frame[at : _line_end(frame, at)].decode())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"JSON: the line at {at} cannot be read: {error}") from error


def _members(text: str) -> Iterator[Pair]:
    """The members of an object. Raises ValueError or IndexError when it is none."""
    at, mark = 0, "{"
    while text[at] == mark:
        start = _space(text, at + 1)
        if text[start] == "}" and mark == "{":
            at = start
            break
        if text[start] != '"':
            raise ValueError(f"a key expected at {start}")
        key, at = scanstring(text, start + 1)
        at = _space(text, at)
        if text[at] != ":":
            raise ValueError(f"a colon expected at {at}")
        begin = _space(text, at + 1)
        value, end = _JSON.raw_decode(text, begin)
        shown = value if isinstance(value, str) else None
        if value is not None and not isinstance(value, (str, dict, list)):
            shown = text[begin:end]
        yield key, shown, text[start:end].encode("utf-8", "surrogatepass"), isinstance(value, (dict, list))
        at, mark = _space(text, end), ","
    if text[at:] != "}":
        raise ValueError(f"the end expected at {at}")


def _space(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


class Protobuf(Body):
    """Serialization 22. Java writes nothing at all where there are no attachments."""

    def head_end(self, frame: bytes) -> int:
        at = HEAD
        try:
            for _ in range(5):
                size, at = _varint(frame, at)
                at += size
        except FrameError:
            return 0
        return at if at <= len(frame) else 0

    def head(self, frame: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            start, end = _delimited(frame, at)
            texts.append(_string_value(frame, start, end))
            at = end
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        return _string_value(frame, *_delimited(frame, at))

    def result(self, frame: bytes) -> tuple[int | None, int]:
        start, end = _delimited(frame, HEAD)
        value = 0  # which protobuf leaves out
        for number, wire, at, _ in _fields(frame, start, end):
            if (number, wire) == (1, 0):
                value = _varint(frame, at)[0]
        return value, end

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _delimited(frame, at)[1]
        if at == len(frame):
            return at, at, b"", ()
        pairs: list[Pair] = []
        start, end = _delimited(frame, at)
        begin = start
        for number, wire, value, stop in _fields(frame, start, end):
            key, text = _entry(frame, value, stop) if (number, wire) == (1, 2) else (None, None)
            if len(pairs) >= MAX_PAIRS:
                raise FrameError(f"protobuf: a map of more than {MAX_PAIRS} attachments")
            pairs.append((key, text, frame[begin:stop], False))
            begin = stop
        return at, end, b"", pairs

    def pair(self, key: str, value: str) -> bytes:
        entry = b"".join(
            tag + _write_varint(len(data)) + data
            for tag, data in ((b"\x0a", key.encode("utf-8", "replace")), (b"\x12", value.encode("utf-8", "replace")))
        )
        return b"\x0a" + _write_varint(len(entry)) + entry

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        content = b"".join(raws)
        return _write_varint(len(content)) + content

    def string(self, text: str) -> bytes:
        data = text.encode("utf-8", "replace")
        value = b"\x0a" + _write_varint(len(data)) + data if data else b""
        return _write_varint(len(value)) + value

    def event(self, frame: bytes) -> str:
        text = _string_value(frame, *_delimited(frame, HEAD))
        return "" if text == "H" else text


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = 0
    for index in range(10):
        if at + index >= len(data):
            raise FrameError(f"protobuf: the body ends at {len(data)}, in the middle of a number")
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise FrameError(f"protobuf: a number of more than ten bytes at {at}")


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(frame: bytes, at: int) -> tuple[int, int]:
    """Where an item with a varint of length in front begins and ends."""
    size, start = _varint(frame, at)
    end = start + size
    if end > len(frame):
        raise FrameError(f"protobuf: the item at {at} reaches {end - len(frame)} bytes beyond the body")
    return start, end


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of the value of each field of a message."""
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            start, stop = at, _varint(data, at)[1]
        elif wire == 2:
            start, stop = _delimited(data, at)
        elif wire in (1, 5):
            start, stop = at, at + (8 if wire == 1 else 4)
        else:
            raise FrameError(f"protobuf: wire type {wire} before {at}")
        if stop > end:
            raise FrameError(f"protobuf: a field reaches {stop - end} bytes beyond its message")
        yield number, wire, start, stop
        at = stop


def _string_value(data: bytes, at: int, end: int) -> str:
    """Field 1 of a message, a string."""
    text = ""
    for number, wire, start, stop in _fields(data, at, end):
        if (number, wire) == (1, 2):
            text = _utf8(data[start:stop])
    return text


def _entry(data: bytes, at: int, end: int) -> tuple[str, str]:
    """Key and value of a map's entry."""
    texts = {1: "", 2: ""}
    for number, wire, start, stop in _fields(data, at, end):
        if wire == 2 and number in texts:
            texts[number] = _utf8(data[start:stop])
    return texts[1], texts[2]


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FrameError(f"protobuf: a string that is no UTF-8: {error.reason}") from error


BODIES: Final[dict[int, Body]] = {2: Hessian2(), 6: JsonLines(), 16: JsonLines(), 22: Protobuf(), 23: Fastjson2()}
