"""
`metaproxy fleet`: who runs what, and who refused what and why, at a control plane.

Lives here: the command. Does not: rollouts (`rollouts`), a single proxy (`status`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rich.text import Text

from metaproxy.cli.answers import Fleet, Node
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, GOOD, Output, table, text
from metaproxy.cli.table import Table

CONTROL = "http://127.0.0.1:9902"
"""The admin API of a control plane."""
STATES = ("in force", "behind", "refused", "away")
_STYLES = {"in force": GOOD, "behind": "yellow", "refused": BAD, "away": DIM}


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser(
        "fleet",
        parents=[common],
        help=f"of a control plane: its nodes, what they run and refuse ({CONTROL}); 1 when one refuses something, or "
        "the source is refused or away",
    )
    made.add_argument("--state", choices=STATES, help="only nodes in this state")
    made.add_argument("--cluster", metavar="NAME", help="only nodes of this cluster")
    made.set_defaults(run=run, control=CONTROL)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    fleet = admin.get("/fleet", Fleet, state=given.state, cluster=given.cluster)
    if output.as_json:
        output.json(fleet)
    else:
        output.show(_head(fleet), *_wrong(fleet), "", _nodes(fleet["nodes"]))
    return 1 if fleet["lost"] or fleet["refused"] or fleet["states"]["refused"] else 0


def _head(fleet: Fleet) -> Text:
    counts = ", ".join(f"{fleet['states'][state]} {state}" for state in STATES)
    return Text.assemble(
        ("fleet ", "bold"), text(fleet["server"]), " serves ", text(fleet["source"]), (f": {counts}", DIM)
    )


def _wrong(fleet: Fleet) -> list[Text]:
    lines = [text(f"the source can't be read: {fleet['lost']}", BAD)] if fleet["lost"] else []
    lines += [text(f"refused: {line}", BAD) for line in fleet["refused"]]
    for node in fleet["nodes"]:
        lines += [
            text(f"{node['id']} refuses {one['name']} of {one['type']}: {one['error']}", BAD) for one in node["refused"]
        ]
    return lines or [text("nothing is wrong", GOOD)]


def _nodes(nodes: list[Node]) -> Table:
    return table(
        "Nodes",
        ["node", "cluster", "state", "release", "version", "runs", "address"],
        [
            [
                one["id"], one["cluster"], text(one["state"], _STYLES.get(one["state"], "")), one["release"] or "-",
                one["version"] or "-", one["agent"] or "-", one["address"],
            ]
            for one in nodes
        ],
        drop=["address", "runs", "cluster", "release"],
    )  # fmt: skip
