"""
Listeners and clusters of our own files that a control plane sends as they are, within messages of Envoy's.

Lives here: reading them. Does not: the messages that carry them (`own_messages`), the place of a listener
(`extensions`).
"""

from __future__ import annotations

from google.protobuf.json_format import MessageToDict

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.own_messages import CLUSTER, SECTION
from metaproxy.envoy.tables import Plain


def section_of(fields: Fields) -> Plain:
    """Return the section that a message carries."""
    section = fields.message_at(SECTION)
    if section is None:
        fields.report.invalid(fields.path, f"{SECTION} is missing")
        return {}
    section.ignore("fields")
    return {key: _whole(value) for key, value in MessageToDict(section.message).items()}


def _whole(value: object) -> object:
    """Return the value with whole numbers as they were written: a Struct has fractions alone."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def carried_cluster(fields: Fields) -> Plain | None:
    """Return the cluster that a Cluster carries; None for one of Envoy's own."""
    if fields.which("cluster_discovery_type") != "cluster_type":
        return None
    custom = fields.message_at("cluster_type")
    extension = custom.extension() if custom is not None else None
    if extension is None or extension.type != CLUSTER or extension.config is None:
        return None
    fields.ignore("name")
    return section_of(extension.config)
