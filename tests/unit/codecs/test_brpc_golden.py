"""Every capture of real bRPC peers (tests/golden/brpc) is read as what its peers said to each other."""

import json
from pathlib import Path

import pytest

from metaproxy.codecs.brpc import Brpc
from metaproxy.message import Kind, Message, Mutation, Side

GOLDEN = Path(__file__).parents[2] / "golden" / "brpc"
CAPTURES = [
    pytest.param(path.stem, exchange["what"], exchange["frames"], id=f"{path.stem}-{number}")
    for path in sorted(GOLDEN.glob("*.json"))
    for number, exchange in enumerate(json.loads(path.read_text())["exchanges"])
]
every_capture = pytest.mark.parametrize(("peers", "what", "frames"), CAPTURES)
MAX = 1 << 20


def read(frames: list[dict[str, str]]) -> list[tuple[str, Message]]:
    """Each message that a capture holds, with its sender."""
    sessions = {side.value: Brpc().session(side, MAX) for side in Side}
    found = []
    for frame in frames:
        session, data = sessions[frame["from"]], bytes.fromhex(frame["hex"])
        (message,) = session.receive(data)
        assert (session.error, session.buffered, message.frame) == (None, 0, data)
        found.append((frame["from"], message))
    return found


def test_there_are_captures_of_each_pair() -> None:
    names = {path.stem for path in GOLDEN.glob("*.json")}
    assert names == {"brpc-brpc", "brpc-starlight", "starlight-brpc", "starlight-starlight"}


@every_capture
def test_every_message_is_read_to_its_end(peers: str, what: str, frames: list[dict[str, str]]) -> None:
    for sender, message in read(frames):
        message.read()
        assert message.kind in ((Kind.REQUEST,) if sender == "client" else (Kind.RESPONSE, Kind.ERROR))


@every_capture
def test_calls_and_answers_say_what_they_are(peers: str, what: str, frames: list[dict[str, str]]) -> None:
    messages = read(frames)
    call = messages[0][1]
    answer = messages[-1][1]
    failed = what.startswith(("Fail", "Nope", "a service"))
    assert (call.get("service") == "example.EchoService") == (not what.startswith("a service"))
    if what.startswith(("Echo", "Fail", "Nope")):
        assert call.get("method") == what[:4]
    if not peers.startswith("starlight"):  # whose client sends no compression, and the pairs of earlier calls again
        assert call.get("tenant") == ("t1" if "tenant=t1" in what else None)
        compressed = what.endswith(("snappy", "gzip", "zlib"))
        assert call.get("compress_type") == (what.rpartition(", ")[2] if compressed else "none")
    assert (answer.kind is Kind.ERROR) == failed
    assert (answer.get("error_code") == "0") == (not failed)
    if "with an attachment" in what:
        assert call.get("attachment_size") == "6"


@every_capture
def test_another_id_and_back_gives_the_same_bytes(peers: str, what: str, frames: list[dict[str, str]]) -> None:
    codec = Brpc()
    for sender, message in read(frames):
        side, other = (Side.CLIENT, Side.SERVER) if sender == "client" else (Side.SERVER, Side.CLIENT)
        sent = codec.session(other, MAX).send(message, 300)
        (again,) = codec.session(side, MAX).receive(sent)
        assert again.id == 300
        assert codec.session(other, MAX).send(again, message.id) == message.frame


@every_capture
def test_a_mutation_changes_what_it_names(peers: str, what: str, frames: list[dict[str, str]]) -> None:
    codec = Brpc(dialect="java")
    for sender, message in read(frames):
        side = Side.CLIENT if sender == "client" else Side.SERVER
        (changed,) = codec.session(side, MAX).receive(codec.mutate(message, Mutation({"stamp": "1"}, ("tenant",))))
        before = {key: value for key, value in message.known().items() if key != "tenant"}
        assert dict(changed.known()) == {**before, "stamp": "1"}
