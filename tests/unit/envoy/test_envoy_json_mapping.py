"""Plain values become messages as protobuf's JSON mapping says; every mistake has its path."""

from __future__ import annotations

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource, Node
from envoy.config.listener.v3.listener_components_pb2 import Filter
from google.protobuf.message import Message

from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.report import Report


def filled(message: Message, plain: object) -> list[str]:
    report = Report()
    fill(message, plain, "", report)
    return [str(one) for one in report.findings]


def test_both_spellings_of_a_name_are_read_also_mixed() -> None:
    cluster = Cluster()
    assert filled(cluster, {"connectTimeout": "1.5s", "lb_policy": "RING_HASH"}) == []
    assert cluster.connect_timeout.ToMilliseconds() == 1500
    assert cluster.lb_policy == Cluster.RING_HASH


def test_of_a_field_in_both_spellings_the_last_one_counts_with_a_warning() -> None:
    cluster = Cluster()
    assert filled(cluster, {"connect_timeout": "1s", "connectTimeout": "2s"}) == [
        "connectTimeout: the same field as 'connect_timeout'; the last one counts"
    ]
    assert cluster.connect_timeout.seconds == 2


def test_one_mapping_counts_as_a_list_of_one_with_a_warning() -> None:
    bootstrap = Bootstrap()
    found = filled(bootstrap, {"static_resources": {"clusters": {"name": "one"}}})
    assert found == ["static_resources.clusters: one value alone where a list is meant; it counts as a list of one"]
    assert [one.name for one in bootstrap.static_resources.clusters] == ["one"]


def test_an_unknown_name_gets_the_nearest_one() -> None:
    assert filled(Bootstrap(), {"static_resources": {"clusters": [{"conect_timeout": "1s"}]}}) == [
        "static_resources.clusters[0].conect_timeout: Cluster has no field 'conect_timeout'; "
        "did you mean 'connect_timeout'?"
    ]


@pytest.mark.parametrize(
    ("plain", "where"),
    [
        ({"name": 5}, "name"),
        ({"connect_timeout": "5 s"}, "connect_timeout"),
        ({"connect_timeout": 5}, "connect_timeout"),
        ({"lb_policy": "RING_HSH"}, "lb_policy"),
        ({"lb_policy": 99}, "lb_policy"),
        ({"per_connection_buffer_limit_bytes": -1}, "per_connection_buffer_limit_bytes"),
        ({"per_connection_buffer_limit_bytes": 1.5}, "per_connection_buffer_limit_bytes"),
        ({"respect_dns_ttl": "maybe"}, "respect_dns_ttl"),
        ({"health_checks": ["x"]}, "health_checks[0]"),
        ({"typed_extension_protocol_options": []}, "typed_extension_protocol_options"),
        ({"transport_socket": {"typed_config": {"path": "x"}}}, "transport_socket.typed_config"),
        ({"type": "EDS", "cluster_type": {"name": "x"}}, "cluster_type"),
    ],
)
def test_a_malformed_value_is_reported_where_it_stands(plain: object, where: str) -> None:
    (found,) = filled(Cluster(), plain)
    assert found.startswith(f"{where}: ")


def test_all_mistakes_are_reported_at_once() -> None:
    assert len(filled(Cluster(), {"nam": "x", "lb_policy": "X", "connect_timeout": True})) == 3


def test_whole_numbers_may_be_texts_and_texts_of_wrappers_may_be_numbers() -> None:
    cluster = Cluster()
    plain = {"circuit_breakers": {"thresholds": [{"max_connections": "100", "max_requests": 7.0}]}}
    assert filled(cluster, plain) == []
    assert cluster.circuit_breakers.thresholds[0].max_connections.value == 100
    assert cluster.circuit_breakers.thresholds[0].max_requests.value == 7


def test_bytes_are_base64_in_either_alphabet() -> None:
    for text in ("+/+/", "-_-_", "-_-_=="):
        source = DataSource()
        assert filled(source, {"inline_bytes": text}) == []
        assert source.inline_bytes == b"\xfb\xff\xbf"


def test_structs_hold_whatever_is_written() -> None:
    node = Node()
    assert filled(node, {"metadata": {"LABELS": {"app": "a"}, "N": 1, "list": [True, None]}}) == []
    assert node.metadata["N"] == 1


def test_null_is_as_if_it_was_not_there() -> None:
    cluster = Cluster()
    assert filled(cluster, {"name": None, "connect_timeout": None, "health_checks": None}) == []
    assert cluster == Cluster()


def test_a_packed_message_is_made_by_its_type_also_within_another() -> None:
    filter_ = Filter()
    plain = {
        "name": "x",
        "typed_config": {
            "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
            "statPrefix": "x",
            "codec": {
                "name": "c",
                "config": {"@type": "type.googleapis.com/aeraki.meta_protocol.codec.DubboCodec"},
            },
        },
    }
    assert filled(filter_, plain) == []
    assert filter_.typed_config.TypeName() == "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"


def test_a_mistake_in_a_packed_message_has_its_path() -> None:
    plain = {
        "typed_config": {
            "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
            "tracing": {"verbos": True},
        }
    }
    assert filled(Filter(), plain) == [
        "typed_config.tracing.verbos: Tracing has no field 'verbos'; did you mean 'verbose'?"
    ]


def test_a_message_of_an_unknown_type_keeps_its_name() -> None:
    filter_ = Filter()
    assert filled(filter_, {"typed_config": {"@type": "type.googleapis.com/acme.Magic", "a": 1}}) == []
    assert filter_.typed_config.type_url == "type.googleapis.com/acme.Magic"


def test_messages_within_messages_have_a_bound() -> None:
    from envoy.config.accesslog.v3.accesslog_pb2 import AccessLogFilter

    plain: dict[str, object] = {}
    for _ in range(200):
        plain = {"and_filter": {"filters": [plain]}}
    (found,) = filled(AccessLogFilter(), plain)
    assert "levels" in found
