"""
Streams of bRPC and tRPC between random peers: any interleaving, any cuts, slow readers, ends and resets.

Each message arrives once, whole and in order; no sender is made to exceed a window, none is sent beyond one; the proxy
holds no more than the windows allow, and nothing is left over.
"""

import random
from collections.abc import Callable

from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from stream_peers import BrpcPeer, Half, Peer, TrpcPeer
from stream_relay import Relay

from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.framing import Codec
from metaproxy.codecs.trpc import Trpc
from metaproxy.message import ErrorKind, Side
from metaproxy.units import Bytes

LARGEST = 3000
STREAMS = 4
BRPC_WINDOW, BRPC_BUFFER = Bytes(700), Bytes(1000)
TRPC_WINDOW = 65535


def brpc(draw: random.Random) -> tuple[Codec, Peer, Peer, int]:
    codec = Brpc(stream_window=BRPC_WINDOW, stream_buffer=BRPC_BUFFER)
    split = draw.choice((1 << 30, 100, 1))
    peers = [BrpcPeer(BRPC_BUFFER, server, BRPC_WINDOW, split) for server in (False, True)]
    return codec, peers[0], peers[1], BRPC_BUFFER + LARGEST


def trpc(draw: random.Random) -> tuple[Codec, Peer, Peer, int]:
    peers = [TrpcPeer(draw.choice((1, 500, 5000)), server) for server in (False, True)]
    return Trpc(), peers[0], peers[1], TRPC_WINDOW + LARGEST


class Play:
    """One run: two peers, the relay between them, and bytes that are on their way."""

    def __init__(self, draw: random.Random, codec: Codec, client: Peer, server: Peer) -> None:
        self.draw = draw
        self.client, self.server = client, server
        self.relay = Relay(codec)
        self.ways = {Side.CLIENT: bytearray(), Side.SERVER: bytearray()}
        self.opened = 0

    def peers(self) -> list[Peer]:
        return [self.client, self.server]

    def step(self) -> None:
        draw = self.draw
        what = draw.randrange(8)
        peer = draw.choice(self.peers())
        if what == 0 and self.opened < STREAMS:
            self.opened += 1
            self.client.open(200 + self.opened)
        elif what in (1, 2) and peer.halves:
            half = draw.choice(list(peer.halves.values()))
            if not half.closing:
                half.waiting.append(draw.randbytes(draw.choice((0, 1, 10, 400, LARGEST))))
        elif what == 3 and peer.halves:
            peer.send(draw.choice(list(peer.halves.values())))
        elif what == 4 and peer.halves:
            peer.eat(draw.choice(list(peer.halves.values())), draw.randint(1, 3))
        else:
            self.move(draw.randint(1, 2000))

    def move(self, most: int) -> bool:
        """Some bytes one way, from a peer to the proxy or from it to a peer. False if there are none at all."""
        side = self.draw.choice((Side.CLIENT, Side.SERVER))
        peer = self.client if side is Side.CLIENT else self.server
        data = bytes(peer.out[:most])
        del peer.out[:most]
        if data:
            (self.relay.from_client if side is Side.CLIENT else self.relay.from_server)(data)
        way = self.ways[side]
        way += self.relay.take(side)
        back = bytes(way[:most])
        del way[:most]
        if back:
            peer.feed(back)
        return bool(data or back)

    def settle(self) -> None:
        """All is sent, consumed and moved."""
        quiet = 0
        while quiet < 40:
            moved = False
            for peer in self.peers():
                for half in list(peer.halves.values()):
                    peer.send(half)
                    moved = moved or half.eaten < len(half.got)
                    peer.eat(half, 1 << 30)
            moved = self.move(1 << 20) or moved
            quiet = 0 if moved else quiet + 1

    def pairs(self) -> list[tuple[Half, Half]]:
        """Each stream at either side: the servers' come in the order in which the clients' were opened."""
        return list(zip(self.client.halves.values(), self.server.halves.values(), strict=True))


Setting = Callable[[random.Random], tuple[Codec, Peer, Peer, int]]
plays = given(seed=st.integers(0, 1 << 32), steps=st.integers(10, 250))
few = examples(20)


@few
@plays
def test_every_message_of_brpc_arrives_once_in_order_and_within_the_windows(seed: int, steps: int) -> None:
    play_to_the_end(brpc, seed, steps)


@few
@plays
def test_every_message_of_trpc_arrives_once_in_order_and_within_the_windows(seed: int, steps: int) -> None:
    play_to_the_end(trpc, seed, steps)


@few
@plays
def test_resets_of_brpc_at_any_time_end_their_own_stream_and_no_other(seed: int, steps: int) -> None:
    play_with_resets(brpc, seed, steps)


@few
@plays
def test_resets_of_trpc_at_any_time_end_their_own_stream_and_no_other(seed: int, steps: int) -> None:
    play_with_resets(trpc, seed, steps)


def play_to_the_end(protocol: Setting, seed: int, steps: int) -> None:
    draw = random.Random(seed)
    codec, client, server, most = protocol(draw)
    play = Play(draw, codec, client, server)
    for _ in range(steps):
        play.step()
    play.settle()
    for ours, _ in play.pairs():
        ours.closing = True
    play.settle()
    for _, theirs in play.pairs():
        assert theirs.ended and not theirs.reset
        theirs.closing = True
    play.settle()
    assert play.opened == len(play.pairs())
    for ours, theirs in play.pairs():
        assert ours.ended and not ours.reset
        assert (theirs.got, ours.got) == (ours.sent, theirs.sent)
        assert not ours.waiting
    assert play.relay.calls == {}
    assert all(held <= most for held in play.relay.greatest.values())
    for session in (play.relay.client, play.relay.server):
        assert (session.buffered, session.owes) == (0, False)


def play_with_resets(protocol: Setting, seed: int, steps: int) -> None:
    draw = random.Random(seed)
    codec, client, server, _ = protocol(draw)
    play = Play(draw, codec, client, server)
    aborted: set[int] = set()
    for _ in range(steps):
        play.step()
        if not draw.randrange(20):
            abort_one(play, aborted)
    play.settle()
    for place, (ours, theirs) in enumerate(play.pairs()):
        if place in aborted:
            assert theirs.got == ours.sent[: len(theirs.got)]
            assert ours.got == theirs.sent[: len(ours.got)]
        else:
            assert not (ours.ended or theirs.ended or ours.refused)
            assert (theirs.got, ours.got) == (ours.sent, theirs.sent)
    assert len(play.relay.calls) == play.opened - len(aborted)


def abort_one(play: Play, aborted: set[int]) -> None:
    """A stream that both ends have open is reset by one of them, or ended by the proxy."""
    draw = play.draw
    pairs = list(zip(play.client.halves.values(), play.server.halves.values(), strict=False))
    places = [i for i, (ours, theirs) in enumerate(pairs) if ours.open and theirs.open and i not in aborted]
    if not places:
        return
    place = draw.choice(places)
    aborted.add(place)
    who = draw.randrange(3)
    if who < 2:
        half = pairs[place][who]
        play.peers()[who].abort(half)
        return
    call = next(call for call in play.relay.calls.values() if call.server_id == place + 1)
    play.relay.fail(call, ErrorKind.TIMEOUT)
    for half in pairs[place]:
        half.closed = True
