"""
What goes out again: a message under another id, an error that the codec makes, a health check's question.

Lives here: `check_send`, `check_replies`, `check_probe`. Does not: mutations and merged answers.
"""

from __future__ import annotations

import random

from metaproxy.message import Correlation, ErrorKind, FinalFrame, FrameError, Kind, Message, Side, Written
from metaproxy.testing.bench import FORWARDED, OTHER, Bench
from metaproxy.testing.report import need, shorten

_TEXTS = ("no route matched", 'ümlaut, "quotes", \\, \x00, <tag>\r\nand a second line', "x" * 1024)
_ANSWERS = (Kind.RESPONSE, Kind.ERROR)
_BESIDES = (Kind.SILENCE, Kind.DRAIN)
"""What an answer may say besides: that others get none, that its server stops."""


def check_send(bench: Bench) -> None:
    codec = bench.codec
    for side, other in OTHER.items():
        for what, message in bench.messages(side):
            if message.kind not in FORWARDED or message.answer is not None:
                continue
            # Behind a one-way request may stand a fence, whose answer the session swallows.
            fenced = message.kind is Kind.ONEWAY
            if fenced and side is Side.CLIENT:
                _check_fence(bench, what, message)
            same = sent(bench, other, message, message.id, what)
            same_meaning(bench, what, message, bench.one(side, same, f"{what}, sent on", fenced), same)
            if codec.correlation is Correlation.ID and bench.ids:
                for id in ids(codec.max_id):
                    _check_renumbered(bench, side, what, message, id)


def _check_fence(bench: Bench, what: str, message: Message) -> None:
    """A session that says that it puts a fence behind one-way requests does so."""
    session = bench.session(Side.SERVER)
    fenced = getattr(session, "fenced", False)
    need(isinstance(fenced, bool), f"fenced is {fenced!r}; it must be True or False")
    data = bench.call(f"{what}: send()", session.send, message, message.id, data=message.frame)
    longer = isinstance(data, bytes) and len(data) > len(message.frame)
    need(
        longer or not fenced,
        f"{what}: `fenced` is True, and send() puts nothing behind a one-way request",
        message.frame,
    )


def ids(most: int) -> list[int]:
    """The first, the last, and some between them whose bytes all differ."""
    draw = random.Random(4)
    middle = {0x0102030405060708 % most + 1, *(draw.randint(1, most) for _ in range(2))}
    return sorted({1, min(2, most), most, min(most, 0x7FFFFFF0), *middle})


def _check_renumbered(bench: Bench, side: Side, what: str, message: Message, id: int) -> None:
    what = f"{what}, sent under id {id}"
    fenced = message.kind is Kind.ONEWAY
    data = sent(bench, OTHER[side], message, id, what)
    again = bench.one(side, data, what, fenced)
    need(again.id == id, f"{what}: its bytes decode with id {again.id}", data)
    same_meaning(bench, what, message, again, data)
    back = sent(bench, OTHER[side], again, message.id, what)
    need(
        back == message.frame or (fenced and back.startswith(message.frame)),
        f"{what}, then under its own id {message.id} again: other bytes. They were {message.frame.hex(' '):.600}. Now:",
        back,
    )


def sent(bench: Bench, side: Side, message: Message, id: int, what: str) -> bytes:
    """The bytes that a session of `side` writes for the message."""
    before = (message.kind, message.frame, message.id, message.hold, message.profile)
    session = bench.session(side)
    data = bench.call(f"{what}: send() under id {id}", session.send, message, id, data=message.frame)
    written = isinstance(data, Written) and bool(data)
    need(written, f"{what}: send() gave {data!r:.200}; it must give the bytes to write")
    after = (message.kind, message.frame, message.id, message.hold, message.profile)
    need(before == after, f"{what}: send() changed the message; it may be sent more than once", message.frame)
    return bytes(data)


def same_meaning(bench: Bench, what: str, before: Message, after: Message, data: bytes) -> None:
    """Kind and metadata; a key that holds an id may hold the new one."""
    need(after.kind is before.kind, f"{what}: its bytes decode as {after.kind.name}; it was {before.kind.name}", data)
    old, new = before.known(), after.known()
    for key in (old.keys() | new.keys()) - bench.own:
        need(
            old.get(key) == new.get(key) or new.get(key) == str(after.id),
            f"{what}: its bytes decode with {key} {new.get(key)!r}; it was {old.get(key)!r}",
            data,
        )


def check_replies(bench: Bench) -> None:
    codec = bench.codec
    for what, message in bench.messages(Side.CLIENT):
        if message.answer is not None:
            continue
        _check_questions(bench, what, message)
        if message.kind is Kind.ONEWAY and not message.hold:
            data = bench.reply(f"{what}: reply()", message, ErrorKind.NOT_FOUND, _TEXTS[0])
            need(data == b"", f"{what}: reply() to a one-way request gave bytes; no client waits for it: b''", data)
    for what, request in bench.requests():
        for kind in ErrorKind:
            for text in _TEXTS if kind is ErrorKind.NOT_FOUND else _TEXTS[:1]:
                for name in ("", "no such name"):
                    _check_reply(bench, f"{what}: reply({kind}, {text[:60]!r}, {name!r})", request, kind, text, name)
        if codec.correlation is Correlation.ID and bench.ids:
            for id in ids(codec.max_id)[:3]:
                data = sent(bench, Side.SERVER, request, id, what)
                other = bench.one(Side.CLIENT, data, what)
                _check_reply(bench, f"{what} under id {id}: reply()", other, ErrorKind.TIMEOUT, "no answer", "")


def _check_reply(bench: Bench, what: str, request: Message, kind: ErrorKind, text: str, name: str) -> None:
    data = bench.reply(what, request, kind, text, name)
    need(
        bool(data) or request.kind is not Kind.REQUEST or isinstance(data, FinalFrame),
        f"{what} gave b''; the client of a REQUEST waits for an answer. Is it ONEWAY? FinalFrame() closes without one",
        request.frame,
    )
    if not data:
        return
    session = bench.session(Side.SERVER)
    bench.call("send()", session.send, request, request.id)
    messages = [m for m in bench.feed(session, [data], bench.max_frame) if m.kind not in _BESIDES]
    whole = session.error is None and session.buffered == 0
    # Where the codec gives a message, that is an ERROR itself; a server's own answer with the same bytes may be none.
    kinds = _ANSWERS if bench.replies_with_messages else (Kind.ERROR,)
    need(
        whole and len(messages) == 1 and messages[0].kind in kinds,
        f"{what} decodes as {messages}, error {session.error!s}, {session.buffered} bytes left; it must be one whole"
        " frame of Kind.ERROR. It was",
        data,
    )
    numbered = bench.codec.correlation is Correlation.ID
    need(
        not numbered or messages[0].id == request.id,
        f"{what} has id {messages[0].id}; the request's is {request.id}",
        data,
    )


def _check_questions(bench: Bench, what: str, request: Message) -> None:
    """What is asked of a request: yes or no."""
    for name in ("safe", "repeatable", "confidential"):
        if not hasattr(bench.codec, name):  # optional
            continue
        try:
            given = bench.call(
                f"{what}: {name}()", getattr(bench.codec, name), request, data=request.frame, refusal=True
            )
        except FrameError:
            continue
        need(isinstance(given, bool), f"{what}: {name}() gave {given!r:.100}; give True or False", request.frame)


def check_probe(bench: Bench) -> None:
    """What health checks ask is one message, that a server can read and that is answered."""
    codec = bench.codec
    asked = (Kind.RESPONSE, Kind.ERROR, Kind.HEARTBEAT)
    for what, answer in bench.messages(Side.SERVER):
        if answer.kind not in asked:
            continue
        given = bench.call(f"{what}: alive()", codec.alive, answer, data=answer.frame)
        need(isinstance(given, bool), f"{what}: alive() gave {given!r}; give True or False", answer.frame)
    probe = bench.call("probe()", codec.probe)
    if probe is None:
        return
    asks = (Kind.REQUEST, Kind.HEARTBEAT)
    need(isinstance(probe, Message) and probe.kind in asks, f"probe() gave {probe!r}; give a REQUEST or HEARTBEAT")
    need(isinstance(probe.frame, bytes), f"probe() gave a message whose frame is {probe.frame!r}; it must be bytes")
    session = bench.bare(Side.SERVER)
    bench.call("open()", session.open, probe.profile, {})
    frame = bytes(bench.call("probe(): send()", session.send, probe, 1))
    read = bench.feed(bench.session(Side.CLIENT), [frame], bench.max_frame)  # of one who has logged in
    need(
        len(read) == 1 and read[0].kind in asks,
        f"a server reads {shorten(read)} of the probe, not one request",
        frame,
    )
    if read[0].kind is Kind.HEARTBEAT and read[0].answer:
        answers = bench.read(Side.SERVER, [read[0].answer])[0]
        need(
            any(codec.alive(message) for message in answers),
            "a server that answers the probe as this codec would is not alive() to it",
            read[0].answer,
        )
    refused = bench.reply("reply()", read[0], ErrorKind.INTERNAL, "no")
    for message in bench.session(Side.SERVER).receive(refused):
        given = bench.call("alive()", codec.alive, message, data=refused)
        need(isinstance(given, bool), f"alive() gave {given!r}; give True or False")
