"""The bytes of an answer that the proxy makes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harness import Quill, call

from metaproxy.message import ErrorKind, FinalFrame, FrameError, Kind, Message, Mutation, Reply
from metaproxy.proxy.local_answer import frame
from metaproxy.proxy.snapshot import NO_ROUTE


class Faults(list[str]):
    def plugin_failed(self, who: str, failure: object) -> None:
        self.append(who)


def exchange(codec: Any, kind: Kind = Kind.REQUEST, metadata: dict[str, str] | None = None) -> Any:
    faults = Faults()
    return SimpleNamespace(
        message=Message(kind, call(7), 7, metadata), snapshot=SimpleNamespace(codec=codec),
        client=SimpleNamespace(listener=faults), faults=faults, reply_kind=None,
    )  # fmt: skip


def test_a_frame_that_a_filter_made_is_taken_as_it_is_unless_no_answer_is_wanted() -> None:
    assert frame(exchange(Quill()), Reply(None, frame=b"whole")) == b"whole"
    assert frame(exchange(Quill(), Kind.ONEWAY), Reply(None, frame=b"whole")) != b"whole"


def test_a_request_without_a_route_is_told_its_operation() -> None:
    assert b"no route matched for echo/say" in bytes(
        frame(exchange(Quill(), metadata={"operation": "echo/say"}), NO_ROUTE)
    )


def test_a_text_is_cut_to_what_a_codec_must_take() -> None:
    assert len(frame(exchange(Quill()), Reply(ErrorKind.DENIED, "x" * 5000))) < 1100


def test_a_codec_that_makes_no_bytes_is_named_and_the_answer_ends_the_connection() -> None:
    class Mute(Quill):
        def reply(self, *_: object, **__: object) -> Any:
            return None

    there = exchange(Mute())
    assert type(frame(there, Reply(ErrorKind.DENIED, "no"))) is FinalFrame
    assert there.faults == ["codec quill: reply"]
    assert there.reply_kind is ErrorKind.INTERNAL


class Particular(Quill):
    """Quill with metadata at the end of its frames, of which it can't carry `end`."""

    mutable = ""

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        if "end" in mutation.set:
            raise FrameError("end can't be set")
        return message.frame + repr(mutation.set).encode()


def test_metadata_that_the_protocol_can_not_carry_are_left_out() -> None:
    there = exchange(Particular())
    answer = bytes(frame(there, Reply(ErrorKind.DENIED, "no", metadata={"a": "1", "end": "2", "b": "3"})))
    assert answer.endswith(b"{'a': '1'}{'b': '3'}")
    assert there.faults == []
