"""Where bytes of a message come from."""

from __future__ import annotations

import pytest
from envoy_messages import message

from metaproxy.envoy.data_sources import inline_of, path_of
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report


def source(text: str) -> Fields:
    return Fields(message("envoy.config.core.v3.DataSource", text), "source", Report())


def test_a_file_is_its_path() -> None:
    assert path_of(source("filename: /a.pem"), "a key") == "/a.pem"
    assert path_of(None, "a key") is None


@pytest.mark.parametrize("text", ["inline_string: abc", "inline_bytes: YWJj"])
def test_a_text_may_stand_in_the_message(text: str) -> None:
    assert inline_of(source(text), "a text") == "abc"


@pytest.mark.parametrize("text", ["inline_string: x", "environment_variable: X", "{}"])
def test_where_a_file_is_wanted_all_else_is_reported(text: str) -> None:
    fields = source(text)
    assert path_of(fields, "a key") is None
    assert len(fields.report.errors) == 1


@pytest.mark.parametrize("text", ["filename: /x", "inline_bytes: //4=", "{}"])
def test_where_a_text_is_wanted_all_else_is_reported(text: str) -> None:
    fields = source(text)
    assert inline_of(fields, "a text") is None
    assert len(fields.report.errors) == 1
