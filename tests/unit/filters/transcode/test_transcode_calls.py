"""What all protocols ask of a request."""

from __future__ import annotations

import pytest
from transcoding import request

from metaproxy.codecs.http.model import head_of
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.calls import Request, check_json


def asked(body: bytes, kind: bytes | None) -> Request:
    fields = [] if kind is None else [(b"content-type", kind)]
    return Request(head_of(request("POST", "/", body, *fields)), "/", "", body, lambda message: None)


@pytest.mark.parametrize("kind", [None, b"application/json", b"Application/JSON; charset=utf-8", b"text/x+json"])
def test_json_is_taken_and_what_says_nothing_of_its_type(kind: bytes | None) -> None:
    check_json(asked(b"{}", kind))


def test_another_type_is_refused_where_there_is_a_body() -> None:
    check_json(asked(b"", b"text/plain"))
    with pytest.raises(Refused) as caught:
        check_json(asked(b"{}", b"text/plain"))
    assert caught.value.status == 415
