"""Every capture of real Dubbo peers (tests/golden/dubbo) is read as what its peers said to each other."""

import json
import re
from pathlib import Path

import pytest

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.message import Kind, Message, Mutation, Side

GOLDEN = Path(__file__).parents[2] / "golden" / "dubbo"
Frames = list[dict[str, str]]
CAPTURES = [
    pytest.param([(one["what"], one["frames"]) for one in json.loads(path.read_text())["exchanges"]], id=path.stem)
    for path in sorted(GOLDEN.glob("*.json"))
]
"""Of each file what each exchange is, and its frames."""
every_capture = pytest.mark.parametrize("exchanges", CAPTURES)

FAILING = ("fail", "crash")
REFUSED = {"nothing", "$echo", "$invoke"}
"""Methods that one or another of the providers does not know."""
MARK = Mutation({"x-mark": "m\u00e4rk"})


def read(frames: Frames) -> list[tuple[Message, Message | None]]:
    """Each message that a capture holds, with the request that it answers."""
    codec = Dubbo()
    sessions = {side.value: codec.session(side, 1 << 20) for side in Side}
    asked: dict[int, Message] = {}
    found: list[tuple[Message, Message | None]] = []
    for frame in frames:
        data = bytes.fromhex(frame["hex"])
        session = sessions[frame["from"]]
        (message,) = session.receive(data)
        assert (session.error, session.buffered, message.frame) == (None, 0, data)
        if frame["from"] == "client":
            asked[message.id] = message
        found.append((message, asked.get(message.id) if frame["from"] == "server" else None))
    return found


def test_there_are_captures_of_each_library() -> None:
    names = {path.stem for path in GOLDEN.glob("*.json")}
    assert names >= {"java-hessian2", "java-fastjson2", "java-events", "npm", "dubbo-py", "apache-java"}


@every_capture
def test_every_frame_of_a_capture_is_read_to_its_end(exchanges: list[tuple[str, Frames]]) -> None:
    for _, frames in exchanges:
        for message, _ in read(frames):
            message.get("no such key")  # raises where something cannot be read
            assert message.more is None


@every_capture
def test_requests_tell_their_service_and_method(exchanges: list[tuple[str, Frames]]) -> None:
    for what, frames in exchanges:
        for message, _ in read(frames):
            if message.kind in (Kind.REQUEST, Kind.ONEWAY):
                method = message.get("generic.method") or message.get("method")
                assert message.get("interface") == "org.example.HelloService"
                assert message.get("operation") == f"org.example.HelloService/{message.get('method')}"
                assert method in re.split(r"[( ]", what)
                assert message.get("service.version") == "1.0.0"
                assert message.get("path") in ("org.example.HelloService", None)


def test_what_a_client_attached_is_seen() -> None:
    seen = {
        path.stem.split("-")[0]
        for path in GOLDEN.glob("*.json")
        for exchange in json.loads(path.read_text())["exchanges"]
        for message, _ in read(exchange["frames"])
        if message.get("tenant") == "t1"
    }
    assert seen >= {"java", "npm"}


@every_capture
def test_answers_are_errors_where_the_method_fails_or_is_unknown(exchanges: list[tuple[str, Frames]]) -> None:
    for _, frames in exchanges:
        for message, request in read(frames):
            if message.kind in (Kind.RESPONSE, Kind.ERROR):
                assert request is not None
                method = str(request.get("method"))
                if method not in REFUSED:
                    assert (message.kind is Kind.ERROR) == (method in FAILING), message.known()
                assert message.get("serialization") == request.get("serialization")
                assert message.get("status") is not None


@every_capture
def test_events_are_heartbeats_or_tell_that_the_provider_leaves(exchanges: list[tuple[str, Frames]]) -> None:
    for what, frames in exchanges:
        kinds = [message.kind for message, _ in read(frames)]
        assert (Kind.HEARTBEAT in kinds) == ("heartbeat" in what)
        assert (Kind.DRAIN in kinds) == ("asked to end" in what)
        for message, request in read(frames):
            if message.kind is Kind.HEARTBEAT and request is not None:
                # The proxy's answer is the one that Java gave.
                assert request.answer == message.frame


@every_capture
def test_an_attachment_goes_in_and_out_again(exchanges: list[tuple[str, Frames]]) -> None:
    for _, frames in exchanges:
        codec = Dubbo()
        for message, request in read(frames):
            if message.kind in (Kind.HEARTBEAT, Kind.DRAIN):
                continue
            known = message.known()
            data = codec.mutate(message, MARK)
            side = Side.CLIENT if request is None else Side.SERVER
            (changed,) = codec.session(side, 1 << 20).receive(data)
            if request is None or known.get("result", "0") in "345":
                assert changed.known() == {**known, "x-mark": "m\u00e4rk"}
            else:
                assert data == message.frame
            assert codec.mutate(changed, Mutation({}, ("x-mark",))) == message.frame
