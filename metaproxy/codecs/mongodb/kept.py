"""
What only one server has: a cursor, a transaction. A request that needs one says so by a key, and a server's session
says when it has it, and when no more.

Lives here: `request_key`, `Kept`, `LargeAnswer`. Does not: which endpoint that is (the proxy); answers (`server`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from metaproxy.codecs.mongodb import bson, metadata, wire
from metaproxy.codecs.mongodb.answered import rows_of_large
from metaproxy.message import FrameError

_CURSOR: Final = "cursor"
_TRANSACTION: Final = "transaction"
_MOST: Final = 1024
"""Requests whose keys are remembered until they are answered; those that never are go first."""
_WINDOW: Final = 4096
"""Bytes behind the rows of a large answer in which its cursor's id is."""
IN_TRANSACTION: Final = b"\x08autocommit\0"
"""A field of all commands in a transaction, and perhaps of documents that a command has."""
_ENDS: Final = frozenset(("commitTransaction", "abortTransaction"))
ON_CURSORS: Final = frozenset(("getMore", "killCursors"))


def request_key(frame: bytes, body: wire.Body, name: str) -> Hashable | None:
    """The key of what a command goes on with: a getMore's cursor, the transaction that it is a part of; or None."""
    if name in ON_CURSORS:
        cursor = _cursor_of(frame, body, name)
        return None if cursor is None else (_CURSOR, cursor)
    if frame.find(IN_TRANSACTION, body.at, body.end) < 0:
        return None
    fields = {element.name: element for element in bson.elements(frame, *body)}
    if b"autocommit" not in fields or b"lsid" not in fields or b"txnNumber" not in fields:
        return None
    session, number = fields[b"lsid"], bson.number(frame, fields[b"txnNumber"])
    return _TRANSACTION, frame[session.at : session.stop], number


def _cursor_of(frame: bytes, body: wire.Body, name: str) -> float | None:
    for element in bson.elements(frame, *body):
        if name == "getMore":
            return bson.number(frame, element)
        if element.name == b"cursors" and element.type == bson.ARRAY:
            first = next(iter(bson.elements(frame, element.at, element.stop)), None)
            return bson.number(frame, first) if first is not None else None
    return None


class Kept:
    """What one server's connection has shown of it. keep: see ISession.keep."""

    __slots__ = ("_asked", "_keep")

    def __init__(self, keep: Callable[[Hashable, bool], None]) -> None:
        self._keep = keep
        self._asked: OrderedDict[int, tuple[Hashable, bool]] = OrderedDict()

    def sent(self, id: int, key: Hashable, frame: bytes) -> None:
        """A request with a key is sent here: a transaction is here from now on."""
        body = wire.last_body(frame)
        ends = metadata.first_name(frame, body.at) in _ENDS or (isinstance(key, tuple) and key[0] == _CURSOR)
        if not ends:
            self._keep(key, True)
        self._asked[id] = key, ends
        if len(self._asked) > _MOST:
            self._asked.popitem(last=False)

    def answered(self, id: int, code: int | None, cursor: float | None, last: bool = True) -> None:
        """
        code: of an error, None for none; cursor: the id that the answer names, 0 for one that is at its end; last:
        whether no other answer to the request follows.
        """
        if not last:
            if cursor:
                self._keep((_CURSOR, cursor), True)
            return
        key, ends = self._asked.pop(id, (None, False)) if self._asked else (None, False)
        if cursor:
            self._keep((_CURSOR, cursor), True)
        elif key is not None and ends and (code is None or code == _NOT_FOUND):
            self._keep(key, False)


_NOT_FOUND: Final = 43
"""CursorNotFound."""


def cursor_id(frame: bytes, first: bson.Element | None) -> float | None:
    """The id of the cursor that an answer names in its first field; None where it names none."""
    if first is None or first.name != b"cursor" or first.type != bson.DOCUMENT:
        return None
    id = next((one for one in bson.select(frame, first.at, first.stop, _ID) if one.name == b"id"), None)
    return bson.number(frame, id) if id is not None else None


_ID: Final = frozenset((b"id",))


class LargeAnswer:
    """Looks for the id of the cursor in an answer that passes in pieces: it stands behind the rows."""

    __slots__ = ("_held", "_skip", "id")

    def __init__(self, id: int, head: bytes) -> None:
        """id: of its exchange; head: its first bytes, which hold where the rows begin."""
        self.id = id
        _, rows_end = rows_of_large(head)
        self._held = head[rows_end:]
        self._skip = max(0, rows_end - len(head))

    def feed(self, data: bytes) -> float | None:
        """The id, once it is there; None before that."""
        if self._skip and self._skip >= len(data):
            self._skip -= len(data)
            return None
        self._held = (self._held + data[self._skip : self._skip + _WINDOW])[:_WINDOW]
        found = _id_in(self._held)
        self._skip = wire.LARGEST if len(self._held) == _WINDOW else 0
        return found


def _id_in(data: bytes) -> float | None:
    """The value of the field called id, in fields of which the last one may not be whole."""
    document = (len(data) + 5).to_bytes(4, "little") + data + b"\0"
    try:
        for element in bson.elements(document, 0, len(document)):
            if element.name == b"id":
                return bson.number(document, element)
    except FrameError:  # the rest is still to come, or it is the end of the document around them
        return None
    return None
