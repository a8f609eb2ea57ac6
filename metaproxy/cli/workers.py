"""
`metaproxy workers`: the worker processes, where a proxy has some.

Lives here: the command. Does not: the state itself (the proxy's /workers).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from metaproxy.cli.answers import WorkerInfo, Workers
from metaproxy.cli.client import Admin, AdminError
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, GOOD, Output, size, table, text

_NONE = "one process does all; `workers:` in the configuration makes more of them, from the next start on"


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("workers", parents=[common], help="the worker processes: state, connections, restarts")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    """1 when a worker is not ready, or does not answer."""
    found = _ask(admin)
    workers = found["workers"]
    if output.as_json:
        output.json(found)
    elif not workers:
        output.show(_NONE)
    else:
        columns = ["worker", "state", ">process", ">connections", ">handed", ">restarts", ">lost", ">CPU s", ">memory"]
        drop = ["pinned to", "handed", "process", "memory", "CPU s", "why it ended"]
        output.show(table("Workers", [*columns, "pinned to", "why it ended"], [_row(one) for one in workers], drop))
    return 0 if all(one["answers"] for one in workers) else 1


def _ask(admin: Admin) -> Workers:
    try:
        return admin.get("/workers", Workers)
    except AdminError as error:
        if error.status != 404:
            raise
        return {"workers": []}


def _row(one: WorkerInfo) -> list[object]:
    state = "quiet" if one["state"] == "ready" and not one["answers"] else one["state"]
    lost = one["lost_connections"]
    return [
        one["worker"], text(state, GOOD if one["answers"] else BAD), one["pid"] or "", one["connections"],
        one["handed_connections"], one["restarts"], text(lost, BAD if lost else ""),
        f"{one['cpu_seconds']:.1f}", size(one["memory_bytes"]), "" if one["cpu"] is None else f"CPU {one['cpu']}",
        one["why"],
    ]  # fmt: skip
