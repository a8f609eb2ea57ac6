"""What clients of HTTP and JSON get."""

from __future__ import annotations

import json

import pytest

from metaproxy.codecs.http.model import parts
from metaproxy.filters.transcode import answers
from metaproxy.filters.transcode.answers import CODES, NAMES, STATUSES, Refused
from metaproxy.message import ErrorKind, Kind, Message


def test_an_answer_has_its_type_and_length_and_is_a_failure_from_500_on() -> None:
    made = answers.answer(200, b"{}", [(b"x-a", b"1"), (b"content-length", b"99"), (b"content-type", b"old")])
    assert made.frame == (
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )  # fmt: skip
    kinds = [answers.answer(status, b"").kind for status in (404, 499, 500, 503)]
    assert kinds == [Kind.RESPONSE, Kind.RESPONSE, Kind.ERROR, Kind.ERROR]
    assert made.get("status") == "200"


def test_an_answer_without_a_body_has_neither_length_nor_type() -> None:
    assert answers.answer(204, b"x").frame == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_each_code_has_the_status_that_google_rpc_gives_it() -> None:
    assert len(NAMES) == len(STATUSES) == 17
    some = {"OK": 200, "NOT_FOUND": 404, "UNAVAILABLE": 503, "UNAUTHENTICATED": 401, "DATA_LOSS": 500, "ABORTED": 409}
    assert {name: STATUSES[CODES[name]] for name in some} == some


@pytest.mark.parametrize(
    "status, kind, code",
    [
        (400, ErrorKind.BAD_REQUEST, 3), (404, ErrorKind.NOT_FOUND, 5), (413, ErrorKind.LIMITED, 8),
        (415, ErrorKind.BAD_REQUEST, 3), (501, ErrorKind.UNSUPPORTED, 12), (502, ErrorKind.BAD_RESPONSE, 13),
        (503, ErrorKind.NO_ENDPOINT, 14), (500, ErrorKind.INTERNAL, 13),
    ],
)  # fmt: skip
def test_a_refusal_is_an_error_in_json(status: int, kind: ErrorKind, code: int) -> None:
    reply = Refused(status, "why").reply()
    assert isinstance(reply.frame, Message)
    head, body, _ = parts(reply.frame)
    assert (reply.kind, reply.details, head.status) == (kind, "transcode: why", status)
    assert json.loads(body) == {"code": code, "message": "why", "details": []}


def test_a_wrong_method_tells_the_right_ones() -> None:
    reply = Refused(405, "why", ["GET", "PUT"]).reply()
    assert isinstance(reply.frame, Message)
    assert b"\r\nallow: GET, PUT\r\n" in reply.frame.frame


def test_an_answer_that_has_begun_is_cut_off_with_nothing_behind_it() -> None:
    reply = Refused(502, "why").cut()
    assert (reply.kind, reply.frame, reply.text) == (ErrorKind.BAD_RESPONSE, None, "why")
