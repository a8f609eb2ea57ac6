"""Whatever a peer or a file says in Envoy's messages becomes sections or findings, and nothing of it is lost."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from examples import examples
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.config import model
from metaproxy.config.values import Context as ReadingContext
from metaproxy.config.values import read_section
from metaproxy.envoy.bootstrap import translate_bootstrap
from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.conversion import as_yaml, convert
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.message_types import message_class, url
from metaproxy.envoy.report import Report
from metaproxy.envoy.routes import routes_of
from metaproxy.envoy.tables import NETWORK_FILTERS, Context, load_extensions
from metaproxy.plugins import Registry

sys.path.append(str(Path(__file__).parents[2] / "docs"))
pages: Any = importlib.import_module("envoy_page")
EXAMPLES: Any = importlib.import_module("envoy_examples").EXAMPLES

LISTENER, CLUSTER = "envoy.config.listener.v3.Listener", "envoy.config.cluster.v3.Cluster"
ROUTES, BOOTSTRAP = "envoy.config.route.v3.RouteConfiguration", "envoy.config.bootstrap.v3.Bootstrap"
DEEPEST = 7
TEXTS = st.sampled_from(["", "x", "a.example", "127.0.0.1", "::1", "%REQ(x)%", "/p", "(", "no\nname", "\u00e9"])
NUMBERS = st.sampled_from([0, 1, 2, 7, 80, 99, 65536, 2**31 - 1])

load_extensions()
PACKED = sorted({*NETWORK_FILTERS.types, "xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"})


def messages(kind: str, depth: int = 0) -> st.SearchStrategy[Message]:
    """Any message of a type, with any subset of its fields."""

    @st.composite
    def build(draw: st.DrawFn) -> Message:
        found = message_class(kind)
        assert found is not None
        message = found()
        fields: list[Any] = list(message.DESCRIPTOR.fields)
        wanted = draw(st.sets(st.integers(0, len(fields) - 1), max_size=5)) if fields else set()
        for place in sorted(wanted):
            put(draw, message, fields[place], depth)
        return message

    return build()


def put(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return
    if kind is not None:
        if depth >= DEEPEST:
            return
        inner = draw(packed(depth) if kind.full_name == "google.protobuf.Any" else messages(kind.full_name, depth + 1))
        place = getattr(message, field.name)
        (place.add() if field.is_repeated else place).CopyFrom(inner)
        return
    value = draw(scalar(field))
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def packed(depth: int) -> st.SearchStrategy[Message]:
    def pack(inner: Message) -> Message:
        kind = message_class("google.protobuf.Any")
        assert kind is not None
        made: Any = kind()
        made.Pack(inner)
        return made  # type: ignore[no-any-return]

    return st.sampled_from(PACKED).flatmap(lambda name: messages(name, depth + 1)).map(pack)


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([one.number for one in field.enum_type.values] + [77])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.sampled_from([0.0, 0.5, 7.0, 100.0, -1.0, float("nan"), float("inf")])
    return NUMBERS


def readable(kind: type[Any], plain: object) -> None:
    """Plain data are a section, or refused with the reasons; nothing is raised."""
    section, problems = read_section(kind, plain, ReadingContext("test", Registry(), {}))
    assert (section is None) == bool(problems)


@given(messages(LISTENER))
@examples(75)
def test_any_listener_is_sections_or_findings(message: Message) -> None:
    outcome = translate_listener(message, Context(Report()))
    assert outcome.sections or outcome.report.errors
    for section in outcome.sections:
        readable(model.Listener, section)


@given(messages(CLUSTER))
@examples(75)
def test_any_cluster_is_sections_or_findings(message: Message) -> None:
    outcome = translate_cluster(message, Context(Report()))
    assert outcome.sections or outcome.report.errors
    for section in outcome.sections:
        readable(model.Cluster, section)


@given(messages(ROUTES))
def test_any_routes_are_routes_or_findings(message: Message) -> None:
    for protocol in ("dubbo", "http"):
        report = Report()
        for route in routes_of(message, Context(report), protocol):
            assert isinstance(route, dict)


@given(messages(BOOTSTRAP))
def test_any_bootstrap_is_plain_data_that_can_be_printed(message: Message) -> None:
    assert as_yaml(translate_bootstrap(message, Report(lenient=True)).plain)


@cache
def not_there(place: int) -> list[str]:
    """The fields of an example that metaproxy has nothing for."""
    return sorted(one.field for one in pages.outcomes(EXAMPLES[place]) if one.text == "not there" and not one.keys)


@given(st.sampled_from(EXAMPLES), st.data())
@examples(20)
def test_fields_that_are_not_there_are_all_named_in_whatever_company(example: Any, data: st.DataObject) -> None:
    alone = not_there(EXAMPLES.index(example))
    chosen = data.draw(st.sets(st.sampled_from(alone), max_size=6)) if alone else set()
    named = pages.named_with(example, chosen)
    assert chosen <= named


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "type", "connectTimeout", "connect_timeout", "load_assignment", "@type", "x"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_values_fill_a_message_or_are_reported(plain: object) -> None:
    kind = message_class(CLUSTER)
    assert kind is not None
    report = Report()
    fill(kind(), plain, "c", report)
    assert report.findings or isinstance(plain, dict)


@given(st.text(max_size=60))
def test_any_text_is_converted_or_refused(text: str) -> None:
    for given_text in (text, f"static_resources: {text}", f"static_resources: {{clusters: [{{name: {text!r}}}]}}"):
        converted = convert(given_text, "e.yaml")
        assert (converted.text is None) == bool(converted.problems)


def test_the_types_that_are_packed_are_there() -> None:
    assert url("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy").rpartition("/")[2] in PACKED
