"""Bodies that are too deep, too long or not what they should be are refused with words, at every endpoint."""

from __future__ import annotations

import pytest
from browser import Desk

ENDPOINTS = [
    ("POST", "/record"), ("POST", "/explain"), ("PUT", "/config"), ("PUT", "/runtime/canary"),
    ("PUT", "/logging/metaproxy"),
]  # fmt: skip
DEEP = [
    b"[" * 100_000, b"[" * 900 + b"1" + b"]" * 900, b'{"match":' * 500 + b"1" + b"}" * 500,
    b"[[[[" * 30 + b"]]]]" * 30,
]  # fmt: skip


@pytest.mark.parametrize("body", DEEP, ids=["open", "900 lists", "500 objects", "120 lists"])
@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_deep_body_is_refused_with_words(method: str, path: str, body: bytes) -> None:
    if path == "/config":
        body = b"wrong: " + body
    response = Desk().ask(method, path, body)
    assert response.status == 400
    assert response.json["error"]


@pytest.mark.parametrize("where", ["match", "listener", "file", "max_bytes", "max_seconds"])
def test_a_deep_value_within_a_recording_s_body_is_refused(where: str) -> None:
    body = b'{"%b": %b}' % (where.encode(), b"[" * 70 + b"]" * 70)
    assert Desk().post("/record", body.decode()).status == 400


@pytest.mark.parametrize("listener", ["[]", "{}", "1", "true"])
def test_a_listener_that_is_no_text_is_refused(listener: str) -> None:
    assert Desk().post("/explain", f'{{"listener": {listener}, "metadata": {{}}}}').status in (400, 404)
    assert Desk().post("/record", f'{{"listener": {listener}}}').status == 400


def test_a_tap_s_match_that_is_too_deep_is_refused() -> None:
    response = Desk().get("/tap?match=" + '{"or":' + "[" * 2000)
    assert (response.status, response.json["where"]) == (400, "match")


@pytest.mark.parametrize(("method", "path"), [("POST", "/record"), ("POST", "/explain"), ("PUT", "/runtime/canary")])
def test_a_long_body_is_refused(method: str, path: str) -> None:
    response = Desk().ask(method, path, b'"' + b"x" * (2 << 20) + b'"')
    assert (response.status, response.json["where"]) == (413, "body")
