"""
`metaproxy COMMAND`: what people and scripts ask a running proxy (docs/reference/command-line.md).

Lives here: the arguments that all commands take, exit codes, errors. Does not: any command (a module each).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from metaproxy.cli import (
    check,
    config,
    convert,
    crds,
    drain,
    fleet,
    record,
    replay,
    rollouts,
    status,
    tap,
    top,
    upgrade,
    workers,
    xds,
)
from metaproxy.cli.client import DEFAULT, Admin, AdminError
from metaproxy.cli.command import Command, Commands, Run
from metaproxy.cli.output import Output, to_stderr
from metaproxy.support.version import version_line

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3
"""Exit codes: done; the answer is no (see each command); wrong arguments; the admin API refused, or is away."""

COMMANDS: tuple[Command, ...] = (
    check, convert, status, top, tap, drain, upgrade, config, workers, xds, crds, record, replay, fleet, rollouts,
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are a line."""

    def error(self, message: str) -> NoReturn:
        to_stderr(f"{message}; see {self.prog} --help")
        raise SystemExit(USAGE)


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--admin", metavar="URL", help=f"the admin API: {DEFAULT} (or METAPROXY_ADMIN), or unix:/path of its socket"
    )
    common.add_argument("--token", help="its token (better: METAPROXY_TOKEN, which no list of processes shows)")
    common.add_argument("--ca", metavar="FILE", help="with https: who signed its certificate (or METAPROXY_CA)")
    common.add_argument("--certificate", metavar="FILE", help="with https: one's own (or METAPROXY_CERTIFICATE)")
    common.add_argument("--json", action="store_true", help="for scripts: JSON in the place of tables")
    made = _Parser(
        prog="metaproxy",
        description="Asks a running metaproxy, and sends recorded traffic again.",
        parents=[common],
        epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong arguments, 3 no admin API there, or it refused. The "
        "proxy itself is started by: twistd -n metaproxy --config FILE",
    )
    made.add_argument("--version", action="version", version=version_line(), help="print the version and exit")
    commands: Commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for module in COMMANDS:
        module.add(commands, common)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    given = parser().parse_args(arguments)
    output = Output(getattr(given, "json", False))
    try:
        where, token, ca, certificate = (_argument(given, name) for name in ("admin", "token", "ca", "certificate"))
        admin = Admin(where or getattr(given, "control", DEFAULT), token, ca=ca, certificate=certificate)
        run: Run = given.run
        return run(given, admin, output)
    except AdminError as error:
        output.error(str(error))
        return UNREACHABLE
    except ValueError as error:
        output.error(str(error))
        return USAGE
    except KeyboardInterrupt:
        return OK
    except BrokenPipeError:
        # The reader has enough. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _argument(given: argparse.Namespace, name: str) -> str:
    """Return the argument, or the environment's in its place."""
    return getattr(given, name, None) or os.environ.get(f"METAPROXY_{name.upper()}", "")


def script() -> NoReturn:
    raise SystemExit(main())
