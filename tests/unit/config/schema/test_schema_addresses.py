"""Addresses and paths in a configuration: what is taken, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from single_values import is_read, is_refused, outcome

from metaproxy.config.schema.addresses import Address, File, Listen, UrlPath
from metaproxy.config.schema.reading import Kind

ADDRESS = "is not an address; write host:port, [v6]:port or unix:/path"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Address(), "127.0.0.1:0", "127.0.0.1:0"),
        (Address(), "'[::1]:80'", "[::1]:80"),
        (Address(), "demo.svc_1.cluster.local:65535", "demo.svc_1.cluster.local:65535"),
        (Address(), "unix:/run/x.sock", "unix:/run/x.sock"),
        (Listen(), "localhost:80", "localhost:80"),
        (File(), "a/b.txt", Path("/etc/metaproxy/a/b.txt")),
        (File(), "/dev/stdout", Path("/dev/stdout")),
    ],
)
def test_an_address_or_path_that_is_right_is_read(kind: Kind[object], text: str, value: object) -> None:
    is_read(kind, text, value)


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Address(), "20880", f"'20880' {ADDRESS}"),
        (Address(), "':80'", f"':80' {ADDRESS}"),
        (Address(), "'::1:80'", f"'::1:80' {ADDRESS}"),
        (Address(), "'[127.0.0.1]:80'", f"'[127.0.0.1]:80' {ADDRESS}"),
        (Address(), "10.0.0.256:80", f"'10.0.0.256:80' {ADDRESS}"),
        (Address(), "a b:80", f"'a b:80' {ADDRESS}"),
        (Address(), "a:65536", f"'a:65536' {ADDRESS}"),
        (Address(), "'*:80'", f"'*:80' {ADDRESS}"),
        (Address(1), "a:0", f"'a:0' {ADDRESS}"),
        (Address(), "unix:x", "'unix:x' is not the whole path of a socket, of 107 bytes at most; write unix:/path"),
        (File(), "''", "'' is not a path"),
        (File(), '"a\\0b"', "'a\\x00b' is not a path"),
        (File(), "x" * 300, f"'{'x' * 300}' is not a path"),
    ],
)
def test_an_address_or_path_that_is_wrong_says_what_to_write(kind: Kind[object], text: str, problem: str) -> None:
    is_refused(kind, text, problem)


def test_a_path_of_a_url_begins_with_a_slash_and_has_no_blanks() -> None:
    is_read(UrlPath(), "/health?full=1", "/health?full=1")
    assert "is not a path" in outcome(UrlPath(), "health")[1][0]
    assert "is not a path" in outcome(UrlPath(), '"/he alth"')[1][0]
