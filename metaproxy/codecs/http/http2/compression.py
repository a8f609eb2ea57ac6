"""
Compressed header blocks (HPACK, RFC 7541) in both directions of one connection.

Lives here: `Decoder` and `Encoder`, each with its dynamic table and a memory of the blocks that come again and again.
The static table and the Huffman code are those of the `hpack` library. Its own classes are not used: they spend 44 µs
on the blocks of a call, look at the whole table for each field, and can't say whether a block changed the table. Does
not: what the fields mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from metaproxy.codecs.http.http2.frames import Code, ConnectionFault

Field = tuple[bytes, bytes]

TABLE_SIZE = 4096
"""Bytes of a dynamic table, in both directions: what the protocol begins with. We never ask for more."""

OVERHEAD = 32
"""What each field counts besides its bytes."""

_STATIC: tuple[Field, ...] = tuple((bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE)
_FIRST_DYNAMIC = len(_STATIC) + 1

_EXACT: dict[Field, bytes] = {field: bytes((0x80 | at,)) for at, field in enumerate(_STATIC, 1)}
_NAMES: dict[bytes, int] = {}
for _at, (_name, _) in enumerate(_STATIC, 1):
    _NAMES.setdefault(_name, _at)

SECRET = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"))
"""Fields that go into no table, so that they can't be guessed by the size of what shares a connection with them."""

_KEPT_BLOCKS = 32
_KEPT_SIZE = 4096


class Block:
    """
    What one compressed block held. fields: in their order. never: the names of those that must go into no table of
    another connection either. oversized: the list is over the bound, and its end is missing here. parsed: what a
    session made of it, kept with it: a block that comes again is not looked at again.
    """

    __slots__ = ("fields", "never", "oversized", "parsed")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.never: frozenset[bytes] = frozenset()
        self.oversized = False
        self.parsed: object = None


class Decoder:
    """
    Reads a peer's blocks. limit: bytes that a list of fields may have, counted as the RFC does.

    Each block must pass through `decode`, also that of a stream which is not wanted: the table depends on all of them.
    Work is linear in the block's bytes; what one byte refers to is not copied, so a small block can't become large.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._table: deque[Field] = deque()
        self._used = 0
        self._most = TABLE_SIZE
        self._kept: dict[bytes, Block] = {}

    def decode(self, data: bytes) -> Block:
        """The fields of a block. Raises ConnectionFault when it can't be read: nothing after it can be, either."""
        kept = self._kept.get(data)
        if kept is not None:
            return kept
        try:
            return self._decode(data)
        except IndexError:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block that refers to nothing, or is cut") from None
        except HPACKDecodingError as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"a header block: {error}") from None

    def _decode(self, data: bytes) -> Block:
        block, table = Block(), self._table
        fields = block.fields
        at, end, total, changed, limit = 0, len(data), 0, False, self._limit
        never: set[bytes] = set()
        while at < end:
            first = data[at]
            if first & 0x80:
                index = first & 0x7F
                at += 1
                if index == 0x7F:
                    index, at = _integer(data, at, 0x7F)
                field = _STATIC[index - 1] if index < _FIRST_DYNAMIC else table[index - _FIRST_DYNAMIC]
                if not index:
                    raise IndexError
            elif first & 0x40:
                field, at = self._literal(data, at, 0x3F)
                self._insert(field)
                changed = True
            elif first & 0x20:
                if total:
                    raise ConnectionFault(Code.COMPRESSION_ERROR, "a change of the table's size behind a field")
                at = self._resize(data, at)
                changed = True
                continue
            else:
                field, at = self._literal(data, at, 0x0F)
                if first & 0x10:
                    never.add(field[0])
            total += len(field[0]) + len(field[1]) + OVERHEAD
            if total <= limit:
                fields.append(field)
        block.oversized = total > limit
        if never:
            block.never = frozenset(never)
        if changed:
            self._kept.clear()
        elif total <= _KEPT_SIZE:
            if len(self._kept) >= _KEPT_BLOCKS:
                self._kept.clear()
            self._kept[data] = block
        return block

    def _literal(self, data: bytes, at: int, mask: int) -> tuple[Field, int]:
        """The field that is spelled out at `at`, and where it ends; its name may be one of a table."""
        index = data[at] & mask
        at += 1
        if index == mask:
            index, at = _integer(data, at, mask)
        if not index:
            name, at = _text(data, at)
        elif index < _FIRST_DYNAMIC:
            name = _STATIC[index - 1][0]
        else:
            name = self._table[index - _FIRST_DYNAMIC][0]
        value, at = _text(data, at)
        return (name, value), at

    def _insert(self, field: Field) -> None:
        self._table.appendleft(field)
        self._used += len(field[0]) + len(field[1]) + OVERHEAD
        self._evict()

    def _resize(self, data: bytes, at: int) -> int:
        size = data[at] & 0x1F
        at += 1
        if size == 0x1F:
            size, at = _integer(data, at, 0x1F)
        if size > TABLE_SIZE:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"a table of {size} bytes; at most {TABLE_SIZE}")
        self._most = size
        self._evict()
        return at

    def _evict(self) -> None:
        while self._used > self._most:
            name, value = self._table.pop()
            self._used -= len(name) + len(value) + OVERHEAD


def _integer(data: bytes, at: int, value: int) -> tuple[int, int]:
    """A number that goes on in the bytes from `at` on, and where it ends. Raises IndexError when it does not."""
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ConnectionFault(Code.COMPRESSION_ERROR, "a number of more than 5 bytes in a header block")


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    """A string and where it ends. Raises IndexError when it is cut, HPACKDecodingError when its code is wrong."""
    first = data[at]
    size = first & 0x7F
    at += 1
    if size == 0x7F:
        size, at = _integer(data, at, 0x7F)
    stop = at + size
    if stop > len(data):
        raise IndexError
    raw = data[at:stop]
    return (decode_huffman(raw) if first & 0x80 else raw), stop


class Encoder:
    """
    Writes blocks for a peer.

    A field goes into the table when it is seen a second time, until the table is full; nothing is ever thrown out of it
    for another, so that a block that was written before stays right until the next insertion, and is kept. Values that
    change with each message (ids, times) stay out by themselves. Strings are not Huffman coded: that costs more time
    than the bytes are worth.
    """

    def __init__(self) -> None:
        self._most = TABLE_SIZE
        self._used = 0
        self._indexes: dict[Field, int] = {}  # counted from the oldest
        self._names: dict[bytes, int] = {}
        self._seen: set[Field] = set()
        self._kept: dict[object, bytes] = {}
        self._pending = b""  # changes of the table's size, for the front of the next block

    def limit(self, size: int) -> None:
        """The peer keeps a table of at most so many bytes: begin with an empty one."""
        most = min(size, TABLE_SIZE)
        if most == self._most:
            return
        self._most, self._used = most, 0
        self._indexes.clear()
        self._names.clear()
        self._seen.clear()
        self._kept.clear()
        self._pending = b"\x20" + _number(most, 0x1F, 0x20)

    def kept(self, key: object) -> bytes | None:
        """The block that was written for an equal key, if it is still right."""
        return self._kept.get(key)

    def encode(self, fields: Iterable[Field], never: frozenset[bytes] = frozenset(), key: object = None) -> bytes:
        """The block of these fields. never: names that go into no table; key: under which to keep it, None: not."""
        parts: list[bytes] = []
        if never:
            key = None  # an equal message may come without that wish
        if self._pending:
            parts.append(self._pending)
            self._pending = b""
            key = None
        inserted, seen = len(self._indexes), len(self._seen)
        for field in fields:
            code = _EXACT.get(field)
            if code is None:
                code = self._field(field, never)
            parts.append(code)
        block = b"".join(parts)
        if len(self._indexes) != inserted:
            self._kept.clear()
        elif key is not None and len(self._seen) == seen and len(block) <= _KEPT_SIZE:
            if len(self._kept) >= _KEPT_BLOCKS:
                self._kept.clear()
            self._kept[key] = block
        return block

    def _field(self, field: Field, never: frozenset[bytes]) -> bytes:
        name = field[0]
        if name in SECRET or name in never:
            return self._spelled(field, 0x10, 0x0F)
        at = self._indexes.get(field)
        if at is not None:
            return _number(_FIRST_DYNAMIC + len(self._indexes) - 1 - at, 0x7F, 0x80)
        size = len(name) + len(field[1]) + OVERHEAD
        if self._used + size > self._most:
            return self._spelled(field, 0x00, 0x0F)
        if field not in self._seen:
            if len(self._seen) >= 256:
                self._seen.clear()
            self._seen.add(field)
            return self._spelled(field, 0x00, 0x0F)
        code = self._spelled(field, 0x40, 0x3F)
        self._used += size
        self._names.setdefault(name, len(self._indexes))
        self._indexes[field] = len(self._indexes)
        return code

    def _spelled(self, field: Field, mark: int, mask: int) -> bytes:
        """A field as a literal, its name by number if a table has it."""
        name, value = field
        index = _NAMES.get(name)
        if index is None:
            at = self._names.get(name)
            if at is None:
                return bytes((mark,)) + _string(name) + _string(value)
            index = _FIRST_DYNAMIC + len(self._indexes) - 1 - at
        return _number(index, mask, mark) + _string(value)


def _string(text: bytes) -> bytes:
    return (bytes((len(text),)) if len(text) < 0x7F else _number(len(text), 0x7F, 0)) + text


def _number(value: int, mask: int, mark: int) -> bytes:
    """A number behind the bits that `mask` leaves free, which are `mark`."""
    if value < mask:
        return bytes((mark | value,))
    written = bytearray((mark | mask,))
    value -= mask
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
