"""
A protocol of lines whose clients log in at the proxy and have transactions, as a database's.

Lives here: `Bank`, its sessions, and `bank`, a stage with it. Does not: assertions.

Either side begins TLS by a line `secure`, after which a client is answered `yes`, and a server answers so.
`stop NUMBER` is about what the client of this number has under way, and tells the server on a connection of its own;
`kill NUMBER` is the same by a request. Clients: `login USER DATABASE`, `set VALUE` (state that connections are brought
into), and anything else, which is a request. Servers: `welcome ...` after the login, `clean` after a change; an answer
that begins with `t` leaves a transaction open, one with `i` none, `k` none either, though its client keeps the
connection, `f` is an error without one; `[`, then lines that
begin with `row`, then `]t` or `]i`, is an answer in pieces; `!` leaves what only a reset takes away. `role?` is what
they are asked for their role, which `i ROLE LAG TERM POSITION` gives. `fetch KEY` goes where `i open KEY` came from,
until `i shut KEY` does.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from harness import Stage, Wire

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import Chunk, Correlation, ErrorKind, FrameError, Hold, Kind, Message, Side

HOLDS = {"t": Hold.OPEN, "k": Hold.OPEN, "i": Hold.CLOSE, "f": Hold.CLOSE}


class _Lines(Session):
    _rest = b""

    def receive(self, data: bytes) -> list[Message]:
        data, self._rest = self._rest + data, b""
        messages: list[Message] = []
        while (end := data.find(b"\n") + 1) and not self.start_tls:
            message = self._message(data[: end - 1].decode())
            data = data[end:]
            if message is not None:
                messages.append(message)
        if self.start_tls:
            self.tls_rest = data
        else:
            self._rest, self.buffered = data, len(data)
        return messages

    def _message(self, line: str) -> Message | None:
        raise NotImplementedError


class Customer(_Lines):
    """A client: its profile is (database, what it has set)."""

    def __init__(self, everyone: list[Customer]) -> None:
        self._database = self._value = ""
        self._everyone = everyone
        everyone.append(self)

    def _message(self, line: str) -> Message | None:
        word, *rest = line.split()
        metadata = {"word": word}
        if word == "secure":
            if "tls.start" in self.facts:
                self.say(b"yes\n")
                self.start_tls = True
            else:
                self.say(b"no\n")
            return None
        if self.facts.get("tls.start") == "required":
            self.error = FrameError("no TLS")
            return None
        if word in ("stop", "kill"):
            kind = Kind.ONEWAY if word == "stop" else Kind.REQUEST
            message = Message(kind, b"", metadata=metadata, hold=Hold.COMPANION)
            message.companion = self._everyone[int(rest[0])]
            self.closing = word == "stop"
            return message
        if word == "login":
            metadata["user"], self._database = rest
            return Message(
                Kind.CONNECT, b"", metadata=metadata, hold=Hold.EXCHANGE, profile=(self._database, self._value)
            )
        if word == "set":
            self._value = rest[0]
        profile = (self._database, self._value)
        message = Message(Kind.REQUEST, f"{line}\n".encode(), metadata=metadata, hold=Hold.EXCHANGE, profile=profile)
        if word == "fetch" and rest:
            message.override_key = rest[0]
        return message

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        self.start_tls = False
        return f"safe by {self.facts['tls.version']}\n".encode()

    def farewell(self, kind: ErrorKind, text: str) -> bytes:
        return f"bye {kind.value}\n".encode()


class Counter(_Lines):
    """A server's."""

    ready = False

    def __init__(self, opened: list[str]) -> None:
        super().__init__()
        self.reusable = True
        self._database = ""
        self._opened = opened

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        assert isinstance(profile, tuple)
        self._database = profile[0]
        self.start_tls = False
        self._opened.append(self.facts.get("endpoint.role", ""))
        if "tls.start" in self.facts:
            return b"secure\n"
        return f"hello {' '.join(profile)}\n".encode()

    def change(self, profile: Hashable) -> bytes | None:
        assert isinstance(profile, tuple)
        if profile[0] != self._database:
            return None
        self.ready, self.reusable = False, True
        return f"become {' '.join(profile)}\n".encode()

    def companion(self, message: Message) -> bytes | Message:
        if message.kind is Kind.ONEWAY:
            return b"stop it\n"
        return Message(Kind.REQUEST, b"kill it\n", hold=Hold.EXCHANGE, profile=(self._database, ""))

    def _message(self, line: str) -> Message | None:
        frame, first = f"{line}\n".encode(), line[:1]
        if line.startswith("welcome"):
            self.ready, self.welcome = True, Message(Kind.RESPONSE, frame)
            return None
        if line == "yes" and not self.ready:
            self.start_tls = self.owes = True
            return None
        if line == "refused":
            self.error = FrameError("the login is refused")
            return None
        if line == "clean":
            self.ready = True
            return None
        if first == "[":
            return Message(Kind.STREAM_OPEN, frame)
        if line.startswith("row"):
            return Chunk(Kind.STREAM_DATA, frame)
        if first == "]":
            return Chunk(Kind.STREAM_CLOSE, frame, hold=HOLDS[line[1]])
        words = line.split()
        if words[1:2] in (["open"], ["shut"]):
            self.keep(words[2], words[1] == "open")
        self.reusable = self.reusable and "!" not in line
        self.in_transaction = first == "t"
        return Message(Kind.ERROR if first == "f" else Kind.RESPONSE, frame, hold=HOLDS[first])


class Bank(Codec):
    """See the module."""

    name = "bank"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True
    connections = "transaction"
    starts_tls = True
    cancels = keeps_keys = True
    cancelled = "stopped"

    topologies = ("primary_replica",)

    def __init__(self) -> None:
        self._everyone: list[Customer] = []
        self.opened: list[str] = []
        """The roles that servers had when connections to them began."""

    def safe(self, request: Message) -> bool:
        return request.get("word") == "read"

    def cache_key(self, request: Message) -> Hashable | None:
        return request.frame

    def inquiry(self, topology: str) -> Message:
        return Message(Kind.REQUEST, b"role?\n", hold=Hold.EXCHANGE, profile=("", ""))

    def traits(self, answer: Message) -> Mapping[str, str]:
        """Of `i ROLE [LAG [TERM [POSITION]]]`."""
        _, role, *more = answer.frame.decode().split()
        if role == "nothing":
            raise FrameError("it says nothing")
        return {"role": role, **dict(zip(("lag", "term", "position"), more, strict=False))}

    def session(self, side: Side, max_frame: int) -> Session:
        return Customer(self._everyone) if side is Side.CLIENT else Counter(self.opened)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return f"error {name or kind.value}\n".encode()


class BankStage(Stage):
    """A stage with `Bank`. most: connections to the endpoint."""

    def __init__(self, mode: str = "transaction", most: int = 20, **settings: Any) -> None:
        times = {name: settings.pop(name) for name in list(settings) if name.endswith("_timeout")}
        request_timeout = times.pop("request_timeout", 15.0)
        connections = ConnectionSettings(mode=mode, per_endpoint=most, tls=settings.pop("to_servers", None), **times)
        super().__init__(
            Bank(), connections=connections, breaker=Breaker(), request_timeout=request_timeout, **settings
        )

    @property
    def opened(self) -> list[str]:
        """See `Bank`."""
        codec: Any = self.cluster.codec
        opened: list[str] = codec.opened
        return opened

    def enter(self, user: str = "ann", database: str = "d") -> Wire:
        """A client that has logged in, by a connection that was opened for it or was there."""
        client = self.client()
        self.say(client, f"login {user} {database}\n".encode())
        self.clock.advance(0)
        for wire in self.upstreams:
            if wire.take().startswith(b"hello"):
                self.say(wire, b"welcome here\n")
        assert client.take() == b"welcome here\n"
        return client

    def sweep_after(self, seconds: float) -> None:
        """Time passes, and what is looked at from time to time is."""
        self.clock.advance(seconds)
        self.network.turn.begin()
        (pool,) = {connection.protocol.pool for connection in self.upstreams}
        pool.sweep(self.clock.seconds())
        self.network.turn.end()

    def downstream_facts(self, wire: Wire) -> dict[str, str]:
        """Of a client behind TLS."""
        protocol: Any = wire.protocol
        facts: dict[str, str] = protocol.inner.facts
        return facts

    @property
    def upstreams(self) -> list[Wire]:
        return self.network.upstreams
