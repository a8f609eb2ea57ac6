"""Streams of h2's client through both sessions to h2's server, in random order, cut anywhere, reset anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from examples import examples
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, SettingsAcknowledged, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from http2_relay import Relay
from http2_stand import GET, POST, connected_client, literal_block, raw_frame, raw_headers, resets
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.http.http2 import Http2Client, Http2Server, Options
from metaproxy.codecs.http.model import parts, trailer_block
from metaproxy.message import Chunk, Kind

STREAMS, STEPS = 12, 300


class Half:
    """One direction of one stream, as its two ends see it."""

    def __init__(self) -> None:
        self.sent = b""
        self.received = b""
        self.ended = False
        self.seen_end = False


class World:
    """h2 at both ends and the sessions between. Each random decision is one of `random`."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.window = random.choice((65535, 65536, 1000, 20_000))
        options = Options(window=self.window, streams=STREAMS)
        self.client = H2Connection(H2Configuration(client_side=True))
        self.server = H2Connection(H2Configuration(client_side=False))
        near, far = Http2Client(options, 1 << 20), Http2Server(options, 1 << 20)
        self.relay = Relay(near, far, credit_at_once=False)
        self.up: dict[int, Half] = {}
        self.down: dict[int, Half] = {}
        self.reset: set[int] = set()
        self.gone: set[int] = set()
        self.far: dict[int, int] = {}  # number at the client -> at the server
        self.near: dict[int, int] = {}
        self.unacknowledged: list[tuple[H2Connection, int, int]] = []
        for peer in (self.client, self.server):
            peer.initiate_connection()
        self.to_client = near.open(None, {})
        self.to_server = far.open(None, {})
        self.from_client = self.from_server = b""
        # h2 takes any acknowledgement for that of all its changes, so it may make one at a time.
        self.changing = {self.client, self.server}
        self.settle()
        self.begun = False
        self.change(self.client)
        self.change(self.server)
        self.settle()
        self.begun = True

    def change(self, peer: H2Connection) -> None:
        if peer in self.changing:
            return
        self.changing.add(peer)
        # h2 takes no empty frame where a smaller window made the old one negative, so they only grow once they count.
        least = peer.local_settings.initial_window_size if self.begun else 0
        peer.update_settings(
            {
                SettingCodes.INITIAL_WINDOW_SIZE: max(least, self.random.choice((0, 1, 500, 65535, 200_000))),
                SettingCodes.HEADER_TABLE_SIZE: self.random.choice((0, 100, 4096, 8192)),
            }
        )

    # What moves bytes

    def piece(self, data: bytes) -> int:
        return self.random.randint(1, len(data)) if self.random.random() < 0.5 else len(data)

    def move(self) -> bool:
        """Move some bytes on each of the four ways; whether there were any."""
        self.from_client += self.client.data_to_send()
        self.from_server += self.server.data_to_send()
        self.to_client += self.relay.to_client
        self.to_server += self.relay.to_server
        self.relay.to_client = self.relay.to_server = b""
        moved = bool(self.from_client or self.from_server or self.to_client or self.to_server)
        if self.from_client:
            size = self.piece(self.from_client)
            data, self.from_client = self.from_client[:size], self.from_client[size:]
            self.relay.from_client(data)
        if self.from_server:
            size = self.piece(self.from_server)
            data, self.from_server = self.from_server[:size], self.from_server[size:]
            self.relay.from_server(data)
        if self.to_client:
            size = self.piece(self.to_client)
            data, self.to_client = self.to_client[:size], self.to_client[size:]
            self.saw(self.client.receive_data(data), self.down, lambda number: number, self.client)
        if self.to_server:
            size = self.piece(self.to_server)
            data, self.to_server = self.to_server[:size], self.to_server[size:]
            self.saw(self.server.receive_data(data), self.up, self.near.__getitem__, self.server)
        return moved

    def saw(self, events: list[Event], halves: dict[int, Half], name: Callable[[int], int], peer: H2Connection) -> None:
        for event in events:
            if isinstance(event, SettingsAcknowledged):
                self.changing.discard(peer)
            elif isinstance(event, RequestReceived):
                asked = int(dict(event.headers)[b"x-number"])
                self.near[event.stream_id], self.far[asked] = asked, event.stream_id
            elif isinstance(event, DataReceived):
                halves[name(event.stream_id)].received += event.data
                if event.flow_controlled_length:
                    self.unacknowledged.append((peer, event.stream_id, event.flow_controlled_length))
            elif isinstance(event, StreamEnded):
                halves[name(event.stream_id)].seen_end = True
            elif isinstance(event, StreamReset):
                self.gone.add(name(event.stream_id))
                if event.error_code:
                    self.reset.add(name(event.stream_id))

    def acknowledge(self) -> None:
        """Open a window of h2's, or that of a stream whose first one is 0."""
        if self.unacknowledged:
            peer, stream, size = self.unacknowledged.pop(self.random.randrange(len(self.unacknowledged)))
            try:
                peer.acknowledge_received_data(size, stream)
            except ProtocolError:
                pass  # the stream is closed; h2 has counted it for the connection
        for peer, numbers in ((self.client, list(self.down)), (self.server, list(self.near))):
            for number in numbers:
                try:
                    if peer.remote_flow_control_window(number) < 1000:
                        peer.increment_flow_control_window(5000, number)
                except ProtocolError:
                    continue

    def settle(self) -> None:
        """Until nothing moves: all that can be delivered is."""
        idle = 0
        while idle < 3:
            moved = self.move()
            if self.unacknowledged:
                moved = True
            self.acknowledge()
            self.relay.credit()
            idle = 0 if moved else idle + 1

    # What the two ends do

    def open(self) -> None:
        if len([half for half in self.down.values() if not half.seen_end]) >= STREAMS - 1 or len(self.up) >= 60:
            return
        number = self.client.get_next_available_stream_id()
        self.up[number], self.down[number] = Half(), Half()
        fields = [
            (":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/"), ("x-number", str(number)),
        ]  # fmt: skip
        whole = self.random.random() < 0.3
        try:
            self.client.send_headers(number, fields, end_stream=whole)
        except ProtocolError:  # more than it may have open
            del self.up[number], self.down[number]
            return
        self.up[number].ended = whole

    def write(self, peer: H2Connection, number: int, half: Half) -> None:
        if half.ended:
            return
        size = self.random.choice((0, 1, 10, 1000, 5000, 16384))
        try:
            size = min(size, peer.local_flow_control_window(number), peer.max_outbound_frame_size)
            end = self.random.random() < 0.2
            if size > 0 or end:
                data = self.random.randbytes(max(size, 0))
                pad = self.random.choice((None, None, 3)) if size < 1000 else None
                if pad is not None and peer.local_flow_control_window(number) < size + pad + 1:
                    pad = None
                peer.send_data(number, data, end_stream=end, pad_length=pad)
                half.sent += data
                half.ended = end
        except ProtocolError:
            self.gone.add(self.near.get(number, number) if peer is self.server else number)

    def answer(self, asked: int) -> None:
        number = self.far[asked]
        half = self.down[asked]
        try:
            if not half.sent and not half.ended and not self.server.streams[number].state_machine.headers_sent:
                self.server.send_headers(number, [(":status", "200"), ("x-number", str(asked))])
            else:
                self.write(self.server, number, half)
        except (ProtocolError, KeyError):
            self.gone.add(asked)

    def abort(self, peer: H2Connection, number: int, asked: int) -> None:
        try:
            peer.reset_stream(number, 8)
        except ProtocolError:
            return
        self.reset.add(asked)
        self.gone.add(asked)

    def step(self) -> None:
        choice = self.random.random()
        open_ = [number for number in self.up if number not in self.gone]
        known = [number for number in self.far if number not in self.gone]
        if choice < 0.12:
            self.open()
        elif choice < 0.4:
            if open_:
                number = self.random.choice(open_)
                self.write(self.client, number, self.up[number])
        elif choice < 0.7:
            if known:
                self.answer(self.random.choice(known))
        elif choice < 0.71:
            self.change(self.random.choice((self.client, self.server)))
        elif choice < 0.717:
            self.break_off(open_, known)
        elif choice < 0.85:
            self.acknowledge()
            self.relay.credit()
        else:
            self.move()

    def break_off(self, open_: list[int], known: list[int]) -> None:
        """A reset by the client, by the server, or by the proxy."""
        who = self.random.randrange(3)
        under_way = [each for each in self.relay.exchanges if not each.ended]
        if who == 0 and open_:
            number = self.random.choice(open_)
            self.abort(self.client, number, number)
        elif who == 1 and known:
            number = self.random.choice(known)
            self.abort(self.server, self.far[number], number)
        elif under_way:
            exchange = self.random.choice(under_way)
            self.relay.give_up(exchange)
            self.reset.add(exchange.client)

    def finish(self) -> None:
        """End what is open, in order, so that nothing has a reason to be incomplete."""
        for _ in range(2000):
            self.settle()
            busy = False
            for asked in list(self.far):
                if asked in self.gone:
                    continue
                if not self.up[asked].ended:
                    self.client.end_stream(asked)
                    self.up[asked].ended = busy = True
                if not self.down[asked].ended:
                    self.answer(asked)
                    busy = True
            if not busy:
                return
        raise AssertionError("streams that do not end")


@examples(20)
@given(st.integers(0, 1 << 32))
def test_each_half_of_each_stream_arrives_whole_and_in_order(seed: int) -> None:
    world = World(Random(seed))
    for _ in range(STEPS):
        world.step()
        for exchange in world.relay.exchanges:
            # What waits in the proxy for a slow peer is what its other peer was let send without credit.
            assert world.relay.server.unsent_bytes(exchange.server) <= 2 * 65536
            assert world.relay.client.unsent_bytes(exchange.client) <= 2 * 65536
    world.finish()
    assert len(world.far) >= len(world.up) - len(world.reset)
    for number, half in world.up.items():
        if number in world.reset or number not in world.far:
            assert half.sent.startswith(half.received)
            assert world.down[number].sent.startswith(world.down[number].received)
            continue
        down = world.down[number]
        # A request may be cut where its answer ended before; never the answer.
        assert half.sent.startswith(half.received)
        if number not in world.gone:
            assert (half.received, half.seen_end) == (half.sent, half.ended)
        assert (down.received, down.seen_end) == (down.sent, down.ended)
    assert world.relay.client.error is world.relay.server.error is None
    assert all(exchange.ended for exchange in world.relay.exchanges)


def test_bytes_cut_anywhere_give_the_same_messages() -> None:
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for number in (1, 3, 5):
        client.send_headers(
            number, [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", f"/{number}")]
        )
        client.send_data(number, b"a" * 50, pad_length=7)
        client.send_data(number, b"b" * 30)
        client.send_headers(number, [("x-sum", "1")], end_stream=True)
    data = client.data_to_send()

    def seen(size: int) -> dict[int, tuple[bytes, bytes, bytes]]:
        session = Http2Client(Options(), 1 << 20)
        halves: dict[int, tuple[bytes, bytes, bytes]] = {}
        for at in range(0, len(data), size):
            for message in session.receive(data[at : at + size]):
                head, body, trailers = halves.get(message.id, (b"", b"", b""))
                if message.kind.name == "STREAM_OPEN":
                    head = message.frame
                else:
                    body += message.frame
                    trailers += getattr(message, "trailers", b"")
                halves[message.id] = head, body, trailers
        assert (session.error, session.buffered) == (None, 0)
        return halves

    wanted = {
        number: (b"POST /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number, b"a" * 50 + b"b" * 30, b"x-sum: 1\r\n")
        for number in (1, 3, 5)
    }
    for size in range(1, 60):
        assert seen(size) == wanted


# Frames as they come, right and wrong


class Writer:
    """Frames of a peer that keeps to the rules, but for one in so many."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.wrong = random.choice((0.0, 0.02, 0.2))
        self.next = 1
        self.open: list[int] = []

    def frame(self) -> bytes:
        if self.random.random() < self.wrong:
            return self.any()
        choice = self.random.random()
        if choice < 0.3 or not self.open:
            return self.headers()
        if choice < 0.7:
            return self.data()
        if choice < 0.8:
            stream = self.open.pop(self.random.randrange(len(self.open)))
            return raw_headers(stream, [("x-sum", "1")])
        return self.control()

    def headers(self) -> bytes:
        stream, self.next = self.next, self.next + 2
        ends = self.random.random() < 0.3
        if not ends:
            self.open.append(stream)
        fields = self.random.choice((GET, POST, [*POST, ("x-one", "1" * 50)], [*POST, ("X-Wrong", "1")]))
        whole = raw_headers(stream, fields, 5 if ends else 4)
        if self.random.random() < 0.7:
            return whole
        block = literal_block(fields)
        at = self.random.randrange(len(block))
        return raw_frame(1, int(ends), stream, block[:at]) + raw_frame(9, 4, stream, block[at:])

    def data(self) -> bytes:
        at = self.random.randrange(len(self.open))
        stream, ends = self.open[at], self.random.random() < 0.3
        if ends:
            del self.open[at]
        payload = self.random.randbytes(self.random.choice((0, 1, 5, 300)))
        if self.random.random() < 0.3:
            return raw_frame(0, 8 | ends, stream, b"\x03" + payload + bytes(3))
        return raw_frame(0, int(ends), stream, payload)

    def control(self) -> bytes:
        stream = self.random.choice(self.open)
        return self.random.choice(
            (
                raw_frame(2, 0, stream, bytes(5)),
                raw_frame(3, 0, stream, bytes(4)),
                raw_frame(4, 0, 0, b"\0\4\0\0\0\7"),
                raw_frame(6, 0, 0, bytes(8)),
                raw_frame(8, 0, stream, b"\0\0\0\1"),
                raw_frame(8, 0, stream, bytes(4)),
                raw_frame(99, 0, stream, b"unknown"),
            )
        )

    def any(self) -> bytes:
        kind, stream, flags = self.random.randrange(10), self.random.randrange(8), self.random.randrange(256)
        return raw_frame(kind, flags, stream, self.random.randbytes(self.random.randrange(10)))


def seen(pieces: Iterable[bytes]) -> tuple[str, dict[int, tuple[bytes, bytes, bool]]]:
    """The error, and body, trailers and end of each request that was not reset."""
    session = connected_client()
    halves: dict[int, tuple[bytes, bytes, bool]] = {}
    reset = set()
    for piece in pieces:
        for message in session.receive(piece):
            body, trailers, ended = halves.get(message.id, (b"", b"", False))
            assert not ended or message.kind is Kind.STREAM_RESET
            if message.kind is Kind.REQUEST:
                _, body, pairs = parts(message)
                trailers, ended = trailer_block(pairs or []), True
            elif message.kind is Kind.STREAM_RESET:
                reset.add(message.id)
            elif isinstance(message, Chunk):
                body, trailers, ended = body + message.frame, message.trailers, message.kind is Kind.STREAM_CLOSE
            halves[message.id] = body, trailers, ended
        assert session.buffered < 32768
    if session.error is not None:
        return str(session.error), {}
    said = resets(session.owed())
    return "", {id: half for id, half in halves.items() if id not in reset and id not in said}


@examples(150)
@given(st.integers(0, 1 << 32), st.integers(1, 40))
def test_any_frames_cut_anywhere_are_the_same_requests_and_the_same_error(seed: int, step: int) -> None:
    random = Random(seed)
    writer = Writer(random)
    data = b"".join(writer.frame() for _ in range(random.randrange(1, 40)))
    assert seen([data]) == seen(data[at : at + step] for at in range(0, len(data), step))
