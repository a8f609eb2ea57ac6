"""
A relay that records what real peers say to each other, and the form in which it is kept in tests/golden.

Lives here: the relay, one exchange of it, its file, which holds

    {"source": "client -> server, with versions",
     "exchanges": [{"what": "sayHello('bob')", "frames": [{"from": "client", "hex": "dabb c2 00 ..."}, ...]}]}

one exchange a connection. Dubbo's frames, and Thrift's with a length in front, stand alone and are grouped by their
fields; other bytes stand together until the other side speaks. bytes.fromhex ignores the blanks.
Does not: which calls of which peers are recorded (record.py).
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from running import ROOT

GOLDEN = ROOT / "tests" / "golden"
Frame = dict[str, str]
Reads = list[tuple[str, bytes]]
Frames = Callable[[Reads], list[Frame]]


class Relay:
    """Passes connections on to a port of 127.0.0.1 and keeps what went each way, a list of reads a connection."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[Reads] = []
        self._open: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reads: Reads = []
            self.connections.append(reads)
            for side, source, sink in (("client", client, server), ("server", server, client)):
                thread = threading.Thread(target=self._pass, args=(side, source, sink, reads), daemon=True)
                thread.start()
                self._open.append(thread)

    @staticmethod
    def _pass(side: str, source: socket.socket, sink: socket.socket, reads: Reads) -> None:
        try:
            while data := source.recv(1 << 20):
                reads.append((side, data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # the other side is gone
            pass

    def close(self) -> None:
        self._listener.close()
        for thread in self._open:
            thread.join(1)


def runs(reads: Reads) -> Iterator[tuple[str, bytes]]:
    """The reads, those of one side joined until the other side speaks."""
    side, data = "", b""
    for who, piece in reads:
        if who != side and data:
            yield side, data
            data = b""
        side = who
        data += piece
    if data:
        yield side, data


def whole_frames(data: bytes, size: Callable[[bytes], int]) -> Iterator[bytes]:
    """The frames of a run of bytes. size: of the frame that begins with these bytes."""
    while data:
        end = size(data)
        yield data[:end]
        data = data[end:]


def grouped(frame: bytes, *widths: int) -> str:
    """The frame in hex, a blank after each of the fields at its start."""
    parts, start = [], 0
    for width in widths:
        parts.append(frame[start : start + width].hex())
        start += width
    return " ".join([*parts, frame[start:].hex()]).strip()


def dubbo_frames(reads: Reads) -> list[Frame]:
    size: Callable[[bytes], int] = lambda data: 16 + struct.unpack_from(">i", data, 12)[0]  # noqa: E731
    return [
        {"from": side, "hex": grouped(frame, 2, 1, 1, 8, 4)}
        for side, data in runs(reads)
        for frame in whole_frames(data, size)
    ]


def brpc_frames(reads: Reads) -> list[Frame]:
    size: Callable[[bytes], int] = lambda data: 12 + struct.unpack_from(">I", data, 4)[0]  # noqa: E731
    return [
        {"from": side, "hex": grouped(frame, 4, 4, 4, struct.unpack_from(">I", frame, 8)[0])}
        for side, data in runs(reads)
        for frame in whole_frames(data, size)
    ]


def trpc_frames(reads: Reads) -> list[Frame]:
    size: Callable[[bytes], int] = lambda data: struct.unpack_from(">I", data, 4)[0]  # noqa: E731
    return [
        {"from": side, "hex": grouped(frame, 2, 1, 1, 4, 2, 4, 1, 1, struct.unpack_from(">H", frame, 8)[0])}
        for side, data in runs(reads)
        for frame in whole_frames(data, size)
    ]


def amqp_frames(reads: Reads) -> list[Frame]:
    """The eight bytes with which a client begins stand alone, too."""

    def size(data: bytes) -> int:
        return 8 if data.startswith(b"AMQP") else 8 + int.from_bytes(data[3:7], "big")

    return [
        {"from": side, "hex": grouped(frame, 1, 2, 4, 2, 2)}
        for side, data in runs(reads)
        for frame in whole_frames(data, size)
    ]


def mongodb_frames(reads: Reads) -> list[Frame]:
    size: Callable[[bytes], int] = lambda data: struct.unpack_from("<i", data)[0]  # noqa: E731
    return [
        {"from": side, "hex": grouped(frame, 4, 4, 4, 4)}
        for side, data in runs(reads)
        for frame in whole_frames(data, size)
    ]


def thrift_frames(transport: str) -> Frames:
    size: Callable[[bytes], int] = lambda data: 4 + struct.unpack_from(">i", data)[0]  # noqa: E731
    widths = {"framed": (4,), "header": (4, 2, 2, 4, 2)}

    def frames(reads: Reads) -> list[Frame]:
        if transport == "buffered":
            return [{"from": side, "hex": data.hex()} for side, data in runs(reads)]
        return [
            {"from": side, "hex": grouped(frame, *widths[transport])}
            for side, data in runs(reads)
            for frame in whole_frames(data, size)
        ]

    return frames


def redis_frames(reads: Reads) -> list[Frame]:
    """The runs, each also as text, to be read by people."""
    return [{"from": side, "hex": data.hex(), "text": data.decode("latin-1")} for side, data in runs(reads)]


def save(path: str, source: str, exchanges: list[dict[str, Any]]) -> None:
    target = GOLDEN / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"source": source, "exchanges": exchanges}, indent=1, ensure_ascii=False) + "\n")
    print(f"{target.relative_to(ROOT)}: {len(exchanges)} exchanges, {target.stat().st_size} bytes")


def exchange(
    target: int, frames: Callable[[Reads], list[Frame]], what: str, run: Callable[[int], Any]
) -> dict[str, Any]:
    """One exchange: `run(port)` makes one connection to the port, which is relayed to the target."""
    relay = Relay(target)
    try:
        results = run(relay.port)
        time.sleep(0.05)  # a one-way message is still on its way
    finally:
        relay.close()
    if len(relay.connections) != 1:
        raise RuntimeError(f"{what}: {len(relay.connections)} connections, {results}")
    return {"what": what, "frames": frames(relay.connections[0])}
