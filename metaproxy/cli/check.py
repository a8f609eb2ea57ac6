"""
`metaproxy check FILE`: what is wrong with a configuration, without a proxy.

Lives here: the command. Does not: checking (`config.check`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from metaproxy.app.start import check_file
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import Output
from metaproxy.config.check import ConfigErrors


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("check", parents=[common], help="check a configuration file; 1 when it is wrong")
    made.add_argument("file", metavar="FILE")
    made.add_argument(
        "--plugins", metavar="FOLDER", action="append", default=[], help="a drop-in folder, besides its own"
    )
    made.add_argument(
        "--lenient", action="store_true", help="of an Envoy bootstrap: warn of what can't be honoured, don't refuse it"
    )
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    try:
        report = check_file(given.file, given.plugins, given.lenient)
    except ConfigErrors as errors:
        if output.as_json:
            output.json({"valid": False, "errors": [str(one) for one in errors.problems]})
        else:
            output.error(str(errors))
        return 1
    if output.as_json:
        warnings = [line.removeprefix("warning: ") for line in report.splitlines() if line.startswith("warning: ")]
        output.json({"valid": True, "errors": [], "warnings": warnings})
    else:
        output.show(*report.splitlines())
    return 0
