from __future__ import annotations

import pytest

from metaproxy.support.bounded_json import MAX_DEPTH, loads


@pytest.mark.parametrize("text", ["1", '"a"', "null", "[1, {}]", '{"a": [{"b": 1}]}'])
def test_what_is_not_deep_is_read_as_it_is(text: str) -> None:
    import json

    assert loads(text) == json.loads(text)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 900, 100_000])
@pytest.mark.parametrize(("open", "close"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_what_is_nested_too_deep_is_refused_with_words(levels: int, open: str, close: str) -> None:
    with pytest.raises(ValueError, match="levels"):
        loads(open * levels + "1" + close * levels)


def test_the_greatest_depth_is_taken() -> None:
    assert loads("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)


@pytest.mark.parametrize("text", [b"\xff", "{", "[" * 100_000, "1" * 5000, ""])
def test_what_is_not_json_is_a_value_error(text: bytes | str) -> None:
    with pytest.raises(ValueError):
        loads(text)
