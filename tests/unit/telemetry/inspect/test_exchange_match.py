from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from metaproxy.message import ErrorKind, FrameError
from metaproxy.telemetry.inspect.exchange_match import MAX_TEXT, compile_match


def exchange(listener: str = "front", outcome: str = "ok", **metadata: Any) -> Any:
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
def test_a_match_chooses_by_metadata_and_by_what_became_of_the_exchange(text: str, wanted: bool) -> None:
    assert compile_match(text)(exchange(method="say", user="bob", url="http://x?a=b")) is wanted


def test_a_listener_chooses_its_own() -> None:
    choice = compile_match("", "front")
    assert choice(exchange())
    assert not choice(exchange("back"))


def test_what_can_not_be_decoded_is_not_chosen() -> None:
    def get(key: Any) -> None:
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
def test_a_match_that_makes_no_sense_says_what_to_write(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compile_match(text)


KNOWN = {"listener": ["front", "back"], "route": ["main", "-"], "cluster": ["demo", "-"], "protocol": ["quill"]}

NEVER = [
    ("outcome=conect", "did you mean 'connect'?"),
    ("outcome=OK", "did you mean 'ok'?"),
    ("outcome=", "there are 'ok', 'error'"),
    ("Outcome=conect", "did you mean 'connect'?"),
    ("method=say, outcome=time_out", "did you mean 'timeout'?"),
    ("kind=requst", "did you mean 'request'?"),
    ("listener=frnt", "did you mean 'front'?"),
    ("route=mian", "did you mean 'main'?"),
    ("cluster=dmeo", "did you mean 'demo'?"),
    ("protocol=thrift", "there are 'quill'"),
    ('{"outcome": {"in": ["ok", "rest"]}}', "did you mean 'reset'?"),
    ('{"outcome": {"exact": "conect", "not": true}}', "did you mean 'connect'?"),
    ('{"not": {"outcome": "conect"}}', "did you mean 'connect'?"),
    ('{"or": [{"method": "say"}, {"and": [{"cluster": "dmeo"}]}]}', "did you mean 'demo'?"),
    ('{"outcome": {"prefix": "conec-"}}', "no outcome has"),
    ('{"outcome": {"regex": "5.."}}', "no outcome has"),
    ('{"cluster": {"present": false}}', "no cluster has"),
    ("outcom=connect", "did you mean 'outcome'?"),
    ("clusters=demo", "did you mean 'cluster'?"),
]


@pytest.mark.parametrize(("text", "hint"), NEVER)
def test_what_no_exchange_can_ever_meet_is_refused_with_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"(no|never)") as caught:
        compile_match(text, known=KNOWN)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "outcome=connect", "outcome=downstream_gone", "kind=oneway", "route=-", "cluster=-, outcome=not_found",
        '{"outcome": {"prefix": "conn"}}', '{"outcome": {"regex": "bad_.*"}}',
        '{"outcome": {"exact": "ok", "not": true}}',
        '{"outcome": {"exact": "OK", "ignore_case": true}}', "method=conect", "upstream_address=10.0.0.1:80", "mode=x",
    ],
)  # fmt: skip
def test_what_an_exchange_can_meet_is_not(text: str) -> None:
    assert callable(compile_match(text, known=KNOWN))


def test_a_key_that_a_codec_gives_is_none_that_was_misspelt() -> None:
    assert callable(compile_match("routes=x", known=KNOWN, keys=["routes"]))


def test_every_way_to_end_can_be_asked_for() -> None:
    for kind in ErrorKind:
        assert callable(compile_match(f"outcome={kind.value}"))
