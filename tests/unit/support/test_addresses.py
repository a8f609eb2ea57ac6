from __future__ import annotations

import socket

import pytest

from metaproxy.support.addresses import must_be_free, parse, show


@pytest.mark.parametrize(
    ("text", "family", "host", "port", "literal"),
    [
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.1", 80, True),
        ("example.test:80", socket.AF_INET, "example.test", 80, False),
        ("[::1]:80", socket.AF_INET6, "::1", 80, True),
        ("unix:/run/x.sock", socket.AF_UNIX, "/run/x.sock", 0, True),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, family: int, host: str, port: int, literal: bool) -> None:
    address = parse(text)
    assert (address.family, address.host, address.port, address.literal) == (family, host, port, literal)


@pytest.mark.parametrize("text", ["", "80", ":80", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1"])
def test_what_is_no_address_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        parse(text)


def test_a_socket_address_is_shown_as_it_would_be_written() -> None:
    assert show(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert show(("::1", 80, 0, 0)) == "[::1]:80"
    assert show("/run/x.sock") == "unix:/run/x.sock"


def test_an_address_that_is_taken_is_named_with_its_key_and_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"^admin\.listen: 127\.0\.0\.1:\d+: .*; write another address"):
            must_be_free("admin.listen", f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("where", ["127.0.0.1:0", "unix:/run/no/such.sock", "localhost:1"])
def test_an_address_that_is_free_or_can_not_be_tried_passes(where: str) -> None:
    must_be_free("listen", where)
