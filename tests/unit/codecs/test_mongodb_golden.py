"""What pymongo and a real mongod said to each other (tests/golden/mongodb) is read as what it was, and passes."""

import struct

import pytest
from mongodb_words import document, recorded

from metaproxy.codecs.mongodb import MongoDB
from metaproxy.message import Chunk, Kind, Message, Side
from metaproxy.testing import check_relay

every_connection = pytest.mark.parametrize(
    "frames", [pytest.param(frames, id=what.rpartition(": ")[2]) for what, frames in recorded()]
)


def read(frames: list[tuple[str, bytes]]) -> list[tuple[str, Message]]:
    sessions = {side.value: MongoDB().session(side, 1 << 20) for side in Side}
    found = []
    for side, frame in frames:
        (message,) = sessions[side].receive(frame)
        assert (sessions[side].error, sessions[side].buffered, message.frame) == (None, 0, frame)
        found.append((side, message))
    return found


@every_connection
def test_every_message_is_read_to_its_end(frames: list[tuple[str, bytes]]) -> None:
    for _, message in read(frames):
        message.read()


def test_the_commands_of_a_driver_are_what_it_was_asked_for() -> None:
    (frames,) = (frames for what, frames in recorded() if what.endswith("connection 2"))
    messages = [message for side, message in read(frames) if side == "client"]
    operations = [message.get("operation") for message in messages]
    assert operations == [
        "isMaster admin", "drop shop.orders", "insert shop.orders", "update shop.orders", "insert shop.orders",
        "nope shop", "find shop.orders", *["getMore shop.orders"] * 3, "aggregate shop.orders", "insert shop.orders",
        "find shop.orders", "find shop.orders", "getMore shop.orders", "endSessions admin",
    ]  # fmt: skip
    assert {message.get("application") for message in messages} == {"shop"}
    assert [message.get("comment") for message in messages[2:7]] == ["filling", None, None, None, "reading"]
    assert messages[11].kind is Kind.ONEWAY
    assert len({message.get("session") for message in messages[1:3]}) == 1


def test_the_answers_of_a_server_are_what_they_were() -> None:
    (frames,) = (frames for what, frames in recorded() if what.endswith("connection 2"))
    kinds = [message.kind for side, message in read(frames) if side == "server"]
    ok, failed = Kind.RESPONSE, Kind.ERROR
    exhaust = [Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE]
    assert kinds == [ok, failed, ok, ok, ok, failed, *[ok] * 7, *exhaust, ok]


def test_hellos_that_a_server_repeats_are_one_answer_and_the_error_ends_it() -> None:
    (frames,) = (frames for what, frames in recorded() if what.endswith("connection 0"))
    last = read(frames)[-1][1]
    assert isinstance(last, Chunk)
    assert (last.kind, last.failed) == (Kind.STREAM_CLOSE, True)


@every_connection
def test_a_recorded_connection_passes(frames: list[tuple[str, bytes]]) -> None:
    """What the client gets is what the server said, but for the compression in hellos; and the other way round."""
    ids: dict[int, int] = {}
    conversation, server_gets, client_gets = [], b"", b""
    for side, frame in frames:
        own, to = struct.unpack_from("<ii", frame, 4)
        if side == "client":
            ids[own] = len(ids) + 1
            server_gets += frame[:4] + struct.pack("<i", ids[own]) + frame[8:]
            conversation.append((Side.CLIENT, frame))
        else:
            conversation.append((Side.SERVER, frame[:8] + struct.pack("<i", ids.get(to, to)) + frame[12:]))
            assert "compression" not in document(frame)
            client_gets += frame
    check_relay(MongoDB(), conversation, server_gets, client_gets)
