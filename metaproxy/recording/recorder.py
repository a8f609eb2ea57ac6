"""
Exchanges as they end, to a file that grows no further than it may.

Lives here: `Recorder`, hooks of ProxyService.watch, and its bounds. Does not: the chunks of streams that are open
(`stream_tape`), the file's layout (`entries`), writing (telemetry's LogFile has a thread do it), who may record what
where (`admin.record`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from metaproxy.message import Chunk, FrameError, Side
from metaproxy.recording.entries import Entry, Frame, foot, head
from metaproxy.recording.redaction import redacted
from metaproxy.recording.stream_tape import StreamTape
from metaproxy.telemetry.access_log.files import LogFile
from metaproxy.telemetry.inspect.decoded import as_time, metadata, readable, source
from metaproxy.telemetry.inspect.exchange_match import Choice
from metaproxy.telemetry.roles import CompletedExchange

MAX_FRAME = 1 << 20
"""Bytes of a frame; an exchange with a larger one is left out."""
END_ROOM = 1024
"""Bytes that are kept for the last line."""


class Recorder:
    """
    file: open for this recording alone; max_bytes, max_seconds: the first that is reached ends it; ended: called once
    then.

    exchanges, bytes: written so far. left_out: exchanges that hold a secret that can't be taken out, have a frame over
    MAX_FRAME, are streams that had begun before, or came when the disk did not keep up (`lost`). why: what ended it, ''
    while it goes on.
    """

    def __init__(
        self,
        file: LogFile,
        choice: Choice,
        max_bytes: int,
        max_seconds: float,
        ended: Callable[[], None],
        **about: object,
    ) -> None:
        self.file = file
        self.why = ""
        self.exchanges = 0
        self.bytes = 0
        self.left_out = {"secret": 0, "large": 0, "undecodable": 0, "begun": 0}
        self._tape = StreamTape()
        self._choice = choice
        self._max_bytes = max_bytes
        self._ended = ended
        self._numbers: dict[object, int] = {}
        self._next = 0
        self.began = file.clock.seconds()
        self._offset = time.time() - self.began
        self._end: IDelayedCall | None = file.clock.callLater(max_seconds, self.stop, "max_seconds")
        self._write(head(as_time(time.time()), **about))

    @property
    def lost(self) -> int:
        return self.file.counts.dropped

    @property
    def seconds(self) -> float:
        return self.file.clock.seconds() - self.began

    def on_complete(self, exchange: CompletedExchange) -> None:
        """A hook of ProxyService.watch."""
        if exchange.outcome == "event":  # nothing that could be sent again
            return
        number = self._number(exchange)
        taken = self._tape.take(exchange) if exchange.streamed else None
        if self.why or not self._choice(exchange):
            return
        if exchange.streamed and exchange.started < self.began:
            self.left_out["begun"] += 1
            return
        if taken is not None and taken.secret:
            self.left_out["secret"] += 1
            return
        entry = self._entry(exchange, number)
        if entry is not None and taken is not None:
            taken.put(entry)
        if entry is not None:
            line = entry.line()
            if self.bytes + len(line) + END_ROOM > self._max_bytes:
                self.stop("max_bytes")
                return
            self.exchanges += 1
            self._write(line)

    def on_chunk(self, exchange: CompletedExchange, chunk: Chunk, side: Side) -> None:
        """A hook of ProxyService.watch."""
        if not self.why and exchange.started >= self.began:
            self._tape.add(exchange, chunk, side, self.file.clock.seconds() - exchange.started)

    def _number(self, exchange: CompletedExchange) -> int:
        """
        Its place among the requests as they were read: those before it on its connection are complete and have theirs,
        or are still under way and get theirs now. Looked for from the end, so that each is met once.
        """
        new = []
        for one in exchange.client.under_way():
            if one in self._numbers:
                break
            new.append(one)
        for one in reversed(new):
            self._numbers[one] = self._next
            self._next += 1
        return self._numbers.pop(exchange)

    def _entry(self, exchange: CompletedExchange, number: int) -> Entry | None:
        codec, request, response = exchange.snapshot.codec, exchange.message, exchange.response
        if max(len(request.frame), len(response.frame) if response is not None else 0) > MAX_FRAME:
            self.left_out["large"] += 1
            return None
        try:
            if codec.confidential(request):
                self.left_out["secret"] += 1
                return None
            asked = redacted(codec, request)
            said = redacted(codec, response) if response is not None else (b"", ())
        except FrameError:
            self.left_out["undecodable"] += 1
            return None
        if asked is None or said is None:
            self.left_out["secret"] += 1
            return None
        return Entry(
            number=number,
            start=exchange.started - self.began,
            duration=max(exchange.ended - exchange.started, 0.0),
            connection=f"{exchange.listener}/{exchange.client.number}",
            request=Frame.of(request, asked[0], metadata(request)),
            response=None if response is None else Frame.of(response, said[0], metadata(response)),
            source=source(exchange.client.facts),
            listener=exchange.listener,
            protocol=exchange.protocol,
            operation=readable(exchange, "operation") or "-",
            route=exchange.route,
            cluster=exchange.cluster,
            endpoint=exchange.upstream_address,
            outcome=exchange.outcome,
            details=exchange.details,
            redacted=tuple(dict.fromkeys((*asked[1], *said[1]))),
        )

    def _write(self, line: str) -> None:
        self.bytes += len(line.encode())
        self.file.write(line)

    def stop(self, why: str) -> None:
        """Ends it; what is not written yet will be."""
        if self.why:
            return
        self.why = why
        if self._end is not None and self._end.active():
            self._end.cancel()
        self._numbers.clear()
        self._tape.clear()
        self._write(foot(**self.figures()))
        self.file.let_go()
        self._ended()

    def figures(self) -> dict[str, object]:
        return {
            "exchanges": self.exchanges,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "left_out": {**self.left_out, "lost": self.lost},
            "ended_by": self.why or None,
        }
