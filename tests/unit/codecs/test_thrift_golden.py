"""Every capture of real Thrift peers (tests/golden/thrift) is read as what its peers said to each other."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from metaproxy.codecs.thrift import Thrift
from metaproxy.message import Kind, Message, Side

MAX = 1 << 20
NOTHING = bytes.fromhex("0000000e 0fff 0000 00000000 0001 00000000")
"""What a C++ server that speaks THeader sends after a oneway call: a frame without a message."""

GOLDEN = Path(__file__).parents[2] / "golden" / "thrift"
CAPTURES = [
    pytest.param(path.stem, found, id=path.stem)
    for path in sorted(GOLDEN.glob("*.json"))
    if (found := [one["frames"] for one in json.loads(path.read_text())["exchanges"] if one["frames"]])
]
"""Of each file its name and the frames of each exchange."""
every_capture = pytest.mark.parametrize(("name", "exchanges"), CAPTURES)
Frames = list[dict[str, str]]

ANSWERED = {
    "sayHello": Kind.RESPONSE,
    "add": Kind.RESPONSE,
    "echo": Kind.RESPONSE,
    "ping": Kind.RESPONSE,
    "reject": Kind.ERROR,  # a declared exception
    "crash": Kind.ERROR,  # a TApplicationException
}


def spoken(name: str) -> tuple[str, str]:
    _, transport, protocol, *_ = name.split("-")
    return "unframed" if transport == "buffered" else transport, "binary" if protocol == "old" else protocol


def said(frames: Frames, side: str) -> bytes:
    return b"".join(bytes.fromhex(frame["hex"]) for frame in frames if frame["from"] == side)


def read(name: str, frames: Frames, piece: int = MAX, **options: Any) -> tuple[list[Message], list[Message]]:
    """The requests and the answers of a capture, read `piece` bytes at a time."""
    codec = Thrift(multiplexed=name.endswith("-mux"), **options)
    found = []
    for side in Side:
        session = codec.session(side, MAX)
        if side is Side.SERVER:
            session.open(spoken(name), {})
        stream = said(frames, side.value)
        pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
        found.append([message for part in pieces for message in session.receive(part)])
        assert (session.error, session.buffered) == (None, 0)
    return found[0], found[1]


def test_there_are_captures_of_each_library() -> None:
    assert {path.stem.split("-")[0] for path in GOLDEN.glob("*.json")} >= {"cpp", "java", "js", "py"}


@every_capture
def test_a_captures_messages_are_all_its_bytes_in_its_transport_and_protocol(
    name: str, exchanges: list[Frames]
) -> None:
    for frames in exchanges:
        requests, answers = read(name, frames)
        assert b"".join(message.frame for message in requests) == said(frames, "client")
        assert b"".join(message.frame for message in answers) == said(frames, "server").replace(NOTHING, b"")
        assert {message.profile for message in requests + answers} == {spoken(name)}


@every_capture
def test_a_captures_calls_have_the_answers_that_their_methods_give(name: str, exchanges: list[Frames]) -> None:
    for frames in exchanges:
        requests, answers = read(name, frames)
        assert requests
        calls = [request for request in requests if request.kind is Kind.REQUEST]
        assert {request.get("method") for request in requests} - set(ANSWERED) <= {"note"}
        assert all(request.kind is Kind.ONEWAY for request in requests if request.get("method") == "note")
        if name.endswith("-mux"):
            assert {request.get("service") for request in requests} == {"Hello"}
        expected = [(request.get("method"), ANSWERED[request.get("method") or ""]) for request in calls]
        assert [(answer.get("method"), answer.kind) for answer in answers] == expected


@every_capture
def test_a_capture_that_trickles_in_is_read_the_same(name: str, exchanges: list[Frames]) -> None:
    for frames in exchanges:
        for piece in (1, 7):
            assert read(name, frames, piece) == read(name, frames)


@every_capture
def test_a_captures_frames_hold_one_message_each(name: str, exchanges: list[Frames]) -> None:
    for frames in exchanges:
        assert read(name, frames, check_frames=True) == read(name, frames)


@every_capture
def test_a_captures_exchanges_survive_ids_of_the_proxy(name: str, exchanges: list[Frames]) -> None:
    for frames in exchanges:
        requests, answers = read(name, frames)
        calls = [request for request in requests if request.kind is Kind.REQUEST]
        codec = Thrift(multiplexed=name.endswith("-mux"))
        for (request, answer), id in zip(zip(calls, answers, strict=True), itertools.count(1000)):
            up, down = codec.session(Side.SERVER, MAX), codec.session(Side.CLIENT, MAX)
            (sent,) = codec.session(Side.CLIENT, MAX).receive(bytes(up.send(request, id)))
            assert (sent.id, sent.get("method")) == (id, request.get("method"))
            assert down.send(sent, request.id) == request.frame
            # What the server would have answered to the new id, and what the client gets of it.
            (seen,) = received(spoken(name), bytes(up.send(answer, id)))
            assert seen.id == id
            (back,) = received(spoken(name), bytes(down.send(seen, request.id)))
            assert (back.id, back.kind, back.known()) == (answer.id, answer.kind, answer.known())


def received(profile: tuple[str, str], frame: bytes) -> list[Message]:
    session = Thrift().session(Side.SERVER, MAX)
    session.open(profile, {})
    return session.receive(frame)
