"""How messages are read: what no translator reads is reported."""

from __future__ import annotations

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf import any_pb2, struct_pb2
from udpa.type.v1.typed_struct_pb2 import TypedStruct

from metaproxy.envoy.fields import Fields, shown_seconds
from metaproxy.envoy.report import Report


def of(message: object, path: str = "") -> tuple[Fields, Report]:
    report = Report()
    from google.protobuf.message import Message

    assert isinstance(message, Message)
    return Fields(message, path, report), report


def texts(report: Report) -> list[str]:
    return [str(one) for one in report.findings]


def test_a_field_that_is_set_and_not_read_is_reported_with_its_path() -> None:
    fields, report = of(Cluster(name="demo", alt_stat_name="other"), "static_resources.clusters[2]")
    fields.text("name")
    fields.close()
    (found,) = report.errors
    assert found.path == "static_resources.clusters[2].alt_stat_name"


def test_a_field_within_a_message_that_was_read_is_reported_too() -> None:
    cluster = Cluster()
    cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.hostname = "one"
    fields, report = of(cluster, "c")
    inner = fields.message_at("load_assignment")
    assert inner is not None
    for group in inner.each("endpoints"):
        group.each("lb_endpoints")
    fields.close()
    assert [one.path for one in report.errors] == ["c.load_assignment.endpoints[0].lb_endpoints[0].endpoint"]


def test_a_message_that_was_read_twice_is_one() -> None:
    cluster = Cluster()
    cluster.load_assignment.cluster_name = "one"
    cluster.load_assignment.policy.weighted_priority_health = True
    fields, report = of(cluster)
    for name in ("cluster_name", "policy"):
        inner = fields.message_at("load_assignment")
        assert inner is not None
        inner.ignore(name)
    fields.close()
    assert report.findings == []


def test_a_field_of_a_newer_version_is_reported_by_its_number() -> None:
    newer = Cluster.FromString(Cluster(name="demo").SerializeToString() + b"\xa2\xbb\x07\x01x")
    fields, report = of(newer, "c")
    fields.text("name")
    fields.close()
    assert [one.path for one in report.errors] == ["c.<15284>"]


def test_lenient_reports_have_warnings_for_what_can_not_be_honoured_and_errors_for_what_is_malformed() -> None:
    report = Report(lenient=True)
    report.unhonoured("a", "not there")
    report.invalid("b", "no number")
    assert [one.path for one in report.errors] == ["b"]
    assert [one.path for one in report.warnings] == ["a"]


def test_an_extension_is_unpacked_from_either_kind_of_typed_struct_in_either_spelling() -> None:
    values = struct_pb2.Struct()
    values.update({"path": "/log", "logFormat": {"text_format_source": {"inlineString": "x"}}})
    url = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    packed = any_pb2.Any()
    packed.Pack(TypedStruct(type_url=url, value=values))
    fields, report = of(AccessLog(name="any", typed_config=packed), "log")
    extension = fields.extension()
    assert extension.name == "any"
    assert extension.config is not None
    assert isinstance(extension.config.message, FileAccessLog)
    assert extension.config.text("path") == "/log"
    fields.close()
    assert [one.path for one in report.errors] == ["log.typed_config.value.log_format"]


def test_a_mistake_within_a_typed_struct_has_its_path() -> None:
    values = struct_pb2.Struct()
    values.update({"paht": "/log"})
    url = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    packed = any_pb2.Any()
    packed.Pack(TypedStruct(type_url=url, value=values))
    fields, report = of(AccessLog(typed_config=packed), "log")
    fields.extension()
    assert texts(report) == ["log.typed_config.value.paht: FileAccessLog has no field 'paht'; did you mean 'path'?"]


def test_bytes_that_are_no_message_are_malformed() -> None:
    url = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    fields, report = of(AccessLog(typed_config=any_pb2.Any(type_url=url, value=b"\xff")), "log")
    assert fields.extension().config is None
    assert [one.path for one in report.errors] == ["log.typed_config"]


def test_an_extension_of_an_unknown_type_keeps_its_name() -> None:
    fields, _ = of(AccessLog(name="x", typed_config=any_pb2.Any(type_url="type.googleapis.com/acme.Log")))
    extension = fields.extension()
    assert (extension.name, extension.type, extension.config) == ("x", "acme.Log", None)


def test_fractions_are_percentages() -> None:
    for denominator, wanted in ((0, 5.0), (1, 0.05), (2, 0.0005)):
        fields, _ = of(FractionalPercent(numerator=5, denominator=denominator))  # type: ignore[arg-type,unused-ignore]
        assert fields.as_percent() == wanted


def test_durations_are_written_as_ours_are() -> None:
    assert [shown_seconds(one) for one in (90.0, 0.25, 0.0005, 1.5, 0.0)] == ["90s", "250ms", "0.0005s", "1500ms", "0s"]


def test_a_negative_duration_is_malformed() -> None:
    cluster = Cluster()
    cluster.connect_timeout.seconds = -1
    fields, report = of(cluster)
    assert fields.seconds("connect_timeout", 5.0) == 5.0
    assert [one.path for one in report.errors] == ["connect_timeout"]


def test_what_is_no_number_is_no_share_and_stands_in_no_struct() -> None:
    from envoy.config.core.v3.base_pb2 import Metadata
    from envoy.type.v3.percent_pb2 import Percent

    fields, report = of(Percent(value=float("nan")), "p")
    assert fields.as_percent() == 0
    metadata = Metadata()
    metadata.filter_metadata["x"].update({"y": float("nan")})
    inner, second = of(metadata, "m")
    assert inner.structs("filter_metadata") == {"x": {}}
    assert [one.path for one in (*report.errors, *second.errors)] == ["p", "m.filter_metadata"]
