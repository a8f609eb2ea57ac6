"""
`metaproxy rollouts`: which share of the nodes has a new version, and the way back.

Lives here: the command. Does not: who runs what (`fleet`).
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from metaproxy.cli.answers import Returned, Rollout, Rollouts
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.fleet import CONTROL
from metaproxy.cli.output import BAD, GOOD, Output, table, text
from metaproxy.cli.table import Table


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser(
        "rollouts",
        parents=[common],
        help=f"of a control plane: rollouts and their error rates ({CONTROL}); 1 when one was ended",
    )
    made.add_argument("--return", dest="reason", metavar="REASON", help="end one: its nodes get the version before")
    made.add_argument("--group", metavar="NAME", default="", help="which one to end; default: that of all nodes")
    made.set_defaults(run=run, control=CONTROL)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    if given.reason:
        body = json.dumps({"group": given.group, "reason": given.reason}).encode()
        returned = admin.ask("POST", "/rollouts/return", Returned, body)
        if output.as_json:
            output.json(returned)
        else:
            output.show(f"all nodes get {returned['returned'] or 'what they had before'} again")
        return 0
    found = admin.get("/rollouts", Rollouts)["rollouts"]
    if output.as_json:
        output.json({"rollouts": found})
    else:
        output.show(_table(found) if found else "no rollout")
        output.show(*(text(f"ended: {one['returned']['reason']}", BAD) for one in found if one["returned"]))
    return 1 if any(one["returned"] for one in found) else 0


def _table(found: list[Rollout]) -> Table:
    return table(
        "Rollouts",
        ["group", "before", "version", "state", ">nodes", "next step", ">errors with it", ">without it"],
        [
            [
                one["group"] or "all", one["before"] or "-", one["release"],
                text(one["state"], BAD if one["returned"] else GOOD), f"{one['percent']:g} %", one["next_step"] or "-",
                f"{one['rates']['new']['percent']:g} %", f"{one['rates']['others']['percent']:g} %",
            ]
            for one in found
        ],
        drop=["next step", "before", "without it"],
    )  # fmt: skip
