"""
What a session makes of one frame: kind, id, metadata, a heartbeat's answer, and what it holds.

Lives here: `check_single_frames`, `check_holds`. Does not: streams of frames.
"""

from __future__ import annotations

from metaproxy.message import KIND_NAMES, Correlation, FrameError, Hold, Kind, Message, Side
from metaproxy.testing.bench import OTHER, Bench
from metaproxy.testing.report import need

_SERVERS = (Kind.EVENT, Kind.EVENT_OPEN, Kind.DRAIN, Kind.SKIPPED, Kind.SILENCE)
_ANSWERS = (Kind.RESPONSE, Kind.ERROR)
_BINDING = (Hold.OPEN, Hold.CLOSE, Hold.EXCHANGE, Hold.BLOCKING)


def check_single_frames(bench: Bench) -> None:
    requests = 0
    for what, message in bench.messages(Side.CLIENT):
        _check_message(bench, what, message)
        requests += message.kind is Kind.REQUEST and message.answer is None
    need(requests > 0, "no frame of client=[...] is a request that is forwarded; give at least one")
    for what, message in bench.messages(Side.CLIENT):
        _check_from_client(what, message)
    bench.learn_profile()
    kinds = []
    for what, message in bench.messages(Side.SERVER):
        _check_message(bench, what, message)
        if bench.codec.correlation is Correlation.FIFO:
            need(message.id == 0, f"{what}: id is {message.id}; with Correlation.FIFO it must be 0", message.frame)
        kinds.append(message.kind)
    need(
        Kind.RESPONSE in kinds or Kind.STREAM_OPEN in kinds,
        "no frame of server=[...] answers a request with success; give one. They are"
        f" {', '.join(kind.name for kind in kinds)}",
    )
    for side in Side:
        _check_prefixes(bench, side)
        for what, message in bench.messages(side):
            if side is Side.SERVER:
                text = f"{what}: answer is {message.answer!r}, on a server's message; have the session `say` it"
                need(message.answer is None, text, message.frame)
                if message.kind is Kind.HEARTBEAT:
                    _check_answer(bench, side, what, message, _owed(bench, message))
            elif message.answer is not None:
                _check_answer(bench, side, what, message, message.answer)
            elif message.kind is Kind.HEARTBEAT:
                need(
                    False, f"{what}: a HEARTBEAT without an answer: set answer, to b'' where none is due", message.frame
                )
    _check_heartbeats(bench)


def _check_message(bench: Bench, what: str, message: Message) -> None:
    frame = message.frame
    need(type(message.id) is int and 0 <= message.id < 1 << 64, f"{what}: id is {message.id!r}; allowed are 64 bits")
    need(
        message.answer is None or isinstance(message.answer, bytes),
        f"{what}: answer is {message.answer!r}; it must be bytes, or None",
    )
    need(isinstance(message.hold, Hold), f"{what}: hold is {message.hold!r}, no Hold", frame)
    bench.call(f"{what}: hash(profile)", hash, message.profile, data=frame)
    before = (message.kind, message.id, message.frame, message.answer, message.hold)
    bench.look(what, message)
    after = (message.kind, message.id, message.frame, message.answer, message.hold)
    need(before == after, f"{what}: `more` changed {message}; it may fill in metadata only", frame)
    _check_metadata(what, message)


def _check_metadata(what: str, message: Message) -> None:
    known = message.known()
    for key, value in known.items():
        pair = f"{key!r}: {value!r}"
        need(isinstance(key, str) and isinstance(value, str), f"{what}: metadata {pair:.200}; both must be str")
        need(
            key.lower() in known,
            f"{what}: metadata has {key!r} but not {key.lower()!r}: give each key as spelled and in lower case",
            message.frame,
        )
    need(
        known["kind"] == KIND_NAMES[message.kind],
        f"{what}: metadata say kind {known['kind']!r}, but it is {message.kind.name}: a peer must not choose that",
        message.frame,
    )


def _check_from_client(what: str, message: Message) -> None:
    kind, hold = message.kind, message.hold
    need(kind not in _SERVERS, f"{what}: {kind.name} comes from servers only", message.frame)
    need(kind not in _ANSWERS, f"{what}: {kind.name}, but no server asked the client anything", message.frame)
    if hold in _BINDING:
        need(
            message.answer is None and kind is not Kind.HEARTBEAT,
            f"{what}: hold is {hold.name}, but the message is answered by the codec and never reaches a server: such a"
            " hold has no effect",
            message.frame,
        )
    if hold in (Hold.EXCHANGE, Hold.BLOCKING):
        need(kind is Kind.REQUEST, f"{what}: Hold.{hold.name} lasts until the answer, and a {kind.name} has none")


def _check_prefixes(bench: Bench, side: Side) -> None:
    """`buffered` counts what there is of an incomplete frame."""
    for i, frame in enumerate(bench.frames[side][:4]):
        for length in {1, len(frame) // 2, len(frame) - 1} - {0, len(frame)}:
            messages, session = bench.read(side, [frame[: length // 2], frame[length // 2 : length]])
            if messages:
                continue
            need(
                session.error is None,
                f"{side.value}[{i}]: its first {length} bytes set error: {session.error!s}; the frame is a good one",
                frame[:length],
            )
            need(
                session.buffered == length,
                f"{side.value}[{i}]: buffered is {session.buffered} when {length} bytes of a frame of {len(frame)} are"
                " there",
                frame[:length],
            )
            bench.feed(session, [frame[length:]], bench.max_frame)
            need(
                session.error is not None or session.buffered == 0,
                f"{side.value}[{i}]: buffered is {session.buffered} once the frame came whole, in pieces",
                frame,
            )
            _check_behind(bench, side, frame, length)


def _check_behind(bench: Bench, side: Side, frame: bytes, length: int) -> None:
    """A whole frame and the beginning of another in one read."""
    messages, session = bench.read(side, [frame + frame[:length]])
    if len(messages) == 1 and session.error is None and not session.closing:
        need(
            session.buffered == length,
            f"buffered is {session.buffered} when a whole frame of the {side.value} and {length} bytes of the next are"
            " there; it counts what is incomplete",
            frame + frame[:length],
        )


def _owed(bench: Bench, message: Message) -> bytes:
    """What a session says to a server's heartbeat."""
    session = bench.read(Side.SERVER, [message.frame])[1]
    return bytes(bench.call("owed()", session.owed)) if getattr(session, "owes", False) else b""


def _answers_of(bench: Bench, side: Side, beats: list[Message]) -> list[bytes]:
    """What heartbeats of one side are answered with."""
    return [_owed(bench, one) if side is Side.SERVER else one.answer or b"" for one in beats]


def _check_answer(bench: Bench, side: Side, what: str, message: Message, answer: bytes) -> None:
    """What the codec answers by itself is what the peer's reader takes for an answer to this message."""
    if not answer:
        return
    messages, session = bench.read(OTHER[side], [answer])
    need(
        session.error is None and session.buffered == 0 and bool(messages),
        f"{what}: its `answer` is not whole: the {side.value} reads {messages}, error {session.error!s},"
        f" {session.buffered} bytes left",
        answer,
    )
    first, turn = messages[0], session.owed() if getattr(session, "owes", False) else messages[0].answer
    asked = [one for one in messages if one.kind in (Kind.REQUEST, Kind.ONEWAY)]
    need(not asked, f"{what}: its `answer` is a request: {asked}", answer)
    if message.kind is Kind.HEARTBEAT:
        kinds = (Kind.HEARTBEAT, *_ANSWERS)
        need(first.kind in kinds, f"{what}: its `answer` is a {first.kind.name}; a heartbeat's is a HEARTBEAT", answer)
        need(not turn, f"{what}: its `answer` asks for an answer in turn: heartbeats without end", answer)
    if bench.codec.correlation is Correlation.ID and first.kind not in (Kind.EVENT, Kind.DRAIN):
        need(first.id == message.id, f"{what}: its `answer` has id {first.id}; it must be {message.id}", answer)


def _check_heartbeats(bench: Bench) -> None:
    """Where one side answers heartbeats and the other side's frames hold those answers, some must ask for them."""
    beats = {side: [m for _, m in bench.messages(side) if m.kind is Kind.HEARTBEAT] for side in Side}
    if beats[Side.CLIENT] and beats[Side.SERVER]:
        need(
            any(any(_answers_of(bench, side, beats[side])) for side in Side),
            "no HEARTBEAT of either side is answered: set `answer` on a client's, `say` it to a server",
            beats[Side.CLIENT][0].frame,
        )
    probe = bench.call("probe()", bench.codec.probe)
    if not isinstance(probe, Message) or probe.kind is not Kind.HEARTBEAT:
        return
    session = bench.session(Side.SERVER)
    frame = bytes(bench.call("send()", session.send, probe, min(1, probe.id), refusal=False))
    (read,) = bench.read(Side.CLIENT, [frame])[0] or [probe]
    need(
        read.kind is Kind.HEARTBEAT and bool(read.answer),
        f"the probe is a HEARTBEAT, but the same bytes from a client are {read.kind.name} with the answer"
        f" {read.answer!r}; answer it",
        frame,
    )


def check_holds(bench: Bench) -> None:
    """A state that a request opens is one that another closes."""
    opened: list[tuple[str, Message]] = []
    closed: list[tuple[str, Message]] = []
    whole, _ = bench.read(Side.CLIENT, [b"".join(bench.frames[Side.CLIENT])])
    named = [(f"client[{i}] behind the others", message) for i, message in enumerate(whole)]
    for what, message in [*bench.messages(Side.CLIENT), *named]:
        if message.hold is Hold.OPEN and message.kind is Kind.REQUEST:
            opened.append((what, message))
        elif message.hold is Hold.CLOSE:
            closed.append((what, message))
    pushes = [(what, m) for what, m in bench.messages(Side.SERVER) if m.hold is Hold.CLOSE]
    if opened and not closed and not pushes:
        what, message = opened[0]
        need(
            False,
            f"{what}: Hold.OPEN, but no frame of client=[...] or server=[...] has Hold.CLOSE: the connection would"
            " never be free again. Give the frame that ends the state, too",
            message.frame,
        )
    oneway = any(m.hold is Hold.OPEN for _, m in [*bench.messages(Side.CLIENT), *named])
    if closed and not oneway:
        what, message = closed[0]
        need(
            False,
            f"{what}: Hold.CLOSE, but no frame of client=[...] has Hold.OPEN: there is nothing to close. Give the frame"
            " that opens the state, too",
            message.frame,
        )
    for side in Side:
        for what, message in bench.messages(side):
            refused = getattr(message, "refused", None)
            if refused is not None:
                try:
                    frame = bench.call(f"{what}: refused()", refused, message, "no", refusal=True)
                except FrameError:
                    continue
                need(isinstance(frame, bytes), f"{what}: refused() gave {frame!r}; it must give a frame", message.frame)
