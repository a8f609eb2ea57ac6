"""Which extensions there are, and how they are found."""

from __future__ import annotations

from envoy_messages import message

from metaproxy.envoy.fields import Extension, Fields
from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Context, Table

TYPE = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def table() -> Table[str]:
    made: Table[str] = Table("network filter")
    made.add(TYPE, "envoy.filters.network.tcp_proxy")("translator")
    return made


def test_an_extension_is_found_by_its_type_whatever_its_name() -> None:
    fields = Fields(message(TYPE, "{}"), "p", Report())
    assert table().find(Extension("whatever", TYPE, fields, "p"), Report()) == ("translator", fields)


def test_an_extension_without_a_message_is_found_by_its_name_and_has_an_empty_one() -> None:
    found = table().find(Extension("envoy.filters.network.tcp_proxy", "", None, "p"), Report())
    assert found is not None
    translator, config = found
    assert translator == "translator"
    assert isinstance(config, Fields)
    assert (config.type, config.path) == (TYPE, "p")


def test_what_is_unknown_gets_the_nearest_name() -> None:
    assert "did you mean 'envoy.filters.network.tcp_proxy'?" in table().unknown(
        Extension("envoy.filters.network.tcp_prxy", "", None, "")
    )
    assert table().find(Extension("acme", "acme.Magic", None, ""), Report()) is None


def test_a_runtime_key_is_a_reference_where_its_value_has_a_place_and_the_value_elsewhere() -> None:
    assert Context(Report(), runtime={"k": 7}).at_runtime("k", 5, "p") == 7
    assert Context(Report()).at_runtime("k", 5, "p") == 5
    live = Context(Report(), live=True)
    assert live.at_runtime("k", 5, "p") == {"runtime": "k"}
    assert live.at_runtime("", 5, "p") == 5
    assert live.at_runtime("k", 6, "p") == 6
    assert live.runtime_found == {"k": 5}
    assert [one.path for one in live.report.warnings] == ["p"]
