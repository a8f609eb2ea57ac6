"""
Values in the encodings binary and compact of Thrift as JSON, by the types of an IDL. What the IDL has not is left out.

Lives here: `READERS`. Does not: what is sent (`thrift_writing`); heads of messages (`codecs.thrift`).
"""

from __future__ import annotations

import base64
import struct
import uuid
from collections.abc import Callable, Mapping

from metaproxy.codecs.thrift.encodings import whole_varint
from metaproxy.filters.transcode.thrift_types import BINARY, BITS, COMPACT, MAX_DEPTH, Struct, Type
from metaproxy.message import FrameError


class Reader:
    """Reads values of `data` from `at` on. Raises FrameError for what is none. What the IDL has not is left out."""

    codes: Mapping[str, int]

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def struct(self, kind: Struct, depth: int = 0) -> dict[str, object]:
        """The fields that are there."""
        return {kind.by_number[number].name: value for number, value in self.fields(kind, depth).items()}

    def fields(self, kind: Struct, depth: int = 0) -> dict[int, object]:
        """The same by their numbers."""
        if depth > MAX_DEPTH:
            raise FrameError(f"structs and containers nested more than {MAX_DEPTH} deep")
        found: dict[int, object] = {}
        last = 0
        while (head := self._field(last)) is not None:
            code, last, flag = head
            field = kind.by_number.get(last)
            if field is None or not self._fits(code, field.type):
                if flag is None:
                    self._skip(code, depth + 1)
            else:
                found[last] = flag if flag is not None else self.value(field.type, depth + 1)
        return found

    def value(self, type: Type, depth: int) -> object:
        kind = type.kind
        if kind == "enum" and type.enum is not None:
            number = self._whole("enum")
            return type.enum.names.get(number, number)
        if kind in BITS:
            return self._whole(kind)
        if kind == "bool":
            return self._bool()
        if kind == "double":
            return _shown(self._double())
        if kind == "string":
            return self._take(self._size()).decode("utf-8", "replace")
        if kind == "binary":
            return base64.b64encode(self._take(self._size())).decode()
        if kind == "uuid":
            return str(uuid.UUID(bytes=self._take(16)))
        if kind == "struct" and type.struct is not None:
            return self.struct(type.struct, depth)
        return self._container(type, depth + 1)

    def _container(self, type: Type, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise FrameError(f"structs and containers nested more than {MAX_DEPTH} deep")
        if type.kind == "map":
            size, first, second = self._map()
            if size and not (self._fits(first, type.parts[0]) and self._fits(second, type.parts[1])):
                raise FrameError("a map of other types than the IDL says")
            return {_key(self.value(type.parts[0], depth)): self.value(type.parts[1], depth) for _ in range(size)}
        size, code = self._list()
        if size and not self._fits(code, type.parts[0]):
            raise FrameError(f"a {type.kind} of another type than the IDL says")
        return [self.value(type.parts[0], depth) for _ in range(size)]

    def _fits(self, code: int, type: Type) -> bool:
        return code == self.codes[type.kind]

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise FrameError(f"a value at byte {self.at} runs past the end of its frame")
        found = self.data[self.at : end]
        self.at = end
        return found

    def _counted(self, count: int) -> int:
        """A number of values that follow; each takes a byte at least."""
        if not 0 <= count <= len(self.data) - self.at:
            raise FrameError(f"{count} values announced in {len(self.data) - self.at} bytes")
        return count

    def _skip(self, code: int, depth: int) -> None:
        """Steps over a value that the IDL does not have."""
        if depth > MAX_DEPTH:
            raise FrameError(f"structs and containers nested more than {MAX_DEPTH} deep")
        kind = self._kind(code)
        if kind == "struct":
            self.fields(_EMPTY, depth + 1)
        elif kind == "map":
            size, first, second = self._map()
            for _ in range(size):
                self._skip(first, depth + 1)
                self._skip(second, depth + 1)
        elif kind in ("list", "set"):
            size, inner = self._list()
            for _ in range(size):
                self._skip(inner, depth + 1)
        else:
            self.value(Type(kind), depth)

    def _kind(self, code: int) -> str:
        for kind, known in self.codes.items():
            if known == code:
                return kind
        raise FrameError(f"type {code} at byte {self.at}, which does not exist")

    def _field(self, last: int) -> tuple[int, int, bool | None] | None:
        """Type and number of the next field, and its value where that stands in its head; None at the end."""
        raise NotImplementedError

    def _whole(self, kind: str) -> int:
        raise NotImplementedError

    def _bool(self) -> bool:
        raise NotImplementedError

    def _double(self) -> float:
        raise NotImplementedError

    def _size(self) -> int:
        raise NotImplementedError

    def _list(self) -> tuple[int, int]:
        raise NotImplementedError

    def _map(self) -> tuple[int, int, int]:
        raise NotImplementedError


_EMPTY = Struct("nothing")
_EMPTY.index()


def _key(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _shown(value: float) -> object:
    if value != value:
        return "NaN"
    return ("Infinity" if value > 0 else "-Infinity") if value in (float("inf"), float("-inf")) else value


class BinaryReader(Reader):
    codes = BINARY

    def _field(self, last: int) -> tuple[int, int, bool | None] | None:
        code = self._take(1)[0]
        return None if not code else (code, int.from_bytes(self._take(2), "big", signed=True), None)

    def _whole(self, kind: str) -> int:
        return int.from_bytes(self._take(BITS[kind] // 8), "big", signed=True)

    def _bool(self) -> bool:
        return self._take(1) != b"\0"

    def _double(self) -> float:
        return float(struct.unpack(">d", self._take(8))[0])

    def _size(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def _list(self) -> tuple[int, int]:
        code = self._take(1)[0]
        return self._counted(self._size()), code

    def _map(self) -> tuple[int, int, int]:
        first, second = self._take(2)
        return self._counted(self._size()), first, second


class CompactReader(Reader):
    codes = COMPACT

    def _fits(self, code: int, type: Type) -> bool:
        return code == COMPACT[type.kind] or (type.kind == "bool" and code == 2)

    def _kind(self, code: int) -> str:
        return "bool" if code == 2 else super()._kind(code)

    def _varint(self) -> int:
        value, self.at = whole_varint(self.data, self.at, len(self.data))
        return value

    def _signed(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _field(self, last: int) -> tuple[int, int, bool | None] | None:
        first = self._take(1)[0]
        if not first:
            return None
        code = first & 15
        number = last + (first >> 4) if first >> 4 else self._signed()
        return code, number, code == 1 if code in (1, 2) else None

    def _whole(self, kind: str) -> int:
        if kind == "i8":
            return int.from_bytes(self._take(1), "big", signed=True)
        return self._signed()

    def _bool(self) -> bool:
        return self._take(1) == b"\1"

    def _double(self) -> float:
        return float(struct.unpack("<d", self._take(8))[0])

    def _size(self) -> int:
        return self._varint()

    def _list(self) -> tuple[int, int]:
        head = self._take(1)[0]
        size = head >> 4 if head >> 4 < 15 else self._varint()
        return self._counted(size), head & 15

    def _map(self) -> tuple[int, int, int]:
        size = self._counted(self._varint())
        if not size:
            return 0, 0, 0
        head = self._take(1)[0]
        return size, head >> 4, head & 15


READERS: dict[str, Callable[[bytes, int], Reader]] = {"binary": BinaryReader, "compact": CompactReader}
