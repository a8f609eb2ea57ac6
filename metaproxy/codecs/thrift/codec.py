"""
Apache Thrift, in every transport and protocol that its libraries speak over a plain connection.

Lives here: what the proxy asks of a codec: options, error replies, mutation. docs/reference/codecs/thrift.md describes
it for users. Does not: layouts and streams, which are the other modules of this package.
"""

from __future__ import annotations

from metaproxy.codecs.framing import Codec
from metaproxy.codecs.thrift import frames, header
from metaproxy.codecs.thrift.encodings import ENCODINGS
from metaproxy.codecs.thrift.frames import AUTO, FRAMED, HEADER, TRANSPORTS, UNFRAMED
from metaproxy.codecs.thrift.session import Names, ThriftSession
from metaproxy.message import Affinity, Correlation, ErrorKind, Kind, Message, Mutation, Side

EXCEPTIONS: dict[str, int] = {
    "unknown": 0,
    "unknown_method": 1,
    "invalid_message_type": 2,
    "wrong_method_name": 3,
    "bad_sequence_id": 4,
    "missing_result": 5,
    "internal_error": 6,
    "protocol_error": 7,
    "invalid_transform": 8,
    "invalid_protocol": 9,
    "unsupported_client_type": 10,
    "load_shedding": 11,
    "timeout": 12,
    "injected_failure": 13,
}
"""TApplicationException's types. Those from 11 on are fbthrift's; to Apache's clients they are numbers like others."""

_ERRORS: dict[ErrorKind, int] = {
    ErrorKind.NOT_FOUND: EXCEPTIONS["unknown_method"],
    ErrorKind.OVERLOAD: EXCEPTIONS["load_shedding"],
    ErrorKind.LIMITED: EXCEPTIONS["load_shedding"],
    ErrorKind.TIMEOUT: EXCEPTIONS["timeout"],
    ErrorKind.BAD_REQUEST: EXCEPTIONS["protocol_error"],
    ErrorKind.BAD_RESPONSE: EXCEPTIONS["protocol_error"],
}


class Thrift(Codec):
    """
    transport: auto, framed, unframed or header; protocol: auto, binary, compact or json: what clients must speak, auto
    takes what each of them speaks. multiplexed: names are `service:method`. check_frames: whether framed messages are
    walked to their end too, and a frame that holds more or less than one is refused.
    """

    name = "thrift"
    correlation = Correlation.ID
    affinity = Affinity.MESSAGE
    literal = True
    ordered = True
    """Most clients take the next answer for theirs; Python's all have seqid 0."""
    max_id = (1 << 31) - 1
    connections = "pool"
    """Most servers work on one request of a connection at a time."""
    keys = {
        "method": "name of the method; with `multiplexed` what follows the last colon",
        "service": "with `multiplexed`: what precedes the last colon of the name, where it has one",
        "operation": "service/method, or just the method",
        "kind": "request, oneway, response or error (an exception, declared ones too)",
        "transport": "framed, unframed or header",
        "protocol": "binary, compact or json",
        "seqid": "sequence number of the message, as its sender gave it",
        "<header>": "value of each header of THeader, under its name as sent and in lower case",
    }

    def __init__(
        self, transport: str = AUTO, protocol: str = AUTO, multiplexed: bool = False, check_frames: bool = False
    ) -> None:
        _one_of("transport", transport, (AUTO, *TRANSPORTS))
        _one_of("protocol", protocol, (AUTO, *ENCODINGS))
        self._transport = transport
        self._protocol = protocol
        self._check_frames = check_frames
        self.multiplexed = multiplexed
        self._names = Names(multiplexed)
        self.mutable = ""
        if transport in (FRAMED, UNFRAMED):
            self.mutable = f"{transport} Thrift has no place for metadata; only transport header has"

    def session(self, side: Side, max_frame: int) -> ThriftSession:
        return ThriftSession(self._names, side, max_frame, self._transport, self._protocol, self._check_frames)

    def probe(self) -> Message | None:
        """
        A call that no service has: it is answered with an exception. None where one can't know what servers speak, and
        for multiplexed ones: many close the connection when they don't know the service.
        """
        profile = frames.PROFILES.get((self._transport, "binary" if self._protocol == AUTO else self._protocol))
        if profile is None or self.multiplexed:
            return None
        return Message(Kind.REQUEST, frames.call(profile, b"metaproxyHealthCheck", 1), 1, None, None, profile=profile)

    def alive(self, answer: Message) -> bool:
        return True

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        number = EXCEPTIONS.get(name, _ERRORS.get(kind, EXCEPTIONS["internal_error"]))
        return frames.exception(request.frame, frames.spoken(request), request.id, number, text)

    def knows(self, name: str) -> bool:
        return name in EXCEPTIONS

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """Headers of THeader are changed; a client that came without THeader has its frame unchanged."""
        if frames.spoken(message)[0] != HEADER:
            return message.frame
        return header.mutate(message.frame, mutation)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{option}: {value!r} is not one of {', '.join(allowed)}")
