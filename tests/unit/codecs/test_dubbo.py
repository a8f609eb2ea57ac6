"""The Dubbo codec: frames, events, metadata, errors, mutations, each of the original's faults C1 to C12."""

import struct

import pytest
from reachable import reachable
from whole_reads import WholeReads

from metaproxy.codecs.dubbo import Dubbo, hessian2_reader, metadata
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Shared, Side
from metaproxy.testing import check_codec

MAX = 1 << 20
NOTHING = Mutation()

# The golden frames of the protocol's description, fields apart.
REQUEST = bytes.fromhex(
    "dabb c2 00 0000000000000007 0000003c 05322e302e32 0964656d6f2e4563686f 05302e302e30 046563686f"
    "124c6a6176612f6c616e672f537472696e673b 026869 480567726f75700267315a"
)
MUTATED = bytes.fromhex(
    "dabb c2 00 0000000000000007 00000044 05322e302e32 0964656d6f2e4563686f 05302e302e30 046563686f"
    "124c6a6176612f6c616e672f537472696e673b 026869 480567726f757002673103666f6f036261725a"
)
VALUE = bytes.fromhex("dabb 02 14 0000000000000007 00000012 94 026869 4805647562626f05322e302e325a")
NULL_VALUE = bytes.fromhex("dabb 02 14 0000000000000007 0000000f 95 4805647562626f05322e302e325a")
NO_ROUTE = bytes.fromhex("dabb 02 3c 0000000000000007 00000009 086e6f20726f757465")
HEARTBEAT = bytes.fromhex("dabb e2 00 0000000000000008 00000001 4e")
HEARTBEAT_ANSWER = bytes.fromhex("dabb 22 14 0000000000000008 00000001 4e")


def test_only_a_head_that_is_remembered_is_shared() -> None:
    plain, large = (CALL[:-5] + text + b"\0HZ" for text in (string("m"), b"S\x03\xff" + b"m" * 1023))
    for body, shared in ((plain, True), (large, False)):
        first, second = read(frame("c200", body)), read(frame("c200", body))
        assert first.get("interface") == second.get("interface") == "demo.Echo"
        assert (type(first.metadata) is Shared and first.metadata is second.metadata) is shared


READ_ONLY = bytes.fromhex("dabb a2 00 0000000000000009 00000002 0152")

CALL = bytes.fromhex("05322e302e32 0964656d6f2e4563686f 05302e302e30 046563686f")
"""2.0.2 demo.Echo 0.0.0 echo, without the parameter types."""


def frame(head: str, body: str | bytes, id: int = 7) -> bytes:
    """A frame of flags and status, an id and a body, those in hex."""
    body = bytes.fromhex(body) if isinstance(body, str) else body
    return bytes.fromhex(f"dabb{head}") + struct.pack(">QI", id, len(body)) + body


def string(text: str) -> bytes:
    assert len(text) < 32 and text.isascii()
    return bytes([len(text)]) + text.encode()


def request(rest: str | bytes, types: str = "", head: str = "c200") -> bytes:
    """A hessian2 request: types, and in hex or bytes the arguments and attachments."""
    return frame(head, CALL + string(types) + (bytes.fromhex(rest) if isinstance(rest, str) else rest))


ONEWAY = request("480567726f75700267315a", head="8200")
KRYO_REQUEST, KRYO_ANSWER = frame("c800", "0102030405"), frame("0814", "0102")
OLD_VALUE = frame("0214", "91 026869")
THROWN, OLD_THROWN = frame("0214", "93 4e 48 0161 0162 5a"), frame("0214", "90 4e")
BROKEN = request("1178")
FASTJSON2 = frame(
    "d700",
    "00000006 4e322e302e32 0000000a 5264656d6f2e4563686f 00000001 af 00000005 4d6563686f 00000001 49"
    "0000000b a64e67726f75704b6731a5",
)


READS = WholeReads(Dubbo, MAX)
messages, read = READS.messages, READS.read


def answer(data: bytes) -> Message:
    return read(data, Side.SERVER)


def answered(data: bytes, side: Side) -> bytes | None:
    """What a frame of one side is answered with by the proxy itself; None: nothing is said of it."""
    session = Dubbo().session(side, MAX)
    (message,) = session.receive(data)
    if side is Side.CLIENT:
        return message.answer
    assert message.answer is None
    return session.owed() if message.kind is Kind.HEARTBEAT else None


def mutated(data: bytes, set: dict[str, str] | None = None, remove: tuple[str, ...] = ()) -> bytes:
    return Dubbo().mutate(read(data), Mutation(set, remove))


def test_it_keeps_the_contract() -> None:
    check_codec(
        Dubbo(),
        client=[REQUEST, ONEWAY, HEARTBEAT, HEARTBEAT_ANSWER, KRYO_REQUEST, FASTJSON2, BROKEN],
        server=[VALUE, NULL_VALUE, NO_ROUTE, HEARTBEAT, READ_ONLY, KRYO_ANSWER, OLD_VALUE, THROWN, OLD_THROWN, REQUEST],
    )


# -- frames


@pytest.mark.parametrize(
    ("side", "data", "kind", "reply"),
    [
        (Side.CLIENT, REQUEST, Kind.REQUEST, None),
        (Side.CLIENT, ONEWAY, Kind.ONEWAY, None),
        (Side.CLIENT, KRYO_REQUEST, Kind.REQUEST, None),
        (Side.CLIENT, VALUE, Kind.RESPONSE, None),
        (Side.SERVER, VALUE, Kind.RESPONSE, None),
        (Side.SERVER, NULL_VALUE, Kind.RESPONSE, None),
        (Side.SERVER, OLD_VALUE, Kind.RESPONSE, None),
        (Side.SERVER, THROWN, Kind.ERROR, None),
        (Side.SERVER, OLD_THROWN, Kind.ERROR, None),
        (Side.SERVER, NO_ROUTE, Kind.ERROR, None),
        (Side.SERVER, frame("0214", ""), Kind.RESPONSE, None),
        (Side.SERVER, frame("0214", "4900000003 4e 4e"), Kind.RESPONSE, None),
        (Side.SERVER, frame("4214", "4900000003 4e 4e"), Kind.ERROR, None),
        (Side.SERVER, frame("4214", ""), Kind.RESPONSE, None),
        (Side.SERVER, frame("4214", "43"), Kind.RESPONSE, None),
        (Side.SERVER, frame("1714", "00000002bd03 00000001af 00000002a6a5"), Kind.ERROR, None),
        (Side.SERVER, frame("1714", "00000002bd04 00000001af 00000002a6a5"), Kind.RESPONSE, None),
        (Side.SERVER, KRYO_ANSWER, Kind.RESPONSE, None),
        (Side.SERVER, frame("0850", "0102"), Kind.ERROR, None),
        (Side.SERVER, REQUEST, Kind.EVENT, None),  # a server calls back an argument
        (Side.SERVER, ONEWAY, Kind.EVENT, None),
        (Side.CLIENT, HEARTBEAT, Kind.HEARTBEAT, HEARTBEAT_ANSWER),
        (Side.SERVER, HEARTBEAT, Kind.HEARTBEAT, HEARTBEAT_ANSWER),
        (Side.CLIENT, HEARTBEAT_ANSWER, Kind.HEARTBEAT, b""),
        (Side.SERVER, HEARTBEAT_ANSWER, Kind.HEARTBEAT, b""),
        (Side.SERVER, READ_ONLY, Kind.DRAIN, None),
        (Side.CLIENT, READ_ONLY, Kind.HEARTBEAT, b""),
        (Side.SERVER, frame("a200", "0157"), Kind.HEARTBEAT, b""),
        (Side.SERVER, frame("b700", "000000024a52"), Kind.DRAIN, None),
        (Side.SERVER, frame("b600", "030a0152"), Kind.DRAIN, None),
        (Side.SERVER, frame("a600", b'"R"\n'), Kind.DRAIN, None),
        (Side.SERVER, frame("2214", "0152"), Kind.HEARTBEAT, b""),
        (Side.SERVER, frame("e200", "0458595a31"), Kind.HEARTBEAT, b""),  # an unknown event
    ],
)
def test_a_frame_is_what_its_flags_and_first_bytes_say(
    side: Side, data: bytes, kind: Kind, reply: bytes | None
) -> None:
    message = read(data, side)
    assert (message.kind, answered(data, side)) == (kind, reply)
    assert message.get("kind") == kind.name.lower()
    assert message.frame == data


@pytest.mark.parametrize(
    "data", [frame("f700", "00000001af"), frame("f600", "030a0148"), frame("e600", b"null\n"), frame("e800", "00")]
)
def test_a_heartbeat_is_answered_with_its_own_body_in_its_own_serialization(data: bytes) -> None:
    (flags,) = data[2:3]
    expected = data[:2] + bytes([flags & 0x3F, 20]) + data[4:]
    assert (answered(data, Side.CLIENT), answered(data, Side.SERVER)) == (expected, expected)


def test_a_heartbeat_without_a_body_is_answered_without_one() -> None:
    assert read(frame("e200", "")).answer == frame("2214", "")


@pytest.mark.parametrize(
    ("stream", "found", "error"),
    [
        (HEARTBEAT + b"\xda\x00", 1, "magic dabb expected, da00 read"),
        (b"GET / HTTP/1.1\r\n", 0, "magic dabb expected, 47 read"),
        (
            REQUEST + bytes.fromhex("dabb c2 00 0000000000000001 80000000"),
            1,
            "body of -2147483648 bytes; a length is not",
        ),
        (bytes.fromhex("dabb c2 00 0000000000000001 ffffffff"), 0, "body of -1 bytes; a length is not negative"),
        (bytes.fromhex("dabb c2 00 0000000000000001 000ffff1"), 0, "frame of 1048577 bytes; allowed are 16 to 1048576"),
        (bytes.fromhex("dabb c2 00 0000000000000001 000ffff0"), 0, "None"),
    ],
)
def test_a_bad_head_ends_the_stream_after_what_came_before(stream: bytes, found: int, error: str) -> None:
    for size in (1, 7, len(stream)):
        session = Dubbo().session(Side.CLIENT, MAX)
        kept = [m for at in range(0, len(stream), size) for m in session.receive(stream[at : at + size])]
        assert len(kept) == found
        assert str(session.error).startswith(error)
        assert session.receive(REQUEST) == []


def test_a_frame_in_pieces_is_counted_as_buffered_until_it_is_whole() -> None:
    session = Dubbo().session(Side.CLIENT, MAX)
    assert session.receive(REQUEST + REQUEST[:20]) == [read(REQUEST)]
    assert session.buffered == 20
    assert session.receive(REQUEST[20:-1]) == []
    assert session.buffered == len(REQUEST) - 1
    assert session.receive(REQUEST[-1:] + HEARTBEAT) == [read(REQUEST), read(HEARTBEAT)]
    assert session.buffered == 0


def test_ids_of_any_bits_are_kept_and_only_they_are_patched() -> None:
    data = REQUEST[:4] + b"\xff" * 8 + REQUEST[12:]
    message = read(data)
    session = Dubbo().session(Side.SERVER, MAX)
    assert message.id == (1 << 64) - 1
    assert session.send(message, message.id) is data
    assert session.send(message, 7) == REQUEST


@pytest.mark.parametrize(
    ("seen", "event"),
    [
        (b"", "dabb a2 00 0000000000000000 00000002 0152"),
        (REQUEST, "dabb a2 00 0000000000000000 00000002 0152"),
        (frame("f700", "00000001af"), "dabb b7 00 0000000000000000 00000006 000000024a52"),
        (frame("f600", "030a0148"), "dabb b6 00 0000000000000000 00000004 030a0152"),
        (KRYO_REQUEST, "dabb a2 00 0000000000000000 00000002 0152"),
    ],
)
def test_a_client_is_told_to_send_nothing_new_in_the_serialization_that_it_spoke_last(seen: bytes, event: str) -> None:
    session = Dubbo().session(Side.CLIENT, MAX)
    session.receive(seen)
    assert session.drain() == bytes.fromhex(event)
    assert answer(session.drain()).kind is Kind.DRAIN


def test_a_server_that_is_read_only_leaves_and_not_its_connection_only() -> None:
    assert answer(READ_ONLY).logoff


def test_a_server_is_not_told_that_a_client_drains() -> None:
    assert Dubbo().session(Side.SERVER, MAX).drain() == b""


# -- metadata


def test_the_metadata_of_a_request() -> None:
    assert read(REQUEST).known() == {
        "kind": "request",
        "interface": "demo.Echo",
        "method": "echo",
        "operation": "demo.Echo/echo",
        "service.version": "0.0.0",
        "types": "Ljava/lang/String;",
        "dubbo": "2.0.2",
        "serialization": "hessian2",
        "group": "g1",
    }


def test_the_metadata_of_answers() -> None:
    facts = {"serialization": "hessian2", "status": "ok"}
    assert answer(VALUE).known() == {"kind": "response", **facts, "result": "4", "attachment.dubbo": "2.0.2"}
    assert answer(OLD_VALUE).known() == {"kind": "response", **facts, "result": "1"}
    assert answer(NO_ROUTE).known() == {"kind": "error", "serialization": "hessian2", "status": "service_not_found"}
    assert answer(THROWN).known() == {"kind": "error", **facts, "result": "3", "a": "b"}
    assert answer(frame("0214", "4e")).known() == {"kind": "response", **facts}  # npm, for nothing
    assert answer(frame("0207", "")).get("status") == "7"


def test_an_answer_of_status_ok_that_has_no_result_type_cannot_be_read() -> None:
    with pytest.raises(FrameError, match="a value is missing"):
        answer(frame("0214", "")).get("result")


def test_the_interface_is_known_before_arguments_and_attachments_are_read() -> None:
    message = read(REQUEST)
    assert message.metadata is None
    assert message.get("interface") == "demo.Echo"
    assert message.more is not None
    assert message.get("group") == "g1"
    assert message.more is None


def test_the_status_of_an_answer_is_known_before_its_value_is_read() -> None:
    message = answer(frame("0214", "94 ff"))
    assert message.get("result") == "4"
    with pytest.raises(FrameError):
        message.get("dubbo")
    assert message.known()["status"] == "ok"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("02 6731", "g1"),
        ("00", ""),
        ("b2", "34"),
        ("49 80000000", "-2147483648"),
        ("4c 7fffffffffffffff", "9223372036854775807"),
        ("5f 000005dc", "1.5"),
        ("44 400921fb54442d18", "3.141592653589793"),
        ("54", "true"),
        ("46", "false"),
        ("4e", None),
        ("23 010203", None),
        ("4a 000000d04b926200", None),
        ("78", None),
        ("48 5a", None),
    ],
)
def test_an_attachment_shows_when_it_is_a_string_number_or_truth_value(value: str, text: str | None) -> None:
    message = read(request(f"48 0161 {value} 017a 01795a"))
    assert (message.get("a"), message.get("z")) == (text, "y")


def test_attachments_show_under_their_own_and_their_lower_cased_name_where_that_is_free() -> None:
    message = read(request(b"H" + b"".join(map(string, ("Tenant", "A", "tenant", "b", "Zone", "z"))) + b"Z"))
    assert [message.get(key) for key in ("Tenant", "tenant", "Zone", "zone")] == ["A", "b", "z", "z"]


def test_an_attachment_with_a_key_that_is_no_string_does_not_hide_the_others() -> None:
    assert read(request("48 91 0161 0162 0163 5a")).get("b") == "c"


@pytest.mark.parametrize("method", ["$invoke", "$invokeAsync"])
def test_a_generic_call_tells_its_real_method(method: str) -> None:
    types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
    body = CALL[:-5] + string(method) + bytes([0x30, len(types)]) + types.encode()
    body += string("sayHello") + bytes.fromhex("71 075b737472696e67 0161 71 075b6f626a656374 0162 48 0161 0162 5a")
    message = read(frame("c200", body))
    assert (message.get("method"), message.get("generic.method"), message.get("a")) == (method, "sayHello", "b")


def test_an_ordinary_call_has_no_generic_method_even_if_an_attachment_says_so() -> None:
    message = read(request(b"H" + string("generic.method") + string("x") + b"Z"))
    assert message.get("generic.method") is None
    assert message.get("attachment.generic.method") == "x"


@pytest.mark.parametrize(
    ("types", "values"),
    [
        ("", ""),
        ("V", "4e"),
        ("ZBCDFIJS", "54 91 0163 5c 5c 91 e1 91"),
        ("[[ILjava/lang/String;[La/B;J", "78 00 78 e1"),
    ],
)
def test_as_many_arguments_are_stepped_over_as_the_types_name(types: str, values: str) -> None:
    assert read(request(f"{values} 48 0161 0162 5a", types)).get("a") == "b"


@pytest.mark.parametrize("types", ["X", "[", "Ljava/lang/String", "I;", "()V", "I" * 256])
def test_types_that_name_no_parameters_leave_interface_and_method_readable(types: str) -> None:
    data = types.encode()
    message = read(frame("c200", CALL + bytes([0x30 + (len(data) >> 8), len(data) & 255]) + data + b"HZ"))
    assert message.get("method") == "echo"
    with pytest.raises(FrameError, match="parameter"):
        message.get("group")
    assert message.get("group") is None


def test_a_method_may_have_as_many_parameters_as_java_allows() -> None:
    body = CALL + bytes([0x30, 255]) + b"I" * 255 + b"\x90" * 255 + bytes.fromhex("48 0161 0162 5a")
    assert read(frame("c200", body)).get("a") == "b"


def test_null_strings_count_as_empty() -> None:
    message = read(frame("c200", "4e 0161 4e 0162 4e 4e"))
    assert (message.get("operation"), message.get("service.version"), message.get("dubbo")) == ("a/b", "", "")


def test_a_head_that_is_too_long_to_be_remembered_is_not_taken_for_the_next() -> None:
    for method in ("a", "m" * 2000, "b", "m" * 3000, "a"):
        text = string(method) if len(method) < 32 else b"S" + len(method).to_bytes(2, "big") + method.encode()
        assert read(frame("c200", CALL[:-5] + text + b"\0HZ")).get("method") == method


def test_many_different_calls_do_not_mix_and_are_not_all_remembered() -> None:
    for number in range(3000):
        body = CALL[:-5] + string(f"m{number}") + b"\0HZ"
        assert read(frame("c200", body)).get("method") == f"m{number}"
    heads = [one for one in reachable(list(vars(metadata).values())) if isinstance(one, bytes) and CALL[:-5] in one]
    assert 1 < len(heads) <= 1024 + 1, "the last one is kept, too"


def test_characters_beyond_the_first_plane_count_as_their_writer_counts_them() -> None:
    for length in ("02", "03"):
        message = read(request(f"{length} 61f09f9880 48 0161 0162 5a", "I"))
        assert message.get("a") == "b"
    with pytest.raises(FrameError, match="a map expected at 51, code 0x18 read"):
        read(request("02 61f09f9880 18", "I")).get("a")


def test_a_call_that_cannot_be_read_says_so_once_and_keeps_its_frame() -> None:
    message = read(frame("c200", "05322e302e32 91"))
    with pytest.raises(FrameError, match=r"a string expected at 22, code 0x91 read"):
        message.get("method")
    assert message.get("method") is None
    assert message.known() == {"kind": "request", "serialization": "hessian2"}
    assert Dubbo().session(Side.SERVER, MAX).send(message, 7) == message.frame


# -- errors


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        (ErrorKind.NOT_FOUND, "", 60),
        (ErrorKind.NO_CLUSTER, "", 60),
        (ErrorKind.NO_ENDPOINT, "", 80),
        (ErrorKind.CONNECT, "", 80),
        (ErrorKind.RESET, "", 80),
        (ErrorKind.TIMEOUT, "", 31),
        (ErrorKind.OVERLOAD, "", 100),
        (ErrorKind.LIMITED, "", 100),
        (ErrorKind.DENIED, "", 70),
        (ErrorKind.BAD_REQUEST, "", 40),
        (ErrorKind.BAD_RESPONSE, "", 50),
        (ErrorKind.UNSUPPORTED, "", 70),
        (ErrorKind.DRAINING, "", 80),
        (ErrorKind.INTERNAL, "", 80),
        (ErrorKind.INTERNAL, "timeout", 31),
        (ErrorKind.INTERNAL, "client_timeout", 30),
        (ErrorKind.DENIED, "client_error", 90),
        (ErrorKind.INTERNAL, "serialization_error", 25),
        (ErrorKind.INTERNAL, "ok", 80),
        (ErrorKind.INTERNAL, "no such name", 80),
    ],
)
def test_each_error_has_its_status(kind: ErrorKind, name: str, status: int) -> None:
    assert Dubbo().reply(read(REQUEST), kind, "no route", name) == NO_ROUTE[:3] + bytes([status]) + NO_ROUTE[4:]


def test_every_kind_of_error_has_a_status() -> None:
    for kind in ErrorKind:
        assert answer(Dubbo().reply(read(REQUEST), kind, "text")).kind is Kind.ERROR


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("d700", "00000009 51 6e6f20726f757465"),
        ("d600", "0a 0a08 6e6f20726f757465"),
        ("c600", b'"no route"\n'),
        ("d000", b'"no route"\n'),
        ("c800", ""),  # nothing here can write kryo's strings
    ],
)
def test_an_error_is_in_the_serialization_of_its_request(head: str, body: bytes | str) -> None:
    request = read(frame(head, "0102"))
    expected = frame(f"{int(head[:2], 16) & 0x1F:02x}3c", body)
    assert Dubbo().reply(request, ErrorKind.NOT_FOUND, "no route") == expected


# -- mutations


@pytest.mark.parametrize(
    ("before", "set", "remove", "after"),
    [
        ("48 0167 0131 5a", {"h": "2"}, (), "48 0167 0131 0168 0132 5a"),
        ("48 0167 0131 5a", {"g": "2"}, (), "48 0167 0132 5a"),
        ("48 0167 0131 5a", {"G": "2"}, (), "48 0167 0131 0147 0132 5a"),
        ("48 0167 0131 0168 0132 5a", {}, ("g", "x"), "48 0168 0132 5a"),
        ("48 0167 0131 5a", {"g": "2"}, ("g",), "48 0167 0132 5a"),
        ("48 0167 0131 0167 0132 5a", {}, ("g",), "48 5a"),
        ("48 5a", {"a": ""}, (), "48 0161 00 5a"),
        ("48 0161 b2 0162 54 5a", {"c": "d"}, (), "48 0161 b2 0162 54 0163 0164 5a"),
        ("48 0161 b2 0162 54 5a", {"b": "d"}, (), "48 0161 b2 0162 0164 5a"),
        ("48 91 0131 0162 0132 5a", {"c": "d"}, ("b",), "48 91 0131 0163 0164 5a"),
        ("48 52 0001 67 00 0131 5a", {}, ("g",), "48 5a"),  # g in two chunks
        ("48 5300 0167 0131 5a", {"g": "2"}, (), "48 0167 0132 5a"),
        ("48 0161 0162 5a 4e", {"c": "d"}, (), "48 0161 0162 0163 0164 5a 4e"),  # something behind the map
        ("", {"a": "b"}, (), "48 0161 0162 5a"),
    ],
)
def test_attachments_are_set_and_removed_and_nothing_else_changes(
    before: str, set: dict[str, str], remove: tuple[str, ...], after: str
) -> None:
    argument = "026869"
    old, new = request(argument + before, "I"), request(argument + after, "I")
    assert mutated(old, set, remove) == new
    assert read(new).get("method") == "echo"


def test_the_golden_mutation() -> None:
    assert mutated(REQUEST, {"foo": "bar"}) == MUTATED
    assert mutated(MUTATED, {}, ("foo",)) == REQUEST


def test_without_a_change_a_frame_stays_the_same_object() -> None:
    message = read(REQUEST)
    assert Dubbo().mutate(message, NOTHING) is message.frame


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x" * 31, "1f" + "78" * 31),
        ("x" * 32, "3020" + "78" * 32),
        ("x" * 1023, "33ff" + "78" * 1023),
        ("x" * 1024, "530400" + "78" * 1024),
        ("x" * 32768, "527fff" + "78" * 32767 + "01 78"),
        ("\u00e9\u4e2d", "02 c3a9 e4b8ad"),
        ("\U0001f600", "02 eda0bd edb880"),  # two units of three bytes: Java knows no four
        ("\u4e2d" * 32, "3020" + "e4b8ad" * 32),
    ],
)
def test_strings_are_written_as_java_reads_them(text: str, written: str) -> None:
    assert mutated(request("485a"), {"a": text}) == request(f"48 0161 {written} 5a")
    assert read(mutated(request("485a"), {"a": text})).get("a") == text


def test_an_attachment_that_holds_an_object_is_removed_when_nothing_can_refer_to_it() -> None:
    objects = "48 0161 485a 0162 0163 5a"
    assert mutated(request(objects), {}, ("a",)) == request("48 0162 0163 5a")
    with pytest.raises(FrameError, match="attachment 'a' holds an object that a later attachment may refer to"):
        mutated(request("48 0161 485a 0162 5191 5a"), {}, ("a",))


def test_an_answers_attachments_are_changed_when_its_type_has_some() -> None:
    for old, new in (
        ("94 026869 48 0161 0162 5a", "94 026869 48 0161 0162 0163 0164 5a"),
        ("95 48 5a", "95 48 0163 0164 5a"),
        ("93 4e 4e", "93 4e 48 0163 0164 5a"),
    ):
        assert Dubbo().mutate(answer(frame("0214", old)), Mutation({"c": "d"})) == frame("0214", new)


@pytest.mark.parametrize(
    "data",
    [OLD_VALUE, OLD_THROWN, NO_ROUTE, KRYO_ANSWER, frame("0214", "92"), frame("0214", "4e"), frame("0214", "92 4e")],
)
def test_an_answer_without_a_place_for_attachments_stays_as_it_is(data: bytes) -> None:
    assert Dubbo().mutate(answer(data), Mutation({"a": "b"}, ("c",))) == data


def test_a_request_in_a_serialization_that_cannot_be_read_stays_as_it_is() -> None:
    assert mutated(KRYO_REQUEST, {"a": "b"}) == KRYO_REQUEST


def test_a_request_that_cannot_be_read_is_not_changed() -> None:
    with pytest.raises(FrameError, match="map expected"):
        mutated(request("91"), {"a": "b"})


# -- the original's faults


def test_c1_an_error_answer_carries_its_message() -> None:
    assert Dubbo().reply(read(REQUEST), ErrorKind.NOT_FOUND, "no route") == NO_ROUTE


def test_c2_an_answer_that_brings_an_exception_passes_and_is_an_error() -> None:
    exception = "431f6a6176612e6c616e672e496c6c6567616c5374617465457863657074696f6e910d64657461696c4d657373616765600178"
    for type_, attachments in (("93", "48 0161 0162 5a"), ("90", "")):
        message = answer(frame("0214", type_ + exception + attachments))
        assert (message.kind, message.known()["status"]) == (Kind.ERROR, "ok")
        assert message.get("a") == ("b" if attachments else None)


@pytest.mark.parametrize(
    "value", ["4e", "b2", "4cffffffffffffffff", "54", "5e0001", "57 91 92 5a", "48 0161 91 5a", "20"]
)
def test_c3_a_value_of_any_type_is_stepped_over(value: str) -> None:
    assert answer(frame("0214", f"94 {value} 48 0161 0162 5a")).get("a") == "b"
    assert answer(frame("0214", f"91 {value}")).known()["result"] == "1"


@pytest.mark.parametrize(
    ("status", "name"), [(25, "serialization_error"), (35, "channel_inactive"), (80, "server_error")]
)
def test_c4_every_status_passes(status: int, name: str) -> None:
    message = answer(frame(f"02{status:02x}", "0178"))
    assert (message.kind, message.get("status")) == (Kind.ERROR, name)


def test_c5_every_serialization_passes_with_what_its_header_says() -> None:
    names = set()
    for number in range(32):
        message = read(frame(f"{0xC0 | number:02x}00", "0102"))
        assert (message.kind, message.known()["kind"]) == (Kind.REQUEST, "request")
        names.add(message.known()["serialization"])
    assert len(names) == 32
    assert names >= {"hessian2", "java", "kryo", "fastjson2", "fury", "avro", "0", "1", "30"}


def test_c6_only_a_heartbeat_request_that_wants_an_answer_gets_one() -> None:
    assert read(HEARTBEAT).answer == HEARTBEAT_ANSWER
    for data in (HEARTBEAT_ANSWER, frame("a200", "4e"), READ_ONLY, frame("e200", "0152"), frame("e200", "0157")):
        assert (read(data).kind, read(data).answer) == (Kind.HEARTBEAT, b"")


def test_c7_a_one_way_call_is_a_message_of_its_own_that_nobody_answers() -> None:
    message = read(ONEWAY)
    assert (message.kind, message.answer, message.get("method")) == (Kind.ONEWAY, None, "echo")
    assert Dubbo().reply(message, ErrorKind.NOT_FOUND, "no route") == b""


@pytest.mark.parametrize(
    ("argument", "map", "changed"),
    [
        ("90", "4e", "48 016e 0178 5a"),
        ("90", "4d 036d6170 0161 0162 5a", "4d 036d6170 0161 0162 016e 0178 5a"),
        ("48 0161 0162 5a", "51 90", "48 0161 0162 016e 0178 5a"),
        ("4d 036d6170 0161 0162 5a", "4d 90 0161 0162 5a", "4d 90 0161 0162 016e 0178 5a"),
        ("57 4d 036d6170 0161 0162 5a 5a", "51 91", "4d 036d6170 0161 0162 016e 0178 5a"),
        ("43 0163 91 0166 60 91", "48 016f 60 92 0161 0162 5a", "48 016f 60 92 0161 0162 016e 0178 5a"),
    ],
)
def test_c8_attachments_that_are_null_typed_or_a_reference_are_read_and_kept(
    argument: str, map: str, changed: str
) -> None:
    data = mutated(request(f"{argument} {map}", "I"), {"n": "x"})
    assert data == request(f"{argument} {changed}", "I")
    assert read(request(f"{argument} {map}", "I")).get("a") == (None if map == "4e" else "b")
    assert (read(data).get("a"), read(data).get("n")) == (None if map == "4e" else "b", "x")


def test_c8_a_reference_to_what_is_no_map_is_refused() -> None:
    with pytest.raises(FrameError, match="a map expected"):
        read(request("57 5a 51 90", "I")).get("group")
    with pytest.raises(FrameError, match="a reference to value 1 of 1"):
        read(request("57 5a 51 91", "I")).get("group")


@pytest.mark.parametrize(
    "key", ["interface", "method", "operation", "kind", "types", "serialization", "status", "result"]
)
def test_c9_an_attachment_does_not_take_the_place_of_the_codecs_own_key(key: str) -> None:
    attachments = b"H" + string(key) + string("forged") + string(key.title()) + string("forged") + b"Z"
    for plain, forged in (
        (read(request("485a")), read(request(attachments))),
        (answer(frame("0214", "95 485a")), answer(frame("0214", b"\x95" + attachments))),
    ):
        assert forged.known().get(key) == plain.known().get(key) != "forged"
        assert forged.get(f"attachment.{key}") == forged.get(f"attachment.{key.title()}") == "forged"


def test_c10_one_way_flag_service_version_and_timeout_are_exposed() -> None:
    data = request(b"H" + string("timeout") + bytes.fromhex("d40bb8") + b"Z", head="8200")
    message = read(data)
    assert (message.get("kind"), message.get("service.version"), message.get("timeout")) == ("oneway", "0.0.0", "3000")


def test_c11_arguments_are_not_looked_at_for_interface_and_method() -> None:
    message = read(request("ff" * 3, "Ljava/lang/Object;"))
    assert message.get("operation") == "demo.Echo/echo"
    with pytest.raises(FrameError):
        message.get("group")


@pytest.mark.parametrize(("opening", "closing"), [("57", "5a"), ("79", ""), ("48 00", "5a"), ("55 0161", "5a")])
def test_c11_nesting_is_bounded(opening: str, closing: str) -> None:
    def nested(levels: int) -> Message:
        return read(request(f"{opening * levels} 90 {closing * levels} 48 0161 0162 5a", "I"))

    assert nested(64).get("a") == "b"
    with pytest.raises(FrameError, match="nested deeper than 64"):
        nested(65).get("a")


def test_c11_class_definitions_do_not_count_as_nesting() -> None:
    objects = "".join(f"43 00 91 00 4f {0x90 + number:02x}" for number in range(47))
    assert read(request("57" * 17 + objects + "90" + "5a" * 17 + "48 0161 0162 5a", "I")).get("a") == "b"


def test_c11_the_number_of_lists_maps_and_objects_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hessian2_reader, "MAX_STEPS", 88)
    assert read(request("57" + "78" * 9 + "5a 48 0161 0162 5a", "I")).get("a") == "b"
    with pytest.raises(FrameError, match="more than 11 lists, maps, objects and strings"):
        read(request("57" + "78" * 12 + "5a 48 0161 0162 5a", "I")).get("a")


def test_c11_the_number_of_class_definitions_is_bounded() -> None:
    assert read(request("43 00 90" * 1024 + "90 48 0161 0162 5a", "I")).get("a") == "b"
    with pytest.raises(FrameError, match="more than 1024 classes"):
        read(request("43 00 90" * 1025 + "90 48 0161 0162 5a", "I")).get("a")


def test_c11_the_number_of_attachments_is_bounded() -> None:
    assert read(request("48" + "0161 0162" * 4096 + "5a")).get("a") == "b"
    for value in ("0162", "90"):
        with pytest.raises(FrameError, match="more than 4096 attachments"):
            read(request("48" + f"0161 {value}" * 4097 + "5a")).get("a")


def test_c12_the_body_of_an_error_is_a_string_and_nothing_else() -> None:
    data = Dubbo().reply(read(REQUEST), ErrorKind.INTERNAL, "\u4e2d" * 40)
    assert data[16:] == b"\x30\x28" + "\u4e2d".encode() * 40


def test_the_probe_is_a_heartbeat_and_its_answer_is_one_that_is_ok() -> None:
    codec = Dubbo()
    probe = codec.probe()
    assert probe.frame == bytes.fromhex("dabbe2000000000000000001000000014e")
    (read,) = codec.session(Side.CLIENT, 1 << 20).receive(probe.frame)
    assert read.kind is Kind.HEARTBEAT and read.answer
    (answer,) = codec.session(Side.SERVER, 1 << 20).receive(read.answer)
    assert codec.alive(answer)
    assert not codec.alive(Message(Kind.HEARTBEAT, answer.frame[:3] + b"\x50" + answer.frame[4:]))


def test_a_head_that_begins_like_the_one_before_is_read_as_itself() -> None:
    def request(method: str, types: str = "") -> bytes:
        words = ("2.0.2", "org.example.Demo", "0.0.0", method, types)
        body = b"".join(bytes([len(word)]) + word.encode() for word in words) + b"Z"
        return struct.pack(">HBBQI", 0xDABB, 0xC2, 0, 7, len(body)) + body

    for methods in (("say", "sayAll"), ("sayAll", "say"), ("say", "say")):
        for method in methods:
            (message,) = Dubbo().session(Side.CLIENT, 1 << 20).receive(request(method))
            assert message.get("method") == method


def test_heads_that_come_in_turn_are_read_as_themselves_whatever_follows_them() -> None:
    def seen(data: bytes) -> tuple[object, ...]:
        (message,) = Dubbo().session(Side.CLIENT, 1 << 20).receive(data)
        try:
            first = message.get("method")
            return first, message.get("serialization"), message.get("group"), message.known()
        except FrameError as error:
            return str(error), message.known()

    long = frame("c200", CALL.replace(string("echo"), b"R\x08\x00" + b"m" * 2048 + b"\0") + string(""))
    cut = frame("c200", CALL[:20])
    for turn in (
        [request("480567726f75700267315a"), request("480567726f75700267325a"), KRYO_REQUEST],
        [request("480567726f75700267315a"), FASTJSON2, long, cut, long, FASTJSON2],
        [cut, request("480567726f75700267315a", types="I")],
        [request("480567726f75700267315a", head=f"{flags}00") for flags in ("c2", "c8", "c6", "d6", "d7")],
    ):
        alone = [seen(one) for one in turn]
        assert [seen(one) for one in turn + turn[::-1]] == alone + alone[::-1]
        assert len({repr(one) for one in alone}) == len({*turn})


def test_metadata_that_a_filter_replaced_are_read_on() -> None:
    for _ in range(2):
        (message,) = Dubbo().session(Side.CLIENT, 1 << 20).receive(request("480567726f75700267315a"))
        message.look()
        message.metadata = {"user": "ann"}
        found = {key: message.get(key) for key in ("group", "user", "method")}
        assert found == {"group": "g1", "user": "ann", "method": "echo"}
