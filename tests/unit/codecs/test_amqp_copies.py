"""Copies of what clients publish: what another broker gets, and what becomes of its answers."""

from __future__ import annotations

import struct

import pytest
from amqp_words import (
    HEADER,
    MAX,
    OPEN_OK,
    START,
    Connected,
    channel_close,
    channel_open_ok,
    close,
    connection_close,
    content,
    get,
    method,
    opened,
    published,
    queue_declare,
    short,
    table,
    tune,
)

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.amqp import Amqp, wire
from metaproxy.codecs.amqp.copies import AmqpCopies
from metaproxy.codecs.amqp.login import Profile
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.testing.stage import Wire

SELECTED = method("confirm.select-ok")
OPENED = method("channel.open", 1, b"\0") + method("confirm.select", 1, b"\0")
REOPENED = method("channel.close-ok") + OPENED


def asked(*frames: bytes, codec: Amqp | None = None) -> list[Message]:
    """What a client says on its channel 7, in the virtual host /."""
    return opened(codec).receive(method("channel.open", 7, b"\0") + b"".join(frames))[1:]


def copied(*frames: bytes, codec: Amqp | None = None) -> list[bytes]:
    codec = codec or Amqp()
    return [made.frame for message in asked(*frames, codec=codec) for made in codec.mirror.copied(message)]


def test_what_is_published_is_copied_and_nothing_else() -> None:
    said = queue_declare(channel=7) + published(channel=7) + get(channel=7) + published(b"", "", "q", 7)
    assert copied(said) == [published(), published(b"", "", "q")]
    assert copied() == []
    (start, *_) = Amqp().session(Side.CLIENT, MAX).receive(HEADER)
    assert Amqp().mirror.copied(start) == ()


def test_a_copy_is_known_by_its_virtual_host_and_what_it_is_about() -> None:
    (message,) = asked(published(channel=7))
    (made,) = Amqp().mirror.copied(message)
    assert (made.kind, made.get("vhost"), made.get("operation")) == (Kind.REQUEST, "/", "basic.publish orders")
    profile = made.profile
    assert isinstance(profile, Profile)
    assert (profile.vhost, profile.user, profile.channel_max) == (b"/", "", 1)


def test_a_copy_asks_for_no_return() -> None:
    arguments = b"\0\0" + short("orders") + short("new") + b"\3"
    assert copied(method("basic.publish", 7, arguments) + content(7, b"hello")) == [published()]


def test_a_body_in_small_frames_is_written_in_those_that_the_broker_takes() -> None:
    body = bytes(range(256)) * 40
    assert copied(published(body, channel=7, frame_max=4096)) == [published(body)]
    small = Amqp(frame_max=4096)  # type: ignore[arg-type]
    (message,) = asked(published(body, channel=7))
    assert [made.frame for made in small.mirror.copied(message)] == [published(body, frame_max=4096)]


def properties(user: str = "", reply_to: str = "", more: str = "") -> bytes:
    """With a content type, headers and an id; user, reply_to, more (app-id): left out where empty."""
    flags = 0x8000 | 0x2000 | 0x0080 | (0x0200 if reply_to else 0) | (0x0010 if user else 0) | (0x0008 if more else 0)
    texts = short("text/plain") + table({"trace": "t1"}) + (short(reply_to) if reply_to else b"") + short("id-1")
    return struct.pack(">H", flags) + texts + (short(user) if user else b"") + (short(more) if more else b"")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (properties(), properties()),
        (properties(user="app"), properties()),
        (properties(user="app", more="shop"), properties(more="shop")),
        (properties(reply_to="answers"), properties(reply_to="answers")),
        (properties("app", "amq.rabbitmq.reply-to", "shop"), properties(more="shop")),
        (properties("app", "amq.rabbitmq.reply-to.g1h2AA5r"), properties()),
    ],
)
def test_what_only_its_clients_connection_has_is_left_out(theirs: bytes, ours: bytes) -> None:
    assert copied(published(channel=7, properties=theirs)) == [published(properties=ours)]


def test_answers_to_a_connection_are_not_copied() -> None:
    assert copied(published(b"pong", "", "amq.rabbitmq.reply-to.g1h2AA5r", 7)) == []
    assert len(copied(published(b"ping", "orders", "amq.rabbitmq.reply-to", 7))) == 1


def test_what_passes_piece_by_piece_is_not_copied() -> None:
    head, *_ = asked(published(bytes(100_000), channel=7))
    assert head.kind is Kind.STREAM_OPEN
    with pytest.raises(FrameError, match="piece by piece"):
        Amqp().mirror.copied(head)


def test_a_message_that_cannot_be_read_is_not_copied() -> None:
    for frame, words in (
        (method("basic.publish", 7, b"\0\0\5a") + content(7, b"hello"), "end before"),
        (published(channel=7, properties=b"\x80\0"), "the properties of a content end"),
    ):
        message = Message(Kind.ONEWAY, frame, 1, {"vhost": "/"})
        with pytest.raises(FrameError, match=words):
            Amqp().mirror.copied(message)
    with pytest.raises(FrameError, match="virtual host that is not known"):
        Amqp().mirror.copied(Message(Kind.ONEWAY, published(), 1, {}))


def test_its_sessions_are_those_of_brokers_alone() -> None:
    codec = AmqpCopies(131072, 65536)
    with pytest.raises(ValueError, match="to brokers alone"):
        codec.session(Side.CLIENT, MAX)
    assert (codec.probe().frame, codec.reply(codec.probe(), ErrorKind.DENIED, "")) == (HEADER, b"")


def test_a_health_check_hears_what_a_broker_says_first() -> None:
    session = AmqpCopies(131072, 65536).session(Side.SERVER, MAX)
    assert (session.open(None, {}), session.ready) == (b"", True)
    assert session.send(AmqpCopies(131072, 65536).probe(), 1) == HEADER
    (said,) = session.receive(START)
    assert (said.kind, said.id) == (Kind.RESPONSE, 1)


# -- on the way

ACK, NACK = "basic.ack", "basic.nack"


def confirmed(tag: int, multiple: bool = False, name: str = ACK) -> bytes:
    return method(name, 1, struct.pack(">QB", tag, multiple))


class Mirrored(Connected):
    """A client whose messages are copied to a broker at 127.0.0.1:2000."""

    def __init__(self, **credentials: str) -> None:
        codec = Amqp()
        super().__init__(codec)
        login = credentials or {"user": "back", "password": "other"}
        self.shadow = Cluster(
            "shadow", codec.mirror, [Endpoint("127.0.0.1:2000")], RoundRobin, request_timeout=5.0, credentials=login
        )
        self.target = MirrorTarget(self.shadow)
        self.stage.snapshot.routes.routes[0].mirror = Mirror([self.target], lambda: 0.0)

    def publish(self, count: int = 1) -> None:
        self.say(published() * count)

    @property
    def mirror(self) -> Wire:
        return [one for one in self.stage.network.upstreams if one.peer.endswith(":2000")][-1]

    def says(self, data: bytes) -> bytes:
        """The mirror says this; what it gets."""
        self.stage.say(self.mirror, data)
        return self.mirror.take()

    def logs_in(self) -> bytes:
        """What the mirror gets behind the login."""
        assert self.mirror.take() == HEADER
        assert b"\0back\0other" in self.says(START)
        assert self.says(tune(heartbeat=10)).endswith(method("connection.open", 0, short("/") + b"\0\0"))
        return self.says(OPEN_OK)

    @property
    def counts(self) -> dict[str, int]:
        found = {name: getattr(self.target.counts, name) for name in type(self.target.counts).__slots__}
        return {name: number for name, number in found.items() if number}


def begun(count: int = 1) -> Mirrored:
    """With so many copies that are not confirmed."""
    room = Mirrored()
    room.publish(count)
    assert room.logs_in() == OPENED + published() * count
    room.says(channel_open_ok() + SELECTED)
    return room


def test_the_proxy_logs_in_opens_a_channel_and_publishes() -> None:
    room = begun()
    assert room.sent() == published()
    room.publish()
    assert room.mirror.take() == published()
    assert room.target.copies == 2
    room.says(confirmed(2, multiple=True))
    assert (room.target.copies, room.counts) == (0, {"requests": 2})
    assert room.got() == b""


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (confirmed(1), 3),
        (confirmed(3), 3),
        (confirmed(3, multiple=True), 1),
        (confirmed(0, multiple=True), 0),
        (confirmed(9), 4),
        (confirmed(2, multiple=True) * 2, 2),
    ],
)
def test_a_confirm_answers_what_it_is_about(said: bytes, left: int) -> None:
    room = begun(4)
    room.says(said)
    assert (room.target.copies, room.counts) == (left, {"requests": 4})


def test_what_a_broker_does_not_take_is_a_failure() -> None:
    room = begun(3)
    room.says(confirmed(2, multiple=True, name=NACK))
    assert (room.target.copies, room.counts) == (1, {"requests": 3, "failures": 2})


def test_a_channel_that_the_broker_closes_costs_what_was_on_it_and_is_opened_again() -> None:
    room = begun(2)
    assert room.says(channel_close(404, "NOT_FOUND - no exchange 'orders'", "basic.publish")) == REOPENED
    assert (room.target.copies, room.counts) == (0, {"requests": 2, "failures": 2})
    room.publish()
    assert room.mirror.take() == published()
    room.says(channel_open_ok() + SELECTED + confirmed(1))
    assert (room.target.copies, room.counts) == (0, {"requests": 3, "failures": 2})


def test_a_broker_that_leaves_costs_what_was_not_confirmed_and_the_next_connection_goes_on() -> None:
    room = begun(2)
    before = room.mirror
    assert room.says(connection_close(320, "CONNECTION_FORCED")) == method("connection.close-ok", 0)
    assert room.counts == {"requests": 2, "failures": 2}
    room.publish()
    assert room.mirror is not before
    assert room.logs_in() == OPENED + published()


def test_a_connection_without_copies_is_kept_by_heartbeats() -> None:
    (made,) = (one for message in asked(published(channel=7)) for one in Amqp().mirror.copied(message))
    session = AmqpCopies(131072, 65536).session(Side.SERVER, MAX)
    session.open(made.profile, {"user": "back", "password": "other"})
    for said in (START, tune(heartbeat=10), OPEN_OK):
        session.receive(said)
    session.owed()
    for now in range(100, 105):
        session.beat(now)
    assert session.owed() == wire.BEAT
    for now in range(105, 121):
        session.beat(now)
    assert "no heartbeat within 20 s" in str(session.error)


def test_a_virtual_host_that_the_mirror_has_not_is_a_failure() -> None:
    room = Mirrored()
    room.publish()
    assert room.mirror.take() == HEADER
    room.says(START)
    room.says(tune())
    room.says(close("connection.close", 0, 530, "NOT_ALLOWED - vhost / not found", "connection.open"))
    assert room.counts == {"requests": 1, "failures": 1}
    assert room.sent() == published()


def test_without_credentials_no_copy_is_sent() -> None:
    room = Mirrored(user="back")
    room.publish()
    assert room.counts == {"requests": 1, "failures": 1}
    assert room.sent() == published()


def test_what_the_broker_says_besides_changes_nothing() -> None:
    room = begun()
    blocked = method("connection.blocked", 0, short("memory"))
    assert room.says(blocked + method("connection.unblocked", 0) + wire.BEAT) == b""
    assert (room.target.copies, room.counts) == (1, {"requests": 1})
    room.says(confirmed(1))
    assert room.target.copies == 0
