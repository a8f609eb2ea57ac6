"""
`metaproxy status`: whether it is ready, what listens, which endpoints are out.

Lives here: the command. Does not: figures over time (`top`).
"""

from __future__ import annotations

from typing import Any

from rich.text import Text

from metaproxy.cli.client import Admin
from metaproxy.cli.output import BAD, DIM, GOOD, Output, ms, table, text


def add(commands: Any, common: Any) -> None:
    made = commands.add_parser("status", parents=[common], help="state, listeners, endpoints; 1 when it is not ready")
    made.set_defaults(run=run)


def run(given: Any, admin: Admin, output: Output) -> int:
    info = admin.get("/server_info")
    listeners = admin.get("/listeners")["listeners"]
    clusters = admin.get("/clusters")["clusters"]
    if output.as_json:
        output.json({"server": info, "listeners": listeners, "clusters": clusters})
    else:
        output.show(_head(info, admin.where), *_refused(info), _listeners(listeners), _clusters(clusters))
    return 0 if info["ready"] else 1


def _head(info: dict[str, Any], where: str) -> Text:
    state = (
        ("ready", GOOD) if info["ready"] else (info["state"].lower() if info["state"] != "LIVE" else "not ready", BAD)
    )
    node = " ".join(filter(None, (info["node"].get("id"), info["node"].get("cluster"))))
    return Text.assemble(
        ("metaproxy ", "bold"), text(node + " " if node else ""), state, " at ", text(where),
        (f", up {_ago(info['uptime_seconds'])}, configuration {info['config_version']}", DIM),
    )  # fmt: skip


def _refused(info: dict[str, Any]) -> list[Text]:
    """The configuration that waits to be mended."""
    one = info["refused"]
    if one is None:
        return []
    lines = [text(f"the configuration of {one['time']} was refused:", BAD)]
    return [*lines, *(text(f"  {error}") for error in one["errors"])]


def _ago(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.0f} d"
    return f"{hours:.0f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _listeners(listeners: list[dict[str, Any]]) -> Any:
    return table(
        "Listeners",
        ["listener", "protocol", "address", "state", ">clients", ">under way", ">requests", ">bad frames"],
        [
            [
                one["name"],
                one["protocol"],
                " ".join(one["bound"]) or "-",
                text(one["state"].lower(), GOOD if one["state"] == "LISTENING" else BAD),
                one["counts"]["connections_active"],
                one["counts"]["active_exchanges"],
                one["counts"]["requests"],
                one["counts"]["decode_errors"],
            ]
            for one in listeners
        ],
    )


def _clusters(clusters: list[dict[str, Any]]) -> Any:
    return table(
        "Endpoints",
        ["cluster", "endpoint", "health", ">weight", ">under way", ">requests", ">errors", ">p50 ms", ">p99 ms"],
        [_endpoint(cluster, one) for cluster in clusters for one in cluster["endpoints"] or [None]],
    )


def _endpoint(cluster: dict[str, Any], one: dict[str, Any] | None) -> list[Any]:
    name = text(cluster["name"])
    if cluster["paused"] is not None:
        name.append(f" paused, {cluster['paused']['waiting']} wait", style=BAD)
    if one is None:
        return [name, text("no endpoints", BAD), "", "", "", "", "", "", ""]
    well = one["health"] == "healthy"
    out = next((word for word in ("drained", "ejected") if one[word]), "" if well else one["health"])
    found = one["counts"]
    failed = sum(found[key] for key in ("errors", "timeouts", "resets", "connect_errors", "connect_timeouts"))
    return [
        name, one["address"], text(out or "healthy", BAD if out else GOOD), one["weight"], one["active"],
        found["requests"], text(failed, BAD if failed else ""), ms(one["latency_ms"]["p50"]),
        ms(one["latency_ms"]["p99"]),
    ]  # fmt: skip
