"""
Streams of bRPC and tRPC through the real path: several clients whose streams share a connection to the server.

Peers and steps are those of test_rpc_stream_properties.py, with the listener, the pool and the exchanges between them
in place of two sessions. And damaged bytes: no session fails, and all read the same however their bytes were cut.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from plays import Ends
from protobuf_writing import blob, num, pair
from stream_peers import BrpcPeer, Half, Peer, TrpcPeer

from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.framing import Codec
from metaproxy.codecs.trpc import Trpc
from metaproxy.message import ErrorKind, Kind, Message, Side
from metaproxy.testing import Stage, Wire
from metaproxy.units import Bytes

CLIENTS, STREAMS, LARGEST = 3, 6, 3000
WINDOW, BUFFER = Bytes(700), Bytes(1000)
plays = given(seed=st.integers(0, 1 << 32), steps=st.integers(10, 300))
few = examples(20)
New = Callable[[random.Random, bool], Peer]


def brpc_peer(draw: random.Random, server: bool) -> Peer:
    return BrpcPeer(BUFFER, server, WINDOW, draw.choice((1 << 30, 100)))


def trpc_peer(draw: random.Random, server: bool) -> Peer:
    return TrpcPeer(draw.choice((1, 500, 5000)), server)


class Path:
    """Clients, and a server at each connection that the proxy opens."""

    def __init__(self, draw: random.Random, codec: Codec, new: New) -> None:
        self.draw, self.new = draw, new
        self.ends = Ends()
        self.stage = Stage(codec, hooks={"on_complete": (self.ends.on_complete,)}, request_timeout=50.0)
        self.clients = [(self.stage.client(), new(draw, False)) for _ in range(CLIENTS)]
        self.servers: list[tuple[Wire, Peer]] = []
        self.opened: list[tuple[Peer, Half]] = []

    def everyone(self) -> list[tuple[Wire, Peer]]:
        self.servers += [
            (wire, self.new(self.draw, True)) for wire in self.stage.network.upstreams[len(self.servers) :]
        ]
        return [*self.clients, *self.servers]

    def step(self) -> None:
        draw = self.draw
        what = draw.randrange(8)
        wire, peer = draw.choice(self.everyone())
        if what == 0 and len(self.opened) < STREAMS:
            _, client = draw.choice(self.clients)
            self.opened.append((client, client.open(200 + len(client.halves))))
        elif what in (1, 2) and peer.halves:
            half = draw.choice(list(peer.halves.values()))
            if not half.closing:
                half.waiting.append(draw.randbytes(draw.choice((0, 1, 10, 400, LARGEST))))
        elif what == 3 and peer.halves:
            peer.send(draw.choice(list(peer.halves.values())))
        elif what == 4 and peer.halves:
            peer.eat(draw.choice(list(peer.halves.values())), draw.randint(1, 3))
        else:
            self.move(wire, peer, draw.randint(1, 2000))

    def move(self, wire: Wire, peer: Peer, most: int) -> bool:
        """Some bytes from a peer to the proxy, and what it wrote to the peer."""
        data = bytes(peer.out[:most])
        if data and not wire.paused and not wire.closed:
            del peer.out[:most]
            self.stage.say(wire, data)
        back = wire.take()
        if back:
            peer.feed(back)
        return bool(data or back)

    def settle(self) -> None:
        moved = True
        while moved:
            moved = False
            for wire, peer in self.everyone():
                for half in list(peer.halves.values()):
                    peer.send(half)
                    moved = moved or half.eaten < len(half.got)
                    peer.eat(half, 1 << 30)
                moved = self.move(wire, peer, 1 << 20) or moved

    def close(self, server: bool) -> None:
        for _, peer in self.servers if server else self.clients:
            for half in peer.halves.values():
                half.closing = True
        self.settle()


def play(codec: Codec, new: New, seed: int, steps: int) -> None:
    path = Path(random.Random(seed), codec, new)
    for _ in range(steps):
        path.step()
    path.settle()
    path.close(server=False)
    path.close(server=True)
    theirs = [half for _, peer in path.servers for half in peer.halves.values()]
    ours = [half for _, half in path.opened]
    assert all(half.ended and not half.reset for half in [*ours, *theirs])
    assert sorted(half.got for half in theirs) == sorted(half.sent for half in ours)
    assert sorted(half.got for half in ours) == sorted(half.sent for half in theirs)
    # Which of the server's streams is whose: the one that got what it sent, and sent what it got.
    assert sorted((half.got, half.sent) for half in theirs) == sorted((half.sent, half.got) for half in ours)
    assert path.ends.outcomes == ["ok"] * len(ours)
    assert set(path.ends.seen.values()) <= {1}
    assert len(path.stage.network.upstreams) <= 1
    assert not any(wire.closed for wire, _ in path.everyone())


@few
@plays
def test_streams_of_brpc_pass_the_real_path(seed: int, steps: int) -> None:
    play(Brpc(stream_window=WINDOW, stream_buffer=BUFFER), brpc_peer, seed, steps)


@few
@plays
def test_streams_of_trpc_pass_the_real_path(seed: int, steps: int) -> None:
    play(Trpc(), trpc_peer, seed, steps)


def test_a_window_that_opens_in_the_read_that_brings_a_message_lets_the_sender_go_on() -> None:
    """Found by the properties above: FEEDBACK of one direction and DATA of the other in one read."""
    path = Path(random.Random(1), Brpc(stream_window=Bytes(10), stream_buffer=BUFFER), brpc_peer)
    (wire, client), draw = path.clients[0], random.Random(2)
    ours = client.open(200)
    path.settle()
    ((server_wire, server),) = path.servers
    (theirs,) = server.halves.values()
    theirs.waiting.extend([b"first", draw.randbytes(20), draw.randbytes(BUFFER)])
    server.send(theirs)
    path.move(server_wire, server, 1 << 20)
    path.move(wire, client, 1 << 20)
    assert len(ours.got) == 2  # the third waits for the client's window
    client.eat(ours, 2)
    ours.waiting.append(b"data")
    client.send(ours)
    path.move(wire, client, 1 << 20)
    path.settle()
    assert theirs.acknowledged == BUFFER + 25
    path.close(server=False)
    path.close(server=True)


# -- damaged bytes


def brpc_frames() -> list[bytes]:
    client, server = BrpcPeer(BUFFER, False, WINDOW, 5), BrpcPeer(BUFFER, True, WINDOW, 5)
    for id in (1, 2):
        client.open(id)
    asked = bytes(client.out)
    server.feed(asked)
    for half in server.halves.values():
        half.open = True
        half.remote = 1
        half.waiting.extend([b"twelve bytes", b"", b"x" * 300])
        half.closing = True
        server.send(half)
        half.remote = 2
        server.abort(half)
    meta = blob(1, blob(1, "a.B") + blob(2, "C") + pair(7, "k", "v")) + num(4, 9) + pair(9, "a", "b")
    unary = b"PRPC" + len(meta).to_bytes(4, "big") * 2 + meta
    return [asked[: len(asked) // 2], asked[len(asked) // 2 :], bytes(server.out), unary]


def trpc_frames() -> list[bytes]:
    client, server = TrpcPeer(500, False), TrpcPeer(500, True)
    frames = []
    for id in (1, 2, 101, 102):
        half = client.open(id)
        half.open, half.window = True, 1000
        half.waiting.extend([b"twelve bytes", b"", b"x" * 300])
        half.closing = id < 100
        client.send(half)
        client.eat(half, 1)
        client.abort(half)
    server.feed(bytes(client.out))
    frames += [bytes(client.out), bytes(server.out)]
    header = num(3, 9) + blob(7, "/a.B/C") + pair(9, "a", "b")
    frames.append(
        b"\x09\x30\x00\x00" + (16 + len(header)).to_bytes(4, "big") + bytes([0, len(header)]) + bytes(6) + header
    )
    return frames


def damaged(frames: list[bytes], draw: random.Random) -> bytes:
    stream = bytearray(b"".join(draw.choices(frames, k=draw.randint(1, 3))))
    for _ in range(draw.randint(0, 4)):
        place = draw.randrange(len(stream))
        stream[place : place + draw.choice((0, 1, 1, 1, 2))] = draw.choice((b"", b"\x00", b"\xff", draw.randbytes(1)))
    return bytes(stream)


def read(codec: Codec, side: Side, pieces: list[bytes], head: Message | None) -> tuple[list[object], str]:
    """What a session makes of bytes: pieces of one message put together, so that cuts don't show."""
    session = codec.session(side, 4096)
    if head is not None:
        for id in (1, 2):
            session.send(head, id)
    found: list[list[object]] = []
    for piece in pieces:
        for message in session.receive(piece):
            goes_on = bool(message.metadata and "continuation" in message.metadata)
            last = found[-1] if found else None
            if message.kind is Kind.STREAM_DATA and last and last[:2] == [message.kind, message.id] and last[3]:
                assert isinstance(last[2], bytes)
                last[2:] = [last[2] + message.frame, goes_on]
            else:
                if message.kind is Kind.STREAM_RESET:  # how much came before it may depend on the cuts
                    found = [one for one in found if one[:2] != [Kind.STREAM_DATA, message.id]]
                found.append([message.kind, message.id, message.frame, goes_on])
            message.known()
        session.owed()
    for id in (1, 2, 7, (1 << 32) + 1):
        session.credit(id, 1)
        session.reset(id, ErrorKind.TIMEOUT, "")
    return list(found), str(session.error)


def check_damage(codec: Codec, frames: list[bytes], seed: int) -> None:
    draw = random.Random(seed)
    head = next(m for m in codec.session(Side.CLIENT, 4096).receive(frames[0]) if m.kind is Kind.STREAM_OPEN)
    for side, opened in ((Side.CLIENT, None), (Side.SERVER, head)):
        stream = damaged(frames, draw)
        places = sorted(draw.sample(range(len(stream) + 1), min(len(stream), draw.randint(1, 12))))
        pieces = [stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)]
        whole, error = read(codec, side, [stream], opened)
        cut, same = read(codec, side, pieces, opened)
        assert error == same
        # Behind a bad frame a piece of its message may have come already, or not.
        assert cut == whole or (error != "None" and cut[: len(cut) - 1] == whole[: len(cut) - 1])


@examples(100)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_streams_of_brpc_are_read_the_same_however_they_are_cut(seed: int) -> None:
    check_damage(Brpc(stream_buffer=BUFFER), brpc_frames(), seed)


@examples(100)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_streams_of_trpc_are_read_the_same_however_they_are_cut(seed: int) -> None:
    check_damage(Trpc(), trpc_frames(), seed)
