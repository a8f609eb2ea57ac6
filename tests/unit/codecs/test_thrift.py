"""The Thrift codec on golden frames: every transport x protocol, errors, sequence numbers, detection. C13 .. C22."""

import zlib
from collections.abc import Hashable
from typing import Any

import pytest
from present import present
from reachable import reachable
from zope.interface.verify import verifyObject

from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.thrift.frames import PROFILES
from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Mutation, Side, Spliced
from metaproxy.testing import check_codec

MAX = 1 << 20

# echo("hi"), seqid 7, in each encoding; a reply "hi" (field 0), one with a declared exception (field 1), void success.
STRICT = bytes.fromhex("80010001 00000004 6563686f 00000007 0b 0001 00000002 6869 00")
OLD = bytes.fromhex("00000004 6563686f 01 00000007 0b 0001 00000002 6869 00")
COMPACT = bytes.fromhex("82 21 07 04 6563686f 18 02 6869 00")
JSON = b'[1,"echo",1,7,{"1":{"str":"hi"}}]'
CALLS = {"strict": STRICT, "old": OLD, "compact": COMPACT, "json": JSON}
ONEWAYS = {
    "strict": STRICT.replace(b"\x80\1\0\1", b"\x80\1\0\4"),
    "old": OLD.replace(b"echo\1", b"echo\4"),
    "compact": COMPACT.replace(b"\x82\x21", b"\x82\x81"),
    "json": JSON.replace(b'"echo",1', b'"echo",4'),
}
NAMES: dict[str, Any] = {"strict": "binary", "old": "binary", "compact": "compact", "json": "json"}
RESULTS = {
    "strict": ("80010002 00000004 6563686f 00000007", "0b 0000 00000002 6869 00", "0c 0001 00 00", "00"),
    "old": ("00000004 6563686f 02 00000007", "0b 0000 00000002 6869 00", "0c 0001 00 00", "00"),
    "compact": ("82 41 07 04 6563686f", "08 00 02 6869 00", "1c 00 00", "00"),
}
JSON_RESULTS = ('{"0":{"str":"hi"}}]', '{"1":{"rec":{}}}]', "{}]")
HEADER_IDS = {"strict": "00", "old": "00", "json": "01", "compact": "02"}


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def headed(message: bytes, form: str, sequence: str = "00000007", infos: str = "01 01 016b 0176") -> bytes:
    inside = bytes.fromhex(HEADER_IDS[form] + "00" + infos)
    inside += bytes(-len(inside) % 4)
    fixed = bytes.fromhex("0fff 0000" + sequence) + (len(inside) // 4).to_bytes(2, "big")
    return framed(fixed + inside + message)


def carried(transport: str, message: bytes, form: str) -> bytes:
    return {"unframed": message, "framed": framed(message)}.get(transport) or headed(message, form)


EVERY = [(transport, form) for transport in ("framed", "unframed", "header") for form in CALLS]
every_pair = pytest.mark.parametrize(("transport", "form"), EVERY)


def from_client(stream: bytes, codec: Thrift | None = None, max_frame: int = MAX) -> list[Message]:
    session = (codec or Thrift()).session(Side.CLIENT, max_frame)
    messages = session.receive(stream)
    assert session.error is None
    assert session.buffered == 0
    return messages


def from_server(stream: bytes, profile: tuple[str, str], codec: Thrift | None = None) -> list[Message]:
    session = (codec or Thrift()).session(Side.SERVER, MAX)
    assert session.open(profile, {}) == b""
    messages = session.receive(stream)
    assert session.error is None
    return messages


def result(form: str, which: int) -> bytes:
    if form == "json":
        return b'[1,"echo",2,7,' + JSON_RESULTS[which].encode()
    return bytes.fromhex(RESULTS[form][0] + RESULTS[form][1 + which])


def refusal(stream: bytes, codec: Thrift | None = None, max_frame: int = MAX) -> str:
    session = (codec or Thrift()).session(Side.CLIENT, max_frame)
    session.receive(stream)
    assert isinstance(session.error, FrameError)
    return str(session.error)


# What it is


def test_it_is_a_codec_and_its_sessions_are_sessions() -> None:
    assert verifyObject(ICodec, Thrift())
    assert verifyObject(ISession, Thrift().session(Side.CLIENT, MAX))


def test_answers_are_found_by_id_and_go_back_as_one_pooled_connection_gives_them() -> None:
    codec = Thrift()
    assert (codec.name, codec.correlation, codec.ordered) == ("thrift", Correlation.ID, False)
    assert codec.sequential
    assert (codec.max_id, codec.connections) == (2**31 - 1, "pool")


@pytest.mark.parametrize("options", [{"transport": "frame"}, {"protocol": "binary_strict"}])
def test_an_option_that_does_not_exist_is_refused_with_those_that_do(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not one of auto, "):
        Thrift(**options)


def spoken(transport: Any, form: str) -> tuple[list[bytes], list[bytes]]:
    """Calls and answers."""
    calls = [carried(transport, call, form) for call in (CALLS[form], ONEWAYS[form])]
    return calls, [carried(transport, result(form, which), form) for which in range(3)]


@every_pair
def test_it_keeps_the_contract_in_every_transport_and_protocol(transport: Any, form: str) -> None:
    codec = Thrift(transport, NAMES[form], multiplexed=True, check_frames=True)
    check_codec(codec, *spoken(transport, form))


@pytest.mark.parametrize(("transport", "form"), [("header", "compact"), ("framed", "strict"), ("unframed", "json")])
def test_it_keeps_the_contract_where_it_finds_out_what_is_spoken(transport: Any, form: str) -> None:
    # With transport auto a codec is mutable, but for clients without THeader there is nothing to mutate.
    check_codec(Thrift() if transport == "header" else Thrift(transport), *spoken(transport, form))


# Golden frames


@every_pair
def test_a_call_is_a_request_whose_frame_is_the_bytes_that_came(transport: str, form: str) -> None:
    frame = carried(transport, CALLS[form], form)
    (message,) = from_client(frame)
    assert (message.kind, message.id, message.frame) == (Kind.REQUEST, 7, frame)
    assert message.profile == (transport, NAMES[form])


@every_pair
def test_a_call_has_its_metadata(transport: str, form: str) -> None:
    (message,) = from_client(carried(transport, CALLS[form], form))
    expected = {
        "method": "echo",
        "operation": "echo",
        "kind": "request",
        "transport": transport,
        "protocol": NAMES[form],
        "seqid": "7",
    }
    assert message.known() == expected | ({"k": "v"} if transport == "header" else {})


def test_every_metadata_key_is_documented() -> None:
    (message,) = from_client(headed(STRICT.replace(b"\4echo", b"\6a:echo"), "strict"), Thrift(multiplexed=True))
    assert set(message.known()) - {"k"} == set(Thrift.keys) - {"<header>"}


@every_pair
def test_many_messages_in_one_read_all_arrive(transport: str, form: str) -> None:
    frame = carried(transport, CALLS[form], form)
    assert [message.frame for message in from_client(frame * 50)] == [frame] * 50


@every_pair
def test_a_message_that_comes_byte_by_byte_is_the_same(transport: str, form: str) -> None:
    frame = carried(transport, CALLS[form], form)
    session = Thrift().session(Side.CLIENT, MAX)
    messages = [message for at in range(2 * len(frame)) for message in session.receive((frame * 2)[at : at + 1])]
    assert messages == from_client(frame * 2)


@every_pair
@pytest.mark.parametrize(("which", "kind"), [(0, Kind.RESPONSE), (1, Kind.ERROR), (2, Kind.RESPONSE)])
def test_a_reply_with_a_declared_exception_is_an_error_and_any_other_is_not(
    transport: str, form: str, which: int, kind: Kind
) -> None:
    frame = carried(transport, result(form, which), form)
    (message,) = from_server(frame, (transport, NAMES[form]))
    assert (message.kind, message.id, message.frame) == (kind, 7, frame)


def test_a_reply_of_a_known_name_is_judged_as_one_of_a_new_name() -> None:
    kinds = [m.kind for m in from_server(framed(result("strict", 1)) * 2, ("framed", "binary"))]
    assert kinds == [Kind.ERROR, Kind.ERROR]


STRICT_FRAMES = {
    "call": STRICT,
    "oneway": ONEWAYS["strict"],
    "reply": result("strict", 0),
    "declared exception": result("strict", 1),
    "void": result("strict", 2),
    "exception": STRICT.replace(b"\x80\1\0\1", b"\x80\1\0\3"),
    "longer name": STRICT.replace(b"\4echo", b"\5echoo"),
    "shorter name": STRICT.replace(b"\4echo", b"\3ech"),
    "no name": STRICT.replace(b"\4echo", b"\0"),
    "ignored byte": STRICT.replace(b"\x80\1\0\1", b"\x80\1\7\1"),
    "old": OLD,
    "ends at its name": STRICT[:12],
    "ends in its seqid": STRICT[:15],
    "ends at its struct": STRICT[:16],
}


@pytest.mark.parametrize("then", STRICT_FRAMES)
@pytest.mark.parametrize("before", [name for name in STRICT_FRAMES if not name.startswith("ends")])
def test_a_strict_frame_means_what_it_means_alone_whatever_came_before_it(before: str, then: str) -> None:
    read: list[object] = []
    for stream in (framed(STRICT_FRAMES[then]), framed(STRICT_FRAMES[before]) * 3 + framed(STRICT_FRAMES[then])):
        session = Thrift().session(Side.SERVER, MAX)
        session.open(("framed", "binary"), {})
        last = session.receive(stream)[3 if read else 0 :]
        seen = [(m.kind, m.id, m.frame, m.get("method"), m.get("seqid"), m.profile) for m in last]
        read.append((seen, str(session.error)))
    assert read[0] == read[1]


def test_a_negative_first_field_is_no_declared_exception() -> None:
    reply = bytes.fromhex("80010002 00000004 6563686f 00000007 08 ffff 00000001 00")
    assert [m.kind for m in from_server(framed(reply) * 2, ("framed", "binary"))] == [Kind.RESPONSE] * 2


@pytest.mark.parametrize(
    ("fields", "kind"),
    [("0b 20 00", Kind.ERROR), ("0c 00 00", Kind.RESPONSE), ("0c 02 00", Kind.ERROR), ("0c 01 00", Kind.RESPONSE)],
)
def test_a_compact_field_in_long_form_is_read_too(fields: str, kind: Kind) -> None:
    reply = bytes.fromhex("82 41 07 04 6563686f" + fields)
    assert [m.kind for m in from_server(framed(reply), ("framed", "compact"))] == [kind]


def test_an_exception_message_is_an_error() -> None:
    golden = bytes.fromhex(
        "00000027 80010003 00000004 6563686f 00000007 0b0001 00000008 6e6f20726f757465 080002 00000006 00"
    )
    assert [message.kind for message in from_server(golden, ("framed", "binary"))] == [Kind.ERROR]


@every_pair
def test_c13_a_oneway_call_is_one_and_gets_no_answer(transport: str, form: str) -> None:
    (message,) = from_client(carried(transport, ONEWAYS[form], form))
    assert message.kind is Kind.ONEWAY
    assert Thrift().reply(message, ErrorKind.TIMEOUT, "late") == b""


# Names


@pytest.mark.parametrize("type", [2, 3])
def test_the_name_of_an_answer_is_read_when_it_is_asked_for(type: int) -> None:
    answer = framed(STRICT.replace(b"\x80\x01\0\1", b"\x80\x01\0%c" % type))
    for _ in range(2):
        (message,) = from_server(answer, ("framed", "binary"))
        assert message.metadata is None
        found = {key: message.get(key) for key in ("method", "operation", "transport", "protocol", "seqid")}
        assert found == {
            "method": "echo",
            "operation": "echo",
            "transport": "framed",
            "protocol": "binary",
            "seqid": "7",
        }


@pytest.mark.parametrize("body", [b"\x0b\1", b"\x0c\x7f", b"\x0b"])
def test_an_answer_that_ends_within_its_first_field_is_one_however_often_it_comes(body: bytes) -> None:
    answer = framed(STRICT.replace(b"\x80\x01\0\1", b"\x80\x01\0\2")[:16] + body)
    assert [message.kind for message in from_server(answer * 3, ("framed", "binary"))] == [Kind.RESPONSE] * 3


@pytest.mark.parametrize("length", [b"\0\0\x20\1", b"\xff\xff\xff\xff", b"\0\0\1\0"])
def test_that_of_one_that_is_no_whole_message_is_refused_all_the_same(length: bytes) -> None:
    session = Thrift().session(Side.SERVER, 1 << 20)
    session.open(("framed", "binary"), {})
    body = bytes(8200) if length == b"\0\0\x20\1" else bytes(16)
    assert session.receive(framed(b"\x80\x01\0\2" + length + body)) == []
    assert session.error is not None


def test_with_multiplexed_the_service_is_what_precedes_the_last_colon() -> None:
    call = STRICT.replace(b"\0\0\0\4echo", b"\0\0\0\x0bns:Svc:echo")
    (message,) = from_client(framed(call), Thrift(multiplexed=True))
    assert (message.get("service"), message.get("method"), message.get("operation")) == (
        "ns:Svc",
        "echo",
        "ns:Svc/echo",
    )


def test_without_multiplexed_the_method_is_the_whole_name() -> None:
    call = STRICT.replace(b"\0\0\0\4echo", b"\0\0\0\x08Svc:echo")
    (message,) = from_client(framed(call))
    assert (message.get("service"), message.get("method"), message.get("operation")) == (None, "Svc:echo", "Svc:echo")


def test_a_json_name_is_shown_without_its_escapes_and_answered_with_them() -> None:
    call = JSON.replace(b"echo", rb"\u0065cho\"")
    (message,) = from_client(call)
    assert message.get("method") == 'echo"'
    assert Thrift().reply(message, ErrorKind.INTERNAL, "x").startswith(rb'[1,"\u0065cho\"",3,7,')


def test_a_json_name_with_escapes_that_are_none_is_shown_as_it_came() -> None:
    (message,) = from_client(JSON.replace(b"echo", rb"e\xcho"))
    assert message.get("method") == r"e\xcho"


def test_names_without_number_are_not_remembered_without_bound() -> None:
    codec = Thrift()
    session = codec.session(Side.CLIENT, MAX)
    for number in range(5000):
        name = b"%08d" % number
        (message,) = session.receive(framed(STRICT.replace(b"\0\0\0\4echo", b"\0\0\0\x08" + name)))
        assert message.get("method") == name.decode()
    assert sum(isinstance(one, bytes) and one.startswith(b"0000") for one in reachable(codec)) <= 1024


def test_changing_one_messages_metadata_changes_no_other() -> None:
    first, second = from_client(framed(STRICT) * 2)
    assert first.metadata is not None
    with pytest.raises(TypeError, match="other messages"):
        first.metadata["method"] = "other"
    first.metadata = {**first.metadata, "method": "other"}
    assert second.get("method") == "echo"
    assert first.get("seqid") == second.get("seqid") == "7"
    assert first.get("method") == "other"


# Error replies


REPLIES = {
    "strict": "80010003 00000004 6563686f 00000007 0b0001 00000008 6e6f20726f757465 080002 00000001 00",
    "old": "00000004 6563686f 03 00000007 0b0001 00000008 6e6f20726f757465 080002 00000001 00",
    "compact": "82 61 07 04 6563686f 18 08 6e6f20726f757465 15 02 00",
}


@every_pair
def test_c15_an_error_comes_in_the_clients_own_transport_and_protocol(transport: str, form: str) -> None:
    (request,) = from_client(carried(transport, CALLS[form], form))
    body = b'[1,"echo",3,7,{"1":{"str":"no route"},"2":{"i32":1}}]'
    if form != "json":
        body = bytes.fromhex(REPLIES[form])
    expected = headed(body, form, infos="") if transport == "header" else carried(transport, body, form)
    assert Thrift().reply(request, ErrorKind.NOT_FOUND, "no route") == expected


@every_pair
def test_an_error_reply_is_read_as_an_error_under_the_requests_id(transport: str, form: str) -> None:
    (request,) = from_client(carried(transport, CALLS[form], form))
    reply = Thrift().reply(request, ErrorKind.RESET, 'caf\u00e9 "quoted"\n')
    (message,) = from_server(reply, (transport, NAMES[form]))
    assert (message.kind, message.id, message.get("method")) == (Kind.ERROR, 7, "echo")


TYPES = {
    ErrorKind.NOT_FOUND: 1,
    ErrorKind.OVERLOAD: 11,
    ErrorKind.LIMITED: 11,
    ErrorKind.TIMEOUT: 12,
    ErrorKind.BAD_REQUEST: 7,
    ErrorKind.BAD_RESPONSE: 7,
}


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_c15_each_error_has_its_type_and_the_others_are_internal(kind: ErrorKind) -> None:
    (request,) = from_client(framed(STRICT))
    assert Thrift().reply(request, kind, "x")[-5:] == TYPES.get(kind, 6).to_bytes(4, "big") + b"\0"


@pytest.mark.parametrize(
    ("name", "type"), [("unknown", 0), ("missing_result", 5), ("injected_failure", 13), ("bad", 1)]
)
def test_thrifts_own_name_of_an_error_goes_before_its_kind(name: str, type: int) -> None:
    (request,) = from_client(framed(STRICT))
    assert Thrift().reply(request, ErrorKind.NOT_FOUND, "x", name)[-5:] == type.to_bytes(4, "big") + b"\0"


def test_a_message_that_no_session_made_is_answered_by_the_look_of_its_frame() -> None:
    request = Message(Kind.REQUEST, COMPACT, 7)
    assert Thrift().reply(request, ErrorKind.NOT_FOUND, "no route").hex() == REPLIES["compact"].replace(" ", "")


# Sequence numbers


IDS = (0, 1, 127, 128, 16384, 2**31 - 1, -1, -(2**31))


@every_pair
@pytest.mark.parametrize("id", IDS)
def test_a_message_goes_on_under_another_id_and_else_unchanged(transport: str, form: str, id: int) -> None:
    frame = carried(transport, CALLS[form], form)
    (message,) = from_client(frame)
    sent = bytes(Thrift().session(Side.SERVER, MAX).send(message, id))
    (again,) = from_client(sent)
    assert (again.id, again.get("seqid")) == (id, str(id))
    assert Thrift().session(Side.CLIENT, MAX).send(again, 7) == frame


def test_a_big_frame_goes_on_under_another_id() -> None:
    call = STRICT.replace(b"\0\0\0\2hi", (100_000).to_bytes(4, "big") + bytes(100_000))
    (message,) = from_client(framed(call))
    sent = Thrift().session(Side.SERVER, MAX).send(message, 9)
    assert isinstance(sent, Spliced) and sent.frame is message.frame
    assert bytes(sent) == framed(call.replace(b"echo\0\0\0\7", b"echo\0\0\0\x09"))


def test_a_message_under_its_own_id_is_the_same_object() -> None:
    (message,) = from_client(framed(STRICT))
    assert Thrift().session(Side.SERVER, MAX).send(message, 7) is message.frame


@pytest.mark.parametrize(("sequence", "seqid"), [(0, 7), (7, 0), (5, -3), (-1, 4), (-(2**31), 2**31 - 1)])
def test_a_client_whose_theader_has_another_number_than_its_message_gets_both_back(sequence: int, seqid: int) -> None:
    call = STRICT.replace(b"\0\0\0\7", seqid.to_bytes(4, "big", signed=True))
    frame = headed(call, "strict", sequence.to_bytes(4, "big", signed=True).hex())
    (request,) = from_client(frame)
    upstream = bytes(Thrift().session(Side.SERVER, MAX).send(request, 1234))
    assert (upstream[8:12], upstream.count((1234).to_bytes(4, "big"))) == ((1234).to_bytes(4, "big"), 2)
    (answer,) = from_server(upstream, ("header", "binary"))
    assert answer.id == 1234
    assert Thrift().session(Side.CLIENT, MAX).send(answer, request.id) == frame
    assert request.get("seqid") == str(seqid)


def test_clients_that_all_use_seqid_0_have_ids_of_their_theaders() -> None:
    calls = [headed(STRICT.replace(b"\0\0\0\7", bytes(4)), "strict", f"{n:08x}") for n in (1, 2)]
    first, second = from_client(b"".join(calls))
    assert first.id != second.id


def test_a_servers_stale_theader_number_is_put_right() -> None:
    stale = headed(result("strict", 0), "strict", "00000063")
    (answer,) = from_server(stale, ("header", "binary"))
    assert answer.id == 7
    assert bytes(Thrift().session(Side.CLIENT, MAX).send(answer, 7))[8:12] == b"\0\0\0\7"


def test_a_server_that_answers_with_seqid_0_is_found_by_its_theader() -> None:
    (answer,) = from_server(headed(result("strict", 0).replace(b"\0\0\0\7", bytes(4)), "strict"), ("header", "binary"))
    assert answer.id == 7


# Detection


def test_the_name_of_a_method_does_not_hide_that_old_binary_is_unframed() -> None:
    (message,) = from_client(OLD)
    assert message.profile == ("unframed", "binary")


@pytest.mark.parametrize(
    "stream",
    [
        "dabbc200 0000000000000007",
        "50525043 00000028 00000021",
        "09300000 00000064 0050",
        "47455420 2f20485454502f312e31",
        "16030100 a5010000",
        "00000000 000000",
        "ffffffff 80010001",
        "00000004 65630068 6f 01",
        "00000004 6563686f 05 00000007",
        "00003000 6563686f 05",
        "0000002c 0fff 0000 00000007 0002 07 00",
        "00000000 8001 0001",
        "00000020 7f01 0001",
    ],
)
def test_what_is_not_thrift_is_refused(stream: str) -> None:
    assert refusal(bytes.fromhex(stream) + bytes(64))


@pytest.mark.parametrize(("begun", "then"), [(a, b) for a in EVERY for b in EVERY if a[0] != b[0]])
def test_a_client_does_not_change_its_transport(begun: tuple[str, str], then: tuple[str, str]) -> None:
    stream = carried(begun[0], CALLS[begun[1]], begun[1]) + carried(then[0], CALLS[then[1]], then[1])
    session = Thrift().session(Side.CLIENT, MAX)
    messages = session.receive(stream + bytes(64))
    assert len(messages) == 1
    assert session.error is not None


@pytest.mark.parametrize("transport", ["framed", "unframed", "header"])
@pytest.mark.parametrize(("begun", "then"), [("strict", "compact"), ("compact", "json"), ("json", "strict")])
def test_a_client_does_not_change_its_protocol(transport: str, begun: str, then: str) -> None:
    session = Thrift().session(Side.CLIENT, MAX)
    messages = session.receive(carried(transport, CALLS[begun], begun) + carried(transport, CALLS[then], then))
    assert len(messages) == 1
    assert session.error is not None


def test_strict_and_old_are_one_protocol() -> None:
    assert len(from_client(framed(STRICT) + framed(OLD) + framed(STRICT))) == 3


@every_pair
def test_a_fixed_transport_and_protocol_takes_its_own_and_refuses_others(transport: Any, form: str) -> None:
    codec = Thrift(transport=transport, protocol=NAMES[form])
    assert len(from_client(carried(transport, CALLS[form], form) * 2, codec)) == 2
    others = [other for other in EVERY if other[0] != transport and NAMES[other[1]] != NAMES[form]]
    for other in others:
        assert refusal(carried(other[0], CALLS[other[1]], other[1]) + bytes(300), codec)


def test_a_fixed_transport_refuses_what_is_not_thrift() -> None:
    for transport in ("framed", "unframed", "header"):
        assert refusal(bytes.fromhex("7f010001 7f01 0001"), Thrift(transport=transport))
    for transport in ("framed", "header"):
        assert refusal(bytes.fromhex("00000020 7f01 0001"), Thrift(transport=transport))  # type: ignore[arg-type]


@every_pair
@pytest.mark.parametrize("fixed", ["transport", "protocol"])
def test_one_of_the_two_may_be_fixed_and_the_other_is_found(transport: str, form: str, fixed: str) -> None:
    option: Any = {"transport": transport} if fixed == "transport" else {"protocol": NAMES[form]}
    (message,) = from_client(carried(transport, CALLS[form], form), Thrift(**option))
    assert message.profile == (transport, NAMES[form])


def test_what_is_not_as_fixed_is_refused_with_what_it_is() -> None:
    assert refusal(framed(COMPACT), Thrift(protocol="json")) == (
        "framed compact Thrift; this listener takes transport auto, protocol json"
    )


def test_a_server_must_answer_as_its_client_asked() -> None:
    session = Thrift().session(Side.SERVER, MAX)
    session.open(("unframed", "compact"), {})
    assert session.receive(framed(result("strict", 0))) == []
    assert session.error is not None


def test_a_server_session_without_a_profile_finds_out_itself() -> None:
    session = Thrift().session(Side.SERVER, MAX)
    session.open(None, {})
    assert [m.profile for m in session.receive(framed(result("compact", 0)))] == [("framed", "compact")]


# Bounds


def test_a_frame_over_the_bound_is_refused_on_its_head() -> None:
    assert refusal(bytes.fromhex("00000061 8001"), max_frame=100) == "frame of 101 bytes; allowed are 5 to 100"


@every_pair
def test_a_message_as_big_as_the_bound_is_taken_and_no_bigger_one(transport: str, form: str) -> None:
    frame = carried(transport, CALLS[form], form)
    assert len(from_client(frame * 2, max_frame=len(frame))) == 2
    assert "allowed are" in refusal(frame, max_frame=len(frame) - 1)


@pytest.mark.parametrize("form", ["strict", "compact"])
def test_the_pieces_of_a_big_frame_are_not_joined_before_it_is_whole(form: str) -> None:
    # Joining at each read is quadratic: sixteen MiB that trickle in would stop the proxy for minutes.
    session = Thrift().session(Side.CLIENT, MAX)
    pieces = [(100_000).to_bytes(4, "big") + CALLS[form], *[bytes([at]) * 1000 for at in range(90)]]
    assert [session.receive(piece) for piece in pieces] == [[]] * 91
    kept = [one for one in reachable(session) if isinstance(one, (bytes, bytearray))]
    assert all(any(one is piece for one in kept) for piece in pieces)
    assert max(map(len, kept)) <= 1000


@pytest.mark.parametrize("form", list(CALLS))
def test_a_frame_without_bytes_is_refused(form: str) -> None:
    assert refusal(framed(CALLS[form]) + bytes(4)) == "frame of 4 bytes; allowed are 5 to 1048576"


def test_a_seqid_of_more_than_32_bits_is_refused() -> None:
    assert refusal(JSON.replace(b",7,", b",2147483648,")) == "sequence number 2147483648; allowed are 32 bits"


def test_a_name_over_the_bound_is_refused() -> None:
    call = STRICT.replace(b"\0\0\0\4echo", b"\0\0\x20\1" + b"e" * 8193)
    assert refusal(framed(call)) == refusal(call) == "method name of 8193 bytes; allowed are 0 to 8192"


def test_the_messages_before_a_bad_frame_count_and_nothing_after_it() -> None:
    session = Thrift().session(Side.CLIENT, MAX)
    messages = session.receive(framed(STRICT) * 2 + framed(b"\x80\2\0\1" + STRICT[4:]) + framed(STRICT))
    assert len(messages) == 2
    assert "begins with 80 01, not with 80 02" in str(session.error)
    assert session.receive(framed(STRICT)) == []
    assert session.buffered == 0


@pytest.mark.parametrize("type", [0, 5, 255])
def test_a_message_of_no_type_that_exists_is_refused(type: int) -> None:
    call = STRICT[:3] + bytes([type]) + STRICT[4:]
    assert refusal(framed(STRICT) + framed(call)).startswith(f"message of type {type};")


def test_an_incomplete_frame_counts_as_buffered() -> None:
    session = Thrift().session(Side.CLIENT, MAX)
    for at, byte in enumerate(framed(STRICT)[:-1]):
        assert session.receive(bytes([byte])) == []
        assert session.buffered == at + 1


# The original's faults


def test_c14_headers_can_be_set_where_the_transport_has_any() -> None:
    (message,) = from_client(headed(STRICT, "strict"))
    mutated = Thrift().mutate(message, Mutation({"k": "w", "x-request-id": "1"}))
    (again,) = from_client(mutated)
    assert (again.get("k"), again.get("x-request-id")) == ("w", "1")


@pytest.mark.parametrize(("options", "works"), [({}, True), ({"transport": "header"}, True)])
def test_c14_mutation_is_offered_where_clients_may_come_with_theader(options: dict[str, Any], works: bool) -> None:
    assert Thrift(**options).mutable == ""


@pytest.mark.parametrize("transport", ["framed", "unframed"])
def test_c14_a_transport_without_headers_says_that_it_can_carry_none(transport: Any) -> None:
    assert transport in Thrift(transport=transport).mutable


@pytest.mark.parametrize("transport", ["framed", "unframed"])
def test_c14_a_client_without_theader_has_its_frame_unchanged(transport: str) -> None:
    (message,) = from_client(carried(transport, STRICT, "strict"))
    assert Thrift().mutate(message, Mutation({"a": "b"})) is message.frame


@pytest.mark.parametrize("transport", ["framed", "unframed", "header"])
def test_c16_false_inside_a_list_stays_false(transport: str) -> None:
    # list<bool> [false, true, false], map<bool, bool> {false: false}: 02 is false in a container, 00 as well.
    call = bytes.fromhex("82 21 07 04 6563686f 19 31 02 01 00 1b 01 11 02 02 00")
    frame = carried(transport, call, "compact")
    (message,) = from_client(frame)
    sent = bytes(Thrift().session(Side.SERVER, MAX).send(message, 8))
    assert sent[-16:] == frame[-16:]


@every_pair
def test_c17_what_is_not_the_id_stays_as_it_came(transport: str, form: str) -> None:
    frame = carried(transport, CALLS[form], form)
    (message,) = from_client(frame)
    sent = bytes(Thrift().session(Side.SERVER, MAX).send(message, 8))
    assert len(sent) == len(frame)
    changed = [(old, new) for old, new in zip(frame, sent, strict=True) if old != new]
    inner = (ord("7"), ord("8")) if form == "json" else (7, 8)
    assert changed == ([(7, 8), inner] if transport == "header" else [inner])


def test_c17_long_form_fields_flags_and_unknown_infos_survive() -> None:
    long_form = bytes.fromhex("82 21 07 04 6563686f 08 02 02 6869 00")
    flags = headed(long_form, "compact", infos="01 01 014b 0176 7f deadbeef").replace(
        bytes.fromhex("0fff0000"), bytes.fromhex("0fff1234")
    )
    (message,) = from_client(flags)
    assert message.known()["K"] == "v"
    sent = bytes(Thrift().session(Side.SERVER, MAX).send(message, 8))
    assert sent[:8] + sent[12:] == flags[:8] + flags[12:].replace(b"\x82\x21\7", b"\x82\x21\x08")


def test_c17_a_uuid_passes() -> None:
    call = bytes.fromhex("80010001 00000004 6563686f 00000007 10 0001" + "ab" * 16 + "00")
    assert len(from_client(call * 2)) == 2


@pytest.mark.parametrize(("form", "head"), [("strict", 16), ("old", 13), ("compact", 8), ("json", 14)])
def test_c18_a_head_that_does_not_end_in_its_frame_is_refused(form: str, head: int) -> None:
    codec = Thrift("framed", NAMES[form])
    for name in ("not known yet", "known"):
        for size in range(1, head + 1):
            assert refusal(framed(CALLS[form][:size]) + framed(CALLS[form]), codec), (name, size)
        assert len(from_client(framed(CALLS[form][: head + 1]), codec)) == 1


@every_pair
def test_c18_with_check_frames_a_frame_holds_one_message_and_no_more(transport: str, form: str) -> None:
    codec = Thrift(check_frames=True)
    assert len(from_client(carried(transport, CALLS[form], form) * 3, codec)) == 3
    if transport != "unframed":
        two_in_one = carried(transport, CALLS[form] * 2, form)
        cut = carried(transport, CALLS[form][:-1], form)
        assert "does not hold just one message" in refusal(two_in_one, codec)
        assert "does not hold just one message" in refusal(cut, codec)


@pytest.mark.parametrize("transport", ["framed", "unframed"])
def test_c19_the_upgrade_to_ttwitter_is_declined_so_that_its_client_goes_on_plain(transport: str) -> None:
    name = b"__can__finagle__trace__v3__"
    golden = bytes.fromhex("80010001 0000001b") + name + bytes.fromhex("00000000 00")
    upgrade, call = from_client(carried(transport, golden, "strict") + carried(transport, STRICT, "strict"))
    assert upgrade.answer is not None
    (answer,) = from_server(upgrade.answer, (transport, "binary"))
    assert (answer.kind, answer.id, answer.get("method")) == (Kind.ERROR, 0, name.decode())
    assert upgrade.answer[-5:] == b"\0\0\0\1\0"
    assert call.answer is None


def test_c19_a_second_upgrade_is_declined_as_the_first() -> None:
    golden = bytes.fromhex("80010001 0000001b") + b"__can__finagle__trace__v3__" + bytes.fromhex("00000000 00")
    assert [m.answer is None for m in from_client(framed(golden) * 2)] == [False, False]


@every_pair
def test_c20_a_frame_has_its_size(transport: str, form: str) -> None:
    frame = carried(transport, CALLS[form], form)
    assert len(from_client(frame)[0].frame) == len(frame)


@pytest.mark.parametrize("form", ["old", "json"])
def test_c22_old_binary_and_json_are_taken(form: str) -> None:
    for transport in ("framed", "unframed", "header"):
        assert len(from_client(carried(transport, CALLS[form], form))) == 1


# Transformed payloads: see test_thrift_header.py for the layout


def zipped(message: bytes, form: str = "strict", transforms: str = "01 01") -> bytes:
    inside = bytes.fromhex(HEADER_IDS[form] + transforms)
    inside += bytes(-len(inside) % 4)
    fixed = bytes.fromhex("0fff 0000 00000007") + (len(inside) // 4).to_bytes(2, "big")
    return framed(fixed + inside + message)


@pytest.mark.parametrize("form", list(CALLS))
def test_a_compressed_message_is_read_and_goes_on_compressed_under_another_id(form: str) -> None:
    (message,) = from_client(zipped(zlib.compress(CALLS[form]), form))
    assert (message.id, message.get("method")) == (7, "echo")
    sent = bytes(Thrift().session(Side.SERVER, MAX).send(message, 300))
    (again,) = from_client(sent)
    assert (again.id, again.get("method")) == (300, "echo")
    assert Thrift().session(Side.CLIENT, MAX).send(again, 7) == message.frame


def test_a_payload_may_inflate_to_the_bound_and_no_further() -> None:
    for spare, answered in ((0, False), (1, True)):
        call = STRICT.replace(b"\0\0\0\2hi", (1000).to_bytes(4, "big") + bytes(1000))
        (message,) = from_client(zipped(zlib.compress(call)), max_frame=len(call) - spare)
        assert (message.answer is not None) == answered


def test_a_message_is_inflated_once_however_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real, inflated = zlib.decompressobj, []
    monkeypatch.setattr(zlib, "decompressobj", lambda: (inflated.append(1), real())[1])  # type: ignore[func-returns-value]
    codec = Thrift()
    session = codec.session(Side.CLIENT, MAX)
    (message,) = session.receive(zipped(zlib.compress(STRICT)))
    changed = codec.mutate(message, Mutation({"a": "b"}))
    other = Message(Kind.REQUEST, changed, message.id, message.metadata, message.more, profile=message.profile)
    sent = bytes(codec.session(Side.SERVER, MAX).send(other, 42))
    codec.reply(message, ErrorKind.TIMEOUT, "late")
    assert len(inflated) == 1
    (seen,) = from_client(sent)
    assert (seen.id, seen.get("a"), seen.get("method")) == (42, "b", "echo")


def test_a_compressed_call_is_answered_plainly_by_its_name() -> None:
    (message,) = from_client(zipped(zlib.compress(COMPACT), "compact"))
    reply = Thrift().reply(message, ErrorKind.NOT_FOUND, "no route")
    assert reply == headed(bytes.fromhex(REPLIES["compact"]), "compact", infos="")


@pytest.mark.parametrize(
    ("payload", "transforms", "type"),
    [
        (b"anything", "01 03", 8),
        (b"anything", "02 01 02", 8),
        (b"not zlib", "01 01", 7),
        (zlib.compress(bytes(MAX + 1)), "01 01", 7),
        (zlib.compress(zlib.compress(STRICT)), "02 01 01", 8),
        (zlib.compress(STRICT), "08 01 01 01 01 01 01 01 01", 8),
    ],
)
def test_a_payload_that_cannot_be_undone_is_answered_with_its_type_and_the_connection_goes_on(
    payload: bytes, transforms: str, type: int
) -> None:
    session = Thrift().session(Side.CLIENT, MAX)
    bad, good = session.receive(zipped(payload, transforms=transforms) + headed(STRICT, "strict"))
    assert session.error is None
    assert bad.answer is not None
    (answer,) = from_server(bad.answer, ("header", "binary"))
    assert (answer.kind, answer.id) == (Kind.ERROR, 7)
    assert bad.answer[-5:] == type.to_bytes(4, "big") + b"\0"
    assert good.get("method") == "echo"


def test_an_answer_that_cannot_be_undone_becomes_an_error_for_its_client() -> None:
    (message,) = from_server(zipped(b"??", transforms="01 03"), ("header", "binary"))
    assert (message.kind, message.id, message.answer) == (Kind.ERROR, 7, None)
    sent = bytes(Thrift().session(Side.CLIENT, MAX).send(message, 42))
    (seen,) = from_server(sent, ("header", "binary"))
    assert (seen.kind, seen.id, sent[-5:]) == (Kind.ERROR, 42, b"\0\0\0\x08\0")


@pytest.mark.parametrize("protocol", ["binary", "compact", "auto"])
@pytest.mark.parametrize("transport", ["framed", "unframed", "header", "ttheader", "auto"])
def test_the_probe_is_a_call_of_what_no_service_has(transport: Any, protocol: Any) -> None:
    codec = Thrift(transport=transport, protocol=protocol)
    probe = codec.probe()
    assert probe is not None
    (read,) = codec.session(Side.CLIENT, 1 << 20).receive(probe.frame)
    assert (read.kind, read.get("method"), read.id) == (Kind.REQUEST, "metaproxyHealthCheck", 1)
    session = codec.session(Side.SERVER, 1 << 20)
    session.open(probe.profile, {})
    answers = session.receive(codec.reply(read, ErrorKind.NOT_FOUND, "no such method"))
    assert [codec.alive(answer) for answer in answers] == [True]


def asked(codec: Thrift, times: int) -> list[Hashable]:
    return [probe.profile for probe in (codec.probe() for _ in range(times)) if probe is not None]


def test_where_a_transport_or_protocol_is_not_said_probes_go_through_all_until_one_is_answered() -> None:
    codec = Thrift()
    forms = asked(codec, 40)
    assert list(dict.fromkeys(forms))[:3] == [("framed", "binary"), ("unframed", "binary"), ("framed", "compact")]
    assert set(forms) == set(PROFILES)
    assert set(asked(Thrift(protocol="compact"), 40)) == {form for form in PROFILES if form[1] == "compact"}
    assert set(asked(Thrift(transport="unframed"), 40)) == {form for form in PROFILES if form[0] == "unframed"}


def test_probes_stay_with_the_form_that_was_answered() -> None:
    codec = Thrift()
    while (present(probe := codec.probe())).profile != ("unframed", "compact"):
        pass
    session = codec.session(Side.SERVER, MAX)
    session.open(present(probe).profile, {})
    (answer,) = session.receive(result("compact", 0))
    assert codec.alive(answer)
    assert asked(codec, 1) == [("unframed", "compact")]
    assert codec.alive(answer)
    assert asked(codec, 1) == [("unframed", "compact")]


def test_a_server_that_was_down_is_asked_as_before_every_other_time() -> None:
    codec = Thrift()
    (answer,) = from_server(framed(result("compact", 0)), ("framed", "compact"))
    codec.alive(answer)
    assert asked(codec, 9)[::2] == [("framed", "compact")] * 5


def test_there_is_no_probe_for_multiplexed_services() -> None:
    assert Thrift(transport="framed", multiplexed=True).probe() is None
    assert Thrift(multiplexed=True).probe() is None


FLOATS = {
    "strict": STRICT[:16] + bytes.fromhex("13 0001 3fc00000 0f 0002 13 00000002 3fc00000 3fc00000 00"),
    "compact": COMPACT[:8] + bytes.fromhex("1d 3fc00000 19 2d 3fc00000 3fc00000 00"),
}


@pytest.mark.parametrize("form", list(FLOATS))
@pytest.mark.parametrize("transport", ["framed", "header"])
def test_with_check_frames_a_float_of_fbthrifts_passes_as_a_uuid_does(transport: str, form: str) -> None:
    codec = Thrift(check_frames=True)
    uuid = {
        "strict": STRICT[:16] + b"\x10\0\1" + bytes(16) + b"\0",
        "compact": COMPACT[:8] + b"\x1d" + bytes(16) + b"\0",
    }
    frames = [carried(transport, message, form) for message in (FLOATS[form], uuid[form], FLOATS[form], CALLS[form])]
    assert len(from_client(b"".join(frames), codec)) == 4
    assert "just one message" in refusal(carried(transport, FLOATS[form] + b"\0", form), codec)
    assert refusal(carried(transport, FLOATS[form][:-1], form), codec)
