"""
h2spec and h2specd: whether a server, or a client, of HTTP/2 keeps to RFC 7540.

Lives here: running them, with their results read. Does not: whom they are run against.

    assert h2spec(port).failed.keys() <= h2spec(port_of_nghttpd).failed.keys()
    first = free_range()
    assert not h2specd(["nghttp", "-n"], first).failed                # the command is run once a case, with a URL
    assert not h2specd(through(proxy_port), first).failed             # a request a case with x-case: PORT, see there
"""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from running import HERE, PEERS

H2SPECD_CASES = 57
"""How many cases h2specd has: it listens on as many ports, one after the other."""


@dataclass
class Spec:
    """What came out, by the case's name: "http2/5.1.1 Sends even-numbered stream identifier"."""

    passed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def h2spec(port: int, *sections: str, path: str = "/", tls: bool = False, seconds: int = 1) -> Spec:
    """Runs the cases of a server on a port. sections: say "http2/6.5"; seconds: that a case waits for an answer."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = ["-h", "127.0.0.1", "-p", str(port), "-P", path, "-o", str(seconds), "-j", str(report)]
        argv = [str(PEERS / "bin" / "h2spec"), *options, *(["-t", "-k"] if tls else []), *sections]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=300, start_new_session=True)
        if not report.exists():  # it gives up when the server does not answer at all
            raise AssertionError(f"h2spec ended with {ran.returncode}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        return _junit(report)


def _junit(report: Path) -> Spec:
    spec = Spec()
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('package')} {case.get('classname')}"
        problem = next((each for each in case if each.tag in ("failure", "error")), None)
        if problem is not None:
            spec.failed[name] = problem.text or ""
        elif case.find("skipped") is not None:
            spec.skipped.append(name)
        else:
            spec.passed.append(name)
    return spec


def free_range(count: int = H2SPECD_CASES) -> int:
    """The first of so many ports in a row that nothing listens on, below those that the system hands out."""
    while True:
        first = random.randrange(15_000, 32_000 - count)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first


def through(proxy_port: int) -> list[str | Path]:
    """
    A command for h2specd to try a proxy's client side: it sends GET / over HTTP/1.1 to the proxy, with the case's port
    in the header x-case. The proxy needs a route and a cluster for each port from `first` to first + H2SPECD_CASES - 1.
    """
    return [sys.executable, HERE / "http" / "through.py", str(proxy_port)]


def h2specd(command: Sequence[str | Path], first: int, *sections: str, seconds: int = 1) -> Spec:
    """Runs the cases of a client: for each the command with a URL behind it, whose status does not count."""
    options = ["-h", "127.0.0.1", "-f", str(first), "-o", str(seconds), "-e", " ".join(map(str, command))]
    argv = [str(PEERS / "bin" / "h2specd"), *options, *sections]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=300, start_new_session=True)
    # Once it is over it goes on about its own listeners.
    lines = [line for line in ran.stdout.splitlines() if not line.startswith("accept tcp")]
    if not any(
        line.startswith("Finished in") for line in lines
    ):  # a case without a connection, or of over 3 s, ends it
        raise AssertionError(f"h2specd ended with {ran.returncode}:\n" + "\n".join(lines[-40:]) + ran.stderr[-2000:])
    spec = Spec()
    for mark, name, details in _cases(lines):
        if mark == "\u2714":
            spec.passed.append(name)
        elif mark == "\u00d7":
            spec.failed[name] = details
        else:
            spec.skipped.append(name)
    return spec


def _cases(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Mark, name and details of each case in what h2specd prints."""
    plain = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line).replace("\r", "") for line in lines]
    if "Failures: " in plain:
        plain = plain[: plain.index("Failures: ")]
    section = ""
    for number, line in enumerate(plain):
        if heading := re.match(r" *([\d.]+)\. \S", line):
            section = heading[1]
        elif case := re.match(r" *(\u2714 |\u00d7 |)(\d+: .*)", line):
            details = []
            for after in plain[number + 1 :]:
                if not re.match(r" *(->|Expected:|Actual:| {14})", after):
                    break
                details.append(after.strip())
            yield case[1].strip(), f"client/{section} {case[2]}", "\n".join(details)
