"""
`twistd metaproxy-control`: its options, and the services that they stand for.

Lives here: `Options` and `makeService`. Does not: anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.application.service import MultiService
from twisted.python import usage

from metaproxy.config.schema.nodes import ConfigErrors
from metaproxy.support.extras import install
from metaproxy.support.version import version_line


class Options(usage.Options):
    synopsis = "[options]"
    longdesc = "A control plane: serves configuration to many proxies as xDS. It has no state of its own."
    optParameters = [
        ["config", "c", None, "Where the configuration is: a folder, `etcd` or `kubernetes`."],
        ["settings", "s", "", "The file with this process's settings (YAML); default: control.yaml in the folder."],
    ]
    optFlags = [
        ["check", None, "Check the settings and the folder, print what is wrong, and exit with 0 or 1."],
    ]

    def opt_version(self) -> None:
        """Print the versions of metaproxy, Python and Twisted, and exit."""
        sys.stdout.write(f"{version_line()}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        if not self["config"]:
            raise usage.UsageError("--config FOLDER, --config etcd or --config kubernetes is missing")
        if self["check"]:
            with _said():
                from metaproxy.control.start import check

                sys.stdout.write(check(self["config"], self["settings"]))
            raise SystemExit(0)


def makeService(options: Options) -> MultiService:
    """Raises SystemExit with the configuration's errors on standard error."""
    with _said():
        from metaproxy.control.start import make_services

        return make_services(options["config"], options["settings"])


@contextmanager
def _said() -> Iterator[None]:
    """Write what is wrong to standard error, and exit."""
    try:
        yield
    except ImportError as error:  # packages of the extras
        wrong = f"the control plane needs the extra `xds`, and for TLS `tls`: {install('xds,tls')} ({error})"
    except (ConfigErrors, OSError) as error:
        wrong = str(error)
    else:
        return
    sys.stderr.write(f"{wrong}\n")
    raise SystemExit(1)
