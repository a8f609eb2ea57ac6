"""
`metaproxy crds`: what became of each object of a mesh.

Lives here: the command. Does not: reading objects (the proxy does, for `crds:` of its configuration).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from metaproxy.cli.answers import MeshObject, MeshObjects
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, GOOD, Output, table, text
from metaproxy.cli.table import Table


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("crds", parents=[common], help="what became of the objects of a mesh; 1 if one is wrong")
    made.add_argument("--kind", help="only this kind, such as MetaRouter")
    made.add_argument("--namespace", help="only this namespace")
    made.add_argument("--wrong", action="store_true", help="only those about which there is something to say")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    query = {"kind": given.kind, "namespace": given.namespace, "wrong": "1" if given.wrong else None}
    found = admin.ask("GET", "/crds", MeshObjects, query=query)
    if output.as_json:
        output.json(found)
    else:
        output.show(_objects(found["objects"]), *(text(f"not in force: {line}", BAD) for line in found["refused"]))
        for one in found["objects"]:
            output.show(*(text(line) for line in (*one["reasons"], *one["warnings"])))
            name = "/".join(filter(None, (one["namespace"], one["name"])))
            output.show(*(text(f"{one['place']}: {one['kind']} {name}: {note}") for note in one["notes"]))
    return 1 if found["refused"] or any(one["state"] != "accepted" for one in found["objects"]) else 0


def _objects(objects: list[MeshObject]) -> Table:
    return table(
        "Objects",
        ["kind", "namespace", "name", "state", "place"],
        [
            [
                one["kind"] or "-",
                one["namespace"],
                one["name"],
                text(one["state"], GOOD if one["state"] == "accepted" else BAD),
                one["place"],
            ]
            for one in objects
        ],
        drop=["place"],
    )
