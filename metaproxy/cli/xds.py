"""
`metaproxy xds`: how the control planes do, and which resources are refused, skipped or missing.

Lives here: the command. Does not: the state itself (the proxy's /xds).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from metaproxy.cli.answers import XdsResource, XdsServer, XdsStatus
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, GOOD, Output, table, text


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("xds", parents=[common], help="control planes and what came of their resources")
    made.add_argument("--all", action="store_true", help="all resources, not only those with something to say")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    """1 when a server is away, or a resource is refused or could not be put in force."""
    found = admin.get("/xds", XdsStatus)
    resources = [(server, one) for server in found["servers"] for one in server["resources"]]
    wrong = [server for server in found["servers"] if not server["connected"]]
    refused = [one for _, one in resources if one["error"]]
    if output.as_json:
        output.json(found)
    else:
        rows = [_subscription(server, kind) for server in found["servers"] for kind in server["subscriptions"]]
        columns = ("server", "state", "resources", ">in use", ">accepted", ">refused", ">failed", "version")
        output.show(table("control planes", columns, rows, drop=("version",)))
        shown = [(server, one) for server, one in resources if given.all or _noted(one)]
        if shown:
            heads = ("server", "kind", "name", "status", "what")
            output.show(table("resources", heads, [_resource(server, one) for server, one in shown]))
        output.show(*(text(f"not in force: {name}: {why}", BAD) for name, why in sorted(found["problems"].items())))
        output.show(*(text(f"waits: {name}", DIM) for name in found["waiting"]))
        output.show(*(text(f"{one['name']}: {one['reason']}", BAD) for one in wrong if one["reason"]))
    return 1 if wrong or refused or found["problems"] else 0


def _noted(one: XdsResource) -> bool:
    return bool(one["error"] or one["skipped"] or one["warnings"]) or one["status"] != "ACKED"


def _subscription(server: XdsServer, kind: str) -> tuple[object, ...]:
    one = server["subscriptions"][kind]
    state = text("connected", GOOD) if server["connected"] else text("away", BAD)
    return (
        server["name"], state, kind, one["resources"], one["update_success"], one["update_rejected"],
        one["update_failure"], one["version"],
    )  # fmt: skip


def _resource(server: XdsServer, one: XdsResource) -> tuple[object, ...]:
    what = one["error"] or one["skipped"] or "; ".join(one["warnings"])
    bad = bool(one["error"] or one["skipped"])
    return server["name"], one["kind"], one["name"], text(one["status"], BAD if bad else ""), what
