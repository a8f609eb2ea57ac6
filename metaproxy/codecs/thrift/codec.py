"""
Apache Thrift, in every transport and protocol that its libraries speak over a plain connection.

Lives here: what the proxy asks of a codec: options, error replies, mutation. docs/reference/codecs/thrift.md describes
it for users. Does not: layouts and streams, which are the other modules of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from metaproxy.codecs.framing import Codec
from metaproxy.codecs.thrift import frames
from metaproxy.codecs.thrift.detection import detect, spoken
from metaproxy.codecs.thrift.encodings import ENCODINGS
from metaproxy.codecs.thrift.frames import AUTO, CARRIERS, FRAMED, PROFILES, TRANSPORTS, UNFRAMED
from metaproxy.codecs.thrift.session import Names, ThriftSession
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.units import Option

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

_DETECTED = 64 << 20
"""Bytes of a first frame, at most, by which a client is known to speak Thrift."""

_ERRORS: dict[ErrorKind, int] = {
    ErrorKind.NOT_FOUND: EXCEPTIONS["unknown_method"],
    ErrorKind.OVERLOAD: EXCEPTIONS["load_shedding"],
    ErrorKind.LIMITED: EXCEPTIONS["load_shedding"],
    ErrorKind.TIMEOUT: EXCEPTIONS["timeout"],
    ErrorKind.BAD_REQUEST: EXCEPTIONS["protocol_error"],
    ErrorKind.BAD_RESPONSE: EXCEPTIONS["protocol_error"],
}

_FORMS = tuple(
    PROFILES[transport, protocol]
    for transports in ((FRAMED, UNFRAMED), CARRIERS)
    for protocol in ENCODINGS
    for transport in transports
    if (transport, protocol) in PROFILES
)
"""What servers are asked in, where one can't know what they speak: the most usual first."""


class Thrift(Codec):
    """Thrift: every transport and protocol, known by what a client sends or fixed by the options."""

    name = "thrift"
    correlation = Correlation.ID
    literal = True
    ordered = False
    sequential = True
    """Most clients take the next answer for theirs; but a oneway call may look like one that has an answer to come."""
    max_id = (1 << 31) - 1
    connections = "pool"
    """Most servers work on one request of a connection at a time."""
    keys = {
        "method": "name of the method; with `multiplexed` what follows the last colon",
        "service": "with `multiplexed`: what precedes the last colon of the name, where it has one",
        "operation": "service/method, or just the method",
        "kind": "request, oneway, response or error (an exception, declared ones too)",
        "transport": "framed, unframed, header or ttheader",
        "protocol": "binary, compact or json",
        "seqid": "sequence number of the message, as its sender gave it",
        "<header>": "value of each header of THeader or TTHeader, under its name as sent and in lower case; numbered "
        "ones are ttheader.to_method and the like, or ttheader.99; the token is ttheader.acl_token",
    }

    def __init__(
        self,
        transport: Annotated[
            Literal["auto", "framed", "unframed", "header", "ttheader"],
            Option("What clients speak; `auto` tells from a connection's first bytes."),
        ] = "auto",
        protocol: Annotated[
            Literal["auto", "binary", "compact", "json"], Option("The same; `binary` is strict and old.")
        ] = "auto",
        multiplexed: Annotated[
            bool,
            Option("Names are `service:method` (TMultiplexedProtocol): give `service` and `method` apart."),
        ] = False,
        check_frames: Annotated[
            bool,
            Option(
                "Walk framed messages to their end too, and refuse a frame that holds more or less than one message. "
                "Costs 1 to 2 µs for a small message. Switch it on where you don't trust the clients: many servers "
                "take what is left of a frame for the next request. Floats of fbthrift (binary 19, compact 13) pass; a "
                "frame is judged by whichever reading of compact 13, float or UUID, fits."
            ),
        ] = False,
        oneway: Annotated[
            list[str] | None,
            Option(
                "Methods that get no answer although their calls are sent as ordinary ones, as Apache's Go library "
                "does: `oneway: [note, log]`; with `multiplexed` also `service:method`. An answer to one is dropped."
            ),
        ] = None,
    ) -> None:
        _one_of("transport", transport, (AUTO, *TRANSPORTS))
        _one_of("protocol", protocol, (AUTO, *ENCODINGS))
        if AUTO not in (transport, protocol) and (transport, protocol) not in PROFILES:
            raise ValueError(f"protocol: {transport} has no {protocol}; write binary or compact")
        self._transport = transport
        self._protocol = protocol
        self._check_frames = check_frames
        self.multiplexed = multiplexed
        self._names = Names(multiplexed, _methods(oneway or ()))
        self._forms = [form for form in _FORMS if transport in (AUTO, form[0]) and protocol in (AUTO, form[1])]
        self._form = 0
        self._unanswered = 0
        self._answered = False
        self.mutable = ""
        self.open_keys = transport not in (FRAMED, UNFRAMED)
        if transport in (FRAMED, UNFRAMED):
            self.keys = {key: text for key, text in self.keys.items() if key not in self._absent(multiplexed)}
            self.mutable = f"{transport} Thrift has no place for metadata; only transports header and ttheader have"

    @staticmethod
    def _absent(multiplexed: bool) -> tuple[str, ...]:
        """Keys that no message without headers has."""
        return ("<header>",) if multiplexed else ("<header>", "service")

    def detect(self, data: bytes) -> bool | None:
        try:
            # The greatest frame of other listeners is not known here; what is longer is more likely another protocol.
            return None if detect(data, AUTO, AUTO, _DETECTED) is None else True
        except FrameError:
            return False

    def session(self, side: Side, max_frame: int) -> ThriftSession:
        return ThriftSession(self._names, side, max_frame, self._transport, self._protocol, self._check_frames)

    def probe(self) -> Message | None:
        """
        A call that no service has: it is answered with an exception. Where it is not said what servers speak, probes go
        through the forms until one is answered, and stay with that one. None for multiplexed ones: many servers close
        the connection when they don't know the service.
        """
        if self.multiplexed:
            return None
        turn, self._unanswered = self._unanswered, self._unanswered + 1
        place = self._form
        if not self._answered:
            # The first twice: whether there is a probe is also asked when a configuration is checked.
            place += max(turn - 1, 0)
        elif turn & 1:
            # Every other time the one that was answered before: a server that was down has not changed.
            place += (turn + 1) // 2
        profile = self._forms[place % len(self._forms)]
        return Message(Kind.REQUEST, frames.call(profile, b"metaproxyHealthCheck", 1), 1, None, None, profile=profile)

    def alive(self, answer: Message) -> bool:
        if answer.profile in self._forms:
            self._form = self._forms.index(answer.profile)
            self._answered = True
        self._unanswered = 0
        return True

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        number = EXCEPTIONS.get(name, _ERRORS.get(kind, EXCEPTIONS["internal_error"]))
        return frames.exception(request.frame, spoken(request), request.id, number, text)

    def knows(self, name: str) -> bool:
        return name in EXCEPTIONS

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """Headers of THeader and TTHeader are changed; a client that came without has its frame unchanged."""
        carrier = CARRIERS.get(spoken(message)[0])
        changed: bytes = message.frame if carrier is None else carrier.mutate(message.frame, mutation)
        return changed


def _methods(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"oneway: {name!r:.100} is no name of a method; write oneway: [note, log]")
    return names


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{option}: {value!r} is not one of {', '.join(allowed)}")
