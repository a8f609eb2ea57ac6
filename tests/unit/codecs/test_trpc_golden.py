"""Every capture of real tRPC peers (tests/golden/trpc) is read as what its peers said to each other."""

import json
from pathlib import Path

import pytest
from stream_relay import Relay

from metaproxy.codecs.trpc import Trpc
from metaproxy.message import Chunk, Kind, Message, Side

GOLDEN = Path(__file__).parents[2] / "golden" / "trpc"


def captures(name: str) -> pytest.MarkDecorator:
    exchanges = json.loads((GOLDEN / f"{name}.json").read_text())["exchanges"]
    return pytest.mark.parametrize(
        ("what", "frames"), [pytest.param(each["what"], each["frames"], id=str(i)) for i, each in enumerate(exchanges)]
    )


MAX = 1 << 20


def read(frames: list[dict[str, str]]) -> list[tuple[str, Message]]:
    """Each unary message that a capture holds, with its sender."""
    sessions = {side.value: Trpc().session(side, MAX) for side in Side}
    found = []
    for frame in frames:
        session, data = sessions[frame["from"]], bytes.fromhex(frame["hex"])
        (message,) = session.receive(data)
        assert (session.error, session.buffered, message.frame) == (None, 0, data)
        found.append((frame["from"], message))
    return found


@captures("unary")
def test_calls_and_answers_say_what_they_are(what: str, frames: list[dict[str, str]]) -> None:
    messages = read(frames)
    call = next(message for sender, message in messages if sender == "client")
    answer = next(message for sender, message in messages if sender == "server")
    assert call.get("service") == "trpc.example.echo.Echo"
    kinds = {message.kind for sender, message in messages if sender == "client"}
    assert (Kind.ONEWAY in kinds) == ("one-way" in what)
    assert call.get("tenant") == ("t1" if "tenant" in what else None)
    assert call.get("content_encoding") == (what.rpartition(", ")[2] if what.endswith(("gzip", "snappy")) else "none")
    assert call.get("attachment_size") == ("6" if "attachment" in what else None)
    codes = {"Fail('business')": ("0", "4711"), "Fail('why')": ("999", "999"), "a function": ("12", "0")}
    expected = next((each for start, each in codes.items() if what.startswith(start)), ("0", "0"))
    assert (answer.get("ret"), answer.get("func_ret")) == expected
    assert answer.kind is (Kind.RESPONSE if expected == ("0", "0") else Kind.ERROR)
    assert answer.get("served-by") == (None if answer.kind is Kind.ERROR else "alpha")


@captures("unary")
def test_another_id_and_back_gives_the_same_bytes(what: str, frames: list[dict[str, str]]) -> None:
    codec = Trpc()
    for sender, message in read(frames):
        side, other = (Side.CLIENT, Side.SERVER) if sender == "client" else (Side.SERVER, Side.CLIENT)
        sent = codec.session(other, MAX).send(message, 300)
        (again,) = codec.session(side, MAX).receive(sent)
        assert again.id == 300
        assert codec.session(other, MAX).send(again, message.id) == message.frame


def of_server(frame: bytes) -> bytes:
    """The same under the id that the proxy gave the stream: the first one."""
    return frame[:10] + (101).to_bytes(4, "big") + frame[14:]


@captures("streams")
def test_streams_pass_with_all_that_both_sides_said(what: str, frames: list[dict[str, str]]) -> None:
    relay = Relay(Trpc())
    data = {Side.CLIENT: b"", Side.SERVER: b""}
    said = {Side.CLIENT: b"", Side.SERVER: b""}
    for frame in frames:
        raw = bytes.fromhex(frame["hex"])
        side = Side.CLIENT if frame["from"] == "client" else Side.SERVER
        said[side] += raw if raw[3] == 2 else b""
        if side is Side.CLIENT:
            relay.from_client(raw)
        else:
            relay.from_server(of_server(raw))
    if "refused" in what:  # with a unary frame without an id, which is no stream's answer: the client waits in vain
        assert (relay.take(Side.CLIENT), len(relay.calls)) == (b"", 1)
        return
    for side in Side:
        chunks = [each for who, each in relay.seen if who is side and isinstance(each, Chunk)]
        data[side] = b"".join(each.frame for each in chunks if each.kind is Kind.STREAM_DATA)
    written = relay.take(Side.SERVER), relay.take(Side.CLIENT)
    for out, side in zip(written, (Side.CLIENT, Side.SERVER), strict=True):
        assert data[side] == b"".join(payloads(said[side]))
        assert payloads(out) == payloads(said[side])
    last = [each for who, each in relay.seen if who is Side.SERVER][-1]
    assert isinstance(last, Chunk)
    assert (last.kind, last.failed) == (Kind.STREAM_CLOSE, "error" in what)
    assert relay.calls == {}


def payloads(data: bytes) -> list[bytes]:
    """Of the DATA frames among these frames."""
    found = []
    while data:
        size = int.from_bytes(data[4:8], "big")
        if data[3] == 2:
            found.append(data[16:size])
        data = data[size:]
    return found
