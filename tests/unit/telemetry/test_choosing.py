from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from metaproxy.message import FrameError
from metaproxy.telemetry.choosing import MAX_TEXT, compile_match


def exchange(listener="front", outcome="ok", **metadata):
    return SimpleNamespace(listener=listener, outcome=outcome, route="main", get=metadata.get)


CHOICES = [
    ("", True),
    ("method=say", True),
    ("method: say", True),
    ("method=say, user=bob", True),
    ("method=say, user=eve", False),
    ("url=http://x?a=b", True),
    ("outcome=ok", True),
    ("outcome=timeout", False),
    ("route=main,method=say", True),
    ("tenant=", False),
    (json.dumps({"method": {"prefix": "sa"}}), True),
    (json.dumps({"or": [{"outcome": "error"}, {"user": {"in": ["bob"]}}]}), True),
    (json.dumps({"not": {"method": "say"}}), False),
]


@pytest.mark.parametrize(("text", "wanted"), CHOICES)
def test_a_match_chooses_by_metadata_and_by_what_became_of_the_exchange(text, wanted):
    assert compile_match(text)(exchange(method="say", user="bob", url="http://x?a=b")) is wanted


def test_a_listener_chooses_its_own():
    choice = compile_match("", "front")
    assert choice(exchange())
    assert not choice(exchange("back"))


def test_what_can_not_be_decoded_is_not_chosen():
    def get(key):
        raise FrameError("no")

    assert not compile_match("method=say")(SimpleNamespace(listener="front", get=get))


BAD = [
    ("method", "no condition"),
    ("=say", "no condition"),
    ("a=b, a=c", "twice"),
    ("{", "not JSON"),
    ("{}", "leave match out"),
    ('{"method": {"prefx": "a"}}', "did you mean 'prefix'"),
    ('{"method": {"regex": "("}}', "not a regular expression"),
    ("a=" + "b" * MAX_TEXT, "characters"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_a_match_that_makes_no_sense_says_what_to_write(text, why):
    with pytest.raises(ValueError, match=why):
        compile_match(text)
