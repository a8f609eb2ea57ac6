"""
The fuzz targets, one a codec: its variants, what a session needs before its peer's bytes make sense, and its seeds.

Lives here: `TARGETS`, each called with an input, as a fuzzer gives it: byte 0 says which check, which side and which
variant, byte 1 how the rest is cut. Does not: the checks. Imports no fuzzer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import amqp_words as amqp
import fuzz_seeds as seeds
import mysql_words as my
from fuzz_detection import NAMES, check_detection
from fuzz_path import ANSWER, CLIENT, LAST_CLIENT, SEPARATOR, SERVER, check_path
from fuzz_sessions import Peers, check_session
from postgres_words import join as join_postgres
from redis_words import join as join_redis
from redis_words import said
from zope.interface import implementer

from metaproxy.codecs.amqp import Amqp
from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.grpc import Grpc
from metaproxy.codecs.http import Http, model
from metaproxy.codecs.kafka import Kafka
from metaproxy.codecs.mongodb import MongoDB
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.packets import LONGEST_LOGIN
from metaproxy.codecs.mysql.pooled_client import PooledClient as PooledMySQL
from metaproxy.codecs.mysql.pooled_server import PooledServer as PooledMySQLServer
from metaproxy.codecs.postgres import Postgres
from metaproxy.codecs.postgres.pooled_client import Profile
from metaproxy.codecs.postgres.pooled_server import PooledServer
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.trpc import Trpc
from metaproxy.interfaces import IDoors
from metaproxy.message import Chunk, Kind, Message, Side
from metaproxy.units import Bytes

GOLDEN = Path(__file__).parents[1] / "golden"
CORPUS = Path(__file__).with_name("corpus")
MOST = 4096
"""Bytes of an input. More is cut off: what needs more is the business of properties and of the kit."""
HTTP2_FRAME = (1 << 14) + 9
"""Bytes of a frame that everyone who speaks HTTP/2 must accept, whatever else is bounded (RFC 9113, 4.2)."""
_PATH = 2
_CUTS = (0, 6, 200)


class Target:
    """
    variants: make codecs with options that lead to code of its own; one a session, as codecs count clients. greeting:
    what each client says first. opening: steps of a login, by the last client and its server. passing: see
    fuzz_path.Server.
    """

    def __init__(
        self,
        variants: Sequence[Callable[[], Codec]],
        frames: Callable[[], dict[Side, list[bytes]]],
        peers: Peers | None = None,
        greeting: bytes = b"",
        opening: Sequence[bytes] = (),
        passing: Callable[[Codec], Codec] | None = None,
    ) -> None:
        self._variants = variants
        self._frames = frames
        self._peers = peers or Peers()
        self._greeting = greeting
        self._opening = list(opening)
        self._passing = passing

    def __call__(self, data: bytes) -> None:
        if len(data) < 3:
            return
        first, seed, stream = data[0], data[1], data[2:MOST]
        make = self._variants[(first >> 2) % len(self._variants)]
        if first & _PATH:
            codec = make()
            check_path(codec, stream, None if self._passing is None else self._passing(codec))
        else:
            side = Side.SERVER if first & 1 else Side.CLIENT
            check_session(make, side, self._peers, seed, stream)

    def seeds(self) -> Iterator[bytes]:
        """Inputs to begin with: good frames of each side, and a conversation."""
        frames = self._frames()
        for number in range(len(self._variants)):
            for place, side in enumerate(Side):
                for frame in frames[side]:
                    yield bytes((number << 2 | place, _CUTS[len(frame) % 3])) + frame
            for steps in (*_conversations(frames, self._greeting), *self._opened(frames)):
                yield bytes((number << 2 | _PATH, 0)) + SEPARATOR.join(steps)

    def _opened(self, frames: dict[Side, list[bytes]]) -> Iterator[list[bytes]]:
        """Behind the opening: each request with an answer of its own."""
        if self._opening:
            for call in frames[Side.CLIENT]:
                for answer in frames[Side.SERVER]:
                    yield [*self._opening, LAST_CLIENT + call, SERVER + answer, LAST_CLIENT + call, ANSWER]


def _conversations(frames: dict[Side, list[bytes]], greeting: bytes) -> Iterator[list[bytes]]:
    """A request at a time with each way to answer it, and some requests in a row."""
    calls = [CLIENT + greeting + frame for frame in frames[Side.CLIENT]]
    answers = frames[Side.SERVER]
    for number, call in enumerate(calls[:24]):
        yield [call, SERVER + answers[number % len(answers)], ANSWER]
        yield [call, ANSWER]
    later = [CLIENT + frame for frame in frames[Side.CLIENT][1:6]]
    yield [calls[0], *later, *(SERVER + answer for answer in answers[:6])]


class Detection:
    """The order of the candidates is byte 0."""

    def __call__(self, data: bytes) -> None:
        if len(data) > 2:
            check_detection(data[0] & 7, data[1], data[2:MOST])

    def seeds(self) -> Iterator[bytes]:
        for name in NAMES:
            for input in TARGETS[name].seeds():
                if not input[0] & 3:
                    yield input


def _asked(session: Session, side: Side) -> None:
    """A server answers requests: of more than one method, as the answer to HEAD has no body."""
    if side is Side.SERVER:
        for id, method in enumerate((b"GET", b"POST", b"HEAD", b"GET", b"POST", b"GET"), 1):
            session.send(model.whole(model.request_head(method, b"/", b"a.example", []), b"", id), id)


def _called(session: Session, side: Side) -> None:
    _connected(session, side)
    if side is Side.SERVER:
        fields = [(b"content-type", b"application/grpc+proto"), (b"te", b"trailers")]
        for id in range(1, 7):
            head = model.request_head(b"POST", b"/example.v1.Echo/Unary", b"a.example", fields)
            session.send(model.whole(head, b"\0\0\0\0\2hi", id, Grpc.made_of.read), id)


def _connected(session: Session, side: Side) -> None:
    """The peer of HTTP/2 has said what every one says first."""
    session.receive(seeds.PREFACE + seeds.SETTINGS if side is Side.CLIENT else seeds.SETTINGS)
    session.owed()


def _asked_http2(session: Session, side: Side) -> None:
    _connected(session, side)
    _asked(session, side)


def _join_http(head: Message, chunks: Sequence[Chunk], more: Callable[[Message], None] | None = None) -> Message:
    last = chunks[-1]
    body = b"".join(chunk.frame for chunk in chunks)
    trailers = model.trailer_pairs(last.trailers)
    return model.whole(model.head_of(head), body, head.id, more or head.more, trailers, last.failed)


def _join_grpc(head: Message, chunks: Sequence[Chunk]) -> Message:
    """As in HTTP, with the status out of the trailers."""
    return _join_http(head, chunks, Grpc.made_of.read)


def _ended(message: Message) -> Message | None:
    """
    An answer with a message over the bound ends there. What came before that may be passed on; what came behind it in
    the same read may end the answer in another way (bad trailers).
    """
    return None if "max_message is" in message.known().get("message", "") else message


def _without_nonce(message: Message) -> Message:
    """The answer to the first message of a login has something in it that is chosen by chance."""
    if message.answer is not None and b"conversationId" in message.answer:
        message.answer = b""
    return message


def _pinged(session: Session, side: Side) -> None:
    if side is Side.SERVER:
        (ping,) = Redis().session(Side.CLIENT, MOST).receive(said("PING"))
        for _ in range(8):
            session.send(ping, 0)


def _begun(session: Session, side: Side) -> None:
    """A client whose login is over, and a server that was asked several things behind it."""
    if side is Side.CLIENT:
        for message in session.receive(seeds.POSTGRES_HELLO):  # none, where a password has to come
            session.send(Message(Kind.RESPONSE, seeds.POSTGRES_WELCOME), message.id)
        return
    profile = Profile("ann", "shop", "", ()) if isinstance(session, PooledServer) else None
    session.open(profile, {"user": "app"})
    client = Postgres().session(Side.CLIENT, MOST)
    for message in client.receive(seeds.POSTGRES_HELLO + b"".join(seeds.POSTGRES_REQUESTS)):
        session.send(message, 0)
        if message.id == 4:
            session.receive(seeds.POSTGRES_WELCOME)


def _greeted(session: Session, side: Side) -> None:
    """Where logins pass: a client that has logged in, and a server that was asked several things behind that."""
    if isinstance(session, PooledMySQL | PooledMySQLServer):
        return  # which begin with the login
    pair = my.Pair()
    if side is Side.CLIENT:
        session.send(Message(Kind.EVENT, my.greeting()), 0)
        session.receive(my.login())
        session.send(Message(Kind.RESPONSE, my.ok(2)), 0)
        return
    session.receive(my.greeting())
    client = my.Pair(logged_in=False).client
    client.send(Message(Kind.EVENT, my.greeting()), 0)
    for message in client.receive(my.login()):
        session.send(message, 0)
    session.receive(my.ok(2))
    for request in seeds.MYSQL_REQUESTS[:8]:
        for message in pair.client.receive(request):
            session.send(message, 0)


def _opened(session: Session, side: Side) -> None:
    """A connection of AMQP that is open, and a server that was asked several things."""
    if side is Side.CLIENT:
        session.receive(amqp.HANDSHAKE)
        return
    for id, message in enumerate(amqp.opened().receive(b"".join(seeds.AMQP_REQUESTS)), 1):
        session.send(message, id)


@implementer(IDoors)
class KafkaDoors:
    """Brokers are reached at ports of the proxy, but for those of high numbers."""

    def address(self, node: str) -> tuple[str, int] | None:
        return ("proxy.example", 9100 + int(node)) if int(node) < 10 else None


class KafkaWithDoors(Kafka):
    def session(self, side: Side, max_frame: int) -> Session:
        session = super().session(side, max_frame)
        if side is Side.CLIENT:
            session.doors = KafkaDoors()
        return session


def _asked_kafka(session: Session, side: Side) -> None:
    """A client that has logged in, and a broker that was asked what its answers among the seeds answer."""
    if side is Side.CLIENT:
        session.receive(seeds.KAFKA_LOGIN)
    else:
        client = Kafka().session(Side.CLIENT, MOST)
        for message in client.receive(b"".join(seeds.KAFKA_ASKED)):
            session.send(message, message.id)


def _captured(protocol: str) -> Callable[[], dict[Side, list[bytes]]]:
    """The shortest frames of each capture of real peers."""

    def read() -> dict[Side, list[bytes]]:
        found: dict[Side, set[bytes]] = {side: set() for side in Side}
        for path in sorted((GOLDEN / protocol).glob("*.json")):
            frames = [frame for exchange in json.loads(path.read_text())["exchanges"] for frame in exchange["frames"]]
            for side in Side:
                said = {bytes.fromhex(frame["hex"]) for frame in frames if frame["from"] == side.value}
                found[side].update(sorted(said, key=len)[:6])
        return {side: sorted(frames, key=len) for side, frames in found.items()}

    return read


def _given(client: Sequence[bytes], server: Sequence[bytes]) -> Callable[[], dict[Side, list[bytes]]]:
    return lambda: {Side.CLIENT: list(client), Side.SERVER: list(server)}


def _and(
    frames: Callable[[], dict[Side, list[bytes]]], client: Sequence[bytes]
) -> Callable[[], dict[Side, list[bytes]]]:
    """These frames, and more of clients."""

    def read() -> dict[Side, list[bytes]]:
        found = frames()
        return {**found, Side.CLIENT: [*found[Side.CLIENT], *client]}

    return read


TARGETS: dict[str, Target | Detection] = {
    "http": Target(
        [Http, lambda: Http(upgrade=["websocket", "h2c"], connect=True, via="")],
        _given(seeds.HTTP_REQUESTS, seeds.HTTP_ANSWERS),
        Peers(_asked, _join_http, buffered=HTTP2_FRAME),
    ),
    "http2": Target(
        [lambda: Http(version=2, http1=False)],
        _given(seeds.HTTP2_REQUESTS, seeds.HTTP2_ANSWERS),
        Peers(_asked_http2, _join_http, buffered=HTTP2_FRAME),
        seeds.PREFACE + seeds.SETTINGS,
    ),
    "grpc": Target(
        [Grpc, lambda: Grpc(max_message=Bytes(1024), whole_messages=Bytes(100))],
        _given(seeds.GRPC_CALLS, seeds.GRPC_ANSWERS),
        Peers(_called, _join_grpc, _ended, HTTP2_FRAME, lambda error: error.endswith("which is closed")),
        seeds.PREFACE + seeds.SETTINGS,
    ),
    "dubbo": Target([Dubbo], _captured("dubbo")),
    "thrift": Target(
        [
            Thrift,
            lambda: Thrift(multiplexed=True, check_frames=True),
            lambda: Thrift("unframed", "binary"),
        ],
        _captured("thrift"),
    ),
    "postgres": Target(
        [
            Postgres,
            lambda: Postgres(stream_over=Bytes(16)),
            lambda: Postgres(users={"ann": "pencil"}, auth="trust"),
            lambda: Postgres(users={"ann": "pencil"}, auth="trust", stream_over=Bytes(64), max_prepared_statements=2),
            lambda: Postgres(users={"ann": "pencil"}),
            lambda: Postgres(users={"ann": "pencil"}, auth="md5"),
        ],
        _given([*seeds.POSTGRES_REQUESTS, *seeds.POSTGRES_PASSWORDS], seeds.POSTGRES_ANSWERS),
        Peers(_begun, join_postgres),
        seeds.POSTGRES_HELLO,
        opening=(LAST_CLIENT + seeds.POSTGRES_HELLO, SERVER + seeds.POSTGRES_WELCOME),
        # What passes in pieces is not looked into: a Parse that is none is the server's to refuse.
        passing=lambda codec: codec if codec.connections == "pinned" else Postgres(),
    ),
    "mysql": Target(
        [
            MySQL,
            lambda: MySQL(users={"ann": "pencil"}),
            lambda: MySQL(users={"ann": "*" + "A" * 40, "bob": "$A$005$" + "s" * 20 + "d" * 43}),
            lambda: MySQL(users={"ann": "pencil"}, auth_query="select name, kept from known where name = ?"),
        ],
        _given(seeds.MYSQL_REQUESTS, seeds.MYSQL_ANSWERS),
        Peers(_greeted, my.join, buffered=LONGEST_LOGIN, forgiven=lambda error: "that answers nothing" in error),
        opening=(SERVER + my.greeting(), LAST_CLIENT + my.login(), SERVER + my.ok(2)),
        passing=lambda codec: MySQL(),
    ),
    "redis": Target(
        [
            Redis,
            lambda: Redis(stream_over=Bytes(16)),
            lambda: Redis(mode="pinned"),
            lambda: Redis(mode="pinned", stream_over=Bytes(16)),
        ],
        _captured("redis"),
        Peers(_pinged, join_redis),
    ),
    "mongodb": Target(
        [
            MongoDB,
            lambda: MongoDB(stream_over=Bytes(64)),
            lambda: MongoDB(mode="shared", present="mongos"),
            lambda: MongoDB(mode="shared", stream_over=Bytes(64)),
            lambda: MongoDB(users={"ann": "pencil"}, auth_query=True),
            lambda: MongoDB(compressors=["zlib", "zstd", "snappy"]),
            lambda: MongoDB(compressors=["zlib", "zstd", "snappy"], stream_over=Bytes(64)),
        ],
        _and(_captured("mongodb"), [*seeds.MONGODB_LOGINS, *seeds.MONGODB_COMPRESSED]),
        # Of two faults in one compressed message the reader of whole messages meets the compressor's first.
        Peers(alike=_without_nonce, forgiven=lambda error: "not compressed by" in error),
    ),
    "amqp": Target(
        [
            Amqp,
            lambda: Amqp(stream_over=Bytes(64)),
            lambda: Amqp(frame_max=Bytes(4096), channel_max=2),
            lambda: Amqp(users={"app": "secret"}),
        ],
        _given(seeds.AMQP_REQUESTS, seeds.AMQP_ANSWERS),
        Peers(_opened),
        amqp.HANDSHAKE,
        opening=(
            LAST_CLIENT + amqp.HEADER,
            SERVER + amqp.START,
            LAST_CLIENT + amqp.start_ok(),
            SERVER + amqp.tune(),
            LAST_CLIENT + amqp.tune_ok() + amqp.open_vhost(),
            SERVER + amqp.OPEN_OK,
            LAST_CLIENT + amqp.method("channel.open", 1, b"\0") + amqp.method("channel.open", 2, b"\0"),
            SERVER + amqp.channel_open_ok(1) + amqp.channel_open_ok(2),
        ),
        passing=lambda codec: Amqp(),
    ),
    "kafka": Target(
        [
            Kafka,
            lambda: Kafka(stream_over=Bytes(64)),
            KafkaWithDoors,
            lambda: KafkaWithDoors(stream_over=Bytes(64)),
            lambda: Kafka(prefix="blue."),
            lambda: Kafka(prefix="blue.", stream_over=Bytes(64)),
            lambda: Kafka(users={"app": "secret"}),
        ],
        _given([*seeds.KAFKA_ASKED, *seeds.KAFKA_REQUESTS], seeds.KAFKA_ANSWERS),
        Peers(_asked_kafka),
        passing=lambda codec: Kafka(),
    ),
    "brpc": Target([Brpc, lambda: Brpc(write_compress_type=True)], _given(seeds.BRPC_CALLS, seeds.BRPC_ANSWERS)),
    "trpc": Target([Trpc], _given(seeds.TRPC_CALLS, seeds.TRPC_ANSWERS)),
    "auto": Detection(),
}
