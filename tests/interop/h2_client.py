"""
An HTTP/2 client to be led step by step, on the library `h2` (.peers/python/main): frames that curl would never send.

Lives here: one connection, its streams, what has arrived on each. Does not: a pool, a redirect, anything of metaproxy.

    with H2Client(port) as client:
        stream = client.open("/sink", "POST", end=False)
        client.send(stream, b"x" * 100_000)          # waits for credit
        client.send(stream, b"", end=True)
        answer = client.answer(stream)               # status, headers, body, trailers, interim, reset

Import it inside of a test that has the marker peer("h2"): where peers are not installed there is no `h2`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import Settings

Headers = Iterable[tuple[str, str]]
WAIT = 10.0


class Late(Exception):
    """What was waited for did not come in time, or the connection ended before it."""


@dataclass
class Answer:
    """What has arrived on one stream. reset: the code of an RST_STREAM; interim: the heads of 1xx."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[list[tuple[str, str]]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    uncredited: int = 0


class H2Client:
    """
    One connection to 127.0.0.1, in clear text by prior knowledge, or with `tls` (its ALPN is set to h2).

    settings: sent first, of h2.settings.SettingCodes; credit: False for a reader that gives no credit until `credit()`;
    check: False to send headers that the library knows to be wrong.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str = "localhost",
        settings: Mapping[Any, int] | None = None,
        credit: bool = True,
        check: bool = True,
    ) -> None:
        config = H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=check, normalize_outbound_headers=check
        )
        self.h2 = H2Connection(config)
        self.goaway: ConnectionTerminated | None = None
        self.closed = False
        self._answers: dict[int, Answer] = {}
        self._pongs: list[bytes] = []
        self._credit = credit
        self._scheme = "https" if tls else "http"
        self._authority = f"127.0.0.1:{port}"
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self.socket = tls.wrap_socket(self.socket, server_hostname=server_hostname)
        self.h2.local_settings = Settings(client=True, initial_values=dict(settings or {}))
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Sends what the library holds: for what is done by `self.h2` itself."""
        self.raw(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.settimeout(WAIT)
        self.socket.sendall(data)

    def open(
        self,
        path: str = "/",
        method: str = "GET",
        headers: Headers = (),
        *,
        end: bool = True,
        authority: str = "",
        protocol: str = "",
    ) -> int:
        """Begins a request and returns its stream. protocol: that of an extended CONNECT (RFC 8441)."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", self._scheme), (":authority", authority or self._authority)]
        pseudo += [(":path", path)] + ([(":protocol", protocol)] if protocol else [])
        self.h2.send_headers(stream, [*pseudo, *headers], end_stream=end)
        self._answers[stream] = Answer()
        self.flush()
        return stream

    def connect(self, target: str) -> int:
        """Begins a CONNECT to host:port, which has no path. The client must be one that does not `check`."""
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":authority", target)])
        self._answers[stream] = Answer()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends a part of the body as credit comes."""
        rest = memoryview(data)
        while rest:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(rest))
            if room <= 0:
                self._wait(lambda: self.h2.local_flow_control_window(stream) > 0, WAIT, "credit")
                continue
            self.h2.send_data(stream, bytes(rest[:room]))
            rest = rest[room:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def trailers(self, stream: int, headers: Headers) -> None:
        """Ends the request with trailers."""
        self.h2.send_headers(stream, list(headers), end_stream=True)
        self.flush()

    def reset(self, stream: int, code: int = 8) -> None:
        """Ends the stream with an RST_STREAM: 8 is CANCEL."""
        self.h2.reset_stream(stream, code)
        self.flush()

    def credit(self, stream: int, size: int) -> None:
        """Gives the server credit for so many bytes, on the stream and on the connection."""
        self._answers[stream].uncredited -= size
        self.h2.acknowledge_received_data(size, stream)
        self.flush()

    def ping(self, data: bytes = b"12345678", seconds: float = WAIT) -> None:
        """Sends a PING and waits for its answer."""
        self.h2.ping(data)
        self.flush()
        self._wait(lambda: data in self._pongs, seconds, f"an answer to PING {data!r}")
        self._pongs.remove(data)

    def seen(self, stream: int) -> Answer:
        """What has arrived on the stream until now."""
        return self._answers[stream]

    def head(self, stream: int, seconds: float = WAIT) -> Answer:
        """Waits for the head of the answer, or for the stream's end."""
        answer = self._answers[stream]
        self._wait(lambda: answer.status or answer.ended, seconds, f"a head on stream {stream}")
        return answer

    def body(self, stream: int, size: int, seconds: float = WAIT) -> Answer:
        """Waits until so many bytes of the answer's body have arrived."""
        answer = self._answers[stream]
        self._wait(lambda: len(answer.body) >= size or answer.ended, seconds, f"{size} bytes on stream {stream}")
        return answer

    def answer(self, stream: int, seconds: float = WAIT) -> Answer:
        """Waits until the stream is over, by its end or by a reset."""
        answer = self._answers[stream]
        self._wait(lambda: answer.ended, seconds, f"the end of stream {stream}")
        return answer

    def gone(self, seconds: float = WAIT) -> ConnectionTerminated | None:
        """Waits until the server has closed the connection. Returns its GOAWAY, None when it sent none."""
        self._wait(lambda: self.closed, seconds, "the end of the connection")
        return self.goaway

    def until(self, true: Callable[[], bool], seconds: float = WAIT) -> None:
        """Reads until something is true, say of `goaway`."""
        self._wait(true, seconds, "what the test waits for")

    def _wait(self, true: Callable[[], object], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            if self.closed:
                raise Late(f"the connection ended before {what}; GOAWAY: {self.goaway}")
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise Late(f"{what} did not come within {seconds:g} s")
            self._read(rest)

    def _read(self, seconds: float) -> None:
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            self._happened(event)
        self.flush()

    def _happened(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = event
        elif isinstance(event, PingAckReceived):
            self._pongs.append(bytes(event.ping_data))
        stream = getattr(event, "stream_id", None)
        if stream in self._answers:
            self._arrived(event, self._answers[stream])

    def _arrived(self, event: Event, answer: Answer) -> None:
        if isinstance(event, InformationalResponseReceived):
            answer.interim.append(_pairs(event.headers))
        elif isinstance(event, ResponseReceived):
            answer.headers = _pairs(event.headers)
            answer.status = int(dict(answer.headers)[":status"])
        elif isinstance(event, DataReceived):
            answer.body += event.data or b""
            size = event.flow_controlled_length or 0
            answer.uncredited += size
            if self._credit and size:
                answer.uncredited = 0
                self.h2.acknowledge_received_data(size, event.stream_id)
        elif isinstance(event, TrailersReceived):
            answer.trailers = _pairs(event.headers)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.ended, answer.reset = True, int(event.error_code)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in headers]
