"""
A client of bRPC's calls and streams, by hand (wire.py). Job: {port, steps}; all steps share one connection.

Steps, results in brackets; stream: any name, "s" when it is left out:
{do: "open", stream, mode, user_fields: {}, own: its id here} [{text, accepted}]: a mode of stream_server.py
{do: "send", stream, text} [null]    {do: "fill", stream, bytes, seconds} [null]: one message, TimeoutError when
    credit does not come in so many seconds           {do: "receive", stream} [text]
{do: "size", stream} [{bytes} of the next message]     {do: "close", stream} [null]      {do: "reset", stream} [null]
{do: "closed", stream} ["closed" or "reset"]: waits for the other side
{do: "call", service, method, text, attachment, log_id, user_fields: {}, timeout_ms}
    [{code, error, text, attachment, correlation_id_kept, user_fields}]: a call of any service, text in field 1
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

import jobs
from wire import Fields, Frame, Stream, fields, frame, frames, nested, number, one, text

WAIT = 20.0


class Gone(Exception):
    """The stream, or the connection, ended before what was waited for."""


def pairs(found: Fields) -> dict[str, str]:
    each = [fields(pair) for pair in found.get(9, []) if isinstance(pair, bytes)]
    return {text(pair, 1).decode(): text(pair, 2).decode() for pair in each}


class Connection:
    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), WAIT)
        self._sock.settimeout(None)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()
        self._calls: dict[int, queue.Queue[Frame | None]] = {}
        self._streams: dict[str, Stream] = {}
        self._inbox: dict[int, queue.Queue[bytes | None]] = {}
        self._numbers = itertools.count(1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for arrived in frames(self._sock):
                if arrived.magic == b"PRPC":
                    self._answered(arrived)
                else:
                    self._arrived(arrived)
        except (OSError, ValueError):
            pass  # reported to all that wait
        for waiting in (*self._calls.values(), *self._inbox.values()):
            waiting.put(None)

    def _answered(self, answer: Frame) -> None:
        number_ = one(answer.meta, 4)
        if number_ not in self._calls and len(self._calls) == 1:  # brpc-java's errors have 0
            (number_,) = self._calls
        self._calls[number_].put(answer)

    def _arrived(self, arrived: Frame) -> None:
        for stream in self._streams.values():
            if stream.own == one(arrived.meta, 1):
                if not stream.other:  # its first frame was quicker than the answer to the call
                    stream.other = one(arrived.meta, 2)
                message = stream.receive(arrived)
                if message is not None or stream.closed:
                    self._inbox[stream.own].put(message)

    def ask(self, service: str, method: str, given: dict[str, Any], more: bytes = b"") -> tuple[Frame, int]:
        correlation = next(self._numbers)
        request = nested(1, service.encode()) + nested(2, method.encode())
        if "log_id" in given:
            request += number(3, given["log_id"])
        if "timeout_ms" in given:
            request += number(8, given["timeout_ms"])
        attachment = given.get("attachment", "").encode("latin-1")
        meta = nested(1, request) + number(3, 0) + number(4, correlation) + more
        if attachment:
            meta += number(5, len(attachment))
        for key, value in given.get("user_fields", {}).items():
            meta += nested(9, nested(1, key.encode()) + nested(2, value.encode()))
        waiting = self._calls[correlation] = queue.Queue()
        with self._lock:
            self._sock.sendall(frame(b"PRPC", meta, nested(1, given.get("text", "").encode()) + attachment))
        answer = waiting.get(timeout=WAIT)
        del self._calls[correlation]
        if answer is None:
            raise Gone("the connection ended")
        return answer, correlation

    def call(self, given: dict[str, Any]) -> dict[str, Any]:
        answer, correlation = self.ask(given["service"], given["method"], given)
        size = one(answer.meta, 5)
        response = fields(text(answer.meta, 2))
        body = answer.body[: len(answer.body) - size]
        return {
            "code": one(response, 1),
            "error": text(response, 2).decode(),
            "text": text(fields(body), 1).decode(),
            "attachment": answer.body[len(body) :].decode("latin-1"),
            "correlation_id_kept": one(answer.meta, 4) == correlation,
            "user_fields": pairs(answer.meta),
        }

    def open(self, given: dict[str, Any]) -> dict[str, Any]:
        own = given.get("own") or next(self._numbers)
        stream = Stream(self._sock, self._lock, own, 0)
        self._inbox[own] = queue.Queue()
        self._streams[given.get("stream", "s")] = stream
        settings = nested(8, number(1, own) + number(2, 1) + number(3, 1))
        answer, _ = self.ask("example.Streams", "Open", {**given, "text": given["mode"]}, settings)
        response = fields(text(answer.meta, 2))
        if one(response, 1):
            raise Gone(f"{one(response, 1)}: {text(response, 2).decode()}")
        accepted = 8 in answer.meta
        if accepted:
            stream.other = one(fields(text(answer.meta, 8)), 1)
        return {"text": text(fields(answer.body), 1).decode(), "accepted": accepted}

    def receive(self, stream: Stream) -> bytes:
        message = self._inbox[stream.own].get(timeout=WAIT)
        if message is None:
            self._inbox[stream.own].put(None)  # for who asks after this one
            raise Gone("reset" if stream.reset else "closed")
        return message

    def closed(self, stream: Stream) -> str:
        try:
            while True:
                self.receive(stream)
        except Gone as gone:
            return str(gone)

    def step(self, given: dict[str, Any]) -> Any:
        if given["do"] in ("open", "call"):
            return self.open(given) if given["do"] == "open" else self.call(given)
        stream = self._streams[given.get("stream", "s")]
        steps: dict[str, Callable[[], Any]] = {
            "send": lambda: stream.send(given["text"].encode()),
            "fill": lambda: stream.send(b"\xa5" * given["bytes"], given.get("seconds", WAIT)),
            "receive": lambda: self.receive(stream).decode("latin-1"),
            "size": lambda: {"bytes": len(self.receive(stream))},
            "close": stream.close,
            "reset": stream.abort,
            "closed": lambda: self.closed(stream),
        }
        return steps[given["do"]]()

    def end(self) -> None:
        with contextlib.suppress(OSError):  # the other side was quicker
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def run(job: jobs.Job) -> list[jobs.Result]:
    connection = Connection(job["port"])
    try:
        return [jobs.one(lambda given=given: connection.step(given)) for given in job["steps"]]
    finally:
        connection.end()


jobs.serve(run)
