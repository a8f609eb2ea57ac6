"""
`metaproxy top`: what flows now, by cluster and operation, drawn again every two seconds.

Lives here: the command. Does not: counting (the proxy's /flows); its other table, of statements (`top_statements`).
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TypeVar

from rich.console import Group
from rich.live import Live
from rich.text import Text

from metaproxy.cli import top_statements
from metaproxy.cli.answers import Flow, Flows, Statements, Tally
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, Output, ms, rate, size, table, text
from metaproxy.counts import WELL
from metaproxy.telemetry.inspect.statements import ORDERS

EVERY = 2.0
"""Seconds between two looks; the proxy's own slices are as long."""
ROWS = 30


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("top", parents=[common], help="what flows now: rates, errors, latency; until Ctrl-C")
    made.add_argument("--seconds", type=float, default=10.0, help="how far to look back, 2 to 60 (default: 10)")
    made.add_argument("--rows", type=int, default=ROWS, help=f"rows that are shown (default: {ROWS})")
    made.add_argument("--by", metavar="KEY", help="tell callers apart by this metadata key, such as user")
    made.add_argument(
        "--statements",
        action="store_true",
        help="the statements of databases by fingerprint, those that took most first",
    )
    made.add_argument("--sort", choices=ORDERS, help="of statements: what comes first (default: time)")
    made.add_argument("--listener", metavar="NAME", help="of statements: only those of this listener")
    made.add_argument("--reset", action="store_true", help="of statements: forget what was counted, and begin again")
    made.add_argument("--once", action="store_true", help="look once, and end; so it is without a terminal")
    made.set_defaults(run=run)


T = TypeVar("T")


def run(given: Namespace, admin: Admin, output: Output) -> int:
    if given.statements:
        return _statements(given, admin, output)
    if given.sort or given.listener or given.reset:
        raise ValueError("--sort, --listener and --reset are for statements; add --statements")

    def look() -> Flows:
        return admin.get("/flows", Flows, seconds=f"{given.seconds:g}", limit=given.rows, caller=given.by)

    def is_empty(found: Flows) -> bool:
        return not found["total"]["exchanges"] and not found["total"]["streams"]["open"]

    return _draw(given, output, look, is_empty, shown)


def _statements(given: Namespace, admin: Admin, output: Output) -> int:
    if given.by:
        raise ValueError("--by is not for statements, which have their user and database")
    if given.reset:
        admin.ask("POST", "/statements/reset", dict)

    def look() -> Statements:
        return admin.get("/statements", Statements, limit=given.rows, sort=given.sort, listener=given.listener)

    def is_empty(found: Statements) -> bool:
        return bool(found["listeners"]) and not found["total"]["calls"]

    return _draw(given, output, look, is_empty, top_statements.shown)


def _draw(
    given: Namespace,
    output: Output,
    look: Callable[[], T],
    is_empty: Callable[[T], bool],
    show: Callable[[T], Group],
) -> int:
    """Once, or again and again on a terminal. The first look begins to count: one that finds nothing is repeated."""
    found = look()
    if given.once or not output.live:
        if is_empty(found):
            time.sleep(min(given.seconds, EVERY) + 0.1)
            found = look()
        if output.as_json:
            output.json(found)
        else:
            output.show(show(found))
        return 0
    with Live(show(found), console=output.console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(EVERY)
            live.update(show(look()), refresh=True)


def shown(found: Flows) -> Group:
    total = found["total"]
    latency = total["latency_ms"]
    head = Text.assemble(
        ("metaproxy top  ", "bold"), f"{rate(total['rate'])} exchanges/s, ",
        (f"{rate(total['error_rate'])} errors/s", BAD if total["errors"] else ""),
        f", p50 {ms(latency['p50'])} ms, p99 {ms(latency['p99'])} ms",
        f", {_open(total)}" if total["streams"]["open"] else "",
        (f"  over {found['seconds']:.0f} s", DIM),
    )  # fmt: skip
    figures = [">/s", ">errors/s", ">p50 ms", ">p99 ms", "streams"]
    columns = ["caller", "operation", "route", "cluster", *figures, "outcomes"]
    rows = [_row(one) for one in found["flows"]]
    if found["other"] is not None:
        rows.append(_row(Flow(**found["other"], caller="others", operation="", route="", cluster="")))
    drop = ["caller", "route", "p50 ms", "outcomes", "p99 ms", "cluster", "streams"]
    return Group(head, table("", columns, rows, drop) if rows else text("nothing ended so far", DIM))


def _open(one: Tally) -> str:
    """How many streams are open, and what has passed of them up and down; '' for none."""
    streams = one["streams"]
    if not streams["open"]:
        return ""
    return f"{streams['open']} open {size(streams['request_bytes'])}>{size(streams['response_bytes'])}"


def _row(one: Flow) -> list[object]:
    failed = {name: count for name, count in one["outcomes"].items() if name not in WELL}
    return [
        one["caller"], one["operation"], one["route"], one["cluster"], rate(one["rate"]),
        text(rate(one["error_rate"]), BAD if one["errors"] else ""), ms(one["latency_ms"]["p50"]),
        ms(one["latency_ms"]["p99"]), _open(one),
        text(" ".join(f"{name} {count}" for name, count in failed.items()), BAD),
    ]  # fmt: skip
