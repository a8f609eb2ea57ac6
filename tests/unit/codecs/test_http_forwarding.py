"""What the proxy adds to requests, whichever version they came by."""

from __future__ import annotations

from metaproxy.codecs.http import model
from metaproxy.codecs.http.forwarding import Forwarding

FACTS = {"source.address": "10.0.0.1", "tls.version": "TLSv1.3"}


def request(*pairs: model.Pair) -> model.Head:
    return model.request_head(b"POST", b"/a", b"a.example", [(b"content-length", b"5"), *pairs], length=5)


def test_a_request_of_http_2_gets_the_same_fields_as_one_of_http_1() -> None:
    head = Forwarding(FACTS, b"edge", 0, b"2.0").applied(request((b"x-forwarded-for", b"1.1.1.1"), (b"x-a", b"b")))
    assert head.pairs == [
        (b"content-length", b"5"),
        (b"x-a", b"b"),
        (b"via", b"2.0 edge"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x-forwarded-proto", b"https"),
    ]
    assert (head.scheme, head.length, head.method) == (b"https", 5, b"POST")
    assert b"1.1.1.1" not in head.frame


def test_the_fields_of_trusted_proxies_stay() -> None:
    given = request((b"x-forwarded-for", b"6.6.6.6, 1.1.1.1"), (b"forwarded", b"for=1.1.1.1"))
    fields = dict(Forwarding(FACTS, b"", 1).applied(given).pairs)
    assert fields[b"x-forwarded-for"] == b"1.1.1.1, 10.0.0.1"
    assert fields[b"forwarded"] == b"for=1.1.1.1"
    assert b"via" not in fields


def test_a_client_without_an_address_is_unknown() -> None:
    assert dict(Forwarding({}, b"", 0).pairs)[b"x-forwarded-for"] == b"unknown"
