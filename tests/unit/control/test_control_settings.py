"""The settings of the control plane's process."""

from __future__ import annotations

import pytest

from metaproxy.config.schema.nodes import ConfigErrors
from metaproxy.control.settings import read_settings


def test_an_empty_file_has_the_defaults() -> None:
    found = read_settings("{}", "control.yaml", {})
    assert (found.listen, found.rest, found.admin.listen) == ("127.0.0.1:18000", None, "127.0.0.1:9902")
    assert (found.max_streams, found.linger, found.scrape.every) == (10_000, 2.0, 5.0)


def test_secrets_stand_for_texts() -> None:
    text = "secrets: {t: {env: T}}\nscrape: {token: {secret: t}}\nadmin: {tokens: {read: {secret: t}}}\n"
    found = read_settings(text, "control.yaml", {"T": "x"})
    assert found.scrape.token == "x"
    assert found.admin.tokens is not None
    assert found.admin.tokens.read == "x"
    assert found.admin.listen == "127.0.0.1:9902"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lisen: 127.0.0.1:1", "did you mean 'listen'?"),
        ("listen: 0.0.0.0:18000", "client_ca"),
        ("rest: 0.0.0.0:18000", "client_ca"),
        ("admin: {listen: '0.0.0.0:9902'}", "give tokens"),
        ("etcd: {servers: []}", "at least 1"),
        ("etcd: {}", "servers is missing"),
        ("scrape: {token: {secret: x}}", "x"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read_settings(text, "control.yaml", {})
    assert words in str(caught.value)


def test_addresses_that_others_reach_are_allowed_where_that_is_said() -> None:
    assert read_settings("listen: 0.0.0.0:18000\ninsecure: true\n", "control.yaml", {}).listen == "0.0.0.0:18000"
