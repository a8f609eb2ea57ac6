"""
An HTTP/2 server in clear text (prior knowledge) or TLS, on the `h2` library: h2_server.py PORT [key=value ...]

keys: certificate, key (PEM files: then TLS with ALPN h2); max_streams, window, frame (its SETTINGS); connect=1
(extended CONNECT, RFC 8441). What a path does is listed in PATHS.
What happens is printed: CONNECTION EVENT STREAM DETAIL.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import sys
import zlib
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

PATHS = """
/echo           the body as it arrives, credited as it is sent on; extended CONNECT does the same
/headers        the request's head as JSON, a list of pairs
/sink           reads the body, then JSON: bytes, crc32, trailers
/bytes/N        N bytes
/status/N       that status, no body
/trailers       a body, then the trailers x-end: yes and those of the request
/hints          103 with a link, then 200
/slow/MS        200 after so many milliseconds
/hang           no answer
/deaf           no answer, and no credit for the body
/reset/CODE     RST_STREAM in place of an answer
/cut/N          N bytes, then RST_STREAM with INTERNAL_ERROR
/goaway         200, and GOAWAY that counts this stream
/refused        GOAWAY that does not count this stream, then the connection is closed
"""
CHUNK = 16384
_connections = itertools.count(1)


class Stream:
    """One request: what is still to be sent, and what of its body has been seen."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.out = bytearray()
        self.ended = False  # no more bytes will be put into `out`
        self.last: Callable[[], None] | None = None  # in place of END_STREAM, once `out` is sent
        self.seen, self.crc = 0, 0
        self.trailers: list[tuple[str, str]] = []
        self.owed = 0  # bytes of the body that are credited once they are sent on


class Server(asyncio.Protocol):
    def __init__(self, options: dict[str, str]) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        codes = {"max_streams": SettingCodes.MAX_CONCURRENT_STREAMS, "window": SettingCodes.INITIAL_WINDOW_SIZE}
        codes |= {"frame": SettingCodes.MAX_FRAME_SIZE, "connect": SettingCodes.ENABLE_CONNECT_PROTOCOL}
        given = {code: int(options[key]) for key, code in codes.items() if key in options}
        self._h2.local_settings = Settings(client=False, initial_values=given)
        self._h2.max_inbound_frame_size = self._h2.local_settings.max_frame_size
        self._streams: dict[int, Stream] = {}
        self._number = next(_connections)

    def _say(self, *words: object) -> None:
        print(self._number, *words, flush=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say("open", 0)
        self._h2.initiate_connection()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._say("closed", 0)

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._happened(event)
        except ProtocolError as error:
            self._say("refuses", 0, error)
            self._write()
            self._transport.close()
            return
        self._pump()

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())

    def _happened(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event.stream_id, [(str(name), str(value)) for name, value in event.headers])
        elif isinstance(event, DataReceived):
            self._body(event)
        elif isinstance(event, TrailersReceived):
            found = [(str(name), str(value)) for name, value in event.headers]
            self._say("trailers", event.stream_id, json.dumps(found))
            self._streams[event.stream_id].trailers = found
        elif isinstance(event, StreamEnded):
            self._say("ended", event.stream_id)
            self._end(event.stream_id)
        elif isinstance(event, StreamReset):
            self._say("reset", event.stream_id, int(event.error_code))
            gone = self._streams.pop(event.stream_id, None)
            if gone is not None and gone.owed:  # of the connection's window, which others share
                self._h2.increment_flow_control_window(gone.owed)
        elif isinstance(event, ConnectionTerminated):
            self._say("goaway", event.last_stream_id, int(event.error_code))
        elif isinstance(event, PingReceived):
            self._say("ping", 0)
        elif isinstance(event, WindowUpdated):
            pass  # data_received pumps

    def _begin(self, number: int, headers: list[tuple[str, str]]) -> None:
        head = dict(headers)
        path, _, argument = head.get(":path", "/").strip("/").partition("/")
        stream = self._streams[number] = Stream("echo" if ":protocol" in head else path)
        self._say("request", number, json.dumps(headers))
        if stream.path == "echo":
            own = [("x-method", head[":method"]), *((k, v) for k, v in headers if k.startswith("x-"))]
            self._h2.send_headers(number, [(":status", "200"), *own])
        elif path == "headers":
            self._answer(number, json.dumps(headers).encode())
        elif path == "bytes":
            self._answer(number, bytes(int(argument)))
        elif path == "status":
            self._h2.send_headers(number, [(":status", argument)], end_stream=True)
        elif path == "hints":
            self._h2.send_headers(number, [(":status", "103"), ("link", "</style.css>; rel=preload")])
            self._answer(number, b"after hints")
        elif path == "slow":
            asyncio.get_running_loop().call_later(int(argument) / 1000, self._late, number)
        elif path == "reset":
            self._reset(number, int(argument))
        elif path == "cut":
            self._answer(number, bytes(int(argument)), lambda: self._reset(number, ErrorCodes.INTERNAL_ERROR))
        elif path == "goaway":
            self._answer(number, b"going", lambda: self._leave(number))
        elif path == "refused":
            self._h2.close_connection(last_stream_id=max(number - 2, 0))
            self._write()
            self._transport.close()
        elif path not in ("sink", "trailers", "hang", "deaf"):
            self._h2.send_headers(number, [(":status", "404")], end_stream=True)

    def _answer(self, number: int, body: bytes, last: Callable[[], None] | None = None) -> None:
        self._h2.send_headers(number, [(":status", "200"), ("content-type", "text/plain")])
        stream = self._streams[number]
        stream.out += body
        stream.ended, stream.last = True, last

    def _late(self, number: int) -> None:
        if number in self._streams:
            self._answer(number, b"slept")
            self._pump()

    def _reset(self, number: int, code: int) -> None:
        self._h2.reset_stream(number, code)
        self._streams.pop(number, None)

    def _leave(self, number: int) -> None:
        self._h2.end_stream(number)
        self._h2.close_connection(last_stream_id=number)

    def _body(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        size = event.flow_controlled_length or 0
        if stream is None:  # it was reset here
            return
        if stream.path == "deaf":
            return
        data = event.data or b""
        stream.seen += len(data)
        stream.crc = zlib.crc32(data, stream.crc)
        if stream.path == "echo":
            stream.out += data
            stream.owed += size
        elif size:
            self._h2.acknowledge_received_data(size, event.stream_id)

    def _end(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.path == "echo":
            stream.ended = True
        elif stream.path == "sink":
            counted = {"bytes": stream.seen, "crc32": stream.crc, "trailers": stream.trailers}
            self._answer(number, json.dumps(counted).encode())
        elif stream.path == "trailers":
            trailers = [("x-end", "yes"), *stream.trailers]
            self._answer(number, b"body", lambda: self._h2.send_headers(number, trailers, end_stream=True))

    def _pump(self) -> None:
        """Sends what the windows allow, then writes."""
        for number, stream in list(self._streams.items()):
            self._send(number, stream)
        self._write()

    def _send(self, number: int, stream: Stream) -> None:
        while stream.out:
            size = min(len(stream.out), self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if size <= 0:
                return
            self._h2.send_data(number, bytes(stream.out[:size]))
            del stream.out[:size]
            if stream.owed:
                credit = min(size, stream.owed)
                stream.owed -= credit
                self._h2.acknowledge_received_data(credit, number)
        if not stream.ended:
            return
        if stream.owed:  # padding that was never sent on
            self._h2.acknowledge_received_data(stream.owed, number)
        self._streams.pop(number, None)
        if stream.last is None:
            self._h2.end_stream(number)
        else:
            stream.last()


async def main() -> None:
    options = dict(each.split("=", 1) for each in sys.argv[2:])
    tls = None
    if "certificate" in options:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options["certificate"], options["key"])
        tls.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(options), "127.0.0.1", int(sys.argv[1]), ssl=tls)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
