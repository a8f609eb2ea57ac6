"""The tRPC codec, unary calls: frames, metadata, ids, errors, mutations, the original's faults C28 to C32."""

import struct

import pytest
from protobuf_writing import blob, num, pair
from whole_reads import WholeReads

from metaproxy.codecs.trpc import Trpc
from metaproxy.message import ErrorKind, FrameError, Kind, Mutation, Side
from metaproxy.testing import check_codec

MAX = 1 << 20

# The golden frames of the protocol's description, fields apart.
REQUEST = bytes.fromhex(
    "0930 00 00 00000064 0050 00000007 00 00 180720e8072a13747270632e6170702e636c69656e742e5376633212747270632e6170702e"
    "6563686f2e4563686f3a182f747270632e6170702e6563686f2e4563686f2f4563686f4a060a016b120176 0a026869"
)
ANSWER = bytes.fromhex("0930 00 00 00000016 0002 00000007 00 00 1807 0a026869")
NO_SERVICE = bytes.fromhex("0930 00 00 00000020 0010 00000000 00 00 1807200b280b32086e6f20726f757465")
"""As the original writes it: the function's own code says the same, and the id in front is 0."""

NAMES = blob(5, "trpc.app.client.Svc") + blob(6, "trpc.app.echo.Echo") + blob(7, "/trpc.app.echo.Echo/Say")


def frame(header: bytes, body: bytes = b"", front: int = 7, kind: int = 0, type: int = 0) -> bytes:
    total = 16 + len(header) + len(body)
    return struct.pack(">HBBIHIH", 0x0930, kind, type, total, len(header), front, 0) + header + body


def request(more: bytes = b"", id: int = 7, body: bytes = b"\x0a\x02hi") -> bytes:
    return frame(num(3, id) + NAMES + more, body, id)


def answer(more: bytes = b"", id: int = 7, body: bytes = b"\x0a\x02hi") -> bytes:
    return frame(num(3, id) + more, body, id)


FULL = request(
    num(2, 0) + num(4, 1500) + num(8, 3) + pair(9, "Tenant", "t1") + num(10, 2) + num(11, 1) + num(12, 3)
    + blob(100, "unknown"),
    body=b"bodyatt",
)  # fmt: skip
ONEWAY = request(num(2, 1))


READS = WholeReads(Trpc, MAX)
messages, read, refusal = READS.messages, READS.read, READS.refusal


def mutated(data: bytes, set: dict[str, str] | None = None, remove: tuple[str, ...] = ()) -> bytes:
    return Trpc().mutate(read(data), Mutation(set, remove))


def test_it_keeps_the_contract() -> None:
    check_codec(
        Trpc(),
        client=[REQUEST, FULL, ONEWAY],
        server=[ANSWER, NO_SERVICE, answer(pair(8, "back", "b")), answer(num(5, 4711))],
    )


# -- frames


@pytest.mark.parametrize(
    ("side", "data", "kind"),
    [
        (Side.CLIENT, REQUEST, Kind.REQUEST),
        (Side.CLIENT, FULL, Kind.REQUEST),
        (Side.CLIENT, ONEWAY, Kind.ONEWAY),  # C28
        (Side.CLIENT, request(num(2, 2)), Kind.REQUEST),
        (Side.SERVER, ANSWER, Kind.RESPONSE),
        (Side.SERVER, NO_SERVICE, Kind.ERROR),
        (Side.SERVER, answer(num(4, 21)), Kind.ERROR),  # C30
        (Side.SERVER, answer(num(5, 4711)), Kind.ERROR),
        (Side.SERVER, answer(num(5, -1)), Kind.ERROR),
        (Side.SERVER, answer(num(4, 0) + num(5, 0)), Kind.RESPONSE),
    ],
)
def test_a_frame_is_what_its_header_says(side: Side, data: bytes, kind: Kind) -> None:
    message = read(data, side)
    assert (message.kind, message.id, message.frame) == (kind, 7, data)
    assert message.get("kind") == kind.name.lower()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (struct.pack(">HBBIHIH", 0x0930, 0, 0, 0, 0, 7, 0), "frame of 0 bytes whose head and header have 16"),
        (struct.pack(">HBBIHIH", 0x0930, 0, 0, 15, 0, 7, 0), "frame of 15 bytes"),
        (struct.pack(">HBBIHIH", 0x0930, 0, 0, 17, 2, 7, 0), "frame of 17 bytes whose head and header have 18"),
        (struct.pack(">HBBIHIH", 0x0930, 1, 2, 0, 0, 7, 0), "frame of 0 bytes"),
        (struct.pack(">HBBIHIH", 0x0930, 0, 0, 0xFFFFFFFF, 2, 7, 0), "frame of 4294967295 bytes; allowed are 16 to"),
        (b"\x09\x30\x01\x05", "stream frame type 5; known are 1 (INIT) to 4 (CLOSE)"),
        (b"\x09\x30\x01\x00", "stream frame type 0"),
        (b"\x09\x30\x00\x01", "stream frame type 1 of a unary frame"),
        (b"\x09\x30\x02", "data frame type 2"),
        (b"\x09\x31", "magic 0930 expected, 0931 read"),
        (b"G", "magic 0930 expected, 47 read"),
    ],
)
def test_c29_sizes_and_types_that_cannot_be_are_refused_at_the_first_byte_that_is_wrong(data: bytes, text: str) -> None:
    assert text in refusal(data)
    assert text in refusal(data + bytes(100))


@pytest.mark.parametrize("header", [b"\x2a\x7f", b"\x0b", b"\x18"], ids=["short", "group", "no value"])
def test_a_header_that_is_no_protobuf_closes_the_connection(header: bytes) -> None:
    assert "protobuf: " in refusal(frame(header))


def test_an_answer_over_the_bound_fails_alone() -> None:
    session = Trpc().session(Side.SERVER, 100)
    big = answer(id=3, body=bytes(5000))
    found = [message for i in range(0, len(big), 64) for message in session.receive(big[i : i + 64])]
    found += session.receive(answer(id=4))
    assert [(message.kind, message.id) for message in found] == [(Kind.SKIPPED, 3), (Kind.RESPONSE, 4)]
    assert found[0].frame == b"an answer of %d bytes; allowed are 100" % len(big)
    assert session.buffered == 0


# -- ids


def test_a_new_id_is_written_in_front_and_in_the_header() -> None:
    sent = Trpc().session(Side.SERVER, MAX).send(read(FULL), 300)
    assert read(sent).id == 300
    assert sent[10:14] == struct.pack(">I", 300)
    assert len(sent) == len(FULL) + 1
    assert sent.endswith(b"bodyatt")
    assert blob(100, "unknown") in sent


def test_c31_a_server_that_leaves_the_id_in_front_0_is_understood() -> None:
    sent = Trpc().session(Side.CLIENT, MAX).send(read(NO_SERVICE, Side.SERVER), 9)
    assert read(sent, Side.SERVER).id == 9
    assert sent[10:14] == bytes(4)


def test_an_id_that_protobuf_leaves_out_is_0() -> None:
    bare = frame(NAMES, front=0)
    assert read(bare).id == 0
    assert Trpc().session(Side.SERVER, MAX).send(read(bare), 5) == frame(NAMES + num(3, 5), front=5)


# -- metadata


def test_a_request_tells_what_its_header_has() -> None:
    assert dict(read(FULL).known()) == {
        "kind": "request",
        "service": "trpc.app.echo.Echo",
        "method": "Say",
        "operation": "trpc.app.echo.Echo/Say",
        "func": "/trpc.app.echo.Echo/Say",
        "caller": "trpc.app.client.Svc",
        "callee": "trpc.app.echo.Echo",
        "call_type": "unary",
        "timeout": "1500",
        "message_type": "3",
        "content_type": "json",
        "content_encoding": "gzip",
        "attachment_size": "3",
        "Tenant": "t1",
        "tenant": "t1",
    }


def test_a_oneway_call_says_so() -> None:
    assert read(ONEWAY).get("call_type") == "oneway"


def test_no_timeout_is_none() -> None:
    assert read(request(num(4, 0))).get("timeout") is None


@pytest.mark.parametrize("func", ["Say", "/Say", "//Say", "/trpc.app.Echo/", "trpc.app.Echo/Say"])
def test_a_function_without_service_and_method_is_the_operation(func: str) -> None:
    message = read(frame(num(3, 7) + blob(7, func)))
    assert (message.get("operation"), message.get("service"), message.get("method")) == (func, None, None)


def test_a_request_without_func_can_be_answered() -> None:
    message = read(frame(num(3, 7) + blob(6, "callee")))
    with pytest.raises(FrameError, match="without func"):
        message.get("func")
    assert Trpc().reply(message, ErrorKind.BAD_REQUEST, "no") == frame(num(3, 7) + num(4, 1) + blob(6, "no"))


def test_an_answer_tells_its_errors_and_trans_info() -> None:
    message = read(answer(num(5, 4711) + blob(6, "biz no") + pair(8, "back", "b")), Side.SERVER)
    found = {key: message.get(key) for key in ("ret", "func_ret", "error_msg", "back")}
    assert found == {"ret": "0", "func_ret": "4711", "error_msg": "biz no", "back": "b"}


@pytest.mark.parametrize("key", ["caller", "FUNC", "kind", "Callee"])
def test_no_trans_info_stands_for_what_the_header_says(key: str) -> None:
    message = read(request(pair(9, key, "other")))
    assert message.get(key.lower()) != "other"
    assert message.get(f"trans_info.{key}") == "other"


def test_a_trans_info_that_is_no_text_has_no_key_and_may_be_anything() -> None:
    message = read(request(pair(9, "blob", b"\xff\x00")))
    assert message.get("blob") is None
    assert message.values("blob") == ()


def test_a_function_that_is_there_twice_counts_once_and_may_be_read_as_either() -> None:
    message = read(request(blob(7, "/trpc.app.echo.Echo/Other")))
    assert message.get("method") == "Other"
    assert message.values("method") == ("Say", "Other")
    assert message.values("operation") == ("trpc.app.echo.Echo/Say", "trpc.app.echo.Echo/Other")


# -- errors


@pytest.mark.parametrize(
    ("kind", "ret"),
    [
        (ErrorKind.NOT_FOUND, 11), (ErrorKind.NO_CLUSTER, 31), (ErrorKind.NO_ENDPOINT, 131), (ErrorKind.CONNECT, 111),
        (ErrorKind.RESET, 141), (ErrorKind.TIMEOUT, 21), (ErrorKind.OVERLOAD, 22), (ErrorKind.LIMITED, 23),
        (ErrorKind.DENIED, 41), (ErrorKind.BAD_REQUEST, 1), (ErrorKind.BAD_RESPONSE, 122),
        (ErrorKind.UNSUPPORTED, 31), (ErrorKind.DRAINING, 31), (ErrorKind.INTERNAL, 31),
    ],
)  # fmt: skip
def test_c31_each_error_has_its_ret_and_no_func_ret(kind: ErrorKind, ret: int) -> None:
    data = Trpc().reply(read(request(id=300)), kind, "why")
    assert data == frame(num(3, 300) + num(4, ret) + blob(6, "why"), front=300)


def test_c28_a_oneway_call_gets_no_answer() -> None:
    assert Trpc().reply(read(ONEWAY), ErrorKind.NOT_FOUND, "no route") == b""


def test_a_reply_can_name_its_error() -> None:
    codec = Trpc()
    assert codec.knows("server_nofunc") and not codec.knows("nofunc")
    data = codec.reply(read(REQUEST), ErrorKind.NOT_FOUND, "", "server_nofunc")
    assert data == frame(num(3, 7) + num(4, 12))


# -- mutations


def test_a_mutation_sets_trans_info_and_leaves_the_rest() -> None:
    header = num(3, 7) + num(4, 1000) + NAMES.replace(b"/Say", b"/Echo").replace(b"\x3a\x17", b"\x3a\x18")
    assert frame(header + pair(9, "k", "v"), b"\x0a\x02hi") == REQUEST
    assert mutated(REQUEST, {"foo": "bar"}) == frame(header + pair(9, "k", "v") + pair(9, "foo", "bar"), b"\x0a\x02hi")
    assert mutated(REQUEST, {"k": "w"}) == frame(header + pair(9, "k", "w"), b"\x0a\x02hi")
    assert mutated(REQUEST, remove=("k",)) == frame(header, b"\x0a\x02hi")


def test_a_mutation_of_an_answer_sets_its_trans_info() -> None:
    message = read(answer(pair(8, "a", "1")), Side.SERVER)
    assert Trpc().mutate(message, Mutation({"b": "2"}, ("a",))) == answer(pair(8, "b", "2"))


def test_the_timeout_of_a_request_is_its_own_field() -> None:
    changed = read(mutated(FULL, {"timeout": "20"}))
    assert changed.get("timeout") == "20"
    assert changed.get("trans_info.timeout") is None
    assert read(mutated(FULL, remove=("timeout",))).get("timeout") is None


@pytest.mark.parametrize("value", ["soon", "", "-1", "1.5", str(1 << 32), "\uff11"])
def test_a_timeout_that_is_no_number_fails(value: str) -> None:
    with pytest.raises(FrameError, match="timeout: "):
        mutated(REQUEST, {"timeout": value})


def test_a_trans_info_with_the_name_of_another_key_is_set_and_removed_under_its_prefix() -> None:
    changed = mutated(REQUEST, {"trans_info.timeout": "9"})
    assert (read(changed).get("trans_info.timeout"), read(changed).get("timeout")) == ("9", "1000")
    assert mutated(changed, remove=("trans_info.timeout",)) == REQUEST
    assert read(mutated(REQUEST, {"caller": "x"})).get("trans_info.caller") == "x"


def test_c32_a_header_that_grows_beyond_its_size_fails() -> None:
    most = 65535 - len(REQUEST[16:-4])
    key, overhead = "k" * 10, len(pair(9, "k" * 10, "v" * 60000)) - 60000
    fits = mutated(REQUEST, {key: "v" * (most - overhead)})
    assert read(fits).get("k" * 10) == "v" * (most - overhead)
    with pytest.raises(FrameError, match="header would have 65536 bytes; its size has room for 65535"):
        mutated(REQUEST, {key: "v" * (most - overhead + 1)})
    with pytest.raises(FrameError, match="header would have 65536"):
        Trpc().session(Side.SERVER, MAX).send(read(fits), 300)
