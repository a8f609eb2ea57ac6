"""Hessian 2 as values of JSON."""

from __future__ import annotations

import pytest

from metaproxy.codecs.dubbo.hessian2_values import MAX_VALUES, Values, read
from metaproxy.message import FrameError


def value(data: bytes) -> object:
    values = Values(data)
    found = values.value()
    assert values.at == len(data)
    return found


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"N", None), (b"T", True), (b"F", False), (b"\x90", 0), (b"\xc8\x30", 48), (b"I\x80\0\0\0", -(1 << 31)),
        (b"L\0\0\0\x01\0\0\0\0", 1 << 32), (b"D\x3f\xf8\0\0\0\0\0\0", 1.5), (b"\x5b", 0.0),
        (b"\x02\xc3\xbcx", "\u00fcx"),
        (b"J\0\0\0\0\0\0\x03\xe8", "1970-01-01T00:00:01.000Z"), (b"K\0\0\0\x01", "1970-01-01T00:01:00.000Z"),
        (b"\x22\0\xff", "AP8="), (b"A\0\x01\0\x21\xff", "AP8="), (b"x", []), (b"z\x91\x92", [1, 2]),
        (b"X\x92\x91N", [1, None]), (b"W\x91Z", [1]), (b"V\x04[int\x91\x95", [5]), (b"q\x04[int\x95", [5]),
        (b"H\x01a\x91\x91\x92TNZ", {"a": 1, "1": 2, "true": None}), (b"M\x01t\x01a\x91Z", {"a": 1}),
        (b"C\x01P\x92\x01a\x01b\x60\x91\x92", {"class": "P", "a": 1, "b": 2}),
        (b"C\x01P\x91\x01aO\x90\x91", {"class": "P", "a": 1}),
    ],
)  # fmt: skip
def test_each_form_of_a_value(data: bytes, expected: object) -> None:
    assert value(data) == expected


def test_a_reference_means_the_value_again_and_null_within_itself() -> None:
    assert value(b"X\x92H\x01a\x91ZQ\x91") == [{"a": 1}, {"a": 1}]
    assert value(b"H\x04selfQ\x90Z") == {"self": None}


def test_references_to_references_do_not_grow_without_bound() -> None:
    twice = b"".join(b"X\x92Q" + number + b"Q" + number for number in [bytes((0x90 + n,)) for n in range(1, 40)])
    data = b"X\xa8" + b"X\x92\x91\x91" + twice  # each list holds the one before it twice
    with pytest.raises(FrameError, match=f"more than {MAX_VALUES} values"):
        Values(data).value()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"X\x92\x91", b"H\x01a", b"Q\x90", b"\x60", b"O\x90", b"@", b"C\x01P\x91", b"X" + b"I\x7f\xff\xff\xff",
        b"y" * 100, b"I\0", b"\x23ab", b"J\x7f\xff\xff\xff\xff\xff\xff\xff", b"A\0\x01\0\x90",
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        Values(data).value()


def test_strings_are_read_whichever_way_their_length_was_counted() -> None:
    wide = "\U0001f600x".encode()
    for units in (2, 3):
        assert read(bytes((units,)) + wide, 0, lambda values: values.value()) == "\U0001f600x"
    with pytest.raises(FrameError):
        read(b"@", 0, lambda values: values.value())
