"""Hessian 2 values: each code is stepped over by the right number of bytes, and read where it is a plain value."""

import pytest

from metaproxy.codecs.dubbo.hessian2 import write_string
from metaproxy.codecs.dubbo.hessian2_reader import Reader
from metaproxy.message import FrameError

MARK = bytes.fromhex("04 6d61726b")
"""A string, `mark`, that follows each value: it is found only where the value really ends."""

PLAIN = [
    ("00", ""),
    ("05 68656c6c6f", "hello"),
    ("1f" + "78" * 31, "x" * 31),
    ("30 02 6869", "hi"),
    ("33 ff" + "78" * 1023, "x" * 1023),
    ("53 0002 6869", "hi"),
    ("52 0001 68 01 69", "hi"),
    ("52 0001 68 52 0001 69 00", "hi"),
    ("02 c3a9 e4b8ad", "\u00e9\u4e2d"),
    ("02 eda0bd edb880", "\U0001f600"),
    ("52 0001 eda0bd 01 edb880", "\U0001f600"),  # a pair in two chunks
    ("01 eda0bd", "\ufffd"),  # half of a pair
    ("01 f09f9880", "\U0001f600"),  # as dubbo-py counts it
    ("80", "-16"),
    ("90", "0"),
    ("bf", "47"),
    ("c0 00", "-2048"),
    ("c8 01", "1"),
    ("cf ff", "2047"),
    ("d0 0000", "-262144"),
    ("d4 0001", "1"),
    ("d7 ffff", "262143"),
    ("49 ffffffff", "-1"),
    ("d8", "-8"),
    ("ef", "15"),
    ("f0 00", "-2048"),
    ("ff ff", "2047"),
    ("38 0000", "-262144"),
    ("3f ffff", "262143"),
    ("59 80000000", "-2147483648"),
    ("4c 8000000000000000", "-9223372036854775808"),
    ("5b", "0.0"),
    ("5c", "1.0"),
    ("5d 80", "-128.0"),
    ("5e 8000", "-32768.0"),
    ("5f 000004d2", "1.234"),
    ("44 c028ae147ae147ae", "-12.34"),
    ("54", "true"),
    ("46", "false"),
]
OTHER = [
    "4e",
    "4a 00000000499602d2",
    "4b 00e383a1",
    "20",
    "2f" + "ff" * 15,
    "34 03 010203",
    "37 ff" + "00" * 1023,
    "42 0002 0102",
    "41 0002 0102 42 0001 03",
    "41 0001 01 21 02",
    "48 5a",
    "48 0161 0162 91 48 5a 5a",
    "4d 036d6170 0161 90 5a",
    "4d 036d6170 0161 4d 90 0162 91 5a 5a",
    "55 045b696e74 90 91 5a",
    "56 045b696e74 92 90 91",
    "56 045b696e74 c801 90",
    "57 90 0161 78 5a",
    "58 92 90 91",
    "70 045b696e74",
    "77 045b696e74" + "90" * 7,
    "71 045b696e74 90",
    "78",
    "7f" + "91" * 7,
    "43 0163 92 0161 0162 60 90 4e",
    "43 0163 90 4f 90",
    "43 0163 90 43 0164 91 0161 61 60",
    "79 51 90",
    "58 d40100" + "91" * 256,
    "58 c8ff" + ("01 78" * 254) + "48 5a",
    "58 49 00000820" + "91" * 2079 + "48 5a",  # longer than what is stepped over at once
]


@pytest.mark.parametrize(("value", "text"), PLAIN)
def test_a_plain_value_is_read_as_text(value: str, text: str) -> None:
    reader = Reader(bytes.fromhex(value) + MARK)
    assert (reader.text(), reader.text()) == (text, "mark")


@pytest.mark.parametrize("value", [value for value, _ in PLAIN] + OTHER)
def test_every_value_is_stepped_over(value: str) -> None:
    data = bytes.fromhex(value)
    reader = Reader(data + MARK)
    reader.skip()
    assert (reader.at, reader.string()) == (len(data), "mark")


@pytest.mark.parametrize("value", OTHER)
def test_a_value_that_is_not_plain_has_no_text(value: str) -> None:
    reader = Reader(bytes.fromhex(value) + MARK)
    assert (reader.text(), reader.text()) == (None, "mark")


@pytest.mark.parametrize("value", [value for value, _ in PLAIN if value != "00"] + OTHER)
def test_a_value_that_is_cut_off_is_an_error(value: str) -> None:
    data = bytes.fromhex(value)
    for end in range(len(data)):
        with pytest.raises(FrameError):
            Reader(data[:end]).skip()
        with pytest.raises(FrameError):
            Reader(data[:end]).text()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("5a", "code 0x5a at 0 begins no value"),
        ("45", "code 0x45 at 0 begins no value"),
        ("60", "an object of class 0 of 0"),
        ("4f 8f", "an object of class -1 of 0"),
        ("43 0163 c8ff", "255 values announced in 0 bytes"),
        ("58 8f", "-1 values announced"),
        ("58 49 7fffffff 90", "2147483647 values announced in 1 bytes"),
        ("58 4e", "an int expected"),
        ("58 5c", "an int expected"),
        ("52 0001 61 90", "a string goes on at 4 with code 0x90"),
        ("41 0001 61 90", "a binary goes on at 4 with code 0x90"),
        ("43 90 90", "a string goes on at 1 with code 0x90"),
        ("02 c3a9", "beyond the body"),
        ("02 8080", "no UTF-8"),
        ("02 e48080 c328", "no UTF-8"),
        ("01 ff", "no UTF-8"),
        ("05 c380 8080 8080 8080 8080", "no UTF-8"),
    ],
)
def test_what_is_not_hessian_is_an_error_that_says_what_was_read(value: str, error: str) -> None:
    with pytest.raises(FrameError, match=error):
        Reader(bytes.fromhex(value)).skip()


def test_a_character_beyond_the_first_plane_may_count_as_two() -> None:
    data = bytes.fromhex("03 61f09f9880") + MARK
    reader = Reader(data, wide=2)
    assert (reader.string(), reader.string()) == ("a\U0001f600", "mark")
    with pytest.raises(FrameError, match="no UTF-8"):
        Reader(bytes.fromhex("02 61f09f9880"), wide=2).string()


@pytest.mark.parametrize(
    "text", ["", "a", "\u00e9" * 31, "x" * 70000, "\u4e2d" * 40000, "\U0001f600" * 20000, "\ud83d"]
)
def test_a_string_that_was_written_is_read_again(text: str) -> None:
    reader = Reader(write_string(text) + MARK)
    assert reader.string() == text.replace("\ud83d", "\ufffd")
    assert reader.string() == "mark"


def test_no_chunk_is_longer_than_javas() -> None:
    data = write_string("\U0001f600" * 40000)
    assert data[:3] == b"\x52\x7f\xff"
    assert data.count(b"\x52\x7f\xff") == 2
