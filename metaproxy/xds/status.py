"""
How the control planes do, for operators: what was asked, answered, refused and why, resource by resource.

Lives here: `status`. Does not: Envoy's form of it (`dump`), metrics (`telemetry.metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from metaproxy.xds.server import XdsServer
from metaproxy.xds.source import XdsSource
from metaproxy.xds.store import Entry
from metaproxy.xds.translate import Need

Json = dict[str, object]


def status(source: XdsSource) -> Json:
    """Return the state of every server and resource."""
    return {
        "ready": source.ready,
        "waiting": list(source.enforcement.waiting),
        "problems": dict(source.enforcement.problems),
        "servers": [_server(source, one) for one in source.servers.values()],
    }


def _server(source: XdsSource, server: XdsServer) -> Json:
    counts = server.counts
    return {
        "name": server.label,
        "transport": server.spec.transport,
        "connected": counts.connected,
        "streams": counts.streams,
        "reason": "" if counts.connected else counts.reason,
        "subscriptions": {
            name: {
                "update_attempt": one.attempts,
                "update_success": one.successes,
                "update_rejected": one.rejected,
                "update_failure": one.failures,
                "init_fetch_timeout": one.timeouts,
                "resources": one.resources,
                "version": one.version,
                "updated": _time(one.updated),
            }
            for name, one in counts.subscriptions.items()
        },
        "resources": list(_resources(source, server)),
    }


def _resources(source: XdsSource, server: XdsServer) -> Iterator[Json]:
    for kind, store in server.state.stores.items():
        for name, entry in sorted(store.entries.items()):
            built = source.built.get(Need(server.label, kind, name))
            yield {
                "kind": kind,
                "name": name,
                "status": entry.status.name,
                "version": entry.resource.version if entry.resource is not None else "",
                "updated": _time(entry.updated),
                "error": entry.error,
                "refused": _time(entry.refused_at) if entry.error else None,
                "skipped": _skipped(entry),
                "warnings": list(built.warnings) if built is not None else [],
            }


def _skipped(entry: Entry) -> str:
    return entry.skipped if entry.resource is not None else ""


def _time(unix: float) -> str | None:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds") if unix else None
