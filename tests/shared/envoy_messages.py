"""Envoy's messages in tests: written as YAML, translated, and what came of it."""

from __future__ import annotations

import textwrap

import yaml
from google.protobuf.message import Message

from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.message_types import message_class, url
from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Context
from metaproxy.envoy.translated import Translated

LISTENER = "envoy.config.listener.v3.Listener"
CLUSTER = "envoy.config.cluster.v3.Cluster"
PROXY = "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"


def message(kind: str, text: str, report: Report | None = None) -> Message:
    """The message that a text in YAML describes."""
    found = message_class(kind)
    assert found is not None
    made = found()
    report = report or Report()
    fill(made, yaml.safe_load(textwrap.dedent(text)) or {}, "", report)
    assert not report.errors, report.errors
    return made


def listener(text: str, context: Context | None = None) -> Translated:
    return translate_listener(message(LISTENER, text), context or Context(Report()), "listener")


def cluster(text: str, context: Context | None = None) -> Translated:
    return translate_cluster(message(CLUSTER, text), context or Context(Report()), "cluster")


def proxy(text: str, context: Context | None = None, direction: str = "OUTBOUND") -> Translated:
    """A listener with one MetaProtocolProxy of these fields."""
    indented = textwrap.indent(textwrap.dedent(text), " " * 6)
    whole = f"""\
name: in
traffic_direction: {direction}
address: {{socket_address: {{address: 127.0.0.1, port_value: 20880}}}}
filter_chains:
- filters:
  - name: aeraki.meta_protocol_proxy
    typed_config:
      "@type": {url(PROXY)}
{indented}
"""
    return listener(whole, context)


def errors(outcome: Translated | Report) -> list[str]:
    report = outcome if isinstance(outcome, Report) else outcome.report
    return [str(one) for one in report.errors]


def warnings(outcome: Translated) -> list[str]:
    return [str(one) for one in outcome.report.warnings]
