"""
AMQP 0-9-1: what the proxy asks of a codec.

Lives here: `Amqp`, its options, error answers, changed headers. docs/reference/codecs/amqp.md describes it for users.
Does not: frames (`stream`, `wire`), connections (`client`, `server`), metadata, the list of errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from metaproxy.codecs.amqp import fields, metadata, methods, wire
from metaproxy.codecs.amqp.client import ClientSession, Command
from metaproxy.codecs.amqp.copies import AmqpCopies, header
from metaproxy.codecs.amqp.errors import CODES, SOFT, name_of, worded
from metaproxy.codecs.amqp.login import Accounts, Anyone
from metaproxy.codecs.amqp.own_client import OwnClient
from metaproxy.codecs.amqp.own_server import OwnServer
from metaproxy.codecs.amqp.server import ServerSession
from metaproxy.codecs.amqp.tuning import Tune
from metaproxy.codecs.framing import Codec, Session, begins
from metaproxy.codecs.login_time import LOGIN_TIME
from metaproxy.message import ErrorKind, FrameError, Hold, Kind, Message, Mutation, Side
from metaproxy.units import Bytes, Option, Seconds

_CONFIDENTIAL: Final = frozenset((methods.START_OK, methods.SECURE_OK, methods.UPDATE_SECRET))
_STREAM_OVER: Final = Bytes(64 << 10)
_FRAME_MAX: Final = Bytes(128 << 10)
_LEAST_FRAME: Final = 4096
_CONTENTS: Final = frozenset((methods.PUBLISH, methods.DELIVER, methods.RETURN, methods.GET_OK))


class Amqp(Codec):
    """AMQP 0-9-1, as RabbitMQ speaks it: connections, channels, messages both ways."""

    name = "amqp"
    connections = "pinned"
    stateful = True
    lanes = True
    mutable = ""
    keys = metadata.KEYS
    open_keys = True
    beats = True

    def __init__(
        self,
        channel_max: Annotated[
            int, Option("Channels that a connection may have; a server's own limit holds as well.", least=1, most=65535)
        ] = 2047,
        frame_max: Annotated[
            Bytes,
            Option("Bytes of a frame that connections may agree on.", least="4KiB"),
        ] = _FRAME_MAX,
        stream_over: Annotated[
            Bytes,
            Option("Larger messages are passed on as they come, piece by piece.", least="4KiB"),
        ] = _STREAM_OVER,
        users: Annotated[
            Mapping[str, str] | None,
            Option(
                "Who may log in at the proxy, by PLAIN: `{NAME: {secret: SECRET}}`. Brokers get the cluster's "
                "`credentials`. See [Logins at the proxy](#logins-at-the-proxy).",
                secret=True,
                default="logins pass",
            ),
        ] = None,
        login_timeout: Annotated[
            Seconds, Option("Time until a client has logged in and opened a virtual host; 0 for any.")
        ] = LOGIN_TIME,
        logins: Annotated[
            Literal["pass", "forward"],
            Option(
                "Without `users`. `pass`: all of it is between client and broker, which the client's first bytes "
                "choose. `forward`: the proxy reads user, password and virtual host first, so that routes may go by "
                "`user` and `vhost`, and logs in at the broker with these. See [Logins that are "
                "forwarded](#logins-that-are-forwarded)."
            ),
        ] = "pass",
    ) -> None:
        if logins not in ("pass", "forward"):
            raise ValueError(f"logins is {logins!r}; write pass or forward")
        if logins == "forward" and users is not None:
            raise ValueError("with users logins end at the proxy: leave out logins")
        if not 1 <= channel_max <= 0xFFFF:
            raise ValueError(f"channel_max is {channel_max}; write 1 to 65535")
        if frame_max < _LEAST_FRAME:
            raise ValueError(f"frame_max is {frame_max} bytes; the protocol has {_LEAST_FRAME} at least")
        self._tune = Tune(channel_max, frame_max)
        self._stream_over = stream_over
        self._login_timeout = login_timeout
        self._accounts: Accounts | Anyone | None = Accounts(users) if users is not None else None
        if self._accounts is not None:
            self.connections = "pool"
        if logins == "forward":
            self._accounts = Anyone()
        self.mirror: AmqpCopies = AmqpCopies(frame_max, stream_over)

    def detect(self, data: bytes) -> bool | None:
        return begins(data, b"AMQP")

    def session(self, side: Side, max_frame: int) -> Session:
        if self._accounts is None:
            if side is Side.SERVER:
                return ServerSession(max_frame, self._stream_over)
            return ClientSession(max_frame, self._stream_over, self._tune, self._login_timeout)
        if side is Side.SERVER:
            return OwnServer(max_frame, self._stream_over)
        return OwnClient(max_frame, self._stream_over, self._tune, self._accounts, self._login_timeout)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """name: see errors.CODES."""
        frame = request.frame
        header = frame == wire.PROTOCOL
        channel, number = (0, 0) if header else (wire.channel_of(frame), wire.number_of(frame))
        followed = getattr(request, "failing", False)
        # A server that did not even close the channel in time has more open than that.
        name = name_of(kind, name, 0 if kind is ErrorKind.TIMEOUT and not followed else channel)
        session = request.session if isinstance(request, Command) else None
        if session is None:
            return wire.close_connection(CODES[name], worded(name, text), number)
        if channel and (session.is_closed(channel) or session.leaves(request)):
            return b""
        if channel and name in SOFT:
            return self._refuse(session, request, channel, CODES[name], worded(name, text))
        return session.end(name, CODES[name], text, number)

    def _refuse(self, session: ClientSession, request: Message, channel: int, code: int, text: str) -> bytes | Message:
        """A method of a channel, which closes."""
        number = wire.number_of(request.frame)
        if number == methods.CHANNEL_CLOSE:
            return Message(Kind.ERROR, wire.channel_closed(channel), request.id)
        under_way = session.refusals.is_under_way(channel)
        if request.kind is Kind.ONEWAY:
            if under_way:
                session.refusals.give_reason(channel, code, text, number)
            return b""
        if not getattr(request, "failing", False):
            if number != methods.CHANNEL_OPEN or under_way:
                return session.end_by(code, text, number)
            session.refuse_to_open(channel)
        return Message(Kind.ERROR, wire.close_channel(channel, code, text, number), request.id)

    def knows(self, name: str) -> bool:
        return name in CODES

    def repeatable(self, request: Message) -> bool:
        """What a client without channels opens, one or its connection: nothing is left of a try that failed."""
        return request.hold == Hold.EXCHANGE

    def confidential(self, request: Message) -> bool:
        return request.frame != wire.PROTOCOL and wire.number_of(request.frame) in _CONFIDENTIAL

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """Headers of contents: `headers.NAME`, or only NAME where no other key is called so."""
        frame = message.frame
        for key in mutation.set:
            if key in metadata.TAKEN:
                raise FrameError(f"{key} can't be changed; headers can: headers.NAME")
        if frame == wire.PROTOCOL or wire.number_of(frame) not in _CONTENTS:
            return frame
        at, end, size = wire.properties_of(frame)
        set = {_name(key): value.encode("utf-8", "surrogateescape") for key, value in mutation.set.items()}
        remove = frozenset(_name(key).lower() for key in mutation.remove if key not in metadata.TAKEN)
        properties = fields.with_headers(frame[at:end], set, remove)
        start, stop = wire.frame_end(frame), end + 1
        header = wire.content_frame(wire.channel_of(frame), wire.number_of(frame) >> 16, size, properties)
        return frame[:start] + header + frame[stop:]

    def probe(self) -> Message:
        return header()


def _name(key: str) -> bytes:
    name = key.removeprefix(metadata.HEADERS).encode("utf-8", "surrogateescape")
    if not 0 < len(name) < 256:
        raise FrameError(f"a header's name has 1 to 255 bytes; {key[:60]!r} has {len(name)}")
    return name
