"""
`twistd metaproxy`: its options, and the services that they stand for.

Lives here: `Options` and `makeService`. Does not: anything else.
"""

from __future__ import annotations

import sys

from twisted.application.service import MultiService
from twisted.python import usage

from metaproxy.app.start import check_file, make_services
from metaproxy.config.check import ConfigErrors
from metaproxy.support.version import version_line


class Options(usage.Options):
    synopsis = "[options]"
    longdesc = (
        "A layer-7 proxy for any protocol. Signals: SIGHUP reloads, SIGUSR1 reopens logs, SIGUSR2 starts a new process "
        "that takes the sockets, SIGTERM drains and ends."
    )
    optParameters = [
        ["config", "c", None, "The configuration file (YAML), or an Envoy bootstrap (YAML, JSON)."],
    ]
    optFlags = [
        ["check", None, "Check the configuration, print what is wrong, and exit with 0 or 1."],
        ["lenient", None, "Of an Envoy bootstrap: warn of what can't be honoured, in the place of refusing it."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["plugins"] = []

    def opt_plugins(self, folder: str) -> None:
        """A drop-in folder of plugins, besides the configuration's own; may be given several times."""
        self["plugins"].append(folder)

    def opt_version(self) -> None:
        """Print the versions of metaproxy, Python and Twisted, and exit."""
        sys.stdout.write(f"{version_line()}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        if not self["config"]:
            raise usage.UsageError("--config FILE is missing")
        if self["check"]:
            self._check()

    def _check(self) -> None:
        try:
            report = check_file(self["config"], self["plugins"], bool(self["lenient"]))
        except ConfigErrors as errors:
            sys.stderr.write(f"{errors}\n")
            raise SystemExit(1) from None
        sys.stdout.write(report)
        raise SystemExit(0)


def makeService(options: Options) -> MultiService:
    """Raises SystemExit with the configuration's errors on standard error."""
    try:
        parent = options.parent if options.parent is not None else {}
        return make_services(options["config"], options["plugins"], bool(options["lenient"]), parent)
    except (ConfigErrors, OSError) as errors:
        sys.stderr.write(f"{errors}\n")
        raise SystemExit(1) from None
