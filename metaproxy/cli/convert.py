"""
`metaproxy convert FILE`: an Envoy bootstrap in metaproxy's own form, and with `--to envoy` the other way round.

Lives here: the command. Does not: converting (`envoy.conversion`).
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import Output
from metaproxy.config.check import plugin_folders
from metaproxy.config.schema.load import read
from metaproxy.plugins import Registry
from metaproxy.support.extras import install


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser(
        "convert",
        parents=[common],
        help="print an Envoy bootstrap in our own form, or the other way round; 1 when it can't be said in it",
    )
    made.add_argument("file", metavar="FILE")
    made.add_argument(
        "--to", choices=["metaproxy", "envoy"], default="metaproxy", help="envoy: a file of ours becomes a bootstrap"
    )
    made.add_argument("--lenient", action="store_true", help="leave out what can't be said there, with a warning each")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    try:
        from metaproxy.envoy.conversion import convert, to_envoy
    except ImportError as error:
        raise ValueError(f"this needs packages that are not installed ({error.name}); {install('envoy')}") from None
    try:
        text = read(given.file)
    except OSError as error:
        raise ValueError(f"{given.file}: {error.strerror}") from None
    if given.to == "envoy":
        registry = Registry(plugin_folders(text, given.file))
        converted = to_envoy(text, given.file, registry, given.lenient)
    else:
        converted = convert(text, given.file, given.lenient)
    for warning in converted.warnings:
        output.error(f"warning: {warning}")
    if converted.text is None:
        output.error("\n".join(map(str, converted.problems)))
        if not given.lenient:
            output.error("--lenient leaves out what can't be said")
        return 1
    sys.stdout.write(converted.text)
    return 0
