"""
`metaproxy drain`: lets a listener, or all, finish what is under way.

Lives here: the command. Does not: draining.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from metaproxy import units
from metaproxy.cli.answers import Drained, Listeners
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import Output

EVERY = 0.2


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("drain", parents=[common], help="accept no more and let what is under way finish")
    made.add_argument("--listener", metavar="NAME", help="only this one")
    made.add_argument("--wait", metavar="TIME", help="until the last client is gone, 30s for example; 1 if one is left")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    wait = units.seconds(given.wait) if given.wait else 0.0
    drained = admin.ask("POST", "/drain", Drained, query={"listener": given.listener})
    until = time.monotonic() + wait
    left = _left(admin, drained["draining"]) if wait else drained["connections"]
    while wait and any(left.values()) and time.monotonic() < until:
        time.sleep(EVERY)
        left = _left(admin, drained["draining"])
    if output.as_json:
        output.json({"draining": drained["draining"], "connections": left})
    else:
        output.show(*(f"{name}: draining, {left.get(name, 0)} clients" for name in drained["draining"]))
    return 1 if wait and any(left.values()) else 0


def _left(admin: Admin, names: list[str]) -> dict[str, int]:
    left = dict.fromkeys(names, 0)
    listeners = admin.get("/listeners", Listeners)
    for one in listeners["listeners"]:
        if one["name"] in left:
            left[one["name"]] += one["counts"]["connections_active"]
    return left
