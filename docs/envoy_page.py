"""
What each field of Envoy's and Aeraki's messages becomes: docs/reference/envoy.md, made by trying.

Lives here: `page`, and `outcomes`, which tests look at. Does not: any table of fields. Each is set in a message that is
right, the message is translated, and what changed in our own form, or what was reported, is the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml
from envoy_examples import EXAMPLES, NOTES, SAMPLES, Example
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from metaproxy.envoy.bootstrap import translate_bootstrap
from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.report import Finding, Report, Severity
from metaproxy.envoy.resources import Resources, by_name
from metaproxy.envoy.routes import routes_of
from metaproxy.envoy.tables import Context

REFERENCE = Path(__file__).parent / "reference"
INERT, SILENT = "changes nothing here", "SILENT"


class Outcome(NamedTuple):
    """What a field becomes. keys: of our own form; text: what is reported; inert: whether it changes nothing at all."""

    field: str
    keys: tuple[str, ...]
    text: str
    inert: bool

    @property
    def silent(self) -> bool:
        return not (self.keys or self.text or self.inert)

    def row(self) -> str:
        parts = [", ".join(f"`{key}`" for key in self.keys)] if self.keys else []
        parts += [self.text] if self.text else []
        words = "; ".join(parts) or (INERT if self.inert else SILENT)
        return f"| `{self.field}` | {words.replace('|', chr(92) + '|')} |"


class Result(NamedTuple):
    plain: object
    findings: frozenset[Finding]
    inert: frozenset[tuple[str, str]]


def translated(kind: str, message: Message) -> Result:
    """A root message in our own form."""
    report = Report()
    clusters = [made("envoy.config.cluster.v3.Cluster", one) for one in EXAMPLES_OF_CLUSTERS]
    context = Context(report, Resources(clusters=by_name("clusters", clusters)), live=True)
    plain: object
    if kind == "envoy.config.listener.v3.Listener":
        plain = translate_listener(message, context, "").sections
    elif kind == "envoy.config.cluster.v3.Cluster":
        plain = translate_cluster(message, context, "").sections
    elif kind == "envoy.config.route.v3.RouteConfiguration":
        plain = routes_of(message, context, path="routes")
    else:
        plain = translate_bootstrap(message, report).plain
    beside = {"tracing": context.tracing, "runtime": context.runtime_found, "xds": list(context.servers.values())}
    return Result({"": plain, **beside}, frozenset(report.findings), frozenset(report.inert))


EXAMPLES_OF_CLUSTERS = [
    {"name": "zipkin", "type": "STATIC", "load_assignment": {"endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9411}}}}]}]}},
]  # fmt: skip


def made(kind: str, plain: object) -> Message:
    found = message_class(kind)
    assert found is not None, kind
    message = found()
    report = Report()
    fill(message, plain, "", report)
    assert not report.errors, (kind, [str(one) for one in report.errors])
    return message


# -- trying


@cache
def outcomes(example: Example) -> list[Outcome]:
    """What each field of the message at the example's path becomes."""
    plain = yaml.safe_load(example.text)
    before = translated(example.root, made(example.root, plain))
    kind = message_class(example.type)
    assert kind is not None, example.type
    return [_outcome(example, plain, before, field) for field in kind.DESCRIPTOR.fields]


def _outcome(example: Example, plain: object, before: Result, field: FieldDescriptor) -> Outcome:
    inner = _at(plain, example.path)
    is_there = field.name in inner
    changed = deepcopy(plain)
    target = _at(changed, example.path)
    if is_there:
        del target[field.name]
        after = translated(example.root, made(example.root, changed))
    if not is_there or after == before or after.plain == before.plain:
        is_there = False
        target[field.name] = sample(field)
        _drop_others(target, field)
        after = translated(example.root, made(example.root, changed))
    keys = tuple(sorted(_differences(before.plain, after.plain, "")))
    found = sorted(after.findings - before.findings, key=_order)
    said = [one for one in found if not (is_there and one.severity is Severity.INVALID)]
    text = _shortened(next((one.text for one in said), ""))
    if said and said[0].severity is Severity.INVALID:
        text = ""  # the sample is not whole
        keys = keys or ("see its own table",)
    text = text or NOTES.get(f"{example.type.rpartition('.')[2]}.{field.name}", "")
    inert = (example.type, field.name) in after.inert or bool(after.inert - before.inert)
    return Outcome(field.name, _short(keys), text, inert)


def _order(finding: Finding) -> tuple[bool, str, str]:
    """Warnings first. The same in each run: findings are in sets."""
    return finding.severity is not Severity.WARNING, finding.path, finding.text


def named_with(example: Example, fields: set[str]) -> set[str]:
    """Which of these fields are reported when all are set together, or can't be, as others exclude them."""
    plain = yaml.safe_load(example.text)
    kind = message_class(example.type)
    assert kind is not None
    target = _at(plain, example.path)
    for name in sorted(fields):
        field = kind.DESCRIPTOR.fields_by_name[name]
        target[name] = sample(field)
        _drop_others(target, field)
    found = translated(example.root, made(example.root, plain)).findings
    named = {one.path.rpartition(".")[2].partition("[")[0] for one in found}
    return (fields - target.keys()) | (fields & named)


def _shortened(text: str) -> str:
    return "not there" if text.startswith("metaproxy can't honour this") else text


def _short(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Keys without those within others of them, and not more than four."""
    outer = [key for key in keys if not any(key != other and key.startswith(other) for other in keys)]
    return tuple(outer[:4])


def _drop_others(target: dict[str, object], field: FieldDescriptor) -> None:
    """Only one of those that exclude each other may be there."""
    if field.containing_oneof is not None:
        for other in field.containing_oneof.fields:
            if other.name != field.name:
                target.pop(other.name, None)


def _at(value: object, path: tuple[str | int, ...]) -> dict[str, object]:
    for step in path:
        value = value[step]  # type: ignore[index]
    assert isinstance(value, dict)
    return value


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            inner = path if not key else f"{path}.{key}" if path else str(key)
            if key not in before or key not in after:
                yield inner
            else:
                yield from _differences(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from _differences(one, other, path)
    else:
        yield path or "the whole of it"


# -- samples


def sample(field: FieldDescriptor) -> object:
    """A value for a field that is not the one it has where it is not set."""
    message, name = field.containing_type.full_name, field.name
    for key in (f"{message}.{name}", f"{field.containing_type.name}.{name}", name):
        if key in SAMPLES:
            return SAMPLES[key]
    value = _single(field)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {"x": _single(inner)}
    return [value] if field.is_repeated else value


_SCALARS: Mapping[int, object] = {
    FieldDescriptor.CPPTYPE_STRING: "x", FieldDescriptor.CPPTYPE_BOOL: True, FieldDescriptor.CPPTYPE_DOUBLE: 7.5,
    FieldDescriptor.CPPTYPE_FLOAT: 7.5, FieldDescriptor.CPPTYPE_INT32: 7, FieldDescriptor.CPPTYPE_INT64: 7,
    FieldDescriptor.CPPTYPE_UINT32: 7, FieldDescriptor.CPPTYPE_UINT64: 7,
}  # fmt: skip
_KNOWN: Mapping[str, object] = {
    "google.protobuf.Duration": "7s", "google.protobuf.BoolValue": True, "google.protobuf.UInt32Value": 7,
    "google.protobuf.UInt64Value": 7, "google.protobuf.DoubleValue": 7.5, "google.protobuf.StringValue": "x",
    "google.protobuf.Struct": {"x": "y"}, "google.protobuf.Any": {"@type": "type.googleapis.com/acme.Magic"},
    "google.protobuf.Timestamp": "2026-01-31T12:00:00Z", "envoy.type.v3.Percent": {"value": 7},
    "envoy.type.v3.FractionalPercent": {"numerator": 7}, "google.protobuf.FieldMask": "a",
    "envoy.config.core.v3.RuntimeFractionalPercent": {"default_value": {"numerator": 7}, "runtime_key": "key"},
}  # fmt: skip


def _single(field: FieldDescriptor) -> object:
    if field.message_type is not None:
        return _KNOWN.get(field.message_type.full_name, {})
    if field.enum_type is not None:
        return field.enum_type.values[-1 if len(field.enum_type.values) == 1 else 1].name
    return "eA==" if field.type == FieldDescriptor.TYPE_BYTES else _SCALARS[field.cpp_type]


# -- the page


def page(text: str) -> str:
    """The page with its tables made again: all behind the mark."""
    head = text.partition(MARK)[0]
    return head + MARK + "\n\n" + "\n".join(_tables(lambda outcome: outcome.row()))


MARK = "<!-- tables -->"


def _tables(row: Callable[[Outcome], str]) -> Iterator[str]:
    for example in EXAMPLES:
        yield f"## {example.type.rpartition('.')[2]}\n"
        yield f"`{example.type}`{'; ' + example.about if example.about else ''}\n"
        rows = [row(outcome) for outcome in outcomes(example)]
        if rows:
            yield "| field | becomes |\n|---|---|"
            yield "\n".join(rows)
        yield ""
