"""
`metaproxy config diff FILE`: what a file would change in the running proxy.

Lives here: the command. Does not: comparing (the proxy's /check, with its plugins and live values).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from metaproxy.cli.answers import Checked
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, GOOD, Output, text

MAX_FILE = 1024
"""Characters of a path that are sent, its end: errors begin with it."""
_SIGNS = (("added", "+", GOOD), ("changed", "~", "yellow"), ("removed", "-", BAD))


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("config", help="compare a configuration with the one in force")
    inner = made.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    diff = inner.add_parser("diff", parents=[common], help="what a file would change; 1 when it is wrong")
    diff.add_argument("file", metavar="FILE")
    diff.add_argument("--exit-code", action="store_true", help="1 also when it would change something")
    diff.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    try:
        body = Path(given.file).read_bytes()
    except OSError as error:
        raise ValueError(f"{given.file}: {error.strerror}") from None
    checked = admin.ask("POST", "/check", Checked, body, {"file": given.file[-MAX_FILE:]})
    difference = checked["difference"] or {}
    changes = [
        (sign, kind[:-1], name, style)
        for kind, names in (("listeners", difference.get("listeners")), ("clusters", difference.get("clusters")))
        for word, sign, style in _SIGNS
        for name in (names or {}).get(word, ())
    ] + [("~", "section", name, "yellow") for name in difference.get("sections", ())]
    if output.as_json:
        output.json(checked)
    else:
        for one in checked["errors"]:
            output.error(f"{one['where']}: {one['error']}")
        output.show(*(text(f"warning: {warning}") for warning in difference.get("warnings", ())))
        output.show(*(text(f"{sign} {kind} {name}", style) for sign, kind, name, style in changes))
        if checked["valid"] and not changes:
            output.show("it would change nothing")
    return 1 if not checked["valid"] or (given.exit_code and changes) else 0
