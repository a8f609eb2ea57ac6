"""TTHeader, Kitex's own: read, forwarded, changed and answered. Frames are written out from its public description."""

import pytest

from metaproxy.codecs.thrift import Thrift
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.testing import check_codec

CALL = bytes.fromhex("80010001 00000004 6563686f 00000007 0b 0001 00000002 6869 00")
REPLY = bytes.fromhex("80010002 00000004 6563686f 00000007 0b 0000 00000002 6869 00")
COMPACT = bytes.fromhex("82 21 07 04 6563686f 18 02 6869 00")
ONEWAY = CALL.replace(b"\x80\1\0\1", b"\x80\1\0\4")

# to_service (6) = shop, to_method (9) = echo; Tenant = beta; the token = secret.
NUMBERED = "10 0002 0006 0004 73686f70 0009 0004 6563686f"
PAIRS = "01 0001 0006 54656e616e74 0004 62657461"
TOKEN = "11 0006 736563726574"
INFOS = TOKEN + PAIRS + NUMBERED


def frame(infos: str = INFOS, payload: bytes = CALL, protocol: str = "00", flags: str = "0000", seq: int = 7) -> bytes:
    inside = bytes.fromhex(protocol + " 00 " + infos)
    inside += bytes(-len(inside) % 4)
    rest = bytes.fromhex("1000" + flags) + seq.to_bytes(4, "big") + (len(inside) // 4).to_bytes(2, "big")
    rest += inside + payload
    return len(rest).to_bytes(4, "big") + rest


def read(raw: bytes, side: Side = Side.CLIENT, protocol: str = "binary") -> Message:
    session = Thrift().session(side, 1 << 20)
    if side is Side.SERVER:
        session.open(("ttheader", protocol), {})
    (message,) = session.receive(raw)
    assert session.error is None
    return message


def mutated(raw: bytes, set: dict[str, str] | None = None, remove: tuple[str, ...] = ()) -> bytes:
    return Thrift().mutate(read(raw), Mutation(set, remove))


def test_it_keeps_the_contract() -> None:
    answers = [frame(PAIRS, REPLY), frame(payload=REPLY.replace(b"\0\0\0\x02hi", b"\0\0\0\x03bye"))]
    check_codec(Thrift(), client=[frame(), frame(payload=ONEWAY), frame(PAIRS)], server=answers)
    check_codec(Thrift("ttheader", check_frames=True), client=[frame()], server=answers)


def test_a_frame_as_the_description_has_it() -> None:
    raw = bytes.fromhex(
        "00000036 1000 0000 00000007 0005 00 00 01 0001 0006 54656e616e74 0004 62657461 00"
        "80010001 00000004 6563686f 00000007 00"
    )
    raw = (len(raw) - 4).to_bytes(4, "big") + raw[4:]
    assert (read(raw).get("method"), read(raw).get("tenant")) == ("echo", "beta")


def test_a_call_and_its_headers_are_metadata() -> None:
    message = read(frame())
    assert (message.kind, message.id, message.profile) == (Kind.REQUEST, 7, ("ttheader", "binary"))
    assert message.known() == {
        "kind": "request", "method": "echo", "operation": "echo", "transport": "ttheader", "protocol": "binary",
        "seqid": "7", "Tenant": "beta", "tenant": "beta", "ttheader.acl_token": "secret", "ttheader.to_service": "shop",
        "ttheader.to_method": "echo",
    }  # fmt: skip


def test_a_frame_that_cloudwegos_own_library_wrote_is_read() -> None:
    """github.com/cloudwego/gopkg v0.1.4, ttheader.EncodeToBytes, with a message of ours behind."""
    message = read(
        bytes.fromhex(
            "0000004b 1000000000000007000c 0000 110006736563726574 010001000654656e616e74000462657461"
            "100002000900046563686f0006000473686f7000 80010001000000046563686f0000000700"
        )
    )
    assert (message.get("method"), message.id) == ("echo", 7)
    assert [message.get(f"ttheader.{key}") for key in ("to_service", "to_method", "acl_token")] == [
        "shop",
        "echo",
        "secret",
    ]
    assert message.get("tenant") == "beta"


def test_a_number_without_a_name_shows_under_its_number() -> None:
    assert read(frame("10 0001 03e7 0001 78")).get("ttheader.999") == "x"


def test_a_header_cannot_pass_for_a_numbered_one_or_the_token() -> None:
    name = b"ttheader.acl_token".hex()
    assert read(frame(f"01 0001 0012 {name} 0001 78")).get("ttheader.acl_token") is None


def test_padding_may_stand_between_infos() -> None:
    assert read(frame("000000" + PAIRS + "0000" + NUMBERED)).get("ttheader.to_method") == "echo"


def test_compact_is_read_too() -> None:
    message = read(frame(payload=COMPACT, protocol="02"))
    assert (message.profile, message.get("method")) == (("ttheader", "compact"), "echo")


def test_a_message_with_a_length_of_its_own_is_read_forwarded_and_answered_with_one() -> None:
    raw = frame(payload=len(CALL).to_bytes(4, "big") + CALL)
    message = read(raw)
    assert (message.get("method"), message.id) == ("echo", 7)
    sent = bytes(Thrift().session(Side.SERVER, 1 << 20).send(message, 9))
    assert len(sent) == len(raw)
    assert read(sent).id == 9
    reply = Thrift().reply(message, ErrorKind.TIMEOUT, "late")
    assert int.from_bytes(reply[18:22], "big") == len(reply) - 22
    assert read(reply, Side.SERVER).kind is Kind.ERROR


def test_it_goes_on_under_another_id_in_both_places_and_else_unchanged() -> None:
    sent = bytes(Thrift().session(Side.SERVER, 1 << 20).send(read(frame()), 300))
    assert sent == frame(payload=CALL.replace(b"\0\0\0\7\x0b", b"\0\0\1\x2c\x0b"), seq=300)


def test_flags_and_a_sequence_of_its_own_come_back() -> None:
    message = read(frame(seq=5, flags="0001"))
    answer = read(frame("", REPLY.replace(b"\0\0\0\7", b"\0\0\0\x2a"), seq=42), Side.SERVER)
    assert answer.id == 42
    back = bytes(Thrift().session(Side.CLIENT, 1 << 20).send(answer, message.id))
    assert (back[8:12], back[-16:-12]) == (b"\0\0\0\5", REPLY[-16:-12])
    assert bytes(Thrift().session(Side.SERVER, 1 << 20).send(message, 1))[6:8] == b"\0\1"


def test_errors_come_in_ttheader() -> None:
    reply = Thrift().reply(read(frame()), ErrorKind.NOT_FOUND, "no route")
    assert reply[4:6] == b"\x10\0"
    answer = read(reply, Side.SERVER)
    assert (answer.kind, answer.id, answer.get("method")) == (Kind.ERROR, 7, "echo")


def test_what_the_server_answers_is_read() -> None:
    answer = read(frame(PAIRS, REPLY), Side.SERVER)
    assert (answer.kind, answer.id, answer.get("tenant")) == (Kind.RESPONSE, 7, "beta")


@pytest.mark.parametrize(
    ("before", "set", "remove", "after"),
    [
        (PAIRS, {"stamp": "x"}, (), PAIRS + "01 0001 0005 7374616d70 0001 78"),
        (PAIRS, {"tenant": "y"}, (), "01 0001 0006 74656e616e74 0001 79"),
        (PAIRS, {}, ("TENANT",), ""),
        (NUMBERED, {"ttheader.to_method": "z"}, (), "10 0001 0006 0004 73686f70 10 0001 0009 0001 7a"),
        (NUMBERED, {"ttheader.9": "z"}, (), "10 0001 0006 0004 73686f70 10 0001 0009 0001 7a"),
        (NUMBERED, {}, ("ttheader.to_service",), "10 0001 0009 0004 6563686f"),
        (TOKEN, {"ttheader.acl_token": "s"}, (), "11 0001 73"),
        (TOKEN, {}, ("ttheader.acl_token",), ""),
        ("", {"a": "b"}, (), "01 0001 0001 61 0001 62"),
    ],
)
def test_headers_are_set_replaced_and_removed(
    before: str, set: dict[str, str], remove: tuple[str, ...], after: str
) -> None:
    assert mutated(frame(before), set, remove) == frame(after)


def test_without_a_change_a_frame_stays_the_same_object() -> None:
    message = read(frame())
    assert Thrift().mutate(message, Mutation({}, ("absent",))) is message.frame


@pytest.mark.parametrize("infos", ["05 00", "01 0001 00ff 61", "10 0001 0009 00ff", "11 00ff", "01 ffff"])
def test_infos_that_cannot_be_read_are_an_error_when_asked_for(infos: str) -> None:
    message = read(frame(infos))
    assert message.get("method") == "echo"
    with pytest.raises(FrameError):
        message.get("tenant")
    assert message.values("tenant") == ()


def test_a_key_that_is_there_twice_has_both_values() -> None:
    message = read(frame("01 0002 0001 61 0001 78 0001 41 0001 79"))
    assert (message.get("a"), message.values("a")) == ("x", ("x", "y"))


@pytest.mark.parametrize("protocol", ["03", "04", "10", "11"])
def test_protocols_that_are_not_thrift_are_refused_by_name(protocol: str) -> None:
    session = Thrift().session(Side.CLIENT, 1 << 20)
    assert session.receive(frame(protocol=protocol)) == []
    assert session.error is not None


def test_a_transport_can_be_fixed_and_has_no_json() -> None:
    assert len(Thrift("ttheader").session(Side.CLIENT, 1 << 20).receive(frame())) == 1
    session = Thrift("ttheader").session(Side.CLIENT, 1 << 20)
    session.receive(len(CALL).to_bytes(4, "big") + CALL)
    assert session.error is not None
    with pytest.raises(ValueError, match="ttheader has no json"):
        Thrift("ttheader", "json")
