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
from metaproxy.message import FrameError

MOST_STATEMENTS, MOST_TEXT = 10_000, 16 << 20
"""What a client may have prepared: statements, and bytes of them."""
_PARSED, _CLOSED, _DEALLOCATED = b"13C"
_PARSE, _BIND, _DESCRIBE, _CLOSE, _SYNC, _FLUSH = b"PBDCSH"
_MOST_RUNS, _LONG_RUN = 256, 256
"""How many of a client's batches are remembered, and the bytes of their constant parts that are too many."""
_OF_EITHER = frozenset((_DESCRIBE, _CLOSE))
"""What names a statement or a portal."""


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


class Prepared(NamedTuple):
    """What a client has prepared. body: what follows the name in the Parse: SQL, types; key: the server's name."""

    body: bytes
    key: bytes
    sql: bytes


class _Run(NamedTuple):
    """
    A Bind of a prepared statement, and what comes behind it, as a client sends it over and over. names: of portal and
    statement, at the server; rest: what is behind the Bind; batch: what came of it.
    """

    names: bytes
    rest: bytes
    batch: Batch


class ClientStatements:
    """What a client has prepared, by its names."""

    def __init__(self) -> None:
        self._known: dict[bytes, Prepared] = {}
        self._size = 0
        self._runs: dict[bytes, _Run] = {}  # by the names of portal and statement; while nothing is prepared or closed

    def forget(self, name: bytes) -> bool:
        """Whether there was such a statement."""
        known = self._known.pop(name, None)
        if known is None:
            return False
        self._runs.clear()
        self._size -= len(known.body)
        return True

    def clear(self) -> None:
        self._known.clear()
        self._runs.clear()
        self._size = 0

    def body(self, name: bytes) -> bytes | None:
        known = self._known.get(name)
        return None if known is None else known.body

    def sql(self, name: bytes) -> bytes | None:
        known = self._known.get(name)
        return None if known is None else known.sql

    def _keep(self, name: bytes, body: bytes) -> Prepared:
        self.forget(name)
        self._runs.clear()
        known = self._known[name] = Prepared(body, server_name(name, body), body.partition(b"\0")[0])
        self._size += len(body)
        if len(self._known) > MOST_STATEMENTS or self._size > MOST_TEXT:
            raise FrameError(f"more than {MOST_STATEMENTS} prepared statements, or {MOST_TEXT} bytes of them")
        return known

    def rewrite(self, frame: bytes) -> Batch:
        """The messages with the server's names. The last of them may be cut off. May raise FrameError."""
        if frame[0] != _BIND:
            return self._rewritten(frame)
        place = frame.find(b"\0", wire.HEAD_SIZE) + 1
        after = frame.find(b"\0", place) + 1
        names = frame[wire.HEAD_SIZE : after]
        run = self._runs.get(names)
        size: int = wire.LENGTH.unpack_from(frame, 1)[0]
        if run is not None and after <= size + 1 <= len(frame) and frame[size + 1 :] == run.rest:
            _, needs, steps, texts, runs, asks, whole = run.batch
            return Batch(_with_names(frame, size, after, run.names), needs, steps, texts, runs, asks, whole)
        batch = self._rewritten(frame)
        if not batch.steps and batch.whole and len(names) + len(frame) - size < _LONG_RUN:
            known = self._known.get(frame[place : after - 1])
            changed = names if known is None else frame[wire.HEAD_SIZE : place] + known.key + b"\0"
            if batch.frame == _with_names(frame, size, after, changed):  # nothing else has another name
                if len(self._runs) >= _MOST_RUNS:
                    self._runs.clear()
                self._runs[names] = _Run(changed, frame[size + 1 :], batch)
        return batch

    def _rewritten(self, frame: bytes) -> Batch:
        needs: dict[bytes, bytes] = {}
        done: list[Step] = []
        texts: list[bytes | None] = []
        runs: list[bytes | None] = []
        parts: list[bytes] = []
        here: set[bytes] = set()
        asks, whole, head, end = 0, True, 0, len(frame)
        copied = 0  # what is before it is in `parts`
        while end - head >= wire.HEAD_SIZE:
            kind, size = wire.HEAD.unpack_from(frame, head)
            at, stop = head + wire.HEAD_SIZE, head + 1 + size
            asks += kind != _SYNC and kind != _FLUSH
            place = -1  # of the name that is another one at the server, if there is such
            if kind == _BIND:
                place = frame.find(b"\0", at, stop) + 1
                name, after = wire.text_at(frame, place, min(stop, end)) if place else wire.text_at(frame, at, stop)
                known = self._known.get(name)
                runs.append(None if known is None else known.sql)
                if name not in here:
                    texts.append(runs[-1])
                key = self._need(name, known, here, needs)
            elif kind == _PARSE:
                name, after = wire.text_at(frame, at, min(stop, end))
                if stop > end:
                    whole = False
                    self.forget(name)
                    texts.append(frame[after:])
                    key = name
                else:
                    known = self._keep(name, frame[after:stop])
                    here.add(name)
                    key = known.key
                    done.append(Step(_PARSED, key))
                    texts.append(known.sql)
                    place = at
            elif kind in _OF_EITHER and frame[at : at + 1] == b"S":
                place = at + 1
                name, after = wire.text_at(frame, place, min(stop, end))
                if kind == _DESCRIBE:
                    key = self._need(name, self._known.get(name), here, needs)
                else:
                    # It stays at the server, where others may have it: there is none of this name.
                    key = b"mp_closed" if self.forget(name) and name else name
                    done.append(Step(_CLOSED, key))
            elif kind == _CLOSE:
                done.append(Step(_CLOSED, b""))
            if place > 0 and key != name:
                size += len(key) - len(name)
                parts += frame[copied:head], wire.HEAD.pack(kind, size), frame[at:place], key
                copied = after - 1
            head = stop
        if parts:
            parts.append(frame[copied:])
            frame = b"".join(parts)
        return Batch(frame, needs, done, texts, runs, asks, whole)

    def _need(self, name: bytes, known: Prepared | None, here: set[bytes], needs: dict[bytes, bytes]) -> bytes:
        """The server's name of a statement, which it must have unless the same messages prepare it."""
        if known is None:
            return name
        if name not in here:
            needs[known.key] = known.body
        return known.key


def _with_names(frame: bytes, size: int, after: int, names: bytes) -> bytes:
    """A frame that begins with a Bind, which has other names of portal and statement, up to `after`."""
    return wire.HEAD.pack(_BIND, size + len(names) + wire.HEAD_SIZE - after) + names + frame[after:]


def server_name(name: bytes, body: bytes) -> bytes:
    """The same for all that prepare the same. One without a name has none at the server either."""
    return b"mp_" + blake2b(body, digest_size=12).hexdigest().encode() if name else b""


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
        if not before and not batch.steps:
            return b""
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
