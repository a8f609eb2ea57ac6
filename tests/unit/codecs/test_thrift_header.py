"""THeader's layout: what is read of it, what a mutation changes, what stays byte for byte."""

import pytest

from metaproxy.codecs.thrift import Thrift, header
from metaproxy.filters.rbac import Rbac
from metaproxy.message import FrameError, Kind, Message, Mutation, Side
from metaproxy.testing import FakeExchange

CALL = bytes.fromhex("80010001 00000004 6563686f 00000007 0b 0001 00000002 6869 00")


def frame(inside: str, payload: bytes = CALL, flags: str = "0000") -> bytes:
    raw = bytes.fromhex(inside)
    raw += bytes(-len(raw) % 4)
    rest = bytes.fromhex("0fff" + flags + "00000007") + (len(raw) // 4).to_bytes(2, "big") + raw + payload
    return len(rest).to_bytes(4, "big") + rest


ONE = frame("00 00 01 01 016b 0176")


def message(raw: bytes) -> Message:
    session = Thrift().session(Side.CLIENT, 1 << 20)
    (found,) = session.receive(raw)
    assert session.error is None
    return found


def mutated(raw: bytes, set: dict[str, str] | None = None, remove: tuple[str, ...] = ()) -> bytes:
    return Thrift().mutate(message(raw), Mutation(set, remove))


# Reading


def test_headers_are_metadata_as_spelled_and_in_lower_case() -> None:
    found = message(frame("00 00 01 02 06 54656e616e74 02 5431 016b 0176"))
    assert [found.get(key) for key in ("Tenant", "tenant", "k", "absent")] == ["T1", "T1", "v", None]


def test_of_equal_headers_the_last_counts() -> None:
    assert message(frame("00 00 01 02 016b 0161 016b 0162")).get("k") == "b"


TWICE = [
    "00 00 01 02 06 74656e616e74 05 61646d696e 06 54656e616e74 01 78",
    "00 00 01 02 06 54656e616e74 01 78 06 74656e616e74 05 61646d696e",
    "00 00 01 01 06 74656e616e74 05 61646d696e 02 01 06 74656e616e74 01 78",
    "00 00 02 01 06 74656e616e74 01 78 01 01 06 74656e616e74 05 61646d696e",
]


@pytest.mark.parametrize("inside", TWICE)
def test_of_a_header_in_two_spellings_or_blocks_a_server_may_see_either(inside: str) -> None:
    found = message(frame(inside))
    assert set(found.values("tenant")) == {"admin", "x"}
    assert found.get("tenant") == "admin"  # as spelled so, and not a persistent one, as servers take it


@pytest.mark.parametrize("inside", TWICE)
def test_a_policy_that_denies_sees_each_of_them(inside: str) -> None:
    def asked() -> FakeExchange:
        exchange = FakeExchange()
        exchange.message = message(frame(inside))
        return exchange

    for value, passes in (("admin", False), ("x", False), ("other", True)):
        rbac = Rbac({"one": {"action": "deny", "principals": [{"tenant": value}]}})
        assert (rbac.on_request(asked()) is None) == passes
    assert Rbac({"one": {"principals": [{"tenant": "admin"}]}}).on_request(asked()) is not None


def test_a_header_that_is_there_once_is_all_that_a_server_sees() -> None:
    found = message(ONE)
    assert (found.values("k"), found.values("absent"), getattr(found, "unclear", None)) == (("v",), (None,), None)


def test_several_blocks_of_headers_are_read() -> None:
    assert message(frame("00 00 01 01 0161 0131 01 01 0162 0132")).known().items() >= {"a": "1", "b": "2"}.items()


def test_fbthrifts_persistent_headers_are_read() -> None:
    assert message(frame("00 00 02 01 0161 0131 01 01 0162 0132")).known().items() >= {"a": "1", "b": "2"}.items()


def test_reading_ends_at_an_info_that_is_not_known() -> None:
    assert message(frame("00 00 01 01 0161 0131 05 ffffff")).get("a") == "1"


def test_a_header_cannot_pass_for_what_the_codec_itself_says() -> None:
    found = message(frame("00 00 01 02 06 6d6574686f64 04 6576696c 04 6b696e64 05 6f74686572"))
    assert (found.get("method"), found.get("absent"), found.get("method")) == ("echo", None, "echo")
    assert found.get("kind") == "request"


def test_values_that_are_no_text_are_shown_as_far_as_they_are() -> None:
    assert message(frame("00 00 01 01 016b 02 ff41")).get("k") == "\ufffdA"


def test_headers_are_not_looked_at_before_one_is_asked_for() -> None:
    found = message(frame("00 00 01 7f"))
    assert found.get("method") == "echo"
    with pytest.raises(FrameError):
        found.get("tenant")
    assert found.get("tenant") is None


@pytest.mark.parametrize("inside", ["00 00 01 7f 00", "00 00 01 01 7f 00", "00 00 01 ffffffffffffffffffffff01"])
def test_headers_that_run_out_of_their_room_are_an_error_when_asked_for(inside: str) -> None:
    with pytest.raises(FrameError):
        message(frame(inside)).get("tenant")


@pytest.mark.parametrize(
    "raw",
    [
        bytes.fromhex("0000000a 0fff 0000 00000007 0000"),
        bytes.fromhex("0000000e 0fff 0000 00000007 0004 00000000"),
        frame("00 7f"),
        frame("00 09" + "01" * 9),
        frame("80808080"),
        frame("00 ffffffff"),
        frame("03 00"),
    ],
)
def test_a_header_that_does_not_fit_its_frame_is_refused(raw: bytes) -> None:
    session = Thrift(transport="header", protocol="binary").session(Side.CLIENT, 1 << 20)
    assert session.receive(raw) == []
    assert session.error is not None


def test_a_frame_without_a_message_is_read_over() -> None:
    session = Thrift().session(Side.SERVER, 1 << 20)
    messages = session.receive(frame("00 00", b"") + ONE + frame("00 00", b""))
    assert [found.frame for found in messages] == [ONE]
    assert session.error is None


# Mutation


def test_a_header_is_added() -> None:
    assert mutated(ONE, {"x": "y"}) == frame("00 00 01 02 016b 0176 0178 0179")


def test_a_header_is_replaced() -> None:
    assert mutated(ONE, {"k": "new"}) == frame("00 00 01 01 016b 03 6e6577")


def test_a_header_is_removed_and_an_empty_block_with_it() -> None:
    assert mutated(ONE, remove=("k",)) == frame("00 00")


def test_a_header_is_found_in_any_case_and_written_as_configured() -> None:
    assert mutated(ONE, {"K": "w"}) == frame("00 00 01 01 014b 0177")


def test_all_of_equal_headers_are_removed() -> None:
    assert mutated(frame("00 00 01 02 016b 0161 014b 0162"), remove=("k",)) == frame("00 00")


def test_a_frame_without_headers_gets_its_first() -> None:
    assert mutated(frame("00 00"), {"k": "v"}) == ONE


def test_removing_what_is_not_there_changes_nothing() -> None:
    found = message(ONE)
    assert Thrift().mutate(found, Mutation(remove=("absent",))) is found.frame


def test_what_is_set_stays_when_it_is_also_removed() -> None:
    assert mutated(ONE, {"k": "w"}, ("k",)) == frame("00 00 01 01 016b 0177")


def test_an_info_that_is_not_known_stays_behind_the_headers_byte_for_byte() -> None:
    assert mutated(frame("00 00 01 01 016b 0176 7f abcdef"), {"a": "b"}) == frame(
        "00 00 01 02 016b 0176 0161 0162 7f abcdef"
    )


def test_persistent_headers_stay_what_they_are_unless_named() -> None:
    assert mutated(frame("00 00 02 01 0170 0131"), {"k": "v"}) == frame("00 00 01 01 016b 0176 02 01 0170 0131")
    assert mutated(frame("00 00 02 01 0170 0131"), remove=("P",)) == frame("00 00")


def test_flags_transforms_and_payload_stay() -> None:
    raw = frame("02 01 01 01 01 016b 0176", b"payload", "beef")
    changed = header.mutate(raw, Mutation({"k": "w"}))
    assert changed == frame("02 01 01 01 01 016b 0177", b"payload", "beef")


def test_longer_headers_than_theader_can_hold_are_an_error() -> None:
    with pytest.raises(FrameError, match="THeader allows 65532"):
        mutated(ONE, {"k": "v" * 70_000})


def test_headers_that_cannot_be_read_cannot_be_changed() -> None:
    with pytest.raises(FrameError):
        mutated(frame("00 00 01 7f"), {"k": "v"})


def test_a_mutated_message_goes_on_under_another_id() -> None:
    found = message(ONE)
    changed = Message(Kind.REQUEST, Thrift().mutate(found, Mutation({"x": "y"})), found.id, profile=found.profile)
    again = message(bytes(Thrift().session(Side.SERVER, 1 << 20).send(changed, 9)))
    assert (again.id, again.get("x"), again.get("k")) == (9, "y", "v")
