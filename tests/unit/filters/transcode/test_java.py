"""Values of JSON as arguments of Java, in hessian2."""

from __future__ import annotations

import pytest

from metaproxy.codecs.dubbo.hessian2_values import Values
from metaproxy.filters.transcode.arguments import Text
from metaproxy.filters.transcode.java import string_map, typed_list, written


def back(kind: str, value: object) -> object:
    return Values(written(kind, value, "x")).value()


@pytest.mark.parametrize(
    "kind, value, code",
    [
        ("int", 5, b"I"), ("long", 5, b"L"), ("java.lang.Long", Text("-9"), b"L"), ("byte", -128, b"I"),
        ("short", 3.0, b"I"), ("double", 1, b"D"), ("java.lang.Float", Text("1.5"), b"D"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_its_type_has_it(kind: str, value: object, code: bytes) -> None:
    assert written(kind, value, "x")[:1] == code
    assert back(kind, value) == float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind, value, read",
    [
        ("boolean", True, True), ("java.lang.Boolean", Text("false"), False),
        ("java.lang.String", "\u00fc\U0001f600", None),
        ("char", "x", None), ("java.lang.String", Text("7"), None), ("java.math.BigDecimal", "1.10", None),
        ("java.lang.Object", {"a": [1, None, True, 2.5, "x", 1 << 40]}, None), ("java.util.List", Text("a"), ["a"]),
        ("java.lang.String[]", ["a", "b"], None), ("long[]", Text("1"), [1]),
        ("org.example.User", {"id": Text("7")}, None),
        ("java.lang.String", None, None), ("org.example.User", None, None),
    ],
)  # fmt: skip
def test_other_values_are_read_as_they_were(kind: str, value: object, read: object) -> None:
    assert back(kind, value) == (value if read is None else read)


@pytest.mark.parametrize(
    "kind, value, text",
    [
        ("int", 1 << 31, "no int"), ("byte", 128, "no byte"), ("int", "x", "no whole number"),
        ("int", True, "no whole"),
        ("int", 1.5, "no whole"), ("int", None, "missing"), ("double", "x", "no number"), ("boolean", "yes", "true or"),
        ("boolean", "true", "true or false"), ("java.lang.String", 5, "no text"), ("char", "ab", "no character"),
        ("java.lang.Object", 1 << 64, "64 bits"), ("double", 10**400, "no number"), ("int[]", ["x"], r"x\[0\]"),
    ],
)  # fmt: skip
def test_what_the_type_cannot_hold_is_refused(kind: str, value: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        written(kind, value, "x")


def test_arrays_and_maps_have_the_form_of_dubbo() -> None:
    assert typed_list("[string", [b"\x01a"]) == b"V\x07[stringI\0\0\0\x01\x01a"
    assert string_map({"a": "b"}) == b"H\x01a\x01bZ"
