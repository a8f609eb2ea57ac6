"""Every capture of real Redis peers (tests/golden/redis) is read as what its peers said to each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis_words import MAX

from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.metadata import MULTI
from metaproxy.message import Kind, Message, Side

GOLDEN = Path(__file__).parents[2] / "golden" / "redis"
CAPTURES = [
    pytest.param(exchange["frames"], id=f"{path.stem}-{number}")
    for path in sorted(GOLDEN.glob("*.json"))
    for number, exchange in enumerate(json.loads(path.read_text())["exchanges"])
    if exchange["frames"]
]
every_capture = pytest.mark.parametrize("frames", CAPTURES)


def read(frames: list[dict[str, str]], piece: int = MAX) -> tuple[list[Message], list[Message]]:
    """
    The messages of both sides, `piece` bytes at a time. The server's session is told of what the codec would answer
    itself as well, and of each MULTI where its client said it, since the server of the capture answered those.
    """
    codec = Redis()
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    server.open(None, {})
    commands: list[Message] = []
    replies: list[Message] = []
    for frame in frames:
        stream = bytes.fromhex(frame["hex"])
        for at in range(0, len(stream), piece):
            if frame["from"] == "client":
                for message in client.receive(stream[at : at + piece]):
                    commands.append(message)
                    server.send(as_said(message), 0)
            else:
                for message in server.receive(stream[at : at + piece]):
                    replies.append(message)
                    client.send(message, 0)
    for session in (client, server):
        assert (session.error, session.buffered) == (None, 0)
    return commands, replies


def as_said(message: Message) -> Message:
    """The command without a MULTI that was put in front of it."""
    if len(message.frame) > len(MULTI) and message.frame.startswith(MULTI):
        return Message(message.kind, message.frame.removeprefix(MULTI), hold=message.hold)
    return message


def stream(frames: list[dict[str, str]], side: str) -> bytes:
    return b"".join(bytes.fromhex(frame["hex"]) for frame in frames if frame["from"] == side)


def test_there_are_captures_of_each_library() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} >= {
        "inline",
        "ioredis",
        "login",
        "redis-py-resp2",
        "redis-py-resp3",
    }


@every_capture
def test_a_captures_messages_are_all_its_bytes(frames: list[dict[str, str]]) -> None:
    commands, replies = read(frames)
    assert b"".join(message.frame for message in replies) == stream(frames, "server")
    if stream(frames, "client").startswith(b"*"):  # no inline commands
        said = b"".join(as_said(message).frame for message in commands)
        assert said == stream(frames, "client")


@every_capture
def test_a_captures_requests_have_as_many_answers(frames: list[dict[str, str]]) -> None:
    commands, replies = read(frames)
    requests = [message for message in commands if message.kind is Kind.REQUEST]
    answers = [message for message in replies if message.kind in (Kind.RESPONSE, Kind.ERROR)]
    assert len(answers) == len(requests)


@every_capture
def test_a_captures_commands_have_a_name(frames: list[dict[str, str]]) -> None:
    for message in read(frames)[0]:
        name = message.get("command")
        assert name is not None and name.isupper()
        assert message.get("operation") == name


@every_capture
def test_a_capture_that_trickles_in_is_read_the_same(frames: list[dict[str, str]]) -> None:
    for piece in (1, 7):
        assert read(frames, piece) == read(frames)


@every_capture
def test_a_captures_commands_are_written_again_as_they_were(frames: list[dict[str, str]]) -> None:
    for message in map(as_said, read(frames)[0]):
        assert resp.encode(resp.arguments(message.frame)) == message.frame
