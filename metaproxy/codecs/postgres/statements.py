"""
Prepared statements of clients whose server connections change.

A client's names are its own, and a server's are made of what is prepared: the same for all clients that prepare the
same. So a request says which statements it needs, and a server's session prepares those that its server does not have.

Lives here: `ClientStatements`, what a client has prepared; `ServerStatements`, what a server has. Does not: where the
messages of a stream end (`units`, `server`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.metadata import steps
from metaproxy.message import FrameError

MOST_STATEMENTS, MOST_TEXT = 10_000, 16 << 20
"""What a client may have prepared: statements, and bytes of them."""
_PARSED, _CLOSED, _DEALLOCATED = b"13C"
_NAMED = frozenset((b"P", b"B", b"D", b"C"))


class Step(NamedTuple):
    """A message that changes what a server has prepared. kind: of its answer; key: the server's name for that."""

    kind: int
    key: bytes
    swallowed: bool = False

    @classmethod
    def deallocated(cls, key: bytes) -> Step:
        """For a statement of SQL, which is answered in another way."""
        return cls(_DEALLOCATED, key)


class Batch(NamedTuple):
    """
    What is sent in place of a client's messages. needs: statements that the server must have before, by its names, and
    what follows the name in a Parse; steps: those in `frame`, in order; texts: its SQL, None for what is not known;
    runs: that of it which is carried out; asks: messages that are answered; whole: False where a Parse is cut off, so
    that nothing else can have the statement.
    """

    frame: bytes
    needs: dict[bytes, bytes]
    steps: list[Step]
    texts: list[bytes | None]
    runs: list[bytes | None]
    asks: int
    whole: bool


class ClientStatements:
    """What a client has prepared: its name, and what follows it in the Parse: the SQL and the types of parameters."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, bytes] = {}
        self._size = 0

    def forget(self, name: bytes) -> bool:
        """Whether there was such a statement."""
        body = self._bodies.pop(name, None)
        if body is None:
            return False
        self._size -= len(body)
        return True

    def clear(self) -> None:
        self._bodies.clear()
        self._size = 0

    def body(self, name: bytes) -> bytes | None:
        return self._bodies.get(name)

    def sql(self, name: bytes) -> bytes | None:
        body = self._bodies.get(name)
        return None if body is None else body.partition(b"\0")[0]

    def _keep(self, name: bytes, body: bytes) -> None:
        self.forget(name)
        self._bodies[name] = body
        self._size += len(body)
        if len(self._bodies) > MOST_STATEMENTS or self._size > MOST_TEXT:
            raise FrameError(f"more than {MOST_STATEMENTS} prepared statements, or {MOST_TEXT} bytes of them")

    def rewrite(self, frame: bytes) -> Batch:
        """The messages with the server's names. The last of them may be cut off. May raise FrameError."""
        needs: dict[bytes, bytes] = {}
        done: list[Step] = []
        texts: list[bytes | None] = []
        runs: list[bytes | None] = []
        parts: list[bytes] = []
        here: set[bytes] = set()
        asks, whole, end = 0, True, len(frame)
        for kind, at, stop in steps(frame):
            head = at - wire.HEAD_SIZE
            size: int = wire.LENGTH.unpack_from(frame, head + 1)[0]
            cut = head + 1 + size > end
            asks += kind not in (b"S", b"H")
            if kind == b"P":
                name, after = wire.text_at(frame, at, stop)
                if cut:
                    whole = False
                    self.forget(name)
                    texts.append(frame[after:stop])
                else:
                    body = frame[after:stop]
                    self._keep(name, body)
                    here.add(name)
                    key = server_name(name, body)
                    done.append(Step(_PARSED, key))
                    texts.append(body.partition(b"\0")[0])
                    parts.append(_renamed(kind, b"", name, key, frame, after, stop, size))
                    continue
            elif kind == b"B":
                portal, middle = wire.text_at(frame, at, stop)
                name, after = wire.text_at(frame, middle, stop)
                text = self.sql(name)
                runs.append(text)
                if name not in here:
                    texts.append(text)
                key = self._need(name, here, needs)
                parts.append(_renamed(kind, portal + b"\0", name, key, frame, after, stop, size))
                continue
            elif (kind == b"D" or kind == b"C") and frame[at : at + 1] == b"S":
                name, after = wire.text_at(frame, at + 1, stop)
                if kind == b"D":
                    key = self._need(name, here, needs)
                else:
                    # It stays at the server, where others may have it: there is none of this name.
                    key = b"mp_closed" if self.forget(name) and name else name
                    done.append(Step(_CLOSED, key))
                parts.append(_renamed(kind, b"S", name, key, frame, after, stop, size))
                continue
            elif kind == b"C":
                done.append(Step(_CLOSED, b""))
            parts.append(frame[head:stop])
        return Batch(b"".join(parts), needs, done, texts, runs, asks, whole)

    def _need(self, name: bytes, here: set[bytes], needs: dict[bytes, bytes]) -> bytes:
        """The server's name of a statement, which it must have unless the same messages prepare it."""
        body = self._bodies.get(name)
        if body is None:
            return name
        key = server_name(name, body)
        if name not in here:
            needs[key] = body
        return key


def server_name(name: bytes, body: bytes) -> bytes:
    """The same for all that prepare the same. One without a name has none at the server either."""
    return b"mp_" + blake2b(body, digest_size=12).hexdigest().encode() if name else b""


def _renamed(
    kind: bytes, before: bytes, name: bytes, key: bytes, frame: bytes, after: int, stop: int, size: int
) -> bytes:
    """A message with another name in it, which may be cut off at its end."""
    return kind + wire.LENGTH.pack(size + len(key) - len(name)) + before + key + b"\0" + frame[after:stop]


class ServerStatements:
    """What a server has prepared on a connection. most: statements that are kept there."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._coming: deque[Step] = deque()

    def clear(self) -> None:
        self._known.clear()

    def prepend(self, batch: Batch) -> bytes:
        """What the server is sent before a batch, so that it has what that needs."""
        before: list[bytes] = []
        for key, body in batch.needs.items():
            if key in self._known:
                self._known.move_to_end(key)
                continue
            before.append(wire.message(b"P", key + b"\0" + body))
            self._coming.append(Step(_PARSED, key, True))
        for step in batch.steps:
            if step.kind == _PARSED and step.key in self._known:
                before.append(self._close(step.key))
        kept = len(self._known) + len(batch.needs) + len(batch.steps) - self._most
        if kept > 0:
            before += [self._close(key) for key in self._unused(batch, kept)]
        self._coming.extend(batch.steps)
        return b"".join(before)

    def _unused(self, batch: Batch, number: int) -> Iterator[bytes]:
        """The oldest ones that the batch does not need."""
        for key in list(self._known):
            if number > 0 and key not in batch.needs:
                number -= 1
                yield key

    def _close(self, key: bytes) -> bytes:
        self._known.pop(key, None)
        self._coming.append(Step(_CLOSED, key, True))
        return wire.message(b"C", b"S" + key + b"\0")

    @property
    def expects(self) -> bool:
        """Whether an answer to one of these messages is to come."""
        return bool(self._coming)

    def answered(self, kind: int) -> bool:
        """A message was carried out. Whether the client knows nothing of it."""
        if not self._coming or self._coming[0].kind != kind:
            return False
        step = self._coming.popleft()
        if kind == _PARSED and step.key:
            self._known[step.key] = None
        elif kind in (_CLOSED, _DEALLOCATED):
            self._known.pop(step.key, None)
        return step.swallowed

    def failed(self) -> None:
        """An error: what was to come is not carried out."""
        for step in self._coming:
            if step.kind == _CLOSED and step.swallowed:
                self._known[step.key] = None
        self._coming.clear()
