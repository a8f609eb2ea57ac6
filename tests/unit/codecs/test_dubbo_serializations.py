"""
Bodies in fastjson2, fastjson, gson and protobuf.

The bytes were written by Java: fastjson2 2.0.56's JSONB, and the serializations of Apache Dubbo 3.3.6 (fastjson2) and
2.7.23 (fastjson, gson, protobuf).
"""

import struct

import pytest

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.message import FrameError, Kind, Message, Mutation, Side

FASTJSON2, FASTJSON, GSON, PROTOBUF = 23, 6, 16, 22
NOTE = 'a"b\n\u00e9\u4e2d\U0001f600'


def frame(head: str, body: bytes) -> bytes:
    return bytes.fromhex(f"dabb{head}") + struct.pack(">QI", 7, len(body)) + body


def request(number: int, body: bytes) -> bytes:
    return frame(f"{0xC0 | number:02x}00", body)


def answer(number: int, body: bytes) -> bytes:
    return frame(f"{number:02x}14", body)


def read(data: bytes) -> Message:
    side = Side.CLIENT if data[2] & 0x80 else Side.SERVER
    (message,) = Dubbo().session(side, 1 << 20).receive(data)
    return message


def mutated(data: bytes, set: dict[str, str] | None = None, remove: tuple[str, ...] = ()) -> bytes:
    return Dubbo().mutate(read(data), Mutation(set, remove))


JSON_HEAD = b'"2.0.2"\n"demo.Echo"\n"0.0.0"\n"echo"\n'
JSON_NOTE = '{"group":"g1","note":"a\\"b\\n\u00e9\u4e2d\U0001f600"}\n'.encode()
PROTOBUF_HEAD = bytes.fromhex("07 0a05322e302e32 0b 0a0964656d6f2e4563686f 07 0a05302e302e30 06 0a046563686f")
PROTOBUF_NOTE = bytes.fromhex("24 0a15 0a046e6f7465 120d6122620ac3a9e4b8adf09f9880 0a0b 0a0567726f7570 12026731")
JSONB_HEAD = bytes.fromhex(
    "00000006 4e322e302e32 0000000a 5264656d6f2e4563686f 00000006 4e302e302e30 00000005 4d6563686f"
)
STRING = "Ljava/lang/String;"

REQUESTS = [
    (FASTJSON, JSON_HEAD + f'"{STRING}"\n"hi"\n'.encode() + JSON_NOTE),
    (GSON, JSON_HEAD + f'"{STRING}"\n"hi"\n'.encode() + JSON_NOTE),
    (PROTOBUF, PROTOBUF_HEAD + b"\x14\x0a\x12" + STRING.encode() + bytes.fromhex("04 0a026869") + PROTOBUF_NOTE),
]


@pytest.mark.parametrize(("number", "body"), REQUESTS)
def test_a_request_that_java_wrote_is_read(number: int, body: bytes) -> None:
    message = read(request(number, body))
    known = message.known()
    assert known["operation"] == "demo.Echo/echo"
    assert (known["dubbo"], known["service.version"], known["types"]) == ("2.0.2", "0.0.0", STRING)
    assert (known["group"], known["note"]) == ("g1", NOTE)
    assert mutated(request(number, body)) == request(number, body)


@pytest.mark.parametrize(("number", "body"), REQUESTS)
def test_its_attachments_are_set_and_removed(number: int, body: bytes) -> None:
    data = mutated(request(number, body), {"x": "\u4e2d", "group": "g2"}, ("note",))
    known = read(data).known()
    assert (known["group"], known["x"], known.get("note")) == ("g2", "\u4e2d", None)
    assert mutated(mutated(request(number, body), {"x": "1"}), {}, ("x",)) == request(number, body)


@pytest.mark.parametrize(
    ("number", "body", "kind", "result", "group"),
    [
        (FASTJSON, b'4\n"hi"\n' + JSON_NOTE, Kind.RESPONSE, "4", "g1"),
        (FASTJSON, b"5\n" + JSON_NOTE, Kind.RESPONSE, "5", "g1"),
        (FASTJSON, b'0\n{"@type":"java.lang.IllegalStateException","message":"x"}\n', Kind.ERROR, "0", None),
        (FASTJSON, b'3\n{"message":"x"}\n' + JSON_NOTE, Kind.ERROR, "3", "g1"),
        (GSON, b'1\n"hi"\n', Kind.RESPONSE, "1", None),
        (PROTOBUF, bytes.fromhex("020804 040a026869") + PROTOBUF_NOTE, Kind.RESPONSE, "4", "g1"),
        (PROTOBUF, bytes.fromhex("020805") + PROTOBUF_NOTE, Kind.RESPONSE, "5", "g1"),
        (PROTOBUF, bytes.fromhex("00 03120178"), Kind.ERROR, "0", None),
        (PROTOBUF, bytes.fromhex("020803 03120178") + PROTOBUF_NOTE, Kind.ERROR, "3", "g1"),
        (
            FASTJSON2,
            bytes.fromhex("00000002bd04 000000034a6869 0000000ba64e67726f75704b6731a5"),
            Kind.RESPONSE,
            "4",
            "g1",
        ),
        (FASTJSON2, bytes.fromhex("0000000103 00000001af 0000000ba64e67726f75704b6731a5"), Kind.ERROR, "3", "g1"),
        (FASTJSON2, bytes.fromhex("00000002bd02"), Kind.RESPONSE, "2", None),
    ],
)
def test_an_answer_that_java_wrote_is_read(
    number: int, body: bytes, kind: Kind, result: str, group: str | None
) -> None:
    message = read(answer(number, body))
    assert (message.kind, message.get("result"), message.get("group")) == (kind, result, group)
    data = mutated(answer(number, body), {"via": "proxy"})
    assert read(data).get("via") == ("proxy" if group else None)
    assert read(data).kind is kind


@pytest.mark.parametrize(
    ("number", "head", "nothing", "one"),
    [
        (FASTJSON, JSON_HEAD + b'""\n', [b"null\n", b"{}\n", b" { } \n", b"{}", b""], b'{"a":"b"}\n'),
        (PROTOBUF, PROTOBUF_HEAD + b"\x00", [b"", b"\x00"], bytes.fromhex("08 0a06 0a0161 120162")),
        (
            FASTJSON2,
            JSONB_HEAD + bytes.fromhex("0000000149"),
            [b"", bytes.fromhex("00000001af"), bytes.fromhex("00000002a6a5")],
            bytes.fromhex("00000006 a6 4a61 4a62 a5"),
        ),
    ],
)
def test_where_there_are_no_attachments_a_mutation_makes_a_map(
    number: int, head: bytes, nothing: list[bytes], one: bytes
) -> None:
    for rest in nothing:
        assert read(request(number, head + rest)).get("a") is None
        assert mutated(request(number, head + rest), {"a": "b"}) == request(number, head + one)


# -- JSONB

MAP = "a64a6b {} 4a7a4c656e64a5"
"""A map of the key k, and of z with the value end."""


def jsonb(document: str) -> bytes:
    """A request whose attachments are the document."""
    data = bytes.fromhex(document)
    return request(FASTJSON2, JSONB_HEAD + bytes.fromhex("0000000149") + struct.pack(">I", len(data)) + data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("49", ""),
        ("4a e9", "\u00e9"),  # Java writes Latin-1 where it says ASCII
        ("78" + "78" * 47, "x" * 47),
        ("79 383c" + "78" * 60, "x" * 60),
        ("79 440bb8" + "78" * 3000, "x" * 3000),
        ("7c 04 e900ac20", "\u00e9\u20ac"),
        ("7c 08 2d4e8765575b267b", "\u4e2d\u6587\u5b57\u7b26"),
        ("7a 04 f09f9880", "\U0001f600"),
        ("7d 02 4e2d", "\u4e2d"),
        ("7e 02 d6d0", "\u4e2d"),
        ("00", "0"),
        ("2f", "47"),
        ("38 30", "48"),
        ("f0", "-16"),
        ("37 ef", "-17"),
        ("30 00", "-2048"),
        ("44 0800", "2048"),
        ("47 ffff", "262143"),
        ("40 0000", "-262144"),
        ("48 80000000", "-2147483648"),
        ("e0", "0"),
        ("d8", "-8"),
        ("d0 10", "16"),
        ("c8 00", "-2048"),
        ("c4 0800", "2048"),
        ("c0 0000", "-262144"),
        ("bf 7fffffff", "2147483647"),
        ("be 8000000000000000", "-9223372036854775808"),
        ("bc 012c", "300"),
        ("bd 07", "7"),
        ("b2", "0.0"),
        ("b3", "1.0"),
        ("b4 d014", "20.0"),
        ("b5 3ff8000000000000", "1.5"),
        ("b6 02", "2.0"),
        ("b7 3fc00000", "1.5"),
        ("b1", "true"),
        ("b0", "false"),
        ("af", None),
        ("90 3863", None),  # a char
        ("b9 02 3cd2", None),  # 12.34
        ("b9 01 bb0a029d42b64e76714244cd", None),
        ("b8 e7", None),
        ("bb 0d018ee90ff6c373e0ee4e3f0ad2", None),
        ("ba ea", None),
        ("92 4b5b4201 9103010203", None),
        ("92 4b5b4901 97010248000493e0", None),
        ("92 505b537472696e6701 964a614a62", None),
        ("97 01 4a78 af", None),
        ("92 534c696e6b65644c69737401 9501", None),
        ("a4 14" + "4a79" * 20, None),
        ("ab 0000011f71fb04cb", None),
        ("ac 4995ff58", None),
        ("ad 00000064", None),
        ("a8 07e40102030405 441770", None),
        ("a9 07e40102", None),
        ("a7 030405 07", None),
        ("ae e5 09", None),
        ("aa 07e40102030405 06 56417369612f5368616e67686169", None),
        ("91 10 00000000000000010000000000000002", None),
        ("92 5154696d65556e697401 505345434f4e4453", None),
        ("a6 4a70 4a71 a5", None),
        ("a6 05 4a71 a5", None),
        ("92 00 a6 4b6c31 954a73 4b6c32 934f242e6b2e6c31 a5", None),
        (
            "92 4c4a243101 a6 7f5664657461696c4d65737361676502 4a78 7f53737461636b547261636503 94"
            "7f5d73757070726573736564457863657074696f6e7304"
            "92686a6176612e7574696c2e436f6c6c656374696f6e7324456d7074794c69737405 94 7f03 ff a5",
            None,
        ),
    ],
)
def test_an_attachment_in_jsonb_is_read_where_it_is_plain_and_stepped_over_where_not(
    value: str, text: str | None
) -> None:
    message = read(jsonb(MAP.format(value)))
    assert message.get("z") == "end"
    assert message.get("k") == text
    assert mutated(jsonb(MAP.format(value)), {"n": "1"}) == jsonb(MAP.format(value)[:-2] + "4a6e4a31a5")


def test_a_map_in_jsonb_keeps_its_type() -> None:
    linked = "924b4c4d00 a6 4a614a31 a5"
    assert read(jsonb(linked)).get("a") == "1"
    assert mutated(jsonb(linked), {"b": "2"}) == jsonb("924b4c4d00 a6 4a614a31 4a624a32 a5")


def test_an_object_in_jsonb_is_removed_only_when_nothing_can_refer_to_it() -> None:
    assert mutated(jsonb("a6 4a61a6a5 4a624a31 a5"), {}, ("a",)) == jsonb("a6 4a624a31 a5")
    with pytest.raises(FrameError, match="attachment 'a' holds an object"):
        mutated(jsonb("a6 4a61a6a5 4a62934c242e61 a5"), {}, ("a",))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x" * 47, "78" + "78" * 47),
        ("x" * 48, "7a 48 00000030" + "78" * 48),
        ("\u00e9", "7a 02 c3a9"),
        ("\U0001f600", "7a 04 f09f9880"),
    ],
)
def test_strings_in_jsonb_are_written_as_java_reads_them(text: str, written: str) -> None:
    data = mutated(jsonb("a6a5"), {"a": text})
    assert data == jsonb(f"a6 4a61 {written} a5")
    assert read(data).get("a") == text


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("a6", "where a value is missing"),
        ("a6 4a61 a5", "begins no value"),
        ("a6 4a61 4a62", "where a value is missing"),
        ("a6 4a61 78 a5", "beyond its document"),
        ("a6a5 00", "1 bytes left"),
        ("4a61", "a map expected"),
        ("a6 4a61 7a 48 7fffffff a5", "a length of 2147483647"),
        ("a6 4a61 a4 f0 a5", "a length of -16"),
        ("a6 4a61 9f a5", "begins no value"),
        ("a6 4a61 7a af a5", "an int expected"),
        ("a6 4a61 92 af a5", "a name's number expected"),
        ("a6 4a61" + "95" * 70 + "00 a5", "nested deeper than 64"),
        ("a6" + "4a61 00" * 4097 + "a5", "more than 4096 attachments"),
    ],
)
def test_attachments_that_are_no_jsonb_are_an_error(document: str, error: str) -> None:
    message = read(jsonb(document))
    assert message.get("method") == "echo"
    with pytest.raises(FrameError, match=error):
        message.get("k")


# -- what is wrong in the others


@pytest.mark.parametrize(
    ("number", "body", "error"),
    [
        (FASTJSON2, bytes.fromhex("00000006 4e322e"), "reaches 3 bytes beyond the body"),
        (FASTJSON2, bytes.fromhex("000000"), "an item expected at 16"),
        (FASTJSON2, bytes.fromhex("00000001 91") * 5, "a string expected"),
        (FASTJSON2, bytes.fromhex("00000002 4949") * 5, "1 bytes left"),
        (FASTJSON, b'"2.0.2"\n', "a line expected"),
        (FASTJSON, b'"2.0.2"\n"demo.Echo"\n"0.0.0"\n"echo"\n""', "a line expected"),
        (FASTJSON, b"{}\n" * 5, "a string expected"),
        (FASTJSON, b"nonsense\n" * 5, "cannot be read"),
        (FASTJSON, b'"\xff"\n' * 5, "cannot be read"),
        (FASTJSON, b"[" * 100000 + b"\n" * 5, "a string expected"),
        (PROTOBUF, b"\xff" * 11, "a number of more than ten bytes"),
        (PROTOBUF, b"\x07\x0a", "reaches 6 bytes beyond the body"),
        (PROTOBUF, b"\x02\x0a\x05", "reaches 5 bytes beyond"),
        (PROTOBUF, b"\x03\x0a\x01\xff", "no UTF-8"),
        (PROTOBUF, b"\x01\x0b", "wire type 3"),
        (PROTOBUF, b"\x80", "in the middle of a number"),
    ],
)
def test_a_head_that_cannot_be_read_is_an_error(number: int, body: bytes, error: str) -> None:
    with pytest.raises(FrameError, match=error):
        read(request(number, body)).get("method")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"[]\n", "the end expected"),
        (b'{"a":"b"\n', "index out of range"),
        (b'{"a" "b"}\n', "a colon expected"),
        (b'{a:"b"}\n', "a key expected"),
        (b'{"a":"b",}\n', "a key expected"),
        (b'{"a":"b"} x\n', "the end expected"),
        (b'{"a":' + b"[" * 30000 + b"\n", "recursion"),
        (b'{"a":' + b"[{" * 16385 + b"\n", "32771 lists and objects"),
        (b"{" + b",".join(b'"a":1' for _ in range(4097)) + b"}\n", "more than 4096"),
        (b'{"a":"\xff"}\n', "utf-8"),
    ],
)
def test_attachments_that_are_no_json_object_are_an_error(line: bytes, error: str) -> None:
    message = read(request(FASTJSON, JSON_HEAD + b'""\n' + line))
    assert message.get("method") == "echo"
    with pytest.raises(FrameError, match=error):
        message.get("k")


def test_json_values_keep_their_spelling() -> None:
    line = b'{"f":1.50,"l":[1,"x"],"n":7,"o":null,"t":true,"b":12345678901234567890}\n'
    known = read(request(FASTJSON, JSON_HEAD + b'""\n' + line)).known()
    assert [known.get(key) for key in "flnotb"] == ["1.50", None, "7", None, "true", "12345678901234567890"]
    assert mutated(request(FASTJSON, JSON_HEAD + b'""\n' + line), {"n": "8"}) == request(
        FASTJSON, JSON_HEAD + b'""\n' + line.replace(b'"n":7,', b"")[:-2] + b',"n":"8"}\n'
    )


def test_half_a_surrogate_pair_in_json_does_not_reach_the_metadata() -> None:
    known = read(request(FASTJSON, JSON_HEAD + b'""\n{"a":"\\ud83d","b":"\\ud83d\\ude00"}\n')).known()
    assert (known["a"], known["b"]) == ("\ufffd", "\U0001f600")


def test_unknown_fields_of_protobuf_attachments_stay() -> None:
    others = "10 01 1d 00000000 21 0000000000000000"
    old, new = (
        request(PROTOBUF, PROTOBUF_HEAD + b"\0" + bytes.fromhex(f"18 {fields}"))
        for fields in (f"0a06 0a0161 120162 {others}", f"{others} 0a06 0a0161 120163")
    )
    assert read(old).get("a") == "b"
    assert mutated(old, {"a": "c"}) == new


@pytest.mark.parametrize("body", [b"\x02\x09\x09", b"1.5\n", b"\x00\x00\x00\x01\xaf", b"\x00\x00\x00\x02\xbd"])
def test_an_answers_result_type_must_be_an_int(body: bytes) -> None:
    number = {0x02: PROTOBUF, 0x31: FASTJSON, 0x00: FASTJSON2}[body[0]]
    with pytest.raises(FrameError):
        read(answer(number, body)).get("result")


def test_a_generic_call_tells_its_method_in_each() -> None:
    types = b'"Ljava/lang/String;"\n'
    json = JSON_HEAD.replace(b"echo", b"$invoke") + types + b'"sayHello"\n{}\n'
    assert read(request(FASTJSON, json)).get("generic.method") == "sayHello"
    jsonb_head = JSONB_HEAD[:-9] + bytes.fromhex("00000008 5024696e766f6b65 00000002 4a49")
    body = jsonb_head + bytes.fromhex("00000009 51 736179 48656c6c6f 00000002 a6a5")
    assert read(request(FASTJSON2, body)).get("generic.method") == "sayHello"
    body = PROTOBUF_HEAD[:-7] + bytes.fromhex("09 0a0724696e766f6b65 03 0a0149 0a 0a0873617948656c6c6f")
    assert read(request(PROTOBUF, body)).get("generic.method") == "sayHello"
