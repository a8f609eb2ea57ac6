"""
A server of bRPC's streams, by hand (wire.py): stream_server.py PORT

Service example.Streams, method Open; the text of the request (field 1) says what the stream does:
echo     each message back
sink     nothing, but for the text "end": "MESSAGES BYTES"
deaf     as sink, without FEEDBACK
count:N  N messages "0", "1", ..., then CLOSE
fill:N   one message of N bytes, then CLOSE
reset    RST at once
refuse   the call is answered without a stream
fail     the call is answered with error 2001
What happens to a stream is printed: "open MODE", "closed MODE", "reset MODE".
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading

from wire import Frame, Stream, fields, frame, frames, nested, number, one, text

INTERNAL, NO_SERVICE, NO_METHOD = 2001, 1001, 1002


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._lock = sock, threading.Lock()
        self._streams: dict[int, tuple[str, Stream]] = {}
        self._seen: dict[int, list[int]] = {}
        self._numbers = itertools.count(1001)

    def run(self) -> None:
        with self._sock:
            try:
                for arrived in frames(self._sock):
                    if arrived.magic == b"PRPC":
                        self._call(arrived)
                    else:
                        self._stream(arrived)
            except (OSError, ValueError) as error:
                print("broken", error, flush=True)

    def _answer(self, call: Frame, code: int = 0, why: str = "", more: bytes = b"", body: bytes = b"") -> None:
        response = (number(1, code) + nested(2, why.encode())) if code else b""
        meta = nested(2, response) + number(4, one(call.meta, 4)) + more
        with self._lock:
            self._sock.sendall(frame(b"PRPC", meta, body))

    def _call(self, call: Frame) -> None:
        request = fields(text(call.meta, 1))
        mode = text(fields(call.body), 1).decode()
        if text(request, 1) != b"example.Streams":
            self._answer(call, NO_SERVICE, "no such service")
        elif text(request, 2) != b"Open":
            self._answer(call, NO_METHOD, "no such method")
        elif mode == "fail":
            self._answer(call, INTERNAL, "no: fail")
        elif mode == "refuse" or 8 not in call.meta:
            self._answer(call, body=nested(1, b"refused"))
        else:
            self._open(call, mode)

    def _open(self, call: Frame, mode: str) -> None:
        own, other = next(self._numbers), one(fields(text(call.meta, 8)), 1)
        stream = Stream(self._sock, self._lock, own, other, acknowledge=mode != "deaf")
        self._streams[own], self._seen[own] = (mode, stream), [0, 0]
        print("open", mode, flush=True)
        self._answer(call, more=nested(8, number(1, own) + number(2, 1) + number(3, 1)), body=nested(1, b"opened"))
        threading.Thread(target=self._begin, args=(mode, stream), daemon=True).start()

    def _begin(self, mode: str, stream: Stream) -> None:
        kind, _, size = mode.partition(":")
        if kind == "count":
            for index in range(int(size)):
                stream.send(str(index).encode())
            stream.close()
        elif kind == "fill":
            stream.send(b"\xa5" * int(size))
            stream.close()
        elif kind == "reset":
            stream.abort()

    def _stream(self, arrived: Frame) -> None:
        found = self._streams.get(one(arrived.meta, 1))
        if found is None:  # of a stream that is over
            return
        mode, stream = found
        message = stream.receive(arrived)
        if stream.closed:
            print("reset" if stream.reset else "closed", mode, flush=True)
            del self._streams[stream.own]
            if not stream.reset and mode in ("echo", "sink", "deaf"):
                stream.close()
        elif message is not None and mode == "echo":
            stream.send(message)
        elif message is not None:
            seen = self._seen[stream.own]
            if message == b"end":
                stream.send(f"{seen[0]} {seen[1]}".encode())
            seen[0] += 1
            seen[1] += len(message)


with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listening:
    print("ready", flush=True)
    while True:
        connected, _ = listening.accept()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(connected).run, daemon=True).start()
