"""Filters whose configuration a server sends, one message at a time."""

from __future__ import annotations

import pytest
from ecds_resources import discovered, extension, limit_of
from envoy.config.core.v3 import extension_pb2
from envoy.config.listener.v3 import listener_pb2
from google.protobuf.json_format import ParseDict

from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.tables import Context, Need
from metaproxy.envoy.translated import Translated


def translated(plain: dict[str, object], *extensions: dict[str, object], live: bool = False) -> Translated:
    """A listener, translated where these extensions are there."""
    found = {str(one["name"]): ParseDict(bare(one), extension_pb2.TypedExtensionConfig()) for one in extensions}
    context = Context(Report(), Resources(extensions=found), live=live)
    return translate_listener(ParseDict(bare(plain), listener_pb2.Listener()), context)


def bare(plain: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in plain.items() if key != "@type"}


def limit(outcome: Translated) -> object:
    (section,) = outcome.sections
    filters = section["filters"]
    assert isinstance(filters, list)
    return filters[0]["local_rate_limit"]["limit"]


NEED = Need("extensions", "limit", "ads")


def test_a_filter_is_what_the_server_sends_under_its_name() -> None:
    outcome = translated(discovered("in"), extension(limit_of(5)))
    assert (limit(outcome), outcome.needs, outcome.hurried) == (5, [NEED], set())


def test_without_it_the_listener_can_not_be_used_and_says_what_it_needs() -> None:
    outcome = translated(discovered("in"))
    assert (outcome.sections, outcome.needs) == ([], [NEED])
    assert "'limit'" in outcome.skipped


def test_a_default_counts_until_it_is_there() -> None:
    plain = discovered("in", {"default_config": limit_of(2)})
    assert limit(translated(plain)) == 2
    assert limit(translated(plain, extension(limit_of(5)))) == 5


def test_a_listener_may_say_that_it_does_not_wait() -> None:
    plain = discovered("in", {"default_config": limit_of(2), "apply_default_config_without_warming": True})
    outcome = translated(plain)
    assert (limit(outcome), outcome.hurried) == (2, {NEED})


def test_a_message_of_another_type_is_refused() -> None:
    cors = {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}
    errors = map(str, translated(discovered("in"), extension(cors)).report.errors)
    assert any("extension 'limit'" in one and "Cors" in one and "LocalRateLimit" in one for one in errors)


def test_what_is_not_read_of_it_is_reported() -> None:
    config = {**limit_of(5), "always_consume_default_token_bucket": False}
    found = [str(one) for one in translated(discovered("in"), extension(config)).report.findings]
    assert [one for one in found if "extension 'limit'" in one and "always_consume_default_token_bucket" in one]


@pytest.mark.parametrize("more", [{"config_source": {}}, {"config_source": None}])
def test_a_source_must_be_named(more: dict[str, object]) -> None:
    assert translated(discovered("in", more), extension(limit_of(5))).report.errors


def test_in_a_file_a_filter_stands_with_its_configuration() -> None:
    outcome = translated(discovered("in"), extension(limit_of(5)), live=True)
    assert not outcome.sections and "typed_config" in outcome.skipped
