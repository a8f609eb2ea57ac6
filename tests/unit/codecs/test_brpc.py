"""The bRPC codec, unary calls: frames, metadata, ids, errors, mutations, each of the original's faults C23 to C26."""

import struct
from typing import Literal

import pytest
from protobuf_writing import blob, num, pair
from whole_reads import WholeReads

from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.framing import Session
from metaproxy.message import ErrorKind, FrameError, Kind, Mutation, Side
from metaproxy.testing import check_codec

MAX = 1 << 20

# The golden frames of the protocol's description, fields apart.
REQUEST = bytes.fromhex(
    "50525043 00000028 00000021 0a1b0a136578616d706c652e4563686f5365727669636512044563686f20072803 0a026869 617474"
)
ANSWER = bytes.fromhex("50525043 00000008 00000004 12002007 0a026869")
NO_SERVICE = bytes.fromhex("50525043 00000011 00000011 120d08e90712086e6f20726f7574652007")

NAMES = blob(1, "example.EchoService") + blob(2, "Echo")


def frame(meta: bytes, rest: bytes = b"") -> bytes:
    return b"PRPC" + struct.pack(">II", len(meta) + len(rest), len(meta)) + meta + rest


def request(more: bytes = b"", inner: bytes = b"", id: int = 7, rest: bytes = b"") -> bytes:
    """more: fields of the meta besides; inner: fields of its request besides."""
    return frame(blob(1, NAMES + inner) + num(4, id) + more, rest)


def answer(more: bytes = b"", response: bytes = b"", id: int = 7, rest: bytes = b"\x0a\x02hi") -> bytes:
    return frame(blob(2, response) + (num(4, id) if id else b"") + more, rest)


def logoff(id: int) -> bytes:
    return answer(id=id, response=num(1, 2003) + blob(2, "stopping"), rest=b"")


FULL = request(
    num(3, 2) + num(10, 1) + pair(9, "Tenant", "t1") + blob(1000, "unknown"),
    num(3, -5) + num(4, 99) + blob(7, "r-1") + num(8, 1500),
)


READS = WholeReads(Brpc, MAX)
messages, read, refusal = READS.messages, READS.read, READS.refusal


def mutated(data: bytes, set: dict[str, str] | None = None, remove: tuple[str, ...] = ()) -> bytes:
    return Brpc().mutate(read(data), Mutation(set, remove))


def test_it_keeps_the_contract() -> None:
    check_codec(Brpc(), client=[REQUEST, FULL, JAVA], server=[ANSWER, NO_SERVICE, REQUEST, answer(pair(9, "a", "1"))])


def test_it_keeps_the_contract_with_credentials_in_the_first_request() -> None:
    check_codec(
        Brpc(write_compress_type=True),
        client=[request(num(3, 0) + blob(7, "secret"))],
        server=[answer(num(3, 0))],
        credentials={"authentication_data": "secret"},
    )


# -- frames


@pytest.mark.parametrize(
    ("side", "data", "kind"),
    [
        (Side.CLIENT, REQUEST, Kind.REQUEST),
        (Side.SERVER, ANSWER, Kind.RESPONSE),
        (Side.SERVER, NO_SERVICE, Kind.ERROR),
        (Side.SERVER, frame(num(4, 7)), Kind.RESPONSE),  # its response meta was empty and left out
        (Side.SERVER, answer(response=num(1, 0)), Kind.RESPONSE),
        (Side.SERVER, answer(response=num(1, -1)), Kind.ERROR),
        (Side.SERVER, REQUEST, Kind.EVENT),  # a server that calls its client
    ],
)
def test_a_frame_is_what_its_meta_says(side: Side, data: bytes, kind: Kind) -> None:
    message = read(data, side)
    assert (message.kind, message.id, message.frame) == (kind, 7, data)


@pytest.mark.parametrize(
    "id", [0, 1, 127, 128, (1 << 63) - 1, 1 << 63, (1 << 64) - 1], ids=lambda id: f"{id.bit_length()}-bits"
)
def test_an_id_has_64_bits(id: int) -> None:
    assert read(request(id=id)).id == id


def test_of_two_ids_the_last_counts_and_is_the_one_that_changes() -> None:
    message = read(request(more=num(4, 9)))
    assert message.id == 9
    assert Brpc().session(Side.SERVER, MAX).send(message, 5) == request(more=num(4, 5))


def test_c23_a_frame_may_come_in_any_pieces() -> None:
    session = Brpc().session(Side.CLIENT, MAX)
    found = [message for byte in REQUEST + FULL for message in session.receive(bytes([byte]))]
    assert [message.frame for message in found] == [REQUEST, FULL]


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"PRPC" + struct.pack(">II", 4, 5), "meta of 5 bytes in a body of 4"),
        (b"PRPC" + struct.pack(">II", 0xFFFFFFFF, 4), "frame of 4294967307 bytes; allowed are 12 to 1048576"),
        (b"PRPC" + struct.pack(">II", MAX, 4), "frame of 1048588 bytes"),
        (b"PRPX", "magic PRPC or STRM expected, b'PRPX' read"),
        (b"G", "magic PRPC or STRM expected, b'G' read"),
    ],
)
def test_c24_sizes_that_cannot_be_and_other_protocols_are_refused_on_the_head(head: bytes, text: str) -> None:
    assert text in refusal(head)


@pytest.mark.parametrize("meta", [b"\x0a\x7f", b"\x0b", b"\x20"], ids=["short", "group", "no value"])
def test_a_meta_that_is_no_protobuf_closes_the_connection(meta: bytes) -> None:
    assert "protobuf: " in refusal(frame(meta))


def test_a_client_sends_requests_only() -> None:
    assert "without `request`" in refusal(ANSWER)


def test_an_answer_over_the_bound_fails_alone() -> None:
    session = Brpc().session(Side.SERVER, 100)
    big = answer(id=3, rest=bytes(5000))
    found = [message for i in range(0, len(big), 64) for message in session.receive(big[i : i + 64])]
    found += session.receive(answer(id=4))
    assert [(message.kind, message.id) for message in found] == [(Kind.SKIPPED, 3), (Kind.RESPONSE, 4)]
    assert found[0].frame == b"an answer of %d bytes; allowed are 100" % len(big)
    assert session.buffered == 0


def test_an_answer_of_logoff_says_that_its_server_takes_no_more() -> None:
    assert [(message.kind, message.id) for message in messages(logoff(7), Side.SERVER)] == [
        (Kind.ERROR, 7),
        (Kind.DRAIN, 0),
    ]
    assert messages(logoff(7), Side.SERVER)[1].logoff


# -- metadata


def test_a_request_tells_what_its_meta_has() -> None:
    assert dict(read(FULL).known()) == {
        "kind": "request",
        "service": "example.EchoService",
        "method": "Echo",
        "interface": "example.EchoService",
        "operation": "example.EchoService/Echo",
        "log_id": "-5",
        "trace_id": "99",
        "request_id": "r-1",
        "x-request-id": "r-1",
        "timeout_ms": "1500",
        "compress_type": "gzip",
        "content_type": "json",
        "Tenant": "t1",
        "tenant": "t1",
    }


def test_the_golden_request_has_an_attachment_and_no_compression() -> None:
    message = read(REQUEST)
    assert (message.get("attachment_size"), message.get("compress_type")) == ("3", "none")


def test_a_compression_without_a_name_is_its_number() -> None:
    assert read(request(num(3, 77))).get("compress_type") == "77"


def test_c25_an_answer_tells_its_error() -> None:
    failed = read(NO_SERVICE, Side.SERVER)
    assert (failed.get("error_code"), failed.get("error_text")) == ("1001", "no route")
    fine = read(ANSWER, Side.SERVER)
    assert (fine.get("error_code"), fine.get("error_text")) == ("0", None)


@pytest.mark.parametrize("key", ["service", "METHOD", "kind", "request_id"])
def test_no_user_field_stands_for_what_the_meta_says(key: str) -> None:
    message = read(request(pair(9, key, "other")))
    assert message.get(key.lower()) in ("example.EchoService", "Echo", "request", None)
    assert message.get(f"user_fields.{key}") == "other"


def test_user_fields_are_as_sent_and_in_lower_case_and_no_text_has_no_key() -> None:
    message = read(request(pair(9, "Zone", "z") + pair(9, "blob", b"\xff")))
    assert (message.get("Zone"), message.get("zone"), message.get("blob")) == ("z", "z", None)
    assert message.values("blob") == ()


def test_names_that_are_there_twice_count_once_and_may_be_read_as_either() -> None:
    twice = frame(blob(1, NAMES) + blob(1, blob(2, "Other")) + num(4, 7))
    message = read(twice)
    assert message.get("method") == "Other"
    assert message.values("method") == ("Echo", "Other")
    assert message.values("operation") == ("example.EchoService/Echo", "example.EchoService/Other")
    assert message.values("service") == ("example.EchoService",)


@pytest.mark.parametrize("inner", [blob(1, "s"), blob(2, "m"), blob(1, b"\xff") + blob(2, "m"), b"\x0a\x05s"], ids=str)
def test_a_request_that_does_not_say_what_it_calls_can_be_answered(inner: bytes) -> None:
    message = read(frame(blob(1, inner) + num(4, 7)))
    with pytest.raises(FrameError):
        message.get("method")
    assert Brpc().reply(message, ErrorKind.BAD_REQUEST, "no") == frame(
        blob(2, num(1, 1003) + blob(2, "no")) + num(3, 0) + num(4, 7)
    )


def test_a_request_with_authentication_data_is_confidential() -> None:
    assert Brpc().confidential(read(request(blob(7, "secret"))))
    assert not Brpc().confidential(read(FULL))


# -- errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.NOT_FOUND, 1001), (ErrorKind.NO_CLUSTER, 1001), (ErrorKind.NO_ENDPOINT, 112),
        (ErrorKind.CONNECT, 1009), (ErrorKind.RESET, 1009), (ErrorKind.TIMEOUT, 1008), (ErrorKind.OVERLOAD, 1011),
        (ErrorKind.LIMITED, 2004), (ErrorKind.DENIED, 1004), (ErrorKind.BAD_REQUEST, 1003),
        (ErrorKind.BAD_RESPONSE, 2002), (ErrorKind.UNSUPPORTED, 2001), (ErrorKind.DRAINING, 2003),
        (ErrorKind.INTERNAL, 2001),
    ],
)  # fmt: skip
def test_c26_each_error_has_its_code(kind: ErrorKind, code: int) -> None:
    assert Brpc().reply(read(request(id=300)), kind, "why") == frame(
        blob(2, num(1, code) + blob(2, "why")) + num(3, 0) + num(4, 300)
    )


def test_an_error_is_the_golden_one_with_its_compress_type_written_for_starlight() -> None:
    data = Brpc().reply(read(REQUEST), ErrorKind.NOT_FOUND, "no route")
    assert isinstance(data, bytes)
    assert data == frame(NO_SERVICE[12:-2] + num(3, 0) + num(4, 7))
    answer = read(data, Side.SERVER)
    assert dict(answer.known()) == dict(read(NO_SERVICE, Side.SERVER).known())


def test_a_reply_can_name_its_error() -> None:
    codec = Brpc()
    assert codec.knows("ENOMETHOD") and not codec.knows("enomethod")
    assert codec.reply(read(REQUEST), ErrorKind.NOT_FOUND, "", "ENOMETHOD") == frame(
        blob(2, num(1, 1002)) + num(3, 0) + num(4, 7)
    )


# -- mutations


def test_a_mutation_sets_user_fields_and_leaves_the_rest() -> None:
    assert mutated(REQUEST, {"foo": "bar"}) == frame(
        blob(1, NAMES) + num(4, 7) + num(5, 3) + pair(9, "foo", "bar"), b"\x0a\x02hiatt"
    )


def test_a_mutation_of_an_answer_sets_user_fields() -> None:
    message = read(ANSWER, Side.SERVER)
    assert Brpc().mutate(message, Mutation({"x-request-id": "1"})) == answer(pair(9, "x-request-id", "1"))


def test_the_request_id_and_the_timeout_are_fields_of_their_own() -> None:
    changed = read(mutated(FULL, {"x-request-id": "new", "timeout_ms": "20"}))
    assert (changed.get("request_id"), changed.get("timeout_ms")) == ("new", "20")
    assert changed.get("user_fields.x-request-id") is None
    assert changed.get("log_id") == "-5"
    bare = read(mutated(FULL, remove=("x-request-id", "timeout_ms", "log_id")))
    assert (bare.get("request_id"), bare.get("timeout_ms"), bare.get("log_id")) == (None, None, None)
    assert bare.get("trace_id") == "99"


def test_they_change_also_where_the_request_is_said_in_two_pieces() -> None:
    twice = frame(blob(1, NAMES + num(8, 100)) + num(4, 7) + blob(1, num(8, 200)))
    assert read(mutated(twice, {"timeout_ms": "50"})).values("timeout_ms") == ("50",)


@pytest.mark.parametrize("value", ["soon", "", "1.5", "9" * 19, "\uff11"])
def test_a_timeout_that_is_no_number_fails(value: str) -> None:
    with pytest.raises(FrameError, match="timeout_ms: "):
        mutated(REQUEST, {"timeout_ms": value})


def test_a_user_field_with_the_name_of_another_key_is_set_and_removed_under_its_prefix() -> None:
    changed = mutated(REQUEST, {"user_fields.timeout_ms": "9"})
    assert read(changed).get("user_fields.timeout_ms") == "9"
    assert read(changed).get("timeout_ms") is None
    assert mutated(changed, remove=("user_fields.timeout_ms",)) == REQUEST
    assert read(mutated(REQUEST, {"service": "x"})).get("user_fields.service") == "x"


def test_what_is_unknown_stays_through_mutation_and_new_ids() -> None:
    data = mutated(FULL, {"a": "b"})
    assert blob(1000, "unknown") in Brpc().session(Side.SERVER, MAX).send(read(data), 1 << 40)


# -- brpc-java and Starlight have pairs where bRPC has its request_id


JAVA = request(inner=num(3, 0) + pair(7, "Tenant", "t1") + pair(7, "debug", "1"))


def changed(data: bytes, dialect: Literal["auto", "cpp", "java"], set: dict[str, str], *remove: str) -> bytes:
    return Brpc(dialect=dialect).mutate(read(data), Mutation(set, remove))


def test_pairs_of_java_are_metadata_as_user_fields_are() -> None:
    message = read(JAVA)
    assert (message.get("Tenant"), message.get("tenant"), message.get("debug")) == ("t1", "t1", "1")
    assert (message.get("request_id"), message.get("x-request-id")) == (None, None)
    assert read(request(inner=pair(7, "service", "x"))).get("user_fields.service") == "x"


@pytest.mark.parametrize(
    "id",
    ["r-1", "", "\n", "\n\x03ab", "\nab", "\x12\x01a", "\n\x01a\x12\x01b\x12\x01c", "\n\x01a\x1a\x01b"],
)
def test_a_request_id_is_none_of_them(id: str) -> None:
    assert read(request(inner=blob(7, id))).get("request_id") == id


def test_pairs_are_put_where_the_request_has_some() -> None:
    java = changed(JAVA, "auto", {"tenant": "t2", "x-request-id": "id"}, "debug")
    assert java == request(
        inner=num(3, 0) + pair(7, "Tenant", "t1") + pair(7, "tenant", "t2") + pair(7, "x-request-id", "id")
    )
    assert (read(java).get("x-request-id"), read(java).get("request_id")) == ("id", None)


def test_the_dialect_says_where_a_request_without_pairs_gets_them() -> None:
    assert changed(request(), "auto", {"a": "b"}) == request(pair(9, "a", "b"))
    assert changed(request(), "cpp", {"a": "b"}) == request(pair(9, "a", "b"))
    assert changed(request(), "java", {"a": "b"}) == request(inner=pair(7, "a", "b"))
    assert changed(request(), "java", {"x-request-id": "1"}) == request(inner=pair(7, "x-request-id", "1"))
    assert changed(JAVA, "cpp", {"Tenant": "t2"}, "debug") == request(pair(9, "Tenant", "t2"), num(3, 0))


def test_a_pair_is_taken_out_of_wherever_it_is() -> None:
    both = request(pair(9, "a", "1"), pair(7, "a", "2") + pair(7, "b", "3"))
    assert changed(both, "auto", {}, "a") == request(inner=pair(7, "b", "3"))
    assert changed(both, "cpp", {}, "a") == request(inner=pair(7, "b", "3"))
    assert changed(both, "java", {}, "a") == request(inner=pair(7, "b", "3"))


def test_a_pair_with_two_values_may_be_read_as_either() -> None:
    message = read(request(pair(9, "a", "1"), pair(7, "a", "2")))
    assert message.values("a") == ("2", "1")
    message = read(request(pair(9, "X-Request-ID", "2"), blob(7, "1")))
    assert message.values("x-request-id") == ("1", "2")


def test_an_answer_has_user_fields_in_every_dialect() -> None:
    message = read(ANSWER, Side.SERVER)
    assert Brpc(dialect="java").mutate(message, Mutation({"a": "1"})) == answer(pair(9, "a", "1"))


# -- what servers need and give besides


def test_the_first_request_of_a_connection_brings_its_clients_credentials() -> None:
    codec = Brpc()
    client = codec.session(Side.CLIENT, MAX)
    first, second = client.receive(request(blob(7, "secret")) + request(id=8))
    assert first.profile == second.profile == b"secret"
    server = codec.session(Side.SERVER, MAX)
    assert server.open(second.profile, {}) == b""
    assert server.send(second, 1) == request(blob(7, "secret"), id=1)
    assert server.send(second, 2) == request(id=2)


def test_the_clusters_credentials_go_before_the_clients() -> None:
    server = Brpc().session(Side.SERVER, MAX)
    server.open(b"client", {"authentication_data": "proxy"})
    assert server.send(read(request()), 1) == request(blob(7, "proxy"), id=1)


def test_a_compress_type_that_is_missing_is_written_if_asked_for() -> None:
    for codec, data in ((Brpc(), request(id=3)), (Brpc(write_compress_type=True), request(num(3, 0), id=3))):
        assert codec.session(Side.SERVER, MAX).send(read(request()), 3) == data
    given = request(num(3, 2))
    assert Brpc(write_compress_type=True).session(Side.SERVER, MAX).send(read(given), 7) == given
    client = Brpc(write_compress_type=True).session(Side.CLIENT, MAX)
    assert client.send(read(answer(), Side.SERVER), 3) == answer(num(3, 0), id=3)


def ask(*ids: int) -> tuple[Brpc, Session]:
    codec = Brpc()
    session = codec.session(Side.SERVER, MAX)
    for id in ids:
        session.send(read(request()), id)
    return codec, session


NO_ID = answer(id=0, response=num(1, 2001) + blob(2, "no such service"), rest=b"")


def said(session: Session, data: bytes) -> list[tuple[str, int]]:
    return [(message.kind.name, message.id) for message in session.receive(data)]


def test_an_answer_without_id_is_that_of_the_only_request_under_way() -> None:
    codec, session = ask(5)
    (message,) = session.receive(NO_ID)
    assert (message.kind, message.id, message.get("error_text")) == (Kind.ERROR, 5, "no such service")
    assert codec.session(Side.CLIENT, MAX).send(message, 5) == message.frame
    assert read(message.frame, Side.SERVER).id == 5


def test_with_others_under_way_it_waits_until_it_can_only_be_one() -> None:
    _, session = ask(5, 6)
    assert said(session, NO_ID) == [("DRAIN", 0)]
    assert said(session, answer(id=6)) == [("RESPONSE", 6), ("ERROR", 5)]


def test_several_without_id_fail_once_nothing_else_can_come() -> None:
    _, session = ask(1, 2, 3)
    assert said(session, NO_ID) == [("DRAIN", 0)]
    assert said(session, NO_ID) == [("DRAIN", 0)]
    assert said(session, answer(id=2)) == [("RESPONSE", 2), ("SKIPPED", 1), ("SKIPPED", 3)]
    assert said(session, answer(id=2)) == [("RESPONSE", 2)]


def test_an_answer_without_id_that_was_not_asked_for_answers_no_call() -> None:
    _, session = ask()
    assert said(session, NO_ID) == [("ERROR", 0)]
