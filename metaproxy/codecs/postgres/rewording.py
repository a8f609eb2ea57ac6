"""
Other SQL in a client's request: in a query, and in each Parse of a batch.

Where clients log in at the proxy a server's name of a statement is made of its SQL, so that the names change with it;
and a statement that was prepared before is changed in each request that needs it, by the route of that request.

Lives here: `reword`. Does not: which texts are changed, and how (`proxy.rewording`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.client import ClientRequest
from metaproxy.codecs.postgres.effects import effects_of
from metaproxy.codecs.postgres.metadata import steps
from metaproxy.codecs.postgres.pooled_client import PooledRequest
from metaproxy.codecs.postgres.statements import Batch, server_name
from metaproxy.message import FrameError, Kind

Change = Callable[[str], "str | None"]


def reword(request: ClientRequest, change: Change) -> ClientRequest | None:
    """See ICodec.reword."""
    if request.login or request.kind not in (Kind.REQUEST, Kind.STREAM_OPEN):
        return None
    if request.kind is Kind.STREAM_OPEN:
        raise FrameError("it is longer than `stream_over`")
    pooled = request if isinstance(request, PooledRequest) else None
    reworder = _Reworder(change, pooled is not None)
    frame = request.frame
    if frame[:1] == b"Q":
        if pooled is not None and pooled.batch is not None:  # DEALLOCATE
            return None
        text = frame[wire.HEAD_SIZE :].partition(b"\0")[0]
        said = reworder.text(text)
        return None if said is text else request.with_frame(wire.message(b"Q", said + b"\0"))
    if pooled is None or pooled.batch is None:
        said = reworder.batch(frame)
        return request.with_frame(said) if reworder.changed else None
    batch = reworder.whole(pooled.batch)
    if not reworder.changed:
        return None
    other = pooled.with_frame(batch.frame)
    assert isinstance(other, PooledRequest)  # as it is a copy
    other.batch = batch
    return other


class _Reworder:
    """tracked: whether it matters what statements do to their session."""

    def __init__(self, change: Change, tracked: bool) -> None:
        self.changed = False
        self._change = change
        self._tracked = tracked
        self._names: dict[bytes, bytes] = {}  # a server's name -> that of the changed statement

    def text(self, text: bytes) -> bytes:
        said = self._change(text.decode("utf-8", "surrogateescape"))
        if said is None:
            return text
        if "\0" in said:
            raise FrameError("the rule gives a text with a NUL")
        found = said.encode("utf-8", "surrogateescape")
        if self._tracked and effects_of(found) != effects_of(text):
            raise FrameError("what it is rewritten to does something else to the client's session (SET, LISTEN ...)")
        self.changed = self.changed or found != text
        return found

    def _body(self, body: bytes) -> bytes:
        """Of what follows the name in a Parse."""
        text, _, rest = body.partition(b"\0")
        return self.text(text) + b"\0" + rest

    def whole(self, batch: Batch) -> Batch:
        if not batch.whole:
            raise FrameError("it is longer than `stream_over`")
        needs = {self._renamed(key, body): body for key, body in self._bodies(batch.needs)}
        frame = self.batch(batch.frame)
        done = [step._replace(key=self._names.get(step.key, step.key)) for step in batch.steps]
        return batch._replace(frame=frame, needs=needs, steps=done)

    def _bodies(self, needs: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        return [(key, self._body(body)) for key, body in needs.items()]

    def _renamed(self, key: bytes, body: bytes) -> bytes:
        name = self._names[key] = server_name(key, body) if self._tracked else key
        return name

    def batch(self, frame: bytes) -> bytes:
        parts: list[bytes] = []
        end = len(frame)
        for kind, at, stop in steps(frame):
            head = at - wire.HEAD_SIZE
            if head + 1 + wire.LENGTH.unpack_from(frame, head + 1)[0] > end:
                raise FrameError("it is longer than `stream_over`")
            if kind == b"P":
                key, after = wire.text_at(frame, at, stop)
                body = self._body(frame[after:stop])
                parts.append(wire.message(b"P", self._renamed(key, body) + b"\0" + body))
            elif kind == b"B":
                portal, middle = wire.text_at(frame, at, stop)
                key, after = wire.text_at(frame, middle, stop)
                parts.append(wire.message(b"B", portal + b"\0" + self._name(key) + b"\0" + frame[after:stop]))
            elif (kind == b"D" or kind == b"C") and frame[at : at + 1] == b"S":
                key, after = wire.text_at(frame, at + 1, stop)
                parts.append(wire.message(kind, b"S" + self._name(key) + b"\0" + frame[after:stop]))
            else:
                parts.append(frame[head:stop])
        return b"".join(parts)

    def _name(self, key: bytes) -> bytes:
        return self._names.get(key, key)
