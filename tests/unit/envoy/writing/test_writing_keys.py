"""Sections are read key by key, and what no writer read is an error."""

from __future__ import annotations

import pytest

from metaproxy.config import model
from metaproxy.envoy.writing.keys import Keys, OptionKeys, address, percent, seconds, without_empty


def keys(**values: object) -> tuple[Keys, list[str]]:
    wrong: list[str] = []
    return Keys(model.Mirror(cluster="a", **values), "m", wrong), wrong  # type: ignore[arg-type]


def test_what_was_not_read_and_says_something_is_named() -> None:
    mirror, wrong = keys(compare=True)
    assert mirror.text("cluster") == "a"
    mirror.close()
    assert [line.split(":")[0] for line in wrong] == ["m.compare"]


def test_what_has_its_default_says_nothing() -> None:
    mirror, wrong = keys()
    mirror.text("cluster")
    mirror.close()
    assert wrong == []
    assert not mirror.given("percent")


def test_options_of_plugins_likewise() -> None:
    wrong: list[str] = []
    options = OptionKeys({"limit": 5, "key": "a"}, "filters[0].local_rate_limit", wrong)
    assert options.take("limit") == 5
    options.close()
    assert [line.split(":")[0] for line in wrong] == ["filters[0].local_rate_limit.key"]


@pytest.mark.parametrize(("length", "text"), [(1.0, "1s"), (0.25, "0.25s"), (60.0, "60s"), (0.0, "0s")])
def test_durations(length: float, text: str) -> None:
    assert seconds(length) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:80", {"socket_address": {"address": "127.0.0.1", "port_value": 80}}),
        ("[::1]:80", {"socket_address": {"address": "::1", "port_value": 80}}),
        ("unix:/run/a", {"pipe": {"path": "/run/a"}}),
    ],
)
def test_addresses(text: str, message: object) -> None:
    assert address(text) == message


def test_shares_have_four_digits_behind_the_point() -> None:
    assert percent(0.05) == {"default_value": {"numerator": 500, "denominator": "MILLION"}}


def test_fields_that_say_nothing_are_left_out() -> None:
    assert without_empty({"a": 0, "b": "", "c": {}, "d": False, "e": None}) == {"a": 0, "d": False}
