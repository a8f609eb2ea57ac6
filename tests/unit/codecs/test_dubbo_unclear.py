"""What a Dubbo server may see of a call besides what `get` gives: values said twice, hidden, or not to be read."""

import struct

import pytest

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.message import Both, FrameError, Message, Side

CALL = bytes.fromhex("05322e302e32 0964656d6f2e4563686f 05302e302e30 046563686f")
"""2.0.2 demo.Echo 0.0.0 echo, in hessian2, without the parameter types."""


def string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def frame(flags: int, body: bytes) -> bytes:
    return struct.pack(">HBBQI", 0xDABB, flags, 0, 7, len(body)) + body


def read(data: bytes) -> Message:
    session = Dubbo().session(Side.CLIENT, 1 << 20)
    (message,) = session.receive(data)
    assert session.error is None
    return message


def attached(*items: str | bytes, flags: int = 0xC2) -> Message:
    """A call without arguments and with these attachments: key, value, key, value; texts, or hessian2."""
    pairs = b"".join(string(item) if isinstance(item, str) else item for item in items)
    return read(frame(flags, CALL + b"\0" + b"H" + pairs + b"Z"))


def generic(method: bytes, *attachments: str, called: str = "$invoke", types: str = "") -> Message:
    """A generic call whose first argument is the given hessian2."""
    head = bytes.fromhex("05322e302e32 0964656d6f2e4563686f 05302e302e30") + string(called)
    types = types or "Ljava/lang/Object;"
    return read(frame(0xC2, head + string(types) + method + b"H" + b"".join(map(string, attachments)) + b"Z"))


def test_a_value_that_is_there_once_is_all_that_a_server_sees() -> None:
    message = attached("tenant", "a", "Group", "g")
    assert [message.values(key) for key in ("tenant", "group", "absent", "method")] == [
        ("a",),
        ("g",),
        (None,),
        ("echo",),
    ]
    assert getattr(message, "unclear", None) is None


@pytest.mark.parametrize("keys", [("tenant", "tenant"), ("tenant", "Tenant"), ("TENANT", "Tenant")])
def test_of_an_attachment_that_is_there_twice_in_any_spelling_a_server_may_see_either(keys: tuple[str, str]) -> None:
    message = attached(keys[0], "admin", keys[1], "x")
    assert message.values("tenant") == ("admin", "x")


def test_of_equal_keys_the_last_is_the_value_as_in_a_map_of_javas() -> None:
    assert attached("tenant", "admin", "tenant", "x").get("tenant") == "x"


def test_the_same_value_twice_is_one_value() -> None:
    assert attached("tenant", "x", "Tenant", "x").values("tenant") == ("x",)


def test_an_attachment_that_is_an_object_may_be_any_text_to_a_server() -> None:
    assert attached("tenant", b"\x57Z").values("tenant") == ()
    assert attached("tenant", "x", "tenant", b"\x57Z").values("tenant") == ()


def test_an_attachment_that_is_null_is_none() -> None:
    message = attached("tenant", b"N", "user", "ann")
    assert (message.values("tenant"), message.values("user")) == ((None,), ("ann",))
    assert attached("tenant", "x", "tenant", b"N").values("tenant") == ("x", None)


def test_a_key_that_is_no_string_may_be_any_key_but_none_of_the_codecs_own() -> None:
    message = attached(b"\x57Z", "admin")
    assert (message.values("tenant"), message.values("method")) == ((), ("echo",))


def test_the_attachments_path_and_version_go_before_the_service_in_front_as_in_java() -> None:
    message = attached("path", "demo.Admin", "version", "9")
    assert message.get("interface") == "demo.Echo"
    assert message.values("interface") == ("demo.Echo", "demo.Admin")
    assert message.values("operation") == ("demo.Echo/echo", "demo.Admin/echo")
    assert message.values("service.version") == ("0.0.0", "9")


def test_path_and_version_as_clients_send_them_leave_nothing_unclear() -> None:
    assert getattr(_decoded(attached("path", "demo.Echo", "version", "0.0.0")), "unclear", None) is None


def _decoded(message: Message) -> Message:
    message.read()
    return message


@pytest.mark.parametrize("called", ["$invoke", "$invokeAsync"])
def test_a_generic_call_is_one_of_the_method_that_it_means_too(called: str) -> None:
    message = generic(string("deleteAll"), called=called)
    assert message.values("method") == Both((called, "deleteAll"))
    assert message.values("operation") == Both((f"demo.Echo/{called}", "demo.Echo/deleteAll"))
    assert isinstance(message.values("method"), Both)


def test_blanks_around_the_name_that_a_generic_call_means_do_not_count_as_in_java() -> None:
    message = generic(string(" \tdeleteAll\n"))
    assert message.get("generic.method") == "deleteAll"
    assert message.values("method") == ("$invoke", "deleteAll")


@pytest.mark.parametrize("argument", [b"N", b"\x57Z", b"\x90"])
def test_a_generic_call_of_a_name_that_cannot_be_read_may_be_one_of_any_method(argument: bytes) -> None:
    assert generic(argument).values("method") == ()


def test_an_echo_is_a_method_like_others() -> None:
    assert generic(string("deleteAll"), called="$echo").values("method") == ("$echo",)


@pytest.mark.parametrize("number", [number for number in range(32) if number not in (2, 6, 16, 22, 23)])
def test_of_a_serialization_that_cannot_be_read_only_the_head_is_known(number: int) -> None:
    message = read(frame(0xC0 | number, b"\1\2\3"))
    assert [message.values(key) for key in ("method", "interface", "tenant")] == [(), (), ()]
    assert message.values("kind") == ("request",)
    assert len(message.values("serialization")) == 1
    assert message.get("method") is None


@pytest.mark.parametrize("rest", [b"\x48\x06tena", b"\x06tenant", b"\x48\x06tenant\x11"])
def test_attachments_that_cannot_be_decoded_are_an_error_once_and_unknown_afterwards(rest: bytes) -> None:
    message = read(frame(0xC2, CALL + b"\0" + rest))
    with pytest.raises(FrameError):
        message.values("tenant")
    assert (message.values("tenant"), message.values("method")) == ((), ("echo",))


def test_attachments_that_somebody_could_not_decode_before_are_unknown() -> None:
    message = read(frame(0xC2, CALL + b"\0" + b"\x48\x06tena"))
    message.known()
    assert message.values("tenant") == ()


def counted(document: bytes) -> bytes:
    return struct.pack(">I", len(document)) + document


JSONB_HEAD = b"".join(
    counted(bytes([0x49 + len(item)]) + item) for item in (b"2.0.2", b"demo.Echo", b"0.0.0", b"echo", b"")
)


def test_in_fastjson2_too_each_value_of_a_key_counts() -> None:
    message = read(frame(0xD7, JSONB_HEAD + counted(b"\xa6\x4ftenant\x4eadmin\x4fTenant\x4ax\xa5")))
    assert message.values("tenant") == ("admin", "x")


def test_in_fastjson2_a_key_or_value_that_is_a_symbol_may_be_any() -> None:
    symbol = b"\x7f\x4ftenant\x00"
    assert read(frame(0xD7, JSONB_HEAD + counted(b"\xa6" + symbol + b"\x4eadmin\xa5"))).values("tenant") == ()
    assert read(frame(0xD7, JSONB_HEAD + counted(b"\xa6\x4ftenant\x7f\x4eadmin\x00\xa5"))).values("tenant") == ()


@pytest.mark.parametrize("number", [6, 16])
def test_in_json_too_each_value_of_a_key_counts(number: int) -> None:
    body = b'"2.0.2"\n"demo.Echo"\n"0.0.0"\n"echo"\n""\n{"tenant":"admin","ten\\u0061nt":"x"}\n'
    assert read(frame(0xC0 | number, body)).values("tenant") == ("admin", "x")
    assert read(frame(0xC0 | number, body)).get("tenant") == "x"


def test_in_protobuf_too_each_value_of_a_key_counts() -> None:
    def item(data: bytes) -> bytes:
        return bytes([len(data)]) + data

    def entry(key: bytes, value: bytes) -> bytes:
        return b"\x0a" + item(b"\x0a" + item(key) + b"\x12" + item(value))

    strings = b"".join(item(b"\x0a" + item(text)) for text in (b"2.0.2", b"demo.Echo", b"0.0.0", b"echo", b""))
    message = read(frame(0xD6, strings + item(entry(b"tenant", b"admin") + entry(b"tenant", b"x"))))
    assert (message.get("tenant"), message.values("tenant")) == ("x", ("admin", "x"))
