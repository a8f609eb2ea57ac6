"""
What commands write: tables for people, JSON for scripts, errors to standard error.

Lives here: `Output`, numbers as people read them. Does not: what is written; how a table is laid out (`table`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from metaproxy.cli.table import Table
from metaproxy.counts import WELL
from metaproxy.telemetry.access_log.format import harmless

GOOD, BAD, DIM = "green", "red", "dim"


class Output:
    """as_json: whether scripts read it. console, errors: where to, for tests."""

    def __init__(self, as_json: bool = False, console: Console | None = None, errors: Console | None = None) -> None:
        self.as_json = as_json
        self.console = console or Console(highlight=False)
        self.errors = errors or Console(stderr=True, highlight=False)

    def json(self, data: object, one_line: bool = False) -> None:
        text = json.dumps(data) if one_line else json.dumps(data, indent=2, sort_keys=True)
        self.console.file.write(text + "\n")
        self.console.file.flush()

    def show(self, *what: RenderableType) -> None:
        """A long line of text goes on in the next one at a space on a terminal, and stays one line anywhere else."""
        for one in what:
            self.console.print(text(one) if isinstance(one, str) else one, soft_wrap=not self.console.is_terminal)
        self.console.file.flush()  # a pipe's reader waits for a line, not for a full buffer

    def error(self, message: str) -> None:
        for line in message.splitlines():
            shown = Text.assemble(("metaproxy: ", BAD), harmless_line(line))
            self.errors.print(shown, soft_wrap=not self.errors.is_terminal)

    @property
    def live(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self.console.is_terminal and not self.as_json


def text(value: object, style: str = "") -> Text:
    """Whatever it is, a peer may have written it: no line break, no escape sequence."""
    return Text(harmless_line(str(value)), style=style)


def harmless_line(line: str) -> str:
    return line if line.isprintable() else harmless(line, len(line)).replace('\\"', '"')


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], drop: Sequence[str] = ()) -> Table:
    """See table.Table; cells may be whatever has a text."""
    cells = [[cell if isinstance(cell, Text) else text(cell) for cell in row] for row in rows]
    return Table(title, columns, cells, drop)


def ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def rate(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def size(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def outcome(name: str) -> Text:
    return text(name, GOOD if name.strip() in WELL else BAD)


def to_stderr(message: str) -> None:
    """Where there is no Output yet."""
    sys.stderr.write(f"metaproxy: {message}\n")
