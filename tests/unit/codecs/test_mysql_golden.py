"""Every capture of real MySQL peers (tests/golden/mysql) passes as it is, and is read as what its peers said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mysql_words import MAX

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting
from metaproxy.codecs.mysql.packets import HEAD, head_of
from metaproxy.message import Kind, Message, Side

GOLDEN = Path(__file__).parents[2] / "golden" / "mysql"
CAPTURES = [
    pytest.param(exchange["frames"], id=f"{path.stem}-{number}")
    for path in sorted(GOLDEN.glob("*.json"))
    for number, exchange in enumerate(json.loads(path.read_text())["exchanges"])
]
Frames = list[dict[str, str]]


class Relayed:
    """What a capture becomes that passes through a client's session and a server's in pieces."""

    def __init__(self, frames: Frames, sizes: list[int]) -> None:
        codec = MySQL()
        self.client, self.server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
        self.messages: dict[str, list[Message]] = {"client": [], "server": []}
        self.passed = {"client": b"", "server": b""}
        turn = 0
        for frame in frames:
            data, side = bytes.fromhex(frame["hex"]), frame["from"]
            reader, writer = (self.client, self.server) if side == "client" else (self.server, self.client)
            while data:
                size = sizes[turn % len(sizes)]
                turn += 1
                for message in reader.receive(data[:size]):
                    self.messages[side].append(message)
                    self.passed[side] += writer.send(message, message.id)
                data = data[size:]
        for session in (self.client, self.server):
            assert (session.error, session.buffered) == (None, 0)


def said(frames: Frames, side: str) -> bytes:
    return b"".join(bytes.fromhex(frame["hex"]) for frame in frames if frame["from"] == side)


@pytest.mark.parametrize("frames", CAPTURES)
@pytest.mark.parametrize("sizes", [[1], [3, 7, 400], [MAX], [50, 1, 1, 1, 5]])
def test_both_sides_get_what_the_other_said_however_it_is_cut(frames: Frames, sizes: list[int]) -> None:
    relayed = Relayed(frames, sizes)
    assert relayed.passed["client"] == said(frames, "client")
    given_by_server, passed = said(frames, "server"), relayed.passed["server"]
    size, _ = head_of(given_by_server, 0)
    before, after = Greeting.read(given_by_server[HEAD : HEAD + size]), Greeting.read(passed[HEAD : HEAD + size])
    assert before.without(before.capabilities ^ after.capabilities) == after
    assert passed[HEAD + size :] == given_by_server[HEAD + size :]


@pytest.mark.parametrize("frames", CAPTURES)
def test_each_request_has_one_answer(frames: Frames) -> None:
    relayed = Relayed(frames, [MAX])
    requests = [message.id for message in relayed.messages["client"] if message.kind is Kind.REQUEST]
    ends = (Kind.RESPONSE, Kind.ERROR, Kind.STREAM_CLOSE)
    answers = [message.id for message in relayed.messages["server"] if message.kind in ends]
    assert requests == answers
    first = relayed.messages["client"][0]
    assert (first.get("command"), first.get("user")) == ("login", "ed" if first.get("user") == "ed" else "app")
