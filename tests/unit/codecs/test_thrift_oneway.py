"""Methods that get no answer although their calls look like others: named by the option `oneway`."""

from typing import Any

import pytest

from metaproxy.codecs.thrift import Thrift
from metaproxy.message import ErrorKind, Kind, Side

NOTE = bytes.fromhex("00000011 80010001 00000004 6e6f7465 00000001 00")
ADD = bytes.fromhex("00000010 80010001 00000003 616464 00000002 00")
ANSWER = bytes.fromhex("00000010 80010002 00000003 616464 00000002 00")


def calls(stream: bytes, codec: Thrift) -> list[tuple[str, Kind]]:
    session = codec.session(Side.CLIENT, 1 << 20)
    found = [(message.get("method") or "", message.kind) for message in session.receive(stream)]
    assert session.error is None
    return found


def test_a_call_of_a_method_that_is_named_gets_no_answer_and_others_do() -> None:
    codec = Thrift(oneway=["note", "log"])
    for _ in range(2):
        assert calls(NOTE + ADD + NOTE, codec) == [("note", Kind.ONEWAY), ("add", Kind.REQUEST), ("note", Kind.ONEWAY)]
    assert calls(NOTE, Thrift()) == [("note", Kind.REQUEST)]


def test_so_in_every_form() -> None:
    strict, compact = NOTE[4:], bytes.fromhex("82 21 01 04 6e6f7465 00")
    headed = bytes.fromhex("00000021 0fff 0000 00000001 0001 00000000") + strict[:0]
    headed = (14 + len(strict)).to_bytes(4, "big") + headed[4:] + strict
    for stream in (strict, compact, b'[1,"note",1,1,{}]', headed, len(compact).to_bytes(4, "big") + compact):
        assert calls(stream, Thrift(oneway=["note"])) == [("note", Kind.ONEWAY)]


def test_no_error_is_made_for_it() -> None:
    codec = Thrift(oneway=["note"])
    (message,) = codec.session(Side.CLIENT, 1 << 20).receive(NOTE)
    assert codec.reply(message, ErrorKind.TIMEOUT, "late") == b""


@pytest.mark.parametrize("type", ["02", "03"])
def test_what_a_server_answers_to_it_all_the_same_reaches_nobody(type: str) -> None:
    session = Thrift(oneway=["note"]).session(Side.SERVER, 1 << 20)
    session.open(("framed", "binary"), {})
    late = bytes.fromhex(f"00000011 800100{type} 00000004 6e6f7465 00000001 00")
    assert [message.id for message in session.receive(late + ANSWER + late)] == [2]
    assert session.error is None


def test_with_multiplexed_a_method_is_one_of_any_service_or_of_the_one_that_is_named() -> None:
    call = bytes.fromhex("00000013 80010001 00000006 613a6e6f7465 00000001 00")
    for names, kind in ((["note"], Kind.ONEWAY), (["a:note"], Kind.ONEWAY), (["b:note"], Kind.REQUEST)):
        assert calls(call, Thrift(multiplexed=True, oneway=names)) == [("note", kind)]


@pytest.mark.parametrize("names", [[""], [3], [None]])
def test_a_name_that_is_none_is_refused(names: Any) -> None:
    with pytest.raises(ValueError, match="write oneway: \\[note, log\\]"):
        Thrift(oneway=names)
