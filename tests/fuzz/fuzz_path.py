"""
Clients and servers that say any bytes in any order, with the real data path between them, in memory.

Lives here: `check_path`, which reads a script of steps out of the input and carries it out. Does not: what one session
must hold by itself (`fuzz_sessions`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from observing import observing
from twisted.logger import LogEvent

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.framing import Codec, Session
from metaproxy.interfaces import IExchange
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Side
from metaproxy.proxy.upstream import MOST_MOVES
from metaproxy.testing import Stage, Wire

SEPARATOR = b"~|~"
"""Between two steps of a script. A step is one byte that says what happens, and bytes."""
BOUND = 1 << 16
MOST_SAID = 1 << 24
"""Of a message of a server: as clusters have it."""
STEPS = 60
ASKS = (Kind.REQUEST, Kind.STREAM_OPEN)


class Server:
    """
    What stands behind an upstream connection: it reads all that it is sent, and can answer it. passing: the codec that
    reads both directions as they pass, where what a client may say depends on what its server said. Without it the
    client's half is read for itself.
    """

    def __init__(self, codec: Codec, wire: Wire, passing: Codec | None) -> None:
        self.wire = wire
        self._codec = codec
        behind = passing if passing is not None and codec.connections == "pinned" else codec
        self._session: Session = behind.session(Side.CLIENT, BOUND)
        self._session.facts = {}
        self._reader, self._said = self._session, None
        if passing is not None:
            if codec.connections != "pinned":
                self._reader = passing.session(Side.CLIENT, BOUND)
            self._said = passing.session(Side.SERVER, MOST_SAID)
            self._said.open(None, {})
        self._asked: list[Message] = []
        self.count = 0
        self.due = self._session.open(None, {}) if codec.greets else b""

    def read(self) -> None:
        """What the proxy wrote is the protocol, whatever its client sent."""
        data = self.wire.take()
        heard = self._session.receive(data)
        read = heard if self._reader is self._session else self._reader.receive(data)
        if self._said is not None:
            for message in read:
                self._said.send(message, message.id)
        asked = [message for message in heard if message.kind in ASKS]
        self._asked += asked
        self.count += len(asked)
        assert self._reader.error is None, f"a server was sent what is not the protocol: {self._reader.error}"
        if self._session.owes:
            self.due += self._session.owed()

    def says(self, data: bytes) -> None:
        """These bytes are its own, whatever they are."""
        if self._said is not None:
            for message in self._said.receive(data):
                with suppress(FrameError):  # an answer that no client gets
                    self._reader.send(message, message.id)

    def answer(self) -> None:
        """One request more gets an answer, an error as the codec makes them."""
        if self._asked:
            request = self._asked.pop(0)
            reply = self._codec.reply(request, ErrorKind.NOT_FOUND, "not here")
            if isinstance(reply, Message):
                told = self._said is not None and self._reader is self._session  # by `says`
                reply = reply.frame if told else self._session.send(reply, request.id)
            self.due += reply


class Scene:
    """Two clients, one listener and one cluster."""

    def __init__(self, codec: Codec, passing: Codec | None) -> None:
        self.stage = Stage(
            codec, hooks={"on_complete": (self._completed,)}, connections=ConnectionSettings(mode=codec.connections),
            request_timeout=50.0, stream_idle=60.0, max_frame=BOUND,
        )  # fmt: skip
        self.codec, self.passing = codec, passing
        self.begun = [self.stage.client(), self.stage.client()]
        self.servers: list[Server] = []
        self.completed: list[IExchange] = []
        self.failures: list[object] = []
        self.said = False
        self.stage.clock.advance(0)
        self.settle()

    def _completed(self, exchange: IExchange) -> None:
        assert exchange not in self.completed, "an exchange completed twice"
        self.completed.append(exchange)
        assert exchange.outcome != ErrorKind.INTERNAL.value, "the proxy failed"

    def watch(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.failures.append(event["log_failure"])

    # -- steps

    def step(self, kind: int, data: bytes) -> None:
        _STEPS[kind % len(_STEPS)](self, data)
        self.settle()

    def settle(self) -> None:
        """Servers read, and say what their protocol makes them say."""
        for _ in range(8):
            upstreams = self.stage.network.upstreams
            self.servers += [Server(self.codec, wire, self.passing) for wire in upstreams[len(self.servers) :]]
            for server in self.servers:
                server.read()
            talking = [server for server in self.servers if server.due and _hears(server.wire)]
            if not talking:
                return
            for server in talking:
                due, server.due = server.due, b""
                self._answer(server, due)

    def _say(self, wire: Wire, data: bytes) -> None:
        if data and _hears(wire):
            self.stage.say(wire, data)

    def _answer(self, server: Server, data: bytes) -> None:
        if data and _hears(server.wire):
            server.says(data)
            self.stage.say(server.wire, data)

    def _upstream(self) -> Server | None:
        """The newest server whose connection is open."""
        return next((server for server in reversed(self.servers) if not server.wire.closed), None)

    def first_client(self, data: bytes) -> None:
        self._say(self.begun[0], data)

    def second_client(self, data: bytes) -> None:
        self._say(self.begun[1], data)

    def server(self, data: bytes) -> None:
        self.said = True
        server = self._upstream()
        if server is not None:
            self._answer(server, data)

    def answer(self, data: bytes) -> None:
        for server in self.servers:
            server.answer()

    def client_ends(self, data: bytes) -> None:
        if _hears(self.begun[0]):
            self.stage.finish(self.begun[0])

    def server_ends(self, data: bytes) -> None:
        server = self._upstream()
        if server is not None and _hears(server.wire):
            self.stage.finish(server.wire)

    def client_is_gone(self, data: bytes) -> None:
        self.begun[0].end()

    def server_is_gone(self, data: bytes) -> None:
        server = self._upstream()
        if server is not None:
            server.wire.end()

    def time_passes(self, data: bytes) -> None:
        self.stage.clock.advance(data[0] if data else 1)

    def client_reads_slowly(self, data: bytes) -> None:
        if not self.begun[0].closed:
            self.begun[0].protocol.pauseProducing()

    def server_reads_slowly(self, data: bytes) -> None:
        server = self._upstream()
        if server is not None:
            server.wire.protocol.pauseProducing()

    def all_read_again(self, data: bytes) -> None:
        for wire in [*self.begun, *self.stage.network.upstreams]:
            if not wire.closed:
                wire.protocol.resumeProducing()

    # -- the end

    def end(self) -> None:
        """All connections end, all times are over: nothing is under way."""
        self.all_read_again(b"")
        self.settle()
        for wire in self.begun:
            wire.end()
        for _ in range(6):
            self.stage.clock.advance(30.0)
        for wire in self.stage.network.upstreams:
            wire.end()
        self.stage.clock.advance(400.0)
        counts = self.stage.listener.counts
        if self.codec.correlation is Correlation.ID:  # a codec without ids asks for itself (HELLO, fences)
            asked = sum(server.count for server in self.servers)
            # What a server says that it did not look at, true or not, is sent elsewhere.
            most = counts.requests * (1 + MOST_MOVES if self.said else 1)
            assert asked <= most, f"servers read {asked} requests; {counts.requests} passed the proxy"
        assert not self.failures, self.failures
        assert not counts.plugin_errors, counts.plugin_errors
        assert counts.active_exchanges == 0, f"{counts.active_exchanges} exchanges are under way"
        assert counts.connections_active == 0, f"{counts.connections_active} clients are there"
        active = [endpoint.active for endpoint in self.stage.endpoints]
        assert not any(active), f"exchanges are under way at endpoints: {active}"


def _hears(wire: Wire) -> bool:
    return not (wire.closed or wire.paused)


_STEPS: tuple[Callable[[Scene, bytes], None], ...] = (
    Scene.first_client, Scene.server, Scene.answer, Scene.second_client, Scene.time_passes, Scene.client_ends,
    Scene.server_ends, Scene.client_is_gone, Scene.server_is_gone, Scene.client_reads_slowly,
    Scene.server_reads_slowly, Scene.all_read_again,
)  # fmt: skip
CLIENT, SERVER, ANSWER, LAST_CLIENT = b"\0", b"\1", b"\2", b"\3"
"""The first byte of a step. The last client is the one that SERVER speaks to where both clients have a server."""


def check_path(codec: Codec, script: bytes, passing: Codec | None = None) -> None:
    """Raise unless the data path goes through the script, and has nothing under way at its end. passing: see Server."""
    scene = Scene(codec, passing)
    with observing(scene.watch):
        for step in script.split(SEPARATOR)[:STEPS]:
            if step:
                scene.step(step[0], step[1:])
        scene.end()
