"""
`metaproxy upgrade`: has a new process take the place of the running one.

Lives here: the command. Does not: upgrading.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from metaproxy import units
from metaproxy.cli.answers import Upgraded
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import Output

TIMEOUT = "60s"
GRACE = 10.0
"""Seconds that the answer may take longer than the new process."""


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("upgrade", parents=[common], help="start a new process that takes the sockets")
    made.add_argument(
        "--timeout", metavar="TIME", default=TIMEOUT, help=f"how long it may take to serve (default: {TIMEOUT})"
    )
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    timeout = units.seconds(given.timeout)
    admin = admin.patient(timeout + GRACE)
    answer = admin.ask("POST", "/upgrade", Upgraded, query={"timeout": timeout}, also=422)
    if output.as_json:
        output.json(answer)
    elif not answer["upgraded"]:
        output.error(answer["error"])
    else:
        output.show(f"process {answer['pid']} serves after {answer['seconds']:g} s")
        for word, key in (("took", answer["took"]), ("bound", answer["bound"]), ("closed", answer["closed"])):
            output.show(*(f"{word} {where}" for where in key))
    return 0 if answer["upgraded"] else 1
