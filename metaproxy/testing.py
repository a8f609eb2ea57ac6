"""
The contract of a plugin as checks, for the tests of its author and for ours: `check_codec`, `check_filter`,
`check_balancer`.

Lives here: what `metaproxy.interfaces` promises in words, as functions that raise AssertionError with a text that says
what to mend. They need no test framework, are seeded (a failure comes back), and take some tenths of a second. Does
not: what a protocol's bytes mean; a plugin's own tests say that. Longer than other modules, as it is read one check at
a time and imported by one name.

    def test_quill_keeps_the_contract():
        check_codec(Quill(), client=[CALL_7, PING], server=[ANSWER_7, ERROR_7])

Longer than most modules: what plugin authors import is one name, `metaproxy.testing`, with the checks of all
interfaces.
"""

from __future__ import annotations

import difflib
import inspect
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from zope.interface import implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from metaproxy.interfaces import ICodec, IEndpoint, IFilter, ILoadBalancer, ISession
from metaproxy.message import Affinity, Correlation, ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.plugins import HOOKS, PluginError, verify

Prepare = Callable[[ISession, Side], None]

_FORWARDED = (
    Kind.REQUEST, Kind.ONEWAY, Kind.RESPONSE, Kind.ERROR, Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE,
)  # fmt: skip
_TEXTS = ("no route matched", 'ümlaut, "quotes", \\, \x00, <tag>\r\nand a second line', "x" * 1024)
_KEY = "x-metaproxy-check"
_STREAMS = 300
"""Streams of random or damaged bytes that a session is fed."""


def check_codec(
    codec: ICodec,
    client: Sequence[bytes],
    server: Sequence[bytes],
    max_frame: int = 1 << 20,
    prepare: Prepare | None = None,
) -> None:
    """
    Raises AssertionError unless the codec and its sessions keep the contract.

    client, server: whole frames that a client, a server sends, one each item, every kind of message at least once; at
    least one request, whose profile the server's connections are opened with. prepare(session, side): brings a new
    session to where these frames make sense, for example by a login or by sending the requests that the server's frames
    answer; not needed by most. max_frame: bytes.
    """
    bench = _Bench(codec, {Side.CLIENT: list(client), Side.SERVER: list(server)}, max_frame, prepare)
    _check_declaration(codec)
    _check_single_frames(bench)
    _check_cuts(bench)
    _check_bounds(bench)
    _check_damage(bench)
    _check_send(bench)
    _check_replies(bench)
    _check_mutations(bench)
    _check_splits(bench)
    _check_probe(bench)


def check_filter(filter: object) -> None:
    """Raises AssertionError unless the object is a filter: declared as one, with hooks that the proxy can call."""
    _need(
        IFilter.providedBy(filter),
        f"{filter!r} is no IFilter: put @implementer(IOnRequest), or the interfaces of its hooks, above the class",
    )
    for name in dir(filter):
        if name.startswith("on_") and name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            hint = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise AssertionError(f"{filter!r} has {name}, which is never called; {hint}")
    try:
        verify(IFilter, filter)
    except PluginError as error:
        raise AssertionError(str(error)) from error
    for name in HOOKS:
        hook = getattr(filter, name, None)
        if hook is None:
            continue
        _need(
            not inspect.iscoroutinefunction(hook),
            f"{name} is a coroutine function, and nobody awaits it: return Deferred.fromCoroutine(...) where it waits",
        )
        _need(
            HOOKS[name].providedBy(filter),
            f"{filter!r} has {name} but is no {HOOKS[name].__name__}: name it in @implementer above the class",
        )


def check_balancer(
    make: Callable[[Sequence[IEndpoint]], ILoadBalancer], weighted: bool = True, disruption: float = 0.25
) -> None:
    """
    Raises AssertionError unless what `make(endpoints)` builds keeps the contract of a balancer.

    weighted: picks follow the weights of endpoints that have nothing under way; say False where they are not meant to.
    disruption: with `uses_hash`, the share of the keys of other endpoints that may move when one of ten leaves.
    """
    balancer = make(_endpoints(3))
    _verify(ILoadBalancer, balancer)
    _need(isinstance(balancer.uses_hash, bool), f"uses_hash is {balancer.uses_hash!r}; it must be True or False")
    hashes = _hashes(6000)
    for weight in (1, 7):
        (only,) = _endpoints(1, weight)
        picked = _picks(make([only]), hashes[:50])
        _need(set(picked) == {only}, f"the only endpoint was given, but picked were {set(picked)}")
    _check_shares(make, _endpoints(5), hashes)
    if weighted:
        _check_shares(make, [FakeEndpoint(f"10.0.1.{w}:80", w) for w in (1, 2, 3)], hashes)
    if balancer.uses_hash:
        _check_stability(make, hashes, disruption)


@implementer(IEndpoint)
class FakeEndpoint:
    """An endpoint for tests of balancers. active: set it to what should be under way."""

    def __init__(
        self, address: str, weight: int = 1, active: int = 0, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self.weight = weight
        self.active = active
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        return f"FakeEndpoint({self.address!r}, {self.weight})"


def _need(holds: bool, text: str) -> None:
    # Not an assert statement: python -O would skip it.
    if not holds:
        raise AssertionError(text)


def _verify(interface: type, built: object) -> None:
    try:
        verifyObject(interface, built)
    except Invalid as error:
        raise AssertionError(str(error)) from error


def _hex(data: bytes) -> str:
    return f"bytes.fromhex({data[:200].hex()!r}){' ...' if len(data) > 200 else ''} ({len(data)} bytes)"


def _check_probe(bench: _Bench) -> None:
    """What health checks ask is one message, that a server can read and that is answered."""
    probe = bench.codec.probe()
    if probe is None:
        return
    asks = (Kind.REQUEST, Kind.HEARTBEAT)
    _need(isinstance(probe, Message) and probe.kind in asks, f"probe() gave {probe!r}; give a REQUEST or HEARTBEAT")
    session = bench.codec.session(Side.SERVER, bench.max_frame)
    session.open(probe.profile, {})
    frame = session.send(probe, 1)
    read = bench.codec.session(Side.CLIENT, bench.max_frame).receive(frame)
    _need(len(read) == 1 and read[0].kind in asks, f"a server reads {read} of the probe {_hex(frame)}, not one request")
    answer = bench.codec.reply(read[0], ErrorKind.INTERNAL, "no")
    for message in bench.session(Side.SERVER).receive(answer):
        told = bench.codec.alive(message)
        _need(isinstance(told, bool), f"alive() gave {told!r}; give True or False")


class _Bench:
    """The codec on the test bench: new sessions, fed in pieces, with all that holds at every step checked."""

    def __init__(
        self, codec: ICodec, frames: Mapping[Side, list[bytes]], max_frame: int, prepare: Prepare | None
    ) -> None:
        self.codec = codec
        self.frames = frames
        self.max_frame = max_frame
        self._prepare = prepare
        self._profile: Hashable = None
        for side, name in ((Side.CLIENT, "client"), (Side.SERVER, "server")):
            _need(bool(frames[side]), f"{name}=[] checks nothing; give at least one whole frame")
            for i, frame in enumerate(frames[side]):
                _need(isinstance(frame, bytes), f"{name}[{i}] is {type(frame).__name__}; give bytes")
                _need(0 < len(frame) <= max_frame, f"{name}[{i}] has {len(frame)} bytes; allowed are 1 to {max_frame}")

    def learn_profile(self) -> None:
        """From now on servers' sessions are opened as for the first of the requests."""
        self._profile = next((message.profile for _, message in self.requests()), None)

    def session(self, side: Side, max_frame: int | None = None) -> ISession:
        session = self.codec.session(side, self.max_frame if max_frame is None else max_frame)
        _verify(ISession, session)
        if side is Side.SERVER:
            opening = session.open(self._profile, {})
            _need(isinstance(opening, bytes), f"open() gave {opening!r}; it must give bytes, b'' for nothing to say")
        if self._prepare is not None:
            self._prepare(session, side)
        return session

    def feed(self, session: ISession, pieces: Iterable[bytes], bound: int) -> list[Message]:
        """The messages of all pieces."""
        messages: list[Message] = []
        for piece in pieces:
            try:
                found = session.receive(piece)
            except Exception as error:
                raise AssertionError(
                    f"receive raised {error!r}; what a peer sent may only set `error`. Fed: {_hex(piece)}"
                ) from error
            if not isinstance(found, list) or not all(isinstance(message, Message) for message in found):
                raise AssertionError(f"receive gave {found!r}; it must give a list of Messages")
            for message in found:
                # These first: without them no text can show the message.
                _need(isinstance(message.kind, Kind), f"kind is {message.kind!r}, no Kind. Fed: {_hex(piece)}")
                _need(isinstance(message.frame, bytes), f"frame is no bytes: {message.frame!r}. Fed: {_hex(piece)}")
            broken, buffered = session.error, session.buffered
            _need(
                broken is None or isinstance(broken, FrameError),
                f"session.error is {broken!r}; it must be a FrameError",
            )
            _need(
                isinstance(buffered, int) and (broken is not None or 0 <= buffered <= bound),
                f"session.buffered is {buffered!r} of at most {bound} allowed bytes: refuse a frame on its head",
            )
            messages += found
        return messages

    def read(self, side: Side, pieces: Iterable[bytes], max_frame: int | None = None) -> tuple[list[Message], ISession]:
        session = self.session(side, max_frame)
        return self.feed(session, pieces, self.max_frame if max_frame is None else max_frame), session

    def one(self, side: Side, data: bytes, what: str) -> Message:
        """The only message of `data`, which nothing follows."""
        messages, session = self.read(side, [data])
        _need(session.error is None, f"{what}: session.error is {session.error!s}. Fed: {_hex(data)}")
        _need(len(messages) == 1, f"{what}: {len(messages)} messages instead of one: {messages}. Fed: {_hex(data)}")
        _need(session.buffered == 0, f"{what}: buffered is {session.buffered} after a whole frame. Fed: {_hex(data)}")
        return messages[0]

    def messages(self, side: Side) -> Iterator[tuple[str, Message]]:
        """A name and the message of each frame given, each read anew."""
        for i, frame in enumerate(self.frames[side]):
            what = f"{side.value}[{i}]"
            yield what, self.one(side, frame, what)

    def requests(self) -> Iterator[tuple[str, Message]]:
        """Those of the client's that go to a server."""
        for what, message in self.messages(Side.CLIENT):
            if message.kind is Kind.REQUEST and message.answer is None:
                yield what, message


def _check_declaration(codec: ICodec) -> None:
    _verify(ICodec, codec)
    _need(
        isinstance(codec.name, str) and bool(codec.name), f"name is {codec.name!r}; it must say what `protocol:` says"
    )
    _need(isinstance(codec.correlation, Correlation), f"correlation is {codec.correlation!r}, no Correlation")
    _need(isinstance(codec.affinity, Affinity), f"affinity is {codec.affinity!r}, no Affinity")
    _need(
        codec.connections in ("multiplex", "pool", "pinned"),
        f"connections is {codec.connections!r}; it must be 'multiplex', 'pool' or 'pinned'",
    )
    _need(isinstance(codec.max_id, int) and codec.max_id >= 1, f"max_id is {codec.max_id!r}; ids run from 1")
    _need(isinstance(codec.mutable, str), f"mutable is {codec.mutable!r}; it must be '', or why mutations don't work")
    for name in ("keys", "hash_aliases"):
        table = getattr(codec, name)
        texts = isinstance(table, dict) and all(isinstance(text, str) for pair in table.items() for text in pair)
        _need(texts, f"{name} is {table!r}; it must be a dict of str to str")


def _check_single_frames(bench: _Bench) -> None:
    for what, message in bench.messages(Side.CLIENT):
        _check_message(bench.codec, what, message)
    bench.learn_profile()
    for what, message in bench.messages(Side.SERVER):
        _check_message(bench.codec, what, message)
    _need(any(bench.requests()), "no frame of client=[...] is a request that is forwarded; give at least one")


def _check_message(codec: ICodec, what: str, message: Message) -> None:
    _need(type(message.id) is int and 0 <= message.id < 1 << 64, f"{what}: id is {message.id!r}; allowed are 64 bits")
    if codec.correlation is Correlation.FIFO:
        _need(message.id == 0, f"{what}: id is {message.id}; with Correlation.FIFO it must be 0")
    _need(
        message.answer is None or isinstance(message.answer, bytes),
        f"{what}: answer is {message.answer!r}; it must be bytes, or None",
    )
    _look(what, message)
    known = message.known()
    for key, value in known.items():
        _need(isinstance(key, str) and isinstance(value, str), f"{what}: metadata {key!r}: {value!r}; both must be str")
        _need(
            key.lower() in known,
            f"{what}: metadata has {key!r} but not {key.lower()!r}: give each key as spelled and in lower case",
        )


def _look(what: str, message: Message) -> None:
    """Makes the message decode all that it can. Raises unless it fails with FrameError, and once at most."""
    for attempt in (1, 2):
        try:
            message.get("no such key")
        except FrameError as error:
            _need(attempt == 1, f"{what}: get() raised FrameError a second time: {error}")
        except Exception as error:
            raise AssertionError(
                f"{what}: get() raised {error!r}; `more` may raise FrameError only. Frame: {_hex(message.frame)}"
            ) from error


def _check_cuts(bench: _Bench) -> None:
    for side in Side:
        frames = bench.frames[side]
        stream = b"".join(frames)
        whole, session = bench.read(side, [stream])
        _need(
            session.error is None and len(whole) == len(frames),
            f"the {side.value}'s {len(frames)} frames in one read: {len(whole)} messages and error {session.error!s}",
        )
        for pieces in _cuts(stream, random.Random(1)):
            _compare(bench, side, stream, pieces, whole, session)


def _compare(
    bench: _Bench,
    side: Side,
    stream: bytes,
    pieces: list[bytes],
    whole: list[Message],
    reader: ISession,
    max_frame: int | None = None,
) -> None:
    """The same messages and error as in one read."""
    messages, session = bench.read(side, pieces, max_frame)
    how = f"cut into pieces of {_shorten([len(piece) for piece in pieces])} bytes, the {side.value}'s {_hex(stream)}"
    for i, message in enumerate(messages):
        _look(f"{how}: message {i}", message)
    _need(messages == whole, f"{how} gives {_shorten(messages)}; in one read it gives {_shorten(whole)}")
    _need(
        str(session.error) == str(reader.error),
        f"{how} ends with error {session.error!s}; in one read it ends with {reader.error!s}",
    )


def _shorten(items: Sequence[object]) -> str:
    return f"[{', '.join(map(str, items[:8]))}{', ...' if len(items) > 8 else ''}]"


def _cuts(stream: bytes, draw: random.Random) -> Iterator[list[bytes]]:
    """Each byte alone, two halves cut at every place (of a long stream at some), and some random cuts."""
    if len(stream) <= 1 << 16:
        yield [stream[i : i + 1] for i in range(len(stream))]
    places = range(1, len(stream))
    for place in places if len(places) <= 400 else sorted(draw.sample(places, 400)):
        yield [stream[:place], stream[place:]]
    for _ in range(20):
        yield _random_cut(stream, draw)


def _random_cut(stream: bytes, draw: random.Random) -> list[bytes]:
    places = sorted(draw.sample(range(len(stream) + 1), min(len(stream), draw.randint(0, 12))))
    return [stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)]


def _check_bounds(bench: _Bench) -> None:
    for side in Side:
        frame = max(bench.frames[side], key=len)
        bound = len(frame) - 1
        if not bound:
            continue
        for how, pieces in (("at once", [frame]), ("byte by byte", [frame[i : i + 1] for i in range(len(frame))])):
            messages, session = bench.read(side, pieces, bound)
            skipped = side is Side.SERVER and [message.kind for message in messages] == [Kind.SKIPPED]
            _need(
                (skipped and session.error is None) or (session.error is not None and not messages),
                f"a {side.value}'s frame of {len(frame)} bytes, fed {how}, passed max_frame={bound}: error is"
                f" {session.error!s}, messages {messages}. Frame: {_hex(frame)}",
            )


def _check_damage(bench: _Bench) -> None:
    draw = random.Random(2)
    for side in Side:
        frames = bench.frames[side]
        bound = max(1024, *map(len, frames))
        for _ in range(_STREAMS):
            stream = _damaged(frames, draw)
            whole, session = bench.read(side, [stream], bound)
            for i, message in enumerate(whole):
                _look(f"message {i} of the {side.value}'s {_hex(stream)}", message)
            _compare(bench, side, stream, _random_cut(stream, draw), whole, session, bound)
            if session.error is None:
                continue
            error = session.error
            later = bench.feed(session, frames, bound)
            _need(
                not later and session.error is error,
                f"after a bad frame ({error}) the session gave {_shorten(later)} and error {session.error!s}; nothing"
                " more must be parsed",
            )


def _damaged(frames: Sequence[bytes], draw: random.Random) -> bytes:
    """Random bytes, or some good frames with a few bytes changed, removed or put in."""
    if draw.random() < 0.3:
        return draw.randbytes(draw.randint(1, 200))
    stream = bytearray(b"".join(draw.choices(frames, k=draw.randint(1, 3))))
    for _ in range(draw.randint(1, 4)):
        # Mostly near the start, where the heads are.
        place = min(int(draw.expovariate(1 / 16)), len(stream)) if draw.random() < 0.5 else draw.randint(0, len(stream))
        stop = place + draw.choice((0, 1, 1, 1, 2))
        stream[place:stop] = draw.choice((b"", b"\x00", b"\xff", b"\x7f", draw.randbytes(1), draw.randbytes(2)))
    return bytes(stream[:4096]) or b"\x00"


def _check_send(bench: _Bench) -> None:
    codec = bench.codec
    for side, other in ((Side.CLIENT, Side.SERVER), (Side.SERVER, Side.CLIENT)):
        for what, message in bench.messages(side):
            if message.kind not in _FORWARDED or message.answer is not None:
                continue
            same = _sent(bench, other, message, message.id, what)
            _same_meaning(what, message, bench.one(side, same, f"{what}, sent on"))
            if codec.correlation is Correlation.ID:
                for id in sorted({1, 2, min(codec.max_id, 0x7FFFFFF0), codec.max_id}):
                    _check_renumbered(bench, side, what, message, id)


def _check_renumbered(bench: _Bench, side: Side, what: str, message: Message, id: int) -> None:
    other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
    what = f"{what}, sent under id {id}"
    again = bench.one(side, _sent(bench, other, message, id, what), what)
    _need(again.id == id, f"{what}: its bytes decode with id {again.id}")
    _same_meaning(what, message, again)
    back = _sent(bench, other, again, message.id, what)
    _need(
        back == message.frame,
        f"{what}, then under its own id {message.id} again: {_hex(back)}; it was {_hex(message.frame)}",
    )


def _sent(bench: _Bench, side: Side, message: Message, id: int, what: str) -> bytes:
    data = bench.session(side).send(message, id)
    _need(isinstance(data, bytes) and bool(data), f"{what}: send() gave {data!r}; it must give the bytes to write")
    return data


def _same_meaning(what: str, before: Message, after: Message) -> None:
    """Kind and metadata; a key that holds an id may hold the new one."""
    _need(after.kind is before.kind, f"{what}: its bytes decode as {after.kind.name}; it was {before.kind.name}")
    old, new = before.known(), after.known()
    for key in old.keys() | new.keys():
        _need(
            old.get(key) == new.get(key) or new.get(key) == str(after.id),
            f"{what}: its bytes decode with {key} {new.get(key)!r}; it was {old.get(key)!r}",
        )


def _check_replies(bench: _Bench) -> None:
    codec = bench.codec
    for what, message in bench.messages(Side.CLIENT):
        if message.kind is Kind.ONEWAY and message.answer is None and not message.hold:
            data = codec.reply(message, ErrorKind.NOT_FOUND, _TEXTS[0], "")
            _need(data == b"", f"{what}: reply() to a one-way request gave {_hex(data)}; nobody waits for it: b''")
    for what, request in bench.requests():
        for kind in ErrorKind:
            for text in _TEXTS if kind is ErrorKind.NOT_FOUND else _TEXTS[:1]:
                for name in ("", "no such name"):
                    _check_reply(bench, f"{what}: reply({kind}, {text[:60]!r}, {name!r})", request, kind, text, name)


def _check_reply(bench: _Bench, what: str, request: Message, kind: ErrorKind, text: str, name: str) -> None:
    data = bench.codec.reply(request, kind, text, name)
    _need(isinstance(data, bytes), f"{what} gave {data!r}; it must give bytes")
    if not data:
        return
    session = bench.session(Side.SERVER)
    session.send(request, request.id)
    messages = bench.feed(session, [data], bench.max_frame)
    whole = session.error is None and session.buffered == 0
    _need(
        whole and [message.kind for message in messages] == [Kind.ERROR],
        f"{what} decodes as {messages}, error {session.error!s}, {session.buffered} bytes left; it must be one whole"
        f" frame of Kind.ERROR. It was {_hex(data)}",
    )
    _need(messages[0].id == request.id, f"{what} has id {messages[0].id}; the request's is {request.id}")


def _check_mutations(bench: _Bench) -> None:
    codec = bench.codec
    if codec.mutable:
        return
    mutated = 0
    for side in Side:
        for what, message in bench.messages(side):
            if message.kind not in _FORWARDED or message.answer is not None:
                continue
            try:
                frame = codec.mutate(message, Mutation({_KEY: "1"}, ("x-metaproxy-absent",)))
            except FrameError:
                continue
            if frame == message.frame:  # a kind of frame that has no place for metadata
                continue
            mutated += side is Side.CLIENT
            _check_mutated(bench, side, f"{what}, mutated", message, frame)
    _need(bool(mutated), "mutable is '', but no frame of client=[...] could be mutated; say in `mutable` why not")


def _check_mutated(bench: _Bench, side: Side, what: str, message: Message, frame: bytes) -> None:
    again = bench.one(side, frame, what)
    _need(again.id == message.id, f"{what}: id {again.id}; it was {message.id}")
    _need(again.kind is message.kind, f"{what}: {again.kind.name}; it was {message.kind.name}")
    _need(again.get(_KEY) == "1", f"{what}: {_KEY} was set to '1'; its bytes decode with {again.get(_KEY)!r}")
    old, new = message.get("operation"), again.get("operation")
    _need(old == new, f"{what}: operation {new!r}; it was {old!r}")
    other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
    id = 1 if bench.codec.correlation is Correlation.ID else again.id
    sent = bench.one(side, _sent(bench, other, again, id, what), f"{what}, then sent under id {id}")
    _same_meaning(f"{what}, then sent under id {id}", again, sent)
    removed = bench.one(side, bench.codec.mutate(again, Mutation({}, (_KEY,))), f"{what} back")
    _need(removed.get(_KEY) is None, f"{what} back: {_KEY} was removed again; its bytes still decode with it")


def _check_splits(bench: _Bench) -> None:
    for what, request in bench.requests():
        parts = bench.codec.split(request, lambda key: key)
        if not parts:  # None: it goes to one endpoint; []: it is refused
            continue
        _need(len(parts) > 1, f"{what}: split() gave one part; give None when it is not to be split")
        for i, part in enumerate(parts):
            piece = bench.one(Side.CLIENT, part.message.frame, f"{what}: part {i} of split()")
            _need(piece.kind is Kind.REQUEST, f"{what}: part {i} of split() is {piece.kind.name}, no REQUEST")


def _endpoints(count: int, weight: int = 1) -> list[FakeEndpoint]:
    return [FakeEndpoint(f"10.0.0.{i}:20880", weight) for i in range(1, count + 1)]


def _hashes(count: int) -> list[int]:
    draw = random.Random(3)
    return [draw.getrandbits(64) for _ in range(count)]


def _picks(balancer: ILoadBalancer, hashes: Iterable[int]) -> list[IEndpoint]:
    uses_hash = balancer.uses_hash
    return [balancer.pick(value if uses_hash else 0) for value in hashes]


def _check_shares(
    make: Callable[[Sequence[IEndpoint]], ILoadBalancer], endpoints: Sequence[IEndpoint], hashes: Sequence[int]
) -> None:
    """
    Each endpoint's share within 40 % of its weight's. Of 6000 independent picks at a share of 1/6 that is 13 standard
    deviations; on a ring of 1024 places, whose own unevenness counts for more, still 5.
    """
    counts = Counter(_picks(make(list(endpoints)), hashes))
    strange = [endpoint for endpoint in counts if endpoint not in endpoints]
    _need(not strange, f"pick() gave {strange}, which is none of the endpoints that the balancer was built with")
    total = sum(endpoint.weight for endpoint in endpoints)
    for endpoint in endpoints:
        share, wanted = counts[endpoint] / len(hashes), endpoint.weight / total
        _need(bool(counts[endpoint]), f"{endpoint} was not picked once in {len(hashes)} times")
        _need(
            0.6 * wanted <= share <= 1.4 * wanted,
            f"{endpoint} got {share:.1%} of {len(hashes)} picks; by its weight it should get about {wanted:.1%}",
        )


def _check_stability(
    make: Callable[[Sequence[IEndpoint]], ILoadBalancer], hashes: Sequence[int], disruption: float
) -> None:
    endpoints = _endpoints(10)
    balancer = make(endpoints)
    before = _picks(balancer, hashes)
    _need(_picks(balancer, hashes) == before, "the same hash gave another endpoint when it was picked again")
    _need(
        _picks(make(endpoints[::-1]), hashes) == before,
        "the same endpoints in another order gave other picks: two proxies would disagree; sort them by address",
    )
    gone = endpoints[3]
    after = _picks(make([endpoint for endpoint in endpoints if endpoint is not gone]), hashes)
    others = [(old, new) for old, new in zip(before, after, strict=True) if old is not gone]
    moved = sum(old is not new for old, new in others) / len(others)
    _need(
        moved <= disruption,
        f"when one of ten endpoints left, {moved:.1%} of the keys of the others moved; allowed are {disruption:.1%}",
    )
