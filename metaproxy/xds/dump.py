"""
What was received, in Envoy's form: envoy.admin.v3.ConfigDump as JSON, for tools that read Envoy's.

Lives here: `config_dump`. Does not: our own form (`status`), what the listeners and clusters of the file are.

Keys, passwords and tokens are replaced, in secrets and wherever else a field is called so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from metaproxy.envoy import aeraki
from metaproxy.telemetry.secret_keys import sounds_secret
from metaproxy.xds.resource_types import BY_NAME, ResourceType
from metaproxy.xds.server import XdsServer
from metaproxy.xds.store import Entry
from metaproxy.xds.update import Resource

ADMIN = "type.googleapis.com/envoy.admin.v3."
AERAKI = "type.googleapis.com/aeraki.meta_protocol_proxy.admin.v1alpha.RoutesConfigDump"
REDACTED = "[redacted]"
_HIDDEN = ("private_key", "password", "session_ticket_keys", "inline_string", "inline_bytes")
_SHOWN = ("filename", "environment_variable", "name", "@type")
"""Where a secret is read from may be shown."""

Json = dict[str, object]


def config_dump(servers: Iterable[XdsServer]) -> Json:
    """Return what all servers gave, kind by kind."""
    aeraki.load()
    found = list(servers)
    return {
        "configs": [
            {"@type": f"{ADMIN}ClustersConfigDump", **_versioned(found, "clusters"),
             "dynamic_active_clusters": _each(found, "clusters", "cluster")},
            {"@type": f"{ADMIN}ListenersConfigDump", **_versioned(found, "listeners"),
             "dynamic_listeners": [_listener(*one) for one in _entries(found, "listeners")]},
            {"@type": f"{ADMIN}RoutesConfigDump",
             "dynamic_route_configs": _each(found, "routes", "route_config")},
            {"@type": AERAKI, "dynamic_route_configs": _each(found, "routes", "route_config")},
            {"@type": f"{ADMIN}EndpointsConfigDump",
             "dynamic_endpoint_configs": _each(found, "endpoints", "endpoint_config")},
            {"@type": f"{ADMIN}SecretsConfigDump",
             "dynamic_active_secrets": _each(found, "secrets", "secret", name=True)},
            {"@type": f"{ADMIN}EcdsConfigDump", "ecds_filters": _each(found, "extensions", "ecds_filter")},
        ]
    }  # fmt: skip


def _versioned(servers: list[XdsServer], kind: str) -> Json:
    versions = [one.counts.of(BY_NAME[kind]).version for one in servers if kind in one.state.stores]
    return {"version_info": next((version for version in versions if version), "")}


def _entries(servers: list[XdsServer], kind: str) -> Iterator[tuple[ResourceType, str, Entry]]:
    for server in servers:
        store = server.state.stores.get(kind)
        if store is not None:
            yield from ((store.kind, name, entry) for name, entry in sorted(store.entries.items()))


def _each(servers: list[XdsServer], kind: str, key: str, name: bool = False) -> list[Json]:
    return [
        {**({"name": label} if name else {}), **_state(of, entry, key), **_status(of, entry)}
        for of, label, entry in _entries(servers, kind)
    ]


def _listener(kind: ResourceType, name: str, entry: Entry) -> Json:
    active = {"active_state": _state(kind, entry, "listener")} if entry.resource is not None else {}
    return {"name": name, **active, **_status(kind, entry)}


def _state(kind: ResourceType, entry: Entry, key: str) -> Json:
    if entry.resource is None:
        return {}
    shown = plain_of(kind, entry.resource)
    return {"version_info": entry.resource.version, key: shown, "last_updated": _time(entry.updated)}


def _status(kind: ResourceType, entry: Entry) -> Json:
    found: Json = {"client_status": entry.status.name}
    if entry.error:
        refused = entry.refused
        failed = {} if refused is None else {"failed_configuration": plain_of(kind, refused)}
        version = "" if refused is None else refused.version
        found["error_state"] = {
            **failed, "last_update_attempt": _time(entry.refused_at), "details": entry.error, "version_info": version,
        }  # fmt: skip
    return found


def plain_of(kind: ResourceType, resource: Resource) -> Json:
    """Return a resource as JSON, without its secrets; how long it is where a type within it is not known here."""
    try:
        plain = MessageToDict(kind.message.FromString(resource.value), preserving_proto_field_name=True)
    except (TypeError, DecodeError):  # of an Any whose type is not there
        # Its bytes would show keys and passwords that stand in it.
        return {"@type": kind.url, "name": resource.name, "value": f"[{len(resource.value)} bytes]"}
    shown = _redacted(plain, kind.name == "secrets")
    return {"@type": kind.url, **shown} if isinstance(shown, dict) else {}


def _redacted(value: object, secret: bool) -> object:
    """secret: whether all that holds a text in line is one."""
    if isinstance(value, Mapping):
        return {
            key: _hide(item) if sounds_secret(key) or (secret and key in _HIDDEN) else _redacted(item, secret)
            for key, item in value.items()
        }
    return [_redacted(item, secret) for item in value] if isinstance(value, list) else value


def _hide(value: object) -> object:
    """Replace every text within, but for where it would be read from."""
    if isinstance(value, Mapping):
        return {key: item if key in _SHOWN else _hide(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return REDACTED if isinstance(value, str) and value else value


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
