"""The wire format of protobuf: fields are found and changed without knowing the message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf_writing import blob, num, pair, varint

from metaproxy.codecs import protobuf_wire
from metaproxy.codecs.protobuf_wire import changed_map, entry, fields, number, pairs, signed, write, write_number
from metaproxy.message import FrameError

numbers = st.integers(1, 40)
values = st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(numbers, values), max_size=30), st.binary(max_size=9))
def test_every_field_is_found_with_its_value(written: list[tuple[int, int | bytes]], before: bytes) -> None:
    parts = [num(n, v) if isinstance(v, int) else blob(n, v) for n, v in written]
    data = before + b"".join(parts)
    found = fields(data, len(before), len(data))
    assert [data[start:stop] for _, start, _, stop in found] == parts
    for (n, value), field in zip(written, found, strict=True):
        if isinstance(value, int):
            assert (field[0], number(data, field)) == (n << 3, value)
        else:
            assert (field[0], data[field[2] : field[3]]) == (n << 3 | 2, value)


@given(numbers, values)
def test_what_is_written_is_what_others_write(n: int, value: int | bytes) -> None:
    if isinstance(value, int):
        assert write_number(n << 3, value) == num(n, value)
    else:
        assert write(n << 3 | 2, value) == blob(n, value)


def test_numbers_of_four_and_eight_bytes_are_stepped_over() -> None:
    data = varint(1 << 3 | 1) + bytes(8) + varint(2 << 3 | 5) + bytes(4) + num(3, 7)
    assert [field[0] for field in fields(data, 0, len(data))] == [9, 21, 24]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",  # a tag without its end
        b"\x08",  # no value
        b"\x08\x80",
        b"\x0a\x05hi",  # longer than its message
        b"\x0a\xff\xff\xff\xff\x0fhi",
        b"\x09" + bytes(7),
        b"\x0d" + bytes(3),
        b"\x0b\x0c",  # a group
        b"\x0e",  # wire type 6
        b"\x00\x01",  # field 0
        b"\x08" + b"\xff" * 10 + b"\x01",  # eleven bytes
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError, match="protobuf: "):
        fields(data, 0, len(data))
    with pytest.raises(FrameError, match="protobuf: "):
        fields(data + bytes(64), 0, len(data))  # also where other bytes follow


@given(st.binary(max_size=60))
def test_nothing_but_a_frame_error_comes_of_any_bytes(data: bytes) -> None:
    try:
        found = fields(data, 0, len(data))
    except FrameError:
        return
    assert b"".join(data[start:stop] for _, start, _, stop in found) == data


def test_a_message_has_a_bound_on_its_fields() -> None:
    most = protobuf_wire.MAX_FIELDS
    assert len(fields(num(1, 1) * most, 0, 2 * most)) == most
    with pytest.raises(FrameError, match="fields"):
        fields(num(1, 1) * (most + 1), 0, 2 * most + 2)


def test_a_negative_number_takes_ten_bytes() -> None:
    assert write_number(8, -1) == b"\x08" + b"\xff" * 9 + b"\x01"
    data = write_number(8, -2)
    assert signed(number(data, fields(data, 0, len(data))[0])) == -2
    assert signed(7) == 7


def test_a_map_is_its_entries_in_their_order_and_text_is_utf_8() -> None:
    data = pair(9, "a", "1") + num(1, 5) + pair(9, "b", b"\xff") + pair(9, b"\xff", "2") + pair(9, "a", "3")
    found = fields(data, 0, len(data))
    assert list(pairs(data, found, 9 << 3 | 2)) == [("a", "1"), ("b", None), (None, "2"), ("a", "3")]


def test_an_entry_may_leave_out_either_half_and_say_it_twice() -> None:
    data = blob(9, b"") + blob(9, blob(2, "v") + blob(1, "k") + blob(2, "w"))
    first, second = fields(data, 0, len(data))
    assert (entry(data, first), entry(data, second)) == ((b"", b""), (b"k", b"w"))


def test_a_changed_map_keeps_all_that_was_not_named() -> None:
    kept = [num(1, 5), pair(9, "a", "1"), blob(200, "unknown")]
    data = b"".join([*kept, pair(9, "b", "2"), pair(9, "c", "3"), pair(9, "b", "4")])
    found = fields(data, 0, len(data))
    changed = b"".join(changed_map(data, found, 9 << 3 | 2, {"b": "new", "d": "5"}, ["c", "absent"]))
    assert changed == b"".join(kept) + pair(9, "b", "new") + pair(9, "d", "5")
