"""Calls of gRPC through the real path, with h2 at both ends: random messages in random order, cut anywhere."""

from __future__ import annotations

from random import Random
from typing import Any

from examples import examples
from grpc_calls import CALL, OK, framed
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.grpc import Grpc
from metaproxy.message import Chunk, Side
from metaproxy.testing import Stage, Wire
from metaproxy.units import Bytes

WHOLE, MOST = 3000, 20_000
CALLS = 6


class Half:
    """One direction of a call: what is to be sent, and what came."""

    def __init__(self, draw: Random) -> None:
        sizes = [draw.choice((0, 1, 10, 500, WHOLE - 5, WHOLE, 9000, MOST)) for _ in range(draw.randrange(5))]
        self.messages = [draw.randbytes(size) for size in sizes]
        self.left = b"".join(framed(message) for message in self.messages)
        self.received = b""
        self.ended = False
        self.seen: list[bytes] = []


class World:
    """A client and a server on h2, and the proxy between."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        codec = Grpc(
            whole_messages=Bytes(WHOLE), max_message=Bytes(MOST), window=Bytes(self.draw.choice((16384, 65536)))
        )
        self.stage = Stage(codec, hooks={"on_chunk": (self._look,)})
        self.client = H2Connection(H2Configuration(client_side=True))
        self.server = H2Connection(H2Configuration(client_side=False))
        for peer in (self.client, self.server):
            peer.initiate_connection()
        self.near = self.stage.client()
        self.client.receive_data(self.near.take())
        self.up: dict[int, Half] = {}
        self.down: dict[int, Half] = {}
        self.status: dict[int, str] = {}
        self.names: dict[int, int] = {}  # of streams at the server: at the client
        self.begun: set[int] = set()

    def _look(self, exchange: Any, chunk: Chunk, side: Side) -> None:
        half = (self.up if side is Side.CLIENT else self.down)[exchange.message.id]
        if chunk.frame:
            half.seen.append(chunk.frame)

    @property
    def far(self) -> Wire | None:
        return self.stage.network.upstreams[0] if self.stage.network.upstreams else None

    def open(self) -> None:
        number = self.client.get_next_available_stream_id()
        self.up[number], self.down[number] = Half(self.draw), Half(self.draw)
        self.client.send_headers(number, [*CALL, ("x-number", str(number))])

    def write(self, peer: H2Connection, stream: int, half: Half) -> bool:
        """Write some of a half, as far as the window lets it; whether all of it is written."""
        room = min(peer.local_flow_control_window(stream), peer.max_outbound_frame_size, len(half.left))
        if room > 0:
            size = self.draw.choice((1, 3, 5, 200, room))
            peer.send_data(stream, half.left[: min(size, room)])
            half.left = half.left[min(size, room) :]
        return not half.left

    def step(self) -> None:
        """One end writes something, or bytes move."""
        open_up = [number for number, half in self.up.items() if not half.ended]
        answering = [number for number in self.names if not self.down[self.names[number]].ended]
        choice = self.draw.random()
        if choice < 0.3 and open_up:
            number = self.draw.choice(open_up)
            if self.write(self.client, number, self.up[number]):
                self.client.end_stream(number)
                self.up[number].ended = True
        elif choice < 0.6 and answering:
            self.answer(self.draw.choice(answering))
        else:
            self.move()

    def answer(self, number: int) -> None:
        half = self.down[self.names[number]]
        if number not in self.begun:
            self.begun.add(number)
            self.server.send_headers(number, OK)
        # The end of an answer ends the call, so it waits for that of the request.
        if self.write(self.server, number, half) and self.up[self.names[number]].ended:
            code = self.draw.choice(("0", "5", "14"))
            half.ended = True
            self.status[self.names[number]] = code
            self.server.send_headers(number, [("grpc-status", code)], end_stream=True)

    def move(self) -> None:
        """Pass bytes in both directions, cut somewhere."""
        self.say(self.near, self.client.data_to_send())
        if self.far is not None:
            for event in self.server.receive_data(self.far.take()):
                self.at_server(event)
            self.say(self.far, self.server.data_to_send())
        for event in self.client.receive_data(self.near.take()):
            self.at_client(event)

    def say(self, wire: Wire, data: bytes) -> None:
        while data:
            size = self.draw.randint(1, len(data))
            self.stage.say(wire, data[:size])
            data = data[size:]

    def at_server(self, event: Any) -> None:
        if isinstance(event, RequestReceived):
            self.names[event.stream_id] = int(dict(event.headers)[b"x-number"])
        elif isinstance(event, DataReceived):
            self.up[self.names[event.stream_id]].received += event.data
            self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        assert not isinstance(event, StreamReset)

    def at_client(self, event: Any) -> None:
        if isinstance(event, DataReceived):
            self.down[event.stream_id].received += event.data
            self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived | ResponseReceived):
            code = dict(event.headers).get(b"grpc-status")
            if code is not None:
                assert event.stream_id in self.status, event.headers
                assert self.status.pop(event.stream_id).encode() == code
        elif isinstance(event, StreamEnded):
            assert event.stream_id not in self.status
        assert not isinstance(event, StreamReset)

    def finish(self) -> None:
        for _ in range(20_000):
            if all(half.ended for halves in (self.up, self.down) for half in halves.values()) and not self.status:
                return
            self.step()
        raise AssertionError("a call did not end")


@examples(25)
@given(st.integers(0, 1 << 32))
def test_every_message_arrives_and_filters_see_each_that_is_not_too_large_as_one_chunk(seed: int) -> None:
    world = World(seed)
    for _ in range(CALLS):
        world.open()
        for _ in range(world.draw.randrange(20)):
            world.step()
    world.finish()
    for half in (*world.up.values(), *world.down.values()):
        assert half.received == b"".join(framed(message) for message in half.messages)
        whole = {framed(message) for message in half.messages if len(message) + 5 <= WHOLE}
        if half.seen:  # else the call came whole, in one read
            assert b"".join(half.seen) == half.received
            assert [piece for piece in half.seen if piece in whole] == [
                framed(message) for message in half.messages if framed(message) in whole
            ]
    outcomes = world.stage.route.targets[0].counts.outcomes
    assert sum(outcomes.values()) == CALLS
    assert world.stage.cluster.breaker.requests == 0
