"""
`metaproxy status`: whether it is ready, what is wrong, what listens, how the endpoints do.

Lives here: the command. Does not: figures over time (`top`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rich.text import Text

from metaproxy.cli.answers import (
    ClusterInfo,
    Clusters,
    EndpointInfo,
    ListenerInfo,
    Listeners,
    Problem,
    Problems,
    ServerInfo,
)
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, GOOD, Output, ms, rate, table, text
from metaproxy.cli.table import Table

FAIL_ON = ("never", "not-ready", "degraded", "problems")
"""From what on it ends with 1; each includes those before it."""


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("status", parents=[common], help="state, what is wrong, listeners, endpoints")
    made.add_argument("--seconds", type=float, default=10.0, help="how far to look back, 2 to 60 (default: 10)")
    made.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        default="degraded",
        help="end with 1 when it is not ready, when something is bad such as a cluster without a usable endpoint "
        "(degraded, the default), when anything is wrong (problems), or never",
    )
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    seconds = f"{given.seconds:g}"
    info = admin.get("/server_info", ServerInfo)
    found = admin.get("/problems", Problems, seconds=seconds)
    listeners = admin.get("/listeners", Listeners)
    clusters = admin.get("/clusters", Clusters, seconds=seconds)
    if output.as_json:
        output.json(
            {
                "server": info,
                "worst": found["worst"],
                "problems": found["problems"],
                "listeners": listeners["listeners"],
                "clusters": clusters["clusters"],
            }
        )
    else:
        output.show(_head(info, admin.where), *_problems(found["problems"]), "")
        output.show(_listeners(listeners["listeners"]), _clusters(clusters["clusters"], seconds))
    return 1 if _fails(info["ready"], found["worst"], given.fail_on) else 0


def _fails(ready: bool, worst: str, fail_on: str) -> bool:
    found = [not ready, worst == "bad", worst in ("bad", "warn")]
    return any(found[: FAIL_ON.index(fail_on)])


def _head(info: ServerInfo, where: str) -> Text:
    state = (
        ("ready", GOOD) if info["ready"] else (info["state"].lower() if info["state"] != "LIVE" else "not ready", BAD)
    )
    node = " ".join(filter(None, (info["node"].get("id"), info["node"].get("cluster"))))
    return Text.assemble(
        ("metaproxy ", "bold"), text(node + " " if node else ""), state, " at ", text(where),
        (f", up {_ago(info['uptime_seconds'])}, configuration {info['config_version']}", DIM), _workers(info),
    )  # fmt: skip


def _workers(info: ServerInfo) -> Text:
    found = info["workers"]
    if found is None:
        return Text()
    all_ready = found["ready"] == found["count"]
    return text(f", {found['ready']} of {found['count']} workers ready", DIM if all_ready else BAD)


_STYLES = {"bad": BAD, "warn": "yellow", "note": DIM}


def _problems(found: list[Problem]) -> list[Text]:
    """A line each, and more where a problem has lines of its own, as a configuration that was refused."""
    lines = []
    for one in found:
        lines.append(Text.assemble((f"{one['level']:4} ", _STYLES[one["level"]]), text(one["what"])))
        if one["detail"]:
            lines[-1].append_text(text(f": {one['detail']}", DIM))
        lines += [text(f"     {line}") for line in one.get("lines", ())]
    return lines or [text("nothing is wrong", GOOD)]


def _ago(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.0f} d"
    return f"{hours:.0f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _listeners(listeners: list[ListenerInfo]) -> Table:
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
        drop=["bad frames", "protocol", "requests", "under way", "address", "clients"],
    )


_NO_ENDPOINT: tuple[None] = (None,)
"""A cluster without an endpoint has a row, too."""


def _clusters(clusters: list[ClusterInfo], seconds: str) -> Table:
    columns = ["cluster", "endpoint", "health", ">weight", ">under way", ">/s", ">errors", ">p50 ms", ">p99 ms"]
    return table(
        f"Endpoints, the last {seconds} s",
        [*columns, ">usual p99"],
        [_endpoint(cluster, one) for cluster in clusters for one in (cluster["endpoints"] or _NO_ENDPOINT)],
        drop=["weight", "under way", "usual p99", "p50 ms", "/s", "errors", "p99 ms"],
    )


def _endpoint(cluster: ClusterInfo, one: EndpointInfo | None) -> list[object]:
    name = text(cluster["name"])
    if cluster["paused"] is not None:
        name.append(f" paused, {cluster['paused']['waiting']} wait", style=BAD)
    if one is None:
        return [name, "", text("no endpoint", BAD), *[""] * 7]
    well = one["health"] == "healthy"
    out = "drained" if one["drained"] else "ejected" if one["ejected"] else "" if well else one["health"]
    found, latency, usual = one["lately"], one["latency_ms"], one["usual_p99_ms"]
    address = f"{one['address']} {one['role']}" if one["role"] else one["address"]
    return [
        name, address, text(out or "healthy", BAD if out else GOOD), one["weight"], one["active"],
        rate(found["tries"] / found["seconds"]), text(found["failed"], BAD if found["failed"] else ""),
        ms(latency["p50"]), ms(latency["p99"]), ms(usual),
    ]  # fmt: skip
