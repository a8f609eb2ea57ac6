"""
What a codec and its sessions declare: the attributes, their types, and what a new session says of itself.

Lives here: `check_declaration`, `check_sessions`. Does not: anything that reads bytes.
"""

from __future__ import annotations

from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import Correlation, Kind, Side
from metaproxy.testing.bench import OTHER, Bench, verify
from metaproxy.testing.report import need

_FLAGS = ("ordered", "server_first", "stateful")


def check_declaration(codec: ICodec) -> None:
    verify(ICodec, codec)
    need(isinstance(codec.name, str) and bool(codec.name), f"name is {codec.name!r}; it must say what `protocol:` says")
    need(isinstance(codec.correlation, Correlation), f"correlation is {codec.correlation!r}, no Correlation")
    need(
        codec.connections in ("multiplex", "pool", "transaction", "pinned"),
        f"connections is {codec.connections!r}; it must be 'multiplex', 'pool', 'transaction' or 'pinned'",
    )
    whole = isinstance(codec.max_id, int) and not isinstance(codec.max_id, bool)
    need(whole and codec.max_id >= 1, f"max_id is {codec.max_id!r}; ids run from 1")
    need(isinstance(codec.mutable, str), f"mutable is {codec.mutable!r}; it must be '', or why mutations don't work")
    for name in (*_FLAGS, *(("sequential",) if hasattr(codec, "sequential") else ())):
        value = getattr(codec, name)
        need(isinstance(value, bool), f"{name} is {value!r}; it must be True or False")
    for name in ("keys", "hash_aliases"):
        table = getattr(codec, name)
        texts = isinstance(table, dict) and all(isinstance(text, str) for pair in table.items() for text in pair)
        need(texts, f"{name} is {table!r}; it must be a dict of str to str")
    known = codec.knows("no such name")
    need(isinstance(known, bool), f"knows() gave {known!r}; give True or False")


def check_sessions(bench: Bench) -> None:
    """What a session says before anything came, and what it has to say by itself."""
    for side in Side:
        session = bench.bare(side)
        _check_fresh(side, session)
        session = bench.session(side)
        _check_flags(side, session)
        need(
            side is Side.CLIENT or session.ready,
            f"the {side.value}'s session is not ready though it was opened and prepared: {_NOT_READY}",
        )
        if bench.prepare is None:
            need(not session.closing, f"a new session of the {side.value} is closing; only a goodbye ends a connection")
        if side is Side.SERVER and bench.codec.connections != "pinned":
            need(
                session.reusable,
                "reusable is False on a connection that has served no client: no connection would ever be used again",
            )
        _check_drain(bench, side)
        _check_owed(bench, side)
    _check_closing(bench)


_NOT_READY = "no request would ever be sent. Set `ready` when the login is over; give login=[...] or prepare for it"


def _check_fresh(side: Side, session: ISession) -> None:
    what = f"a new session of the {side.value}"
    need(session.error is None, f"{what} has the error {session.error!s}")
    need(session.buffered == 0, f"{what} says that it holds {session.buffered!r} bytes")
    _check_flags(side, session)


def _check_flags(side: Side, session: ISession) -> None:
    for name in ("ready", "closing", "reusable"):
        value = getattr(session, name)
        need(isinstance(value, bool), f"{name} of the {side.value}'s session is {value!r}; it must be True or False")


def _check_drain(bench: Bench, side: Side) -> None:
    session = bench.session(side)
    word = bench.call("drain()", session.drain)
    need(isinstance(word, bytes), f"drain() gave {word!r}; it must give bytes, b'' where there is no word for it")
    if word:
        messages, reader = bench.read(OTHER[side], [word])
        need(
            reader.error is None and reader.buffered == 0 and bool(messages),
            f"drain() of the {side.value}'s session gave what its peer can't read: {messages}, error {reader.error!s}",
            word,
        )
        answers = [
            message.kind.name for message in messages if message.kind in (Kind.RESPONSE, Kind.ERROR, Kind.REQUEST)
        ]
        need(not answers, f"drain() of the {side.value}'s session gave a {', '.join(answers)}, no DRAIN", word)


def _check_owed(bench: Bench, side: Side) -> None:
    """Last words, where the session has any."""
    session = bench.session(side)
    owed = getattr(session, "owed", None)
    if owed is None:
        return
    bench.feed(session, [b"\xff\x00\r\n\x80" * 8], bench.max_frame)
    if session.error is None:
        return
    words = bench.call("owed()", owed)
    need(isinstance(words, bytes), f"owed() gave {words!r}; it must give bytes, b'' for nothing to say")
    if words:
        messages, reader = bench.read(OTHER[side], [words])
        kinds = [message.kind for message in messages]
        need(
            reader.error is None and reader.buffered == 0 and Kind.REQUEST not in kinds,
            f"owed() of the {side.value}'s session gave what its peer can't read as an error: {messages}, error"
            f" {reader.error!s}",
            words,
        )


def _check_closing(bench: Bench) -> None:
    """Not every request is a goodbye."""
    ended = []
    for frame in bench.frames[Side.CLIENT]:
        messages, session = bench.read(Side.CLIENT, [frame])
        _check_flags(Side.CLIENT, session)
        if any(message.kind is Kind.REQUEST and message.answer is None for message in messages):
            ended.append(session.closing)
    need(not ended or not all(ended), "closing is set by every request; set it when the client says goodbye")
